"""ops_attend.py - draws attention and what comes with it."""
import numpy as np

from graph import F32, I32, I64, MS, U8, Redraw
from ops_net import vector


def attention(g):
    t = g.type(F32)
    b, kv, q = g.one(1, 2), g.one(1, 2), g.int(1, 5)
    h, s = kv * g.one(1, 1, 2), g.int(1, 6)
    d, e = g.one(2, 4, 8), g.one(2, 4, 8)
    flat = g.chance(0.4)

    def head(n, length, width):
        return g.fresh(t, (b, length, n * width) if flat else
                       (b, n, length, width), const=False)
    ins = [head(h, q, d), head(kv, s, d), head(kv, s, e)]
    if g.chance(0.4):
        ms = g.one((q, s), (b, 1, q, s), (b, h, q, s), (1, 1, q, s))
        ins.append(g.fresh(g.one(t, np.bool_), ms, -3, 0))
        if ins[3].t is np.bool_ and not ins[3].a.any(-1).all():
            raise Redraw("a row without a key")
    past = g.int(1, 4) if g.chance(0.3) and len(ins) < 4 else 0
    if past:
        ins += [None] + [g.fresh(t, (b, kv, past, n), const=False)
                         for n in (d, e)]
    outs = [True] + [bool(past)] * 2 + [g.chance(0.2)]
    causal = g.one(None, None, 1) if q <= s else None
    if causal and past and q == 1 < s:
        raise Redraw("ORT lets a single query see all keys, not those up to "
                     "the past and itself")
    return g.emit("Attention", ins, outs, q_num_heads=h if flat else None,
                  kv_num_heads=kv if flat else None,
                  is_causal=causal,
                  scale=g.maybe(0.3, 0.3), softcap=g.maybe(2.0, 0.2),
                  qk_matmul_output_mode=g.one(None, 0, 1, 2, 3) if outs[3]
                  else None)


def multi_head(g):
    b, h, q, s, d = g.one(1, 2), g.one(1, 2), g.int(1, 5), g.int(1, 6), \
        g.one(2, 4, 8)
    x = g.fresh(F32, (b, q, h * d), const=False)
    if g.chance(0.4):
        w = g.fresh(F32, (h * d, 3 * h * d), -0.5, 0.5, const=True)
        mask = g.fresh(I32, (b,), 1, q) if g.chance(0.3) else None
        return g.emit("Attention", [x, w, vector(g, F32, 3 * h * d), mask],
                      domain=MS, num_heads=h,
                      unidirectional=g.one(None, 0, 1) if not mask else None)
    k, v = [g.fresh(F32, (b, s, h * d), const=False) for _ in "kv"]
    bias = vector(g, F32, 3 * h * d) if g.chance(0.4) else None
    add = g.fresh(F32, (g.one(1, b), h, q, s)) if g.chance(0.3) else None
    return g.emit("MultiHeadAttention", [x, k, v, bias, None, add],
                  domain=MS, num_heads=h, scale=g.maybe(0.4, 0.3))


def rotary(g):
    b, h, s, d = g.int(1, 2), g.int(1, 3), g.int(1, 4), g.one(2, 4, 8)
    flat = g.chance(0.4)
    x = g.fresh(F32, (b, s, h * d) if flat else (b, h, s, d))
    r = d if flat or g.chance(0.7) else d // 2 + d // 2 % 2
    cos, sin = [g.fresh(F32, (8, r // 2), -1, 1) for _ in "cs"]
    at = g.fresh(I64, (b, s), 0, 7)
    inter = g.one(None, 0, 1)
    heads = h if flat else None
    if g.opset >= 23 and g.chance(0.6):
        return g.emit("RotaryEmbedding", [x, cos, sin, at], num_heads=heads,
                      rotary_embedding_dim=r if r != d else None,
                      interleaved=inter)
    if r != d:
        raise Redraw("ms: all of a head")
    return g.emit("RotaryEmbedding", [x, at, cos, sin], domain=MS,
                  interleaved=inter, num_heads=heads)


def nbits(g):
    k, n, block = g.one(16, 32, 48), g.int(1, 6), g.one(16, 32)
    m = (k + block - 1) // block
    b = g.given(g.np.integers(0, 256, (n, m, block // 2)).astype(U8))
    scales = g.fresh(F32, (n * m,), 0.01, 0.2, const=True)
    zero = g.given(g.np.integers(0, 256, (n * ((m + 1) // 2),)).astype(U8)) \
        if g.chance(0.5) else None
    x = g.shaped(F32, (g.int(1, 3), k))
    return g.emit("MatMulNBits", [x, b, scales, zero], domain=MS, K=k, N=n,
                  bits=4, block_size=block)


def embed(g):
    b, s, n, h = g.int(1, 2), g.int(1, 5), g.int(3, 9), g.one(4, 8)
    ids = g.fresh(I32, (b, s), 0, n - 1)
    two = g.chance(0.6)
    segment = g.fresh(I32, (b, s), 0, 1) if two else None
    mask = g.fresh(I32, (b, s), 0, 1) if g.chance(0.3) else None
    tables = [g.fresh(F32, (n, h), const=True),
              g.fresh(F32, (8, h), const=True),
              g.fresh(F32, (2, h), const=True) if two else None]
    return g.emit("EmbedLayerNormalization", [ids, segment] + tables +
                  [vector(g, F32, h, 0.5, 1.5), vector(g, F32, h), mask],
                  [True, g.chance(0.3) or mask is not None], domain=MS,
                  epsilon=g.maybe(1e-3))


def group_query(g):
    """At once, without a past, or one token behind it."""
    b, kv, d = g.int(1, 2), g.one(1, 2), g.one(8, 16)
    h, s = kv * g.one(1, 2), g.int(1, 5)
    past = g.int(1, 4) if g.chance(0.5) else 0
    if past:
        b, s = (1, s) if g.chance(0.3) else (b, 1)
    q = g.fresh(F32, (b, s, h * d), const=False)
    k, v = [g.fresh(F32, (b, s, kv * d), const=False) for _ in "kv"]
    old = [g.fresh(F32, (b, kv, past, d), const=False) for _ in "kv"] \
        if past else [None, None]
    ins = [q, k, v] + old
    ins.append(g.given(np.full((b,), past + s - 1, I32)))
    ins.append(g.given(np.array(past + s, I32)))
    turn = g.chance(0.4)
    if turn:
        ins += [g.fresh(F32, (16, d // 2), -1, 1, const=True) for _ in "cs"]
    return g.emit("GroupQueryAttention", ins, 3, domain=MS, num_heads=h,
                  kv_num_heads=kv, do_rotary=1 if turn else None,
                  scale=g.maybe(0.3, 0.2))


FAMILIES = {
    "attention": (attention, 2), "multi_head": (multi_head, 1),
    "group_query": (group_query, 0.7), "rotary": (rotary, 1),
    "nbits": (nbits, 0.5), "embed": (embed, 0.5),
}
