"""Encoder–decoder models: T5's encoder and decoder, BART's decoder."""
import math

import torch
import torch.nn as nn
import torch.nn.functional as F

from gpt import OPTAttention
from taps import LayerNorm, RMSNorm, join_heads, note_attention, put, split_heads


class T5Attention(nn.Module):
    """No scale; a learned bias per head and bucket of distance."""

    def __init__(self, c):
        super().__init__()
        d, inner = c["d"], c["heads"] * c["dh"]
        self.h = c["heads"]
        self.q, self.k, self.v, self.o = nn.Linear(d, inner, False), nn.Linear(d, inner, False), nn.Linear(d, inner, False), \
            nn.Linear(inner, d, False)

    def forward(self, x, layer, bias, source=None):
        source = x if source is None else source
        q, k, v = split_heads(self.q(x), self.h), split_heads(self.k(source), self.h), split_heads(self.v(source), self.h)
        s = torch.matmul(q, k.transpose(3, 2)) + bias
        p = F.softmax(s.float(), dim=-1).type_as(s)
        z = torch.matmul(p, v)
        note_attention(layer, q, k, v, s, p, z)
        return self.o(join_heads(z))


class T5Stack(nn.Module):
    """With `cross` the decoder, else the encoder. A layer counts its attention blocks one by one."""

    def __init__(self, c, cross):
        super().__init__()
        self.c, self.cross, n = c, cross, c["layers"]
        self.tokens_emb = nn.Embedding(c["vocab"], c["d"])
        self.relative = nn.Embedding(8, c["heads"])
        per = 2 if cross else 1
        self.attn = nn.ModuleList([T5Attention(c) for _ in range(per * n)])
        self.norm_a = nn.ModuleList([RMSNorm(c["d"]) for _ in range(per * n)])
        self.norm_m = nn.ModuleList([RMSNorm(c["d"]) for _ in range(n)])
        self.wi, self.wo = nn.ModuleList([nn.Linear(c["d"], c["mlp"], False) for _ in range(n)]), \
            nn.ModuleList([nn.Linear(c["mlp"], c["d"], False) for _ in range(n)])
        self.norm_f = RMSNorm(c["d"])

    def position_bias(self, t):
        distance = torch.arange(t)[None, :] - torch.arange(t)[:, None]
        if self.cross:
            bucket = -torch.min(distance, torch.zeros_like(distance))
            top = 8
        else:
            bucket, top = (distance > 0).to(torch.long) * 4, 4
            distance = torch.abs(distance)
            bucket = bucket * 1
        exact = top // 2
        base = bucket if self.cross else distance
        large = exact + (torch.log(base.float() / exact) / math.log(32 / exact) * (top - exact)).to(torch.long)
        large = torch.min(large, torch.full_like(large, top - 1))
        chosen = torch.where(base < exact, base, large)
        return self.relative(chosen if self.cross else bucket + chosen).permute([2, 0, 1]).unsqueeze(0)

    def forward(self, input_ids, states=None, source_mask=None):
        b, t = input_ids.shape
        low = torch.finfo(torch.float32).min
        x = self.tokens_emb(input_ids)
        bias = self.position_bias(t)
        if self.cross:
            ids = torch.arange(t)
            causal = ids[None, None, :].repeat(b, t, 1) <= ids[None, :, None]
            bias = bias + (1.0 - causal[:, None].to(x.dtype)) * low
            other = (1.0 - source_mask[:, None, None, :].to(x.dtype)) * low
        elif source_mask is not None:
            bias = bias + (1.0 - source_mask[:, None, None, :].to(x.dtype)) * low
        at = 0
        for i in range(self.c["layers"]):
            put("resid_pre", at, x)
            x = put("resid_mid", at, x + self.attn[at](self.norm_a[at](x), at, bias))
            at += 1
            if self.cross:
                put("resid_post", at - 1, x)
                put("resid_pre", at, x)
                x = put("resid_mid", at, x + self.attn[at](self.norm_a[at](x), at, other, states))
                at += 1
            x = put("resid_post", at - 1, x + self.wo[i](F.relu(self.wi[i](self.norm_m[i](x)))))
        x = self.norm_f(x)
        if not self.cross:
            return x
        return torch.matmul(x * self.c["d"] ** -0.5, self.tokens_emb.weight.t())


class T5Encoder(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.stack = T5Stack(c, False)

    def forward(self, input_ids, attention_mask):
        return self.stack(input_ids, None, attention_mask)


class T5Decoder(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.stack = T5Stack(c, True)

    def forward(self, input_ids, encoder_hidden_states, encoder_attention_mask):
        return self.stack(input_ids, encoder_hidden_states, encoder_attention_mask)


class BartDecoder(nn.Module):
    """Post-norm, causal self-attention, then cross-attention to encoder_hidden_states."""

    def __init__(self, c):
        super().__init__()
        self.c, d, n = c, c["d"], c["layers"]
        self.tokens_emb, self.positions_emb = nn.Embedding(c["vocab"], d), nn.Embedding(c["n"] + 2, d)
        self.norm_e = LayerNorm(d)
        self.attn, self.norms = nn.ModuleList([OPTAttention(c) for _ in range(2 * n)]), \
            nn.ModuleList([LayerNorm(d) for _ in range(3 * n)])
        self.up, self.down = nn.ModuleList([nn.Linear(d, c["mlp"]) for _ in range(n)]), \
            nn.ModuleList([nn.Linear(c["mlp"], d) for _ in range(n)])

    def forward(self, input_ids, encoder_hidden_states):
        t = input_ids.shape[1]
        x = self.norm_e(self.tokens_emb(input_ids) + self.positions_emb(torch.arange(t) + 2)[None])
        mask = torch.full((t, t), torch.finfo(x.dtype).min)
        cond = torch.arange(t)
        mask = mask.masked_fill(cond < (cond + 1).view(t, 1), 0)[None, None]
        for i in range(self.c["layers"]):
            put("resid_pre", 2 * i, x)
            x = put("resid_mid", 2 * i, x + self.attn[2 * i](x, 2 * i, mask))
            put("resid_post", 2 * i, x)
            x = put("resid_pre", 2 * i + 1, self.norms[3 * i](x))
            x = put("resid_mid", 2 * i + 1, x + self.attn[2 * i + 1](x, 2 * i + 1, None, encoder_hidden_states))
            x = self.norms[3 * i + 1](x)
            x = put("resid_post", 2 * i + 1, x + self.down[i](F.gelu(self.up[i](x))))
            x = self.norms[3 * i + 2](x)
        return torch.matmul(x, self.tokens_emb.weight.t())
