"""onnx_file.py - writes ONNX files, valid ones and others, with Python alone.
A message is a list of (field, value): an int is a varint, a float 32 bits,
bytes and str as they are, a list another message."""
import struct

FLOAT, UINT8, INT8, INT32, INT64, STRING, BOOL = 1, 2, 3, 6, 7, 8, 9
DOUBLE, UINT4, INT4 = 11, 21, 22


def varint(v):
    v &= (1 << 64) - 1
    out = bytearray()
    while v > 127:
        out.append(v & 127 | 128)
        v >>= 7
    out.append(v)
    return bytes(out)


def message(fields):
    out = b""
    for number, v in fields:
        if isinstance(v, (bool, int)):
            out += varint(number << 3) + varint(int(v))
        elif isinstance(v, float):
            out += varint(number << 3 | 5) + struct.pack("<f", v)
        else:
            if isinstance(v, list):
                v = message(v)
            elif isinstance(v, str):
                v = v.encode()
            out += varint(number << 3 | 2) + varint(len(v)) + v
    return out


def tensor(name, kind, dims, raw=None, more=()):
    t = [(1, d) for d in dims] + [(2, kind), (8, name)] + list(more)
    return t + [(9, raw)] if raw is not None else t


def floats(name, dims, values):
    return tensor(name, FLOAT, dims, struct.pack(f"<{len(values)}f", *values))


def ints(name, dims, values):
    return tensor(name, INT64, dims, struct.pack(f"<{len(values)}q", *values))


def packed(name, kind, dims, values):
    """Values of four bits, two in each number of int32_data."""
    v = [x & 15 for x in values] + [0]
    data = b"".join(varint(a | b << 4) for a, b in zip(v[::2], v[1::2]))
    return tensor(name, kind, dims, more=[(5, data)])


def attribute(name, v):
    a = [(1, name)]
    if isinstance(v, int):
        return a + [(3, v), (20, 2)]
    if isinstance(v, float):
        return a + [(2, v), (20, 1)]
    if isinstance(v, str):
        return a + [(4, v), (20, 3)]
    if isinstance(v, Graph):
        return a + [(6, v.fields), (20, 5)]
    if v and isinstance(v[0], tuple):
        return a + [(5, v), (20, 4)]
    return a + [(8, i) for i in v] + [(20, 7)]


def node(op, ins, outs, name=None, domain="", **attrs):
    n = [(1, i) for i in ins] + [(2, o) for o in outs]
    n += [(3, name or outs[0]), (4, op), (7, domain)]
    return n + [(5, attribute(k, v)) for k, v in attrs.items()]


def value(name, dims, kind=FLOAT):
    shape = [(1, [(2, d)] if isinstance(d, str) else [(1, d)]) for d in dims]
    return [(1, name), (2, [(1, [(1, kind), (2, shape)])])]


class Graph:
    """nodes; inputs and outputs are (name, dims[, kind]), or fields."""

    def __init__(self, nodes, inputs, outputs, tensors=(), sparse=()):
        self.fields = [(1, n) for n in nodes] + [(2, "g")]
        self.fields += [(5, t) for t in tensors]
        self.fields += [(15, s) for s in sparse]
        for field, all in (11, inputs), (12, outputs):
            self.fields += [(field, v if isinstance(v, list) else value(*v))
                            for v in all]


def model(graph, opset=17, functions=(), domains=()):
    m = [(1, 8), (7, graph.fields), (8, [(1, ""), (2, opset)])]
    m += [(8, [(1, d), (2, v)]) for d, v in domains]
    return m + [(25, f) for f in functions]


def write(path, m):
    with open(path, "wb") as f:
        f.write(m if isinstance(m, bytes) else message(m))
