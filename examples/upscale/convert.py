#!/usr/bin/python3
"""Turn npm's @upscalerjs/esrgan-slim 1.0.0 into x2, x3 and x4.safetensors.

  npm pack @upscalerjs/esrgan-slim@1.0.0
  tar xzf upscalerjs-esrgan-slim-1.0.0.tgz
  convert.py package [FOLDER]

The package keeps each net as TensorFlow.js does: model.json names tensors
and shapes in order, files beside it hold their values one after the other.
Needs nothing but Python.
"""
import array
import json
import math
import os
import re
import struct
import sys

SCALES = (2, 3, 4)

# Names in the package and layer paths in esrgan.tam, which counts from 0.
LAYERS = [
    (r"F_m1", "rdn.shallow.conv"),
    (r"F_0", "rdn.deep.conv"),
    (r"F_(\d+)_(\d+)", "rdn.body[{}].rdb.grow[{}].same.conv"),
    (r"LFF_(\d+)", "rdn.body[{}].rdb.fuse.conv"),
    (r"GFF_1", "rdn.fuse.conv"),
    (r"GFF_2", "rdn.refine.conv"),
    (r"UPN1", "rdn.up1.conv"),
    (r"UPN2", "rdn.up2.conv"),
    (r"UPN3", "rdn.up3.conv"),
    (r"SR", "rdn.out.conv"),
]
LEAVES = {"kernel": "weight", "bias": "bias"}


def read_floats(path):
    """The values of a file of little-endian float32."""
    values = array.array("f")
    with open(path, "rb") as f:
        data = f.read()
    if len(data) % 4:
        sys.exit(f"{path}: {len(data)} bytes are no float32 values")
    values.frombytes(data)
    if sys.byteorder == "big":
        values.byteswap()
    return values


def read_model(path):
    """Triples of name, shape and values of a TensorFlow.js model."""
    with open(path) as f:
        manifest = json.load(f)["weightsManifest"]
    for group in manifest:
        values = array.array("f")
        for part in group["paths"]:
            values += read_floats(os.path.join(os.path.dirname(path), part))
        at = 0
        for w in group["weights"]:
            if w["dtype"] != "float32" or "quantization" in w:
                sys.exit(f"{path}: {w['name']}: expected plain float32")
            size = math.prod(w["shape"])
            yield w["name"], w["shape"], values[at:at + size]
            at += size
        if at != len(values):
            sys.exit(f"{path}: it lists {at} values, "
                     f"the files hold {len(values)}")


def key(name):
    """F_2_1/kernel is rdn.body[1].rdb.grow[0].same.conv.weight."""
    layer, _, leaf = name.partition("/")
    for pattern, path in LAYERS:
        m = re.fullmatch(pattern, layer)
        if m and leaf in LEAVES:
            index = [int(i) - 1 for i in m.groups()]
            return f"{path.format(*index)}.{LEAVES[leaf]}"
    sys.exit(f"{name}: esrgan.tam has no such layer")


def kernel(shape, values):
    """Height, width, in, out becomes out, in, height, width."""
    h, w, i, o = shape
    out = array.array("f")
    for n in range(o * i):       # the values of one pair are o * i apart
        out += values[n % i * o + n // i::i * o]
    return [o, i, h, w], out


def save_safetensors(path, tensors):
    """Write shapes and values by key: length, JSON header, values."""
    header, offset = {}, 0
    for name, (shape, values) in tensors.items():
        header[name] = {"dtype": "F32", "shape": shape,
                        "data_offsets": [offset, offset + 4 * len(values)]}
        offset += 4 * len(values)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)      # keeps the values aligned
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for _, values in tensors.values():
            if sys.byteorder == "big":
                values.byteswap()
            f.write(values.tobytes())


def convert(package, scale, path):
    tensors = {}
    model = os.path.join(package, "models", f"x{scale}", "model.json")
    for name, shape, values in read_model(model):
        if len(shape) == 4:
            shape, values = kernel(shape, values)
        tensors[key(name)] = shape, values
    save_safetensors(path, tensors)
    total = sum(len(values) for _, values in tensors.values())
    print(f"{path}: {len(tensors)} tensors, {total} values")


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    folder = sys.argv[2] if len(sys.argv) > 2 else os.path.dirname(
        os.path.abspath(__file__))
    for scale in SCALES:
        path = os.path.join(folder, f"x{scale}.safetensors")
        try:
            convert(sys.argv[1], scale, path)
        except OSError as e:
            sys.exit(str(e))


if __name__ == "__main__":
    main()
