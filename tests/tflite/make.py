#!/usr/bin/env python3
"""Makes the small models of this folder and what TensorFlow Lite's own
runtime computes with them: PyPI's tflite, flatbuffers, numpy and
ai-edge-litert.  NAME.tflite, NAME.in.npy and NAME.out.npy, of several inputs
or outputs NAME.in.INPUT.npy and NAME.out.OUTPUT.npy.

usage: make.py [DIR]
"""
import os
import sys

import flatbuffers
import numpy as np
import tflite
from ai_edge_litert.interpreter import Interpreter, OpResolverType

OUT = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(__file__)
OPS = {k: v for k, v in vars(tflite.BuiltinOperator).items()
       if isinstance(v, int)}
VERSIONS = {OPS["BROADCAST_TO"]: 2, OPS["TRANSPOSE_CONV"]: 4}
F32, F16, I32, U8, I64, BOOL, I8 = 0, 1, 2, 3, 4, 6, 9
DTYPES = {F32: "float32", F16: "float16", I32: "int32", U8: "uint8",
          I64: "int64", BOOL: "bool", I8: "int8"}


class Net:
    """A graph under construction: tensors, buffers, operators."""

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
                v = b.CreateByteVector(data)
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


def values_of(rng, shape, kind, lo, hi):
    if kind == BOOL:
        return rng.uniform(0, 1, shape) < 0.5
    if kind == F32:
        return rng.uniform(lo, hi, shape).astype(np.float32)
    return rng.integers(int(lo), int(hi), shape).astype(DTYPES[kind])


def interpreter(net, data):
    """Custom operators are carried out by the runtime's XNNPACK."""
    custom = any(code[1] for code, *_ in net.ops)
    it = Interpreter(
        model_content=data, num_threads=1,
        experimental_op_resolver_type=OpResolverType.BUILTIN if custom
        else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
    it.allocate_tensors()
    return it


def save(name, net, x, out, lo=-2, hi=2, run=True, values=None, steps=1):
    """x, out: a tensor or a list of them; values: of the inputs, else drawn;
    with several steps NAME.steps.in.npy and .out.npy hold all calls one
    after the other, and the others the first."""
    path = os.path.join(OUT, name)
    xs = x if isinstance(x, list) else [x]
    outs = out if isinstance(out, list) else [out]
    data = net.bytes(xs, outs)
    with open(path + ".tflite", "wb") as f:
        f.write(data)
    if not run:
        return
    it = interpreter(net, data)
    rng = np.random.default_rng(len(name))
    front = [steps] if steps > 1 else []
    given = [values[i] if values else
             values_of(rng, front + net.tensors[k][1], net.tensors[k][2],
                       lo, hi) for i, k in enumerate(xs)]
    got = []
    for step in range(steps):
        for k, v in zip(xs, given):
            v = v[step] if steps > 1 else v
            it.set_tensor(k, np.asarray(v, DTYPES[net.tensors[k][2]]))
        it.invoke()
        got.append([it.get_tensor(k).copy() for k in outs])
    sets = [("", [v[0] if steps > 1 else v for v in given], got[0])]
    if steps > 1:
        sets.append((".steps", given, [np.stack(v) for v in zip(*got)]))
    for infix, a, b in sets:
        for what, tensors, arrays in (("in", xs, a), ("out", outs, b)):
            for k, v in zip(tensors, arrays):
                last = net.tensors[k][0].split("/")[-1]
                tag = "." + last if len(tensors) > 1 else ""
                np.save(f"{path}{infix}.{what}{tag}.npy", v)


def one(name, op, shape, to, extra=(), options=None, fields=(), lo=-2, hi=2,
        before=()):
    """A net of one operator; constants stand behind its input or before."""
    n = Net()
    x = n.tensor("serving/x", shape)
    ins = [e(n) for e in before] + [x] + [e(n) for e in extra]
    y = n.op(op, ins, [to], options, fields)
    save(name, n, x, y, lo, hi)


def const(a, dtype=np.int32):
    return lambda n: n.const("k", np.array(a, dtype))


def rand(*shape, lo=-1, hi=1):
    return lambda n: n.random("model/w", shape, lo, hi)


def elementwise():
    s = [2, 3, 5, 4]
    for op in ["LOGISTIC", "RELU", "RELU_N1_TO_1", "RELU6", "TANH", "NEG",
               "ELU", "FLOOR", "CEIL", "ROUND"]:
        one(op.lower(), op, s, s)
    one("abs", "ABS", s, s, options="AbsOptions")
    one("exp", "EXP", s, s, options="ExpOptions")
    one("square", "SQUARE", s, s, options="SquareOptions")
    one("hard_swish", "HARD_SWISH", s, s, options="HardSwishOptions", hi=5)
    one("relu_0_to_1", "RELU_0_TO_1", s, s)
    for op in ["LOG", "SQRT", "RSQRT"]:
        one(op.lower(), op, s, s, lo=0.1, hi=4)
    one("leaky_relu", "LEAKY_RELU", s, s, options="LeakyReluOptions",
        fields=[(0, "f32", 0.2)])
    for approximate in (0, 1):
        one(f"gelu_{approximate}", "GELU", s, s, options="GeluOptions",
            fields=[(0, "bool", approximate)])
    one("prelu", "PRELU", s, s, [rand(1, 1, 4)])
    for op, options in [("ADD", "AddOptions"), ("SUB", "SubOptions"),
                        ("MUL", "MulOptions"), ("DIV", "DivOptions")]:
        for act in (0, 3) if op == "ADD" else (1,):
            one(f"{op.lower()}_{act}", op, s, s, [rand(4, lo=1, hi=2)],
                options, [(0, "i8", act)])
    one("add_scalar", "ADD", s, s, [const(0.5, np.float32)], "AddOptions",
        [(0, "i8", 2)])
    for op in ["MAXIMUM", "MINIMUM"]:
        one(op.lower(), op, s, s, [rand(3, 1, 4)], "MaximumMinimumOptions")
    one("squared_difference", "SQUARED_DIFFERENCE", s, s, [rand(5, 4)],
        "SquaredDifferenceOptions")
    one("add_n", "ADD_N", s, s, [rand(*s), rand(*s)], "AddNOptions")
    one("softmax", "SOFTMAX", [3, 7], [3, 7], options="SoftmaxOptions",
        fields=[(0, "f32", 0.5)])
    one("softmax_no_beta", "SOFTMAX", [3, 7], [3, 7],
        options="SoftmaxOptions")
    one("log_softmax", "LOG_SOFTMAX", [3, 7], [3, 7],
        options="LogSoftmaxOptions")
    one("l2_normalization", "L2_NORMALIZATION", [3, 7], [3, 7],
        options="L2NormOptions", fields=[(0, "i8", 0)])


def main():
    elementwise()
    import make_bad
    import make_nets
    import make_ops
    import make_rnn
    make_nets.run(Net, save, one, const, rand)
    make_ops.run(Net, save)
    make_rnn.run(Net, save)
    os.makedirs(os.path.join(OUT, "bad"), exist_ok=True)
    make_bad.run(Net, save)


if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    main()
