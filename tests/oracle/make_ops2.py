#!/usr/bin/python3
"""Reference values of the ops over element types, broadcasting, negative
axes, empty and odd sizes, NaN and infinities, computed by PyTorch.

Writes ops2.safetensors and ops2.txt beside itself (see cases.py);
tests/unit/test_oracle.c compares the evaluator and compiled code with them.
Where an op is defined other than PyTorch's (a NaN is never a maximum,
integers divide by 0) the definition is spelled out here.
Needs Debian's python3-torch: /usr/bin/python3 make_ops2.py
"""
import itertools
import math

import torch
import torch.nn.functional as F

from cases import Cases

torch.manual_seed(21)
f32, f64, i32, i64 = torch.float32, torch.float64, torch.int32, torch.int64
f16, bf16, u8, b1 = torch.float16, torch.bfloat16, torch.uint8, torch.bool
NUM, INT, ANY = [f32, i32, i64], [i32, i64], [f32, i32, i64, u8, b1, f16,
                                              bf16]
ELEM = {f32: "f32", i32: "i32", i64: "i64", u8: "u8", b1: "b1", f16: "f16",
        bf16: "bf16"}
inf, nan = math.inf, math.nan
out = Cases()
add = out.add


def draw(*shape, lo=-2.0, hi=2.0):
    """Uniform values that f32 holds exactly, as double."""
    return (torch.rand(shape) * (hi - lo) + lo).float().double()


def some(dtype, *shape):
    """Values of a type; those of f32 as double.  Many are equal."""
    if dtype == f32:
        return torch.randint(-8, 9, shape).double() / 4
    if dtype == b1:
        return torch.rand(shape) < 0.5
    if dtype == u8:
        return torch.randint(0, 256, shape).to(u8)
    if dtype in (f16, bf16):
        return (torch.randint(-60, 61, shape) / 8).to(dtype)
    return torch.randint(-9, 10, shape).to(dtype)


def full(shape, value, dtype):
    return torch.full(shape, value, dtype=f64 if dtype == f32 else dtype)


def f32s(*values):
    """As f32 holds them, in double."""
    return torch.tensor(values, dtype=f64).float().double()


def integers(dtype):
    """Both ends of a type and what is near 0."""
    i = torch.iinfo(dtype)
    return torch.tensor([i.min, i.min + 1, -65536, -7, -2, -1, 0, 1, 2, 3, 8,
                         46341, i.max - 1, i.max], dtype=dtype)


special = f32s(nan, inf, -inf, 0.0, -0.0, 1e-30, -1e-30, 3e38, -3e38, 1.0,
               -1.0, 0.5, -0.5, 2.5, -2.5, 100.0, -100.0, 3.0, -3.0, 6.0)

# ---- one operand ----------------------------------------------------------

x = torch.cat([special, draw(17, lo=-9, hi=9)])
near = torch.cat([f32s(nan, inf, -inf, 0.0, -0.0), draw(32, lo=-900, hi=900)])
unary = [
    ("neg", torch.neg), ("abs", torch.abs), ("square", torch.square),
    ("sign", lambda x: torch.where(x.isnan(), x, torch.sign(x))),
    ("sqrt", torch.sqrt), ("rsqrt", torch.rsqrt), ("exp", torch.exp),
    ("log", torch.log), ("sin", torch.sin), ("cos", torch.cos),
    ("tanh", torch.tanh), ("erf", torch.erf), ("floor", torch.floor),
    ("ceil", torch.ceil), ("round", torch.round),
    ("sigmoid", torch.sigmoid), ("relu", F.relu),
    ("relu6", lambda x: x.clamp(0, 6)), ("hardsigmoid", F.hardsigmoid),
    ("silu", lambda x: x * torch.sigmoid(x)),
    ("hardswish", lambda x: x * F.hardsigmoid(x)),
    ("gelu", lambda x: x / 2 * torch.erfc(-x / math.sqrt(2)))]
for name, f in unary:
    z = near if name in ("sin", "cos") else x
    add(name, name + "(x)", f(z), x=z)
    add(name, name + "(x)", f(z[:0].reshape(0, 3)), x=z[:0].reshape(0, 3))
    add(name, name + "(x)", f(z[-1]), x=z[-1])
    add(name, name + "(x)", f(z[-15:].reshape(3, 1, 5)),
        x=z[-15:].reshape(3, 1, 5))
for shape in [(37,), (0, 3), ()]:
    z = x if shape == (37,) else draw(*shape)
    add("leaky_relu", "leaky_relu(x, alpha=0.125)", F.leaky_relu(z, 0.125),
        x=z)
    add("elu", "elu(x, alpha=1.5)", F.elu(z, 1.5), x=z)
    add("clip", "clip(x, lo=-1.0, hi=4.0)", z.clamp(-1, 4), x=z)
for t in INT:
    z = integers(t)
    for name, f in [("neg", torch.neg), ("abs", torch.abs),
                    ("sign", torch.sign), ("square", lambda x: x * x)]:
        add(name, name + "(x)", f(z), x=z)
        add(name, name + "(x)", f(z[:0]), x=z[:0])

# ---- two operands ---------------------------------------------------------

shapes = [((2, 3, 1, 4), (5, 1)), ((), (7,)), ((0, 3), (1, 3)),
          ((3, 1), (1, 0)), ((1,), (5, 1, 3)), ((33,), (33,)),
          ((2, 1, 17), (2, 3, 1))]


def floor_div(a, b):
    if a.dtype == f64:
        return torch.floor(a / b)
    safe = torch.where(b == 0, torch.ones_like(b), b)
    least = torch.iinfo(a.dtype).min
    ends = (a == least) & (b == -1)   # PyTorch divides: a trap
    q = torch.div(torch.where(ends, torch.zeros_like(a), a), safe,
                  rounding_mode="floor")
    return torch.where(b == 0, 0 * q, torch.where(ends, a, q))


def floor_mod(a, b):
    if a.dtype == f64:
        return torch.remainder(a, b)
    odd = (b == 0) | (b == -1)
    safe = torch.where(odd, torch.ones_like(b), b)
    return torch.where(odd, torch.zeros_like(a), torch.remainder(a, safe))


arithmetic = [
    ("add", torch.add, NUM), ("sub", torch.sub, NUM), ("mul", torch.mul, NUM),
    ("div", torch.div, [f32]), ("floor_div", floor_div, NUM),
    ("floor_mod", floor_mod, NUM), ("atan2", torch.atan2, [f32]),
    ("pow", torch.pow, [f32])]
ordered = [("maximum", lambda a, b: torch.where(a < b, b, a)),
           ("minimum", lambda a, b: torch.where(b < a, b, a))]
compared = [("equal", torch.eq), ("not_equal", torch.ne), ("less", torch.lt),
            ("less_equal", torch.le), ("greater", torch.gt),
            ("greater_equal", torch.ge)]
binary = arithmetic + [(n, f, NUM + [u8, b1]) for n, f in ordered + compared]
for name, f, types in binary:
    for t in types:
        both = shapes if t == f32 else shapes[:4]
        for sa, sb in both:
            a, b = some(t, *sa), some(t, *sb)
            add(name, name + "(a, b)", f(a, b), a=a, b=b)
        if t == f32:
            a, b = special[:, None], special[None, :]
            if name == "pow":   # beyond f32 the result's sign is all there is
                a, b = a[5:], b[:, [0, 3, 9, 10, 13, 14]]
            if name in ("floor_div", "floor_mod"):
                a, b = a[9:], b
            add(name, name + "(a, b)", f(a, b), a=a, b=b)
        elif t in INT:
            a, b = integers(t)[:, None], integers(t)[None, :]
            add(name, name + "(a, b)", f(a, b), a=a, b=b)

for t in ANY:
    for sc, sa, sb in [((2, 1, 3), (3,), (2, 5, 1)), ((), (7,), (7,)),
                       ((0, 1), (4,), ()), ((33,), (33,), (33,)),
                       ((3, 1), (), (1, 5))]:
        c, a, b = some(b1, *sc), some(t, *sa), some(t, *sb)
        add("where", "where(c, a, b)", torch.where(c, a, b), c=c, a=a, b=b)

# ---- element types --------------------------------------------------------

# To halves these are rounded, the first three in the middle; all integers
# fit i32.
reals = f32s(2049, 2051, -257, 0.1, -0.1, 3.999, -3.999, 0, -0.0, 0.5, 1e-7,
             3e-8, 300.25, -300.75)
beyond = torch.cat([reals, f32s(nan, inf, -inf, 65504, 65520, -1e38, 3e38)])
source = {
    f32: {f32: beyond, f16: beyond, bf16: beyond, b1: beyond, i32: reals,
          i64: torch.cat([reals, f32s(-9e18, 1e18)]),
          u8: f32s(0, 0.9, 1.5, 254.99, 255, -0.5, -0.0)},
    i32: dict.fromkeys(ANY, integers(i32)),
    i64: dict.fromkeys(ANY, torch.cat([integers(i64), torch.tensor(
        [2 ** 53 + 1, 2 ** 24 + 1, 2 ** 40 + 3, 65519, 65520])])),
    u8: dict.fromkeys(ANY, torch.arange(0, 256, 5).to(u8)),
    b1: dict.fromkeys(ANY, some(b1, 19)),
    f16: dict.fromkeys(ANY, beyond.half()),
    bf16: dict.fromkeys(ANY, beyond.to(bf16))}
for a, b in itertools.product(ANY, ANY):
    z = source[a][b]
    if a in (f16, bf16) and b in INT + [u8]:
        z = source[f32][u8 if b == u8 else i32].to(a)
        z = z[z.float().abs() < 2e9]
    y = z.to(a).to(b)
    y = y.double() if b == f32 else y
    add("cast", "cast(x, %s)" % ELEM[b], y, x=z)
    add("cast", "cast(x, %s)" % ELEM[b], y[:0].reshape(2, 0),
        x=z[:0].reshape(2, 0))
    add("cast", "cast(x, %s)" % ELEM[b], y[1], x=z[1])

# ---- folds ----------------------------------------------------------------


def fold(name, x, axes, keep):
    """One axis after the other, from the last; those of size 0 give what the
    fold begins with."""
    axes = sorted({a % x.dim() for a in axes} if axes else range(x.dim()),
                  reverse=True)
    if name == "mean":
        n = math.prod(x.shape[a] for a in axes)
        return fold("sum", x, axes, keep) / n if n else fold(
            "sum", x, axes, keep) * nan
    for a in axes:
        if name == "sum":
            x = x.sum(a, True, dtype=x.dtype)
        elif name == "prod":
            x = x.prod(a, True, dtype=x.dtype)
        else:
            x = extreme(name, x, a)
    if not keep:
        for a in axes:
            x = x.squeeze(a)
    return x


def extreme(name, x, a):
    low = name == "max"
    if x.dtype == b1:
        start = not low
    elif x.dtype == f64:
        start = -inf if low else inf
        x = torch.where(x.isnan(), torch.full_like(x, start), x)
    else:
        i = torch.iinfo(x.dtype)
        start = i.min if low else i.max
    shape = list(x.shape)
    shape[a] = 1
    x = torch.cat([torch.full(shape, start, dtype=x.dtype), x], a)
    if x.dtype == b1:
        return x.any(a, True) if low else x.all(a, True)
    return x.amax(a, True) if low else x.amin(a, True)


folds = [((2, 3, 4, 5), [1, -1]), ((2, 3, 4, 5), [-3]), ((2, 3, 4, 5), []),
         ((3, 33), [0]), ((3, 33), [-1]), ((3, 0, 2), [1]),
         ((3, 0, 2), [0]), ((0,), []), ((), []), ((1, 7, 1), [0, 2])]
for name, types in [("sum", NUM), ("mean", [f32]), ("prod", NUM),
                    ("max", NUM + [u8, b1]), ("min", NUM + [u8, b1])]:
    for t in types:
        for k, (shape, axes) in enumerate(folds):
            x, keep = some(t, *shape), k % 3 == 1
            if name == "prod":
                x = torch.where(x == 0, torch.ones_like(x), x)
            add(name, "%s(x, axes=%s, keep=%s)" % (name, axes,
                                                   str(keep).lower()),
                fold(name, x, axes, keep), x=x)
    x = draw(4, 7)
    x[0, 3] = nan
    x[1, 2] = inf
    x[2] = nan
    x[3, 5] = -inf
    add(name, name + "(x, axes=[1])", fold(name, x, [1], False), x=x)
    add(name, name + "(x, axes=[0])", fold(name, x, [0], False), x=x)

for shape, axis in [((2, 3, 5), 1), ((2, 3, 5), -3), ((33,), 0), ((4, 1), 1),
                    ((0, 3), 1), ((3, 0), -1), ((2, 37, 1), 1)]:
    x = draw(*shape, lo=-30, hi=30)
    add("softmax", "softmax(x, axis=%d)" % axis, F.softmax(x, axis), x=x)
x = draw(5, 6)
x[0, 1] = nan
x[1, 2] = inf
x[2, 3] = -inf
x[3] = -inf
x[4] = 1e30
add("softmax", "softmax(x)", F.softmax(x, -1), x=x)
add("softmax", "softmax(x, axis=0)", F.softmax(x, 0), x=x)

# ---- order and running sums -----------------------------------------------

lines = [((2, 3, 5), 1), ((2, 3, 5), -1), ((33,), 0), ((4, 1), -1),
         ((0, 3), 1), ((3, 17, 2), -2)]
tied = torch.tensor([[2, nan, 3, 3, -inf, nan, 2, inf, -0.0, 0.0, inf],
                     [nan] * 11, [-inf] * 11, [inf] * 11,
                     [1, 1, nan, 1, 1, 1, 0, 0, 0, 0, 0]]).double()


def argmax(x, axis, keep):
    """The first of equals; PyTorch lets a NaN win and promises no order."""
    if x.dtype == f64:
        x = torch.where(x.isnan(), torch.full_like(x, -inf), x)
    first = torch.sort(x, dim=axis, descending=True, stable=True)[1]
    y = first.narrow(axis, 0, 1).to(i32)
    return y if keep else y.squeeze(axis)


def flipped(x):
    return 255 - x if x.dtype == u8 else -x


for t in NUM + [u8]:
    for k, (shape, axis) in enumerate(lines):
        x, keep = some(t, *shape), k % 2 == 0
        tail = "(x, axis=%d, keep=%s)" % (axis, str(keep).lower())
        add("argmax", "argmax" + tail, argmax(x, axis, keep), x=x)
        add("argmin", "argmin" + tail, argmax(flipped(x), axis, keep), x=x)
add("argmax", "argmax(x, axis=1)", argmax(tied, 1, False), x=tied)
add("argmin", "argmin(x, axis=1)", argmax(-tied, 1, False), x=tied)
add("argmax", "argmax(x, axis=0)", argmax(tied, 0, False), x=tied)
add("argmin", "argmin(x, axis=0)", argmax(-tied, 0, False), x=tied)


def argsort(x, axis, count, descending):
    y = torch.sort(x, dim=axis, descending=descending, stable=True)[1].to(i32)
    return y if count < 0 else y.narrow(axis, 0, count)


for t in NUM:
    for shape, axis in lines + [((3, 0), 1), ((3, 0), 0), ((2, 70), 1)]:
        for down in (False, True):
            x, n = some(t, *shape), shape[axis]
            for count in sorted({-1, n // 2, min(n, 1)}):
                add("argsort", "argsort(x, axis=%d, count=%d, descending=%s)"
                    % (axis, count, str(down).lower()),
                    argsort(x, axis, count, down), x=x)
for down in (False, True):
    for axis, count in [(1, -1), (0, -1), (1, 3)]:
        add("argsort", "argsort(x, axis=%d, count=%d, descending=%s)"
            % (axis, count, str(down).lower()),
            argsort(tied, axis, count, down), x=tied)


def cumsum(x, axis, exclusive, reverse):
    if reverse:
        x = x.flip(axis)
    y = torch.cumsum(x, axis, dtype=x.dtype)
    if exclusive and x.shape[axis]:
        y = torch.cat([torch.zeros_like(y.narrow(axis, 0, 1)),
                       y.narrow(axis, 0, x.shape[axis] - 1)], axis)
    return y.flip(axis) if reverse else y


for t in NUM:
    for shape, axis in lines + [((3, 0), 1)]:
        for exclusive, reverse in itertools.product((False, True), repeat=2):
            x = some(t, *shape)
            add("cumsum", "cumsum(x, axis=%d, exclusive=%s, reverse=%s)"
                % (axis, str(exclusive).lower(), str(reverse).lower()),
                cumsum(x, axis, exclusive, reverse), x=x)
x = f32s(1, nan, 2, inf, 3, -inf, 4).reshape(1, 7)
add("cumsum", "cumsum(x, axis=1)", cumsum(x, 1, False, False), x=x)
add("cumsum", "cumsum(x, axis=0)", cumsum(x, 0, False, False), x=x)
x = torch.tensor([2 ** 31 - 1, 1, 5], dtype=i32)
add("cumsum", "cumsum(x, axis=0)", cumsum(x, 0, False, False), x=x)

# ---- moving values --------------------------------------------------------

for t in ANY:
    x, z, e = some(t, 2, 3, 5), some(t, 2, 1, 5), some(t, 0, 3)
    if t in (f16, bf16, f32):
        x[0, 0, :3] = torch.tensor([nan, inf, -inf])
    add("reshape", "reshape(x, shape=[5,-1])", x.reshape(5, -1), x=x)
    add("reshape", "reshape(x, shape=[3,7,0])", e.reshape(3, 7, 0), x=e)
    add("reshape", "reshape(x, shape=[])", z[0, 0, :1].reshape(()),
        x=z[0, 0, :1])
    add("permute", "permute(x, order=[2,0,1])", x.permute(2, 0, 1), x=x)
    add("permute", "permute(x, order=[1,0])", e.permute(1, 0), x=e)
    add("expand", "expand(x, shape=[4,2,3,5])", z.expand(4, 2, 3, 5), x=z)
    add("expand", "expand(x, shape=[0,2,3,5])", z.expand(0, 2, 3, 5), x=z)
    add("expand", "expand(x, shape=[3,7])", z[0, 0, 0].expand(3, 7),
        x=z[0, 0, 0])
    add("concat", "concat(x, z, x, axis=-2)", torch.cat([x, z, x], 1), x=x,
        z=z)
    add("concat", "concat(x, e, axis=0)", torch.cat([x[:, :, 0], e]),
        x=x[:, :, 0], e=e)
    add("concat", "concat(x, axis=2)", x, x=x)
    add("slice", "slice(x, axis=-1, start=1, stop=5, step=2)", x[..., 1:5:2],
        x=x)
    add("slice", "slice(x, axis=1, start=-2, stop=-1)", x[:, -2:-1], x=x)
    add("slice", "slice(x, axis=0, start=2, stop=2)", x[2:2], x=x)
    add("slice", "slice(x, axis=-2, start=0, stop=3, step=4)", x[:, 0:3:4],
        x=x)
    add("select", "select(x, index=-1, axis=-2)", x[:, -1], x=x)
    add("select", "select(x, index=2, axis=1)", e[:, 2], x=e)
    add("select", "select(x, index=1, axis=0)", z[0, 0][1], x=z[0, 0])
    add("flip", "flip(x, axes=[0,-1])", x.flip(0, -1), x=x)
    add("flip", "flip(x, axes=[-2])", x.flip(-2), x=x)
    add("flip", "flip(x, axes=[])", x, x=x)
    add("flip", "flip(x, axes=[0,1])", e, x=e)
    value = 1 if t == b1 else 7
    y = full((3, 6, 9), value, t)
    y[1:3, 1:4, 2:7] = x
    add("pad", "pad(x, before=[1,1,2], after=[0,2,2], value=%d)" % value, y,
        x=x)
    add("pad", "pad(x, before=[0,2], after=[2,0])", full((2, 5), 0, t), x=e)
    add("stop_gradient", "stop_gradient(x)", x, x=x)
    add("convert", "convert(x)", x, x=x)

# ---- looking up -----------------------------------------------------------

looked = [((5, 3), 0, (4,)), ((5, 3), -1, (2, 3)), ((2, 5, 3), 1, ()),
          ((7,), 0, (3, 1, 2)), ((2, 5, 3), -2, (0,)), ((0, 4), 1, (3,)),
          ((4, 33), 0, (6,)), ((4, 33), 1, (6,))]


def gather(x, axis, k):
    axis %= x.dim()
    flat = k.reshape(-1).long().clamp(0, x.shape[axis] - 1)
    y = torch.index_select(x, axis, flat)
    return y.reshape(x.shape[:axis] + k.shape + x.shape[axis + 1:])


def scatter_add(x, axis, k, up):
    axis %= x.dim()
    flat = k.reshape(-1).long()
    up = up.reshape(x.shape[:axis] + flat.shape + x.shape[axis + 1:])
    inside = ((flat >= 0) & (flat < x.shape[axis])).nonzero().reshape(-1)
    return x.index_add(axis, flat[inside], up.index_select(axis, inside))


for t in ANY:
    for n, (shape, axis, ks) in enumerate(looked):
        x, size = some(t, *shape), shape[axis]
        k = torch.randint(-2, size + 2, ks).to(INT[n % 2])
        add("gather", "gather(x, k, axis=%d)" % axis, gather(x, axis, k), x=x,
            k=k)
        if t in NUM:
            up = some(t, *gather(x, axis, k).shape)
            add("scatter_add", "scatter_add(x, k, up, axis=%d)" % axis,
                scatter_add(x, axis, k, up), x=x, k=k, up=up)
far = torch.tensor([2 ** 40, -2 ** 40, 2 ** 32 + 1, 1, -2 ** 63, 2 ** 63 - 1])
x, up = draw(4, 2), draw(6, 2)
add("gather", "gather(x, k)", gather(x, 0, far), x=x, k=far)
add("scatter_add", "scatter_add(x, k, up)", scatter_add(x, 0, far, up), x=x,
    k=far, up=up)
x, k = draw(0, 3), torch.zeros(0, dtype=i32)
add("gather", "gather(x, k)", draw(0, 3), x=x, k=k)
add("scatter_add", "scatter_add(x, k, up)", x, x=x, k=torch.tensor([0, 1]),
    up=draw(2, 3))

# ---- made of numbers ------------------------------------------------------


def philox(counter, key):
    """Philox4x32-10 (Salmon et al., 2011)."""
    c, k = list(counter), list(key)
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [b >> 32 ^ c[1] ^ k[0], b & 0xffffffff,
             a >> 32 ^ c[3] ^ k[1], a & 0xffffffff]
        k = [(k[0] + 0x9E3779B9) & 0xffffffff,
             (k[1] + 0xBB67AE85) & 0xffffffff]
    return c


# The known answers that Random123 publishes.
ones = [0xffffffff] * 4
assert philox([0] * 4, [0, 0]) == [0x6627e8d5, 0xe169c58d, 0xbc57ac4c,
                                   0x9b00dbd8]
assert philox(ones, ones[:2]) == [0x408f276d, 0x41c83b0e, 0xa20bc7c6,
                                  0x6d5451fd]
assert philox([0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
              [0xa4093822, 0x299f31d0]) == [0xd16cfe09, 0x94fdcceb,
                                            0x5001e420, 0x24126ea1]
for key, shape in [([0, 0], (4,)), ([1, -1], (37,)), ([-559038737, 12345],
                   (3, 0)), ([2 ** 31 - 1, -2 ** 31], (2, 3, 11)),
                   ([7, 0], ()), ([-1, -1], (131,))]:
    n = math.prod(shape)
    words = [w for b in range((n + 3) // 4)
             for w in philox([b, 0, 0, 0], [k & 0xffffffff for k in key])]
    y = torch.tensor([(w >> 8) * 2.0 ** -24 for w in words[:n]], dtype=f64)
    add("random", "random(key, shape=%s)" % list(shape), y.reshape(shape),
        key=torch.tensor(key, dtype=i32))

# An op without operands: what is added is an operand.
for shape, axis in [((5,), 0), ((2, 3, 4), 1), ((2, 3, 4), -1), ((3, 0), 0),
                    ((2, 33), -1)]:
    n = torch.arange(shape[axis], dtype=i32)
    rank = [1] * len(shape)
    rank[axis] = -1
    k = some(i32, *shape)
    add("iota", "iota(shape=%s, axis=%d) + k" % (list(shape), axis),
        n.reshape(rank) + k, k=k)
    add("iota", "iota(shape=%s, axis=%d) * k" % (list(shape), axis),
        n.reshape(rank) * torch.ones(shape, dtype=i32),
        k=torch.ones((), dtype=i32))

# ---- normalisation, masks, windows ----------------------------------------

for shape in [(2, 3), (1, 5, 7), (2, 4, 3, 5), (0, 3, 2), (2, 3, 1, 2, 3)]:
    c = shape[1]
    x, g, b, m, v = (draw(*shape), draw(c), draw(c), draw(c),
                     draw(c, lo=0.1, hi=3))
    add("batch_norm", "batch_norm(x, g, b, m, v, eps=0.01)",
        F.batch_norm(x, m, v, g, b, False, 0.1, 0.01) if x.numel() else x,
        x=x, g=g, b=b, m=m, v=v)
for shape, axis in [((3,), 0), ((2, 5), -1), ((2, 3, 7), -2), ((2, 3, 7), 0),
                    ((2, 0, 3), 1), ((1, 2, 3, 4, 5), -3)]:
    x, s, t = draw(*shape), draw(shape[axis]), draw(shape[axis])
    rank = [1] * len(shape)
    rank[axis] = -1
    add("scale_shift", "scale_shift(x, s, t, axis=%d)" % axis,
        x * s.reshape(rank) + t.reshape(rank), x=x, s=s, t=t)
w, m = draw(20), special
w[::3] = nan
add("mask", "mask(w, m)", torch.where(m != 0, w, 0 * draw(20)), w=w, m=m)
for shape in [(), (3, 0), (3, 11), (1, 2, 3, 17)]:
    for t in (b1, f32):
        w, m = draw(*shape), some(t, *shape)
        add("mask", "mask(w, m)", torch.where(m != 0, w, torch.zeros_like(w)),
            w=w, m=m)

pools = [((1, 1, 1, 1), (1, 1), (1, 1), (0, 0, 0, 0)),
         ((2, 3, 7, 5), (3, 2), (2, 1), (1, 0, 2, 1)),
         ((1, 2, 9, 33), (2, 3), (1, 3), (0, 2, 1, 1)),
         ((0, 2, 4, 4), (2, 2), (2, 2), (0, 0, 0, 0)),
         ((1, 0, 4, 4), (2, 2), (2, 2), (0, 0, 0, 0)),
         ((1, 2, 3, 17), (3, 17), (1, 1), (0, 0, 0, 0))]


def pool(x, k, stride, pad, avg):
    top, left, bottom, right = pad
    x = torch.where(x.isnan(), full(x.shape, -inf, f32), x) if not avg else x
    p = F.pad(x, (left, right, top, bottom), value=0 if avg else -inf)
    win = p.unfold(2, k[0], stride[0]).unfold(3, k[1], stride[1])
    return win.mean((-2, -1)) if avg else win.amax((-2, -1))


for shape, k, stride, pad in pools:
    x = draw(*shape)
    tail = "(x, k=%s, stride=%s, pad=%s" % (list(k), list(stride), list(pad))
    add("max_pool", "max_pool%s)" % tail, pool(x, k, stride, pad, False), x=x)
    y = pool(x, k, stride, pad, True)
    inside = pool(torch.ones_like(x), k, stride, pad, True)
    add("avg_pool", "avg_pool%s, count_pad=true)" % tail, y, x=x)
    add("avg_pool", "avg_pool%s)" % tail, y / inside, x=x)
x = draw(1, 1, 4, 7)
x[0, 0, 0, 0:3] = nan
x[0, 0, 1, 4] = inf
x[0, 0, 2:, 5:] = -inf
x[0, 0, 2:, 1:3] = nan
add("max_pool", "max_pool(x, k=[2,2])",
    pool(x, (2, 2), (1, 1), (0, 0, 0, 0), False), x=x)
add("avg_pool", "avg_pool(x, k=[2,2])",
    pool(x, (2, 2), (1, 1), (0, 0, 0, 0), True), x=x)
modes = [("nearest", "asymmetric", "nearest", None),
         ("nearest", "half_pixel", "nearest-exact", None),
         ("bilinear", "half_pixel", "bilinear", False),
         ("bilinear", "align_corners", "bilinear", True)]
for shape, size in [((0, 3, 4, 4), (8, 8)), ((2, 0, 4, 4), (3, 3)),
                    ((1, 1, 1, 1), (3, 7)), ((1, 3, 5, 33), (7, 17)),
                    ((2, 1, 3, 1), (1, 5)), ((1, 2, 3, 4), (0, 5))]:
    x = draw(*shape)
    for mode, coord, torch_mode, align in modes:
        y = (F.interpolate(x, size, mode=torch_mode, align_corners=align)
             if x.numel() and min(size) else draw(*shape[:2], *size))
        add("resize", 'resize(x, size=%s, mode="%s", coord="%s")'
            % (list(size), mode, coord), y, x=x)

for shape, m in [((7,), 3), ((2, 0), 3), ((0, 4), 3), ((2, 3), 0),
                 ((2, 1, 3, 5), 33)]:
    x, w, b = draw(*shape), draw(m, shape[-1]), draw(m)
    add("linear", "linear(x, w, b=b)", x @ w.T + b, x=x, w=w, b=b)

out.write("ops2")
