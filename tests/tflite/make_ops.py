"""Operators on typed values, and those that look up, order and move; see
make.py.  Most models hold several operators, an output each."""
import numpy as np

F32, I32, U8, I64, BOOL = 0, 2, 3, 4, 6


class Maker:
    def __init__(self, Net, save):
        self.Net, self.save = Net, save

    def model(self, name, ins, build, lo=-2, hi=2, values=None):
        """ins: {name: (shape, kind)}; build(net, tensors) gives the outputs
        as (op, operands, shape, kind, options, fields)."""
        n = self.Net()
        xs = [n.tensor(k, s, e) for k, (s, e) in ins.items()]
        outs = []
        for i, (op, args, shape, kind, *rest) in enumerate(build(n, *xs)):
            options, fields = (rest + [None] * (not rest) + [()])[:2]
            outs.append(n.op(op, args, [shape], options, fields,
                             [f"net/y{i}"], [kind]))
        self.save(name, n, xs if len(xs) > 1 else xs[0],
                  outs if len(outs) > 1 else outs[0], lo, hi, values=values)


def small(shape, seed, lo=-3, hi=4, dtype=np.float32):
    return np.random.default_rng(seed).integers(lo, hi, shape).astype(dtype)


COMPARE = ["EQUAL", "NOT_EQUAL", "LESS", "LESS_EQUAL", "GREATER",
           "GREATER_EQUAL"]
REDUCE = ("ReducerOptions", [(0, "bool", 0)])
KEEP = ("ReducerOptions", [(0, "bool", 1)])


def comparisons(m):
    m.model("compare", {"a": ([2, 1, 5], F32), "b": ([4, 5], F32)},
            lambda n, a, b: [(op, [a, b], [2, 4, 5], BOOL)
                             for op in COMPARE],
            values=[small([2, 1, 5], 1), small([4, 5], 2)])
    m.model("compare_i32", {"a": ([3, 4], I32)},
            lambda n, a: [(op, [a, n.const("k" + op, small([4], i, -1, 2,
                                                           np.int32))],
                           [3, 4], BOOL) for i, op in enumerate(COMPARE)],
            values=[small([3, 4], 3, -1, 2, np.int32)])
    m.model("compare_i64", {"a": ([2, 3, 3, 2], I64)},
            lambda n, a: [(op, [a, n.const("k" + op, np.array(1 << 33))],
                           [2, 3, 3, 2], BOOL) for op in COMPARE[:4]],
            values=[(1 << 33) + small([2, 3, 3, 2], 3, -1, 2, np.int64)])
    m.model("logical", {"a": ([2, 1, 5], BOOL), "b": ([4, 5], BOOL)},
            lambda n, a, b: [
                ("LOGICAL_AND", [a, b], [2, 4, 5], BOOL),
                ("LOGICAL_OR", [a, b], [2, 4, 5], BOOL),
                ("LOGICAL_NOT", [a], [2, 1, 5], BOOL),
                ("LOGICAL_OR", [a, n.const("k", np.array([True, False, False,
                                                          True, False]))],
                 [2, 1, 5], BOOL),
                ("EQUAL", [a, b], [2, 4, 5], BOOL),
                ("REDUCE_ANY", [b, n.ints("i", -1)], [4], BOOL, *REDUCE),
                ("REDUCE_ALL", [b, n.ints("j", 0)], [1, 5], BOOL, *KEEP)])
    m.model("select", {"c": ([2, 1, 3], BOOL), "v": ([2], BOOL),
                       "x": ([2, 4, 3], F32)},
            lambda n, c, v, x: [
                ("SELECT_V2", [c, x, n.const("k", np.float32(7))],
                 [2, 4, 3], F32),
                ("SELECT_V2", [c, n.random("r", [4, 1]), x], [2, 4, 3], F32),
                ("SELECT", [v, x, n.random("s", [2, 4, 3])], [2, 4, 3],
                 F32)])
    m.model("select_i32", {"c": ([2, 3], BOOL), "x": ([2, 3], I32)},
            lambda n, c, x: [
                ("SELECT", [c, x, n.const("k", small([2, 3], 5,
                                                     dtype=np.int32))],
                 [2, 3], I32)])


def arithmetic(m):
    s = [2, 3, 4]
    m.model("trig", {"x": (s, F32)},
            lambda n, x: [("SIN", [x], s, F32), ("COS", [x], s, F32),
                          ("SIGN", [x], s, F32)], lo=-9, hi=9)
    m.model("binary_f32", {"a": ([2, 3, 1], F32), "b": ([4], F32)},
            lambda n, a, b: [
                ("FLOOR_DIV", [a, b], s, F32), ("FLOOR_MOD", [a, b], s, F32),
                ("ATAN2", [b, n.random("c", [4])], [4], F32),
                ("POW", [n.const("k", np.float32(1.5)), a], [2, 3, 1], F32)],
            values=[small([2, 3, 1], 1) + .3, small([4], 2, 1, 3) * -.7])
    m.model("pow", {"x": (s, F32)},
            lambda n, x: [("POW", [x, n.random("e", [4], -2, 2)], s, F32)],
            lo=0.1, hi=4)
    ints = ["ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM", "FLOOR_DIV",
            "FLOOR_MOD", "SQUARED_DIFFERENCE"]
    options = {"ADD": "AddOptions", "SUB": "SubOptions", "MUL": "MulOptions",
               "DIV": "DivOptions"}
    a, b = small([3, 1, 2], 5, -9, 10, np.int32), np.array(
        [[3, -2], [-4, 5]], np.int32)
    for kind, skip in ((I32, ()), (I64, ("DIV",))):
        m.model("binary_i32" if kind == I32 else "binary_i64",
                {"a": ([3, 1, 2], kind), "b": ([2, 2], kind)},
                lambda n, x, y: [
                    (op, [x, y], [3, 2, 2], kind, options.get(op),
                     [(0, "i8", 0)] if op in options else ())
                    for op in ints if op not in skip and
                    not (kind == I64 and op in ("SQUARED_DIFFERENCE",
                                                "FLOOR_DIV"))],
                values=[a, b])
    least, x, y = -2 ** 31, [], []
    for a, b in ((least, 2), (least, 3), (least, 1), (5, least), (-5, least),
                 (least, least), (-7, 2), (7, -2), (-7, -2), (6, -3),
                 (0, -5), (least, 2 ** 31 - 1)):
        x.append(a)
        y.append(b)
    m.model("div_i32", {"a": ([12], I32), "b": ([12], I32)},
            lambda n, a, b: [
                ("DIV", [a, b], [12], I32, "DivOptions", [(0, "i8", 0)]),
                ("DIV", [a, n.const("k", np.int32(3))], [12], I32,
                 "DivOptions", [(0, "i8", 0)]),
                ("DIV", [n.const("l", np.int32(least)), b], [12], I32,
                 "DivOptions", [(0, "i8", 0)])],
            values=[np.array(x, np.int32), np.array(y, np.int32)])
    for name, kind, ops in (("fused_i32", I32, options), ("fused_i64", I64,
                                                          ["ADD", "MUL"])):
        m.model(name, {"a": ([9], kind), "b": ([9], kind)},
                lambda n, a, b: [
                    (op, [a, b], [9], kind, options[op], [(0, "i8", act)])
                    for op in ops for act in (1, 2, 3)],
                values=[np.arange(-4, 5) * 2,
                        np.array([1, -1, 2, 1, -2, 1, 3, 2, -1])])
    m.model("unary_i32", {"a": ([3, 4], I32)},
            lambda n, x: [("ABS", [x], [3, 4], I32), ("NEG", [x], [3, 4], I32),
                          ("ZEROS_LIKE", [x], [3, 4], I32)], lo=-9, hi=9)
    m.model("cast", {"f": ([2, 3], F32), "i": ([2, 3], I32),
                     "b": ([2, 3], BOOL), "u": ([4], U8)},
            lambda n, f, i, b, u: [
                ("CAST", [x], sh, k, "CastOptions",
                 [(0, "i8", j), (1, "i8", k)])
                for x, sh, j, k in (
                    (f, [2, 3], F32, I32), (f, [2, 3], F32, I64),
                    (f, [2, 3], F32, BOOL), (i, [2, 3], I32, F32),
                    (i, [2, 3], I32, I64), (i, [2, 3], I32, U8),
                    (i, [2, 3], I32, BOOL), (b, [2, 3], BOOL, F32),
                    (b, [2, 3], BOOL, I32), (u, [4], U8, F32),
                    (u, [4], U8, I32))],
            values=[np.array([[-2.7, 0, .4], [9.9, -.5, 3]], np.float32),
                    np.array([[0, 7, 200], [1, 0, 255]], np.int32),
                    np.array([[1, 0, 1], [0, 0, 1]], bool),
                    np.array([0, 3, 255, 128], np.uint8)])
    m.model("fake_quant", {"x": (s, F32)},
            lambda n, x: [
                ("FAKE_QUANT", [x], s, F32, "FakeQuantOptions",
                 [(0, "f32", -1.3), (1, "f32", 1.1), (2, "i32", bits)])
                for bits in (4, 8)])
    m.model("bucketize", {"x": (s, F32)},
            lambda n, x: [("BUCKETIZE", [x], s, I32, "BucketizeOptions",
                           [(0, "floats", [-1.0, 0.0, 0.5, 2.0])])],
            values=[small(s, 8) / 2])


def lookups(m):
    def gather(axis, batch=0):
        return "GatherOptions", [(0, "i32", axis), (1, "i32", batch)]
    s = [2, 3, 4, 2]
    m.model("gather", {"x": (s, F32), "i": ([2, 2], I32)},
            lambda n, x, i: [
                ("GATHER", [x, i], [2, 2, 3, 4, 2], F32, *gather(0)),
                ("GATHER", [x, n.const("j", np.array([1, 0, 1], np.int64))],
                 [2, 3, 4, 3], F32, *gather(-1)),
                ("GATHER", [x, i], [2, 3, 2, 2], F32,
                 *gather(2, 1)),
                ("GATHER", [x, n.const("k", np.int32(1))], [2, 4, 2], F32,
                 *gather(1))],
            values=[small(s, 1) + .5, np.array([[1, 0], [1, 1]], np.int32)])
    m.model("gather_i64", {"x": ([3, 4], I64)},
            lambda n, x: [("GATHER", [x, n.ints("i", 2, 0)], [2, 4], I64,
                           *gather(0))], lo=-99, hi=99)
    m.model("gather_nd", {"x": ([3, 4, 2], F32), "i": ([2, 2, 2], I32)},
            lambda n, x, i: [
                ("GATHER_ND", [x, i], [2, 2, 2], F32),
                ("GATHER_ND", [x, n.const("k", np.array(
                    [[2, 3, 1], [0, 1, 0]], np.int32))], [2], F32),
                ("GATHER_ND", [x, n.const("l", np.array(
                    [[1]], np.int32))], [1, 4, 2], F32)],
            values=[small([3, 4, 2], 1) + .25,
                    np.array([[[0, 3], [2, 1]], [[1, 1], [2, 0]]],
                             np.int32)])
    m.model("scatter_nd", {"i": ([4, 2], I32), "u": ([4, 3], F32)},
            lambda n, i, u: [
                ("SCATTER_ND", [i, u, n.ints("s", 3, 2, 3)], [3, 2, 3],
                 F32)],
            values=[np.array([[0, 1], [2, 0], [0, 1], [1, 1]], np.int32),
                    small([4, 3], 4) + .5])
    m.model("scatter_nd_i32", {"u": ([3], I32)},
            lambda n, u: [
                ("SCATTER_ND", [n.const("i", np.array([[4], [0], [2]],
                                                      np.int32)), u,
                                n.ints("s", 6)], [6], I32)], lo=-99, hi=99)
    m.model("sparse_to_dense", {"v": ([3], F32)},
            lambda n, v: [
                ("SPARSE_TO_DENSE",
                 [n.const("i", np.array([[0, 1], [1, 3], [2, 0]], np.int32)),
                  n.ints("s", 3, 4), v, n.const("d", np.float32(-1))],
                 [3, 4], F32, "SparseToDenseOptions", [(0, "bool", 0)])])
    m.model("embedding_lookup", {"i": ([5], I32)},
            lambda n, i: [("EMBEDDING_LOOKUP", [i, n.random("w", [6, 3])],
                           [5, 3], F32)], lo=0, hi=6)
    ids = np.array([0, 0, 1, 2, 2], np.int32)
    m.model("segment_sum", {"x": ([5, 2, 3], F32)},
            lambda n, x: [("SEGMENT_SUM", [x, n.const("i", ids)], [3, 2, 3],
                           F32)])
    m.model("unsorted_segment", {"x": ([5, 3], F32), "i": ([5], I32)},
            lambda n, x, i: [
                (f"UNSORTED_SEGMENT_{op}", [x, i, n.const(
                    "n" + op, np.int32(4))], [4, 3], F32)
                for op in ("SUM", "PROD", "MAX", "MIN")],
            values=[small([5, 3], 2) + .5,
                    np.array([3, 0, 3, -1, 1], np.int32)])
    m.model("unsorted_segment_i32", {"x": ([4, 2], I32), "i": ([4], I32)},
            lambda n, x, i: [
                (f"UNSORTED_SEGMENT_{op}", [x, i, n.const(
                    "n" + op, np.int32(3))], [3, 2], I32)
                for op in ("SUM", "PROD", "MAX", "MIN")],
            values=[small([4, 2], 2, dtype=np.int32),
                    np.array([2, 0, 2, 0], np.int32)])
    m.model("one_hot", {"i": ([2, 3], I32)},
            lambda n, i: [
                ("ONE_HOT", [i, n.const("d", np.int32(4)),
                             n.const("on", np.float32(2)),
                             n.const("off", np.float32(-.5))], shape, F32,
                 "OneHotOptions", [(0, "i32", axis)])
                for axis, shape in ((-1, [2, 3, 4]), (0, [4, 2, 3]),
                                    (1, [2, 4, 3]))],
            values=[np.array([[0, 3, 1], [-1, 4, 2]], np.int32)])
    m.model("one_hot_bool", {"i": ([3], I64)},
            lambda n, i: [
                ("ONE_HOT", [i, n.const("d", np.int32(4)),
                             n.const("on", np.bool_(True)),
                             n.const("off", np.bool_(False))], [3, 4], BOOL,
                 "OneHotOptions", [(0, "i32", -1)])],
            values=[np.array([2, 0, 3], np.int64)])
    seq = np.array([3, 0, 4], np.int32)
    m.model("reverse_sequence", {"x": ([3, 2, 5], F32), "l": ([3], I32)},
            lambda n, x, l: [
                ("REVERSE_SEQUENCE", [x, l], [3, 2, 5], F32,
                 "ReverseSequenceOptions", [(0, "i32", 2), (1, "i32", 0)])],
            values=[small([3, 2, 5], 1) + .5, seq])
    m.model("reverse_sequence_front", {"x": ([5, 3, 2], I32)},
            lambda n, x: [
                ("REVERSE_SEQUENCE", [x, n.const("l", seq)], [5, 3, 2], I32,
                 "ReverseSequenceOptions", [(0, "i32", 0), (1, "i32", 1)])],
            lo=-50, hi=50)
    m.model("dynamic_update_slice", {"x": ([4, 5], F32), "u": ([2, 3], F32),
                                     "i": ([2], I32)},
            lambda n, x, u, i: [
                ("DYNAMIC_UPDATE_SLICE", [x, u, i], [4, 5], F32),
                ("DYNAMIC_UPDATE_SLICE", [x, u, n.ints("k", 1, 9)], [4, 5],
                 F32),
                ("DYNAMIC_UPDATE_SLICE", [x, u, n.ints("l", -3, 0)], [4, 5],
                 F32)],
            values=[small([4, 5], 1) + .5, small([2, 3], 2) + .25,
                    np.array([2, 1], np.int32)])
    m.model("dynamic_update_slice_i64",
            {"x": ([4, 5], F32), "u": ([2, 3], F32), "i": ([2], I64)},
            lambda n, x, u, i: [
                ("DYNAMIC_UPDATE_SLICE", [x, u, i], [4, 5], F32),
                ("DYNAMIC_UPDATE_SLICE", [x, u, n.const("k", np.array(
                    [-1 << 33, 1], np.int64))], [4, 5], F32)],
            values=[small([4, 5], 1) + .5, small([2, 3], 2) + .25,
                    np.array([1 << 32, (1 << 33) + 1], np.int64)])


def orders(m):
    arg = "ArgMaxOptions"
    m.model("arg", {"x": ([2, 5, 3], F32), "i": ([4, 3], I32)},
            lambda n, x, i: [
                ("ARG_MAX", [x, n.const("a", np.int32(1))], [2, 3], I32, arg,
                 [(0, "i8", I32)]),
                ("ARG_MAX", [x, n.const("b", np.int32(-1))], [2, 5], I64,
                 arg, [(0, "i8", I64)]),
                ("ARG_MIN", [x, n.const("c", np.int32(0))], [5, 3], I32,
                 "ArgMinOptions", [(0, "i8", I32)]),
                ("ARG_MIN", [i, n.const("d", np.int32(0))], [3], I64,
                 "ArgMinOptions", [(0, "i8", I64)])],
            values=[small([2, 5, 3], 1), small([4, 3], 2, dtype=np.int32)])
    m.model("cumsum", {"x": ([2, 5, 3], F32), "i": ([6], I32)},
            lambda n, x, i: [
                ("CUMSUM", [x, n.const("a", np.int32(1))], [2, 5, 3], F32,
                 "CumsumOptions", [(0, "bool", 0), (1, "bool", 1)]),
                ("CUMSUM", [x, n.const("b", np.int32(-1))], [2, 5, 3], F32,
                 "CumsumOptions", [(0, "bool", 1), (1, "bool", 0)]),
                ("CUMSUM", [i, n.const("c", np.int32(0))], [6], I32,
                 "CumsumOptions", [(0, "bool", 0), (1, "bool", 0)])])
    for name, shape, kind in (("topk", [3, 7], F32), ("topk_line", [6], I32)):
        n = m.Net()
        x = n.tensor("x", shape, kind)
        to = shape[:-1] + [4]
        v, i = n.op("TOPK_V2", [x, n.const("k", np.int32(4))], [to, to],
                    "TopKV2Options", (), ["net/values", "net/places"],
                    [kind, I32])
        m.save(name, n, x, [v, i], values=[
            small(shape, 6, 0, 5, np.int32 if kind == I32 else np.float32)])
    m.model("reverse", {"x": ([2, 3, 4], F32), "b": ([3, 2], BOOL)},
            lambda n, x, b: [
                ("REVERSE_V2", [x, n.ints("a", 1)], [2, 3, 4], F32),
                ("REVERSE_V2", [x, n.ints("c", -1)], [2, 3, 4], F32),
                ("REVERSE_V2", [b, n.ints("d", 0)], [3, 2], BOOL)])
    m.model("reduce_prod", {"x": ([2, 3, 4], F32), "i": ([2, 3], I32)},
            lambda n, x, i: [
                ("REDUCE_PROD", [x, n.ints("a", 0, -1)], [3], F32, *REDUCE),
                ("REDUCE_PROD", [i, n.ints("b", 1)], [2, 1], I32, *KEEP),
                ("SUM", [i, n.ints("c", 1)], [2], I32, *REDUCE),
                ("REDUCE_MAX", [i, n.ints("d", 0)], [3], I32, *REDUCE),
                ("REDUCE_MIN", [i, n.ints("e", 1, 1)], [2], I32, *REDUCE)],
            lo=-9, hi=9)
    m.model("local_response_normalization", {"x": ([1, 2, 3, 7], F32)},
            lambda n, x: [
                ("LOCAL_RESPONSE_NORMALIZATION", [x], [1, 2, 3, 7], F32,
                 "LocalResponseNormalizationOptions",
                 [(0, "i32", 2), (1, "f32", 1.5), (2, "f32", 0.3),
                  (3, "f32", 0.75)])])


def products(m):
    def options(x, y):
        return "BatchMatMulOptions", [(0, "bool", x), (1, "bool", y)]
    m.model("batch_matmul", {"a": ([2, 3, 4], F32), "b": ([2, 4, 5], F32),
                             "c": ([2, 1, 5, 4], F32), "d": ([3, 2], F32)},
            lambda n, a, b, c, d: [
                ("BATCH_MATMUL", [a, b], [2, 3, 5], F32, *options(0, 0)),
                ("BATCH_MATMUL", [c, a], [2, 2, 5, 3], F32, *options(0, 1)),
                ("BATCH_MATMUL", [a, d], [2, 4, 2], F32, *options(1, 0)),
                ("BATCH_MATMUL", [b, n.random("k", [6, 5])], [2, 4, 6], F32,
                 *options(0, 1))])


def biases(m):
    """Of any rank; and a linear layer of rows that are joined."""
    linear = "FullyConnectedOptions", [(0, "i8", 0), (1, "i8", 0),
                                       (2, "bool", 0)]
    conv = "Conv2DOptions", [(0, "i8", 0), (1, "i32", 1), (2, "i32", 1),
                             (3, "i8", 0), (4, "i32", 1), (5, "i32", 1)]
    m.model("biases", {"x": ([4, 4], F32), "p": ([1, 3, 4, 2], F32)},
            lambda n, x, p: [
                ("FULLY_CONNECTED", [x, n.random("v", [3, 16]),
                                     n.random("a", [1, 3])], [1, 3], F32,
                 *linear),
                ("FULLY_CONNECTED", [x, n.random("u", [3, 2]), -1], [8, 3],
                 F32, *linear),
                ("CONV_2D", [p, n.random("w", [3, 1, 1, 2]),
                             n.random("b", [1, 1, 1, 3])], [1, 3, 4, 3], F32,
                 *conv)])


def convolutions(m):
    """By padding: SAME with a dilation; VALID with strides, a bias and an
    activation."""
    def options(pad, d, h, w, act=0, dilation=1):
        return "Conv3DOptions", [
            (0, "i8", pad), (1, "i32", d), (2, "i32", w), (3, "i32", h),
            (4, "i8", act), (5, "i32", 1), (6, "i32", dilation),
            (7, "i32", 1)]
    m.model("conv_3d", {"x": ([1, 4, 5, 6, 2], F32)},
            lambda n, x: [
                ("CONV_3D", [x, n.random("w", [3, 2, 3, 2, 3])],
                 [1, 4, 5, 6, 3], F32, *options(0, 1, 1, 1, 0, 2)),
                ("CONV_3D", [x, n.random("v", [2, 3, 1, 2, 4]),
                             n.random("b", [4])], [1, 2, 3, 2, 4], F32,
                 *options(1, 2, 1, 3, 1))])
    m.model("conv_3d_transpose", {"x": ([1, 2, 3, 3, 2], F32)},
            lambda n, x: [
                ("CONV_3D_TRANSPOSE",
                 [n.ints("s", 1, 4, 5, 6, 3),
                  n.random("w", [3, 2, 3, 3, 2]), x], [1, 4, 5, 6, 3], F32,
                 *options(0, 2, 2, 2)),
                ("CONV_3D_TRANSPOSE",
                 [n.ints("t", 1, 5, 4, 7, 1),
                  n.random("v", [3, 2, 3, 1, 2]), x, n.random("b", [1])],
                 [1, 5, 4, 7, 1], F32, *options(1, 2, 1, 2))])


def moves(m):
    m.model("tile", {"x": ([2, 1, 3], F32), "b": ([2], BOOL)},
            lambda n, x, b: [
                ("TILE", [x, n.ints("a", 2, 3, 2)], [4, 3, 6], F32),
                ("TILE", [b, n.const("c", np.array([3], np.int64))], [6],
                 BOOL)])
    for mode, name in ((0, "reflect"), (1, "symmetric")):
        m.model(f"mirror_pad_{name}", {"x": ([3, 4, 2], F32)},
                lambda n, x: [
                    ("MIRROR_PAD", [x, n.const("p", np.array(
                        [[2, 1], [0, 3], [0, 0]], np.int32))], [6, 7, 2],
                     F32, "MirrorPadOptions", [(0, "i8", mode)])])
    pads = np.array([[1, 0], [0, 2]], np.int32)
    m.model("space_to_batch", {"x": ([2, 3, 4, 2], F32)},
            lambda n, x: [
                ("SPACE_TO_BATCH_ND", [x, n.ints("b", 2, 3),
                                       n.const("p", pads)], [12, 2, 2, 2],
                 F32)])
    m.model("batch_to_space", {"x": ([12, 2, 2, 2], F32)},
            lambda n, x: [
                ("BATCH_TO_SPACE_ND", [x, n.ints("b", 2, 3),
                                       n.const("p", pads)], [2, 3, 4, 2],
                 F32)])
    m.model("space_to_batch_line", {"x": ([1, 4, 3], F32)},
            lambda n, x: [
                ("SPACE_TO_BATCH_ND", [x, n.ints("b", 2), n.const(
                    "p", np.array([[1, 1]], np.int32))], [2, 3, 3], F32)])
    pads = [np.array(p, np.int32) for p in ([[1, 0], [0, 2]],
                                            [[0, 1], [1, 0], [2, 1], [0, 2]])]
    m.model("padv2_value", {"l": ([2, 3], I64), "x": ([1, 4, 4, 2], F32),
                            "v": ([], F32)},
            lambda n, l, x, v: [
                ("PADV2", [l, n.const("p", pads[0]),
                           n.const("k", np.int64(2 ** 53 + 1))], [3, 5], I64,
                 "PadV2Options"),
                ("PADV2", [l, n.const("q", pads[0]),
                           n.const("i", np.int64(-2 ** 63))], [3, 5], I64,
                 "PadV2Options"),
                ("PADV2", [n.op("MAX_POOL_2D", [x], [[1, 4, 4, 2]],
                                "Pool2DOptions",
                                [(0, "i8", 0)] + [(i, "i32", 1)
                                                  for i in range(1, 5)]),
                           n.const("r", pads[1]), v], [2, 5, 7, 4], F32,
                 "PadV2Options")])
    m.model("matrix_diag", {"x": ([2, 3], F32), "i": ([3], I32)},
            lambda n, x, i: [("MATRIX_DIAG", [x], [2, 3, 3], F32),
                             ("MATRIX_DIAG", [i], [3, 3], I32)],
            lo=-9, hi=9)
    m.model("matrix_set_diag", {"x": ([2, 4, 3], F32), "d": ([2, 3], F32),
                                "w": ([2, 5], F32)},
            lambda n, x, d, w: [
                ("MATRIX_SET_DIAG", [x, d], [2, 4, 3], F32),
                ("MATRIX_SET_DIAG", [w, n.random("k", [2])], [2, 5], F32)])
    m.model("fill", {"v": ([], F32), "b": ([], I64)},
            lambda n, v, b: [
                ("FILL", [n.ints("a", 2, 3), v], [2, 3], F32, "FillOptions"),
                ("FILL", [n.ints("c", 4), b], [4], I64, "FillOptions"),
                ("FILL", [n.ints("d", 2), n.const("k", np.bool_(True))], [2],
                 BOOL, "FillOptions")],
            values=[np.float32(2.5), np.int64(1 << 40)])
    m.model("move_typed", {"i": ([2, 3], I32), "b": ([2, 3], BOOL),
                           "l": ([2, 3], I64)},
            lambda n, i, b, l: [
                ("TRANSPOSE", [i, n.ints("a", 1, 0)], [3, 2], I32,
                 "TransposeOptions"),
                ("CONCATENATION", [b, n.const("c", np.array(
                    [[True], [False]])), b], [2, 7], BOOL,
                 "ConcatenationOptions", [(0, "i32", 1), (1, "i8", 0)]),
                ("PADV2", [l, n.const("p", np.array([[1, 0], [0, 2]],
                                                    np.int32)),
                           n.const("v", np.int64(-7))], [3, 5], I64,
                 "PadV2Options"),
                ("STRIDED_SLICE", [l, n.ints("d", 0, 1), n.ints("e", 2, 3),
                                   n.ints("f", 1, 1)], [2, 2], I64,
                 "StridedSliceOptions"),
                ("PACK", [i, n.const("g", np.array([[1, 2, 3], [4, 5, 6]],
                                                   np.int32))], [2, 2, 3],
                 I32, "PackOptions", [(0, "i32", 2), (1, "i32", 0)]),
                ("RESHAPE", [i, n.ints("h", 6)], [6], I32,
                 "ReshapeOptions"),
                ("BROADCAST_TO", [i, n.ints("o", 2, 2, 3)], [2, 2, 3], I32,
                 "BroadcastToOptions")],
            lo=-99, hi=99)


def slices(m):
    def strided(n, name, x, begin, end, step, shape, masks=()):
        k = [n.const(name + p, np.array(v, np.int32))
             for p, v in zip("bes", (begin, end, step))]
        return ("STRIDED_SLICE", [x] + k, shape, F32, "StridedSliceOptions",
                [(i, "i32", v) for i, v in masks])
    m.model("strided_slice_masks", {"x": ([3, 4, 5, 2], F32)},
            lambda n, x: [
                strided(n, "a", x, [0, 1], [0, 2], [1, 1], [3, 4, 5, 1],
                        [(2, 1)]),
                strided(n, "b", x, [3, 0], [0, 0], [-1, 1], [2, 0, 5, 2],
                        []),
                strided(n, "c", x, [-1, 9, 0], [-9, -9, 4], [-1, -2, 3],
                        [3, 2, 2, 2]),
                strided(n, "d", x, [0, 0, 1], [0, 0, 2], [1, 1, 1],
                        [1, 3, 4, 5], [(2, 2), (3, 1), (4, 4)]),
                strided(n, "e", x, [0, 0], [0, 0], [-1, 1], [3, 4, 5, 2],
                        [(0, 1), (1, 3)])])
    m.model("slice_computed", {"x": ([4, 5, 3], F32), "i": ([3], I32)},
            lambda n, x, i: [("SLICE", [x, i, n.ints("s", 2, 3, 3)],
                              [2, 3, 3], F32, "SliceOptions")],
            values=[small([4, 5, 3], 2) + .5, np.array([1, 2, 0],
                                                       np.int32)])


def folded(m):
    """What is constant once the shapes are known."""
    c = np.array([[1, 0, 1], [0, 0, 1]], bool)

    def build(n, x):
        n.op("RANGE", [n.const("s", np.int32(9)), n.const("l", np.int32(0)),
                       n.const("d", np.int32(-2))], [[5]], "RangeOptions",
             (), ["r"], [I32])
        r = len(n.tensors) - 1
        n.op("SHAPE", [x], [[3]], "ShapeOptions", [(0, "i8", I32)], ["shape"],
             [I32])
        shape = len(n.tensors) - 1
        return [
            ("SHAPE", [x], [3], I64, "ShapeOptions", [(0, "i8", I64)]),
            ("RANK", [x], [], I32, "RankOptions"),
            ("RANGE", [n.const("fs", np.float32(.5)),
                       n.const("fl", np.float32(2)),
                       n.const("fd", np.float32(.4))], [4], F32,
             "RangeOptions"),
            ("GATHER", [r, n.ints("i", 4, 1)], [2], I32, "GatherOptions",
             [(0, "i32", 0)]),
            ("WHERE", [n.const("c", c)], [3, 2], I64),
            ("RESHAPE", [x, n.ints("to", 4, 6)], [4, 6], F32,
             "ReshapeOptions"),
            ("BROADCAST_ARGS", [n.ints("p", 4, 1, 3), n.ints("q", 2, 1)],
             [3], I32),
            ("ZEROS_LIKE", [x], [2, 3, 4], F32),
            ("BROADCAST_TO", [n.const("one", np.array([[[5]]],
                                                      np.float32)), shape],
             [2, 3, 4], F32, "BroadcastToOptions")]
    m.model("folded", {"x": ([2, 3, 4], F32)}, build)


def edges(m):
    """Empty values, single elements, constants for outputs."""
    m.model("empty", {"x": ([0, 3], F32), "i": ([2, 0], I32)},
            lambda n, x, i: [
                ("ADD", [x, n.random("k", [3])], [0, 3], F32, "AddOptions",
                 [(0, "i8", 0)]),
                ("CONCATENATION", [x, n.random("c", [1, 3])], [1, 3], F32,
                 "ConcatenationOptions", [(0, "i32", 0), (1, "i8", 0)]),
                ("CAST", [i], [2, 0], F32, "CastOptions",
                 [(0, "i8", I32), (1, "i8", F32)])])
    m.model("empty_constants", {"x": ([2, 3], F32)},
            lambda n, x: [
                ("MEAN", [x, n.const("a", np.zeros(0, np.int32))], [2, 3],
                 F32, *REDUCE),
                ("CONCATENATION", [x, n.const("c", np.zeros((0, 3),
                                                            np.float32))],
                 [2, 3], F32, "ConcatenationOptions",
                 [(0, "i32", 0), (1, "i8", 0)])])
    m.model("buffer_long", {"x": ([1, 4], F32)},
            lambda n, x: [
                ("ADD", [x, n.tensor("k", [4], F32, small([9], 4))], [1, 4],
                 F32, "AddOptions", [(0, "i8", 0)]),
                ("SUM", [x, n.tensor("a", [1], I32, np.ones(3, np.int32))],
                 [1], F32, *REDUCE)])
    n = m.Net()
    x, v = n.tensor("x", [2]), n.tensor("v", [2], variable=True)
    m.save("variable_read", n, x, n.op("ADD", [x, v], [[2]], "AddOptions",
                                       [(0, "i8", 0)]))
    m.model("one_element", {"x": ([3], F32)},
            lambda n, x: [
                ("ADD", [x, n.const("k", np.array([[2]], np.float32))],
                 [1, 3], F32, "AddOptions", [(0, "i8", 0)]),
                ("CONCATENATION", [x, n.const("c", np.array([4],
                                                            np.float32))],
                 [4], F32, "ConcatenationOptions",
                 [(0, "i32", 0), (1, "i8", 0)]),
                ("LESS", [x, n.const("l", np.array([0], np.float32))], [3],
                 BOOL)])


def run(Net, save):
    m = Maker(Net, save)
    comparisons(m)
    arithmetic(m)
    lookups(m)
    orders(m)
    products(m)
    biases(m)
    convolutions(m)
    moves(m)
    slices(m)
    folded(m)
    edges(m)
