#!/usr/bin/python3
"""Write input.npz and expect.npy: the net with --random-weights=1.

The weights are drawn as the compiler draws them; the net itself runs in
PyTorch in double. input.npz holds x, expect.npy the probabilities.
"""
import os
import sys

import numpy as np
import torch

import net

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "tests", "oracle"))

import draw


def random_net(seed):
    model = net.MobileNet().double().eval()
    with torch.no_grad():
        for path, t in net.params(model).items():
            t.copy_(torch.from_numpy(draw.param(path, t.shape, seed)))
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
