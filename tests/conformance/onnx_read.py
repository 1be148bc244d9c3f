"""onnx_read.py - reads what the conformance test needs of ONNX files, with
Python alone: a model's operators, inputs and outputs, and tensors, which it
writes as npy."""
import os
import struct
import sys
from collections import namedtuple

sys.path.append(os.path.join(os.path.dirname(__file__), "..", "onnx"))
import npy_file  # noqa: E402

# ONNX type -> its descr in npy and the struct code of an element.  int4 and
# uint4 take a byte there; bfloat16 is a word.
TYPES = {
    1: ("<f4", "f"), 2: ("|u1", "B"), 3: ("|i1", "b"), 4: ("<u2", "H"),
    5: ("<i2", "h"), 6: ("<i4", "i"), 7: ("<i8", "q"), 9: ("|b1", "B"),
    10: ("<f2", "e"), 11: ("<f8", "d"), 12: ("<u4", "I"), 13: ("<u8", "Q"),
    16: ("<V2", "H"), 21: ("|u1", "B"), 22: ("|i1", "b"),
}
STRING, FLOAT16, BFLOAT16, UINT4, INT4 = 8, 10, 16, 21, 22
CODES = dict(TYPES.values())
FLOATS = {"<f2", "<f4", "<f8", "<V2"}

# kind: "tensor", "sequence", "map", "sparse", "optional"; dim: ints, names or
# None, or None when the rank is not known.
Value = namedtuple("Value", "name kind type dim")
Tensor = namedtuple("Tensor", "name descr dim data")   # data: little endian


# ---- protocol buffers ------------------------------------------------------

def varint(b, at):
    v = shift = 0
    while True:
        v |= (b[at] & 127) << shift
        at += 1
        if b[at - 1] < 128:
            return v, at
        shift += 7


def fields(b):
    """(number, value) of a message: an int, or the bytes."""
    at = 0
    while at < len(b):
        key, at = varint(b, at)
        kind = key & 7
        if kind == 0:
            v, at = varint(b, at)
        else:
            if kind == 2:
                n, at = varint(b, at)
            else:
                n = {1: 8, 5: 4}[kind]
            v, at = b[at:at + n], at + n
        yield key >> 3, v


def signed(v):
    return v - (1 << 64) if v >> 63 else v


def varints(v):
    """A repeated field's entry: one number, or packed ones."""
    if isinstance(v, int):
        return [signed(v)]
    out, at = [], 0
    while at < len(v):
        n, at = varint(v, at)
        out.append(signed(n))
    return out


def first(b, number, default=None):
    return next((v for n, v in fields(b) if n == number), default)


def text(v):
    return bytes(v).decode() if v is not None else ""


# ---- tensors ---------------------------------------------------------------

def nibbles(raw, kind, count):
    out = []
    for byte in raw:
        out += [byte & 15, byte >> 4]
    if kind == INT4:
        out = [v - 16 if v > 7 else v for v in out]
    return out[:count]


def numbers(kind, found, code):
    """The values of the field that has them."""
    if 4 in found:
        return struct.unpack(f"<{len(found[4]) // 4}f", found[4])
    if 10 in found:
        return struct.unpack(f"<{len(found[10]) // 8}d", found[10])
    v = next((varints(found[n]) for n in (5, 7, 11) if n in found), [])
    if kind in (FLOAT16, BFLOAT16):      # bits, whatever the sign
        words = struct.pack(f"<{len(v)}H", *[i & 0xffff for i in v])
        return struct.unpack(f"<{len(v)}{code}", words)
    size = struct.calcsize(code) * 8
    wrap = (1 << size) - 1
    if code.islower():                   # signed
        return [((i & wrap) ^ (1 << size - 1)) - (1 << size - 1) for i in v]
    return [i & wrap for i in v]


def tensor(b):
    """A TensorProto; None where no npy holds its type."""
    dim, found, name, kind = [], {}, "", 0
    for n, v in fields(b):
        if n == 1:
            dim += varints(v)
        elif n == 2:
            kind = v
        elif n == 8:
            name = text(v)
        elif isinstance(v, int):
            found.setdefault(n, bytearray()).extend(packed(v))
        else:
            found.setdefault(n, bytearray()).extend(v)
    if kind not in TYPES:
        return None
    descr, code = TYPES[kind]
    count = 1
    for d in dim:
        count *= d
    if kind in (UINT4, INT4):
        data = found.get(9)
        if data is None:                 # two in each number
            data = bytes(v & 255 for v in varints(found.get(5, b"")))
        data = struct.pack(f"<{count}{code}", *nibbles(data, kind, count))
    elif 9 in found:
        data = bytes(found[9])
    else:
        v = numbers(kind, found, code)
        data = struct.pack(f"<{len(v)}{code}", *v)
    return Tensor(name, descr, dim, data)


def packed(v):
    out = bytearray()
    while v > 127:
        out.append(v & 127 | 128)
        v >>= 7
    out.append(v)
    return out


# ---- npy -------------------------------------------------------------------

def npy_write(path, t):
    npy_file.npy_write(path, t.descr, t.dim, t.data)


def npy_read(path):
    descr, dim, data = npy_file.npy_read(path)
    return Tensor("", descr.replace("|V2", "<V2"), dim, data)


def values(t):
    """The elements as Python's numbers."""
    size = struct.calcsize("<" + CODES[t.descr])
    v = struct.unpack(f"<{len(t.data) // size}{CODES[t.descr]}", t.data)
    if t.descr == "<V2":
        words = struct.pack(f"<{len(v)}I", *[i << 16 for i in v])
        v = struct.unpack(f"<{len(v)}f", words)
    return v


# ---- models ----------------------------------------------------------------

KINDS = {1: "tensor", 4: "sequence", 5: "map", 8: "sparse", 9: "optional"}


def value(b):
    name, kind, elem, dim = text(first(b, 1)), "tensor", 0, None
    for n, v in fields(first(b, 2, b"")):
        if n not in KINDS:
            continue
        kind = KINDS[n]
        if kind != "tensor":
            elem = STRING if strings_in(v) else 0
            continue
        elem = first(v, 1, 0)
        shape = first(v, 2)
        if shape is not None:
            dim = [dimension(d) for n, d in fields(shape) if n == 1]
    return Value(name, kind, elem, dim)


def strings_in(b):
    """Whether a type that is no tensor's is of strings."""
    for n, v in fields(b):
        if n == 1 and isinstance(v, int):
            return v == STRING
        if n in KINDS and not isinstance(v, int) and strings_in(v):
            return True
    return False


def dimension(b):
    for n, v in fields(b):
        if n == 1:
            return signed(v)
        if n == 2:
            return text(v)
    return None


class Model:
    """nodes: (domain, operator) of all, those of subgraphs and functions
    after the graph's own; inputs: those that no initialiser is."""

    def __init__(self, path):
        with open(path, "rb") as f:
            b = memoryview(f.read())
        self.nodes, given = [], set()
        self.inputs, self.outputs, functions = [], [], []
        for n, v in fields(b):
            if n == 7:
                graph = v
            elif n == 25:
                functions.append(v)
        self.own = sum(1 for n, v in fields(graph) if n == 1)
        for n, v in fields(graph):
            if n == 5:
                given.add(text(first(v, 8)))
            elif n == 11:
                self.inputs.append(value(v))
            elif n == 12:
                self.outputs.append(value(v))
        self.walk(graph, 1)
        for f in functions:
            self.walk(f, 7)
        self.all_inputs = list(self.inputs)
        self.inputs = [i for i in self.inputs if i.name not in given]

    def walk(self, graph, field):
        inner = []
        for n, v in fields(graph):
            if n != field:
                continue
            domain = text(first(v, 7))
            self.nodes.append(("" if domain == "ai.onnx" else domain,
                               text(first(v, 4))))
            for k, a in fields(v):
                if k == 5:
                    inner += [g for i, g in fields(a) if i in (6, 11)]
        for g in inner:
            self.walk(g, 1)
