"""make_maps.py DIR - ONNX files of windows, resizing and sampling for
tests/cli/onnx_maps.sh, each NAME.onnx, with an input NAME.in.npy x and the
result NAME.out.npy y, which is computed here pixel by pixel.  They are what
ONNX's own tests leave out: averages that count padding where windows reach
beyond it, places in column order, old versions of operators, regions that
are as many points as they have pixels."""
import itertools
import math
import os
import struct
import sys

from npy_file import npy_write
from onnx_file import FLOAT, Graph, floats, ints, model, node, write

MS = {"domain": "com.microsoft"}


def pixels(n):
    return [round(3 * math.sin(1.7 * i + 0.3), 3) for i in range(n)]


def rows(v, w):
    return [v[i:i + w] for i in range(0, len(v), w)]


def maps(v, h, w):
    return [rows(v[i:i + h * w], w) for i in range(0, len(v), h * w)]


def net(op, shape, out, result, tensors=(), ins=("x",), opset=17, domain="",
        **attrs):
    n = node(op, ins, ["y"], domain=domain, **attrs)
    domains = [(domain, 1)] if domain else []
    g = Graph([n], [("x", shape)], [("y", out)], tensors)
    return model(g, opset, domains=domains), shape, out, result


# ---- windows -------------------------------------------------------------

def taps(i, k, stride, pad, dilation):
    return [i * stride - pad + t * dilation for t in range(k)]


def mean(m, k, stride, pad, out, counts):
    """counts: whether the place (y, x) counts, inside or not."""
    h, w, y = len(m), len(m[0]), []
    for i, j in itertools.product(range(out[0]), range(out[1])):
        at = list(itertools.product(taps(i, k, stride, pad, 1),
                                    taps(j, k, stride, pad, 1)))
        inside = [m[a][b] for a, b in at if 0 <= a < h and 0 <= b < w]
        y.append(sum(inside) / sum(counts(a, b) for a, b in at))
    return y


def average_ceil():
    """Windows of 3 by strides of 2 over 6 and padding of 1: the last ends
    beyond the padding, which alone counts."""
    m = rows(pixels(36), 6)
    y = mean(m, 3, 2, 1, (4, 4), lambda a, b: a < 7 and b < 7)
    return net("AveragePool", [1, 1, 6, 6], [1, 1, 4, 4], y,
               kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1],
               ceil_mode=1, count_include_pad=1)


def average_wide():
    """Padding of more than a window is no mean of what is inside."""
    m = rows(pixels(9), 3)
    y = mean(m, 2, 2, 2, (3, 3), lambda a, b: 1)
    return net("AveragePool", [1, 1, 3, 3], [1, 1, 3, 3], y,
               kernel_shape=[2, 2], strides=[2, 2], pads=[2, 2, 1, 1],
               count_include_pad=1)


def max_dilated():
    v = pixels(2 * 5 * 6)
    y = [max(m[a][b] for a in taps(i, 2, 1, 1, 3) for b in taps(j, 3, 2, 0, 2)
             if 0 <= a < 5 and 0 <= b < 6)
         for m in maps(v, 5, 6) for i in range(3) for j in range(1)]
    return net("MaxPool", [1, 2, 5, 6], [1, 2, 3, 1], y, kernel_shape=[2, 3],
               strides=[1, 2], pads=[1, 0, 0, 0], dilations=[3, 2])


def max_volume():
    v = pixels(27)
    y = [max(v[9 * a + 3 * b + c] for a in (i, i + 1) for b in (j, j + 1)
             for c in (k, k + 1)) for i in range(2) for j in range(2)
         for k in range(2)]
    return net("MaxPool", [1, 1, 3, 3, 3], [1, 1, 2, 2, 2], y,
               kernel_shape=[2, 2, 2])


def max_columns():
    """Places column by column, as floats."""
    v, y = pixels(2 * 4 * 4), []
    for c, i, j in itertools.product(range(2), range(2), range(2)):
        at = [(a, b) for a in (2 * i, 2 * i + 1) for b in (2 * j, 2 * j + 1)]
        a, b = max(at, key=lambda p: v[16 * c + 4 * p[0] + p[1]])
        y.append(float(16 * c + 4 * b + a))
    nodes = [node("MaxPool", ["x"], ["v", "i"], kernel_shape=[2, 2],
                  strides=[2, 2], storage_order=1),
             node("Cast", ["i"], ["y"], to=FLOAT)]
    g = Graph(nodes, [("x", [1, 2, 4, 4])], [("y", [1, 2, 2, 2])])
    return model(g), [1, 2, 4, 4], [1, 2, 2, 2], y


def nhwc():
    v = pixels(2 * 2 * 3)
    y = [max(v[3 * p + c] for p in range(4)) for c in range(3)]
    return net("NhwcMaxPool", [1, 2, 2, 3], [1, 1, 1, 3], y, **MS,
               kernel_shape=[2, 2])


def lp():
    v = pixels(8)
    y = [sum(abs(v[a]) ** 3 for a in range(i, i + 3)) ** (1 / 3)
         for i in range(0, 6, 2)]
    return net("LpPool", [1, 1, 8], [1, 1, 3], y, kernel_shape=[3],
               strides=[2], p=3)


# ---- convolutions --------------------------------------------------------

def fused():
    """max(0, conv(x, w) + z)."""
    v, w = pixels(9), [1.0, -2.0, 0.5, 3.0]
    y = [max(0.0, w[0] * v[3 * i + j] + w[1] * v[3 * i + j + 1] +
             w[2] * v[3 * i + j + 3] + w[3] * v[3 * i + j + 4] + 0.5)
         for i in range(2) for j in range(2)]
    return net("FusedConv", [1, 1, 3, 3], [1, 1, 2, 2], y,
               [floats("w", [1, 1, 2, 2], w),
                floats("z", [1, 1, 2, 2], [0.5] * 4)],
               ("x", "w", "", "z"), activation="Relu", **MS)


def transposed():
    """The result is longer than the windows reach, and shorter."""
    v, w, y = pixels(3), [1.0, 2.0, -1.0], [0.25] * 10
    for i, k in itertools.product(range(3), range(3)):
        y[3 * i + k] += v[i] * w[k]
    ws = [floats("w", [1, 1, 3], w), floats("b", [1], [0.25])]
    longer = net("ConvTranspose", [1, 1, 3], [1, 1, 10], y, ws,
                 ("x", "w", "b"), strides=[3], output_shape=[10])
    upper = net("ConvTranspose", [1, 1, 3], [1, 1, 6], y[1:7], ws,
                ("x", "w", "b"), strides=[3], output_shape=[6],
                auto_pad="SAME_UPPER")
    lower = net("ConvTranspose", [1, 1, 3], [1, 1, 6], y[2:8], ws,
                ("x", "w", "b"), strides=[3], output_shape=[6])
    return longer, upper, lower


# ---- resizing ------------------------------------------------------------

def cubic(d, a):
    d = abs(d)
    if d < 1:
        return ((a + 2) * d - (a + 3)) * d * d + 1
    return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a if d < 2 else 0.0


def line(v, at, weight, exclude):
    """v at a place between its elements."""
    near = range(math.floor(at) - 1, math.floor(at) + 3)
    use = [k for k in near if not exclude or 0 <= k < len(v)]
    total = sum(weight(k - at) for k in use)
    return sum(v[min(max(k, 0), len(v) - 1)] * weight(k - at)
               for k in use) / total


def resized(m, size, at, weight, exclude=False):
    wide = [[line(r, at(j, len(r), size[1]), weight, exclude)
             for j in range(size[1])] for r in m]
    cols = list(zip(*wide))
    high = [[line(c, at(i, len(c), size[0]), weight, exclude)
             for i in range(size[0])] for c in cols]
    return [v for r in zip(*high) for v in r]


def half(i, n, out):
    return (i + 0.5) * n / out - 0.5


def triangle(d):
    return max(0.0, 1 - abs(d))


def scales(*s):
    return [floats("s", [4], [1.0, 1.0, *s])]


def resize(name, size, s, y, shape=(1, 1, 4, 4), opset=13, **attrs):
    ins = ("x", "s") if opset < 11 else ("x", "", "s")
    return net("Resize", list(shape), [1, 1, *size], y, scales(*s), ins,
               opset, mode=name, **attrs)


def resizes():
    m = rows(pixels(16), 4)
    old = [m[a][b] for a in (0, 2) for b in (0, 0, 1, 1, 2, 2, 3, 3)]
    return {
        "resize_cubic": resize(
            "cubic", (6, 8), (1.5, 2.0),
            resized(m, (6, 8), half, lambda d: cubic(d, -0.75))),
        "resize_exclude": resize(
            "cubic", (8, 2), (2.0, 0.5),
            resized(m, (8, 2), half, lambda d: cubic(d, -0.75), True),
            exclude_outside=1),
        "resize_linear": resize(
            "linear", (8, 8), (2.0, 2.0), resized(m, (8, 8), half, triangle)),
        "resize_corner": resize(
            "linear", (8, 6), (2.0, 1.5),
            resized(m, (8, 6), lambda i, n, out: i * n / out, triangle),
            coordinate_transformation_mode="asymmetric"),
        "resize_old": resize("nearest", (2, 8), (0.5, 2.0), old, opset=10),
        "upsample_1": net("Upsample", [1, 1, 4, 4], [1, 1, 8, 4],
                          [v for r in m for _ in range(2) for v in r],
                          opset=1, height_scale=2.0),
    }


# ---- points and regions --------------------------------------------------

def value(m, y, x):
    """Zero outside."""
    return m[y][x] if 0 <= y < len(m) and 0 <= x < len(m[0]) else 0.0


def between(m, y, x):
    a, b = math.floor(y), math.floor(x)
    return sum(value(m, a + i, b + j) * triangle(y - a - i) *
               triangle(x - b - j) for i in (0, 1) for j in (0, 1))


def grid():
    """Points of which some lie outside."""
    m, points = rows(pixels(12), 4), [(-1.2, 0.1), (0.3, 0.4), (1.0, -1.0),
                                      (9.0, 0.0), (0.97, 1.3), (-0.5, -0.2)]
    y = [between(m, ((b + 1) * 3 - 1) / 2, ((a + 1) * 4 - 1) / 2)
         for a, b in points]
    return net("GridSample", [1, 1, 3, 4], [1, 1, 2, 3], y,
               [floats("g", [1, 2, 3, 2], [v for p in points for v in p])],
               ("x", "g"), padding_mode="zeros", mode="bilinear")


def align_bin(m, y0, y1, x0, x1):
    """As many points as pixels, rounded up, along each side."""
    ny, nx = math.ceil(y1 - y0), math.ceil(x1 - x0)
    y = [y0 + (i + 0.5) * (y1 - y0) / ny for i in range(ny)]
    x = [x0 + (i + 0.5) * (x1 - x0) / nx for i in range(nx)]
    return sum(between(m, a, b) for a in y for b in x) / (ny * nx)


def align():
    m, regions = rows(pixels(48), 8), [(1.5, 1.0, 6.0, 4.0),
                                       (2.5, 1.5, 4.5, 3.0)]
    y = []
    for x0, y0, x1, y1 in regions:
        h, w = (y1 - y0) / 2, (x1 - x0) / 2
        y += [align_bin(m, y0 - 0.5 + i * h, y0 - 0.5 + (i + 1) * h,
                        x0 - 0.5 + j * w, x0 - 0.5 + (j + 1) * w)
              for i in range(2) for j in range(2)]
    return net("RoiAlign", [1, 1, 6, 8], [2, 1, 2, 2], y,
               [floats("r", [2, 4], [v for r in regions for v in r]),
                ints("b", [2], [0, 0])],
               ("x", "r", "b"), output_height=2, output_width=2)


def roi_pool():
    """Bins share pixels where they do not divide a region; one region lies
    outside: zeros."""
    m = rows(pixels(30), 6)
    first = [max(m[a][b] for a in range(i0, i1) for b in range(j0, j1))
             for i0, i1 in ((1, 3), (2, 4)) for j0, j1 in ((1, 3), (3, 5))]
    return net("MaxRoiPool", [1, 1, 5, 6], [2, 1, 2, 2], first + [0.0] * 4,
               [floats("r", [2, 5], [0, 1, 1, 4, 3, 0, 9, 9, 12, 12])],
               ("x", "r"), pooled_shape=[2, 2])


FILES = {
    "average_ceil": average_ceil(), "average_wide": average_wide(),
    "max_dilated": max_dilated(), "max_volume": max_volume(),
    "max_columns": max_columns(), "nhwc": nhwc(), "lp": lp(),
    "fused": fused(), "grid": grid(), "align": align(),
    "roi_pool": roi_pool(), **resizes(),
    **dict(zip(("transposed_longer", "transposed_upper", "transposed_lower"),
               transposed())),
}



# ---- what is no such operator, or none that can be compiled --------------

def bad(op, *tensors, shape=(1, 2, 4, 4), ins=None, outs=("y",), opset=17,
        domain="", inputs=(), **attrs):
    names = ins or ["x"] + [i[0] for i in inputs] + \
        [dict(t)[8] for t in tensors]
    n = node(op, names, outs, domain=domain, **attrs)
    g = Graph([n], [("x", list(shape)), *inputs],
              [("y", ["?"] * len(shape))], tensors)
    return model(g, opset, domains=[(domain, 1)] if domain else [])


def w(*dims):
    return floats("w", dims, pixels(math.prod(dims)))


def numbers(name, *v):
    return floats(name, [len(v)], [float(i) for i in v])


K = {"kernel_shape": [2, 2]}
CUT = {"coordinate_transformation_mode": "tf_crop_and_resize"}
C2 = [numbers(n, 1, 2) for n in "abcd"]
BAD = {
    "pool_none": bad("MaxPool"),
    "pool_sizes": bad("MaxPool", kernel_shape=[2]),
    "pool_stride": bad("MaxPool", strides=[0, 1], **K),
    "pool_negative": bad("MaxPool", pads=[0, 0, -1, 0], **K),
    "pool_auto": bad("MaxPool", auto_pad="SAME", **K),
    "pool_reach": bad("AveragePool", kernel_shape=[5, 2]),
    "pool_point": bad("AveragePool", shape=(1, 2), **K),
    "pool_axes": bad("MaxPool", shape=(1,) * 6, kernel_shape=[1] * 4),
    "pool_power": bad("LpPool", p=0, **K),
    "places_padding": bad("MaxPool", outs=["v", "y"], strides=[2, 2],
                          pads=[2, 2, 0, 0], **K),
    "global_point": bad("GlobalMaxPool", shape=(1, 2)),
    "nhwc_line": bad("NhwcMaxPool", shape=(1, 2, 2), **K, **MS),
    "conv_rank": bad("Conv", w(2, 2, 1)),
    "conv_groups": bad("Conv", w(3, 1, 1, 1), group=2),
    "conv_sizes": bad("Conv", w(1, 2, 3, 3), **K),
    "conv_empty": bad("Conv", w(1, 2, 0, 3)),
    "conv_act": bad("FusedConv", w(1, 2, 1, 1), activation="Elu", **MS),
    "transpose_sizes": bad("ConvTranspose", w(2, 1, 1, 1),
                           output_shape=[4, 4, 4]),
    "transpose_size": bad("ConvTranspose", w(2, 1, 1, 1),
                          output_shape=[4, -4]),
    "transpose_cut": bad("ConvTranspose", w(2, 1, 1, 1), pads=[3, 0, 3, 0]),
    "unpool_shape": bad("MaxUnpool", ints("i", [1], [0]), **K),
    "norm_trained": bad("BatchNormalization", *C2, outs=["y", "m"], opset=9),
    "norm_is_test": bad("BatchNormalization", *C2, opset=6),
    "norm_spatial": bad("BatchNormalization", *C2, opset=7, spatial=0),
    "norm_groups": bad("GroupNormalization", *C2[:2], num_groups=3, opset=21),
    "norm_axis": bad("LayerNormalization", C2[0], axis=4),
    "norm_scale": bad("LayerNormalization", floats("w", [5, 1, 1, 1, 1],
                                                   [1.0] * 5)),
    "norm_stash": bad("LayerNormalization", numbers("w", 1), stash_type=11),
    "lrn_size": bad("LRN"),
    "resize_scale": bad("Resize", numbers("s", 1, 1, 0, 2), opset=10),
    "resize_few": bad("Resize", numbers("s", 1, 1, 2), opset=10),
    "resize_computed": bad("Resize", inputs=[("s", [4])], opset=10),
    "resize_mode": bad("Resize", numbers("s", 1, 1, 2, 2), opset=10,
                       mode="lanczos"),
    "resize_roi": bad("Resize", numbers("r", 0), numbers("s", 1, 1, 2, 2),
                      **CUT),
    "resize_far": bad("Resize", numbers("r", 0, 0, 0, 9e30, 1, 1, 1, 9e30),
                      ints("s", [4], [1, 2, 4, 4]), **CUT,
                      ins=["x", "r", "", "s"]),
    "resize_twice": bad("Resize", numbers("s", 2, 2), axes=[2, -2],
                        opset=18, ins=["x", "", "s"]),
    "upsample_few": bad("Upsample", opset=7),
    "grid_points": bad("GridSample", w(1, 2, 2, 3)),
    "grid_mode": bad("GridSample", w(1, 2, 2, 2), mode="lanczos"),
    "grid_outside": bad("GridSample", w(1, 2, 2, 2), padding_mode="wrap"),
    "affine_one": bad("AffineGrid", ints("s", [4], [1, 2, 1, 4]),
                      shape=(1, 2, 3), align_corners=1, opset=20),
    "affine_theta": bad("AffineGrid", ints("s", [4], [1, 2, 4, 4]),
                        shape=(1, 2, 2), opset=20),
    "align_computed": bad("RoiAlign", ints("b", [1], [0]),
                          inputs=[("r", [1, 4])]),
    "align_columns": bad("RoiAlign", w(1, 5), ints("b", [1], [0])),
    "align_maps": bad("RoiAlign", w(1, 4), ints("b", [2], [0, 0])),
    "roi_computed": bad("MaxRoiPool", inputs=[("r", [1, 5])],
                        pooled_shape=[2, 2]),
    "roi_map": bad("MaxRoiPool", floats("r", [1, 5], [7, 0, 0, 1, 1]),
                   pooled_shape=[2, 2]),
    "deform_offset": bad("DeformConv", w(1, 2, 1, 1), floats(
        "o", [1, 2, 4, 3], [0.0] * 24), opset=19),
    "deform_group": bad("DeformConv", w(1, 2, 1, 1), floats(
        "o", [1, 2, 4, 4], [0.0] * 32), opset=19, offset_group=3),
}


def npy(path, dims, values):
    npy_write(path, "<f4", dims, struct.pack(f"<{len(values)}f", *values))


os.makedirs(sys.argv[1], exist_ok=True)
os.chdir(sys.argv[1])
for name, (m, shape, out, result) in FILES.items():
    write(name + ".onnx", m)
    npy(name + ".in.npy", shape, pixels(math.prod(shape)))
    npy(name + ".out.npy", out, result)
os.makedirs("bad", exist_ok=True)
for name, m in BAD.items():
    write(f"bad/{name}.onnx", m)
print(*FILES)
