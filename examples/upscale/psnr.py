#!/usr/bin/python3
"""psnr.py COUNT DENSE NET...: for slim.sh, of each net its products, the time
of a call as a share of the dense net's, measured in turn, and how near its
pictures NET.0.npy to NET.COUNT.npy are to those of the dense one, in dB on
grey levels."""
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
        report = json.load(open(f"{net}.json"))
        macs = report["nonzero_macs"] / 1e9
        us = report["measured_us"]
        share = us / report["dense"]["measured_us"] if "dense" in report else 1
        near = [psnr(levels(f"{net}.{i}.npy"), want[i]) for i in pictures]
        print(f"{net:12} {macs:.3f} G products, {us / 1e3:5.1f} ms, "
              f"{share:.2f} of the dense net's,",
              " ".join(f"{v:.2f}" for v in near), "dB")


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit("usage: psnr.py COUNT DENSE NET...")
    main(*sys.argv[1:])
