"""ops_wild.py - draws what lies at the ends of types: the least and largest
integers, infinities, what is not a number.  Nothing uses the results."""
import numpy as np
from onnx import helper

from graph import B1, F32, F64, FLOATS, INTS, SIGNED, Redraw

ORDER = ("Max", "Min", "Equal", "Less", "Greater", "LessOrEqual",
         "GreaterOrEqual")


def edges(g, t, shape):
    """Integers, half of them at the ends of the type."""
    i = np.iinfo(t)
    ends = np.array([i.min, i.min + 1, i.max, i.max - 1, i.max // 2, 0, 1],
                    t)
    a = g.np.integers(0, 9, shape).astype(t)
    at = g.np.random(shape) < 0.5
    a[at] = g.np.choice(ends, shape)[at]
    return g.given(a, g.chance(0.2))


def extreme(g):
    t = g.one(*INTS)
    s = g.dims(1, 2, 9)
    x, y = edges(g, t, s), edges(g, t, s)
    how = g.int(0, 5)
    if how == 0:
        return g.emit(g.one("Add", "Sub", "Mul"), [x, y], wild=True)
    if how == 1:
        return g.emit(g.one(*ORDER), [x, y], wild=True)
    if how == 2:
        op = g.one("Abs", "Neg", "Sign", "ReduceMax", "ReduceMin", "ArgMax",
                   "ArgMin", "BitwiseNot", "Identity", "Relu")
        return g.emit(op, [x], wild=True)
    if how == 3:
        to = g.one(*INTS, B1, F32, F64)
        return g.emit("Cast", [x], wild=True, to=helper.
                      np_dtype_to_tensor_dtype(np.dtype(to)))
    if how == 4:
        op = g.one("BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitShift")
        if op == "BitShift":
            y = g.given(g.np.integers(0, x.a.dtype.itemsize * 8,
                                      s).astype(t), False)
        return g.emit(op, [x, y], wild=True,
                      direction=g.one("LEFT", "RIGHT") if op == "BitShift"
                      else None)
    return divided(g, x, y, t)


def divided(g, x, y, t):
    """By what is not 0, nor -1."""
    if (y.a == 0).any() or t in SIGNED and (y.a == -1).any():
        y = g.given(g.np.integers(1, 100, y.shape).astype(t), False)
    if g.chance(0.5):
        return g.emit("Div", [x, y], wild=True)
    return g.emit("Mod", [x, y], wild=True, fmod=g.one(None, 1))


ONE = ("Relu", "Abs", "Neg", "Floor", "Ceil", "Round", "Sqrt", "Exp",
       "Log", "Tanh", "Sigmoid", "Reciprocal", "IsNaN", "IsInf", "Identity",
       "HardSigmoid", "LeakyRelu", "Elu", "Softsign", "Erf", "Atan", "Sinh")
TWO = ("Add", "Sub", "Mul", "Div", *ORDER[:5])


def endless(g):
    """With infinities and NaN among others.  What Max and Min make of NaN
    ONNX does not say: here it is passed over, there it stays."""
    t = g.type(*FLOATS)
    s = g.dims(1, 2, 9)

    def some(nan=True):
        a = np.asarray(g.np.uniform(-2, 2, s)).astype(t)
        a[g.np.random(s) < 0.2] = 0
        for v in [np.inf, -np.inf] + [np.nan] * nan:
            a[g.np.random(s) < 0.15] = v
        return g.given(a, g.chance(0.1), False)
    how = g.int(0, 4)
    if how < 2:
        return g.emit(g.one(*ONE), [some()], wild=True)
    if how == 2:
        op = g.one(*TWO)
        nan = op not in ("Max", "Min")
        return g.emit(op, [some(nan), some(nan)], wild=True)
    if how == 3:
        return g.emit("Cast", [some()], wild=True, to=g.one(1, 9, 11))
    op = g.one("Transpose", "ReduceMax", "ReduceMin", "ReduceSum", "Clip",
               "Where", "Concat")
    x = some(op not in ("ReduceMax", "ReduceMin"))
    if op == "Clip" and g.opset >= 11:
        return g.emit(op, [x, g.fresh(t, (), -1, 0), g.fresh(t, (), 0, 1)],
                      wild=True)
    if op == "Where":
        return g.emit(op, [g.fresh(B1, s), x, some()], wild=True)
    return g.emit(op, [x, some()] if op == "Concat" else [x], wild=True,
                  axis=0 if op == "Concat" else None)


def masked(g):
    """A softmax of rows in which some places do not count."""
    x = g.take(F32, lo=2)
    if 0 in x.shape:
        raise Redraw("empty")
    a = np.where(g.np.random(x.shape) < 0.4, -np.inf, 0).astype(F32)
    a[..., 0] = 0
    y = g.emit("Add", [x, g.given(a, g.chance(0.5))], wild=True)
    return g.emit("Softmax", [y], axis=-1 if g.opset >= 11 else x.rank - 1)


FAMILIES = {"extreme": (extreme, 2), "endless": (endless, 2),
            "masked": (masked, 0.7)}
