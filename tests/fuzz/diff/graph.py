"""graph.py - a graph that is drawn node by node, each of which ONNX Runtime
computes at once.

Every value is kept four times: as it is, and thrice with small errors, made
at every step.  What the errors become at the end is how much a result may
differ; a node whose integers depend on them, or whose floats are mostly
error, is drawn again."""
import random

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper, numpy_helper

F32, F16, F64 = np.float32, np.float16, np.float64
I8, I16, I32, I64 = np.int8, np.int16, np.int32, np.int64
U8, U16, U32, U64 = np.uint8, np.uint16, np.uint32, np.uint64
B1 = np.bool_
FLOATS, SIGNED, UNSIGNED = (F32, F16, F64), (I8, I16, I32, I64), \
    (U8, U16, U32, U64)
INTS = SIGNED + UNSIGNED
NUMBERS = FLOATS + INTS
ALL = NUMBERS + (B1,)

COPIES = 4
# Errors made at a step.  Tamis computes all floats in 32 bits, ONNX Runtime
# rounds each float16.
ERROR = {F32: 4e-6, F64: 4e-6, F16: 7e-4}
LARGEST = {F32: 1e5, F64: 1e5, F16: 1e3}
ELEMENTS = 40000
MS = "com.microsoft"

# These give floats as they find them, or whole ones, or look at nothing else
# than their order.
KEEP = set("""Identity Reshape Flatten Squeeze Unsqueeze Transpose Expand Tile
Concat Split Slice Pad Gather GatherElements GatherND Compress ScatterElements
ScatterND Scatter Trilu DepthToSpace SpaceToDepth Relu Neg Abs Sign Floor Ceil
Round Max Min Where Clip Cast CastLike MaxPool ReduceMax ReduceMin TopK OneHot
ReverseSequence Add Sub CenterCropPad Dropout GlobalMaxPool Sum MaxUnpool
ConstantOfShape EyeLike Range Hardmax Unique TensorScatter Mod Equal Less
LessOrEqual Greater GreaterOrEqual ArgMax ArgMin IsNaN IsInf""".split())
# Float initialisers have to be that for them.
FIXED = set("""Resize Upsample QLinearConv QLinearMatMul QuantizeLinear
DequantizeLinear QLinearAdd QLinearMul QLinearConcat QLinearLeakyRelu
QLinearSigmoid QLinearSoftmax QLinearAveragePool QLinearGlobalAveragePool
QGemm MatMulNBits DynamicQuantizeMatMul MatMulIntegerToFloat MatMulInteger
ConvInteger""".split())


class Redraw(Exception):
    """What was drawn is not legal, or says nothing."""


class Value:
    def __init__(self, name, data, exact=False, const=False):
        self.name, self.data = name, data
        self.exact, self.const = exact, const
        self.a = data[0]
        self.t = self.a.dtype.type
        self.shape, self.rank = self.a.shape, self.a.ndim

    def error(self):
        """How far each element may be off, of floats without rounding."""
        b = self.a.astype(F64)
        with np.errstate(invalid="ignore", over="ignore"):
            e = [np.abs(d.astype(F64) - b) for d in self.data[1:]]
        return np.nan_to_num(np.max(e, axis=0), nan=0, posinf=0) \
            if self.a.size else np.zeros(self.shape)


def options():
    o = ort.SessionOptions()
    o.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    o.intra_op_num_threads = o.inter_op_num_threads = 1
    o.log_severity_level = 4
    return o


OPTIONS = options()


def info(name, a=None):
    if a is None:
        return onnx.ValueInfoProto(name=name)
    return helper.make_tensor_value_info(
        name, helper.np_dtype_to_tensor_dtype(a.dtype), list(a.shape))


def make_model(nodes, inputs, tensors, outputs, opset, ir=10, functions=(),
               domains=()):
    sets = [helper.make_opsetid("", opset), helper.make_opsetid(MS, 1)]
    sets += [helper.make_opsetid(d, 1) for d in domains]
    graph = helper.make_graph(nodes, "g", inputs, outputs, tensors)
    return helper.make_model(graph, opset_imports=sets, ir_version=ir,
                             functions=list(functions))


def session(model):
    try:
        return ort.InferenceSession(model.SerializeToString(), OPTIONS,
                                    providers=["CPUExecutionProvider"])
    except Exception as e:
        raise Redraw(f"ort: {e}") from None


def compute(s, feed):
    try:
        return s.run(None, feed)
    except Exception as e:
        raise Redraw(f"ort: {e}") from None


def node_values(node, inputs, opset, noise, soft=False, wild=False):
    """The values of a node's outputs, by those of its inputs (Values, with
    what its graphs use).  soft: integers may be one off.  wild: anything
    will do."""
    fixed = node.op_type in FIXED
    held = [v for v in inputs if v.const and (fixed or v.t not in FLOATS)]
    fed = [v for v in inputs if not any(v is h for h in held)]
    outs = [o for o in node.output if o]
    m = make_model([node], [info(v.name, v.a) for v in fed],
                   [numpy_helper.from_array(v.a, v.name) for v in held],
                   [info(o) for o in outs], opset)
    s = session(m)
    runs = [compute(s, {v.name: v.data[0] for v in fed})]
    floats = [v for v in inputs if v.t in FLOATS]
    whole = node.op_type in KEEP and all(v.exact for v in floats)
    data = {v.name: v.data if whole or not v.exact else
            disturb(v.data, False, noise) for v in fed}
    for c in range(1, COPIES):
        calm = all(d[c] is d[0] for d in data.values())
        runs.append(runs[0] if calm else
                    compute(s, {n: d[c] for n, d in data.items()}))
    made = []
    for o, data in zip(outs, zip(*runs)):
        if not isinstance(data[0], np.ndarray):
            raise Redraw("no tensor")
        data = [np.asarray(d, d.dtype.str) for d in data]
        # What the nodes of a graph inside have lost is not seen: as if
        # numbers of about 1 had been subtracted.
        least = 1 if node.op_type in ("Loop", "Scan", "If") else 0
        made.append(Value(o, disturb(data, whole, noise, least), whole))
        check(made[-1], soft, wild)
    return made


def disturb(data, whole, noise, least=0):
    """Errors made of all but the first, as of numbers of `least` or more."""
    t = data[0].dtype.type
    if whole or t not in FLOATS:
        return [data[0]] + [data[0] if same(d, data[0]) else d
                            for d in data[1:]]

    def rough(d):
        e = ERROR[t] * noise.uniform(1, 2, d.shape) * \
            noise.choice([-1, 1], d.shape)
        return np.asarray(d + np.maximum(np.abs(d), least) * e).astype(t)
    with np.errstate(invalid="ignore", over="ignore"):
        return [data[0]] + [rough(d) for d in data[1:]]


def same(a, b):
    return a.shape == b.shape and np.array_equal(a, b)


def check(v, soft, wild):
    if v.a.size > ELEMENTS or v.rank > 6 or v.t not in ALL:
        raise Redraw("size or type")
    if any(d.shape != v.shape for d in v.data):
        raise Redraw("shape depends on values")
    if wild:
        return
    if v.t in FLOATS and v.a.size:
        if not all(np.isfinite(d).all() for d in v.data):
            raise Redraw("not finite")
        top = float(np.abs(v.a).max())
        if top > LARGEST[v.t]:
            raise Redraw("large")
        if v.error().max() > 0.03 * top + 1e-12:
            raise Redraw("ill-conditioned")
    elif v.a.size:
        most = np.abs(v.a.astype(F64)).max()
        if most > 2**30 and v.a.dtype.itemsize > 2:
            raise Redraw("large")
        e = v.error().max()
        if e > (1 if soft else 0):
            raise Redraw("a tie")


def names_in(node):
    """The values that a node uses, and the graphs in it."""
    out = list(node.input)
    for a in node.attribute:
        if a.type == onnx.AttributeProto.GRAPH:
            for n in a.g.node:
                out += names_in(n)
    return out


class Graph:
    """The graph of a seed while it is drawn; r and np draw."""

    def __init__(self, seed):
        self.r = random.Random(seed)
        self.np = np.random.default_rng(seed)
        self.opset = self.r.randint(7, 27) if self.chance(0.4) else \
            self.r.randint(13, 27)
        self.ir = self.r.randint(8, 12) if self.opset > 20 else \
            self.r.randint(4, 10)
        self.main = self.r.choices((F32, F16, F64, I64, I32),
                                   (70, 10, 8, 6, 6))[0]
        self.pool, self.ends, self.nodes, self.inputs = [], [], [], []
        self.values, self.n = {}, 0

    # Choices.
    def chance(self, p):
        return self.r.random() < p

    def one(self, *of):
        return self.r.choice(of)

    def int(self, lo, hi):
        return self.r.randint(lo, hi)

    def maybe(self, v, p=0.5):
        """An attribute that may be left out."""
        return v if self.chance(p) else None

    def dim(self, most=5):
        return self.r.choice([d for d in (1, 2, 3, 3, 4, 5, 6, 7, 8, 9, 16,
                                          17, 33) if d <= most])

    def dims(self, lo=0, hi=4, most=5):
        rank = self.int(lo, hi)
        s = [self.dim(most if rank < 4 else 4) for _ in range(rank)]
        return tuple(s)

    def axis(self, rank):
        if rank == 0:
            raise Redraw("no axis")
        a = self.int(0, rank - 1)
        return a - rank if self.chance(0.35) else a

    def axes(self, rank, least=1):
        if rank < least:
            raise Redraw("no axis")
        n = self.int(least, rank)
        a = self.r.sample(range(rank), n)
        return [x - rank if self.chance(0.25) else x for x in a]

    def type(self, *of):
        """An element type, the graph's own most often."""
        of = of or FLOATS
        return self.main if self.main in of and self.chance(0.7) else \
            F32 if F32 in of and self.chance(0.4) else self.r.choice(of)

    # Values.
    def name(self, kind):
        self.n += 1
        return f"{kind}{self.n}"

    def add(self, v):
        self.values[v.name] = v
        return v

    def numbers(self, t, shape, lo, hi):
        """(an array, whether it is exact)"""
        if t is B1:
            return self.np.integers(0, 2, shape).astype(B1), True
        if t in FLOATS:
            if self.chance(0.15) and hi - lo >= 2:
                a = self.np.integers(np.ceil(lo), int(hi) + 1, shape)
                return np.asarray(a).astype(t), True
            a = self.np.uniform(lo, hi, shape)
            return np.asarray(a).astype(F32).astype(t), False
        if t in UNSIGNED:
            lo, hi = max(lo, 0), max(hi, 1)
        return np.asarray(self.np.integers(int(lo), int(hi) + 1,
                                           shape)).astype(t), True

    def fresh(self, t, shape, lo=None, hi=None, const=None, exact=None):
        """A new input or constant."""
        shape = tuple(int(d) for d in shape)
        if lo is None:
            lo, hi = (-2, 2) if t in FLOATS else (-6, 6)
        a, whole = self.numbers(t, shape, lo, hi)
        if const is None:
            const = self.chance(0.4)
        return self.given(a, const, whole)

    def given(self, a, const=True, exact=True):
        if const and exact and self.chance(0.25):
            return self.constant(a)
        a = np.asarray(a)
        v = Value(self.name("k" if const else "x"),
                  disturb([a] * COPIES, exact, self.np), exact, const)
        self.inputs.append(v)
        return self.add(v)

    def constant(self, a):
        """By a node Constant, in one of its spellings."""
        a = np.asarray(a)
        name = self.name("c")
        if self.opset >= 12 and a.dtype.type is I64 and a.ndim < 2 and a.size:
            how = {"value_ints": a.tolist()} if a.ndim else \
                {"value_int": int(a)}
        elif self.opset >= 12 and a.dtype.type is F32 and a.ndim < 2 and \
                a.size:
            how = {"value_floats": a.tolist()} if a.ndim else \
                {"value_float": float(a)}
        else:
            how = {"value": numpy_helper.from_array(a, name)}
        self.nodes.append(helper.make_node("Constant", [], [name], **how))
        return self.add(Value(name, [a] * COPIES, True, True))

    def ints(self, values, t=I64):
        return self.given(np.array(values, t))

    def pick(self, t=None, lo=0, hi=5, fits=None):
        """A value that is there already, or None."""
        ok = [v for v in self.pool if (not t or v.t in t) and
              lo <= v.rank <= hi and (not fits or fits(v))]
        if not ok:
            return None
        return self.r.choices(ok, [1 + 2 * i for i in range(len(ok))])[0]

    def take(self, t=FLOATS, lo=0, hi=4, most=5, fits=None, p=0.75,
             span=(None, None)):
        """One that is there, or a new one."""
        t = t if isinstance(t, tuple) else (t,)
        v = self.pick(t, lo, hi, fits) if self.chance(p) else None
        if v is None:
            s = list(self.dims(lo, hi, most))
            if s and len(s) < 3 and self.chance(0.2):
                s[-1] = self.one(16, 17, 31, 33, 64, 100)
            elif s and self.chance(0.02):
                s[self.int(0, len(s) - 1)] = 0
            v = self.fresh(self.type(*t), s, *span, const=self.chance(0.15))
            if fits and not fits(v):
                raise Redraw("does not fit")
        return v

    def shaped(self, t, shape, p=0.4, span=(None, None), const=None):
        """Of this type and shape, there or new."""
        v = self.pick((t,), fits=lambda v: v.shape == tuple(shape)) \
            if self.chance(p) else None
        return v or self.fresh(t, shape, *span, const=const)

    def partner(self, v, p=0.5, span=(None, None), one_way=False):
        """Of v's type, to be broadcast with it."""
        def fits(w):
            try:
                s = np.broadcast_shapes(v.shape, w.shape)
                return not one_way or s == v.shape
            except ValueError:
                return False
        w = self.pick((v.t,), fits=fits) if self.chance(p) else None
        if w:
            return w
        s = list(v.shape)
        if self.chance(0.5):
            s = [d if self.chance(0.6) else 1 for d in s]
            s = s[self.int(0, len(s)):]
        if not one_way and self.chance(0.15):
            s = [self.dim(3)] * (len(s) < 4) + \
                [self.dim(4) if d == 1 else d for d in s]
        return self.fresh(v.t, s, *span)

    # Nodes.
    def schema(self, op, domain=""):
        if domain:
            return None
        try:
            return onnx.defs.get_schema(op, self.opset, "")
        except Exception:
            raise Redraw(f"no {op} in opset {self.opset}") from None

    def since(self, op):
        s = self.schema(op)
        if s.deprecated:
            raise Redraw(f"no more {op}")
        return s.since_version

    def emit(self, op, ins, outs=1, domain="", soft=False, uses=(),
             wild=False, **attrs):
        """The Values of a new node's outputs: ins may hold None; outs is a
        count or which there are.  uses: what its graphs use beside ins.
        wild: the results may be anything and are used no more."""
        s = self.schema(op, domain)
        attrs = {k: v for k, v in attrs.items() if v is not None and
                 (not s or k in s.attributes)}
        ins = list(ins)
        while ins and ins[-1] is None:
            ins.pop()
        outs = [True] * outs if isinstance(outs, int) else outs
        names = [self.name("v") if o else "" for o in outs]
        node = helper.make_node(op, [v.name if v else "" for v in ins], names,
                                domain=domain, **attrs)
        known = {v.name: v for v in ins + list(uses) if v}
        made = node_values(node, list(known.values()), self.opset, self.np,
                           soft, wild)
        self.nodes.append(node)
        for v in made:
            self.add(v)
        if wild:
            self.ends += made
        else:
            self.pool += made
        if len(outs) == 1:
            return made[0]
        made = iter(made)
        return [next(made) if o else None for o in outs]

    def mark(self):
        return [len(v) for v in (self.pool, self.ends, self.nodes,
                                 self.inputs)]

    def back(self, mark):
        for v, n in zip((self.pool, self.ends, self.nodes, self.inputs),
                        mark):
            del v[n:]
