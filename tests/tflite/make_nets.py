"""Windows, shapes, constants and whole nets; see make.py."""
import numpy as np


def windows(one, rand):
    x = [1, 7, 6, 3]
    for pad, to in ((0, [1, 4, 3, 5]), (1, [1, 3, 2, 5])):
        one(f"conv_2d_{pad}", "CONV_2D", x, to, [rand(5, 3, 3, 3), rand(5)],
            "Conv2DOptions", [(0, "i8", pad), (1, "i32", 2), (2, "i32", 2),
                              (3, "i8", 1)])
    one("conv_2d_dilated", "CONV_2D", x, [1, 7, 6, 2],
        [rand(2, 3, 2, 3), rand(2)], "Conv2DOptions",
        [(0, "i8", 0), (1, "i32", 1), (2, "i32", 1), (3, "i8", 2),
         (4, "i32", 2), (5, "i32", 2)])
    one("depthwise_conv_2d", "DEPTHWISE_CONV_2D", x, [1, 4, 6, 6],
        [rand(1, 3, 2, 6), rand(6)], "DepthwiseConv2DOptions",
        [(0, "i8", 0), (1, "i32", 1), (2, "i32", 2), (3, "i32", 2),
         (4, "i8", 3)])
    for op, name in (("MAX_POOL_2D", "max_pool_2d"), ("L2_POOL_2D", "l2_pool"),
                     ("AVERAGE_POOL_2D", "average_pool_2d")):
        for pad, to in ((0, [1, 4, 6, 3]), (1, [1, 3, 5, 3])):
            one(f"{name}_{pad}", op, x, to, [], "Pool2DOptions",
                [(0, "i8", pad), (1, "i32", 1), (2, "i32", 2),
                 (3, "i32", 2), (4, "i32", 3), (5, "i8", 0)])
    one("fully_connected", "FULLY_CONNECTED", x, [3, 4],
        [rand(4, 42), rand(4)], "FullyConnectedOptions", [(0, "i8", 3)])
    one("fully_connected_keep", "FULLY_CONNECTED", x, [1, 7, 6, 4],
        [rand(4, 3), rand(4)], "FullyConnectedOptions", [(2, "bool", 1)])
    for mode, align, half in (("plain", 0, 0), ("align", 1, 0),
                              ("half", 0, 1)):
        for op, kind in (("BILINEAR", "Bilinear"),
                         ("NEAREST_NEIGHBOR", "NearestNeighbor")):
            first = 2 if op == "BILINEAR" else 0
            one(f"resize_{op.lower()}_{mode}", "RESIZE_" + op, x,
                [1, 14, 5, 3], [lambda n: n.ints("size", 14, 5)],
                f"Resize{kind}Options",
                [(first, "bool", align), (first + 1, "bool", half)])


def transposes(one, rand):
    """By padding: SAME to an odd size; VALID to more rows than the windows
    reach, with a bias and an activation; steps above 16."""
    size = [lambda n: n.ints("size", 1, 8, 5, 2)]
    one("transpose_conv_0", "TRANSPOSE_CONV", [1, 4, 3, 3], [1, 8, 5, 2],
        [], "TransposeConvOptions",
        [(0, "i8", 0), (1, "i32", 2), (2, "i32", 2)],
        before=size + [rand(2, 3, 4, 3)])
    size = [lambda n: n.ints("size", 1, 10, 8, 5)]
    one("transpose_conv_1", "TRANSPOSE_CONV", [1, 4, 3, 3], [1, 10, 8, 5],
        [rand(5)], "TransposeConvOptions",
        [(0, "i8", 1), (1, "i32", 3), (2, "i32", 2), (3, "i8", 1)],
        before=size + [rand(5, 3, 2, 3)])
    size = [lambda n: n.ints("size", 1, 23, 36, 2)]
    one("transpose_conv_wide", "TRANSPOSE_CONV", [1, 2, 3, 3], [1, 23, 36, 2],
        [], "TransposeConvOptions",
        [(0, "i8", 1), (1, "i32", 17), (2, "i32", 20)],
        before=size + [rand(2, 3, 2, 3)])


def transpose_bias(Net, save):
    """MediaPipe's operator, behind one that stays; padding 1 is same."""
    for padding, k, to in ((1, 3, [1, 9, 5, 2]), (2, 2, [1, 10, 5, 2])):
        n = Net()
        x = n.tensor("x", [1, 5, 3, 3])
        x1 = n.op("RELU6", [x], [[1, 5, 3, 3]])
        w, b = n.random("w", [2, k, 3, 3]), n.random("b", [2])
        y = n.custom("Convolution2DTransposeBias", [x1, w, b], to,
                     [padding, 1 + (padding == 1), 2])
        save(f"transpose_conv_bias_{padding}", n, x, y)


def shapes(one, const, rand):
    x = [1, 4, 6, 8]
    one("reshape", "RESHAPE", x, [2, 96], [const([2, 96])], "ReshapeOptions")
    one("squeeze", "SQUEEZE", x, x[1:], [], "SqueezeOptions",
        [(0, "ints", [0])])
    one("expand_dims", "EXPAND_DIMS", [3, 4], [3, 1, 4], [const(1)],
        "ExpandDimsOptions")
    one("transpose", "TRANSPOSE", x, [8, 4, 1, 6], [const([3, 1, 0, 2])],
        "TransposeOptions")
    one("concatenation", "CONCATENATION", x, [1, 4, 6, 11],
        [rand(1, 4, 6, 3)], "ConcatenationOptions",
        [(0, "i32", -1), (1, "i8", 0)])
    one("pad", "PAD", x, [1, 5, 9, 8],
        [const([[0, 0], [1, 0], [1, 2], [0, 0]])], "PadOptions")
    one("padv2", "PADV2", x, [2, 4, 6, 9],
        [const([[1, 0], [0, 0], [0, 0], [0, 1]]), const(-1.5, np.float32)],
        "PadV2Options")
    one("slice", "SLICE", x, [1, 2, 6, 3],
        [const([0, 1, 0, 2]), const([1, 2, -1, 3])], "SliceOptions")
    one("strided_slice", "STRIDED_SLICE", x, [1, 2, 3, 8],
        [const([0, 1, 0, 0]), const([0, 4, -1, 8]), const([1, 2, 2, 1])],
        "StridedSliceOptions", [(0, "i32", 0), (1, "i32", 1)])
    one("strided_slice_shrink", "STRIDED_SLICE", x, [4, 8],
        [const([0, 0, -2]), const([1, 4, 9]), const([1, 1, 1])],
        "StridedSliceOptions", [(0, "i32", 2), (1, "i32", 2),
                                (4, "i32", 5)])
    one("depth_to_space", "DEPTH_TO_SPACE", x, [1, 8, 12, 2], [],
        "DepthToSpaceOptions", [(0, "i32", 2)])
    one("space_to_depth", "SPACE_TO_DEPTH", x, [1, 2, 3, 32], [],
        "SpaceToDepthOptions", [(0, "i32", 2)])
    one("broadcast_to", "BROADCAST_TO", [3, 1], [2, 3, 4],
        [const([2, 3, 4])], "BroadcastToOptions")
    one("pack", "PACK", [3, 4], [3, 2, 4], [rand(3, 4)], "PackOptions",
        [(0, "i32", 2), (1, "i32", 1)])
    for op, axes, keep, to in (
            ("MEAN", [1, 2], 0, [1, 8]), ("MEAN", [1, 2], 1, [1, 1, 1, 8]),
            ("SUM", [3], 0, [1, 4, 6]), ("REDUCE_MAX", [-1], 1, [1, 4, 6, 1]),
            ("REDUCE_MIN", [1], 0, [1, 6, 8])):
        one(f"{op.lower()}_{len(axes)}{keep}", op, x, to, [const(axes)],
            "ReducerOptions", [(0, "bool", keep)])


def parts(Net, save):
    """Operators of several results."""
    n = Net()
    x = n.tensor("x", [1, 4, 6, 8])
    a, b = n.op("SPLIT", [n.ints("axis", 3), x], [[1, 4, 6, 4]] * 2,
                "SplitOptions", [(0, "i32", 2)])
    c, d = n.op("SPLIT_V", [a, n.ints("sizes", 1, 3), n.ints("axis2", 1)],
                [[1, 1, 6, 4], [1, 3, 6, 4]], "SplitVOptions",
                [(0, "i32", 2)])
    rows = n.op("UNPACK", [d], [[1, 6, 4]] * 3, "UnpackOptions",
                [(0, "i32", 3), (1, "i32", 1)])
    e = n.op("SUB", [rows[0], rows[2]], [[1, 6, 4]], "SubOptions",
             [(0, "i8", 0)])
    f = n.op("ADD", [c, b], [[1, 4, 6, 4]], "AddOptions", [(0, "i8", 0)])
    save("parts", n, x, n.op("MUL", [f, e], [[1, 4, 6, 4]], "MulOptions",
                             [(0, "i8", 0)]))


def shared(Net, save):
    """Two operators have the same weights, twice."""
    n = Net()
    y = x = n.tensor("x", [1, 2, 2, 16])
    w, b = n.random("w", [16, 3, 3, 16], -.2, .2), n.random("b", [16])
    for _ in range(2):
        y = n.op("CONV_2D", [y, w, b], [[1, 2, 2, 16]], "Conv2DOptions",
                 [(1, "i32", 1), (2, "i32", 1)])
    y = n.op("RESHAPE", [y, n.ints("s", 1, 64)], [[1, 64]])
    k = n.random("k", [64, 64], -.2, .2)
    for _ in range(2):
        y = n.op("FULLY_CONNECTED", [y, k, -1], [[1, 64]],
                 "FullyConnectedOptions")
    save("shared", n, x, y)


def sparse_csr(a):
    """Rows dense, columns CSR."""
    segments, indices, values = [0], [], []
    for row in a:
        for j in np.flatnonzero(row):
            indices.append(j)
            values.append(row[j])
        segments.append(len(indices))
    return segments, indices, np.array(values, a.dtype)


def sparse_net(Net, save, name, kind, order, block):
    """A linear layer whose float16 weights are sparse: by rows, by columns
    (order 1,0) or in blocks of 2 columns behind the others."""
    n = Net()
    x = n.tensor("x", [3, 12])
    rng = np.random.default_rng(11)
    w = rng.uniform(-1, 1, (8, 12)).astype(np.float16)
    keep = rng.uniform(0, 1, (8, 12 // block)) < 0.3
    w *= np.repeat(keep, block, axis=1)
    blocks = w.reshape(8, 12 // block, block)
    if order[0] == 1:
        segments, indices, values = sparse_csr(w.T)
        dims = [("dense", 12), ("csr", kind, segments, indices)]
    elif block > 1:
        mask = np.any(blocks, axis=2)
        segments, indices, _ = sparse_csr(mask.astype(np.int8))
        values = blocks[mask]
        dims = [("dense", 8), ("csr", kind, segments, indices),
                ("dense", block)]
    else:
        segments, indices, values = sparse_csr(w)
        dims = [("dense", 8), ("csr", kind, segments, indices)]
    s = {"order": order, "map": [1] if block > 1 else [], "dims": dims}
    k = n.tensor("net/w", [8, 12], 1, values, s)
    k = n.op("DENSIFY", [k], [[8, 12]], "DensifyOptions")
    n.tensors[k] = n.tensors[k][:2] + (1,) + n.tensors[k][3:]
    k = n.op("DEQUANTIZE", [k], [[8, 12]], "DequantizeOptions")
    y = n.op("FULLY_CONNECTED", [x, k, -1], [[3, 8]],
             "FullyConnectedOptions", [(0, "i8", 0)])
    save(name, n, x, y)


def small_net(Net, save):
    """What a net does: convolutions with activations and a sum between, a
    mean, a linear layer, probabilities."""
    n = Net()
    x = n.tensor("input/image:0", [1, 8, 8, 3])
    c = [(0, "i8", 0), (1, "i32", 1), (2, "i32", 1), (3, "i8", 3)]
    d = c[:3] + [(3, "i32", 1), (4, "i8", 1)]
    a = n.op("CONV_2D", [x, n.random("w0", [8, 3, 3, 3]),
                         n.random("b0", [8])], [[1, 8, 8, 8]],
             "Conv2DOptions", c)
    b = n.op("DEPTHWISE_CONV_2D", [a, n.random("w1", [1, 3, 3, 8]),
                                   n.random("b1", [8])], [[1, 8, 8, 8]],
             "DepthwiseConv2DOptions", d)
    b = n.op("ADD", [a, b], [[1, 8, 8, 8]], "AddOptions", [(0, "i8", 0)])
    b = n.op("MEAN", [b, n.ints("axes", 1, 2)], [[1, 8]], "ReducerOptions",
             [(0, "bool", 0)])
    b = n.op("FULLY_CONNECTED", [b, n.random("fc", [5, 8]), -1], [[1, 5]],
             "FullyConnectedOptions", [(0, "i8", 0)])
    save("net", n, x, n.op("SOFTMAX", [b], [[1, 5]], "SoftmaxOptions",
                           [(0, "f32", 1)], ["StatefulPartitionedCall:0"]))


def refused(Net, save):
    """What there is no way to compile: all of it is named at once."""
    n = Net()
    x = n.tensor("x", [1, 4])
    y = n.op("SKIP_GRAM", [x], [[1, 4]])
    y = n.op("BITCAST", [y], [[1, 4]])
    y = n.op("RFFT2D", [y, n.ints("len", 4)], [[1, 4]])
    save("unsupported", n, x, y, run=False)
    n = Net()
    x = n.tensor("x", [1, 4])
    k = n.const("q", np.array([[1, 2, 3, 4]], np.int8))
    y = n.op("FULLY_CONNECTED", [x, k, -1], [[1, 1]],
             "FullyConnectedOptions", [(0, "i8", 0)])
    save("quantised", n, x, y, run=False)


def refused_transposes(Net, save):
    """One fault each, behind one another."""
    n, at, to = Net(), [1, 4, 3, 3], [1, 8, 6, 3]
    x = n.tensor("x", at)
    w, b = n.random("w", [3, 2, 2, 3]), n.random("b", [3])
    size = n.ints("size", *to)

    def conv(x, w, stride, to):
        return n.op("TRANSPOSE_CONV", [size, w, x], [to],
                    "TransposeConvOptions", [(0, "i8", 1), (1, "i32", stride),
                                             (2, "i32", stride)])
    y = conv(x, w, 0, at)
    y = conv(y, n.random("w2", [3, 2, 2, 4]), 2, at)
    for options, shape in (([1, 2], at), ([3, 2, 2], at), ([1, 2, 2], at),
                           ([2, 2, 2], to)):
        y = n.custom("Convolution2DTransposeBias", [y, w, b], shape, options)
    y = n.custom("Unknown", [y], to, [])
    save("unsupported_transposes", n, x, y, run=False)


def run(Net, save, one, const, rand):
    windows(one, rand)
    transposes(one, rand)
    transpose_bias(Net, save)
    shapes(one, const, rand)
    parts(Net, save)
    shared(Net, save)
    sparse_net(Net, save, "sparse_rows", "u8", [0, 1], 1)
    sparse_net(Net, save, "sparse_columns", "u16", [1, 0], 1)
    sparse_net(Net, save, "sparse_blocks", "i32", [0, 1, 2], 2)
    small_net(Net, save)
    refused(Net, save)
    refused_transposes(Net, save)
