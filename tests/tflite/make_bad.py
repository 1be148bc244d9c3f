"""Models that lie, each in one way: tests/cli/tflite_bad.sh says what is
said of them.  See make.py."""
from unittest import mock

import flatbuffers
import numpy as np

F32, I32, STRING = 0, 2, 5


def one(Net, save, name, build, shape=(1, 4)):
    n = Net()
    x = n.tensor("x", list(shape))
    save("bad/" + name, n, x, build(n, x), run=False)


def shapes(bad):
    bad("buffer_short", lambda n, x: n.op(
        "ADD", [x, n.tensor("k", [1, 4], F32, np.zeros(3, np.float32))],
        [[1, 4]]))
    bad("buffer_short_axes", lambda n, x: n.op(
        "SUM", [x, n.tensor("a", [2], I32, np.zeros(1, np.int32))], [[]],
        "ReducerOptions"))
    bad("negative", lambda n, x: n.op("RELU", [x], [[1, -4]]))
    bad("overflow", lambda n, x: n.op(
        "RELU", [x], [[1 << 30, 1 << 30, 1 << 30]]))
    bad("empty_overflow", lambda n, x: n.op(
        "RELU", [x], [[0, 1 << 30, 1 << 30]]))
    bad("rank", lambda n, x: n.op("RELU", [x], [[1] * 9]))
    bad("result_shape", lambda n, x: n.op("RELU", [x], [[1, 5]]))
    bad("broadcast", lambda n, x: n.op(
        "ADD", [x, n.random("k", [3])], [[1, 4]]))
    bad("gather_shape", lambda n, x: n.op(
        "GATHER", [x, n.ints("i", 0, 1)], [[2, 4, 4]], "GatherOptions"))


def references(bad):
    def late(n, x):
        y = n.tensor("later", [1, 4])
        z = n.op("RELU", [y], [[1, 4]])
        n.ops.append(((n.ops[-1][0][0], ""), [x], [y], None, ()))
        return z

    def circle(n, x):
        y = n.tensor("y", [1, 4])
        n.ops.append(((19, ""), [y], [y], None, ()))
        return y

    def twice(n, x):
        y = n.op("RELU", [x], [[1, 4]])
        n.ops.append(((19, ""), [x], [y], None, ()))
        return y
    bad("used_before", late)
    bad("circle", circle)
    bad("twice", twice)
    bad("tensor_index", lambda n, x: n.op("RELU", [99], [[1, 4]]))
    bad("tensor_negative", lambda n, x: n.op("RELU", [-2], [[1, 4]]))
    bad("operand_absent", lambda n, x: n.op("ADD", [x, -1], [[1, 4]]))
    bad("pack_absent", lambda n, x: n.op("PACK", [x, -1], [[2, 1, 4]],
                                         "PackOptions", [(0, "i32", 2)]))
    bad("no_value", lambda n, x: n.op("ADD", [x, n.tensor("k", [])],
                                      [[1, 4]]))
    bad("operands_few", lambda n, x: n.op("ADD", [x], [[1, 4]]))
    bad("operands_many", lambda n, x: n.op("RELU", [x] * 4, [[1, 4]]))
    bad("operands_none", lambda n, x: n.op("PACK", [], [[0, 4]]))
    bad("results_many", lambda n, x: n.op("RELU", [x], [[1, 4]] * 2)[0])


def types(bad):
    bad("types_differ", lambda n, x: n.op(
        "ADD", [x, n.ints("k", 1, 2, 3, 4)], [[1, 4]]))
    bad("type_result", lambda n, x: n.op("RELU", [x], [[1, 4]],
                                         kinds=[I32]))
    bad("type_operand", lambda n, x: n.op(
        "SQRT", [n.ints("k", 1, 4)], [[2]], kinds=[I32]))
    bad("type_string", lambda n, x: n.op("ADD", [x, n.tensor(
        "s", [4], STRING, np.zeros(16, np.uint8))], [[1, 4]]))
    bad("type_unknown", lambda n, x: n.op("RELU", [x], [[1, 4]],
                                          kinds=[77]))
    bad("type_condition", lambda n, x: n.op("SELECT_V2", [x, x, x],
                                            [[1, 4]]))
    bad("index_float", lambda n, x: n.op(
        "GATHER", [x, n.random("i", [2])], [[2, 4]], "GatherOptions"))


def operators(bad, tools):
    bad("axis", lambda n, x: n.op("SUM", [x, n.ints("a", 2)], [[1]],
                                  "ReducerOptions"))
    bad("axis_gather", lambda n, x: n.op(
        "GATHER", [x, n.ints("i", 0)], [[1, 4]], "GatherOptions",
        [(0, "i32", 5)]))
    bad("order", lambda n, x: n.op("TRANSPOSE", [x, n.ints("o", 1, 0, 2)],
                                   [[4, 1]]))
    bad("multiples", lambda n, x: n.op("TILE", [x, n.ints("m", 1)],
                                       [[1, 4]]))
    bad("reshape", lambda n, x: n.op("RESHAPE", [x, n.ints("s", 7)], [[7]],
                                     "ReshapeOptions"))
    bad("reshape_computed", lambda n, x: n.op("RESHAPE", [x, n.op(
        "CAST", [x], [[1, 4]], kinds=[I32])], [[7]], "ReshapeOptions"))
    bad("axis_count", lambda n, x: n.op("ARG_MAX", [x, n.ints("a", 0, 1)],
                                        [[4]], kinds=[I32]))
    bad("conv_rank", lambda n, x: n.op(
        "CONV_2D", [x, n.random("w", [1, 1, 1, 4]), -1], [[1, 1]],
        "Conv2DOptions", [(1, "i32", 1), (2, "i32", 1)]))
    bad("same_reason", lambda n, x: n.op("BITCAST", [n.op(
        "BITCAST", [n.op("RFFT2D", [x], [[1, 4]])], [[1, 4]])], [[1, 4]]))
    bad("axes_computed", lambda n, x: n.op("REVERSE_V2", [x, n.op(
        "CAST", [x], [[1, 4]], kinds=[I32])], [[1, 4]]))
    bad("tile", lambda n, x: n.op("TILE", [x, n.ints("m", 1, 1 << 30)],
                                  [[1, 4]]))
    bad("tile_overflow", lambda n, x: n.op(
        "TILE", [x, n.const("m", np.array([1, (1 << 62) + 1], np.int64))],
        [[1, 4]]))
    bad("mirror", lambda n, x: n.op(
        "MIRROR_PAD", [x, n.const("p", np.array([[0, 0], [4, 0]],
                                                np.int32))], [[1, 8]]))
    bad("range", lambda n, x: n.op(
        "RANGE", [n.const("s", np.int32(0)), n.const("l", np.int32(1 << 30)),
                  n.const("d", np.int32(1))], [[1 << 30]], kinds=[I32]))
    def ranges(n, x):
        y = [n.op("RANGE", [n.const(f"s{i}", np.int32(i)),
                            n.const(f"l{i}", np.int32(i + (9 << 20))),
                            n.const(f"d{i}", np.int32(1))], [[9 << 20]],
                  kinds=[I32]) for i in range(2)]
        return n.op("ADD", y, [[9 << 20]], kinds=[I32])
    bad("ranges", ranges)
    bad("range_step", lambda n, x: n.op(
        "RANGE", [n.const("s", np.int32(0)), n.const("l", np.int32(4)),
                  n.const("d", np.int32(0))], [[4]], kinds=[I32]))
    bad("topk", lambda n, x: n.op(
        "TOPK_V2", [x, n.const("k", np.int32(5))], [[1, 5], [1, 5]],
        kinds=[F32, I32])[0])
    one(*tools, "topk_wide", lambda n, x: n.op(
        "TOPK_V2", [x, n.const("k", np.int32(1))], [[1 << 20, 1]] * 2,
        kinds=[F32, I32])[0], (1 << 20, 1 << 12))
    bad("blocks", lambda n, x: n.op(
        "BATCH_TO_SPACE_ND", [x, n.ints("b", 2), n.const(
            "c", np.zeros((1, 2), np.int32))], [[1, 8]]))
    bad("mirror_mode", lambda n, x: n.op(
        "MIRROR_PAD", [x, n.const("p", np.array([[0, 0], [1, 0]],
                                                np.int32))], [[1, 5]],
        "MirrorPadOptions", [(0, "i8", 7)]))
    bad("pack_absent", lambda n, x: n.op(
        "PACK", [x, -1], [[2, 1, 4]], "PackOptions", [(0, "i32", 2)]))
    bad("split_part", lambda n, x: n.op(
        "SPLIT", [n.const("a", np.int32(1)), x], [[1, 2], [1, 1]],
        "SplitOptions", [(0, "i32", 2)])[0])
    bad("split_few", lambda n, x: n.op(
        "SPLIT_V", [x, n.ints("s", 2, 1), n.const("a", np.int32(1))],
        [[1, 2], [1, 1]], "SplitVOptions", [(0, "i32", 2)])[0])
    bad("split_sizes", lambda n, x: n.op(
        "SPLIT_V", [x, n.ints("s", 3, 1), n.const("a", np.int32(1))],
        [[1, 2], [1, 2]], "SplitVOptions", [(0, "i32", 2)])[0])
    bad("no_variable", lambda n, x: n.op(
        "RNN", [x, n.random("w", [3, 4]), n.random("r", [3, 3]),
                n.random("b", [3]), n.random("h", [1, 3])], [[1, 3]],
        "RNNOptions"))


def names(bad):
    """A hundred tensors have one string of 999 letters for a name."""
    def build(n, x):
        for _ in range(100):
            n.tensor("n" * 999, [1, 4])
        return n.op("RELU", [x], [[1, 4]])
    plain, known = flatbuffers.Builder.CreateString, {}

    def once(b, s):
        if s not in known:
            known[s] = plain(b, s)
        return known[s]
    with mock.patch.object(flatbuffers.Builder, "CreateString", once):
        bad("names_shared", build)


def planes(bad):
    """What a convolution gives, then a result or an operand of a rank that
    its form does not have."""
    def conv(n, x):
        return n.op("CONV_2D", [x, n.random("w", [3, 1, 1, 4]), -1],
                    [[1, 1, 1, 3]], "Conv2DOptions",
                    [(1, "i32", 1), (2, "i32", 1)])

    def wide(n):
        return n.random("z", [7, 7, 7, 1, 1, 1, 1, 1])

    def case(name, build):
        bad("planes_" + name, lambda n, x: build(n, conv(n, n.op(
            "RESHAPE", [x], [[1, 1, 1, 4]]))))
    eight = [7, 7, 7, 1, 1, 1, 1, 1]
    for op, options in [("RELU", None), ("SOFTMAX", None),
                        ("CAST", "CastOptions")]:
        case(op.lower(), lambda n, y, op=op, options=options: n.op(
            op, [y], [eight], options))
    case("pad", lambda n, y: n.op("PAD", [y, n.const("p", np.array(
        [[0, 0], [1, 0], [0, 1], [0, 0]], np.int32))], [eight]))
    case("slice", lambda n, y: n.op(
        "SLICE", [y, n.ints("b", 0, 0, 0, 0), n.ints("s", 1, 1, 1, 3)],
        [eight]))
    case("sum", lambda n, y: n.op("SUM", [y, n.ints("a", 0)], [eight],
                                  "ReducerOptions", [(0, "bool", True)]))
    case("transpose", lambda n, y: n.op(
        "TRANSPOSE", [y, n.ints("p", 0, 3, 1, 2)], [eight]))
    case("concat", lambda n, y: n.op(
        "CONCATENATION", [y, y], [eight], "ConcatenationOptions",
        [(0, "i32", 7)]))
    case("concat_wide", lambda n, y: n.op(
        "CONCATENATION", [wide(n), y], [eight], "ConcatenationOptions",
        [(0, "i32", 7)]))
    case("operands", lambda n, y: n.op("RELU", [wide(n), y], [eight]))
    case("operands_pad", lambda n, y: n.op(
        "PADV2", [wide(n), n.const("p", np.zeros((8, 2), np.int32)),
                  n.const("v", np.float32(1)), y], [eight]))


def sparse(bad):
    """Two rows of four columns, three of the eight values stored."""
    def weights(dims, order=(0, 1), blocks=()):
        def build(n, x):
            k = n.tensor("w", [2, 4], F32, np.ones(3, np.float32),
                         {"order": order, "map": blocks, "dims": dims})
            k = n.op("DENSIFY", [k], [[2, 4]])
            return n.op("FULLY_CONNECTED", [x, k, -1], [[1, 2]],
                        "FullyConnectedOptions", [(0, "i8", 0)])
        return build
    def large(n, x):
        """Two that are 40 MB each of next to nothing."""
        many = 5 << 19
        line = ("csr", "i32", [0, 1], [0])
        y = [n.op("FULLY_CONNECTED", [x, n.op("DENSIFY", [n.tensor(
            f"w{i}", [many, 4], F32, np.ones(1, np.float32),
            {"order": (0, 1), "dims": [line, line]})], [[many, 4]]), -1],
            [[1, many]], "FullyConnectedOptions") for i in range(2)]
        return n.op("ADD", y, [[1, many]])
    bad("sparse_large", large)
    rows, csr = ("dense", 2), ("csr", "i32", [0, 2, 3], [0, 2, 1])
    bad("sparse_index", weights([rows, ("csr", "i32", [0, 2, 3],
                                        [0, 4, 1])]))
    bad("sparse_order", weights([rows, ("csr", "u8", [0, 2, 3],
                                        [2, 0, 1])]))
    bad("sparse_segment", weights([rows, ("csr", "u16", [0, 2, 4],
                                          [0, 2, 1])]))
    bad("sparse_segments", weights([rows, ("csr", "i32", [0, 2],
                                           [0, 2, 1])]))
    bad("sparse_values", weights([rows, ("csr", "i32", [0, 2, 4],
                                         [0, 2, 1, 3])]))
    bad("sparse_dense", weights([("dense", 3), csr]))
    bad("sparse_traversal", weights([rows, csr], (0, 0)))
    bad("sparse_block", weights([rows, csr, ("dense", 3)], (0, 1, 2), (1,)))
    bad("sparse_levels", weights([rows, csr], (0, 1, 2), (1,)))


def run(Net, save):
    def bad(name, build):
        one(Net, save, name, build)
    shapes(bad)
    references(bad)
    types(bad)
    operators(bad, (Net, save))
    names(bad)
    planes(bad)
    sparse(bad)
