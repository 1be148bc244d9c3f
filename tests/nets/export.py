#!/usr/bin/python3
"""Write NET.onnx and NET.txt of each net, or of those that are named: export
them by torch, then leave the weights out.

Needs python3-torch, python3-torchvision and python3-onnx of Debian.  A float
tensor of more than KEPT elements is drawn anew by draw.c from its name, with
the mean and the deviation that it had here; NET.onnx refers to NET.bin, which
draw.c writes.  oracle.py then gives the expected outputs.
"""
import dataclasses
import os
import sys
import tempfile
import warnings

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn
from torch.onnx import TrainingMode

import text
import vision

HERE = os.path.dirname(os.path.abspath(__file__))
KEPT = 256


# ---- what is fed ----------------------------------------------------------

@dataclasses.dataclass
class Picture:
    """Float pixels; NET.txt says how draw.c makes them."""
    shape: tuple
    lo: float = -2.0
    hi: float = 2.0

    def line(self, name):
        return f"picture {name} {dims(self.shape)} {self.lo} {self.hi}"

    def example(self):
        return torch.rand(self.shape) * (self.hi - self.lo) + self.lo


@dataclasses.dataclass
class Floats(Picture):
    lo: float = -1.0
    hi: float = 1.0

    def line(self, name):
        return f"draw {name} f32 {dims(self.shape)} {self.lo} {self.hi}"


@dataclasses.dataclass
class Ints:
    """From 0 up to below `end`."""
    shape: tuple
    end: int

    def line(self, name):
        return f"draw {name} i64 {dims(self.shape)} 0 {self.end - 1}"

    def example(self):
        return torch.randint(0, self.end, self.shape)


class Given:
    """Integers that are committed."""

    def __init__(self, rows):
        self.value = np.array(rows, np.int64)

    def line(self, name):
        return f"given {name}"

    def example(self):
        return torch.from_numpy(self.value)


def mask(lengths):
    most = max(lengths)
    return Given([[int(i < n) for i in range(most)] for n in lengths])


def dims(shape):
    return ",".join(map(str, shape))


@dataclasses.dataclass
class Case:
    """One call: inputs in order, sizes of free dimensions."""
    inputs: dict
    sizes: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Net:
    build: object
    opset: int
    outputs: list
    cases: dict
    axes: dict = None          # input or output -> {axis: name}
    zeros: float = 0           # part of each large matrix
    fold: bool = True          # constants; and batch norm into convolutions
    kept: int = KEPT


# ---- the nets -------------------------------------------------------------

BATCH = {0: "batch"}
PICTURE = {"x": BATCH, "y": BATCH}


def pictures(side, *batches, name="x", **range_):
    return {f"b{b}": Case({name: Picture((b, 3, side, side), **range_)},
                          {"batch": b}) for b in batches}


def fixed(side, **range_):
    return {"b1": Case({"x": Picture((1, 3, side, side), **range_)})}


TOKENS = {0: "batch", 1: "length"}
BERT = {"axes": {"input_ids": TOKENS, "attention_mask": TOKENS,
                 "token_type_ids": TOKENS, "hidden": TOKENS,
                 "pooled": BATCH},
        "outputs": ["hidden", "pooled"]}


def sentences(lengths):
    shape = len(lengths), max(lengths)
    return Case({"input_ids": Ints(shape, 30522),
                 "attention_mask": mask(lengths),
                 "token_type_ids": Ints(shape, 2)},
                {"batch": shape[0], "length": shape[1]})


def decoder(layers, batch, before, new, shape, positions=False):
    """shape: heads, elements a head."""
    ins = {"input_ids": Ints((batch, new), 1000)}
    if positions:
        ins["position_ids"] = Given([range(before, before + new)] * batch)
    for i in range(layers):
        for part in ("key", "value"):
            ins[f"past.{i}.{part}"] = Floats(
                (batch, shape[0], before, shape[1]))
    return Case(ins, {"batch": batch, "new": new, "past": before})


def decoder_net(layers):
    axes = {"input_ids": {0: "batch", 1: "new"},
            "position_ids": {0: "batch", 1: "new"}}
    outputs = ["logits"]
    for i in range(layers):
        for part in ("key", "value"):
            axes[f"past.{i}.{part}"] = {0: "batch", 2: "past"}
            axes[f"present.{i}.{part}"] = {0: "batch", 2: "all"}
            outputs.append(f"present.{i}.{part}")
    return {"axes": axes, "outputs": outputs}


NETS = {
    "mobilenet": Net(vision.mobilenet, 13, ["y"], pictures(224, 1, 2),
                     PICTURE),
    "resnet18": Net(vision.resnet18, 12, ["y"], fixed(160), fold=False),
    "resnet50": Net(vision.resnet50, 14, ["y"], pictures(224, 1), PICTURE,
                    zeros=0.8),
    "efficientnet": Net(vision.efficientnet_lite0, 15, ["y"], fixed(224)),
    "vit": Net(vision.vit, 17, ["y"], pictures(224, 1), PICTURE),
    "yolo": Net(vision.Yolo, 12, ["y"], fixed(160)),
    "detr": Net(vision.Detr, 13, ["logits", "boxes"], fixed(160)),
    "bert": Net(text.bert_base, 14, cases={"b1": sentences([64])},
                zeros=0.9, **BERT),
    "minilm": Net(text.minilm, 14, cases={
        "b1": sentences([16]), "b3": sentences([12, 9, 5])}, **BERT),
    "gpt": Net(text.Gpt, 13, cases={
        "step": decoder(4, 1, 11, 1, (4, 32)),
        "chunk": decoder(4, 2, 5, 4, (4, 32)),
        "first": decoder(4, 1, 0, 6, (4, 32))}, **decoder_net(4)),
    "llama": Net(text.Llama, 16, cases={
        "step": decoder(2, 1, 11, 1, (2, 16), True),
        "chunk": decoder(2, 2, 5, 4, (2, 16), True)}, **decoder_net(2)),
    "lstm": Net(text.LstmTagger, 13, ["tags"], {
        "b1": Case({"words": Ints((1, 20), 2000)},
                   {"batch": 1, "length": 20}),
        "b3": Case({"words": Ints((3, 7), 2000)},
                   {"batch": 3, "length": 7})},
        {"words": TOKENS, "tags": TOKENS}),
    "gru": Net(text.GruTagger, 12, ["tags", "state_out"], {
        "b1": Case({"words": Ints((1, 20), 2000),
                    "state": Floats((2, 1, 128))}, {"length": 20})},
        {"words": {1: "length"}, "tags": {1: "length"}}),
    "unet": Net(vision.UNet, 12, ["y"], {
        "b1": Case({"x": Picture((1, 3, 120, 88))},
                   {"height": 120, "width": 88})},
        {"x": {2: "height", 3: "width"}, "y": {2: "height", 3: "width"}}),
    "unet_bilinear": Net(lambda: vision.UNet(bilinear=True), 16, ["y"],
                         fixed(96), fold=False),
    "edsr": Net(vision.Edsr, 15, ["y"], pictures(48, 1, lo=0.0, hi=255.0),
                {"x": {0: "batch"}, "y": {0: "batch"}}),
}


# ---- exporting ------------------------------------------------------------

def shake(net):
    """What a new net leaves at 0 or 1 is not to hide mistakes."""
    norms = nn.BatchNorm2d, nn.LayerNorm
    with torch.no_grad():
        for name, m in net.named_modules():
            if isinstance(m, norms) or m.__class__.__name__ == "RmsNorm":
                m.weight.uniform_(0.6, 1.4)
                if name.endswith("bn3"):   # the last of a residual branch
                    m.weight.mul_(0.3)
                if getattr(m, "bias", None) is not None:
                    m.bias.uniform_(-0.2, 0.2)
            elif isinstance(m, (nn.Linear, nn.Conv2d)) and m.bias is not None:
                m.bias.uniform_(-0.1, 0.1)
            elif isinstance(m, nn.MultiheadAttention):
                m.in_proj_bias.uniform_(-0.1, 0.1)


def settle(net, example):
    """Batch norm's statistics as pictures of that kind give them."""
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    if not norms:
        return
    for m in norms:
        m.momentum = None
    net.train()
    with torch.no_grad():
        for _ in range(2):
            x = torch.cat([example] * 2) if example.size(0) < 2 else example
            net(x + torch.randn_like(x) * 0.1 * x.std())


def export(net, module, path):
    case = next(iter(net.cases.values()))
    args = tuple(v.example() for v in case.inputs.values())
    shake(module)
    settle(module, args[0])
    module.eval()
    names = list(case.inputs)
    axes = {k: v for k, v in (net.axes or {}).items()
            if k in names + net.outputs}
    torch.onnx.export(
        module, args, path, input_names=names, output_names=net.outputs,
        opset_version=net.opset, dynamic_axes=axes,
        do_constant_folding=net.fold,
        training=TrainingMode.EVAL if net.fold else TrainingMode.PRESERVE)


# ---- leaving the weights out ----------------------------------------------

def sources(module):
    """Where values of the net lie: bytes -> name, transposed ones too."""
    found = {}
    for name, t in module.state_dict().items():
        a = t.detach().numpy()
        if a.dtype == np.float32:
            found[a.tobytes()] = name
            if a.ndim == 2:
                found.setdefault(a.T.tobytes(), name + ".T")
    return found


def external(t, where, at, size):
    for key, value in (("location", where), ("offset", at),
                       ("length", size)):
        entry = t.external_data.add()
        entry.key, entry.value = key, str(value)
    t.data_location = onnx.TensorProto.EXTERNAL
    t.ClearField("raw_data")
    t.ClearField("float_data")


def tensors(graph):
    yield from graph.initializer
    for node in graph.node:
        for a in node.attribute:
            if a.type == onnx.AttributeProto.TENSOR:
                a.t.name = a.t.name or node.output[0]
                yield a.t
            elif a.type == onnx.AttributeProto.GRAPH:
                yield from tensors(a.g)


def slim(name, net, module, model):
    """Lines of NET.txt for the tensors that draw.c makes."""
    found, at, lines = sources(module), 0, []
    for t in tensors(model.graph):
        a = numpy_helper.to_array(t)
        if a.dtype != np.float32 or a.size <= net.kept or np.ptp(a) == 0:
            continue
        source = found.get(a.tobytes(), t.name)
        mean, dev = float(a.mean()), float(a.std()) * 3 ** 0.5
        if a.ndim > 1:      # a sum over positive inputs is not to drift
            mean = 0
        sparse = a.ndim > 1 and a.size > 4096 and "embed" not in source
        zeros = net.zeros if sparse else 0
        dev /= (1 - zeros) ** 0.5
        external(t, f"{name}.bin", at, 4 * a.size)
        lines.append(f"tensor {mean - dev:.6g} {mean + dev:.6g} {zeros} "
                     f"{a.size} {source}")
        at += 4 * a.size
    return lines


def describe(net, lines):
    """NET.txt but for the outputs, which oracle.py knows."""
    for name, case in net.cases.items():
        sizes = "".join(f" --dim={k}={v}" for k, v in case.sizes.items()
                        if net.axes and any(k in a.values()
                                            for a in net.axes.values()))
        lines.append(f"case {name}{sizes}")
        lines += [v.line(k) for k, v in case.inputs.items()]
    return "\n".join(lines) + "\n"


def make(name, net, folder):
    torch.manual_seed(1)
    module = net.build()
    with tempfile.TemporaryDirectory() as tmp:
        path = os.path.join(tmp, "net.onnx")
        export(net, module, path)
        model = onnx.load(path)
    lines = slim(name, net, module, model)
    onnx.save(model, os.path.join(folder, f"{name}.onnx"))
    with open(os.path.join(folder, f"{name}.txt"), "w") as f:
        f.write(describe(net, lines))
    for which, case in net.cases.items():
        for key, v in case.inputs.items():
            if isinstance(v, Given):
                np.save(os.path.join(folder, f"{name}.{which}.{key}.npy"),
                        v.value)
    size = os.path.getsize(os.path.join(folder, f"{name}.onnx"))
    print(f"{name}: {len(lines)} tensors, {size} bytes")


def main():
    warnings.simplefilter("ignore")
    for name in sys.argv[1:] or NETS:
        make(name, NETS[name], HERE)


if __name__ == "__main__":
    main()
