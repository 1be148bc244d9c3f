"""make_good.py DIR - small ONNX files for tests/cli/onnx.sh, each NAME.onnx,
with an input NAME.in.npy x: f32[2,3] and the result NAME.out.npy, which is
computed here."""
import math
import os
import struct
import sys

from npy_file import npy_write
from onnx_file import (BOOL, DOUBLE, FLOAT, INT4, INT8, INT32, INT64, UINT8,
                       Graph, floats, ints, model, node, packed, tensor,
                       write)

X, Y = ("x", [2, 3]), ("y", [2, 3])
IN = [0.5, -1.0, 2.0, -0.25, 3.0, 1.5]
TRUE = tensor("true", BOOL, [], b"\1")


def net(nodes, tensors=(), inputs=(X,), outputs=(Y,), sparse=(), **how):
    return model(Graph(nodes, inputs, outputs, tensors, sparse), **how)


def branch(op, *more):
    return Graph([node(op, ["x", *more], ["r"])], [], [("r", [2, 3])])


def loop(count, stacked=False):
    """v = v + x, count times; stacked: all that it was."""
    outs = [("e", [], BOOL), ("w", [2, 3])] + [("s", [2, 3])] * stacked
    body = Graph([node("Identity", ["d"], ["e"]),
                  node("Add", ["v", "x"], ["w"])] +
                 [node("Identity", ["w"], ["s"])] * stacked,
                 [("i", [], INT64), ("d", [], BOOL), ("v", [2, 3])], outs)
    last = ["last", "all"] if stacked else ["y"]
    nodes = [node("Loop", ["n", "", "x"], last, body=body)]
    if stacked:
        nodes += [node("ReduceSum", ["all", "zero"], ["y"], keepdims=0)]
    return net(nodes, [ints("n", [], [count]), ints("zero", [1], [0])])


def scan():
    """Running sums down the rows."""
    body = Graph([node("Add", ["s", "row"], ["t"]),
                  node("Identity", ["t"], ["o"])],
                 [("s", [3]), ("row", [3])], [("t", [3]), ("o", [3])])
    return net([node("Scan", ["k", "x"], ["", "y"], name="sums", body=body,
                     num_scan_inputs=1)], [floats("k", [3], [0, 0, 0])])


def function():
    """own.f(a) = LeakyRelu(a, alpha) + a, alpha its caller's."""
    ref = [(1, "alpha"), (21, "slope"), (20, 1)]
    leaky = [(1, "a"), (2, "b"), (4, "LeakyRelu"), (5, ref)]
    f = [(1, "f"), (4, "a"), (5, "c"), (6, "slope"), (7, leaky),
         (7, node("Add", ["a", "b"], ["c"])), (9, [(1, ""), (2, 17)]),
         (10, "own")]
    return net([node("f", ["x"], ["h"], domain="own", slope=0.5),
                node("f", ["h"], ["y"], domain="own", slope=0.0)],
               functions=[f], domains=[("own", 1)])


def sparse():
    """x times a sparse matrix: 2 at (0,0), 3 at (2,1)."""
    s = [(1, floats("w", [2], [2, 3])), (2, ints("", [2, 2], [0, 0, 2, 1]))]
    s += [(3, 3), (3, 3)]
    return net([node("MatMul", ["x", "w"], ["y"])], sparse=[s])


def external():
    more = [(13, [(1, "location"), (2, "values.bin")]),
            (13, [(1, "offset"), (2, "8")]), (14, 1)]
    return net([node("Mul", ["x", "k"], ["y"])],
               [tensor("k", FLOAT, [3], more=more)])


MS = {"domains": [("com.microsoft", 1)]}
# B [N,K], the scale and zero point of each column, C.
QB = [[3, -5, 7], [2, 0, -9], [-4, 6, 1]]
QS, QZ, QC = [0.5, 0.25, 2.0], [1, -2, 3], [10, -20, 30]


def quantised(to, tensors):
    """x by steps of 0.25, then operators on that."""
    t = [floats("s", [], [0.25]), tensor("z", UINT8, [], b"\x80")]
    return net([node("QuantizeLinear", ["x", "s", "z"], ["q"]), *to],
               t + tensors, **MS)


def qgemm():
    flat = [v for row in QB for v in row]
    return quantised(
        [node("QGemm", ["q", "s", "z", "b", "bs", "bz", "c"], ["y"],
              domain="com.microsoft", transB=1, alpha=0.5)],
        [tensor("b", INT8, [3, 3], struct.pack("9b", *flat)),
         floats("bs", [3], QS), tensor("bz", INT8, [3],
                                       struct.pack("3b", *QZ)),
         tensor("c", INT32, [3], struct.pack("<3i", *QC))])


def qgemm_out():
    return [0.5 * 0.25 * QS[n] * (QC[n] + sum(
        IN[3 * m + k] * 4 * (QB[n][k] - QZ[n]) for k in range(3)))
        for m in range(2) for n in range(3)]


def qlinear_softmax(opset):
    return quantised(
        [node("QLinearSoftmax", ["q", "s", "z", "t", "u"], ["p"],
              domain="com.microsoft", opset=opset, axis=0),
         node("DequantizeLinear", ["p", "t", "u"], ["y"])],
        [floats("t", [], [1 / 256]), tensor("u", UINT8, [], b"\0")])


def softmax_out(groups):
    """By steps of 1 / 256, over the elements with one number."""
    e = [math.exp(v) for v in IN]
    of = [sum(x for x, h in zip(e, groups) if h == g) for g in groups]
    return [min(round(256 * x / s), 255) / 256 for x, s in zip(e, of)]


def int4():
    """x times [-8, 7, 3], as int4 in a field of numbers."""
    return net([node("DequantizeLinear", ["w", "one"], ["k"]),
                node("Mul", ["x", "k"], ["y"])],
               [packed("w", INT4, [3], [-8, 7, 3]),
                floats("one", [], [1.0])], opset=21)


def leaky(v, slope):
    return v if v >= 0 else slope * v


def twice_f(v):
    h = leaky(v, 0.5) + v
    return leaky(h, 0.0) + h


FILES = {
    "if_constant": (net([node("If", ["true"], ["y"],
                              then_branch=branch("Neg"),
                              else_branch=branch("Relu"))], [TRUE]),
                    [-v for v in IN]),
    "if_computed": (net([node("ReduceSum", ["x", "axes"], ["sum"],
                              keepdims=0),
                         node("Greater", ["sum", "five"], ["c"]),
                         node("If", ["c"], ["y"], then_branch=branch("Neg"),
                              else_branch=branch("Add", "x"))],
                        [ints("axes", [2], [0, 1]),
                         floats("five", [], [5.0])]),
                    [-v for v in IN]),
    "loop_few": (loop(5), [6 * v for v in IN]),
    "loop_many": (loop(100), [101 * v for v in IN]),
    "loop_stacked": (loop(5, True), [20 * v for v in IN]),
    "loop_stacked_many": (loop(70, True), [(71 * 72 / 2 - 1) * v for v in IN]),
    "scan": (scan(), IN[:3] + [a + b for a, b in zip(IN[:3], IN[3:])]),
    "function": (function(), [twice_f(v) for v in IN]),
    "sparse": (sparse(), [2 * IN[0], 3 * IN[2], 0, 2 * IN[3], 3 * IN[5], 0]),
    "external": (external(), [v * k for v, k in zip(IN, [2, 4, 8] * 2)]),
    "qgemm": (qgemm(), qgemm_out()),
    "qlinear_softmax": (qlinear_softmax(13), softmax_out([0, 1, 2] * 2)),
    "qlinear_softmax_11": (qlinear_softmax(11), softmax_out([0] * 6)),
    "int4": (int4(), [v * k for v, k in zip(IN, [-8, 7, 3] * 2)]),
    # The label to ignore is none of int32.
    "loss": (net([node("NegativeLogLikelihoodLoss", ["x", "t"], ["l"],
                       reduction="none", ignore_index=(1 << 63) - 1),
                  node("Reshape", ["l", "s"], ["k"]),
                  node("Add", ["x", "k"], ["y"])],
                 [tensor("t", INT32, [2], struct.pack("<2i", 1, 2)),
                  ints("s", [2], [2, 1])]),
             [v - IN[i // 3 * 3 + 1 + i // 3] for i, v in enumerate(IN)]),
    "shape": (net([node("Reshape", ["x", "s"], ["y"])],
                  inputs=(X, ("s", [2], INT64)), outputs=(("y", ["a", "b"]),)),
              IN),
    "double": (net([node("Relu", ["x"], ["y"])],
                   inputs=(("x", ["n", 3], DOUBLE),),
                   outputs=(("y", ["n", 3], DOUBLE),)),
               [max(v, 0.0) for v in IN]),
    # Sizes inside that depend on the free one: [n,3] as [3n], and back.
    "free_inside": (net([node("Reshape", ["x", "flat"], ["f"]),
                         node("Relu", ["f"], ["r"]),
                         node("Reshape", ["r", "rows"], ["y"])],
                        [ints("flat", [1], [-1]), ints("rows", [2], [-1, 3])],
                        inputs=(("x", ["n", 3]),),
                        outputs=(("y", ["n", 3]),)),
                    [max(v, 0.0) for v in IN]),
    # A constant for each row: at one row it is as it was.
    "free_expanded": (net([node("Shape", ["x"], ["s"]),
                           node("Expand", ["c", "s"], ["e"]),
                           node("Add", ["x", "e"], ["y"])],
                          [tensor("c", FLOAT, [1, 3],
                                  struct.pack("<3f", 1, 2, 3))],
                          inputs=(("x", ["n", 3]),),
                          outputs=(("y", ["n", 3]),)),
                      [v + k for v, k in zip(IN, [1, 2, 3] * 2)]),
    "free": (net([node("Relu", ["x"], ["y"])], inputs=(("x", ["n", 3]),),
                 outputs=(("y", ["n", 3]),)), [max(v, 0.0) for v in IN]),
}


os.makedirs(sys.argv[1], exist_ok=True)
os.chdir(sys.argv[1])
for name, (m, out) in FILES.items():
    write(name + ".onnx", m)
    dims = [3, 2] if name == "shape" else [2, 3]
    npy_write(name + ".in.npy", "<f4", [2, 3], struct.pack("<6f", *IN))
    npy_write(name + ".out.npy", "<f4", dims, struct.pack("<6f", *out))
npy_write("s.npy", "<i8", [2], struct.pack("<2q", 3, 2))
write("values.bin", struct.pack("<5f", 0, 0, 2, 4, 8))
