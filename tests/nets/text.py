"""Nets that read sequences: BERT, decoders with a state, taggers."""
import math

import torch
import torch.nn.functional as F
from torch import nn

# ---- BERT (Devlin et al., 2018), layers named as its weight files do ------


class Embeddings(nn.Module):
    def __init__(self, vocab, width, most, eps):
        super().__init__()
        self.word_embeddings = nn.Embedding(vocab, width)
        self.position_embeddings = nn.Embedding(most, width)
        self.token_type_embeddings = nn.Embedding(2, width)
        self.LayerNorm = nn.LayerNorm(width, eps)
        self.register_buffer("position_ids", torch.arange(most)[None],
                             persistent=False)

    def forward(self, ids, types):
        at = self.position_ids[:, :ids.size(1)]
        x = self.word_embeddings(ids) + self.token_type_embeddings(types)
        return self.LayerNorm(x + self.position_embeddings(at))


class SelfAttention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads, self.size = heads, width // heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)

    def split(self, x):
        x = x.view(x.size()[:-1] + (self.heads, self.size))
        return x.permute(0, 2, 1, 3)

    def forward(self, x, mask):
        q, k, v = (self.split(f(x)) for f in (self.query, self.key,
                                              self.value))
        score = torch.matmul(q, k.transpose(-1, -2)) / math.sqrt(self.size)
        p = F.softmax(score + mask, dim=-1)
        y = torch.matmul(p, v).permute(0, 2, 1, 3).contiguous()
        return y.view(y.size()[:-2] + (self.heads * self.size,))


class Residual(nn.Module):
    def __init__(self, i, width, eps):
        super().__init__()
        self.dense = nn.Linear(i, width)
        self.LayerNorm = nn.LayerNorm(width, eps)

    def forward(self, h, x):
        return self.LayerNorm(self.dense(h) + x)


class BertLayer(nn.Module):
    def __init__(self, width, heads, inner, eps):
        super().__init__()
        self.attention = nn.ModuleDict({
            "self": SelfAttention(width, heads),
            "output": Residual(width, width, eps)})
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(width, inner)})
        self.output = Residual(inner, width, eps)

    def forward(self, x, mask):
        x = self.attention["output"](self.attention["self"](x, mask), x)
        return self.output(F.gelu(self.intermediate["dense"](x)), x)


class Bert(nn.Module):
    """Hidden states and the pooled first token."""

    def __init__(self, width, heads, layers, vocab=30522, most=512):
        super().__init__()
        self.embeddings = Embeddings(vocab, width, most, 1e-12)
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(
            BertLayer(width, heads, 4 * width, 1e-12)
            for _ in range(layers))})
        self.pooler = nn.ModuleDict({"dense": nn.Linear(width, width)})

    def forward(self, input_ids, attention_mask, token_type_ids):
        mask = attention_mask[:, None, None, :].to(torch.float32)
        mask = (1.0 - mask) * torch.finfo(torch.float32).min
        x = self.embeddings(input_ids, token_type_ids)
        for layer in self.encoder["layer"]:
            x = layer(x, mask)
        return x, torch.tanh(self.pooler["dense"](x[:, 0]))


def bert_base():
    return Bert(768, 12, 12)


def minilm():
    return Bert(384, 12, 6)


# ---- decoders: keys and values of the past are inputs and outputs ---------

class GptAttention(nn.Module):
    def __init__(self, width, heads, most):
        super().__init__()
        self.heads = heads
        self.c_attn = nn.Linear(width, 3 * width)
        self.c_proj = nn.Linear(width, width)
        mask = torch.tril(torch.ones((most, most), dtype=torch.bool))
        self.register_buffer("bias", mask.view(1, 1, most, most),
                             persistent=False)

    def split(self, x):
        shape = x.size()[:-1] + (self.heads, x.size(-1) // self.heads)
        return x.view(shape).permute(0, 2, 1, 3)

    def forward(self, x, key, value):
        q, k, v = (self.split(t) for t in
                   self.c_attn(x).split(x.size(-1), dim=2))
        k, v = torch.cat((key, k), -2), torch.cat((value, v), -2)
        score = torch.matmul(q, k.transpose(-1, -2)) / v.size(-1) ** 0.5
        n, m = q.size(-2), k.size(-2)
        seen = self.bias[:, :, m - n:m, :m]
        least = torch.full([], torch.finfo(score.dtype).min)
        p = F.softmax(torch.where(seen, score, least), dim=-1)
        y = torch.matmul(p, v).permute(0, 2, 1, 3).contiguous()
        return self.c_proj(y.view(y.size()[:-2] + (x.size(-1),))), k, v


def gelu_tanh(x):
    return 0.5 * x * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (
        x + 0.044715 * torch.pow(x, 3.0))))


class GptLayer(nn.Module):
    def __init__(self, width, heads, most):
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = GptAttention(width, heads, most)
        self.c_fc = nn.Linear(width, 4 * width)
        self.c_proj = nn.Linear(4 * width, width)

    def forward(self, x, key, value):
        h, k, v = self.attn(self.ln_1(x), key, value)
        x = x + h
        return x + self.c_proj(gelu_tanh(self.c_fc(self.ln_2(x)))), k, v


class Gpt(nn.Module):
    """GPT-2 (Radford et al., 2019), small: logits, then each layer's keys
    and values."""

    def __init__(self, width=128, heads=4, layers=4, vocab=1000, most=64):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(vocab, width), nn.Embedding(
            most, width)
        self.h = nn.ModuleList(GptLayer(width, heads, most)
                               for _ in range(layers))
        self.ln_f = nn.LayerNorm(width)

    def forward(self, input_ids, *past):
        n, before = input_ids.size(-1), past[0].size(-2)
        at = torch.arange(before, before + n, dtype=torch.long)
        x = self.wte(input_ids) + self.wpe(at.unsqueeze(0).view(-1, n))
        present = []
        for i, layer in enumerate(self.h):
            x, k, v = layer(x, past[2 * i], past[2 * i + 1])
            present += [k, v]
        return (F.linear(self.ln_f(x), self.wte.weight), *present)


class RmsNorm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return self.weight * (x * torch.rsqrt(
            x.pow(2).mean(-1, keepdim=True) + 1e-6))


def rotate(x, cos, sin):
    a, b = x[..., :x.shape[-1] // 2], x[..., x.shape[-1] // 2:]
    return x * cos + torch.cat((-b, a), -1) * sin


class LlamaLayer(nn.Module):
    def __init__(self, width, heads, groups, inner):
        super().__init__()
        self.heads, self.groups, self.size = heads, groups, width // heads

        def linear(i, c):
            return nn.Linear(i, c, bias=False)
        self.norm_1, self.norm_2 = RmsNorm(width), RmsNorm(width)
        self.q = linear(width, width)
        self.k = linear(width, groups * self.size)
        self.v = linear(width, groups * self.size)
        self.o = linear(width, width)
        self.gate, self.up = linear(width, inner), linear(width, inner)
        self.down = linear(inner, width)

    def repeat(self, x):
        """Each group's keys or values for all heads that share them."""
        b, g, n, d = x.shape
        r = self.heads // self.groups
        return x[:, :, None].expand(b, g, r, n, d).reshape(b, g * r, n, d)

    def attend(self, x, mask, cos, sin, key, value):
        b, n, _ = x.shape
        q = self.q(x).view(b, n, self.heads, self.size).transpose(1, 2)
        k = self.k(x).view(b, n, self.groups, self.size).transpose(1, 2)
        v = self.v(x).view(b, n, self.groups, self.size).transpose(1, 2)
        k = torch.cat((key, rotate(k, cos, sin)), 2)
        v = torch.cat((value, v), 2)
        score = torch.matmul(rotate(q, cos, sin),
                             self.repeat(k).transpose(2, 3))
        p = F.softmax(score / math.sqrt(self.size) + mask, -1,
                      dtype=torch.float32).to(x.dtype)
        y = torch.matmul(p, self.repeat(v)).transpose(1, 2).contiguous()
        return self.o(y.reshape(b, n, -1)), k, v

    def forward(self, x, mask, cos, sin, key, value):
        h, k, v = self.attend(self.norm_1(x), mask, cos, sin, key, value)
        x = x + h
        h = self.norm_2(x)
        return x + self.down(F.silu(self.gate(h)) * self.up(h)), k, v


class Llama(nn.Module):
    """Rotary positions, RMS norm, gated layers, keys shared by groups of
    heads (Touvron et al., 2023)."""

    def __init__(self, width=128, heads=8, groups=2, layers=2, vocab=1000):
        super().__init__()
        self.embed = nn.Embedding(vocab, width)
        self.layers = nn.ModuleList(
            LlamaLayer(width, heads, groups, 352) for _ in range(layers))
        self.norm = RmsNorm(width)
        self.head = nn.Linear(width, vocab, bias=False)
        d = width // heads
        self.register_buffer("freq", 10000.0 ** (-torch.arange(0, d, 2) / d),
                             persistent=False)

    def forward(self, input_ids, position_ids, *past):
        b, n = input_ids.shape
        m = past[0].shape[2] + n
        mask = torch.full((n, m), torch.finfo(torch.float32).min)
        mask = torch.triu(mask, diagonal=m - n + 1)[None, None]
        freq = self.freq[None, :, None].expand(b, -1, 1)
        angle = (freq @ position_ids[:, None, :].float()).transpose(1, 2)
        angle = torch.cat((angle, angle), -1)[:, None]
        x, present = self.embed(input_ids), []
        for i, layer in enumerate(self.layers):
            x, k, v = layer(x, mask, angle.cos(), angle.sin(), past[2 * i],
                            past[2 * i + 1])
            present += [k, v]
        return (self.head(self.norm(x)), *present)


# ---- taggers: a class for each word ---------------------------------------

class LstmTagger(nn.Module):
    """Starts from a state of zeros that the graph makes for its batch."""

    def __init__(self, vocab=2000, width=64, hidden=96, tags=17):
        super().__init__()
        self.embed = nn.Embedding(vocab, width)
        self.lstm = nn.LSTM(width, hidden, num_layers=2, batch_first=True,
                            bidirectional=True)
        self.tag = nn.Linear(2 * hidden, tags)
        nn.init.normal_(self.tag.weight)

    def forward(self, words):
        h, _ = self.lstm(self.embed(words))
        return F.log_softmax(self.tag(h), -1)


class GruTagger(nn.Module):
    """One direction, so that it can go on from the state it gives."""

    def __init__(self, vocab=2000, width=64, hidden=128, tags=17):
        super().__init__()
        self.embed = nn.Embedding(vocab, width)
        self.gru = nn.GRU(width, hidden, num_layers=2)
        self.tag = nn.Linear(hidden, tags)
        nn.init.normal_(self.tag.weight)

    def forward(self, words, state):
        h, state = self.gru(self.embed(words).transpose(0, 1), state)
        return self.tag(h).transpose(0, 1).softmax(-1), state
