#!/usr/bin/python3
"""Turn the MobileNetV2 of npm's nsfwjs 4.3.0 into mobilenet.safetensors.

  npm pack nsfwjs@4.3.0 && tar xzf nsfwjs-4.3.0.tgz
  convert.py package [mobilenet.safetensors]

The package keeps a TensorFlow.js model as two scripts: one holds the
topology and the list of weights as a JavaScript literal, the other the
weights as base64, uint8 with a scale and a minimum for each tensor.
"""
import base64
import json
import os
import re
import struct
import sys

import numpy as np

import net

HERE = os.path.dirname(os.path.abspath(__file__))
ENTRY = re.compile(r'\{name:"([^"]+)",shape:\[([\d,]*)\],dtype:"float32",'
                   r'quantization:\{min:([^,]+),scale:([^,]+),'
                   r'dtype:"uint8"\}\}')


def read_package(folder):
    """Tensors of the package by TensorFlow name, dequantised."""
    folder = os.path.join(folder, "dist", "models", "mobilenet_v2")
    with open(os.path.join(folder, "model.min.js")) as f:
        text = f.read()
    with open(os.path.join(folder, "group1-shard1of1.min.js")) as f:
        shard = f.read()
    # the longest string of the script is the data
    data = base64.b64decode(
        max(re.findall(r'"([A-Za-z0-9+/=]*)"', shard), key=len))
    manifest = text[text.index("weightsManifest:"):]
    entries = ENTRY.findall(manifest)
    if len(entries) != manifest.count('name:"'):
        sys.exit("model.min.js: a weight is not affine uint8")
    tensors, at = {}, 0
    for name, dims, low, scale in entries:
        shape = [int(d) for d in dims.split(",")]
        size = int(np.prod(shape))
        q = np.frombuffer(data, np.uint8, size, at)
        at += size
        # in double, rounded once
        tensors[name] = (q * float(scale) + float(low)).reshape(shape)
    if at != len(data):
        sys.exit(f"weights: {len(data)} bytes, the list names {at}")
    return tensors


def layer_names():
    """Pairs of layer path and TensorFlow name, convolutions and their
    batch norms; TensorFlow counts the blocks through all stages."""
    yield "stem.conv", "Conv1"
    yield "stem.bn", "bn_Conv1"
    count = 0
    for s, (t, _, n, _) in enumerate(net.STAGES):
        for u in range(n):
            path = f"stage[{s}].unit[{u}].irb."
            name = f"block_{count}_" if count else "expanded_conv_"
            if t > 1:
                yield path + "expand.conv", name + "expand"
                yield path + "expand.bn", name + "expand_BN"
            yield path + "depth.conv", name + "depthwise"
            yield path + "depth.bn", name + "depthwise_BN"
            yield path + "project", name + "project"
            yield path + "bn", name + "project_BN"
            count += 1
    yield "top.conv", "Conv_1"
    yield "top.bn", "Conv_1_bn"
    for path, name in [("fc1", "dense_1"), ("fc2", "dense_2"),
                       ("head", "dense_3")]:
        yield path, name


LEAVES = [("kernel", "weight"), ("depthwise_kernel", "weight"),
          ("bias", "bias"), ("gamma", "weight"), ("beta", "bias"),
          ("moving_mean", "running_mean"), ("moving_variance", "running_var")]


def rename(tensors):
    """Tensors by layer path, with axes in PyTorch's order."""
    out = {}
    for path, name in layer_names():
        for theirs, ours in LEAVES:
            a = tensors.pop(f"{name}/{theirs}", None)
            if a is None:
                continue
            if theirs == "kernel":           # HWIO and IO
                a = a.transpose(3, 2, 0, 1) if a.ndim == 4 else a.T
            elif theirs == "depthwise_kernel":   # HWCM, M is 1
                a = a.transpose(2, 3, 0, 1)
            elif theirs == "moving_variance":
                a = a.clip(0)        # quantisation may give a tiny negative
            out[f"{path}.{ours}"] = a
    if tensors:
        sys.exit("weights without a layer: " + ", ".join(tensors))
    return out


def save_safetensors(path, tensors):
    """Write a dict of float32 arrays: u64 length, JSON header, raw data."""
    header, offset = {}, 0
    for name, a in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(a.shape),
                        "data_offsets": [offset, offset + 4 * a.size]}
        offset += 4 * a.size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)      # keeps the data aligned
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for a in tensors.values():
            f.write(np.ascontiguousarray(a, "<f4").tobytes())


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    tensors = rename(read_package(sys.argv[1]))
    expected = {path: tuple(t.shape)
                for path, t in net.params(net.MobileNet()).items()}
    found = {path: a.shape for path, a in tensors.items()}
    for path in sorted(expected.keys() | found.keys()):
        if expected.get(path) != found.get(path):
            sys.exit(f"{path}: expected {expected.get(path)}, "
                     f"found {found.get(path)}")
    out = sys.argv[2] if len(sys.argv) > 2 else os.path.join(
        HERE, "mobilenet.safetensors")
    save_safetensors(out, tensors)
    total = sum(a.size for a in tensors.values())
    print(f"{out}: {len(tensors)} tensors, {total} values")


if __name__ == "__main__":
    main()
