"""ops_net.py - draws layers: convolutions, pools, norms, products, cells,
and chains of them as networks have."""
import numpy as np

from graph import F16, F32, F64, FLOATS, I32, I64, MS, U8, Redraw


def window(g, d, dilated=True, pools=False):
    """The attributes of a window over maps of d axes, and a map's size."""
    k = [g.one(1, 2, 3, 3, 5) for _ in range(d)]
    a = {"kernel_shape": k, "strides": g.maybe([g.one(1, 1, 2, 3)
                                                for _ in range(d)], 0.7)}
    if dilated:
        a["dilations"] = g.maybe([g.one(1, 1, 2, 3) for _ in range(d)], 0.4)
    a["auto_pad"] = g.one(None, None, None, "NOTSET", "SAME_UPPER",
                          "SAME_LOWER", "VALID")
    if a["auto_pad"] in (None, "NOTSET"):
        a["pads"] = g.maybe([g.int(0, k[i % d] // 2 if g.chance(0.8) else
                                   k[i % d] - 1) for i in range(2 * d)], 0.8)
    elif a["auto_pad"] != "VALID":
        # ORT crops x where a stride is larger than the window; its pools may
        # give nothing with dilations.
        a["strides"] = [min(s, w) for s, w in zip(a["strides"] or [1] * d, k)]
        if pools:
            a["dilations"] = None
    span = [(k[i] - 1) * (a.get("dilations") or [1] * d)[i] + 1
            for i in range(d)]
    most = {1: 24, 2: 12, 3: 7}[d]
    size = [g.int(min(s, most), max(s, most)) for s in span]
    return a, size, span


def map_of(g, t, channels, size):
    n = g.one(1, 1, 2)
    if g.chance(0.5):
        v = g.pick((t,), fits=lambda v: v.rank == len(size) + 2 and
                   v.shape[1] == channels and
                   all(a >= b for a, b in zip(v.shape[2:], size)) and
                   v.a.size < 2000)
        if v:
            return v
    return g.fresh(t, (n, channels, *size))



def weight(g, t, shape):
    """Often with zeros, as what is pruned."""
    a = g.np.uniform(-1, 1, shape).astype(F32).astype(t)
    if g.chance(0.4):
        a[g.np.random(shape) < g.r.uniform(0.3, 0.95)] = 0
    return g.given(a, g.chance(0.85), exact=False)


def groups(g):
    """(groups, channels in, channels out)"""
    n = g.one(1, 1, 1, 2, 3, 4)
    if g.chance(0.2):
        n = g.one(4, 8)
        return n, n, n * g.one(1, 1, 2)
    return n, n * g.int(1, 4), n * g.int(1, 5)


def conv(g):
    d = g.one(1, 2, 2, 2, 3)
    n, cin, cout = groups(g)
    a, size, _ = window(g, d)
    t = g.type(F32, F32, F64, F16)
    x = map_of(g, t, cin, size)
    w = weight(g, t, [cout, cin // n] + a["kernel_shape"])
    b = weight(g, t, [cout]) if g.chance(0.6) else None
    if g.chance(0.3):
        a["kernel_shape"] = None
    a["group"] = n if n > 1 else g.maybe(1)
    if t is F32 and g.chance(0.15):
        act = g.one("Relu", "LeakyRelu", "Tanh", "Sigmoid", "Clip",
                    "HardSigmoid")
        args = {"LeakyRelu": [0.1], "Clip": [-0.5, 1.0],
                "HardSigmoid": [0.2, 0.5]}.get(act)
        return g.emit("FusedConv", [x, w, b], domain=MS, activation=act,
                      activation_params=args, **a)
    return g.emit("Conv", [x, w, b], **a)


def conv_transpose(g):
    d = g.one(1, 2, 2, 3)
    n, cin, cout = groups(g)
    a, size, _ = window(g, d)
    t = g.type(F32, F32, F64)
    x = map_of(g, t, cin, [max(1, s // 2) for s in size])
    w = weight(g, t, [cin, max(cout // n, 1)] + a["kernel_shape"])
    b = weight(g, t, [max(cout // n, 1) * n]) if g.chance(0.6) else None
    strides = a["strides"] or [1] * d
    if any(s > 1 for s in strides) and g.chance(0.4):
        a["output_padding"] = [g.int(0, s - 1) for s in strides]
    if g.chance(0.15) and not a.get("pads"):
        a["output_shape"] = [(s - 1) * r + g.int(1, r + 1)
                             for s, r in zip(x.shape[2:], strides)]
    return g.emit("ConvTranspose", [x, w, b], group=n if n > 1 else None, **a)


def deform(g):
    k, s, n = g.one(1, 2, 3), g.int(4, 6), g.one(1, 2)
    cin, cout, og = n * 2, n * g.int(1, 2), g.one(1, 2)
    pad = g.int(0, 1)
    o = s + 2 * pad - k + 1
    x, w = g.fresh(F32, (1, cin, s, s)), weight(g, F32, [cout, cin // n, k, k])
    off = g.fresh(F32, (1, og * k * k * 2, o, o), -1.5, 1.5, const=False)
    b = weight(g, F32, [cout]) if g.chance(0.5) else None
    mask = g.fresh(F32, (1, og * k * k, o, o), 0, 1) if g.chance(0.5) \
        else None
    return g.emit("DeformConv", [x, w, off, b, mask], group=n,
                  offset_group=og, pads=[pad] * 4, kernel_shape=[k, k])


def pool(g):
    op = g.one("MaxPool", "MaxPool", "AveragePool", "AveragePool", "LpPool")
    d = g.one(1, 2, 2, 2, 3)
    a, size, span = window(g, d, op != "AveragePool" and g.opset >= 10 or
                     g.opset >= 19, True)
    if op == "LpPool" and g.opset < 18:
        a["dilations"] = None
    a["ceil_mode"] = g.one(None, 0, 1) if op != "LpPool" or g.opset >= 18 \
        else None
    t = g.type(F32, F32, F64, F16)
    if op == "MaxPool" and g.opset >= 12 and g.chance(0.1):
        t = g.one(U8, np.int8)
    x = map_of(g, t, g.int(1, 4), size)
    if op == "AveragePool":
        a["count_include_pad"] = g.one(None, 0, 1)
    if op == "LpPool":
        a["p"] = g.one(None, 1, 2, 3)
    both = op == "MaxPool" and g.chance(0.25)
    if both:
        a["storage_order"] = g.one(None, 0, 1)
    pads = a.get("pads") or [0] * 2 * d
    if any(n + lo + hi < s for n, lo, hi, s in zip(
            x.shape[2:], pads[:d], pads[d:], span)):
        raise Redraw("no window fits")
    return g.emit(op, [x], [True, True] if both else 1, **a)


def global_pool(g):
    x = g.take((F32, F32, F64), lo=3, hi=5)
    op = g.one("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool")
    return g.emit(op, [x], p=g.one(None, 1, 2, 3) if "Lp" in op else None)


def unpool(g):
    d = g.one(1, 2, 2)
    x = g.fresh(F32, (1, g.int(1, 3)) + (g.one(4, 6),) * d, exact=False)
    y, i = g.emit("MaxPool", [x], [True, True], kernel_shape=[2] * d,
                  strides=[2] * d)
    shape = g.ints(x.shape) if g.chance(0.4) else None
    return g.emit("MaxUnpool", [y, i, shape], kernel_shape=[2] * d,
                  strides=[2] * d)


def vector(g, t, n, lo=-1, hi=1):
    return g.fresh(t, (n,), lo, hi, const=g.chance(0.8))


EPSILON = 1e-5, 1e-3, 1e-2


def batch_norm(g):
    x = g.take((F32, F32, F64, F16), lo=2, hi=5)
    c = x.shape[1]
    rest = [vector(g, x.t, c, 0.5, 2), vector(g, x.t, c), vector(g, x.t, c),
            vector(g, x.t, c, 0.2, 2)]
    return g.emit("BatchNormalization", [x] + rest,
                  epsilon=g.maybe(g.one(*EPSILON)), momentum=g.maybe(0.8))


def norm(g):
    op = g.one("InstanceNormalization", "LayerNormalization",
               "GroupNormalization", "RMSNormalization",
               "MeanVarianceNormalization", "LRN", "ms", "Simplified")
    x = g.take((F32, F32, F64, F16), lo=3 if op[0] in "IG" else 2)
    t, eps = x.t, g.maybe(g.one(*EPSILON))
    if op == "InstanceNormalization":
        if x.a[:1, :1].size < 2:
            raise Redraw("one value's deviation: ORT's is its rounding")
        return g.emit(op, [x, vector(g, t, x.shape[1]),
                           vector(g, t, x.shape[1])], epsilon=eps)
    if op == "GroupNormalization":
        n = g.one(*[n for n in range(1, x.shape[1] + 1)
                    if x.shape[1] % n == 0] or [1])
        c = x.shape[1] if g.opset >= 21 else n
        return g.emit(op, [x, vector(g, t, c), vector(g, t, c)],
                      num_groups=n, epsilon=eps)
    if op == "MeanVarianceNormalization":
        axes = sorted(a % x.rank for a in g.axes(x.rank))
        return g.emit(op, [x], axes=g.maybe(axes) if x.rank == 4 else axes)
    if op == "LRN":
        return g.emit(op, [x], size=g.int(1, 5), alpha=g.maybe(0.01),
                      beta=g.maybe(0.5), bias=g.maybe(2.0))
    if op in ("ms", "Simplified"):
        return skip_norm(g, op == "Simplified")
    a = g.axis(x.rank)
    s = g.fresh(t, x.shape[a % x.rank:], 0.5, 1.5)
    a = g.maybe(a) if a in (-1, x.rank - 1) else a
    if op == "RMSNormalization":
        return g.emit(op, [x, s], axis=a, epsilon=eps)
    b = g.fresh(t, s.shape) if g.chance(0.6) else None
    return g.emit(op, [x, s, b], axis=a, epsilon=eps)


def skip_norm(g, simple):
    x = g.take(F32, lo=3, hi=3)
    n = x.shape[-1]
    ins = [x, g.shaped(F32, x.shape), vector(g, F32, n, 0.5, 1.5)]
    more = [] if simple else [vector(g, F32, n) if g.chance(0.6) else None]
    more.append(vector(g, F32, n) if g.chance(0.4) else None)
    outs = [True, False, False, True] if g.chance(0.3) else 1
    op = "SkipSimplifiedLayerNormalization" if simple else \
        "SkipLayerNormalization"
    return g.emit(op, ins + more, outs, domain=MS,
                  epsilon=g.maybe(g.one(*EPSILON)))


def product(g, t, x, y):
    """Operands of x and y, which may be constants."""
    return g.shaped(t, x), (weight(g, t, y) if g.chance(0.5) and
                            t in FLOATS else g.shaped(t, y))


def matmul(g):
    t = g.type(F32, F32, F64, F16, I32, I64)
    m, k, n = g.dim(17), g.dim(17), g.dim(17)
    head = g.dims(0, 2, 3)
    x, y = list(head) + [m, k], list(head) + [k, n]
    how = g.int(0, 5)
    if how == 0:
        x = [k]
    elif how == 1:
        y = [k]
    elif how == 2:
        y = [k, n]
    elif how == 3:
        x = [1 if g.chance(0.5) else d for d in head] + [m, k]
    a, b = product(g, t, x, y)
    if t is F32 and g.chance(0.2) and a.rank > 1 and b.rank > 1:
        return fused_matmul(g, head, m, k, n)
    return g.emit("MatMul", [a, b])


def fused_matmul(g, head, m, k, n):
    ta, tb = g.int(0, 1), g.int(0, 1)
    a = g.shaped(F32, list(head) + ([k, m] if ta else [m, k]))
    b = g.shaped(F32, list(head) + ([n, k] if tb else [k, n]))
    return g.emit("FusedMatMul", [a, b], domain=MS, alpha=g.maybe(0.5),
                  transA=ta or g.one(None, 0), transB=tb or None)


def gemm(g):
    t = g.type(F32, F32, F64, F16)
    m, k, n = g.dim(17), g.dim(17), g.dim(33)
    ta, tb = g.one(None, 0, 1), g.one(None, 0, 1)
    a, b = product(g, t, [k, m] if ta else [m, k], [n, k] if tb else [k, n])
    c = g.fresh(t, g.one((n,), (n,), (1, n), (m, 1), (m, n), (1, 1), ())) \
        if g.opset < 11 or g.chance(0.7) else None
    how = {"alpha": g.maybe(0.5), "beta": g.maybe(0.25), "transA": ta,
           "transB": tb}
    if t is F32 and g.chance(0.15):
        return g.emit("FusedGemm", [a, b, c], domain=MS, activation=g.one(
            "Relu", "Tanh", "Sigmoid"), **how)
    return g.emit("Gemm", [a, b, c], **how)


CELLS = {"RNN": 1, "GRU": 3, "LSTM": 4}


def cell(g):
    op = g.one(*CELLS)
    k = CELLS[op]
    s, b, i, h = g.int(1, 5), g.int(1, 3), g.int(1, 5), g.int(1, 6)
    way = g.one("forward", "forward", "reverse", "bidirectional")
    n = 1 + (way == "bidirectional")
    w = lambda *s: g.fresh(F32, s, -0.6, 0.6, const=g.chance(0.9))
    batch = g.opset >= 14 and g.chance(0.1)
    x = g.shaped(F32, (b, s, i) if batch else (s, b, i))
    state = (b, n, h) if batch else (n, b, h)
    ins = [x, w(n, k * h, i), w(n, k * h, h)]
    ins.append(w(n, 2 * k * h) if g.chance(0.6) else None)
    ins.append(g.fresh(I32, (b,), 1, s) if g.chance(0.25) else None)
    ins.append(g.fresh(F32, state) if g.chance(0.4) else None)
    if op == "LSTM":
        ins.append(g.fresh(F32, state) if g.chance(0.4) else None)
        ins.append(w(n, 3 * h) if g.chance(0.25) else None)
    a = {"hidden_size": h, "direction": way if n > 1 else g.maybe(way, 1),
         "layout": 1 if batch else None, "clip": g.maybe(0.8, 0.15)}
    if g.chance(0.3):
        one = {"RNN": 1, "GRU": 2, "LSTM": 3}[op]
        names = g.one("Tanh", "Sigmoid", "Relu", "Softsign", "Softplus")
        acts = ([names] if op == "RNN" else
                ["Sigmoid", names] + ["Tanh"] * (one - 2))
        a["activations"] = acts * n
    if op == "GRU":
        a["linear_before_reset"] = g.one(None, 0, 1)
    if op == "LSTM":
        a["input_forget"] = g.maybe(1, 0.1)
    outs = [g.chance(0.7) for _ in range(2 + (op == "LSTM"))]
    if not any(outs):
        outs[0] = True
    return g.emit(op, ins, outs, **a)


def block(g):
    """What compilers fuse: a layer, scale and shift, a residual, an
    activation, a pool; weights of some size, often sparse."""
    c, o, n = g.one(8, 16, 17, 32), g.one(8, 16, 24, 32), g.int(4, 14)
    x = g.shaped(F32, (1, c, n, n), 0.3)
    k, r = g.one(1, 1, 3, 3, 5), g.one(1, 1, 2)
    deep = g.chance(0.2)
    o = c if deep else o
    w = weight(g, F32, [o, 1 if deep else c, k, k])
    y = g.emit("Conv", [x, w, vector(g, F32, o) if g.chance(0.5) else None],
               pads=[k // 2] * 4, strides=[r, r], group=c if deep else None)
    if g.chance(0.5):
        y = g.emit("BatchNormalization", [
            y, vector(g, F32, o, 0.5, 2), vector(g, F32, o),
            vector(g, F32, o), vector(g, F32, o, 0.2, 2)])
    if g.chance(0.4):
        z = x if x.shape == y.shape and g.chance(0.7) else \
            g.shaped(F32, g.one(y.shape, (o, 1, 1), (1, o, 1, 1)))
        y = g.emit(g.one("Add", "Add", "Mul"), [y, z])
    if g.chance(0.6):
        y = g.emit(g.one("Relu", "Sigmoid", "LeakyRelu", "Tanh", "Elu",
                         "Softplus"), [y])
    if g.chance(0.2):
        y = g.emit("Mul", [y, g.emit("Sigmoid", [y])])
    if g.chance(0.3):
        y = g.emit(g.one("MaxPool", "AveragePool"), [y],
                   kernel_shape=[2, 2], strides=[2, 2])
    if g.chance(0.3):
        y = g.emit("GlobalAveragePool", [y])
        y = g.emit("Flatten", [y])
        y = g.emit("Gemm", [y, weight(g, F32, [10, o]),
                            vector(g, F32, 10)], transB=1)
    return y


FAMILIES = {
    "conv": (conv, 6), "conv_transpose": (conv_transpose, 3),
    "deform": (deform, 0.7), "pool": (pool, 5),
    "global_pool": (global_pool, 1), "unpool": (unpool, 0.5),
    "batch_norm": (batch_norm, 2), "norm": (norm, 4), "matmul": (matmul, 5),
    "gemm": (gemm, 3), "cell": (cell, 3), "block": (block, 3),
}
