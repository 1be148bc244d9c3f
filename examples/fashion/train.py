#!/usr/bin/python3
"""Train the net of fashion.tam, prune it to 4x1 blocks, write both.

  train.py            train dense, prune, write weights and expected logits
  train.py --check    only measure the weight files that are there

The modules below carry the names of the layers in fashion.tam, so that the
keys of state_dict() are the keys the compiler looks for.
"""
import argparse
import os
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import data

BATCH = 128
BLOCK = 4           # output channels that share a pruned column


class Cbr(nn.Module):
    """Convolution, batch norm, relu6."""

    def __init__(self, i, c, k=3, s=1, g=1):
        super().__init__()
        self.conv = nn.Conv2d(i, c, k, s, k // 2, groups=g, bias=False)
        self.bn = nn.BatchNorm2d(c)

    def forward(self, x):
        return F.relu6(self.bn(self.conv(x)))


class Res(nn.Module):
    """Two 3x3 convolutions and a residual add."""

    def __init__(self, c):
        super().__init__()
        self.a = Cbr(c, c)
        self.b = Cbr(c, c)

    def forward(self, x):
        return x + self.b(self.a(x))


class Irb(nn.Module):
    """Inverted residual: widen, filter each channel, narrow, add."""

    def __init__(self, c, t):
        super().__init__()
        self.expand = Cbr(c, c * t, 1)
        self.depth = Cbr(c * t, c * t, g=c * t)
        self.project = nn.Conv2d(c * t, c, 1, bias=False)
        self.bn = nn.BatchNorm2d(c)

    def forward(self, x):
        return x + self.bn(self.project(self.depth(self.expand(x))))


class Fashion(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = Cbr(1, 32)
        self.down1 = Cbr(32, 32, s=2, g=32)
        self.up1 = Cbr(32, 64, 1)
        self.res = Res(64)
        self.down2 = Cbr(64, 64, s=2, g=64)
        self.up2 = Cbr(64, 128, 1)
        self.irb = Irb(128, 2)
        self.head = nn.Linear(128, 10)

    def forward(self, x):
        x = self.up1(self.down1(self.stem(x)))
        x = self.up2(self.down2(self.res(x)))
        return self.head(self.irb(x).mean([2, 3]))


def augment(x):
    """Move each picture up to 2 pixels and mirror every other one."""
    n = len(x)
    views = F.pad(x, (2, 2, 2, 2)).unfold(2, 28, 1).unfold(3, 28, 1)
    x = views[torch.arange(n), :, torch.randint(5, (n,)),
              torch.randint(5, (n,))]
    return torch.where(torch.rand(n, 1, 1, 1) < 0.5, x, x.flip(3))


def prunable(net):
    """Layers to prune. The stem, the depthwise convolutions and the head
    hold 3 % of the weights, are cheap and sensitive: they stay dense."""
    return {name: m for name, m in net.named_modules()
            if isinstance(m, nn.Conv2d) and m.groups == 1
            and m.in_channels > 1}


def layers(net):
    return {name: m for name, m in net.named_modules()
            if isinstance(m, (nn.Conv2d, nn.Linear))}


def block_scores(w):
    """LAMP scores (Lee et al., 2021) of the 4x1 blocks of a weight, seen as
    a matrix [O, I*kh*kw]: the square of a block's L1 norm over the sum of
    the squares of all blocks that are not smaller. It makes blocks of
    different layers comparable; no layer loses its largest block."""
    norm = w.reshape(w.shape[0] // BLOCK, BLOCK, -1).abs().sum(1)
    square, order = norm.flatten().double().square().sort()
    remain = square.flip(0).cumsum(0).flip(0)
    scores = torch.empty_like(square)
    scores[order] = square / remain.clamp_min(1e-30)
    return scores.reshape(norm.shape)


@torch.no_grad()
def make_masks(net, sparsity):
    """Masks which make `sparsity` of all conv and linear weights zero."""
    total = sum(m.weight.numel() for m in layers(net).values())
    scores = {name: block_scores(m.weight)
              for name, m in prunable(net).items()}
    every = torch.cat([s.flatten() for s in scores.values()])
    count = -int(-sparsity * total // BLOCK)        # rounded up
    limit = every.kthvalue(count).values if count > 0 else -1.0
    return {name: (s > limit).repeat_interleave(BLOCK, 0).reshape(
                net.get_submodule(name).weight.shape).float()
            for name, s in scores.items()}


@torch.no_grad()
def apply_masks(net, masks):
    for name, mask in masks.items():
        net.get_submodule(name).weight.mul_(mask)


def fit(net, images, labels, epochs, lr, sparsity=0.0, ramp=0.5):
    """One-cycle SGD. The share of zeros grows cubically (Zhu and Gupta,
    2017) over the first `ramp` of the steps, then the masks are fixed."""
    decay = [p for p in net.parameters() if p.dim() > 1]
    plain = [p for p in net.parameters() if p.dim() == 1]
    opt = torch.optim.SGD([{"params": decay, "weight_decay": 5e-4},
                           {"params": plain, "weight_decay": 0.0}],
                          lr=lr, momentum=0.9, nesterov=True)
    steps = len(images) // BATCH
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        opt, lr, epochs * steps, pct_start=0.2, cycle_momentum=False)
    masks, step, last = {}, 0, int(ramp * epochs * steps)
    for epoch in range(epochs):
        net.train()
        start, total = time.time(), 0.0
        order = torch.randperm(len(images))
        for i in range(steps):
            pick = order[i * BATCH:(i + 1) * BATCH]
            loss = F.cross_entropy(net(augment(images[pick])), labels[pick],
                                   label_smoothing=0.05)
            opt.zero_grad(set_to_none=True)
            loss.backward()
            opt.step()
            cycle.step()
            total += loss.item()
            if sparsity and step <= last and (step % 50 == 0 or step == last):
                now = sparsity * (1 - (1 - step / last) ** 3)
                masks = make_masks(net, now)
            apply_masks(net, masks)
            step += 1
        print(f"  epoch {epoch + 1}/{epochs}: loss {total / steps:.4f}, "
              f"{time.time() - start:.0f} s", flush=True)


@torch.no_grad()
def logits(net, images):
    net.eval()
    return torch.cat([net(x) for x in images.split(500)])


def report(title, net, images, labels):
    """Print accuracy and zeros; return what the weight file holds."""
    right = (logits(net, images).argmax(1) == labels).float().mean().item()
    zeros = {name: (m.weight == 0).sum().item()
             for name, m in layers(net).items()}
    sizes = {name: m.weight.numel() for name, m in layers(net).items()}
    print(f"{title}: {100 * right:.2f} % of {len(labels)} test images, "
          f"{100 * sum(zeros.values()) / sum(sizes.values()):.2f} % zeros "
          f"of {sum(sizes.values())} weights")
    for name, n in sizes.items():
        if zeros[name]:
            print(f"  {name:16} {n:6} weights, "
                  f"{100 * zeros[name] / n:.1f} % zeros")


def path(name):
    return os.path.join(data.HERE, name)


def save(net, name):
    data.save_safetensors(path(name), {
        key: t.numpy() for key, t in net.state_dict().items()
        if not key.endswith("num_batches_tracked")})


def check(test, labels):
    """Measure both weight files; write the logits of the first images."""
    for name in ["dense", "sparse"]:
        net = Fashion()
        state = data.load_safetensors(path(name + ".safetensors"))
        net.load_state_dict({k: torch.from_numpy(a)
                             for k, a in state.items()}, strict=False)
        report(name, net, test, labels)
        np.save(path(name + ".expect.npy"), logits(net, test[:1000]).numpy())


def tensors(split):
    """Pixels as x/255 in NCHW, labels as integers."""
    images, labels = data.load(split)
    return (torch.from_numpy(images[:, None].astype(np.float32) / 255),
            torch.from_numpy(labels.astype(np.int64)))


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("--check", action="store_true")
    args.add_argument("--dense-epochs", type=int, default=13)
    args.add_argument("--sparse-epochs", type=int, default=17)
    args.add_argument("--sparsity", type=float, default=0.905)
    args.add_argument("--seed", type=int, default=1)
    args = args.parse_args()
    test, test_labels = tensors("t10k")
    if not args.check:
        torch.manual_seed(args.seed)
        torch.use_deterministic_algorithms(True)
        train, labels = tensors("train")
        net = Fashion().to(memory_format=torch.channels_last)   # faster
        print("dense", flush=True)
        fit(net, train, labels, args.dense_epochs, lr=0.2)
        save(net, "dense.safetensors")
        report("dense", net, test, test_labels)
        print("sparse", flush=True)
        fit(net, train, labels, args.sparse_epochs, lr=0.1,
            sparsity=args.sparsity)
        save(net, "sparse.safetensors")
    check(test, test_labels)


if __name__ == "__main__":
    main()
