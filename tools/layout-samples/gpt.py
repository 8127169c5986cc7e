"""Decoders in the manner of GPT-2 and its relatives, written as Hugging Face's modelling code writes them."""
import math

import torch
import torch.nn as nn
import torch.nn.functional as F

from taps import LayerNorm, gelu_new, join_heads, note_attention, put, split_heads


class Conv1D(nn.Module):
    """addmm over flattened positions, as Hugging Face's GPT-2 has it: exported as Reshape, Gemm, Reshape."""

    def __init__(self, nin, nout):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.zeros(nin, nout)), nn.Parameter(torch.zeros(nout))

    def forward(self, x):
        out = torch.addmm(self.bias, x.view(-1, x.size(-1)), self.weight)
        return out.view(x.size()[:-1] + (self.bias.shape[0],))


class GPT2Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c, self.d = c, c["d"]
        self.c_attn, self.c_proj = Conv1D(self.d, 3 * self.d), Conv1D(self.d, self.d)
        n = c["n"]
        self.register_buffer("bias", torch.tril(torch.ones((n, n), dtype=torch.bool)).view(1, 1, n, n), persistent=False)

    def qkv(self, x):
        h, dh = self.c["heads"], self.d // self.c["heads"]
        y = self.c_attn(x)
        style = self.c.get("qkv", "split")
        if style == "split":
            return [split_heads(p, h) for p in y.split(self.d, dim=2)]
        if style == "slice":
            return [split_heads(y[..., i * self.d:(i + 1) * self.d], h) for i in range(3)]
        if style == "chunk":
            return [split_heads(p, h) for p in y.chunk(3, dim=-1)]
        y = y.view(x.shape[0], x.shape[1], 3, h, dh).permute(2, 0, 3, 1, 4)
        return y[0], y[1], y[2]

    def forward(self, x, layer, mask):
        q, k, v = self.qkv(x)
        style = self.c.get("scores", "gpt2")
        queries, keys = q.size(-2), k.size(-2)
        if style == "sdpa":  # what PyTorch 2's exporter makes of scaled_dot_product_attention(is_causal=True)
            root = math.sqrt(math.sqrt(q.size(-1)))
            allowed = torch.ones(queries, keys, dtype=torch.bool).tril(0)
            add = torch.zeros(queries, keys).masked_fill(~allowed, float("-inf"))
            s = torch.matmul(q / root, (k / root).transpose(-1, -2)) + add
            p = torch.softmax(s, -1)
            used = torch.where(torch.isnan(p), torch.zeros_like(p), p)
        elif style == "einsum":
            s = torch.einsum("bhqd,bhkd->bhqk", q, k) / math.sqrt(q.size(-1))
            s = s.masked_fill(~self.bias[:, :, :queries, :keys], -1e9)
            used = p = torch.softmax(s, -1)
        else:
            s = torch.matmul(q, k.transpose(-1, -2)) / torch.full([], v.size(-1) ** 0.5, dtype=v.dtype)
            causal = self.bias[:, :, keys - queries:keys, :keys]
            s = torch.where(causal, s.to(v.dtype), torch.full([], torch.finfo(s.dtype).min, dtype=s.dtype))
            if mask is not None:
                s = s + mask
            used = p = F.softmax(s, dim=-1).type(v.dtype)
        z = torch.einsum("bhqk,bhkd->bhqd", used, v) if style == "einsum" else torch.matmul(used, v)
        note_attention(layer, q, k, v, s, p, z)
        return self.c_proj(join_heads(z)), p


class GPT2Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.norm_1, self.attn, self.norm_2 = LayerNorm(c["d"]), GPT2Attention(c), LayerNorm(c["d"])
        self.c_fc, self.c_proj = Conv1D(c["d"], c["mlp"]), Conv1D(c["mlp"], c["d"])

    def forward(self, x, layer, mask):
        a, p = self.attn(self.norm_1(put("resid_pre", layer, x)), layer, mask)
        x = put("resid_mid", layer, a + x)
        return put("resid_post", layer, x + self.c_proj(gelu_new(self.c_fc(self.norm_2(x))))), p


class GPT2(nn.Module):
    """`inputs` are those of the usual exports: attention_mask and position_ids are optional."""

    def __init__(self, c):
        super().__init__()
        self.c = c
        self.wte_emb, self.wpe_emb = nn.Embedding(c["vocab"], c["d"]), nn.Embedding(c["n"], c["d"])
        self.h = nn.ModuleList([GPT2Block(c) for _ in range(c["layers"])])
        self.norm_f = LayerNorm(c["d"])
        self.lm_head = nn.Linear(c["d"], c["vocab"], bias=False)
        if c.get("tied", True):
            self.lm_head.weight = self.wte_emb.weight

    def forward(self, input_ids, attention_mask=None, position_ids=None):
        if position_ids is None:
            position_ids = torch.arange(0, input_ids.shape[-1], dtype=torch.long).unsqueeze(0)
        x = self.wte_emb(input_ids) + self.wpe_emb(position_ids)
        mask = None
        if attention_mask is not None:
            mask = attention_mask.view(input_ids.shape[0], -1)[:, None, None, :].to(x.dtype)
            mask = (1.0 - mask) * torch.finfo(x.dtype).min
        states, patterns = [], []
        for layer, block in enumerate(self.h):
            states.append(x)
            x, p = block(x, layer, mask)
            patterns.append(p)
        logits = self.lm_head(self.norm_f(x))
        return (logits, *states, *patterns) if self.c.get("outputs_all") else logits


class OPTAttention(nn.Module):
    """Queries scaled right after the projection; heads merged into the batch, as BART's decoder has it too."""

    def __init__(self, c):
        super().__init__()
        self.h, self.dh = c["heads"], c["d"] // c["heads"]
        self.q_proj, self.k_proj = nn.Linear(c["d"], c["d"]), nn.Linear(c["d"], c["d"])
        self.v_proj, self.out_proj = nn.Linear(c["d"], c["d"]), nn.Linear(c["d"], c["d"])

    def shape(self, x, b):
        return x.view(b, -1, self.h, self.dh).transpose(1, 2).contiguous()

    def forward(self, x, layer, mask, source=None):
        b, t, d = x.size()
        q = self.q_proj(x)
        k = self.shape(self.k_proj(x if source is None else source), b)
        v = self.shape(self.v_proj(x if source is None else source), b)
        merged = (b * self.h, -1, self.dh)
        s = torch.bmm(self.shape(q * self.dh ** -0.5, b).view(*merged), k.view(*merged).transpose(1, 2))
        if mask is not None:
            s = s.view(b, self.h, t, k.size(2)) + mask
            s = torch.max(s, torch.tensor(torch.finfo(s.dtype).min))
            s = s.view(b * self.h, t, k.size(2))
        p = F.softmax(s, dim=-1)
        z = torch.bmm(p, v.view(*merged)).view(b, self.h, t, self.dh)
        square = (b, self.h, t, k.size(2))
        note_attention(layer, self.shape(q, b), k, v, s.view(*square), p.view(*square), z)
        return self.out_proj(z.transpose(1, 2).reshape(b, t, d))


class OPTLayer(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.pre, self.attn = c.get("pre_norm", True), OPTAttention(c)
        self.norm_1, self.norm_2 = LayerNorm(c["d"]), LayerNorm(c["d"])
        self.fc1, self.fc2 = nn.Linear(c["d"], c["mlp"]), nn.Linear(c["mlp"], c["d"])

    def forward(self, x, layer, mask):
        put("resid_pre", layer, x)
        x = put("resid_mid", layer, x + self.attn(self.norm_1(x) if self.pre else x, layer, mask))
        if not self.pre:
            x = self.norm_1(x)
        shape = x.shape
        x = x.reshape(-1, x.size(-1))
        y = self.norm_2(x) if self.pre else x
        x = (x + self.fc2(F.relu(self.fc1(y)))).view(shape)
        put("resid_post", layer, x)
        return x if self.pre else self.norm_2(x)


class OPT(nn.Module):
    """Positions counted along the attention mask, two rows of the table reserved."""

    def __init__(self, c):
        super().__init__()
        self.c = c
        self.tokens_emb, self.positions_emb = nn.Embedding(c["vocab"], c["d"]), nn.Embedding(c["n"] + 2, c["d"])
        self.layers = nn.ModuleList([OPTLayer(c) for _ in range(c["layers"])])
        if c.get("pre_norm", True):
            self.norm_f = LayerNorm(c["d"])
        self.lm_head = nn.Linear(c["d"], c["vocab"], bias=False)
        self.lm_head.weight = self.tokens_emb.weight

    def forward(self, input_ids, attention_mask):
        b, t = input_ids.shape
        counted = attention_mask.long()
        positions = (torch.cumsum(counted, dim=1).type_as(counted) * counted).long() - 1
        x = self.tokens_emb(input_ids) + self.positions_emb(positions + 2)
        low = torch.finfo(x.dtype).min
        causal = torch.full((t, t), low)
        cond = torch.arange(t)
        causal = causal.masked_fill(cond < (cond + 1).view(t, 1), 0)[None, None].expand(b, 1, t, t)
        padding = 1.0 - attention_mask[:, None, None, :].expand(b, 1, t, t).to(x.dtype)
        mask = padding.masked_fill(padding.to(torch.bool), low) + causal
        for layer, block in enumerate(self.layers):
            x = block(x, layer, mask)
        return self.lm_head(self.norm_f(x) if self.c.get("pre_norm", True) else x).contiguous()
