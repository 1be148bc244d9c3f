#!/usr/bin/env python3
"""Makes the small models of this folder and what TensorFlow Lite's own
runtime computes with them: PyPI's tflite, flatbuffers, numpy and
ai-edge-litert.  NAME.tflite, NAME.in.npy and NAME.out.npy, of several inputs
or outputs NAME.in.INPUT.npy and NAME.out.OUTPUT.npy.

usage: make.py [DIR]
"""
import os
import sys

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from flatnet import BOOL, DTYPES, F32, Net

OUT = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(__file__)


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
