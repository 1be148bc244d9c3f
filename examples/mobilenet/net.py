"""The net of mobilenet.tam in PyTorch, for convert.py and oracle.py."""
import re

import torch.nn.functional as F
from torch import nn

EPS = 1e-3          # of batch norm; TensorFlow's default, not PyTorch's
STAGES = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2),
          (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]


class Cbr(nn.Module):
    """Convolution, batch norm, relu6."""

    def __init__(self, i, c, k=3, s=1, g=1):
        super().__init__()
        self.pad = (0, 1, 0, 1) if s == 2 else 4 * (k // 2,)
        self.conv = nn.Conv2d(i, c, k, s, groups=g, bias=False)
        self.bn = nn.BatchNorm2d(c, EPS)

    def forward(self, x):
        return F.relu6(self.bn(self.conv(F.pad(x, self.pad))))


class Irb(nn.Module):
    """Inverted residual: widen, filter each channel, narrow, maybe add."""

    def __init__(self, i, c, s, t):
        super().__init__()
        self.expand = Cbr(i, i * t, 1) if t > 1 else nn.Identity()
        self.depth = Cbr(i * t, i * t, s=s, g=i * t)
        self.project = nn.Conv2d(i * t, c, 1, bias=False)
        self.bn = nn.BatchNorm2d(c, EPS)
        self.add = s == 1 and i == c

    def forward(self, x):
        h = self.bn(self.project(self.depth(self.expand(x))))
        return x + h if self.add else h


class MobileNet(nn.Module):
    """Gives logits; mobilenet.tam ends with their softmax."""

    def __init__(self):
        super().__init__()
        self.stem = Cbr(3, 32, s=2)
        self.stage = nn.ModuleList()
        i = 32
        for t, c, n, s in STAGES:
            unit = nn.ModuleList()
            for k in range(n):
                unit.append(nn.ModuleDict(
                    {"irb": Irb(i, c, s if k == 0 else 1, t)}))
                i = c
            self.stage.append(nn.ModuleDict({"unit": unit}))
        self.top = Cbr(i, 1280, 1)
        self.fc1 = nn.Linear(1280, 256)
        self.fc2 = nn.Linear(256, 128)
        self.head = nn.Linear(128, 5)

    def forward(self, x):
        x = self.stem(x)
        for stage in self.stage:
            for unit in stage["unit"]:
                x = unit["irb"](x)
        x = self.top(x).mean([2, 3])
        return self.head(F.relu(self.fc2(F.relu(self.fc1(x)))))


def layer_path(key):
    """PyTorch's stage.2.unit.0.irb is stage[2].unit[0].irb in Tamis."""
    return re.sub(r"\.(\d+)\.", r"[\1].", key)


def params(net):
    """Tensors of a net by layer path."""
    return {layer_path(key): t for key, t in net.state_dict().items()
            if not key.endswith("num_batches_tracked")}
