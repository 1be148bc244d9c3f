#!/usr/bin/python3
"""Layers of PyTorch, computed in double, for the prelude's layers.

For each case writes layers/CASE.safetensors beside itself: the weights under
the names of PyTorch's state_dict, the inputs and the expected outputs; and a
line `CASE INPUTS... -> OUTPUTS...` of layers/cases.txt.  layers/layers.tam has
a model torch_CASE; tests/cli/layers.sh compares.
Needs Debian's python3-torch: /usr/bin/python3 make_layers.py
"""
import json
import os
import struct

import torch
import torch.nn as nn

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


recurrent()
with open(os.path.join(here, "cases.txt"), "w") as f:
    f.writelines(lines)
