"""lite.py - a net of net.py as a TensorFlow Lite file, with the same weights:
channels last, activations in the operators that they follow, as converters
write it. Needs PyPI's tflite and flatbuffers."""
import os
import sys

import numpy as np

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)),
                             "..", "tests", "tflite"))
import flatnet  # noqa: E402

SAME, VALID = 0, 1
ACTS = {"relu": 1, "relu6": 3}
# Where the options of an operator have its activation.
ACT_SLOT = {"Conv2DOptions": 3, "DepthwiseConv2DOptions": 4, "AddOptions": 0}


class Lite(flatnet.Net):
    align = 16

    def __init__(self, net, params):
        super().__init__()
        self.params, self.at = params, {}
        self.acted = set()
        shape = list(net.shape)
        if len(shape) == 4:
            shape = shape[:1] + shape[2:] + shape[1:2]
        self.at["x"] = self.tensor("x", shape)
        for kind, out, *rest in net.layers:
            self.at[out] = getattr(self, "layer_" + kind)(*rest)
        self.out = self.at[net.out]

    def write(self, path):
        with open(path, "wb") as f:
            f.write(self.bytes([self.at["x"]], [self.out]))

    def shape(self, t):
        return self.tensors[t][1]

    def weights(self, path, order=None):
        w = self.params[path + ".weight"].astype(np.float32)
        if order:
            w = w.transpose(order)
        return [self.const(path + ".weight", np.ascontiguousarray(w)),
                self.const(path + ".bias", self.params[path + ".bias"])]

    def binary(self, op, x, y, to):
        return self.op(op, [x, y], [to],
                       f"{op.capitalize()}Options", [(0, "i8", 0)])

    # ---- maps

    def padded(self, x, k, s, pad):
        """x and what pads windows of k: SAME is another padding where the
        stride is 2, in front of which zeros are an operator of their own."""
        if s == 1 and 2 * pad == k - 1:
            return x, SAME
        n, h, w, c = self.shape(x)
        if pad:
            around = np.int32([[0, 0], [pad, pad], [pad, pad], [0, 0]])
            x = self.op("PAD", [x, self.const(f"pad{len(self.tensors)}",
                                              around)],
                        [[n, h + 2 * pad, w + 2 * pad, c]], "PadOptions")
        return x, VALID

    def windows(self, x, k, s, pad):
        """The rows and columns of windows over x."""
        return [(d + 2 * pad - k) // s + 1 for d in self.shape(x)[1:3]]

    def layer_conv(self, x, path, k, s, groups):
        x = self.at[x]
        n, rows = self.shape(x)[0], self.windows(x, k, s, k // 2)
        c = self.params[path + ".weight"].shape[0]
        if groups not in (1, c):
            raise ValueError(f"{path}: of {c} channels in {groups} groups: "
                             "one group is expected, or one a channel")
        x, how = self.padded(x, k, s, k // 2)
        fields = [(0, "i8", how), (1, "i32", s), (2, "i32", s)]
        if groups == 1:
            w = self.weights(path, (0, 2, 3, 1))
            return self.op("CONV_2D", [x, *w], [[n, *rows, c]],
                           "Conv2DOptions", fields + [(3, "i8", 0)])
        w = self.weights(path, (1, 2, 3, 0))
        return self.op("DEPTHWISE_CONV_2D", [x, *w], [[n, *rows, c]],
                       "DepthwiseConv2DOptions",
                       fields + [(3, "i32", 1), (4, "i8", 0)])

    def layer_act(self, x, act):
        """Into the operator before, whose result nobody else has."""
        code, ins, outs, options, fields = self.ops.pop()
        if outs != [self.at[x]]:
            raise ValueError(f"{act} of {x}: it is expected right behind the "
                             "operator that gives it")
        slot = ACT_SLOT[options]
        fields = [(s, k, ACTS[act] if s == slot else v) for s, k, v in fields]
        self.ops.append((code, ins, outs, options, fields))
        self.acted.add(outs[0])
        return outs[0]

    def layer_maxpool(self, x, k, s, pad):
        """Where no value is negative, zeros pad as well as what is less than
        all."""
        x = self.at[x]
        if pad and x not in self.acted:
            raise ValueError("maxpool: it pads what may be negative")
        n, _, _, c = self.shape(x)
        rows = self.windows(x, k, s, pad)
        x, how = self.padded(x, k, s, pad)
        return self.op("MAX_POOL_2D", [x], [[n, *rows, c]], "Pool2DOptions",
                       [(0, "i8", how), (1, "i32", s), (2, "i32", s),
                        (3, "i32", k), (4, "i32", k), (5, "i8", 0)])

    def layer_mean(self, x):
        x = self.at[x]
        n, _, _, c = self.shape(x)
        axes = self.ints(f"axes{len(self.tensors)}", 1, 2)
        return self.op("MEAN", [x, axes], [[n, c]], "ReducerOptions",
                       [(0, "bool", False)])

    # ---- maps and rows

    def layer_add(self, x, y):
        x, y = self.at[x], self.at[y]
        return self.binary("ADD", x, y, self.shape(x))

    def layer_linear(self, x, path):
        x = self.at[x]
        m = self.params[path + ".weight"].shape[0]
        return self.op("FULLY_CONNECTED", [x, *self.weights(path)],
                       [self.shape(x)[:-1] + [m]], "FullyConnectedOptions",
                       [(0, "i8", 0), (1, "i8", 0), (2, "bool", True)])

    # ---- rows

    def number(self, v):
        return self.const(f"n{len(self.tensors)}", np.float32([v]))

    def moment(self, op, x):
        axis = self.ints(f"axis{len(self.tensors)}", -1)
        return self.op(op, [x, axis], [self.shape(x)[:-1] + [1]],
                       "ReducerOptions", [(0, "bool", True)])

    def layer_layer_norm(self, x, path):
        x = self.at[x]
        to, one = self.shape(x), self.shape(x)[:-1] + [1]
        mean = self.moment("MEAN", x)
        off = self.op("SQUARED_DIFFERENCE", [x, mean], [to],
                      "SquaredDifferenceOptions")
        var = self.binary("ADD", self.moment("MEAN", off), self.number(1e-5),
                          one)
        d = self.binary("SUB", x, mean, to)
        y = self.binary("MUL", d, self.op("RSQRT", [var], [one]), to)
        gain, bias = self.weights(path)
        return self.binary("ADD", self.binary("MUL", y, gain, to), bias, to)

    def layer_gelu(self, x):
        x = self.at[x]
        return self.op("GELU", [x], [self.shape(x)], "GeluOptions",
                       [(0, "bool", False)])

    def layer_attention(self, q, k, v, heads):
        q, k, v = (self.at[t] for t in (q, k, v))
        n, rows, width = self.shape(q)
        split = [n, heads, rows, width // heads]

        def reshape(x, to):
            want = self.ints(f"shape{len(self.tensors)}", *to)
            return self.op("RESHAPE", [x, want], [to], "ReshapeOptions",
                           [(0, "ints", to)])

        def turn(x, to):
            order = self.ints(f"order{len(self.tensors)}", 0, 2, 1, 3)
            return self.op("TRANSPOSE", [x, order], [to], "TransposeOptions")

        def part(x):
            return turn(reshape(x, [n, rows, heads, width // heads]), split)

        def product(a, b, transposed, to):
            return self.op("BATCH_MATMUL", [a, b], [to], "BatchMatMulOptions",
                           [(0, "bool", False), (1, "bool", transposed)])
        scores = [n, heads, rows, rows]
        q = self.binary("MUL", part(q),
                        self.number((width // heads) ** -0.5), split)
        s = product(q, part(k), True, scores)
        s = self.op("SOFTMAX", [s], [scores], "SoftmaxOptions",
                    [(0, "f32", 1.0)])
        y = turn(product(s, part(v), False, split),
                 [n, rows, heads, width // heads])
        return reshape(y, [n, rows, width])


def write(net, params, path):
    Lite(net, params).write(path)
