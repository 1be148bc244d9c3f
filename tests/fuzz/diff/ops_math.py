"""ops_math.py - draws arithmetic, activations, folds and orders."""
import numpy as np
from onnx import helper

from graph import (ALL, B1, F32, F64, FLOATS, I8, I32, I64, INTS, MS, NUMBERS,
                   SIGNED, U8, UNSIGNED, Redraw)

# What is computed element by element, and where from.
UNARY = {op: (-2, 2) for op in """Exp Sin Cos Tanh Erf Floor Ceil Round
Sigmoid HardSwish Neg Abs Sign Atan Sinh Cosh Asinh Relu Softsign
Mish Softplus Identity""".split()}
UNARY |= {"Sqrt": (0.1, 4), "Log": (0.2, 4), "Reciprocal": (0.4, 3),
          "Tan": (-1, 1), "Asin": (-0.9, 0.9), "Acos": (-0.9, 0.9),
          "Acosh": (1.2, 4), "Atanh": (-0.8, 0.8)}
WHOLE = {"Neg", "Abs", "Sign", "Relu", "Identity"}
BY_ALPHA = {"LeakyRelu": 0.01, "ThresholdedRelu": 1.0, "Elu": 1.0,
            "Celu": 1.0, "Swish": 1.0}


def unary(g):
    op = g.one(*UNARY)
    types = FLOATS + SIGNED if op in WHOLE else FLOATS
    if op == "Identity":
        types = ALL
    lo, hi = UNARY[op]
    inside = lambda v: v.t in INTS or v.t is B1 or v.a.size == 0 or \
        lo <= v.a.min() and (v.a.max() <= hi or (lo, hi) == (-2, 2))
    x = g.take(types, fits=inside, span=(lo, hi))
    return g.emit(op, [x])


def by_alpha(g):
    op = g.one(*BY_ALPHA, "HardSigmoid", "Selu", "Shrink", "Gelu")
    x = g.take()
    some = lambda lo, hi: g.maybe(round(g.r.uniform(lo, hi), 2))
    if op == "HardSigmoid":
        return g.emit(op, [x], alpha=some(0.1, 0.5), beta=some(0, 1))
    if op == "Selu":
        return g.emit(op, [x], alpha=some(1, 2), gamma=some(1, 2))
    if op == "Shrink":
        return g.emit(op, [x], lambd=some(0, 1), bias=some(-1, 1))
    if op == "Gelu":
        return g.emit(op, [x], approximate=g.one(None, "none", "tanh"))
    return g.emit(op, [x], alpha=some(0.1, 2))


def ms_act(g):
    op = g.one("Gelu", "FastGelu", "QuickGelu", "BiasGelu")
    x = g.take(F32, lo=1)
    if op == "QuickGelu":
        return g.emit(op, [x], domain=MS, alpha=g.maybe(1.5))
    if op == "BiasGelu" or op == "FastGelu" and g.chance(0.5):
        return g.emit(op, [x, g.shaped(x.t, x.shape[-1:])], domain=MS)
    return g.emit(op, [x], domain=MS)


def prelu(g):
    x = g.take(FLOATS + (I32, I64), lo=1)
    return g.emit("PRelu", [x, g.partner(x, one_way=True)])


def special(g):
    """What is not a number, or infinite, in what asks for it."""
    t = g.one(*FLOATS)
    a = g.np.uniform(-2, 2, g.dims(1, 3)).astype(t)
    for v in (np.nan, np.inf, -np.inf):
        a[g.np.random(a.shape) < 0.2] = v
    x = g.given(a, const=False)
    how = {"detect_negative": g.maybe(0), "detect_positive": g.maybe(0)}
    if g.chance(0.5):
        return g.emit("IsInf", [x], **how)
    return g.emit("IsNaN", [x])


def binary(g):
    op = g.one("Add", "Sub", "Mul", "Div", "Mod", "Pow")
    types = NUMBERS if op != "Pow" else FLOATS + (I32, I64)
    x = g.take(types)
    if op in ("Div", "Mod"):
        lo = 1 if x.t in INTS else 0.4
        y = g.partner(x, p=0, span=(lo, 5 if x.t in INTS else 3))
        if x.t in SIGNED and g.chance(0.5):
            y = g.emit("Neg", [y])
        fmod = 1 if x.t in FLOATS else g.one(None, 0, 1)
        return g.emit(op, [x, y], fmod=fmod)
    if op == "Pow":
        return power(g, x)
    y = g.partner(x)
    pair = [x, y] if g.chance(0.5) else [y, x]
    return g.emit(op, pair)


def power(g, x):
    types = (F32, F64, I32, I64) if g.opset >= 12 else (x.t,)
    t = g.one(*types)
    if x.t in FLOATS and (x.a.size == 0 or x.a.min() > 0.2) and g.chance(0.4):
        y = g.fresh(t, g.one((), (1,), x.shape), *(
            (-2, 2) if t in FLOATS else (0, 3)))
    else:
        y = g.given(np.array(g.one(0, 1, 2, 2, 3), t))
    return g.emit("Pow", [x, y])


def compare(g):
    op = g.one("Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual")
    x = g.take(ALL if op == "Equal" else NUMBERS)
    return g.emit(op, [x, g.partner(x)])


def logical(g):
    x = g.take(B1)
    if g.chance(0.25):
        return g.emit("Not", [x])
    return g.emit(g.one("And", "Or", "Xor"), [x, g.partner(x)])


def bits(g):
    op = g.one("BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor",
               "BitwiseNot")
    if op == "BitShift":
        x = g.take(UNSIGNED)
        y = g.partner(x, p=0, span=(0, 7))
        return g.emit(op, [x, y], direction=g.one("LEFT", "RIGHT"))
    x = g.take(INTS, span=(-100, 100))
    return g.emit(op, [x] if op == "BitwiseNot" else [x, g.partner(x)])


def where(g):
    x = g.take(ALL)
    y = g.partner(x)
    c = g.shaped(B1, g.one(x.shape, y.shape, (), (1,)))
    return g.emit("Where", [c, x, y] if g.chance(0.5) else [c, y, x])


def variadic(g):
    op = g.one("Max", "Min", "Sum", "Mean")
    x = g.take(NUMBERS if op in ("Max", "Min") else FLOATS)
    ins = [x] + [g.partner(x) for _ in range(g.one(0, 1, 1, 1, 2, 3))]
    g.r.shuffle(ins)
    return g.emit(op, ins)


def clip(g):
    if g.opset < 11:
        x = g.take()
        return g.emit("Clip", [x], min=g.maybe(-0.7), max=g.maybe(0.9))
    x = g.take(FLOATS + (I8, U8, I32, I64) if g.opset >= 12 else FLOATS)
    lo = g.fresh(x.t, (), -1, 0) if g.chance(0.7) else None
    hi = g.fresh(x.t, (), 1, 3) if g.chance(0.7) else None
    return g.emit("Clip", [x, lo, hi])


def cast(g):
    x = g.take(ALL)
    t = g.one(*ALL)
    if t in UNSIGNED and x.t not in UNSIGNED + (B1,) and x.a.size and \
            x.a.min() < 0:
        x = g.emit("Abs", [x])
    # From floats that is undefined, between integers modulo 2^bits.
    if x.t in NUMBERS and t in INTS and x.a.size and (
            x.t in FLOATS or g.chance(0.8)):
        i = np.iinfo(t)
        if x.a.min().item() < i.min or x.a.max().item() > i.max:
            raise Redraw("out of range")
    if g.chance(0.2):
        return g.emit("CastLike", [x, g.fresh(t, (1,))])
    to = helper.np_dtype_to_tensor_dtype(np.dtype(t))
    return g.emit("Cast", [x], to=to)


def bit_cast(g):
    x = g.take((I32, U8, I64, I8), p=0.9)
    t = {I32: np.uint32, I64: np.uint64, U8: I8, I8: U8}[x.t]
    return g.emit("BitCast", [x],
                  to=helper.np_dtype_to_tensor_dtype(np.dtype(t)))


REDUCE = ["ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceL1",
          "ReduceL2", "ReduceSumSquare", "ReduceProd", "ReduceLogSum",
          "ReduceLogSumExp"]


def reduce(g):
    op = g.one(*REDUCE, *REDUCE[:4])
    log = op == "ReduceLogSum"
    x = g.take(FLOATS + (I32, I64, I8, U8), lo=0,
               p=0.2 if log else 0.8, span=(0.3, 2) if log else (None, None))
    axes = g.axes(x.rank, 1) if x.rank and g.chance(0.8) else None
    if x.t in INTS and (x.a.astype(F64) ** 2).sum() >= 2**31:
        raise Redraw("sums of that type overflow")
    if x.a.size == 0 and op == "ReduceMean":
        raise Redraw("the mean of nothing: ORT has 0")
    keep = g.one(None, 0, 1)
    if "axes" in g.schema(op).attributes:
        return g.emit(op, [x], axes=axes, keepdims=keep)
    noop = g.one(None, None, 0, 1)
    if axes is None and g.chance(0.3):
        axes = np.zeros(0, I64)
    return g.emit(op, [x, g.ints(axes) if axes is not None else None],
                  keepdims=keep, noop_with_empty_axes=noop)


def arg(g):
    x = g.take(FLOATS + (I32, I8, U8), lo=1)
    axis = g.maybe(g.axis(x.rank), 0.8)
    return g.emit(g.one("ArgMax", "ArgMin"), [x], axis=axis,
                  keepdims=g.one(None, 0, 1),
                  select_last_index=g.one(None, 0, 1))


def topk(g):
    x = g.take(FLOATS + (I32, I64), lo=1)
    a = g.axis(x.rank)
    k = g.int(0 if g.chance(0.1) else min(1, x.shape[a]), x.shape[a])
    keep = g.one([True, True], [True, True], [True, False], [False, True])
    if g.opset < 10:
        return g.emit("TopK", [x], keep, axis=a, k=max(k, 1))
    largest = g.one(None, 0, 1) if g.opset >= 11 else None
    return g.emit("TopK", [x, g.ints([k])], keep, axis=g.maybe(a, 0.9) if
                  a in (-1, x.rank - 1) else a, largest=largest,
                  sorted=g.maybe(1))


def cumulative(g):
    x = g.take(FLOATS + (I32, I64), lo=1)
    a = np.array(g.axis(x.rank), g.one(I32, I64))
    return g.emit("CumProd" if g.opset >= 26 and g.chance(0.3) else "CumSum",
                  [x, g.given(a if g.chance(0.5) else a.reshape(()))],
                  exclusive=g.one(None, 0, 1), reverse=g.one(None, 0, 1))


def softmax(g):
    x = g.take(lo=1)
    # The default was axis 1 before opset 13, which one axis has not: ORT takes
    # that of an empty one alone.
    given = 0.8 if g.opset >= 13 or x.rank > 1 else 1
    return g.emit(g.one("Softmax", "Softmax", "LogSoftmax", "Hardmax"), [x],
                  axis=g.maybe(g.axis(x.rank), given))


def lp_norm(g):
    x = g.take(lo=1)
    return g.emit("LpNormalization", [x], axis=g.maybe(g.axis(x.rank)),
                  p=g.one(None, 1, 2))


def det(g):
    n = g.int(1, 4)
    x = g.shaped(g.type(F32, F64), g.dims(0, 2, 3) + (n, n))
    return g.emit("Det", [x])


# Letters stand for dimensions; the terms are drawn.
def einsum(g):
    size = {c: g.dim(4) for c in "ijkl"}
    dots = g.dims(1, 2, 3) if g.chance(0.25) else None
    t = g.type(F32, F64, I32, I64)
    terms, ins = [], []
    for _ in range(g.one(1, 2, 2, 2, 3)):
        letters = g.r.sample("ijkl", g.int(0 if dots else 1, 3))
        if g.chance(0.08) and letters:
            letters.append(letters[0])
        put = dots is not None and g.chance(0.7)
        at = g.int(0, len(letters))
        term = "".join(letters[:at]) + "..." * put + "".join(letters[at:])
        shape = [size[c] for c in letters]
        if put:
            shape[at:at] = dots
        terms.append(term)
        ins.append(g.shaped(t, shape))
    used = sorted({c for term in terms for c in term if c != "."})
    out = g.r.sample(used, g.int(0, len(used)))
    if any("..." in term for term in terms):
        out.insert(g.int(0, len(out)), "...")
    text = g.one(",", ", ").join(terms)
    if g.chance(0.8):
        text += g.one("->", " -> ") + "".join(out)
    return g.emit("Einsum", ins, equation=text)


def loss(g):
    n, c = g.dim(4), g.dim(5)
    rest = g.dims(0, 2, 4)
    t = g.type(F32, F64)
    x = g.fresh(t, (n, c) + rest)
    lab = g.fresh(g.one(I64, I32), (n,) + rest, 0, c - 1)
    w = g.fresh(t, (c,), 0.5, 2) if g.chance(0.5) else None
    ignore = g.maybe(g.int(0, c - 1), 0.4)
    how = g.one(None, "mean", "sum", "none")
    if g.chance(0.5):
        return g.emit("NegativeLogLikelihoodLoss", [x, lab, w],
                      ignore_index=ignore, reduction=how)
    return g.emit("SoftmaxCrossEntropyLoss", [x, lab, w], [True, True] if
                  g.chance(0.4) else 1, ignore_index=ignore, reduction=how)


def dropout(g):
    x = g.take()
    ins, attrs = [x], {}
    if g.opset >= 12:
        ratio = g.given(np.array(0.3, F32)) if g.chance(0.4) else None
        ins.append(ratio)
    else:
        attrs["ratio"] = g.maybe(0.3)
    # Before opset 12 ORT's mask says that nothing is kept.
    return g.emit("Dropout", ins, [True, True] if g.chance(0.4) and
                  g.opset >= 12 else 1, **attrs)


FAMILIES = {
    "unary": (unary, 8), "alpha": (by_alpha, 4), "ms_act": (ms_act, 1.5),
    "prelu": (prelu, 1), "special": (special, 1), "binary": (binary, 8),
    "compare": (compare, 3), "logical": (logical, 2), "bits": (bits, 2),
    "where": (where, 2), "variadic": (variadic, 3), "clip": (clip, 2),
    "cast": (cast, 4), "bit_cast": (bit_cast, 0.5), "reduce": (reduce, 6),
    "arg": (arg, 2), "topk": (topk, 2), "cumulative": (cumulative, 2),
    "softmax": (softmax, 3), "lp_norm": (lp_norm, 1), "det": (det, 1),
    "einsum": (einsum, 3), "loss": (loss, 2), "dropout": (dropout, 1),
}
