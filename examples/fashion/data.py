#!/usr/bin/python3
"""Fashion-MNIST from Debian's dataset-fashion-mnist, and safetensors files.

Run by itself it writes images.npy and labels.npy: the first 1,000 test
images, which the demo and the tests use.
"""
import gzip
import json
import os
import struct
import sys

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
FOLDER = os.environ.get("FASHION_MNIST", "/usr/share/datasets/fashion-mnist")
NAMES = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal",
         "Shirt", "Sneaker", "Bag", "Ankle boot"]


def read_idx(name):
    """Read an IDX file: u16 zero, u8 type, u8 rank, u32 dims, then bytes."""
    with gzip.open(os.path.join(FOLDER, name)) as f:
        data = f.read()
    zero, kind, rank = struct.unpack(">HBB", data[:4])
    if zero != 0 or kind != 8:
        sys.exit(f"{name}: not an IDX file of bytes")
    dims = struct.unpack(f">{rank}I", data[4:4 + 4 * rank])
    return np.frombuffer(data, np.uint8, offset=4 + 4 * rank).reshape(dims)


def load(split):
    """Images u8 [n,28,28] and labels u8 [n] of split "train" or "t10k"."""
    return (read_idx(f"{split}-images-idx3-ubyte.gz"),
            read_idx(f"{split}-labels-idx1-ubyte.gz"))


def save_safetensors(path, tensors):
    """Write a dict of float32 arrays: u64 length, JSON header, raw data."""
    header, offset = {}, 0
    for name, a in sorted(tensors.items()):
        header[name] = {"dtype": "F32", "shape": list(a.shape),
                        "data_offsets": [offset, offset + 4 * a.size]}
        offset += 4 * a.size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)      # keeps the data aligned
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for _, a in sorted(tensors.items()):
            f.write(np.ascontiguousarray(a, "<f4").tobytes())


def load_safetensors(path):
    """Read what save_safetensors wrote."""
    with open(path, "rb") as f:
        header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        data = f.read()
    tensors = {}
    for name, t in header.items():
        begin, end = t["data_offsets"]
        a = np.frombuffer(data[begin:end], "<f4").reshape(t["shape"])
        tensors[name] = a.astype(np.float32)
    return tensors


if __name__ == "__main__":
    images, labels = load("t10k")
    np.save(os.path.join(HERE, "images.npy"), images[:1000])
    np.save(os.path.join(HERE, "labels.npy"), labels[:1000])
