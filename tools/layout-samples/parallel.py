"""Decoders with other heads and streams: GPT-NeoX, GPT-J, BLOOM, Falcon and GPT-BigCode."""
import math

import torch
import torch.nn as nn
import torch.nn.functional as F

from taps import LayerNorm, gelu_new, note_attention, put


def rotate_half(x):
    return torch.cat((-x[..., x.shape[-1] // 2:], x[..., :x.shape[-1] // 2]), dim=-1)


def rotate_pairs(x):
    return torch.stack((-x[..., 1::2], x[..., ::2]), dim=-1).flatten(-2)


class NeoXAttention(nn.Module):
    """Fused projection with q, k, v of one head side by side; only the first quarter of a head is rotated."""

    def __init__(self, c):
        super().__init__()
        d, self.h = c["d"], c["heads"]
        self.dh, self.rot = d // c["heads"], c["rot"]
        self.query_key_value, self.dense = nn.Linear(d, 3 * d), nn.Linear(d, d)
        n = c["n"]
        self.register_buffer("bias", torch.tril(torch.ones((n, n), dtype=torch.uint8)).view(1, 1, n, n), persistent=False)
        freq = torch.arange(n).float()[:, None] * (10000.0 ** -(torch.arange(0, self.rot, 2).float() / self.rot))
        full = torch.cat((freq, freq), dim=-1)
        self.register_buffer("cos", full.cos()[None, None], persistent=False)
        self.register_buffer("sin", full.sin()[None, None], persistent=False)

    def rotate(self, x):
        t = x.shape[-2]
        a, rest = x[..., :self.rot], x[..., self.rot:]
        return torch.cat((a * self.cos[:, :, :t] + rotate_half(a) * self.sin[:, :, :t], rest), dim=-1)

    def forward(self, x, layer, mask):
        b, t, _ = x.shape
        y = self.query_key_value(x).view(b, t, self.h, 3 * self.dh)
        q, k, v = (y[..., i * self.dh:(i + 1) * self.dh].permute(0, 2, 1, 3) for i in range(3))
        q, k = self.rotate(q), self.rotate(k)
        scores = torch.zeros(b * self.h, t, t)
        scores = torch.baddbmm(scores, q.reshape(b * self.h, t, self.dh), k.reshape(b * self.h, t, self.dh).transpose(1, 2),
                               beta=1.0, alpha=1.0 / math.sqrt(self.dh)).view(b, self.h, t, t)
        s = torch.where(self.bias[:, :, :t, :t].bool(), scores, torch.tensor(torch.finfo(torch.float32).min))
        if mask is not None:
            s = s + mask
        p = F.softmax(s, dim=-1)
        z = torch.matmul(p, v)
        note_attention(layer, q, k, v, s, p, z)
        return self.dense(z.permute(0, 2, 1, 3).contiguous().view(b, t, self.h * self.dh))


class GPTJAttention(nn.Module):
    """Rotates pairs of neighbours; the whole head is rotated here."""

    def __init__(self, c):
        super().__init__()
        d, self.h = c["d"], c["heads"]
        self.dh = d // self.h
        self.q_proj, self.k_proj = nn.Linear(d, d, bias=False), nn.Linear(d, d, bias=False)
        self.v_proj, self.out_proj = nn.Linear(d, d, bias=False), nn.Linear(d, d, bias=False)
        n = c["n"]
        self.register_buffer("bias", torch.tril(torch.ones((n, n), dtype=torch.bool)).view(1, 1, n, n), persistent=False)
        freq = torch.arange(n).float()[:, None] * (10000.0 ** -(torch.arange(0, self.dh, 2).float() / self.dh))
        self.register_buffer("table", torch.cat((freq.sin(), freq.cos()), dim=1), persistent=False)

    def forward(self, x, layer, positions):
        b, t, _ = x.shape
        q, k, v = (m(x).view(b, t, self.h, self.dh) for m in (self.q_proj, self.k_proj, self.v_proj))
        table = self.table[positions]
        sin, cos = torch.split(table, table.shape[-1] // 2, dim=-1)
        sin, cos = (m[:, :, None, :].repeat_interleave(2, 3) for m in (sin, cos))
        q, k = (m * cos + rotate_pairs(m) * sin for m in (q, k))
        q, k, v = (m.permute(0, 2, 1, 3) for m in (q, k, v))
        s = torch.matmul(q, k.transpose(-1, -2))
        s = torch.where(self.bias[:, :, :t, :t], s, torch.tensor(torch.finfo(s.dtype).min)) / math.sqrt(self.dh)
        p = F.softmax(s, dim=-1)
        z = torch.matmul(p, v)
        note_attention(layer, q, k, v, s, p, z)
        return self.out_proj(z.permute(0, 2, 1, 3).reshape(b, t, self.h * self.dh))


class Parallel(nn.Module):
    """Attention and MLP read the same stream and are added together (GPT-J, GPT-NeoX)."""

    def __init__(self, c):
        super().__init__()
        self.c = c
        d = c["d"]
        self.tokens_emb = nn.Embedding(c["vocab"], d)
        make = NeoXAttention if c["style"] == "neox" else GPTJAttention
        self.attn = nn.ModuleList([make(c) for _ in range(c["layers"])])
        self.norm_1 = nn.ModuleList([LayerNorm(d) for _ in range(c["layers"])])
        self.norm_2 = nn.ModuleList([LayerNorm(d) for _ in range(c["layers"])])
        self.fc_in = nn.ModuleList([nn.Linear(d, c["mlp"]) for _ in range(c["layers"])])
        self.fc_out = nn.ModuleList([nn.Linear(c["mlp"], d) for _ in range(c["layers"])])
        self.norm_f = LayerNorm(d)
        self.lm_head = nn.Linear(d, c["vocab"], bias=c["style"] == "gptj")

    def forward(self, input_ids, attention_mask=None):
        x = self.tokens_emb(input_ids)
        neox = self.c["style"] == "neox"
        extra = torch.arange(input_ids.shape[1]).unsqueeze(0)
        if neox:
            extra = None
            if attention_mask is not None:
                extra = (1.0 - attention_mask[:, None, None, :].to(x.dtype)) * torch.finfo(x.dtype).min
        for i, attn in enumerate(self.attn):
            put("resid_pre", i, x)
            y = self.norm_1[i](x)
            a = attn(y, i, extra)
            y = self.norm_2[i](x) if neox else y
            m = self.fc_out[i]((F.gelu if neox else gelu_new)(self.fc_in[i](y)))
            x = put("resid_post", i, m + a + x if neox else a + m + x)
        return self.lm_head(self.norm_f(x))


class Bloom(nn.Module):
    """ALiBi through baddbmm; q, k, v of one head side by side; a norm after the embedding."""

    def __init__(self, c):
        super().__init__()
        self.c = c
        d, n = c["d"], c["layers"]
        self.h, self.dh = c["heads"], d // c["heads"]
        self.tokens_emb, self.norm_emb = nn.Embedding(c["vocab"], d), LayerNorm(d)
        self.norm_1, self.norm_2 = (nn.ModuleList([LayerNorm(d) for _ in range(n)]) for _ in range(2))
        self.qkv, self.dense = (nn.ModuleList([nn.Linear(d, m * d) for _ in range(n)]) for m in (3, 1))
        self.up = nn.ModuleList([nn.Linear(d, c["mlp"]) for _ in range(n)])
        self.down = nn.ModuleList([nn.Linear(c["mlp"], d) for _ in range(n)])
        self.norm_f, self.lm_head = LayerNorm(d), nn.Linear(d, c["vocab"], bias=False)
        self.lm_head.weight = self.tokens_emb.weight

    def attention(self, i, x, alibi, mask):
        b, t, _ = x.shape
        y = self.qkv[i](x).view(b, t, self.h, 3, self.dh)
        q, k, v = y[..., 0, :], y[..., 1, :], y[..., 2, :]
        flat = (b * self.h, t, self.dh)
        scores = alibi.baddbmm(q.transpose(1, 2).reshape(*flat), k.permute(0, 2, 3, 1).reshape(b * self.h, self.dh, t),
                               beta=1.0, alpha=1.0 / math.sqrt(self.dh))
        s = torch.masked_fill(scores.view(b, self.h, t, t), mask, torch.finfo(scores.dtype).min)
        p = F.softmax(s, dim=-1)
        z = torch.bmm(p.view(b * self.h, t, t), v.transpose(1, 2).reshape(*flat)).view(b, self.h, t, self.dh)
        note_attention(i, *(m.transpose(1, 2) for m in (q, k, v)), s, p, z)
        return self.dense[i](z.permute(0, 2, 1, 3).reshape(b, t, self.h * self.dh))

    def forward(self, input_ids, attention_mask):
        b, t = input_ids.shape
        x = self.norm_emb(self.tokens_emb(input_ids))
        closest = 2 ** math.floor(math.log2(self.h))
        slopes = torch.pow(torch.tensor(2 ** (-(2 ** -(math.log2(closest) - 3)))), torch.arange(1, 1 + closest))
        if closest != self.h:
            base = torch.tensor(2 ** (-(2 ** -(math.log2(2 * closest) - 3))))
            slopes = torch.cat([slopes, torch.pow(base, torch.arange(1, 1 + 2 * (self.h - closest), 2))])
        counted = ((attention_mask.cumsum(dim=-1) - 1) * attention_mask)[:, None, :]
        alibi = (slopes[..., None] * counted).reshape(b * self.h, 1, t).to(x.dtype)
        ids = torch.arange(t)
        causal = (ids[:, None] < ids)[None, None].expand(b, 1, t, t)
        mask = causal | ~(attention_mask[:, None, None, :].to(torch.bool)).expand(b, 1, t, t)
        for i in range(self.c["layers"]):
            put("resid_pre", i, x)
            x = put("resid_mid", i, self.attention(i, self.norm_1[i](x), alibi, mask) + x)
            y = self.up[i](self.norm_2[i](x))
            y = y * 0.5 * (1.0 + torch.tanh(0.79788456 * y * (1 + 0.044715 * y * y)))
            x = put("resid_post", i, self.down[i](y) + x)
        return self.lm_head(self.norm_f(x))


class BigCode(nn.Module):
    """One key/value head for all queries; positions and heads share an axis: [B, T × heads, dh]."""

    def __init__(self, c):
        super().__init__()
        self.c = c
        d, n = c["d"], c["layers"]
        self.h, self.dh = c["heads"], d // c["heads"]
        self.tokens_emb, self.positions_emb = nn.Embedding(c["vocab"], d), nn.Embedding(c["n"], d)
        self.norm_1, self.norm_2 = (nn.ModuleList([LayerNorm(d) for _ in range(n)]) for _ in range(2))
        self.c_attn = nn.ModuleList([nn.Linear(d, d + 2 * self.dh) for _ in range(n)])
        self.c_proj = nn.ModuleList([nn.Linear(d, d) for _ in range(n)])
        self.up = nn.ModuleList([nn.Linear(d, c["mlp"]) for _ in range(n)])
        self.down = nn.ModuleList([nn.Linear(c["mlp"], d) for _ in range(n)])
        self.norm_f, self.lm_head = LayerNorm(d), nn.Linear(d, c["vocab"], bias=False)
        self.lm_head.weight = self.tokens_emb.weight
        self.register_buffer("bias", torch.tril(torch.ones((c["n"], c["n"]), dtype=torch.bool)), persistent=False)

    def attention(self, i, x):
        b, t, d = x.shape
        q, kv = self.c_attn[i](x).split((d, 2 * self.dh), dim=2)
        k, v = kv.split((self.dh, self.dh), dim=-1)
        q = q.reshape(b, t * self.h, self.dh)
        s = torch.baddbmm(torch.zeros(b, t * self.h, t), q, k.transpose(-1, -2), beta=0, alpha=self.dh ** -0.5)
        s = s.view(b, t, self.h, t)
        s = torch.where(self.bias[None, :t, :t].view(1, t, 1, t), s, torch.full([], torch.finfo(s.dtype).min))
        p = F.softmax(s, dim=-1)
        z = torch.bmm(p.view(b, t * self.h, t), v)
        note_attention(i, q.view(b, t, self.h, -1).transpose(1, 2), k[:, None], v[:, None], s.transpose(1, 2),
                       p.transpose(1, 2), z.view(b, t, self.h, -1).transpose(1, 2))
        return self.c_proj[i](z.view(b, t, d))

    def forward(self, input_ids):
        positions = torch.arange(input_ids.shape[1]).unsqueeze(0)
        x = self.tokens_emb(input_ids) + self.positions_emb(positions)
        for i in range(self.c["layers"]):
            put("resid_pre", i, x)
            x = put("resid_mid", i, self.attention(i, self.norm_1[i](x)) + x)
            x = put("resid_post", i, x + self.down[i](gelu_new(self.up[i](self.norm_2[i](x)))))
        return self.lm_head(self.norm_f(x))
