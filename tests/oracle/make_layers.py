#!/usr/bin/python3
"""Layers of PyTorch, computed in double, for the prelude's layers.

For each case writes layers/CASE.safetensors beside itself: the weights under
the names of PyTorch's state_dict, the inputs and the expected outputs; and a
line `CASE INPUTS... -> OUTPUTS...` of layers/cases.txt.  layers/layers.tam has
a model torch_CASE; tests/cli/layers.sh compares.
Needs Debian's python3-torch and python3-torchvision:
    /usr/bin/python3 make_layers.py
"""
import json
import os
import struct

import torch
import torch.nn as nn
from torchvision.models.mobilenetv2 import InvertedResidual
from torchvision.models import mobilenetv3
from torchvision.ops.misc import SqueezeExcitation

torch.manual_seed(3)
torch.set_default_dtype(torch.float64)
here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "layers")
lines = []


def draw(*shape, lo=-1.0, hi=1.0):
    """Uniform values that f32 holds exactly, as double."""
    return (torch.rand(*shape) * (hi - lo) + lo).float().double()


def rounded(module):
    """Its weights as f32 holds them; norms get statistics and scales."""
    module.eval()
    for key, t in module.state_dict().items():
        if "norm" in key or ".bn" in key or t.dim() == 1:
            lo = 0.5 if key.endswith(("weight", "var")) else -0.5
            if t.is_floating_point():
                t.copy_(draw(*t.shape, lo=lo, hi=lo + 1))
        t.copy_(t.float() if t.is_floating_point() else t)
    return module


def save(path, tensors):
    head, data, at = {}, [], 0
    for key, t in tensors.items():
        kind = {torch.int32: "I32", torch.int64: "I64",
                torch.bool: "BOOL"}.get(t.dtype, "F32")
        a = t.detach().contiguous()
        raw = (a.float() if kind == "F32" else a).numpy().tobytes()
        head[key] = {"dtype": kind, "shape": list(a.shape),
                     "data_offsets": [at, at + len(raw)]}
        data.append(raw)
        at += len(raw)
    text = json.dumps(head, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(data))


def case(name, inputs, outputs, **modules):
    """The weights of module m are called m.KEY."""
    tensors = {}
    for m, module in modules.items():
        for key, t in module.state_dict().items():
            if t.dtype.is_floating_point:
                tensors[f"{m}.{key}"] = t
    assert not set(inputs) & set(outputs)
    tensors.update(inputs)
    tensors.update(outputs)
    save(os.path.join(here, name + ".safetensors"), tensors)
    lines.append(f"{name} {' '.join(inputs)} -> {' '.join(outputs)}\n")


# ---- recurrent nets -----------------------------------------------------

def recurrent():
    x, h0, c0 = draw(7, 3, 5), draw(4, 3, 6), draw(4, 3, 6)
    m = rounded(nn.LSTM(5, 6, 2, bidirectional=True))
    y, (h, c) = m(x, (h0, c0))
    case("lstm", dict(x=x, h0=h0, c0=c0), dict(y=y, h=h, c=c), rnn=m)
    m = rounded(nn.LSTM(5, 6, bias=False))
    y, (h, c) = m(x)
    case("lstm_plain", dict(x=x), dict(y=y, h=h, c=c), rnn=m)
    m = rounded(nn.GRU(5, 6, 2, bidirectional=True))
    y, h = m(x, h0)
    case("gru", dict(x=x, h0=h0), dict(y=y, h=h), rnn=m)
    m = rounded(nn.GRU(5, 6, 3, bias=False))
    y, h = m(x)
    case("gru_plain", dict(x=x), dict(y=y, h=h), rnn=m)
    # The second half of both directions alone.
    m = rounded(nn.GRU(5, 6, bidirectional=True))
    y, h = m(x)
    case("gru_reverse", dict(x=x), dict(y=y[..., 6:], h=h[1:]), rnn=m)
    x, h, c = draw(3, 5), draw(3, 6), draw(3, 6)
    m = rounded(nn.LSTMCell(5, 6))
    h2, c2 = m(x, (h, c))
    case("lstm_cell", dict(x=x, h=h, c=c), dict(h2=h2, c2=c2), cell=m)
    m = rounded(nn.GRUCell(5, 6, bias=False))
    case("gru_cell", dict(x=x, h=h), dict(h2=m(x, h)), cell=m)
    # A long stream: only the last steps are kept.
    x = draw(1000, 1, 4)
    m, g = rounded(nn.LSTM(4, 8)), rounded(nn.GRU(4, 8))
    y, (h, c) = m(x)
    z, r = g(x)
    case("long", dict(x=x), dict(y=y[-20:], h=h, c=c, z=z[-20:], r=r),
         lstm=m, gru=g)


# ---- tables, order, chance ----------------------------------------------

def mulhilo(a, b):
    return (a * b) >> 32, a * b & 0xFFFFFFFF


def philox(key, counter):
    """Philox4x32-10 (Salmon et al., 2011)."""
    k0, k1 = key
    c = list(counter)
    for _ in range(10):
        ahi, alo = mulhilo(0xD2511F53, c[0])
        bhi, blo = mulhilo(0xCD9E8D57, c[2])
        c = [bhi ^ c[1] ^ k0, blo, ahi ^ c[3] ^ k1, alo]
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return c


def normal(key, n):
    """Of uniform pairs that lie n / 2 apart (Box and Muller, 1958)."""
    half = (n + 1) // 2
    blocks = [philox(key, (i, 0, 0, 0)) for i in range(-(-half // 2))]
    words = sum(blocks, [])
    u = torch.tensor(words[:2 * half]).div(256, rounding_mode="floor") / 2**24
    r, turn = torch.sqrt(-2 * torch.log(1 - u[:half])), 2 * torch.pi * u[half:]
    return torch.cat([r * turn.cos(), r * turn.sin()])[:n]


def tables():
    i = torch.tensor([[3, 0], [9, 3], [5, 5]])
    m = nn.Embedding(10, 6)
    with torch.no_grad():
        m.weight.copy_(draw(10, 6))
    case("embedding", dict(i=i), dict(
        y=m(i), one=nn.functional.one_hot(i, 11).double(),
        bit=nn.functional.one_hot(i, 10).bool()), emb=m)
    x = draw(3, 6, 4)
    x[:, 4] = x[:, 1]                  # equal ones stay as they stand
    x[1, 2, 3] = float("nan")          # more than all
    pick = torch.randint(0, 6, (3, 2, 4))
    down, down_at = x.sort(dim=1, descending=True, stable=True)
    up, up_at = x.sort(dim=-1, stable=True)
    case("order", dict(x=x, pick=pick), dict(
        taken=x.gather(1, pick), down=down, down_at=down_at.int(), up=up,
        up_at=up_at.int(), top=down[:, :2], top_at=down_at[:, :2].int(),
        least=up[..., :3], least_at=up_at[..., :3].int()))
    case("randn", dict(key=torch.tensor([-5, 77]).int()),
         dict(y=normal((2**32 - 5, 77), 35).reshape(5, 7)))
    a, b = torch.rand(4, 5) < 0.5, torch.tensor([0, -1.5, 2, 0, 0])
    case("logic", dict(a=a, b=b), dict(
        both=a.logical_and(b), any=a.logical_or(b), one=a.logical_xor(b),
        none=b.logical_not()))


# ---- parts of small vision nets -----------------------------------------

class ConvBn(nn.Module):
    def __init__(self, c, to, k=1, groups=1, bias=False):
        super().__init__()
        self.conv = nn.Conv2d(c, to, k, 1, k // 2, groups=groups, bias=bias)
        self.bn = nn.BatchNorm2d(to)

    def forward(self, x):
        return self.bn(self.conv(x)).relu()


class Separable(nn.Module):
    def __init__(self, c, to):
        super().__init__()
        self.depth, self.point = ConvBn(c, c, 3, c), ConvBn(c, to)

    def forward(self, x):
        return self.point(self.depth(x))


class SqueezeExpand(nn.Module):
    def __init__(self, c, f):
        super().__init__()
        self.squeeze = ConvBn(c, f, bias=True)
        self.expand3 = Separable(f, 4 * f)
        self.expand1 = ConvBn(f, 4 * f, bias=True)

    def forward(self, x):
        q = self.squeeze(x)
        return torch.cat([self.expand3(q), self.expand1(q)], 1)


class Slim(nn.Module):
    """Sharma and Foroosh, 2019, with a projection of the skip."""
    def __init__(self, c, f):
        super().__init__()
        self.skip = ConvBn(c, 8 * f)
        self.sse1, self.sse2 = SqueezeExpand(c, f), SqueezeExpand(8 * f, f)
        self.out = Separable(8 * f, 3 * f)

    def forward(self, x):
        return self.out(self.sse2(self.sse1(x) + self.skip(x)))


def slim_net():
    sizes = [(96, 16), (48, 32), (96, 48), (144, 64)]
    return nn.Sequential(ConvBn(3, 96, 7, bias=True),
                         *[Slim(c, f) for c, f in sizes], nn.Linear(192, 40))


def vision():
    x = draw(2, 8, 7, 9)
    m = rounded(SqueezeExcitation(8, 2, scale_activation=nn.Hardsigmoid))
    case("squeeze_excite", dict(x=x), dict(y=m(x)), se=m)
    m, n = rounded(InvertedResidual(8, 8, 1, 6)), rounded(
        InvertedResidual(8, 12, 2, 1))
    case("inverted", dict(x=x), dict(y=m(x), z=n(x)), m=m, n=n)
    config = mobilenetv3.InvertedResidualConfig(8, 5, 24, 8, True, "HS", 1, 1,
                                                1)
    m = rounded(mobilenetv3.InvertedResidual(
        config, lambda c: nn.BatchNorm2d(c, eps=0.001)))
    case("inverted_se", dict(x=x), dict(y=m(x)), m=m)
    m = rounded(nn.Sequential(
        nn.Conv2d(8, 8, 3, 2, 1, groups=8, bias=False), nn.BatchNorm2d(8),
        nn.ReLU(), nn.Conv2d(8, 12, 1, bias=False), nn.BatchNorm2d(12),
        nn.ReLU()))
    case("separable", dict(x=x), dict(y=m(x)), m=m)
    # What the paper's layers come to, with the projections.
    assert sum(p.numel() for p in slim_net().parameters()) == 571304
    m = rounded(Slim(8, 4))
    case("slim", dict(x=x), dict(y=m(x)), m=m)


# ---- attention ----------------------------------------------------------

def attention():
    x, memory, value = draw(2, 5, 12), draw(2, 7, 12), draw(2, 7, 12)
    mask, never = draw(5, 5), torch.ones(5, 5).triu(1).bool()
    m = rounded(nn.MultiheadAttention(12, 3, batch_first=True))
    n = rounded(nn.MultiheadAttention(12, 4, bias=False, batch_first=True))
    case("self_attention", dict(x=x, mask=mask), dict(
        y=m(x, x, x)[0], c=m(x, x, x, attn_mask=never)[0],
        z=n(x, x, x, attn_mask=mask)[0]), m=m, n=n)
    hide = torch.tensor([[0.0] * 7, [0, 0, 0, 0, 0, -torch.inf, -torch.inf]])
    hidden = hide == -torch.inf
    case("cross_attention", dict(x=x, memory=memory, value=value, hide=hide),
         dict(y=m(x, memory, memory)[0],
              v=m(x, memory, value, key_padding_mask=hidden)[0],
              z=n(x, memory, memory)[0]), m=m, n=n)
    q, k, v = draw(2, 3, 5, 4), draw(2, 3, 7, 4), draw(3, 7, 6)
    s = q @ k.transpose(-1, -2)
    sees = torch.ones(5, 7).tril().bool()
    case("product", dict(q=q, k=k, v=v), dict(
        y=(s / 2).softmax(-1) @ v, z=(3 * s).softmax(-1) @ v,
        c=(s / 2).masked_fill(~sees, -torch.inf).softmax(-1) @ v))
    m = rounded(nn.TransformerEncoderLayer(12, 3, 20, activation="gelu",
                                           batch_first=True))
    case("encoder", dict(x=x), dict(y=m(x)), m=m)


# ---- layers of convolutional nets ---------------------------------------

def convolutions():
    x = draw(2, 6, 9, 8)
    a = rounded(nn.Conv2d(6, 9, (3, 5), (2, 1), groups=3))
    b = rounded(nn.Conv2d(6, 4, 3, padding=(2, 1), dilation=(2, 1),
                          bias=False))
    c = rounded(nn.Conv2d(6, 6, (5, 3), 2, (2, 1), groups=6))
    t = rounded(nn.ConvTranspose2d(6, 4, 2, 2))
    u = rounded(nn.ConvTranspose2d(6, 9, (3, 2), (2, 3), (1, 0), (1, 2), 3,
                                   False, (1, 2)))
    pad = nn.functional.pad
    case("convolutions", dict(x=x), dict(
        y=a(pad(x, (2, 1, 1, 0))), z=b(x), d=c(x), v=t(x), w=u(x)),
        a=a, b=b, c=c, t=t, u=u)
    m, n = rounded(nn.Linear(8, 5)), rounded(nn.Linear(432, 3, bias=False))
    case("linears", dict(x=x), dict(y=m(x), z=n(x.flatten(1))), m=m, n=n)


def norms():
    x = draw(2, 6, 5, 7)
    g = rounded(nn.GroupNorm(3, 6, 0.01))
    i = nn.GroupNorm(6, 6, affine=False)
    n = rounded(nn.LayerNorm(7))
    b = rounded(nn.BatchNorm2d(6, eps=0.001))
    case("norms", dict(x=x), dict(
        y=g(x), i_=i(x), z=n(x), b_=b(x),
        p=nn.functional.layer_norm(x, (7,), eps=0.1)), g=g, n=n, b=b)


def pools():
    x = draw(2, 3, 9, 8)
    case("pools", dict(x=x), dict(
        m=nn.MaxPool2d((3, 2), (2, 1), (1, 0))(x), d=nn.MaxPool2d(2)(x),
        a=nn.AvgPool2d(3, 2, 1, count_include_pad=False)(x),
        c=nn.AvgPool2d(3, (1, 2), 1)(x), g=nn.AdaptiveAvgPool2d(1)(x),
        f=x.mean((2, 3)), t=x.flatten(2)))


def sizes():
    x, size = draw(2, 3, 5, 4), (10, 12)
    up = nn.functional.interpolate
    case("upsample", dict(x=x), dict(
        nearest=up(x, size, mode="nearest"),
        exact=up(x, size, mode="nearest-exact"),
        bilinear=up(x, size, mode="bilinear"),
        align=up(x, size, mode="bilinear", align_corners=True)))
    x, z = draw(2, 18, 2, 4), draw(2, 2, 6, 9)
    # TFLite's order has the pixels of a square C channels apart.
    order = torch.arange(18).reshape(9, 2).t().flatten()
    back = torch.empty(2, 18, 2, 3)
    back[:, order] = nn.PixelUnshuffle(3)(z)
    case("shuffle", dict(x=x, z=z), dict(
        up=nn.PixelShuffle(3)(x), down=nn.PixelUnshuffle(3)(z),
        space=nn.PixelShuffle(3)(x[:, order]), depth=back))


with torch.no_grad():
    recurrent()
    tables()
    vision()
    attention()
    convolutions()
    norms()
    pools()
    sizes()
with open(os.path.join(here, "cases.txt"), "w") as f:
    f.writelines(lines)
