"""ops_control.py - draws graphs inside of graphs, and functions."""
import numpy as np
import onnx
from onnx import helper

from graph import B1, F32, I64, make_model, names_in

STEPS = "Add", "Sub", "Mul", "Max", "Min"
BENDS = "Tanh", "Sigmoid", "Relu", "Neg", "Abs", "Sin"


def body_nodes(g, start, others, n, out):
    """n nodes from start to out, which keep its shape."""
    nodes, at = [], start
    for i in range(n):
        to = out if i == n - 1 else g.name("b")
        if others and g.chance(0.6):
            pair = [at, g.r.choice(others)]
            g.r.shuffle(pair)
            nodes.append(helper.make_node(g.one(*STEPS), pair, [to]))
        else:
            nodes.append(helper.make_node(g.one(*BENDS), [at], [to]))
        at = to
    return nodes


def typed(name, t, shape):
    return helper.make_tensor_value_info(
        name, helper.np_dtype_to_tensor_dtype(np.dtype(t)), list(shape))


def branch(g, x, other):
    out = g.name("r")
    nodes = body_nodes(g, x.name, [x.name, other.name], g.int(1, 3), out)
    return helper.make_graph(nodes, "branch", [], [typed(out, x.t, x.shape)])


def if_(g):
    x = g.take(F32)
    other = g.shaped(x.t, x.shape)
    if x.rank and g.chance(0.3):
        return if_shapes(g, x, other)
    c = g.fresh(B1, g.one((), (1,)), const=g.chance(0.5))
    return g.emit("If", [c], uses=[x, other],
                  then_branch=branch(g, x, other),
                  else_branch=branch(g, x, other))


def if_shapes(g, x, other):
    """The branches' results have shapes of their own."""
    long = list(x.shape)
    long[0] *= 2
    out, more = g.name("r"), g.name("r")
    cat = helper.make_graph(
        [helper.make_node("Concat", [x.name, other.name], [out], axis=0)],
        "long", [], [typed(out, x.t, long)])
    flat = helper.make_graph(
        [helper.make_node("Flatten", [x.name], [more], axis=0)],
        "flat", [], [typed(more, x.t, (1, x.a.size))])
    c = g.given(np.array(g.chance(0.5)))
    return g.emit("If", [c], uses=[x, other], then_branch=cat,
                  else_branch=flat)


def loop(g):
    """Carries one value or two; may stack a third."""
    x = g.take(F32, hi=3)
    other = g.shaped(x.t, x.shape)
    stack, two = g.chance(0.5), g.chance(0.3)
    turns = g.one(0, 1, 2, 3, 5, 5, 70) if not stack else g.int(1, 5)
    names = {k: g.name(k) for k in ("i", "go", "on", "v", "w", "s", "t", "f")}
    i, go, on, v, w, s, t, f = names.values()
    nodes, outer = [helper.make_node("Identity", [go], [on])], [other]
    if turns < 9 and g.chance(0.3):      # until it has counted so far
        last = g.given(np.array(g.int(0, turns + 1), I64))
        nodes = [helper.make_node("Less", [i, last.name], [on])]
        outer.append(last)
    uses = [other.name]
    if g.chance(0.4):
        nodes.append(helper.make_node("Cast", [i], [f], to=1))
        uses.append(f)
    nodes += body_nodes(g, v, uses, g.int(1, 2), g.name("m"))
    # Kept small, whatever the turns.
    nodes.append(helper.make_node(g.one("Tanh", "Sigmoid"),
                                  [nodes[-1].output[0]], [w]))
    ins = [typed(i, I64, ()), typed(go, B1, ()), typed(v, x.t, x.shape)]
    outs = [typed(on, B1, ()), typed(w, x.t, x.shape)]
    start = [x]
    if two:
        nodes.append(helper.make_node("Max", [t, v], [t + "o"]))
        ins.append(typed(t, x.t, x.shape))
        outs.append(typed(t + "o", x.t, x.shape))
        start.append(g.shaped(x.t, x.shape))
    if stack:
        nodes.append(helper.make_node("Sub", [w, v], [s]))
        outs.append(typed(s, x.t, x.shape))
    inner = helper.make_graph(nodes, "body", ins, outs)
    count = g.given(np.array(turns, I64))
    # Without a first condition it goes on.
    go = g.given(np.array(True)) if g.chance(0.5) else None
    return g.emit("Loop", [count, go] + start, 1 + two + stack, uses=outer,
                  body=inner)


def scan(g):
    n = g.int(1, 5)
    row = g.dims(0, 2, 4)
    a = g.int(0, len(row))
    shape = row[:a] + (n,) + row[a:]
    x, s = g.shaped(F32, shape), g.shaped(F32, row)
    v, r, w, o = [g.name("b") for _ in range(4)]
    nodes = body_nodes(g, v, [r], g.int(1, 2), g.name("m"))
    nodes.append(helper.make_node(g.one("Tanh", "Sigmoid"),
                                  [nodes[-1].output[0]], [w]))
    nodes.append(helper.make_node(g.one("Add", "Mul"), [w, r], [o]))
    inner = helper.make_graph(
        nodes, "body", [typed(v, F32, row), typed(r, F32, row)],
        [typed(w, F32, row), typed(o, F32, row)])
    b = {"scan_input_axes": [g.one(a, a - len(shape)) if g.opset >= 11 else
                             a] if a else None,
         "scan_input_directions": g.one(None, [0], [1]),
         "scan_output_directions": g.one(None, [0], [1])}
    if g.chance(0.4):
        b["scan_output_axes"] = [g.int(0, len(row))]
    return g.emit("Scan", [s, x], 2, body=inner, num_scan_inputs=1, **b)


FAMILIES = {"if": (if_, 1.5), "loop": (loop, 2), "scan": (scan, 1.5)}


def as_function(g, model):
    """Some neighbours of a model's nodes become a function of it."""
    nodes = list(model.graph.node)
    lo = g.int(0, len(nodes) - 1)
    hi = g.int(lo, min(len(nodes) - 1, lo + 4))
    part = nodes[lo:hi + 1]
    if any(a.type == onnx.AttributeProto.GRAPH for n in part
           for a in n.attribute):
        return model
    made = [o for n in part for o in n.output if o]
    used = list(dict.fromkeys(i for n in part for i in n.input
                              if i and i not in made))
    later = {i for n in nodes[hi + 1:] for i in names_in(n)}
    later |= {o.name for o in model.graph.output}
    gives = [o for o in made if o in later]
    if not used or not gives:
        return model
    f = helper.make_function("own", "part", used, gives, part,
                             list(model.opset_import))
    call = helper.make_node("part", used, gives, domain="own")
    graph = model.graph
    return make_model(nodes[:lo] + [call] + nodes[hi + 1:],
                      list(graph.input), list(graph.initializer),
                      list(graph.output), g.opset, max(g.ir, 8), [f],
                      ["own"])
