"""Llama in PyTorch eager, written as Hugging Face's is (eager attention), with hook points on every pattern and z as TransformerLens has them."""
import torch
import torch.nn.functional as F

THETA = 10000.0
EPSILON = 1e-5


def rotate_half(x):
    half = x.shape[-1] // 2
    return torch.cat((-x[..., half:], x[..., :half]), dim=-1)


def repeat_kv(x, count):
    """[batch, kv heads, T, d_head] to [batch, heads, T, d_head]."""
    batch, heads, tokens, width = x.shape
    return x[:, :, None].expand(batch, heads, count, tokens, width).reshape(batch, heads * count, tokens, width)


class RMSNorm(torch.nn.Module):
    def __init__(self, weight):
        super().__init__()
        self.register_buffer("weight", weight)

    def forward(self, x):
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + EPSILON))


class Linear(torch.nn.Module):
    """The file has matrices as [in, out]; the product is that of torch.nn.Linear over the transposed view, without a copy."""

    def __init__(self, weight):
        super().__init__()
        self.register_buffer("weight", weight.t())

    def forward(self, x):
        return F.linear(x, self.weight)


class Attention(torch.nn.Module):
    def __init__(self, weights, at, heads, kv_heads):
        super().__init__()
        self.heads, self.kv_heads = heads, kv_heads
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            setattr(self, name, Linear(weights[f"{at}.{name}.weight"]))
        self.hook_pattern = torch.nn.Identity()
        self.hook_z = torch.nn.Identity()

    @property
    def c_proj_weight(self):
        """W_O as [heads · d_head, d_model]."""
        return self.o_proj.weight.t()

    def forward(self, x, cos, sin, mask):
        batch, tokens, _ = x.shape
        q = self.q_proj(x).view(batch, tokens, self.heads, -1).transpose(1, 2)
        k = self.k_proj(x).view(batch, tokens, self.kv_heads, -1).transpose(1, 2)
        v = self.v_proj(x).view(batch, tokens, self.kv_heads, -1).transpose(1, 2)
        q, k = q * cos + rotate_half(q) * sin, k * cos + rotate_half(k) * sin
        k, v = repeat_kv(k, self.heads // self.kv_heads), repeat_kv(v, self.heads // self.kv_heads)
        scores = q @ k.transpose(2, 3) * (q.shape[-1] ** -0.5) + mask
        pattern = self.hook_pattern(torch.softmax(scores, dim=-1, dtype=torch.float32))
        z = self.hook_z((pattern @ v).transpose(1, 2))  # [batch, position, head, d_head]
        return self.o_proj(z.reshape(batch, tokens, -1))


class Block(torch.nn.Module):
    def __init__(self, weights, at, heads, kv_heads):
        super().__init__()
        self.attn = Attention(weights, f"{at}.self_attn", heads, kv_heads)
        self.input_layernorm = RMSNorm(weights[f"{at}.input_layernorm.weight"])
        self.post_attention_layernorm = RMSNorm(weights[f"{at}.post_attention_layernorm.weight"])
        for name in ("gate_proj", "up_proj", "down_proj"):
            setattr(self, name, Linear(weights[f"{at}.mlp.{name}.weight"]))

    def forward(self, x, cos, sin, mask):
        x = x + self.attn(self.input_layernorm(x), cos, sin, mask)
        inner = self.post_attention_layernorm(x)
        return x + self.down_proj(F.silu(self.gate_proj(inner)) * self.up_proj(inner))


class Llama(torch.nn.Module):
    """Weights are those of the .onnx file, by name."""

    def __init__(self, weights, heads, kv_heads):
        super().__init__()
        layers = 1 + max(int(name.split(".")[2]) for name in weights if name.startswith("model.layers."))
        self.register_buffer("wte", weights["model.embed_tokens.weight"])
        self.norm = RMSNorm(weights["model.norm.weight"])
        self.blocks = torch.nn.ModuleList(
            [Block(weights, f"model.layers.{i}", heads, kv_heads) for i in range(layers)]
        )
        width = self.wte.shape[1] // heads
        self.register_buffer("inv_freq", THETA ** (-torch.arange(0, width, 2).float() / width))

    def stream(self, ids):
        x = F.embedding(ids, self.wte)
        tokens = ids.shape[1]
        angles = torch.arange(tokens).float()[:, None] * self.inv_freq[None]
        angles = torch.cat((angles, angles), dim=-1)
        cos, sin = angles.cos()[None, None], angles.sin()[None, None]
        mask = torch.triu(torch.full((tokens, tokens), torch.finfo(x.dtype).min), diagonal=1)[None, None]
        for block in self.blocks:
            x = block(x, cos, sin, mask)
        return x

    def forward(self, ids):
        return F.linear(self.norm(self.stream(ids)), self.wte)
