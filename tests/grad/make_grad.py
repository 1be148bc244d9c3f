#!/usr/bin/python3
"""What PyTorch's autograd makes of the models of grad.tam.

Writes MODEL.safetensors beside itself: the inputs of the model and its
results, in f32; computed in double.
Needs Debian's python3-torch: /usr/bin/python3 make_grad.py
"""
import os
import sys

import torch
import torch.nn.functional as F

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(here, "../oracle"))
from cases import write_tensors   # noqa: E402

torch.manual_seed(22)


def draw(*shape, lo=-2.0, hi=2.0):
    """Uniform values that f32 holds exactly, as double."""
    return (torch.rand(shape) * (hi - lo) + lo).float().double()


def gradients(f, g, *operands):
    """Of the sum of g * f(operands)."""
    leaves = [x.detach().clone().requires_grad_() for x in operands]
    y = f(*leaves)
    got = torch.autograd.grad((y * g).sum(), leaves, allow_unused=True)
    return [torch.zeros_like(x) if d is None else d
            for d, x in zip(got, leaves)]


def write(model, inputs, results):
    tensors = {**inputs, **results}
    tensors = {k: v.float() if v.dtype == torch.float64 else v.contiguous()
               for k, v in tensors.items()}
    write_tensors(os.path.join(here, model + ".safetensors"), tensors)


# ---- unary ----------------------------------------------------------------

x, p, g = draw(40, lo=-7, hi=7), draw(40, lo=0.1, hi=5), draw(40)
unary = dict(
    neg=torch.neg, abs=torch.abs, square=torch.square, exp=torch.exp,
    sin=torch.sin, cos=torch.cos, tanh=torch.tanh, sigmoid=torch.sigmoid,
    erf=torch.erf, relu=F.relu, relu6=F.relu6,
    clip=lambda x: x.clamp(-1, 4),
    leaky_relu=lambda x: F.leaky_relu(x, 0.125),
    elu=lambda x: F.elu(x, 1.5), hardsigmoid=F.hardsigmoid,
    hardswish=F.hardswish, silu=F.silu, gelu=F.gelu, round=torch.round)
positive = dict(sqrt=torch.sqrt, rsqrt=torch.rsqrt, log=torch.log)
res = {"d_" + n: gradients(f, g, x)[0] for n, f in unary.items()}
res.update({"d_" + n: gradients(f, g, p)[0] for n, f in positive.items()})
# The gradient of a cast is cast, as autograd does it.
z = x.float().requires_grad_()
res["d_cast"] = torch.autograd.grad(z.half(), z, g.half())[0].double()
write("unary", dict(x=x, p=p, g=g), res)

# ---- binary ---------------------------------------------------------------

a, b, p = draw(2, 3, 1, 4), draw(5, 1), draw(2, 3, 1, 4, lo=0.2, hi=3)
c, g = torch.rand(2, 1, 5, 4) < 0.5, draw(2, 3, 5, 4)
binary = dict(add=torch.add, sub=torch.sub, mul=torch.mul, div=torch.div,
              atan2=torch.atan2, max=torch.maximum, min=torch.minimum,
              mod=lambda a, b: a - torch.floor(a / b).detach() * b,
              where=lambda a, b: torch.where(c, a, b))
res = {}
for n, f in binary.items():
    res["a_" + n], res["b_" + n] = gradients(f, g, a, b)
res["a_pow"], res["b_pow"] = gradients(torch.pow, g, p, b)
write("binary", dict(a=a, b=b, p=p, c=c, g=g), res)

# ---- folds ----------------------------------------------------------------

x = torch.randint(-3, 4, (4, 7, 3)).double() / 2   # equals and zeros
x[0] = draw(7, 3)
x[1, 1:] = draw(6, 3)
x[1, 0] = 0
g, h = draw(4, 1, 3), draw(4, 7, 3)
one = dict(sum=lambda x: x.sum(1, True), mean=lambda x: x.mean(1, True),
           prod=lambda x: x.prod(1, True), max=lambda x: x.amax(1, True),
           min=lambda x: x.amin(1, True))
each = dict(
    softmax=lambda x: torch.softmax(x, 1), cumsum=lambda x: x.cumsum(1),
    exclusive=lambda x: x.cumsum(1) - x,
    reverse=lambda x: x.flip(1).cumsum(1).flip(1))
res = {"d_" + n: gradients(f, g, x)[0] for n, f in one.items()}
res.update({"d_" + n: gradients(f, h, x)[0] for n, f in each.items()})
write("folds", dict(x=x, g=g, h=h), res)

# ---- moves ----------------------------------------------------------------

x, z, up = draw(5, 7), draw(5, 2), draw(2, 3, 7)
k = torch.tensor([[0, 4, -1], [2, 7, 4]], dtype=torch.int32)
shapes = dict(g=(5, 7), g2=(7, 5), g3=(3, 5, 7), g4=(5, 9), g5=(5, 3),
              g6=(7,), g7=(6, 10), g8=(2, 3, 7), g9=(5, 4))
gs = {n: draw(*s) for n, s in shapes.items()}
near = k.long().clamp(0, 4)


def scatter(x, up):
    flat = k.reshape(-1).long()
    inside = ((flat >= 0) & (flat < 5)).nonzero().reshape(-1)
    return x.index_add(0, flat[inside], up.reshape(6, 7)[inside])


moves = dict(
    reshape=(lambda x: x.reshape(5, 7), "g"),
    permute=(lambda x: x.t(), "g2"),
    expand=(lambda x: x.expand(3, 5, 7), "g3"),
    slice=(lambda x: x[:, 1::2], "g5"), select=(lambda x: x[2], "g6"),
    pad=(lambda x: F.pad(x, (2, 1, 1, 0)), "g7"),
    flip=(lambda x: x.flip(0, 1), "g"), gather=(lambda x: x[near], "g8"),
    mask=(lambda x: torch.where(x.detach() > 0, x, 0 * x.detach()), "g"),
    top=(lambda x: x.topk(4, 1)[0], "g9"))
res = {"d_" + n: gradients(f, gs[g], x)[0] for n, (f, g) in moves.items()}
res["d_concat"], res["d_concat_z"] = gradients(
    lambda x, z: torch.cat([x, z], 1), gs["g4"], x, z)
res["d_scatter"], res["d_updates"] = gradients(scatter, gs["g"], x, up)
write("moves", dict(x=x, z=z, k=k, up=up, **gs), res)

# ---- norms ----------------------------------------------------------------

x, gamma, beta, mu = draw(3, 4, 5), draw(4), draw(4), draw(4)
var, g = draw(4, lo=0.2, hi=3), draw(3, 4, 5)
u, w, h = draw(6, 5), draw(3, 5), draw(6, 3)


def channel(v):
    return v.reshape(1, 4, 1)


def norm(x, gamma, beta, mean, var):
    return ((x - channel(mean)) / torch.sqrt(channel(var) + 0.01)
            * channel(gamma) + channel(beta))


res = dict(zip(["bn_x", "bn_gamma", "bn_beta", "bn_mean", "bn_var"],
               gradients(norm, g, x, gamma, beta, mu, var)))
res.update(zip(["ss_x", "ss_scale", "ss_shift"], gradients(
    lambda x, s, t: x * channel(s) + channel(t), g, x, gamma, beta)))
res.update(zip(["lin_x", "lin_w", "lin_b"],
               gradients(F.linear, h, u, w, draw(3))))
write("norms", dict(x=x, gamma=gamma, beta=beta, mu=mu, var=var, g=g, u=u,
                    w=w, h=h), res)

# ---- products -------------------------------------------------------------

a, b, g = draw(2, 1, 3, 5), draw(4, 5, 7), draw(2, 4, 3, 7)
at, bt, h = draw(2, 5, 3), draw(7, 5), draw(2, 3, 7)
res = dict(zip(["d_a", "d_b"], gradients(torch.matmul, g, a, b)))
res.update(zip(["d_at", "d_bt"], gradients(
    lambda x, y: torch.matmul(x.transpose(1, 2), y.t()), h, at, bt)))
write("products", dict(a=a, b=b, g=g, at=at, bt=bt, h=h), res)

# ---- convs ----------------------------------------------------------------

x, w, w2, w3 = (draw(2, 4, 9, 8), draw(6, 4, 3, 2), draw(6, 2, 3, 3),
                draw(4, 3, 3, 2))
g, g2, g3 = draw(2, 6, 4, 7), draw(2, 6, 9, 8), draw(2, 3, 18, 8)
res = dict(zip(["d_x", "d_w", "d_b"], gradients(
    lambda x, w, b: F.conv2d(F.pad(x, (1, 0, 0, 0)), w, b, (2, 1), 0,
                             (1, 2)), g, x, w, draw(6))))
res.update(zip(["grouped_x", "grouped_w"], gradients(
    lambda x, w: F.conv2d(x, w, None, 1, 1, 1, 2), g2, x, w2)))
res.update(zip(["transpose_x", "transpose_w"], gradients(
    lambda x, w: F.conv_transpose2d(x, w, None, (2, 1))[:, :, 1:, :-1],
    g3, x, w3)))
h = draw(6, 2, 3, 3)


def weight_grad(x, g):
    w = w2.clone().requires_grad_()
    y = F.conv2d(x, w, None, 1, 1, 1, 2)
    return torch.autograd.grad((y * g).sum(), w, create_graph=True)[0]


res.update(zip(["second_x", "second_g"], gradients(weight_grad, h, x, g2)))
write("convs", dict(x=x, w=w, g=g, w2=w2, g2=g2, w3=w3, g3=g3, h=h), res)

# ---- windows --------------------------------------------------------------

x, g, h, r = (draw(2, 3, 7, 8), draw(2, 3, 4, 4), draw(2, 3, 4, 3),
              draw(2, 3, 11, 5))
x[0, 0, 2:5, 2:6] = 1.5   # equals: the first is the greatest
res = dict(
    d_max=gradients(lambda x: F.max_pool2d(
        F.pad(x, (0, 0, 1, 1), value=-1e30), (3, 2), 2), g, x)[0],
    d_avg=gradients(lambda x: F.avg_pool2d(
        x, 3, (2, 3), 1, count_include_pad=False), h, x)[0],
    d_avg_pad=gradients(lambda x: F.avg_pool2d(x, 3, (2, 3), 1), h, x)[0])
for name, mode, align in [("nearest", "nearest", None),
                          ("nearest_exact", "nearest-exact", None),
                          ("bilinear", "bilinear", False),
                          ("corners", "bilinear", True)]:
    res[name] = gradients(lambda x: F.interpolate(
        x, (11, 5), mode=mode, align_corners=align), r, x)[0]
write("windows", dict(x=x, g=g, h=h, r=r), res)

# ---- loops ----------------------------------------------------------------

x, h, w, u = (draw(5, 2, 3), draw(2, 4), draw(4, 3), draw(4, 4, lo=-1, hi=1))
g, e = draw(5, 2, 4), draw(5, 2, 3)


def loop(x, h, w, u):
    ys = []
    for t in range(5):
        h = torch.tanh(x[t] @ w.t() + h @ u.t())
        ys.append(h)
    return torch.stack(ys)


res = dict(zip(["d_x", "d_h", "d_w", "d_u"], gradients(loop, g, x, h, w, u)))
res["d_cube"] = gradients(lambda x: x * x * x, e, x)[0]
write("loops", dict(x=x, h=h, w=w, u=u, g=g, e=e), res)
