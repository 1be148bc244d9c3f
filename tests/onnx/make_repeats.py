"""make_repeats.py DIR COUNT - ONNX files in which parts come again, each
NAME.onnx, for tests/cli/import.sh: what becomes a block or a repeat, and what
must not, and COUNT random ones.  Prints the names."""
import os
import random
import sys

from onnx_file import Graph, floats, model, node, write

WIDTH = 4


class Net:
    """Nodes one behind the other; `at` is what stands before their names."""

    def __init__(self):
        self.nodes, self.tensors, self.at = [], [], "/"
        self.inputs, self.outputs = [("x", [1, WIDTH])], []

    def op(self, op, *ins, name=None, out=None, **attrs):
        out = out or f"t{len(self.nodes)}"
        name = out if name == "" else self.at + (name or op)
        self.nodes.append(node(op, ins, [out], name, **attrs))
        return out

    def weight(self, name, *dims):
        count = 1
        for d in dims:
            count *= d
        first = len(self.tensors)
        values = [((7 * i + 3 * first) % 11 - 5) / 8 for i in range(count)]
        self.tensors.append(floats(name, dims, values))
        return name

    def input(self, name):
        self.inputs.append((name, [1, WIDTH]))
        return name

    def output(self, name):
        self.outputs.append((name, [1, WIDTH]))

    def model(self, last):
        self.output(last)
        return model(Graph(self.nodes, self.inputs, self.outputs,
                           self.tensors))


def dense(net, x, weight, bias):
    y = net.op("MatMul", x, net.weight(weight, WIDTH, WIDTH),
               name="fc/MatMul")
    return net.op("Add", net.weight(bias, WIDTH), y, name="fc/Add")


def norm(net, x, scope):
    at, net.at = net.at, net.at + scope + "/"
    m = net.op("ReduceMean", x, axes=[1])
    d = net.op("Sub", x, m)
    s = net.op("ReduceMean", net.op("Mul", d, d), name="ReduceMean_1",
               axes=[1])
    y = net.op("Div", d, net.op("Sqrt", net.op("Abs", s)))
    y = net.op("Mul", y, net.weight(f"{at}{scope}.gain", WIDTH), name="Mul_1")
    net.at = at
    return y


def encoder():
    """Layers in a chain, each with two norms; one more norm in front.  The
    products' weights have the names that constant folding gives."""
    net = Net()
    mask = net.op("Tanh", net.input("seen"))
    x = norm(net, "x", "embeddings/norm")
    for i in range(4):
        net.at = f"/encoder/layer.{i}/"
        y = norm(net, x, "norm1")
        y = dense(net, y, f"onnx::MatMul_{90 + 3 * i}",
                  f"encoder.layer.{i}.fc.bias")
        y = net.op("Relu", net.op("Add", y, mask))
        x = norm(net, net.op("Add", x, y, name="Add_1"), "norm2")
    return net.model(x)


def cache():
    """What a layer keeps for the next call goes in and out."""
    net = Net()
    x = "x"
    for i in range(3):
        net.at = f"/h.{i}/"
        past = [net.input(f"past.{i}.{k}") for k in ("key", "value")]
        key = net.op("Add", past[0], x, out=f"present.{i}.key")
        net.output(key)
        value = net.op("Add", past[1], key, name="Add_1",
                       out=f"present.{i}.value")
        net.output(value)
        y = dense(net, net.op("Mul", x, value), f"h.{i}.w", f"h.{i}.b")
        x = net.op("Tanh", net.op("Add", x, y, name="Add_2"))
    return net.model(x)


def unnamed():
    """Nodes without names are called as what they give is."""
    net = Net()
    x = "x"
    for i in range(5):
        y = net.op("Mul", x, net.weight(f"w{i}", WIDTH), name="")
        y = net.op("Add", y, net.weight(f"b{i}", WIDTH), name="")
        y = net.op("Relu", y, name="")
        y = net.op("Sub", y, x, name="")
        x = net.op("Sigmoid", y, name="")
    return net.model(x)


def stages():
    """Repeats within a block that is repeated."""
    net = Net()
    x = "x"
    for i in range(3):
        for k in range(4):
            net.at = f"/stage.{i}/unit.{k}/"
            y = dense(net, x, f"stage.{i}.unit.{k}.fc.weight",
                      f"stage.{i}.unit.{k}.fc.bias")
            x = net.op("Add", x, net.op("Relu", y))
        net.at = f"/stage.{i}/"
        x = net.op("Tanh", x)
    return net.model(x)


def tied():
    """One weight for all layers; what the last ones give is an output too."""
    net = Net()
    x = "x"
    for i in range(5):
        net.at = f"/layers.{i}/"
        y = dense(net, x, "shared.w" if not i else f"layers.{i}.w",
                  f"layers.{i}.b")
        y = net.op("Mul", y, "shared.gain" if i else
                   net.weight("shared.gain", WIDTH))
        x = net.op("Add", x, net.op("Relu", y), name="Add_1")
        if i > 2:
            net.output(x)
    net.outputs.pop()
    return net.model(x)


def lists():
    """Inputs in an order that no rule gives, one for each turn."""
    net = Net()
    given = [net.input(f"s{i}") for i in (3, 1, 4, 0)]
    x = "x"
    for i, s in enumerate(given):
        net.at = f"/layers.{i}/{7 * i * i}/"
        y = dense(net, net.op("Add", x, s), f"layers.{i}.w", f"layers.{i}.b")
        x = net.op("Tanh", net.op("Sub", y, x))
    return net.model(x)


def odd():
    """Letters behind numbers, and what has a meaning in the language."""
    net = Net()
    x = "x"
    for i in range(4):
        net.at = f"/a${i}b\"/c{i}_d.{i}e/007/"
        y = dense(net, x, f"w{i}w.{i}", f"in.{i}.if")
        y = net.op("Sigmoid", y, name="for/where")
        x = net.op("Mul", x, y)
    return net.model(x)


def apart():
    """Two branches of one shape, of which others use different parts."""
    net = Net()
    ends = []
    for side in ("left", "right"):
        net.at = f"/{side}/"
        y = net.op("Tanh", dense(net, "x", f"{side}.w", f"{side}.b"))
        z = net.op("Relu", net.op("Abs", net.op("Mul", y, "x")))
        ends.append((y, net.op("Sub", z, y)))
    net.at = "/"
    out = net.op("Add", ends[0][0], ends[0][1])
    out = net.op("Add", out, ends[1][1], name="Add_1")
    return net.model(out)


def starts():
    """Repeats within blocks whose first turn takes one value twice in all
    instances but one, so that the turns are no repeat from there on."""
    net = Net()
    x, side = "x", net.input("side")
    for i in range(3):
        given = side if i == 1 else x
        for k in range(4):
            net.at = f"/stage.{i}/unit.{k}/"
            y = net.op("Relu", net.op("Sub", x, given))
            x = given = net.op("Tanh", net.op("Sub", y, x, name="Sub_1"))
        net.at = f"/stage.{i}/"
        x = net.op("Sigmoid", x)
    return net.model(x)


def differ():
    """Layers that differ in a number, or in what they are given."""
    net = Net()
    x = before = "x"
    for i in range(4):
        net.at = f"/layers.{i}/"
        y = dense(net, x, f"layers.{i}.w", f"layers.{i}.b")
        y = net.op("LeakyRelu", y, alpha=0.125 * (i + 1))
        x, before = net.op("Add", y, before if i % 2 else x), x
    return net.model(x)


# ---- random ones ----------------------------------------------------------

SCOPES = "blk", "layer.", "m/sub.", "a.b"


def random_body(r, depth):
    """What one pass through it does: ops, and bodies that it runs again."""
    parts = []
    for _ in range(r.randint(1, 5)):
        if depth and r.random() < 0.3:
            parts.append((random_body(r, depth - 1), r.randint(1, 4),
                          r.choice(SCOPES)))
        else:
            op = r.choice(("Relu", "Tanh", "Abs", "Add", "Sub", "Weight",
                           "Tied", "LeakyRelu"))
            parts.append((op, r.randint(1, 3)))
    return parts


def random_name(r, net, style, op):
    """As torch counts, by what comes out, or as they stand in the file."""
    if style == "torch":
        key = net.at + op
        net.counts[key] = net.counts.get(key, -1) + 1
        return f"{op}_{net.counts[key]}" if net.counts[key] else op
    return "" if style == "none" else f"{op}_{len(net.nodes)}"


def random_op(r, net, style, op, back, seen):
    name = random_name(r, net, style, op)
    if op in ("Add", "Sub"):
        other = seen[max(0, len(seen) - 1 - back)]
        if r.random() < 0.03:
            other = r.choice(net.inputs)[0]
        return net.op(op, seen[-1], other, name=name)
    if op == "Weight":
        path = net.at.strip("/").replace("/", ".")
        named = r.random() < 0.8
        w = f"{path}.w{back}" if named else "onnx::Mul"
        return net.op("Mul", seen[-1],
                      net.weight(f"{w}_{len(net.tensors)}", WIDTH), name=name)
    if op == "Tied":
        return net.op("Mul", seen[-1], "tied", name=name)
    if op == "LeakyRelu":
        return net.op(op, seen[-1], name=name, alpha=back / 4)
    return net.op(op, seen[-1], name=name)


def random_run(r, net, style, body, x):
    seen, at = [x], net.at
    for what, n, *scope in body:
        if isinstance(what, str):
            seen.append(random_op(r, net, style, what, n, seen))
        for i in range(n if scope else 0):
            net.at = f"{at}{scope[0]}{i}/"
            seen.append(random_run(r, net, style, what, seen[-1]))
            if r.random() < 0.03:
                net.kept.append(seen[-1])
        net.at = at
    return seen[-1]


def random_net(seed):
    r = random.Random(seed)
    net, x = Net(), "x"
    net.counts, net.kept = {}, []
    net.weight("tied", WIDTH)
    for i in range(r.randint(0, 2)):
        net.input(f"in.{i}")
    style = r.choice(("torch", "none", "row"))
    for k in range(r.randint(1, 3)):
        body = random_body(r, 2)
        for i in range(r.randint(1, 6)):
            net.at = f"/net{k}.{i}/"
            x = random_run(r, net, style, body, x)
            if len(net.nodes) > 200:
                break
    for y in dict.fromkeys(net.kept):
        if y not in ("x", x):
            net.output(y)
    return net.model(x)


def main(folder, count):
    os.makedirs(folder, exist_ok=True)
    for make in (encoder, cache, unnamed, stages, tied, lists, odd, apart,
                 starts, differ):
        write(os.path.join(folder, make.__name__ + ".onnx"), make())
        print(make.__name__)
    for seed in range(count):
        write(os.path.join(folder, f"random{seed}.onnx"), random_net(seed))
        print(f"random{seed}")


main(sys.argv[1], int(sys.argv[2]))
