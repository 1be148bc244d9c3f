"""net.py - whole nets of the bench, written from one description: in Tamis'
language and as ONNX, with the same drawn weights; lite.py writes TensorFlow
Lite's form. Normalisation is folded into biases, as every contestant would
do. Needs PyPI's onnx."""
import json
import struct

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper, save

OPSET = 13


def prune(w, pattern, zeros, rng):
    """Zeros drawn on single weights, or on 4 outputs that share an input."""
    high = 4 if pattern == "4x1" else 1
    rows = -(-w.shape[0] // high)
    keep = rng.random((rows,) + w.shape[1:]) >= zeros
    return w * np.repeat(keep, high, axis=0)[:w.shape[0]]


class Net:
    def __init__(self, name, shape):
        self.name, self.shape = name, shape
        self.rng = np.random.default_rng(1)
        self.lines, self.nodes, self.params = [], [], {}
        self.prunable, self.count = [], 0
        self.layers = []            # (kind, result, operand, ...)

    # ---- parts of both texts

    def value(self, tam, op=None, ins=(), **attr):
        """A new value: a line of Tamis, a node of ONNX."""
        self.count += 1
        out = f"v{self.count}"
        self.lines.append(f"  {out} = {tam};")
        if op:
            self.nodes.append(helper.make_node(op, list(ins), [out], **attr))
        return out

    def node(self, op, *ins, **attr):
        """A node of ONNX alone."""
        out = f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(ins), [out], **attr))
        return out

    def const(self, v):
        name = f"c{len(self.params)}"
        self.params[name] = np.asarray(v)
        return name

    def rename(self, got):
        """Let the value of the last line be what the nodes made."""
        self.nodes.append(helper.make_node("Identity", [got],
                                           [f"v{self.count}"]))
        return f"v{self.count}"

    def weight(self, path, shape, fan, scale=2.0, pruned=True):
        w = self.rng.standard_normal(shape) * (scale / fan) ** 0.5
        self.params[path + ".weight"] = w.astype(np.float32)
        b = self.rng.uniform(-0.1, 0.1, shape[0]).astype(np.float32)
        self.params[path + ".bias"] = b
        if pruned:
            self.prunable.append(path + ".weight")

    def layer(self, kind, out, *rest):
        self.layers.append((kind, out, *rest))
        return out

    # ---- layers

    def conv(self, x, cin, c, k=1, s=1, groups=1, act="", pruned=True,
             scale=2.0):
        path = f"l{self.count}"
        self.weight(path, (c, cin // groups, k, k), cin // groups * k * k,
                    scale, pruned)
        tam = (f"{x} |> conv({c}, k={k}, s={s}, pad={k // 2}, "
               f"groups={groups}, bias=true) as {path}")
        out = self.value(tam, "Conv",
                         (x, path + ".weight", path + ".bias"),
                         kernel_shape=[k, k], strides=[s, s],
                         pads=[k // 2] * 4, group=groups)
        self.layer("conv", out, x, path, k, s, groups)
        return self.act(out, act)

    def act(self, x, act):
        if act == "relu":
            out = self.value(f"{x} |> relu", "Relu", [x])
        elif act == "relu6":
            lo, hi = self.const(np.float32(0)), self.const(np.float32(6))
            out = self.value(f"{x} |> relu6", "Clip", [x, lo, hi])
        else:
            return x
        return self.layer("act", out, x, act)

    def add(self, x, y):
        out = self.value(f"{x} + {y}", "Add", [x, y])
        return self.layer("add", out, x, y)

    def linear(self, x, k, m, pruned=True, scale=1.0):
        """ONNX holds the weights transposed: see `initialisers`."""
        path = f"l{self.count}"
        self.weight(path, (m, k), k, scale, pruned)
        out = self.value(f"{x} |> linear({m}) as {path}")
        self.layer("linear", out, x, path)
        got = self.node("MatMul", x, path + ".weight.T")
        return self.rename(self.node("Add", got, path + ".bias"))

    def pool_mean(self, x):
        got = self.node("GlobalAveragePool", x)
        self.layer("mean", self.value(f"{x} |> mean([2,3])"), x)
        return self.rename(self.node("Flatten", got, axis=1))

    def maxpool(self, x):
        out = self.value(f"{x} |> maxpool(3, s=2, pad=1)", "MaxPool", [x],
                         kernel_shape=[3, 3], strides=[2, 2],
                         pads=[1, 1, 1, 1])
        return self.layer("maxpool", out, x, 3, 2, 1)

    def layer_norm(self, x, n):
        path = f"l{self.count}"
        self.params[path + ".weight"] = np.ones(n, np.float32)
        self.params[path + ".bias"] = np.zeros(n, np.float32)
        out = self.value(f"{x} |> layer_norm as {path}")
        self.layer("layer_norm", out, x, path)
        d = self.node("Sub", x, self.node("ReduceMean", x, axes=[-1]))
        two, eps = self.const(np.float32(2)), self.const(np.float32(1e-5))
        var = self.node("ReduceMean", self.node("Pow", d, two), axes=[-1])
        std = self.node("Sqrt", self.node("Add", var, eps))
        y = self.node("Mul", self.node("Div", d, std), path + ".weight")
        return self.rename(self.node("Add", y, path + ".bias"))

    def gelu(self, x):
        self.layer("gelu", self.value(f"{x} |> gelu"), x)
        root, one = (self.const(np.float32(v)) for v in (2 ** 0.5, 1))
        e = self.node("Erf", self.node("Div", x, root))
        y = self.node("Mul", x, self.node("Add", e, one))
        return self.rename(self.node("Mul", y, self.const(np.float32(0.5))))

    def attention(self, q, k, v, rows, heads, width):
        out = self.value(f"{q} |> attention({k}, {v}, heads={heads})")
        self.layer("attention", out, q, k, v, heads)
        shape = self.const(np.int64([1, rows, heads, width]))
        flat = self.const(np.int64([1, rows, heads * width]))

        def split(x, perm):
            return self.node("Transpose", self.node("Reshape", x, shape),
                             perm=perm)
        q, k = split(q, [0, 2, 1, 3]), split(k, [0, 2, 3, 1])
        root = self.const(np.float32(width ** 0.5))
        s = self.node("Div", self.node("MatMul", q, k), root)
        s = self.node("Softmax", s, axis=-1)
        y = self.node("MatMul", s, split(v, [0, 2, 1, 3]))
        y = self.node("Transpose", y, perm=[0, 2, 1, 3])
        return self.rename(self.node("Reshape", y, flat))

    # ---- files

    def finish(self, out, shape):
        self.out, self.out_shape = out, shape

    def pruned(self, pattern, zeros):
        rng = np.random.default_rng(2)
        return {k: prune(v, pattern, zeros, rng) if k in self.prunable else v
                for k, v in self.params.items()}

    def write_tam(self, path):
        dims = [",".join(map(str, s)) for s in (self.shape, self.out_shape)]
        with open(path, "w") as f:
            f.write(f"model {self.name}(x: f32[{dims[0]}]) -> "
                    f"y: f32[{dims[1]}] {{\n" + "\n".join(self.lines) +
                    f"\n  y = {self.out};\n}}\n")

    def write_weights(self, path, params):
        head, blobs, at = {}, [], 0
        for k, v in params.items():
            if "." not in k:
                continue
            blob = v.astype(np.float32).tobytes()
            head[k] = {"dtype": "F32", "shape": list(v.shape),
                       "data_offsets": [at, at + len(blob)]}
            blobs.append(blob)
            at += len(blob)
        text = json.dumps(head).encode()
        with open(path, "wb") as f:
            f.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))

    def write_onnx(self, path, params):
        used = {i for n in self.nodes for i in n.input}
        init = []
        for k, v in params.items():
            if k in used:
                init.append(numpy_helper.from_array(v, k))
            if k + ".T" in used:
                init.append(numpy_helper.from_array(
                    np.ascontiguousarray(v.T), k + ".T"))
        nodes = self.nodes + [helper.make_node("Identity", [self.out],
                                               ["y"])]
        info = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s)
                for n, s in (("x", self.shape), ("y", self.out_shape))]
        graph = helper.make_graph(nodes, self.name, info[:1], info[1:], init)
        model = helper.make_model(
            graph, ir_version=8,
            opset_imports=[helper.make_opsetid("", OPSET)])
        checker.check_model(model)
        save(model, path)


def mobilenet_v1():
    n = Net("mobilenet_v1", (1, 3, 224, 224))
    x, c = n.conv("x", 3, 32, 3, 2, act="relu6", pruned=False), 32
    for out, s in [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1),
                   (512, 2)] + [(512, 1)] * 5 + [(1024, 2), (1024, 1)]:
        x = n.conv(x, c, c, 3, s, groups=c, act="relu6", pruned=False)
        x = n.conv(x, c, out, act="relu6")
        c = out
    n.finish(n.linear(n.pool_mean(x), c, 1000, pruned=False), (1, 1000))
    return n


def mobilenet_v2():
    n = Net("mobilenet_v2", (1, 3, 224, 224))
    x, c = n.conv("x", 3, 32, 3, 2, act="relu6", pruned=False), 32
    for t, out, count, first in [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2),
                                 (6, 64, 4, 2), (6, 96, 3, 1),
                                 (6, 160, 3, 2), (6, 320, 1, 1)]:
        for i in range(count):
            s = first if i == 0 else 1
            h, m = x, c * t
            if t > 1:
                h = n.conv(h, c, m, act="relu6")
            h = n.conv(h, m, m, 3, s, groups=m, act="relu6", pruned=False)
            h = n.conv(h, m, out, scale=1.0)
            x, c = (n.add(x, h) if s == 1 and c == out else h), out
    x = n.conv(x, c, 1280, act="relu6")
    n.finish(n.linear(n.pool_mean(x), 1280, 1000, pruned=False), (1, 1000))
    return n


def resnet50():
    n = Net("resnet50", (1, 3, 224, 224))
    x = n.maxpool(n.conv("x", 3, 64, 7, 2, act="relu", pruned=False))
    c = 64
    for m, count, first in [(64, 3, 1), (128, 4, 2), (256, 6, 2),
                            (512, 3, 2)]:
        for i in range(count):
            s = first if i == 0 else 1
            h = n.conv(x, c, m, act="relu")
            h = n.conv(h, m, m, 3, s, act="relu")
            h = n.conv(h, m, 4 * m, scale=0.5)
            if i == 0:
                x = n.conv(x, c, 4 * m, s=s, scale=1.0)
            x, c = n.act(n.add(x, h), "relu"), 4 * m
    n.finish(n.linear(n.pool_mean(x), c, 1000, pruned=False), (1, 1000))
    return n


def bert_base(rows=128, width=768, heads=12):
    n = Net("bert_base", (1, rows, width))
    x = "x"
    for _ in range(12):
        q, k, v = (n.linear(x, width, width) for _ in range(3))
        a = n.attention(q, k, v, rows, heads, width // heads)
        x = n.layer_norm(n.add(x, n.linear(a, width, width)), width)
        h = n.gelu(n.linear(x, width, 4 * width))
        h = n.linear(h, 4 * width, width)
        x = n.layer_norm(n.add(x, h), width)
    n.finish(x, (1, rows, width))
    return n


# Each net with the zeros of its sparse variant.
NETS = {
    "mobilenet_v1": (mobilenet_v1, "4x1", 0.9),
    "mobilenet_v2": (mobilenet_v2, "4x1", 0.85),
    "resnet50": (resnet50, "unstructured", 0.9),
    "bert_base": (bert_base, "4x1", 0.9),
}
