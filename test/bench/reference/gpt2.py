"""GPT-2 in PyTorch eager, written as Hugging Face's is, with hook points on every pattern and z as TransformerLens has them."""
import math

import torch
import torch.nn.functional as F


class Attention(torch.nn.Module):
    def __init__(self, weights, at, heads, mask):
        super().__init__()
        self.heads = heads
        for name in ("c_attn.weight", "c_attn.bias", "c_proj.weight", "c_proj.bias"):
            self.register_buffer(name.replace(".", "_"), weights[f"{at}.{name}"])
        self.register_buffer("mask", mask)
        self.hook_pattern = torch.nn.Identity()
        self.hook_z = torch.nn.Identity()

    def forward(self, x):
        batch, tokens, width = x.shape
        qkv = torch.addmm(self.c_attn_bias, x.reshape(-1, width), self.c_attn_weight)
        q, k, v = (
            part.view(batch, tokens, self.heads, -1).permute(0, 2, 1, 3)
            for part in qkv.view(batch, tokens, 3 * width).split(width, dim=2)
        )
        scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
        scores = torch.where(self.mask[:tokens, :tokens], scores, torch.finfo(scores.dtype).min)
        pattern = self.hook_pattern(torch.softmax(scores, dim=-1))
        z = self.hook_z((pattern @ v).transpose(1, 2))  # [batch, position, head, d_head]
        out = torch.addmm(self.c_proj_bias, z.reshape(-1, width), self.c_proj_weight)
        return out.view(batch, tokens, width)


def gelu_new(x):
    return 0.5 * x * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * torch.pow(x, 3.0))))


class Block(torch.nn.Module):
    def __init__(self, weights, at, heads, mask):
        super().__init__()
        self.attn = Attention(weights, f"{at}.attn", heads, mask)
        for name in ("ln_1.weight", "ln_1.bias", "ln_2.weight", "ln_2.bias",
                     "mlp.c_fc.weight", "mlp.c_fc.bias", "mlp.c_proj.weight", "mlp.c_proj.bias"):
            self.register_buffer(name.replace(".", "_"), weights[f"{at}.{name}"])

    def forward(self, x):
        width = x.shape[-1:]
        x = x + self.attn(F.layer_norm(x, width, self.ln_1_weight, self.ln_1_bias))
        flat = F.layer_norm(x, width, self.ln_2_weight, self.ln_2_bias).reshape(-1, x.shape[-1])
        hidden = gelu_new(torch.addmm(self.mlp_c_fc_bias, flat, self.mlp_c_fc_weight))
        return x + torch.addmm(self.mlp_c_proj_bias, hidden, self.mlp_c_proj_weight).view(x.shape)


class Gpt2(torch.nn.Module):
    """Weights are those of the .onnx file, by name."""

    def __init__(self, weights, heads):
        super().__init__()
        layers = 1 + max(int(name.split(".")[2]) for name in weights if name.startswith("transformer.h."))
        self.register_buffer("wte", weights["transformer.wte.weight"])
        self.register_buffer("wpe", weights["transformer.wpe.weight"])
        self.register_buffer("ln_f_weight", weights["transformer.ln_f.weight"])
        self.register_buffer("ln_f_bias", weights["transformer.ln_f.bias"])
        self.register_buffer("head", weights["lm_head.weight"].t() if "lm_head.weight" in weights else self.wte)
        context = self.wpe.shape[0]
        mask = torch.tril(torch.ones(context, context, dtype=torch.bool))
        self.blocks = torch.nn.ModuleList(
            [Block(weights, f"transformer.h.{i}", heads, mask) for i in range(layers)]
        )

    def stream(self, ids):
        x = F.embedding(ids, self.wte) + self.wpe[: ids.shape[1]]
        for block in self.blocks:
            x = block(x)
        return x

    def forward(self, ids):
        x = self.stream(ids)
        return F.linear(F.layer_norm(x, x.shape[-1:], self.ln_f_weight, self.ln_f_bias), self.head)
