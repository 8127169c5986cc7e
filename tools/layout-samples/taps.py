"""Small random transformers with taps: what each attention block computes is kept while it is computed, so that a file exported
from the same module has reference values made by PyTorch and by nothing else."""
import json
import math
import os
import warnings

import numpy as np
import onnx
import torch
import torch.nn as nn

_kept = None


def put(site, layer, value):
    """Notes a value of one layer while `capture` runs; free while a module is exported. Returns the value."""
    if _kept is not None:
        _kept[(site, layer)] = value.detach().clone()
    return value


def tapped():
    """True while `capture` runs."""
    return _kept is not None


def capture(model, *args):
    """Runs the model once; returns its outputs and the values noted, by (site, layer)."""
    global _kept
    _kept = {}
    try:
        with torch.no_grad():
            out = model(*args)
        return out, _kept
    finally:
        _kept = None


def randomise(model, seed):
    """Weights large enough that patterns are far from uniform and every bias and scale shows in the logits."""
    g = torch.Generator().manual_seed(seed)
    for name, p in model.named_parameters():
        noise = torch.randn(p.shape, generator=g)
        with torch.no_grad():
            if p.dim() >= 2:
                p.copy_(noise * (1.0 if "emb" in name else 1.5 / math.sqrt(min(p.shape))))
            elif getattr(model, "norm_offset", False) and "norm" in name:
                p.copy_(0.2 * noise)
            elif "norm" in name and name.endswith("weight"):
                p.copy_(1 + 0.2 * noise)
            else:
                p.copy_(0.2 * noise)
    return model.eval()


class LayerNorm(nn.LayerNorm):
    pass


class RMSNorm(nn.Module):
    """The norm of Llama; `offset` makes it Gemma's, whose weight is added to one."""

    def __init__(self, d, eps=1e-6, offset=False, style="rsqrt"):
        super().__init__()
        self.weight, self.eps, self.offset, self.style = nn.Parameter(torch.ones(d)), eps, offset, style

    def forward(self, x):
        mean = x.pow(2).mean(-1, keepdim=True) + self.eps
        if self.style == "rsqrt":
            y = x * torch.rsqrt(mean)
        elif self.style == "pow":
            y = x * torch.pow(mean, -0.5)
        else:
            y = x / torch.sqrt(mean)
        return y * (1.0 + self.weight) if self.offset else self.weight * y


def gelu_new(x):
    return 0.5 * x * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * torch.pow(x, 3.0))))


def split_heads(x, heads):
    """[B, T, heads × dh] → [B, heads, T, dh]"""
    return x.view(x.shape[0], x.shape[1], heads, -1).permute(0, 2, 1, 3)


def join_heads(z):
    """[B, heads, T, dh] → [B, T, heads × dh]"""
    z = z.permute(0, 2, 1, 3).contiguous()
    return z.view(z.shape[0], z.shape[1], z.shape[2] * z.shape[3])


def note_attention(layer, q, k, v, scores, pattern, z):
    for site, value in (("q", q), ("k", k), ("v", v), ("scores", scores), ("pattern", pattern), ("z", z)):
        put(site, layer, value)


def export(model, path, inputs, axes, outputs, opset=14, fold=True):
    """The TorchScript exporter. `inputs`: {name: example}; `axes`: {name: {axis: symbol}}."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(model, tuple(inputs.values()), path, input_names=list(inputs), output_names=list(outputs),
                          dynamic_axes=axes, opset_version=opset, do_constant_folding=fold)


def shorten_names(path):
    """Gives every value and node inside the graph a short name without meaning: files become small, and no reader can lean on names."""
    model = onnx.load(path)
    graph = model.graph
    kept = {v.name for v in (*graph.input, *graph.output)}
    short = {}

    def rename(name):
        if not name or name in kept:
            return name
        return short.setdefault(name, np.base_repr(len(short), 36).lower())

    for node in graph.node:
        node.name, node.doc_string = "", ""
        for names in (node.input, node.output):
            names[:] = [rename(n) for n in names]
        assert not any(a.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS) for a in node.attribute)
    for tensor in graph.initializer:
        tensor.name = rename(tensor.name)
    del graph.value_info[:]
    onnx.checker.check_model(model)
    onnx.save(model, path)


def write_golden(folder, name, expected, runs):
    """runs: [(tokens, logits or None, kept)], one prompt each with batch axis 1. Writes golden.json and golden.bin."""
    index, blobs, offset = [], [], 0
    prompts = []
    for i, (tokens, logits, kept) in enumerate(runs):
        prompts.append({"tokens": [int(t) for t in tokens]})
        values = {f"p{i}.{site}.{layer}": v[0] for (site, layer), v in kept.items()}
        if logits is not None:
            values[f"p{i}.logits"] = logits[0]
        for key, value in values.items():
            a = np.ascontiguousarray(value.detach().numpy().astype("<f4"))
            index.append({"name": key, "shape": list(a.shape), "offset": offset})
            blobs.append(a.tobytes())
            offset += a.nbytes
    with open(os.path.join(folder, "golden.bin"), "wb") as f:
        f.write(b"".join(blobs))
    with open(os.path.join(folder, "golden.json"), "w") as f:
        json.dump({"name": name, "expected": expected, "prompts": prompts, "tensors": index}, f, indent=1)
        f.write("\n")
