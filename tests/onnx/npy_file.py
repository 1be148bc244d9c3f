"""npy_file.py - npy files, with Python alone."""
import struct

MAGIC = b"\x93NUMPY\1\0"


def npy_write(path, descr, dims, data):
    """data: the elements' bytes, row-major."""
    shape = "".join(f"{d}," for d in dims)
    head = f"{{'descr': '{descr}', 'fortran_order': False, " \
           f"'shape': ({shape}), }}"
    head += " " * (-(len(head) + 11) % 64) + "\n"
    with open(path, "wb") as f:
        f.write(MAGIC + struct.pack("<H", len(head)) + head.encode() + data)


def npy_read(path):
    """(descr, dims, bytes)"""
    with open(path, "rb") as f:
        b = f.read()
    end = 10 + struct.unpack("<H", b[8:10])[0]
    head = b[10:end].decode()
    descr = head.split("'descr': '")[1].split("'")[0]
    shape = head.split("'shape': (")[1].split(")")[0]
    return descr, [int(d) for d in shape.split(",") if d.strip()], b[end:]
