#!/usr/bin/python3
"""Write x.npy and x2, x3, x4.expect.npy: the nets with --random-weights=1.

The weights are drawn as the compiler draws them; the nets run in NumPy, in
double, written down after model.json of the package. Needs NumPy.
"""
import os
import sys

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "tests", "oracle"))

import draw


def conv(x, path, c, k):
    """k x k to c channels; zeros around keep height and width."""
    i, h, w = x.shape
    weight = draw.param(path + ".conv.weight", (c, i, k, k), 1)
    bias = draw.param(path + ".conv.bias", (c,), 1)
    x = np.pad(x, ((0, 0), (k // 2, k // 2), (k // 2, k // 2)))
    y = np.zeros((c, h, w)) + bias[:, None, None]
    for dy in range(k):
        for dx in range(k):
            y += np.tensordot(weight[:, :, dy, dx].astype(float),
                              x[:, dy:dy + h, dx:dx + w], 1)
    return y


def relu(x):
    return np.maximum(x, 0)


def net(x, scale):
    f_m1 = conv(x, "rdn.shallow", 64, 3)
    lrl_0 = conv(f_m1, "rdn.deep", 64, 3)
    f_1 = relu(conv(lrl_0, "rdn.body[0].rdb.grow[0].same", 4, 3))
    lrl_1 = lrl_0 + conv(np.concatenate([lrl_0, f_1]),
                         "rdn.body[0].rdb.fuse", 64, 1)
    f_2 = relu(conv(lrl_1, "rdn.body[1].rdb.grow[0].same", 4, 3))
    lrl_2 = lrl_1 + conv(np.concatenate([lrl_1, f_2]),
                         "rdn.body[1].rdb.fuse", 64, 1)
    gff = conv(conv(np.concatenate([lrl_1, lrl_2]), "rdn.fuse", 64, 1),
               "rdn.refine", 64, 3)
    up = relu(conv(gff + f_m1, "rdn.up1", 64, 5))
    up = conv(relu(conv(up, "rdn.up2", 32, 3)), "rdn.up3", 3 * scale ** 2, 3)
    return conv(up.repeat(scale, 1).repeat(scale, 2), "rdn.out", 3, 3)


def main():
    # Steps of 1/64 from 0 to 1: small enough for the biases to count.
    c, y, x = np.ogrid[:3, :9, :7]
    x = (29 * c + 7 * y * y + 11 * x * y + 5 * x) % 65 / 64
    np.save(os.path.join(HERE, "x.npy"), x[None].astype(np.float32))
    for scale in 2, 3, 4:
        y = net(x, scale)
        print(f"x{scale}: {y.shape}, {y.min():.3f} to {y.max():.3f}")
        np.save(os.path.join(HERE, f"x{scale}.expect.npy"),
                y[None].astype(np.float32))


if __name__ == "__main__":
    main()
