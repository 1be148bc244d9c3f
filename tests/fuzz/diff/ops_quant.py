"""ops_quant.py - draws quantised values.

Weights have 7 bits: without VNNI, ONNX Runtime adds products of bytes in
pairs in 16 bits, which saturate (its documentation says so)."""
import ml_dtypes
import numpy as np

from graph import F32, I8, I16, I32, MS, U8, U16


def scale(g, shape=(), lo=0.02, hi=0.08):
    return g.given(np.asarray(g.np.uniform(lo, hi, shape)).astype(F32),
                   True, exact=False)


def zero(g, t, shape=(), const=True):
    lo, hi = (100, 150) if t is U8 else (-10, 10)
    return g.given(np.asarray(g.np.integers(lo, hi, shape)).astype(t), const)


def quantise(g):
    x = g.take(F32, lo=0)
    t = g.one(U8, I8) if g.opset < 21 or g.chance(0.7) else g.one(U16, I16)
    axis, shape = None, ()
    if g.opset >= 13 and x.rank and g.chance(0.35):
        axis = g.axis(x.rank)
        shape = (x.shape[axis],)
    z = zero(g, t, shape) if t is I8 or shape or g.chance(0.7) else None
    s = scale(g, shape)
    q = g.emit("QuantizeLinear", [x, s, z], soft=True, axis=axis)
    if g.chance(0.6):
        return g.emit("DequantizeLinear", [q, s, z], axis=axis)
    return q


def dequantise(g):
    t = g.one(U8, I8, I32, *(U16, I16) * (g.opset >= 21))
    x = g.take(t, span=(-100, 100))
    axis, shape = None, ()
    if g.opset >= 13 and x.rank and g.chance(0.4):
        axis = g.axis(x.rank)
        shape = (x.shape[axis],)
    z = zero(g, t, shape) if g.chance(0.6) and t is not I32 else None
    return g.emit("DequantizeLinear", [x, scale(g, shape), z], axis=axis)


def blocked(g):
    """A scale for each block of an axis."""
    b, n, k = g.one(2, 4), g.int(1, 3), g.int(1, 4)
    t = g.one(U8, I8)
    s = scale(g, (n, k))
    z = zero(g, t, (n, k)) if g.chance(0.5) else None
    if g.chance(0.5):
        x = g.fresh(F32, (n * b, k))
        return g.emit("QuantizeLinear", [x, s, z], axis=0, block_size=b,
                      soft=True)
    x = g.fresh(t, (n * b, k), 0, 120)
    return g.emit("DequantizeLinear", [x, s, z], axis=0, block_size=b)


def four(g):
    """Constants of 4 bits, by axis or block."""
    t, lo, hi = g.one((ml_dtypes.int4, -8, 7), (ml_dtypes.uint4, 0, 15))
    some = lambda shape: g.given(np.asarray(
        g.np.integers(lo, hi + 1, shape)).astype(t))
    shape = [g.one(2, 4, 6), g.int(1, 5)]
    axis, block, each = g.int(0, 1), None, ()
    if g.chance(0.3):
        block, axis = 2, 0
        each = (shape[0] // 2, shape[1])
    elif g.chance(0.5):
        each = (shape[axis],)
    x = some(shape)
    y = g.emit("DequantizeLinear", [
        x, scale(g, each, 0.05, 0.3), some(each) if g.chance(0.6) else None],
        axis=axis if each else None, block_size=block)
    if g.chance(0.5):
        return g.emit("MatMul", [g.shaped(F32, (g.int(1, 4), shape[0])), y])
    return y


def dynamic(g):
    x = g.take(F32, lo=1)
    return g.emit("DynamicQuantizeLinear", [x], 3, soft=True)


def matmul(g):
    m, k, n = g.dim(9), g.dim(17), g.dim(9)
    head = g.dims(0, 1, 3)
    a = g.shaped(U8, head + (m, k), span=(0, 255))
    t = g.one(U8, I8)
    b = g.fresh(t, (k, n), *((0, 127) if t is U8 else (-63, 63)),
                const=g.chance(0.8))
    if g.chance(0.5):
        za = zero(g, U8) if g.chance(0.7) else None
        zb = zero(g, t, g.one((), (n,))) if g.chance(0.7) else None
        return g.emit("MatMulInteger", [a, b, za, zb])
    if g.chance(0.3):
        return g.emit("MatMulIntegerToFloat", [
            a, b, scale(g), scale(g, g.one((), (n,))), zero(g, U8),
            zero(g, t) if g.chance(0.5) else None,
            g.fresh(F32, (n,)) if g.chance(0.5) else None], domain=MS)
    return g.emit("QLinearMatMul", [a, scale(g), zero(g, U8), b, scale(g),
                                    zero(g, t), scale(g, lo=0.3, hi=0.6),
                                    zero(g, U8)], soft=True)


def gemm(g):
    m, k, n = g.dim(9), g.dim(17), g.dim(9)
    ta, tb = g.int(0, 1), g.int(0, 1)
    t = g.one(U8, I8)
    a = g.shaped(U8, (k, m) if ta else (m, k), span=(0, 255))
    b = g.fresh(t, (n, k) if tb else (k, n), *((0, 127) if t is U8 else
                                               (-63, 63)), const=True)
    each = g.one((), (n,))
    ins = [a, scale(g), zero(g, U8), b, scale(g, each), zero(g, t, each),
           g.fresh(I32, g.one((n,), (1, n)), -500, 500)
           if g.chance(0.6) else None]
    if g.chance(0.6):
        ins += [scale(g, lo=0.3, hi=0.6), zero(g, U8)]
    return g.emit("QGemm", ins, domain=MS, soft=True, transA=ta, transB=tb,
                  alpha=g.one(None, 1.0, 0.5))


def dynamic_matmul(g):
    m, k, n = g.dim(9), g.dim(9), g.dim(9)
    x = g.fresh(F32, (m, k), const=False)
    b = g.fresh(I8, (k, n), -63, 63, const=True)
    return g.emit("DynamicQuantizeMatMul", [
        x, b, scale(g), zero(g, I8) if g.chance(0.5) else None,
        g.fresh(F32, (n,)) if g.chance(0.5) else None], domain=MS)


def conv(g):
    n = g.one(1, 1, 2)
    cin, cout, k, s = n * g.int(1, 3), n * g.int(1, 4), g.one(1, 3), \
        g.int(3, 8)
    p, r = g.int(0, k // 2), g.int(1, 2)
    a = dict(group=n, pads=[p] * 4, strides=[r, r],
             kernel_shape=g.maybe([k, k]))
    x = g.shaped(U8, (1, cin, s, s), span=(0, 255))
    if g.chance(0.4):
        w = g.fresh(U8, (cout, cin // n, k, k), 0, 127, const=True)
        return g.emit("ConvInteger", [
            x, w, zero(g, U8) if g.chance(0.7) else None,
            zero(g, U8) if g.chance(0.5) else None], **a)
    t = g.one(U8, I8)
    w = g.fresh(t, (cout, cin // n, k, k), *((0, 127) if t is U8 else
                                             (-63, 63)), const=True)
    each = (cout,) if t is I8 and g.chance(0.5) else ()
    zw = g.given(np.zeros(each, t)) if each else zero(g, t)
    bias = g.fresh(I32, (cout,), -500, 500, const=True) if g.chance(0.6) \
        else None
    return g.emit("QLinearConv", [
        x, scale(g), zero(g, U8), w, scale(g, each), zw,
        scale(g, lo=0.3, hi=0.6), zero(g, U8), bias], soft=True, **a)


def linear(g):
    """Operators of com.microsoft on quantised maps."""
    op = g.one("QLinearAdd", "QLinearMul", "QLinearLeakyRelu",
               "QLinearSigmoid", "QLinearConcat", "QLinearAveragePool",
               "QLinearGlobalAveragePool")
    t = g.one(U8, I8)
    q = lambda shape: [g.shaped(t, shape, span=(0, 120)), scale(g),
                       zero(g, t)]
    y = [scale(g, lo=0.05, hi=0.1), zero(g, t)]
    how = dict(domain=MS, soft=True)
    if op in ("QLinearAdd", "QLinearMul"):
        s = g.dims(1, 4)
        return g.emit(op, q(s) + q(g.one(s, s[-1:])) + y, **how)
    if op == "QLinearConcat":
        s = g.dims(2, 3)
        return g.emit(op, y + q(s) + q(s), axis=g.axis(len(s)), **how)
    x = q((1, g.int(1, 3), g.int(3, 6), g.int(3, 6)))
    if op == "QLinearAveragePool":
        a = dict(kernel_shape=[g.int(1, 3), 2], strides=g.maybe([2, 1]),
                 ceil_mode=g.one(None, 0, 1),
                 count_include_pad=g.one(None, 0, 1))
        if a["ceil_mode"]:      # ORT counts here what lies behind all pads
            a["count_include_pad"] = None
        return g.emit(op, x + y, **a, **how)
    if op == "QLinearLeakyRelu":
        return g.emit(op, x + y, alpha=g.maybe(0.1), **how)
    if op == "QLinearSigmoid":
        return g.emit(op, x + [g.given(np.array(1 / 256, F32)),
                               g.given(np.array(0 if t is U8 else -128, t))],
                      **how)
    return g.emit(op, x + y, channels_last=g.one(0, 0, 1), **how)


def softmax(g):
    t = g.one(U8, I8)
    s, opset = g.dims(1, 4), g.one(11, 12, 13, 17)
    return g.emit("QLinearSoftmax", [
        g.shaped(t, s, span=(0, 120)), scale(g), zero(g, t),
        g.given(np.array(1 / 256, F32)),
        g.given(np.array(0 if t is U8 else -128, t))], domain=MS, soft=True,
        opset=opset, axis=g.axis(len(s)))


def max_pool(g):
    x = g.shaped(g.one(U8, I8), (1, g.int(3, 7), g.int(3, 7), g.int(1, 9)),
                 span=(0, 100))
    return g.emit("NhwcMaxPool", [x], domain=MS, kernel_shape=[2, g.int(1, 3)],
                  strides=g.maybe([2, 1]), pads=g.maybe([0, 0, 1, 0]),
                  ceil_mode=g.one(None, 0, 1))


FAMILIES = {
    "quantise": (quantise, 3), "dequantise": (dequantise, 2),
    "blocked": (blocked, 0.7), "four": (four, 0.5),
    "dynamic": (dynamic, 0.7),
    "q_matmul": (matmul, 2), "dynamic_matmul": (dynamic_matmul, 0.5),
    "q_max_pool": (max_pool, 0.4),
    "q_gemm": (gemm, 1), "q_softmax": (softmax, 0.5),
    "q_conv": (conv, 2), "q_linear": (linear, 2),
}
