"""ops_move.py - draws what moves values: shapes, slices, gathers, pads."""
import numpy as np
from onnx import numpy_helper

from graph import B1, F16, F32, F64, I8, I32, I64, U8, Redraw

MOVED = (F32, F32, F16, F64, I64, I32, I8, U8, B1)


def factors(g, n):
    """Dimensions whose product is n."""
    out = []
    for _ in range(g.int(0, 3)):
        d = g.one(*[d for d in range(1, n + 1) if n % d == 0])
        out.append(d)
        n //= d
    out.append(n)
    g.r.shuffle(out)
    return out


def reshape(g):
    x = g.take(MOVED)
    if x.a.size == 0:
        raise Redraw("empty")
    s = factors(g, x.a.size)
    if x.a.size == 1 and g.chance(0.2):
        s = []
    if s and g.chance(0.5):
        s[g.int(0, len(s) - 1)] = -1
    for i, d in enumerate(s):
        if i < x.rank and d == x.shape[i] and g.chance(0.4):
            s[i] = 0
    allow = None if 0 in s else g.one(None, 0, 1)
    return g.emit("Reshape", [x, g.ints(np.array(s, I64))], allowzero=allow)


def flatten(g):
    x = g.take(MOVED, lo=0)
    a = g.int(-x.rank if g.opset >= 11 else 0, x.rank)
    return g.emit("Flatten", [x], axis=g.maybe(a, 0.8))


def squeeze(g):
    x = g.take(MOVED)
    ones = [i - (x.rank if g.chance(0.3) and g.opset >= 11 else 0)
            for i, d in enumerate(x.shape) if d == 1]
    axes = g.r.sample(ones, g.int(1, len(ones))) if ones and \
        g.chance(0.8) else None
    if g.opset < 13:
        return g.emit("Squeeze", [x], axes=axes)
    return g.emit("Squeeze", [x] + ([g.ints(axes)] if axes else []))


def unsqueeze(g):
    x = g.take(MOVED, hi=3)
    n = g.int(1, 2)
    axes = g.r.sample(range(x.rank + n), n)
    if g.opset >= 11 and g.chance(0.4):
        axes = [a - x.rank - n for a in axes]
    if g.opset < 13:
        return g.emit("Unsqueeze", [x], axes=axes)
    return g.emit("Unsqueeze", [x, g.ints(axes)])


def transpose(g):
    x = g.take(MOVED)
    p = list(range(x.rank))
    g.r.shuffle(p)
    return g.emit("Transpose", [x], perm=g.maybe(p, 0.8) if p else None)


def expand(g):
    x = g.take(MOVED, hi=3)
    s = [g.dim(4) if d == 1 else g.one(d, d, 1) for d in x.shape]
    s = s[g.int(0, len(s)):] if g.chance(0.2) else s
    if len(s) == x.rank and g.chance(0.4):
        s = [g.dim(3)] + s
    return g.emit("Expand", [x, g.ints(np.array(s, I64))])


def shape(g):
    x = g.take(MOVED)
    if g.chance(0.2):
        return g.emit("Size", [x])
    return g.emit("Shape", [x], start=g.maybe(g.int(-x.rank - 1, x.rank), .4),
                  end=g.maybe(g.int(-x.rank - 1, x.rank + 1), 0.4))


def tile(g):
    x = g.take(MOVED, hi=3)
    r = [g.one(1, 1, 2, 3) for _ in x.shape]
    if g.chance(0.05) and r:
        r[0] = 0
    return g.emit("Tile", [x, g.ints(np.array(r, I64))])


def concat(g):
    x = g.take(MOVED, lo=1)
    a = g.axis(x.rank)
    parts = [x]
    for _ in range(g.one(0, 1, 1, 2, 3)):
        s = list(x.shape)
        s[a] = g.dim(4) if g.chance(0.93) else 0
        parts.append(g.shaped(x.t, s) if g.chance(0.8) else x)
    g.r.shuffle(parts)
    return g.emit("Concat", parts, axis=a)


def split(g):
    x = g.take(MOVED, lo=1)
    a = g.axis(x.rank)
    n, d = g.int(1, 3), x.shape[a]
    cuts = sorted(g.int(0, d) for _ in range(n - 1))
    sizes = np.diff([0] + cuts + [d]).tolist()
    outs = [g.chance(0.85) for _ in range(n)]
    if not any(outs):
        outs[0] = True
    if g.chance(0.4):
        parts = g.maybe(n, 1) if g.opset >= 18 else None
        if d % n and g.opset < 18:
            raise Redraw("uneven")
        return g.emit("Split", [x], outs, axis=a, num_outputs=parts)
    if g.opset < 13:
        return g.emit("Split", [x], outs, axis=a, split=sizes)
    return g.emit("Split", [x, g.ints(sizes)], outs, axis=g.maybe(a, 1))


def slice_range(g, d):
    step = g.one(1, 1, 2, 3, -1, -1, -2)
    lo, hi = g.int(-1, d), g.int(-1, d + 1)
    if step > 0:
        start, stop = min(lo, hi), max(lo, hi)
        start = max(start, 0)
        stop = g.one(stop, 2**31 - 1, 2**63 - 1, stop - d if stop < d and
                     stop > 0 else stop)
    else:
        start, stop = max(lo, hi), min(lo, hi)
        stop = g.one(-2**31, -2**63, -d - 1) if stop < 0 else stop
        start = g.one(start, start, 2**31 - 1, 2**63 - 1)
    if 0 < start < d and g.chance(0.3):
        start -= d
    return start, stop, step


def slice_(g):
    x = g.take(MOVED, lo=1)
    axes = g.axes(x.rank)
    t = g.one(I64, I64, I32)
    cut = [slice_range(g, x.shape[a]) for a in axes]
    if t is I32:
        cut = [tuple(max(min(v, 2**31 - 1), -2**31) for v in c) for c in cut]
    start, stop, step = zip(*cut)
    if g.opset < 10:
        if any(s != 1 for s in step):
            raise Redraw("a step")
        return g.emit("Slice", [x], starts=start, ends=stop,
                      axes=[a % x.rank for a in axes])
    ins = [x, g.ints(start, t), g.ints(stop, t), g.ints(axes, t)]
    if any(s != 1 for s in step) or g.chance(0.3):
        ins.append(g.ints(step, t))
    elif axes == list(range(len(axes))) and g.chance(0.5):
        ins.pop()
    return g.emit("Slice", ins)


def pad(g):
    mode = g.one(None, "constant", "constant", "reflect", "edge", "wrap")
    x = g.take((F32, F32, F16, F64, I64, I32, I8, U8, B1), lo=1)
    if 0 in x.shape and mode in ("reflect", "edge", "wrap"):
        raise Redraw("empty")
    axes = g.axes(x.rank) if g.opset >= 18 and g.chance(0.4) else None
    dims = [x.shape[a] for a in axes] if axes else x.shape

    def one(d):
        most = {"reflect": d - 1, "wrap": d}.get(mode, 3)
        if g.chance(0.1) and mode in (None, "constant"):
            return -g.int(0, d // 2)
        return g.int(0, min(3, most))
    pads = [one(d) for d in dims] + [one(d) for d in dims]
    if g.opset < 11:
        return g.emit("Pad", [x], mode=mode, pads=pads, value=g.maybe(0.5))
    value = g.fresh(x.t, (), const=g.chance(0.8)) if g.chance(0.5) else None
    return g.emit("Pad", [x, g.ints(pads), value,
                          g.ints(axes, g.one(I64, I32)) if axes else None],
                  mode=mode)


def center(g):
    x = g.take(MOVED, lo=1)
    axes = g.axes(x.rank)
    size = [g.int(1, x.shape[a] + 3) for a in axes]
    if g.chance(0.3):
        axes, size = None, [g.int(1, d + 3) for d in x.shape]
    return g.emit("CenterCropPad", [x, g.ints(size)], axes=axes)


def space_depth(g):
    b = g.one(1, 2, 2, 3)
    h, w = g.int(1, 3), g.int(1, 3)
    n, c = g.dim(2), g.int(1, 3)
    t = g.type(F32, F64, U8, F16)
    if g.chance(0.4):
        x = g.shaped(t, (n, c, h * b, w * b))
        return g.emit("SpaceToDepth", [x], blocksize=b)
    x = g.shaped(t, (n, c * b * b, h, w))
    return g.emit("DepthToSpace", [x], blocksize=b,
                  mode=g.one(None, "DCR", "CRD"))


def filled(g):
    """What makes its values itself."""
    op = g.one("ConstantOfShape", "Range", "EyeLike")
    if op == "ConstantOfShape":
        t = g.one(F32, F64, F16, I32, I64, U8, B1)
        value = numpy_helper.from_array(np.array([g.int(0, 3)]).astype(t))
        s = g.ints(np.array(g.dims(0, 3), I64))
        return g.emit(op, [s], value=g.maybe(value, 0.8))
    if op == "Range":
        t = g.one(F32, I64, I32, F64)
        step = g.one(1, 2, -1, -3)
        start = g.int(-3, 3)
        stop = start + step * g.int(0, 6)
        return g.emit(op, [g.given(np.array(v, t))
                           for v in (start, stop, step)])
    x = g.take((F32, F64, I32, I64), lo=2, hi=2)
    return g.emit(op, [x], k=g.maybe(g.int(-2, 2)), dtype=g.one(None, 1, 7))


def trilu(g):
    x = g.take((F32, F64, I64, B1), lo=2)
    k = g.given(np.array(g.int(-3, 3), I64)) if g.chance(0.7) else None
    return g.emit("Trilu", [x, k], upper=g.one(None, 0, 1))


def indices(g, shape, d, least=None):
    if d == 0:
        raise Redraw("nothing to index")
    t = g.one(I64, I64, I32)
    lo = -d if g.chance(0.3) and g.opset >= 11 else 0
    if least is not None:
        lo = least
    return g.fresh(t, shape, lo, d - 1)


def gather(g):
    x = g.take(MOVED, lo=1)
    a = g.axis(x.rank)
    i = indices(g, g.dims(0, 2, 4), x.shape[a])
    return g.emit("Gather", [x, i], axis=g.maybe(a, 0.8) if a == 0 else a)


def gather_elements(g):
    x = g.take(MOVED, lo=1)
    a = g.axis(x.rank)
    s = [g.int(1, max(d, 1)) for d in x.shape]
    s[a] = g.int(1, 5)
    return g.emit("GatherElements", [x, indices(g, s, x.shape[a])], axis=a)


def gather_nd(g):
    x = g.take(MOVED, lo=1, fits=lambda v: v.a.size > 0)
    b = g.int(0, x.rank - 1) if g.opset >= 12 and g.chance(0.4) else 0
    k = g.int(1, x.rank - b)
    s = tuple(x.shape[:b]) + g.dims(0, 2, 4)
    if b == 0 and len(s) == 0:
        s = (2,)
    parts = [g.np.integers(-d if g.opset >= 11 and g.chance(0.3) else 0, d, s)
             for d in x.shape[b:b + k]]
    i = g.given(np.stack(parts, -1).astype(I64), g.chance(0.6))
    return g.emit("GatherND", [x, i], batch_dims=b or g.one(None, 0))


def compress(g):
    x = g.take(MOVED, lo=1)
    a = g.axis(x.rank) if g.chance(0.7) else None
    n = x.a.size if a is None else x.shape[a]
    if n == 0:
        raise Redraw("empty")
    c = g.given(g.np.random(g.int(1, n)) < 0.6)
    return g.emit("Compress", [x, c], axis=a)


def one_hot(g):
    n = g.int(2, 5)
    i = g.fresh(g.one(I64, I32, F32), g.dims(0, 3, 4), -n, n - 1)
    if i.t is F32:
        i = g.emit("Floor", [i])
    depth = g.given(np.array(n, g.one(I64, I32, F32)))
    v = g.fresh(g.one(F32, I64, I32), (2,), const=True)
    return g.emit("OneHot", [i, depth, v], axis=g.maybe(g.axis(i.rank + 1)))


def reverse(g):
    x = g.take(MOVED, lo=2)
    time = g.int(0, 1)
    lens = g.fresh(I64, (x.shape[1 - time],), 1, max(x.shape[time], 1))
    if 0 in x.shape:
        raise Redraw("empty")
    return g.emit("ReverseSequence", [x, lens], time_axis=time,
                  batch_axis=1 - time)


def distinct(g, n, shape, axis):
    """Indices below n, no two alike along axis."""
    a = np.argsort(g.np.random(shape[:axis] + [n] + shape[axis + 1:]), axis)
    return np.take(a, range(shape[axis]), axis)


def scatter(g):
    x = g.take((F32, F32, F64, F16, I64, I32), lo=1,
               fits=lambda v: v.a.size > 0)
    a = g.axis(x.rank)
    s = [g.int(1, d) for d in x.shape]
    how = g.one(None, None, "none", "add", "mul", "max", "min")
    if g.opset < 16 or how in (None, "none"):
        i = distinct(g, x.shape[a], s, a % x.rank)
        how = how if how == "none" and g.opset >= 16 else None
    else:
        s[a] = g.int(1, 6)
        i = g.np.integers(0, x.shape[a], s)
    if g.opset >= 11 and g.chance(0.3):
        i = i - x.shape[a] * (g.np.random(i.shape) < 0.5)
    i = g.given(np.asarray(i).astype(g.one(I64, I32)), g.chance(0.5))
    op = "ScatterElements" if g.opset >= 11 else "Scatter"
    return g.emit(op, [x, i, g.shaped(x.t, s)], axis=a, reduction=how)


def scatter_nd(g):
    x = g.take((F32, F32, F64, I64, I32), lo=1, fits=lambda v: v.a.size > 0)
    k = g.int(1, x.rank)
    head = x.shape[:k]
    cells = int(np.prod(head))
    how = g.one(None, "none", "add", "mul", "max", "min")
    n = g.int(1, min(cells, 4))
    if g.opset < 16 or how in (None, "none"):
        at = g.np.permutation(cells)[:n]
        how = how if g.opset >= 16 else None
    else:
        at = g.np.integers(0, cells, n)
    i = np.stack(np.unravel_index(at, head), -1).astype(I64)
    if g.chance(0.3) and n % 2 == 0:
        i = i.reshape(2, n // 2, k)
    if g.chance(0.2) and g.opset >= 11:
        i = i - np.array(head) * (g.np.random(i.shape) < 0.5)
    u = g.shaped(x.t, i.shape[:-1] + x.shape[k:])
    return g.emit("ScatterND", [x, g.given(i.astype(I64), g.chance(0.5)), u],
                  reduction=how)


def tensor_scatter(g):
    x = g.take((F32, I64), lo=3, fits=lambda v: v.a.size > 0)
    a = g.int(1, x.rank - 1)
    s = list(x.shape)
    mode = g.one(None, "linear", "circular")
    s[a] = g.int(1, s[a])
    most = x.shape[a] - (0 if mode == "circular" else s[a])
    i = g.fresh(I64, (x.shape[0],), 0, max(most - (mode == "circular"), 0)) \
        if g.chance(0.8) else None
    return g.emit("TensorScatter", [x, g.shaped(x.t, s), i],
                  axis=g.one(a, a - x.rank), mode=mode)


def found(g):
    """Counts depend on values, which have to be constant."""
    a, _ = g.numbers(g.one(F32, I64, B1), g.dims(1, 3, 4), -1, 1)
    if a.dtype.type is F32:
        a = np.round(a)
    if g.chance(0.5):
        return g.emit("NonZero", [g.given(a)])
    if a.dtype.type is B1:
        raise Redraw("bool")
    axis = g.one(None, g.axis(a.ndim))
    outs = [True] + [g.chance(0.4) for _ in range(3)]
    return g.emit("Unique", [g.given(a)], outs, axis=axis,
                  sorted=g.one(None, 0, 1))


FAMILIES = {
    "reshape": (reshape, 4), "flatten": (flatten, 2), "squeeze": (squeeze, 2),
    "unsqueeze": (unsqueeze, 2), "transpose": (transpose, 4),
    "expand": (expand, 2), "shape": (shape, 1), "tile": (tile, 2),
    "concat": (concat, 4), "split": (split, 3), "slice": (slice_, 5),
    "pad": (pad, 4), "center": (center, 1), "space_depth": (space_depth, 2),
    "filled": (filled, 2), "trilu": (trilu, 1), "gather": (gather, 3),
    "gather_elements": (gather_elements, 2), "gather_nd": (gather_nd, 2),
    "compress": (compress, 1), "one_hot": (one_hot, 1.5),
    "reverse": (reverse, 1), "scatter": (scatter, 2),
    "scatter_nd": (scatter_nd, 2), "tensor_scatter": (tensor_scatter, 0.7),
    "found": (found, 1),
}
