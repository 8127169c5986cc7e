"""Llama, Mistral, Qwen, Gemma and others that share their shape: RMSNorm, rotary positions, grouped keys and values, gated MLPs."""
import math

import torch
import torch.nn as nn
import torch.nn.functional as F

from parallel import rotate_half
from taps import LayerNorm, RMSNorm, gelu_new, note_attention, put


def repeat_kv(x, n):
    if n == 1:
        return x
    b, g, t, dh = x.shape
    return x[:, :, None, :, :].expand(b, g, n, t, dh).reshape(b, g * n, t, dh)


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c, d = c, c["d"]
        self.h, self.g = c["heads"], c["kv"]
        self.dh = c.get("dh", d // self.h)
        bias = c.get("qkv_bias", False)
        if c.get("fused"):
            self.qkv_proj = nn.Linear(d, (self.h + 2 * self.g) * self.dh, bias=False)
        else:
            self.q_proj = nn.Linear(d, self.h * self.dh, bias=bias)
            self.k_proj, self.v_proj = (nn.Linear(d, self.g * self.dh, bias=bias) for _ in range(2))
        self.o_proj = nn.Linear(self.h * self.dh, d, bias=False)
        if c.get("qk_norm"):
            self.q_norm, self.k_norm = RMSNorm(self.dh), RMSNorm(self.dh)
        if c.get("sinks"):
            self.sinks = nn.Parameter(torch.zeros(self.h))

    def forward(self, x, layer, cos, sin, mask):
        b, t, _ = x.shape
        if self.c.get("fused"):
            q, k, v = self.qkv_proj(x).split([self.h * self.dh, self.g * self.dh, self.g * self.dh], dim=-1)
        else:
            q, k, v = self.q_proj(x), self.k_proj(x), self.v_proj(x)
        q, k, v = q.view(b, t, self.h, self.dh), k.view(b, t, self.g, self.dh), v.view(b, t, self.g, self.dh)
        if self.c.get("qk_norm"):
            q, k = self.q_norm(q), self.k_norm(k)
        q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
        q, k = q * cos + rotate_half(q) * sin, k * cos + rotate_half(k) * sin
        n = self.h // self.g
        scale = self.c.get("scale", self.dh ** -0.5)
        if self.c.get("grouped"):  # no copies of keys and values: queries get an axis of their own instead
            s = torch.matmul(q.view(b, self.g, n, t, self.dh), k[:, :, None].transpose(-1, -2)) * scale + mask[:, :, None]
            p = F.softmax(s, dim=-1)
            z = torch.matmul(p, v[:, :, None]).reshape(b, self.h, t, self.dh)
            s, p = (m.reshape(b, self.h, t, t) for m in (s, p))
        else:
            s = torch.matmul(q, repeat_kv(k, n).transpose(2, 3))
            s = s * scale if "scale" in self.c else s / math.sqrt(self.dh)
            if self.c.get("softcap"):
                s = torch.tanh(s / self.c["softcap"]) * self.c["softcap"]
            s = s + mask[:, :, :, :k.shape[-2]]
            if self.c.get("sinks"):
                joined = torch.cat([s, self.sinks.reshape(1, -1, 1, 1).expand(b, -1, t, -1)], dim=-1)
                joined = joined - joined.max(dim=-1, keepdim=True).values
                p = F.softmax(joined, dim=-1)[..., :-1]
            else:
                p = F.softmax(s, dim=-1, dtype=torch.float32).to(q.dtype)
            z = torch.matmul(p, repeat_kv(v, n))
        note_attention(layer, q, k, v, s, p, z)
        return self.o_proj(z.transpose(1, 2).contiguous().reshape(b, t, self.h * self.dh))


class MLP(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c = c
        if c.get("fused"):
            self.gate_up_proj = nn.Linear(c["d"], 2 * c["mlp"], bias=False)
        else:
            self.gate_proj, self.up_proj = (nn.Linear(c["d"], c["mlp"], bias=False) for _ in range(2))
        self.down_proj = nn.Linear(c["mlp"], c["d"], bias=False)
        self.act = gelu_new if c.get("act") == "gelu" else F.silu

    def forward(self, x):
        gate, up = self.gate_up_proj(x).chunk(2, dim=-1) if self.c.get("fused") else (self.gate_proj(x), self.up_proj(x))
        return self.down_proj(self.act(gate) * up)


class Experts(nn.Module):
    """Mixtral's router with every expert computed for every token: its softmax is no attention."""

    def __init__(self, c):
        super().__init__()
        self.gate, self.n = nn.Linear(c["d"], c["experts"], bias=False), c["experts"]
        self.experts = nn.ModuleList([MLP(c) for _ in range(c["experts"])])

    def forward(self, x):
        weights, chosen = torch.topk(F.softmax(self.gate(x), dim=-1), 2, dim=-1)
        weights = weights / weights.sum(dim=-1, keepdim=True)
        out = torch.zeros_like(x)
        for i, expert in enumerate(self.experts):
            out = out + expert(x) * (weights * (chosen == i).to(x.dtype)).sum(dim=-1, keepdim=True)
        return out


class Layer(nn.Module):
    """`norms`: pre (Llama), sandwich (Gemma 2), after (OLMo 2: the norm stands behind the block, before the addition)."""

    def __init__(self, c):
        super().__init__()
        self.c, self.norms = c, c.get("norms", "pre")
        self.attn, self.mlp = Attention(c), Experts(c) if c.get("experts") else MLP(c)
        make = (lambda: LayerNorm(c["d"])) if c.get("layernorm") else (
            lambda: RMSNorm(c["d"], offset=c.get("offset", False), style=c.get("rms", "rsqrt")))
        self.norm_1, self.norm_2 = make(), make()
        if self.norms == "sandwich":
            self.norm_3, self.norm_4 = make(), make()

    def forward(self, x, layer, cos, sin, mask):
        put("resid_pre", layer, x)
        factor = self.c.get("residual_factor", 1.0)
        scaled = (lambda y: y * factor) if factor != 1.0 else (lambda y: y)
        if self.norms == "after":
            x = put("resid_mid", layer, x + self.norm_1(self.attn(x, layer, cos, sin, mask)))
            return put("resid_post", layer, x + self.norm_2(self.mlp(x)))
        a = self.attn(self.norm_1(x), layer, cos, sin, mask)
        x = put("resid_mid", layer, x + scaled(self.norm_3(a) if self.norms == "sandwich" else a))
        m = self.mlp(self.norm_2(x))
        return put("resid_post", layer, x + scaled(self.norm_4(m) if self.norms == "sandwich" else m))


class Llama(nn.Module):
    """`rope`: computed from positions (inv_freq), or looked up in a stored table; `mask`: how the causal mask is written."""

    def __init__(self, c):
        super().__init__()
        self.c, self.norm_offset = c, c.get("offset", False)
        self.tokens_emb = nn.Embedding(c["vocab"], c["d"])
        self.layers = nn.ModuleList([Layer(c) for _ in range(c["layers"])])
        self.norm_f = LayerNorm(c["d"]) if c.get("layernorm") else RMSNorm(c["d"], offset=self.norm_offset)
        self.lm_head = nn.Linear(c["d"], c["vocab"], bias=False)
        if c.get("tied"):
            self.lm_head.weight = self.tokens_emb.weight
        dh = c.get("dh", c["d"] // c["heads"])
        self.register_buffer("inv_freq", 10000.0 ** -(torch.arange(0, dh, 2).float() / dh), persistent=False)
        if c.get("rope") == "table":
            f = torch.arange(c["n"]).float()[:, None] * self.inv_freq[None]
            self.register_buffer("cos", torch.cat((f, f), -1).cos(), persistent=False)
            self.register_buffer("sin", torch.cat((f, f), -1).sin(), persistent=False)

    def rotary(self, position_ids):
        if self.c.get("rope") == "table":
            return self.cos[position_ids].unsqueeze(1), self.sin[position_ids].unsqueeze(1)
        inv = self.inv_freq[None, :, None].float().expand(position_ids.shape[0], -1, 1)
        f = (inv @ position_ids[:, None, :].float()).transpose(1, 2)
        f = torch.cat((f, f), dim=-1)
        return f.cos()[:, None], f.sin()[:, None]

    def mask(self, input_ids, attention_mask):
        b, t = input_ids.shape
        low = torch.finfo(torch.float32).min
        if self.c.get("mask") == "where":  # indices compared, as newer code does it
            ids = torch.arange(t)
            allowed = (ids[None, :] <= ids[:, None])[None, None] & attention_mask[:, None, None, :].to(torch.bool)
            if self.c.get("window"):
                allowed = allowed & (ids[:, None] - ids[None, :] < self.c["window"])[None, None]
            return torch.where(allowed, torch.zeros(1), torch.full((1,), low))
        if self.c.get("mask") == "triu":
            causal = torch.triu(torch.full((t, t), low), diagonal=1)[None, None, :, :].expand(b, 1, -1, -1).clone()
            padding = causal[:, :, :, :t].eq(0.0) * attention_mask[:, None, None, :].eq(0.0)
            if not self.c.get("inplace"):
                return causal[..., :t].masked_fill(padding, low)
            causal[:, :, :, :t] = causal[:, :, :, :t].masked_fill(padding, low)  # exported as ScatterND
            return causal
        causal = torch.full((t, t), low)
        cond = torch.arange(t)
        causal = causal.masked_fill(cond < (cond + 1).view(t, 1), 0)[None, None].expand(b, 1, t, t)
        padding = 1.0 - attention_mask[:, None, None, :].expand(b, 1, t, t).to(torch.float32)
        return padding.masked_fill(padding.to(torch.bool), low) + causal

    def forward(self, input_ids, attention_mask, position_ids=None):
        if position_ids is None:
            position_ids = torch.arange(0, input_ids.shape[1], dtype=torch.long).unsqueeze(0)
        x = self.tokens_emb(input_ids)
        if self.c.get("embed_factor"):
            x = x * torch.tensor(self.c["embed_factor"], dtype=x.dtype)
        cos, sin = self.rotary(position_ids)
        mask = self.mask(input_ids, attention_mask)
        for i, layer in enumerate(self.layers):
            x = layer(x, i, cos, sin, mask)
        logits = self.lm_head(self.norm_f(x)) / self.c.get("logits_divisor", 1.0)
        if self.c.get("final_softcap"):
            logits = torch.tanh(logits / self.c["final_softcap"]) * self.c["final_softcap"]
        return logits.float()
