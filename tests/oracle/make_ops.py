#!/usr/bin/python3
"""Reference values of single ops, computed by PyTorch in double.

Writes ops.safetensors and ops.txt beside itself; tests/unit/test_eval.c
compares the evaluator with them.  A line of ops.txt is "case expression";
the case's operands are the tensors case.NAME, its value is case.y (f64).
Needs Debian's python3-torch: /usr/bin/python3 make_ops.py
"""
import json
import os
import struct

import torch
import torch.nn.functional as F

torch.manual_seed(20)
cases, tensors = [], {}


def draw(*shape, lo=-2.0, hi=2.0):
    """Uniform values that f32 holds exactly, as double."""
    return (torch.rand(*shape) * (hi - lo) + lo).float().double()


def case(name, expr, y, **operands):
    cases.append((name, expr))
    for k, v in operands.items():
        tensors[f"{name}.{k}"] = v.float()
    tensors[f"{name}.y"] = y


def conv(name, n, c, h, w, o, k, stride=(1, 1), pad=(0, 0, 0, 0),
         dil=(1, 1), groups=1, bias=True):
    x = draw(n, c, h, w)
    wt = draw(o, c // groups, *k)
    b = draw(o) if bias else None
    top, left, bottom, right = pad
    y = F.conv2d(F.pad(x, (left, right, top, bottom)), wt, b, stride, 0, dil,
                 groups)
    ops = dict(x=x, w=wt)
    if bias:
        ops["b"] = b
    case(name, "conv2d(x, w, %sstride=%s, pad=%s, dilation=%s, groups=%d)"
         % ("b=b, " if bias else "", list(stride), list(pad), list(dil),
            groups), y, **ops)


conv("conv_1x1", 1, 6, 5, 7, 4, (1, 1))
conv("conv_3x3", 2, 3, 6, 5, 5, (3, 3), pad=(1, 1, 1, 1))
conv("conv_s2", 1, 3, 9, 8, 4, (3, 3), (2, 2), (0, 0, 1, 1))
conv("conv_s3x1_5x2", 1, 2, 11, 6, 3, (5, 2), (3, 1), (2, 1, 0, 3),
     bias=False)
conv("conv_dilated", 1, 2, 9, 10, 3, (3, 3), pad=(2, 3, 2, 3), dil=(2, 3))
conv("conv_groups", 1, 6, 5, 5, 9, (3, 3), (2, 1), (1, 1, 1, 1), groups=3)
conv("conv_depthwise", 2, 4, 7, 7, 4, (3, 3), (2, 2), (1, 1, 1, 1), groups=4)
conv("conv_large", 1, 16, 12, 12, 16, (3, 3), (1, 1), (1, 1, 1, 1))

def transpose(name, n, c, h, w, o, k, stride, pad=(0, 0, 0, 0), more=(0, 0),
              dil=(1, 1), groups=1):
    x, wt, b = draw(n, c, h, w), draw(c, o // groups, *k), draw(o)
    top, left, bottom, right = pad
    y = F.conv_transpose2d(x, wt, None, stride, 0, 0, groups, dil)
    y = F.pad(y, (-left, more[1] - right, -top, more[0] - bottom))
    case(name, "conv2d_transpose(x, w, b=b, stride=%s, pad=%s, out_pad=%s, "
         "dilation=%s, groups=%d)" % (list(stride), list(pad), list(more),
                                      list(dil), groups),
         y + b[:, None, None], x=x, w=wt, b=b)


transpose("transpose_s2", 2, 3, 4, 5, 4, (2, 2), (2, 2))
transpose("transpose_s2_k3", 1, 4, 5, 3, 2, (3, 3), (2, 2), (1, 1, 1, 1),
          (1, 1))
transpose("transpose_s3x1", 1, 2, 3, 6, 5, (5, 2), (3, 1), (2, 1, 0, 0))
transpose("transpose_gaps", 1, 2, 3, 4, 3, (1, 2), (3, 3), more=(2, 0))
transpose("transpose_dilated", 1, 2, 4, 4, 3, (3, 2), (2, 2), (1, 0, 2, 1),
          dil=(3, 2))
transpose("transpose_groups", 2, 6, 3, 4, 9, (3, 3), (2, 1), groups=3)
x, w = draw(1, 3, 4, 5), draw(3, 2, 4, 4)
case("transpose_torch", "conv2d_transpose(x, w, stride=[2,2], "
     "pad=[1,1,1,1], out_pad=[1,1], act=\"relu\")",
     F.conv_transpose2d(x, w, None, 2, 1, 1).relu(), x=x, w=w)

x, w, b = draw(2, 4, 5, 5), draw(4, 4, 3, 3), draw(4)
r = draw(2, 4, 5, 5)
acc = F.conv2d(x, w, b, padding=1)
fused = "conv2d(x, w, b=b, r=r, pad=[1,1,1,1], "
case("conv_act_r", fused + 'act="relu6")', F.relu6(acc + r),
     x=x, w=w, b=b, r=r)
case("conv_act_last", fused + 'act="clip", lo=-1.5, hi=2.5, add_last=true)',
     acc.clamp(-1.5, 2.5) + r, x=x, w=w, b=b, r=r)
case("conv_leaky", fused + 'act="leaky_relu", lo=0.25)',
     F.leaky_relu(acc + r, 0.25), x=x, w=w, b=b, r=r)
case("conv_gelu", fused + 'act="gelu")', F.gelu(acc + r), x=x, w=w, b=b, r=r)

x, w, b, r = draw(3, 7), draw(5, 7), draw(5), draw(3, 5)
case("linear", "linear(x, w, b=b)", F.linear(x, w, b), x=x, w=w, b=b)
case("linear_r", 'linear(x, w, b=b, r=r, act="silu", add_last=true)',
     F.silu(F.linear(x, w, b)) + r, x=x, w=w, b=b, r=r)
x, w = draw(2, 3, 8), draw(6, 8)
case("linear_rank3", "linear(x, w)", F.linear(x, w), x=x, w=w)
x, w = draw(40, 32), draw(33, 32)
case("linear_large", "linear(x, w)", F.linear(x, w), x=x, w=w)

x, g, b, m, v = (draw(2, 3, 4, 5), draw(3), draw(3), draw(3),
                 draw(3, lo=0.1, hi=3))
case("batch_norm", "batch_norm(x, g, b, m, v, eps=0.001)",
     F.batch_norm(x, m, v, g, b, False, 0.1, 0.001), x=x, g=g, b=b, m=m, v=v)

x = draw(2, 6, 3, 5)
case("layer_norm", "layer_norm(x, affine=false)", F.layer_norm(x, (5,)), x=x)
case("group_norm", "group_norm(x, 3, eps=0.01, affine=false)",
     F.group_norm(x, 3, eps=0.01), x=x)

x = torch.cat([draw(40, lo=-9, hi=9), torch.tensor(
    [0.0, 3.0, -3.0, 6.0, 30.0, -30.0]).double()])
for name, f in [("tanh", torch.tanh), ("erf", torch.erf),
                ("sigmoid", torch.sigmoid), ("relu", F.relu),
                ("relu6", F.relu6), ("hardsigmoid", F.hardsigmoid),
                ("hardswish", F.hardswish), ("silu", F.silu),
                ("exp", torch.exp), ("abs", torch.abs), ("neg", torch.neg),
                ("square", torch.square)]:
    case(name, name + "(x)", f(x), x=x)
near = draw(40, lo=-5, hi=5)
case("gelu", "gelu(x)", F.gelu(near), x=near)
case("leaky_relu", "leaky_relu(x, alpha=0.125)", F.leaky_relu(x, 0.125), x=x)
case("elu", "elu(x, alpha=1.5)", F.elu(x, 1.5), x=x)
case("clip", "clip(x, lo=-1.0, hi=4.0)", x.clamp(-1, 4), x=x)
for name, f in [("floor", torch.floor), ("ceil", torch.ceil),
                ("round", torch.round)]:
    z = torch.cat([x, torch.arange(-9, 10) / 2.0])
    case(name, name + "(x)", f(z.double()), x=z)
pos = draw(40, lo=0.01, hi=50)
case("rsqrt", "rsqrt(x)", torch.rsqrt(pos), x=pos)
case("sqrt", "sqrt(x)", torch.sqrt(pos), x=pos)
case("log", "log(x)", torch.log(pos), x=pos)

a, b = draw(2, 3, 1, 4), draw(5, 1)
for name, f in [("add", torch.add), ("sub", torch.sub), ("mul", torch.mul),
                ("div", torch.div), ("maximum", torch.maximum),
                ("minimum", torch.minimum)]:
    case(name, name + "(a, b)", f(a, b), a=a, b=b)
p = draw(2, 3, 1, 4, lo=0.1, hi=4)
case("pow", "pow(a, b)", torch.pow(p, b), a=p, b=b)
whole = torch.arange(-3, 4).double().reshape(7, 1)
case("pow_int", "pow(a, b)", torch.pow(a[0, 0], whole), a=a[0, 0], b=whole)

x = draw(2, 3, 4, 5)
case("sum", "sum(x, axes=[1,-1])", x.sum((1, 3)), x=x)
case("mean", "mean(x, axes=[2,3], keep=true)", x.mean((2, 3), True), x=x)
case("max", "max(x, axes=[0])", x.amax(0), x=x)
case("min", "min(x, axes=[1,2])", x.amin((1, 2)), x=x)
case("softmax", "softmax(x, axis=1)", F.softmax(x * 1, 1), x=x)

x = draw(2, 3, 9, 8)
case("max_pool", "max_pool(x, k=[3,2], stride=[2,3], pad=[1,1,1,1])",
     F.max_pool2d(F.pad(x, (1, 1, 1, 1), value=-1e30), (3, 2), (2, 3)), x=x)
case("avg_pool", "avg_pool(x, k=[3,3], stride=[2,2], pad=[1,1,1,1])",
     F.avg_pool2d(x, 3, 2, 1, count_include_pad=False), x=x)
case("avg_pool_pad",
     "avg_pool(x, k=[3,3], stride=[2,2], pad=[1,1,1,1], count_pad=true)",
     F.avg_pool2d(x, 3, 2, 1, count_include_pad=True), x=x)

for size in [(18, 16), (5, 11), (1, 1), (20, 3)]:
    for mode, coord, torch_mode, align in [
            ("nearest", "asymmetric", "nearest", None),
            ("nearest", "half_pixel", "nearest-exact", None),
            ("bilinear", "half_pixel", "bilinear", False),
            ("bilinear", "align_corners", "bilinear", True)]:
        case("resize_%dx%d_%s_%s" % (size + (mode, coord)),
             'resize(x, size=%s, mode="%s", coord="%s")'
             % (list(size), mode, coord),
             F.interpolate(x, size, mode=torch_mode, align_corners=align),
             x=x)

case("upsample", 'upsample(x, s=[2,3], mode="bilinear")',
     F.interpolate(x, scale_factor=(2, 3), mode="bilinear"), x=x)
x = draw(2, 12, 3, 5)
case("pixel_shuffle", "pixel_shuffle(x, r=2)", F.pixel_shuffle(x, 2), x=x)
case("depth_to_space", "depth_to_space(x)",
     x.reshape(2, 2, 2, 3, 3, 5).permute(0, 3, 4, 1, 5, 2)
     .reshape(2, 3, 6, 10), x=x)
x = draw(2, 3, 6, 9)
case("pixel_unshuffle", "pixel_unshuffle(x, r=3)", F.pixel_unshuffle(x, 3),
     x=x)
case("space_to_depth", "space_to_depth(x, r=3)",
     x.reshape(2, 3, 2, 3, 3, 3).permute(0, 3, 5, 1, 2, 4)
     .reshape(2, 27, 2, 3), x=x)

x, z = draw(2, 3, 4), draw(2, 2, 4)
case("reshape", "reshape(x, shape=[4,-1])", x.reshape(4, -1), x=x)
case("permute", "permute(x, order=[2,0,1])", x.permute(2, 0, 1), x=x)
case("expand", "expand(x, shape=[5,2,3,4])", x.expand(5, 2, 3, 4), x=x)
case("concat", "concat(x, z, x, axis=1)", torch.cat([x, z, x], 1), x=x, z=z)
case("slice", "slice(x, axis=-1, start=1, stop=4, step=2)", x[..., 1:4:2],
     x=x)
case("slice_neg", "slice(x, axis=1, start=-2, stop=-1)", x[:, -2:-1], x=x)
case("select", "select(x, index=2, axis=1)", x[:, 2], x=x)
case("pad", "pad(x, before=[0,1,2], after=[1,0,3], value=0.5)",
     F.pad(x, (2, 3, 1, 0, 0, 1), value=0.5), x=x)

torch.manual_seed(31)   # what is above keeps its values


def matmul(name, a, b, ta=False, tb=False):
    y = (a.transpose(-1, -2) if ta else a) @ (b.transpose(-1, -2) if tb
                                              else b)
    flags = "".join(f", transpose_{k}=true" for k, t in (("a", ta), ("b", tb))
                    if t)
    case(name, f"matmul(a, b{flags})", y, a=a, b=b)


matmul("matmul", draw(3, 5), draw(5, 7))
matmul("matmul_ta", draw(4, 5, 3), draw(5, 7), ta=True)
matmul("matmul_tb", draw(2, 1, 3, 5), draw(3, 7, 5), tb=True)
matmul("matmul_both", draw(1, 9, 2), draw(4, 5, 9), True, True)
matmul("matmul_broadcast", draw(2, 1, 3, 1, 5), draw(3, 1, 5, 4))
matmul("matmul_large", draw(2, 40, 33), draw(2, 33, 41))
matmul("matmul_empty", draw(0, 3, 5), draw(1, 5, 2))
matmul("matmul_no_k", draw(2, 3, 0), draw(0, 2))
matmul("matmul_no_n", draw(2, 3), draw(3, 0))

torch.manual_seed(32)


def both(pad):
    """[befores, afters] as F.pad takes them."""
    n = len(pad) // 2
    return [p for i in reversed(range(n)) for p in (pad[i], pad[n + i])]


def lists(**attrs):
    return "".join(f", {k}={str(v).replace(' ', '')}"
                   for k, v in attrs.items() if v is not None)


def convn(name, x, w, stride, pad, dil, groups=1, bias=True):
    """A convolution over 1 to 3 axes, and its gradients by x and w."""
    n = x.dim() - 2
    f = (F.conv1d, F.conv2d, F.conv3d)[n - 1]
    x, w = x.requires_grad_(), w.requires_grad_()
    b = draw(w.shape[0]) if bias else None
    y = f(F.pad(x, both(pad)), w, b, stride, 0, dil, groups)
    window = lists(stride=stride, pad=pad, dilation=dil) + f", groups={groups}"
    ops = dict(x=x.detach(), w=w.detach(), **({"b": b} if bias else {}))
    case(name, f"conv{n}d(x, w{', b=b' if bias else ''}{window})",
         y.detach(), **ops)
    dy = draw(*y.shape)
    dx, dw = torch.autograd.grad(y, (x, w), dy)
    case(name + "_dw", f"conv{n}d_weight_grad(x, dy, "
         f"k={list(w.shape[2:])}{window})".replace(", ", ","), dw,
         x=x.detach(), dy=dy)
    more = [(x.shape[2 + i] + pad[i] + pad[n + i]
             - (w.shape[2 + i] - 1) * dil[i] - 1) % stride[i]
            for i in range(n)]
    case(name + "_dx", f"conv{n}d_transpose(dy, w{window}"
         f"{lists(out_pad=more)})", dx, dy=dy, w=w.detach())


def convn_transpose(name, x, w, stride, pad, more, dil, groups=1):
    n = x.dim() - 2
    f = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[n - 1]
    b = draw(w.shape[1] * groups)
    y = f(x, w, None, stride, 0, 0, groups, dil)
    cut = [-p for p in pad]
    cut = cut[:n] + [c + m for c, m in zip(cut[n:], more)]
    y = F.pad(y, both(cut)) + b.reshape(-1, *[1] * n)
    case(name, f"conv{n}d_transpose(x, w, b=b"
         + lists(stride=stride, pad=pad, out_pad=more, dilation=dil)
         + f", groups={groups})", y, x=x, w=w, b=b)


convn("conv1d", draw(2, 3, 17), draw(5, 3, 4), [3], [1, 2], [1])
convn("conv1d_dilated", draw(1, 4, 23), draw(6, 2, 3), [2], [0, 5], [4], 2)
convn("conv1d_depthwise", draw(2, 5, 9), draw(5, 1, 3), [1], [1, 1], [1], 5,
      False)
convn("conv1d_empty", draw(0, 3, 8), draw(2, 3, 3), [1], [1, 0], [1])
convn("conv2d_strides", draw(2, 6, 11, 13), draw(4, 3, 3, 4), [4, 3],
      [1, 0, 2, 1], [1, 2], 2)
convn("conv2d_one", draw(1, 3, 1, 7), draw(2, 3, 1, 1), [2, 2], [0, 0, 0, 0],
      [1, 1])
convn("conv2d_depthwise", draw(2, 3, 8, 7), draw(6, 1, 3, 3), [2, 2],
      [1, 1, 0, 1], [1, 1], 3)
convn("conv2d_empty", draw(0, 2, 5, 5), draw(3, 2, 3, 3), [1, 1],
      [0, 0, 0, 0], [1, 1])
convn("conv3d", draw(2, 3, 5, 6, 7), draw(4, 3, 3, 2, 3), [2, 1, 2],
      [1, 0, 1, 0, 1, 1], [1, 1, 1])
convn("conv3d_dilated", draw(1, 4, 7, 5, 6), draw(6, 2, 2, 3, 1), [2, 3, 1],
      [0, 2, 0, 3, 1, 2], [3, 2, 1], 2)
convn("conv3d_depthwise", draw(1, 3, 4, 5, 5), draw(3, 1, 3, 3, 3),
      [1, 1, 1], [1, 1, 1, 1, 1, 1], [1, 1, 1], 3, False)
convn_transpose("conv1d_transpose", draw(2, 4, 6), draw(4, 3, 5), [3],
                [1, 2], [2], [1])
convn_transpose("conv1d_transpose_groups", draw(1, 6, 5), draw(6, 2, 2), [4],
                [0, 0], [3], [3], 3)
convn_transpose("conv2d_transpose_far", draw(1, 2, 3, 4), draw(2, 3, 2, 3),
                [19, 17], [1, 0, 0, 2], [4, 0], [1, 2])
convn_transpose("conv3d_transpose", draw(2, 3, 3, 4, 2), draw(3, 2, 3, 2, 4),
                [2, 1, 3], [1, 0, 1, 0, 1, 2], [1, 0, 2], [1, 2, 1])
convn_transpose("conv3d_transpose_groups", draw(1, 4, 2, 3, 3),
                draw(4, 3, 2, 3, 2), [3, 2, 1], [0, 0, 0, 0, 0, 0],
                [2, 1, 0], [2, 1, 1], 2)

header, blob = {}, b""
for name, t in tensors.items():
    t = t.contiguous()
    data = t.numpy().tobytes()
    header[name] = dict(dtype="F32" if t.dtype == torch.float32 else "F64",
                        shape=list(t.shape),
                        data_offsets=[len(blob), len(blob) + len(data)])
    blob += data
head = json.dumps(header).encode()
head += b" " * (-(len(head) + 8) % 64)
here = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(here, "ops.safetensors"), "wb") as f:
    f.write(struct.pack("<Q", len(head)) + head + blob)
with open(os.path.join(here, "ops.txt"), "w") as f:
    for name, expr in cases:
        f.write(f"{name} {expr}\n")
