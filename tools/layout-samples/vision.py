"""Models that read no text: a vision transformer, and an encoder of sound features as Whisper's."""
import torch
import torch.nn as nn
import torch.nn.functional as F

from taps import LayerNorm, join_heads, note_attention, put, split_heads


class Layer(nn.Module):
    """Pre-norm attention and MLP without a mask."""

    def __init__(self, c):
        super().__init__()
        self.h, d = c["heads"], c["d"]
        self.query, self.key, self.value, self.out = nn.Linear(d, d), nn.Linear(d, d, bias=c["key_bias"]), nn.Linear(d, d), nn.Linear(d, d)
        self.norm_1, self.norm_2 = LayerNorm(d), LayerNorm(d)
        self.up, self.down = nn.Linear(d, c["mlp"]), nn.Linear(c["mlp"], d)

    def forward(self, x, layer):
        put("resid_pre", layer, x)
        y = self.norm_1(x)
        q, k, v = (split_heads(m(y), self.h) for m in (self.query, self.key, self.value))
        s = torch.matmul(q, k.transpose(-1, -2)) * (q.shape[-1] ** -0.5)
        p = F.softmax(s, dim=-1)
        z = torch.matmul(p, v)
        note_attention(layer, q, k, v, s, p, z)
        x = put("resid_mid", layer, x + self.out(join_heads(z)))
        return put("resid_post", layer, x + self.down(F.gelu(self.up(self.norm_2(x)))))


class Vit(nn.Module):
    """Patches of a picture behind a class token; scores of classes come from the class token."""

    def __init__(self, c):
        super().__init__()
        d = c["d"]
        self.patches = nn.Conv2d(3, d, c["patch"], c["patch"])
        self.class_emb = nn.Parameter(torch.zeros(1, 1, d))
        self.position_emb = nn.Parameter(torch.zeros(1, (c["side"] // c["patch"]) ** 2 + 1, d))
        self.layers = nn.ModuleList([Layer(c) for _ in range(c["layers"])])
        self.norm_f, self.classes = LayerNorm(d), nn.Linear(d, 5)

    def forward(self, pixel_values):
        x = self.patches(pixel_values).flatten(2).transpose(1, 2)
        x = torch.cat((self.class_emb.expand(pixel_values.shape[0], -1, -1), x), dim=1) + self.position_emb
        for i, layer in enumerate(self.layers):
            x = layer(x, i)
        return self.classes(self.norm_f(x)[:, 0])


class SoundEncoder(nn.Module):
    """Two convolutions over frames of features, the second of stride 2, then learned positions."""

    def __init__(self, c):
        super().__init__()
        d = c["d"]
        self.conv_1, self.conv_2 = nn.Conv1d(c["features"], d, 3, padding=1), nn.Conv1d(d, d, 3, stride=2, padding=1)
        self.position_emb = nn.Embedding(c["positions"], d)
        self.layers = nn.ModuleList([Layer(c) for _ in range(c["layers"])])
        self.norm_f = LayerNorm(d)

    def forward(self, input_features):
        x = F.gelu(self.conv_2(F.gelu(self.conv_1(input_features)))).permute(0, 2, 1)
        x = x + self.position_emb.weight
        for i, layer in enumerate(self.layers):
            x = layer(x, i)
        return self.norm_f(x)
