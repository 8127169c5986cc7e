"""Less usual blocks: disentangled attention (DeBERTa), latent keys and values (DeepSeek), shared layers (ALBERT), einsum, gates."""
import math

import torch
import torch.nn as nn
import torch.nn.functional as F

from taps import LayerNorm, RMSNorm, gelu_new, join_heads, note_attention, put, split_heads


class OddAttention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c, d = c, c["d"]
        self.h, self.dh = c["heads"], d // c["heads"]
        self.style = c["style"]
        if self.style == "latent":
            self.nope, self.pe, self.dv = c["nope"], c["pe"], c["dv"]
            self.q = nn.Linear(d, self.h * (self.nope + self.pe), bias=False)
            self.down_kv, self.norm_kv = nn.Linear(d, c["rank"] + self.pe, bias=False), RMSNorm(c["rank"])
            self.up_kv = nn.Linear(c["rank"], self.h * (self.nope + self.dv), bias=False)
            self.out = nn.Linear(self.h * self.dv, d, bias=False)
        else:
            self.q, self.k, self.v, self.out = (nn.Linear(d, d) for _ in range(4))
        if self.style == "deberta":
            self.relative_emb = nn.Embedding(2 * c["span"], d)
        if self.style == "gated":
            self.gate = nn.Linear(d, d)

    def project(self, x):
        b, t, _ = x.shape
        if self.style == "latent":
            q = self.q(x).view(b, t, self.h, -1).transpose(1, 2)
            latent, pe = self.down_kv(x).split([self.c["rank"], self.pe], dim=-1)
            kv = self.up_kv(self.norm_kv(latent)).view(b, t, self.h, self.nope + self.dv).transpose(1, 2)
            k_nope, v = kv.split([self.nope, self.dv], dim=-1)
            return q, torch.cat((k_nope, pe[:, None].expand(b, self.h, t, self.pe)), dim=-1), v
        return (split_heads(m(x), self.h) for m in (self.q, self.k, self.v))

    def relative_bias(self, q, k, t):
        distance = torch.arange(t)[:, None] - torch.arange(t)[None, :]
        at = torch.clamp(distance + self.c["span"], 0, 2 * self.c["span"] - 1)
        b = q.shape[0]
        rk = split_heads(self.k(self.relative_emb.weight)[None], self.h)
        rq = split_heads(self.q(self.relative_emb.weight)[None], self.h)
        c2p = torch.gather(torch.matmul(q, rk.transpose(-1, -2)), 3, at[None, None].expand(b, self.h, t, t))
        p2c = torch.gather(torch.matmul(k, rq.transpose(-1, -2)), 3, at[None, None].expand(b, self.h, t, t)).transpose(-1, -2)
        return c2p + p2c

    def forward(self, x, layer, mask):
        b, t, d = x.shape
        q, k, v = self.project(x)
        if self.style == "einsum":
            qt, kt, vt = (m.permute(0, 2, 1, 3) for m in (q, k, v))
            s = torch.einsum("bqhd,bkhd->bhqk", qt, kt) * self.dh ** -0.5 + mask
            p = s.softmax(-1)
            z = torch.einsum("bhqk,bkhd->bqhd", p, vt)
            note_attention(layer, q, k, v, s, p, z.permute(0, 2, 1, 3))
            return self.out(z.reshape(b, t, d))
        if self.style == "deberta":
            s = (torch.matmul(q, k.transpose(-1, -2)) + self.relative_bias(q, k, t)) / math.sqrt(3 * self.dh)
            s = s.masked_fill(~(mask > -1), torch.finfo(s.dtype).min)
            p = s.softmax(-1)
            p = p.masked_fill(~(mask > -1), 0)
        elif self.style == "cosine":
            s = torch.matmul(F.normalize(q, dim=-1), F.normalize(k, dim=-1).transpose(-1, -2)) * 8.0 + mask
            p = s.softmax(-1)
        else:
            s = torch.matmul(q, k.transpose(-1, -2)) * q.shape[-1] ** -0.5 + mask
            p = s.softmax(-1)
        z = torch.matmul(p, v)
        if self.style == "cosine":
            q, k = F.normalize(q, dim=-1), F.normalize(k, dim=-1)
        note_attention(layer, q, k, v, s, p, z)
        joined = join_heads(z)
        return self.out(joined * torch.sigmoid(self.gate(x)) if self.style == "gated" else joined)


class OddLayer(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c, self.attn = c, OddAttention(c)
        self.norm_1, self.norm_2, self.norm_3 = LayerNorm(c["d"]), LayerNorm(c["d"]), LayerNorm(c["d"])
        self.up, self.down = nn.Linear(c["d"], c["mlp"]), nn.Linear(c["mlp"], c["d"])
        self.up_2, self.down_2 = nn.Linear(c["d"], c["mlp"]), nn.Linear(c["mlp"], c["d"])
        self.scale = nn.Parameter(torch.ones(c["d"]))

    def forward(self, x, layer, mask):
        put("resid_pre", layer, x)
        a = self.attn(self.norm_1(x), layer, mask)
        x = put("resid_mid", layer, x + (a * self.scale if self.c.get("layer_scale") else a))
        x = x + self.down(gelu_new(self.up(self.norm_2(x))))
        if self.c.get("two_mlps"):
            x = x + self.down_2(F.relu(self.up_2(self.norm_3(x))))
        return put("resid_post", layer, x)


class Odd(nn.Module):
    """`share`: one layer's weights used for every layer."""

    def __init__(self, c):
        super().__init__()
        self.c = c
        wide = c.get("embed", c["d"])
        self.tokens_emb, self.positions_emb = nn.Embedding(c["vocab"], wide), nn.Embedding(c["n"], wide)
        if wide != c["d"]:
            self.widen, self.narrow = nn.Linear(wide, c["d"]), nn.Linear(c["d"], wide, bias=False)
        self.layers = nn.ModuleList([OddLayer(c) for _ in range(1 if c.get("share") else c["layers"])])
        self.norm_f, self.lm_head = LayerNorm(c["d"]), nn.Linear(wide, c["vocab"], bias=False)

    def forward(self, input_ids):
        t = input_ids.shape[1]
        x = self.tokens_emb(input_ids) + self.positions_emb(torch.arange(t))[None]
        if "embed" in self.c:
            x = self.widen(x)
        mask = torch.full((t, t), -1e9).triu(1)[None, None] if self.c.get("causal", True) else torch.zeros(1, 1, t, t)
        for i in range(self.c["layers"]):
            x = self.layers[0 if self.c.get("share") else i](x, i, mask)
        x = self.norm_f(x)
        return self.lm_head(self.narrow(x) if "embed" in self.c else x)
