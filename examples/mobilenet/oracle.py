#!/usr/bin/python3
"""Write input.npz and expect.npy: the net with --random-weights=1.

The weights are drawn here as the compiler draws them; the net itself runs
in PyTorch in double. input.npz holds x, expect.npy the probabilities.
"""
import os
import sys

import numpy as np
import torch

import net

HERE = os.path.dirname(os.path.abspath(__file__))
U64 = np.uint64


def mix(z):
    """The finaliser of splitmix64 (Steele, Lea and Flood, 2014)."""
    z = (z ^ (z >> U64(30))) * U64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> U64(27))) * U64(0x94D049BB133111EB)
    return z ^ (z >> U64(31))


def fnv1a(text):
    h = 14695981039346656037
    for byte in text.encode():
        h = (h ^ byte) * 1099511628211 & 0xFFFFFFFFFFFFFFFF
    return h


def draw(path, shape, lo, hi, seed):
    """Uniform values of one param; element i depends on path, seed, i."""
    n = int(np.prod(shape))
    key = U64(fnv1a(path)) ^ mix(np.array([seed], U64))
    i = np.arange(1, n + 1, dtype=U64)
    r = mix(key + i * U64(0x9E3779B97F4A7C15))
    u = (r >> U64(40)).astype(np.float64) * 2.0 ** -24
    return (lo + (hi - lo) * u).astype(np.float32).reshape(shape)


def bounds(path, shape):
    """The initialisers of the prelude."""
    if path.endswith(".weight") and len(shape) > 1:
        he = np.sqrt(6 / np.prod(shape[1:]))
        return -he, he
    if path.endswith((".weight", ".running_var")):
        return 0.5, 1.5
    return -0.1, 0.1


def random_net(seed):
    model = net.MobileNet().double().eval()
    with torch.no_grad():
        for path, t in net.params(model).items():
            lo, hi = bounds(path, t.shape)
            t.copy_(torch.from_numpy(draw(path, t.shape, lo, hi, seed)))
    return model


def picture():
    """Two triangle waves a channel, in steps of 1/64 from 0 to 1: exact in
    float32, different at each pixel, and small once compressed."""
    def wave(a):
        return abs(a % 128 - 64)
    c, y, x = np.ogrid[:3, :224, :224]
    steps = wave(3 * y + 2 * x + 40 * c) + wave(y - (2 + c) * x)
    return (steps // 2 / 64).astype(np.float32)[None]


def main():
    x = picture()
    with torch.no_grad():
        p = random_net(1)(torch.from_numpy(x).double()).softmax(1).numpy()
    print("p =", " ".join(f"{v:.6f}" for v in p[0]))
    if np.ptp(p) < 0.05 or p.max() > 0.95:
        sys.exit("too flat or too sharp to tell a wrong net from a right one")
    np.savez_compressed(os.path.join(HERE, "input.npz"), x=x)
    np.save(os.path.join(HERE, "expect.npy"), p.astype(np.float32))


if __name__ == "__main__":
    main()
