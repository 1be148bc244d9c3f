#!/usr/bin/python3
"""psnr.py COUNT DENSE NET...: for slim.sh, of each net its products, the time
the model of costs gives it, and how near its pictures NET.0.npy to
NET.COUNT.npy are to those of the dense one, in dB on grey levels."""
import array
import json
import math
import sys


def levels(path):
    data = open(path, "rb").read()
    values = array.array("f")
    values.frombytes(data[10 + int.from_bytes(data[8:10], "little"):])
    return [min(255, max(0, round(v))) for v in values]


def psnr(a, b):
    square = sum((x - y) ** 2 for x, y in zip(a, b)) / len(a)
    return 10 * math.log10(255 ** 2 / square) if square else math.inf


def main(count, dense, *nets):
    pictures = range(int(count) + 1)
    want = [levels(f"{dense}.{i}.npy") for i in pictures]
    for net in (dense, *nets):
        layers = json.load(open(f"{net}.json"))["layers"]
        macs = sum(layer["nonzero_macs"] for layer in layers) / 1e9
        ms = sum(layer["predicted_us"] for layer in layers) / 1e3
        near = [psnr(levels(f"{net}.{i}.npy"), want[i]) for i in pictures]
        print(f"{net:12} {macs:.3f} G products, {ms:5.1f} ms by the model,",
              " ".join(f"{v:.2f}" for v in near), "dB")


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit("usage: psnr.py COUNT DENSE NET...")
    main(*sys.argv[1:])
