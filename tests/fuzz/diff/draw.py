"""draw.py - the graph of a seed as a case: a model, its inputs and what ONNX
Runtime makes of them.

Not drawn: what is random, what has no kernel in ONNX Runtime's CPU provider;
NonMaxSuppression, whose shape depends on values; DynamicQuantizeLSTM, whose
input and state Tamis does not quantise."""
import numpy as np
from onnx import numpy_helper

import ops_attend
import ops_control
import ops_image
import ops_math
import ops_move
import ops_net
import ops_quant
import ops_wild
from graph import (F16, FLOATS, Graph, Redraw, compute, info, make_model,
                   names_in, node_values, session)

FAMILIES = {}
for part in (ops_math, ops_move, ops_net, ops_attend, ops_image, ops_quant,
             ops_control, ops_wild):
    FAMILIES |= part.FAMILIES


class Case:
    """Nodes, the Values of all that they use and make, and which of these
    are outputs."""

    def __init__(self, nodes, values, outputs, opset, ir):
        self.nodes, self.values, self.outputs = nodes, values, outputs
        self.opset, self.ir = opset, ir
        self.finish = lambda model: model
        self.free = self.old = False

    def copy(self, nodes=None, values=None, outputs=None):
        c = Case(list(nodes or self.nodes), dict(values or self.values),
                 list(outputs or self.outputs), self.opset, self.ir)
        c.finish, c.free, c.old = self.finish, self.free, self.old
        return c

    def needed(self):
        """Keeps the nodes that outputs need."""
        want, kept = set(self.outputs), []
        for n in reversed(self.nodes):
            if want & set(n.output):
                kept.append(n)
                want |= set(names_in(n))
        self.nodes = kept[::-1]
        return self

    def given(self):
        """The Values that no node makes."""
        made = {o for n in self.nodes for o in n.output}
        used = [i for n in self.nodes for i in names_in(n)]
        return [self.values[i] for i in dict.fromkeys(used)
                if i in self.values and i not in made]

    def fed(self):
        return {v.name: v.a for v in self.given() if not v.const}

    def model(self):
        fed = [v for v in self.given() if not v.const]
        held = [v for v in self.given() if v.const]
        ins = [info(v.name, v.a) for v in fed]
        if self.free:
            for i in ins:
                for d in i.type.tensor_type.shape.dim:
                    d.dim_param = f"d{d.dim_value}"
        if self.old:
            ins += [info(v.name, v.a) for v in held]
        m = make_model(self.nodes, ins,
                       [numpy_helper.from_array(v.a, v.name) for v in held],
                       [info(o, self.values[o].a) for o in self.outputs],
                       self.opset, 3 if self.old else self.ir)
        return self.finish(m)

    def sizes(self):
        """The free dimensions' options."""
        sizes = {d for a in self.fed().values() for d in a.shape}
        return [f"--dim=d{d}={d}" for d in sorted(sizes)] if self.free else []

    def expected(self):
        return {o: (self.values[o].a, tolerance(self.values[o]))
                for o in self.outputs}

    def recomputed(self):
        """The same with values computed again from what is given."""
        noise = np.random.default_rng(1)
        values = {v.name: v for v in self.given()}
        for n in self.nodes:
            ins = [values[i] for i in dict.fromkeys(names_in(n))
                   if i in values]
            soft = n.op_type.startswith(("QLinear", "QGemm", "Quantize",
                                         "Dynamic"))
            wild = any(not np.isfinite(d).all() for o in n.output if o
                       for d in [self.values[o].a.astype(np.float64)])
            for v in node_values(n, ins, self.opset, noise, soft, wild):
                values[v.name] = v
        return self.copy(values=values)


def tolerance(v):
    """Per element."""
    e = v.error()
    if v.t not in FLOATS:
        return e
    size = np.nan_to_num(np.abs(v.a.astype(np.float64)), posinf=0)
    r, least = (2e-3, 1e-4) if v.t is F16 else (1e-5, 1e-6)
    if not e.size:
        return e
    return 2 * e + 0.1 * e.mean() + r * size + least * (1 + size.max())


def grow(g, families, n):
    names = list(families)
    weights = [families[f][1] for f in names]
    tries = 0
    made = 0
    while made < n and tries < 40 + 10 * n:
        tries += 1
        family = g.r.choices(names, weights)[0]
        mark = g.mark()
        try:
            families[family][0](g)
            made += 1
        except Redraw as e:
            g.back(mark)
            g.refused.append((family, str(e)))
    if not made:
        raise Redraw(f"nothing: {g.refused[-1]}")


def draw(seed, only=None):
    """The Case of a seed."""
    g = Graph(seed)
    g.refused = []
    families = {k: v for k, v in FAMILIES.items()
                if not only or k in only.split(",")}
    grow(g, families, 1 + int(12 * g.r.random() ** 1.7))
    used = {i for n in g.nodes for i in names_in(n)}
    outs = [v.name for v in g.pool if v.name not in used or g.chance(0.15)]
    outs += [v.name for v in g.ends]
    outs += [v.name for v in g.inputs if v.const and v.name in used and
             g.chance(0.01)]
    case = Case(g.nodes, g.values, outs, g.opset, g.ir).needed()
    case.refused = g.refused
    how = g.r.random()
    if how < 0.1:
        case.free = True
    elif how < 0.15:
        case.old = True
    elif how < 0.27:
        state = g.r.getstate()

        def finish(model):
            g.r.setstate(state)
            return ops_control.as_function(g, model)
        case.finish = finish
    confirm(case)
    return case


def confirm(case):
    """The whole graph gives what its nodes gave one by one."""
    got = compute(session(case.model()), case.fed())
    for o, a in zip(case.outputs, got):
        want, tol = case.expected()[o]
        wrong = differs(a, want, tol)
        if wrong:
            raise Redraw(f"ort differs from itself: {o}: {wrong}")


def differs(got, want, tol):
    """Where, or None."""
    if got.shape != want.shape:
        return f"expected shape {list(want.shape)}, found {list(got.shape)}"
    if got.dtype != want.dtype:
        return f"expected {want.dtype}, found {got.dtype}"
    a, b = got.astype(np.float64), want.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        if want.dtype.itemsize == 8 and want.dtype.kind in "iu":
            bad = np.where(tol > 0, np.abs(a - b) > tol, got != want)
        else:
            bad = ~((np.abs(a - b) <= tol) | (a == b) |
                    np.isnan(a) & np.isnan(b))
    if not bad.any():
        return None
    at = tuple(int(i) for i in np.argwhere(bad)[0]) if bad.ndim else ()
    return f"{int(bad.sum())} of {bad.size}, at {list(at)} expected " \
        f"{want[at]}, found {got[at]}"
