"""Encoders: BERT, RoBERTa and DistilBERT as Hugging Face writes them, and PyTorch's own TransformerEncoder."""
import math

import torch
import torch.nn as nn
import torch.nn.functional as F

from taps import LayerNorm, note_attention, put, tapped


class BertLayer(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c, d = c, c["d"]
        self.h, self.dh = c["heads"], d // c["heads"]
        self.query, self.key, self.value, self.dense = (nn.Linear(d, d) for _ in range(4))
        self.norm_1, self.norm_2 = LayerNorm(d, eps=1e-12), LayerNorm(d, eps=1e-12)
        self.up, self.down = nn.Linear(d, c["mlp"]), nn.Linear(c["mlp"], d)

    def split(self, x):
        return x.view(x.size()[:-1] + (self.h, self.dh)).permute(0, 2, 1, 3)

    def forward(self, x, layer, mask):
        put("resid_pre", layer, x)
        q, k, v = self.split(self.query(x)), self.split(self.key(x)), self.split(self.value(x))
        if self.c["style"] == "distilbert":
            s = torch.matmul(q / math.sqrt(self.dh), k.transpose(2, 3))
            empty = (mask == 0).view(x.size(0), 1, 1, k.size(-2)).expand_as(s)
            s = s.masked_fill(empty, torch.tensor(torch.finfo(s.dtype).min))
        else:
            s = torch.matmul(q, k.transpose(-1, -2)) / math.sqrt(self.dh) + mask
        p = F.softmax(s, dim=-1)
        z = torch.matmul(p, v)
        note_attention(layer, q, k, v, s, p, z)
        joined = z.permute(0, 2, 1, 3).contiguous()
        a = self.dense(joined.view(joined.size()[:-2] + (self.h * self.dh,)))
        x = self.norm_1(put("resid_mid", layer, a + x))
        return self.norm_2(put("resid_post", layer, self.down(F.gelu(self.up(x))) + x))


class Bert(nn.Module):
    """`head`: "mlm" gives logits through a transform, "none" the last hidden state and a pooled vector, "labels" two scores a token."""

    def __init__(self, c):
        super().__init__()
        self.c, d = c, c["d"]
        self.word_emb, self.position_emb = nn.Embedding(c["vocab"], d), nn.Embedding(c["n"], d)
        self.type_emb, self.norm_e = nn.Embedding(2, d), LayerNorm(d, eps=1e-12)
        self.layers = nn.ModuleList([BertLayer(c) for _ in range(c["layers"])])
        self.register_buffer("position_ids", torch.arange(c["n"]).unsqueeze(0), persistent=False)
        if c["head"] == "mlm":
            self.transform, self.norm_t = nn.Linear(d, d), LayerNorm(d, eps=1e-12)
            self.decoder = nn.Linear(d, c["vocab"])
            self.decoder.weight = self.word_emb.weight
        else:
            self.out = nn.Linear(d, 2 if c["head"] == "labels" else d)

    def forward(self, input_ids, attention_mask, token_type_ids=None):
        b, t = input_ids.shape
        style = self.c["style"]
        if style == "roberta":
            counted = input_ids.ne(1).int()
            positions = (torch.cumsum(counted, dim=1).type_as(counted) * counted).long() + 1
        else:
            positions = self.position_ids[:, :t]
        x = self.word_emb(input_ids) + self.position_emb(positions)
        if token_type_ids is None and style != "distilbert":
            token_type_ids = torch.zeros(b, t, dtype=torch.long)
        if token_type_ids is not None:
            x = x + self.type_emb(token_type_ids)
        x = self.norm_e(x)
        mask = attention_mask
        if style != "distilbert":
            low = -10000.0 if style == "bert" else torch.finfo(x.dtype).min
            mask = (1.0 - attention_mask[:, None, None, :].to(x.dtype)) * low
        for i, layer in enumerate(self.layers):
            x = layer(x, i, mask)
        if self.c["head"] == "mlm":
            return self.decoder(self.norm_t(F.gelu(self.transform(x))))
        if self.c["head"] == "labels":
            return self.out(x)
        return x, torch.tanh(self.out(x[:, 0]))


class TorchEncoder(nn.Module):
    """nn.TransformerEncoderLayer with learned positions; the stream has positions before batch when `batch_first` is not set."""

    def __init__(self, c):
        super().__init__()
        self.c = c
        self.tokens_emb, self.positions_emb = nn.Embedding(c["vocab"], c["d"]), nn.Embedding(c["n"], c["d"])
        self.layers = nn.ModuleList([
            nn.TransformerEncoderLayer(c["d"], c["heads"], c["mlp"], dropout=0.0, activation=F.gelu,
                                       batch_first=c["batch_first"], norm_first=c["norm_first"])
            for _ in range(c["layers"])])
        self.head = nn.Linear(c["d"], c["vocab"])

    def forward(self, input_ids):
        x = self.tokens_emb(input_ids) + self.positions_emb(torch.arange(input_ids.shape[1]))[None]
        x = x if self.c["batch_first"] else x.transpose(0, 1)
        for i, layer in enumerate(self.layers):
            put("resid_pre", i, x if self.c["batch_first"] else x.transpose(0, 1))
            if tapped():
                y = layer.norm1(x) if self.c["norm_first"] else x
                a, p = layer.self_attn(y, y, y, average_attn_weights=False)
                put("pattern", i, p)
                put("resid_mid", i, (x + a) if self.c["batch_first"] else (x + a).transpose(0, 1))
            x = layer(x)
        return self.head(x if self.c["batch_first"] else x.transpose(0, 1))
