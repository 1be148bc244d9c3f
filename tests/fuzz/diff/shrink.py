"""shrink.py - makes a case that fails smaller, while it fails alike."""
import numpy as np
import onnx

from graph import Redraw, Value


def shrink(case, fails):
    """fails(case) is what is wrong, or None: its first word has to stay."""
    kind = fails(case).split(":")[0]

    def still(c):
        try:
            return bool(c.nodes) and (fails(c) or "").split(":")[0] == kind
        except (Redraw, KeyError, onnx.checker.ValidationError):
            return False
    plain = case.copy()
    plain.finish, plain.free, plain.old = (lambda m: m), False, False
    case = plain if still(plain) else case
    case = one_output(case, still)
    case = fewer_nodes(case, still)
    case = fewer_attributes(case, still)
    return smaller_sizes(case, still)


def one_output(case, still):
    """The first value in the graph's order that is wrong."""
    for n in case.nodes:
        for o in n.output:
            if o in case.values:
                c = case.copy(outputs=[o]).needed()
                if still(c):
                    return c
    return case


def fewer_nodes(case, still):
    """What a node that goes made becomes an input."""
    for n in reversed(case.nodes):
        if any(o in case.outputs for o in n.output):
            continue
        c = case.copy(nodes=[m for m in case.nodes if m is not n]).needed()
        if still(c):
            return fewer_nodes(c, still)
    return case


def fewer_attributes(case, still):
    for k, n in enumerate(case.nodes):
        for a in n.attribute:
            less = onnx.NodeProto()
            less.CopyFrom(n)
            less.attribute.remove(a)
            c = case.copy(nodes=case.nodes[:k] + [less] + case.nodes[k + 1:])
            if anew(c, still):
                return fewer_attributes(c.recomputed(), still)
        if len(n.input) > 1 and n.op_type != "Loop":
            less = onnx.NodeProto()
            less.CopyFrom(n)
            del less.input[-1]
            c = case.copy(nodes=case.nodes[:k] + [less] + case.nodes[k + 1:])
            if anew(c, still):
                return fewer_attributes(c.recomputed(), still)
    return case


def anew(c, still):
    try:
        return still(c.recomputed())
    except (Redraw, KeyError):
        return False


def smaller_sizes(case, still):
    sizes = sorted({d for v in case.given() for d in v.shape if d > 1})
    for d in reversed(sizes):
        for to in {1, d // 2, d - 1}:
            c = case.copy()
            for v in c.given():
                cut = tuple(slice(0, to if s == d else s) for s in v.shape)
                c.values[v.name] = Value(
                    v.name, [np.asarray(a[cut]) for a in v.data], v.exact,
                    v.const)
            if anew(c, still):
                return smaller_sizes(c.recomputed(), still)
    return case
