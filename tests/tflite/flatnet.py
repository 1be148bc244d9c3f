"""flatnet.py - a TensorFlow Lite file from Python, operator by operator: for
the models of this folder and the nets of bench/. Needs PyPI's tflite,
flatbuffers and numpy."""
import flatbuffers
import numpy as np
import tflite

OPS = {k: v for k, v in vars(tflite.BuiltinOperator).items()
       if isinstance(v, int)}
VERSIONS = {OPS["BROADCAST_TO"]: 2, OPS["TRANSPOSE_CONV"]: 4}
F32, F16, I32, U8, I64, BOOL, I8 = 0, 1, 2, 3, 4, 6, 9
DTYPES = {F32: "float32", F16: "float16", I32: "int32", U8: "uint8",
          I64: "int64", BOOL: "bool", I8: "int8"}


class Net:
    """A graph under construction: tensors, buffers, operators."""

    align = 1       # of buffers, in bytes; kernels may want 16

    def __init__(self):
        self.tensors, self.buffers, self.ops = [], [b""], []
        self.variables = set()
        self.rng = np.random.default_rng(3)

    def tensor(self, name, shape, kind=F32, data=None, sparsity=None,
               variable=False):
        index = 0
        if variable:
            self.variables.add(len(self.tensors))
        if data is not None:
            index = len(self.buffers)
            self.buffers.append(np.ascontiguousarray(data).tobytes())
        self.tensors.append((name, list(shape), kind, index, sparsity))
        return len(self.tensors) - 1

    def const(self, name, a):
        kind = {v: k for k, v in DTYPES.items()}[str(a.dtype)]
        return self.tensor(name, a.shape, kind, a)

    def random(self, name, shape, lo=-1, hi=1):
        return self.const(name, self.rng.uniform(lo, hi, shape)
                          .astype(np.float32))

    def ints(self, name, *v):
        return self.const(name, np.array(v, np.int32))

    def op(self, name, ins, shapes, options=None, fields=(), names=None,
           kinds=None):
        """fields: (slot, kind, value) of the options' table."""
        outs = [self.tensor(names[i] if names else
                            f"net/{name.lower()}_{len(self.ops)}"
                            + (f"/{i}" if i else ""), s,
                            kinds[i] if kinds else F32)
                for i, s in enumerate(shapes)]
        self.ops.append(((OPS[name], ""), ins, outs, options, fields))
        return outs[0] if len(outs) == 1 else outs

    def custom(self, name, ins, shape, options):
        """options: numbers, laid out as int32s."""
        out = self.tensor(f"net/{name.lower()}", shape)
        self.ops.append(((OPS["CUSTOM"], name), ins, [out], None, options))
        return out

    # -- writing ---------------------------------------------------------

    @staticmethod
    def vector(b, kind, values):
        width = {"i32": 4, "u8": 1, "u16": 2, "off": 4, "f32": 4}[kind]
        b.StartVector(width, len(values), width)
        put = {"i32": b.PrependInt32, "u8": b.PrependUint8,
               "u16": b.PrependUint16, "f32": b.PrependFloat32,
               "off": b.PrependUOffsetTRelative}[kind]
        for v in reversed(values):
            put(float(v) if kind == "f32" else int(v))
        return b.EndVector()

    def data(self, b, data):
        b.StartVector(1, len(data), self.align)
        at = b.Head() - len(data)
        b.head = at
        b.Bytes[at:at + len(data)] = data
        return b.EndVector()

    @staticmethod
    def table(b, fields):
        b.StartObject(max((f[0] for f in fields), default=-1) + 1)
        for slot, kind, v in fields:
            if kind == "off":
                b.PrependUOffsetTRelativeSlot(slot, v, 0)
            else:
                {"i8": b.PrependInt8Slot, "u8": b.PrependUint8Slot,
                 "i32": b.PrependInt32Slot, "u32": b.PrependUint32Slot,
                 "f32": b.PrependFloat32Slot,
                 "bool": b.PrependBoolSlot}[kind](slot, v, 0)
        return b.EndObject()

    def sparsity(self, b, s):
        if s is None:
            return None
        kinds = {"i32": 1, "u16": 2, "u8": 3}
        dims = []
        for d in s["dims"]:
            if d[0] == "dense":
                dims.append(self.table(b, [(0, "i8", 0), (1, "i32", d[1])]))
                continue
            _, kind, segments, indices = d
            both = [self.table(b, [(0, "off", self.vector(b, kind, v))])
                    for v in (segments, indices)]
            dims.append(self.table(b, [
                (0, "i8", 1), (2, "u8", kinds[kind]), (3, "off", both[0]),
                (4, "u8", kinds[kind]), (5, "off", both[1])]))
        order = self.vector(b, "i32", s["order"])
        blocks = self.vector(b, "i32", s.get("map", []))
        return self.table(b, [(0, "off", order), (1, "off", blocks),
                              (2, "off", self.vector(b, "off", dims))])

    def bytes(self, ins, outs):
        b = flatbuffers.Builder(0)
        b.ForceDefaults(True)
        buffers = []
        for data in self.buffers:
            if data:
                v = self.data(b, data)
                buffers.append(self.table(b, [(0, "off", v)]))
            else:
                buffers.append(self.table(b, []))
        tensors = []
        for t, (name, shape, kind, index, sparse) in enumerate(self.tensors):
            s, n = self.vector(b, "i32", shape), b.CreateString(name)
            f = [(0, "off", s), (1, "i8", kind), (2, "u32", index),
                 (3, "off", n)] + [(5, "bool", True)] * (t in self.variables)
            z = self.sparsity(b, sparse)
            tensors.append(self.table(b, f + ([(6, "off", z)] if z else [])))
        codes = sorted({o[0] for o in self.ops})
        ops = []
        for code, i, o, options, fields in self.ops:
            custom = code[1] and b.CreateByteVector(
                np.array(fields, "<i4").tobytes())
            if not custom:
                lists = {"ints": "i32", "floats": "f32"}
                fields = [(s, "off", self.vector(b, lists[k], v))
                          if k in lists else (s, k, v)
                          for s, k, v in fields]
            f = [(0, "u32", codes.index(code)),
                 (1, "off", self.vector(b, "i32", i)),
                 (2, "off", self.vector(b, "i32", o))]
            if options:
                kind = getattr(tflite.BuiltinOptions, options)
                f += [(3, "u8", kind), (4, "off", self.table(b, fields))]
            if custom:
                f += [(5, "off", custom)]
            ops.append(self.table(b, f))
        graph = self.table(b, [
            (0, "off", self.vector(b, "off", tensors)),
            (1, "off", self.vector(b, "i32", ins)),
            (2, "off", self.vector(b, "i32", outs)),
            (3, "off", self.vector(b, "off", ops))])
        code_tables = []
        for c, custom in codes:
            name = [(1, "off", b.CreateString(custom))] if custom else []
            code_tables.append(self.table(b, [
                (0, "i8", min(c, 127)), *name,
                (2, "i32", VERSIONS.get(c, 1)), (3, "i32", c)]))
        model = self.table(b, [
            (0, "u32", 3), (1, "off", self.vector(b, "off", code_tables)),
            (2, "off", self.vector(b, "off", [graph])),
            (4, "off", self.vector(b, "off", buffers))])
        b.Finish(model, file_identifier=b"TFL3")
        return bytes(b.Output())
