"""Writes layout samples: one folder each with model.onnx and reference values of two prompts.

    python3 make.py OUT [NAME ...]     all of zoo.py when no name is given

PyTorch 1.13, onnx 1.12, numpy. Weights are random with a fixed seed.
"""
import os
import sys

import torch

from taps import capture, export, randomise, shorten_names, write_golden
from zoo import IDS, MASK, POS, TYPES, ZOO

LENGTHS = (6, 9)
SOURCE = 5


def feeds(names, tokens, d):
    """Example inputs by name: prompts have no padding; hidden states of an encoder are random but fixed."""
    b, t = tokens.shape
    g = torch.Generator().manual_seed(7)
    all_of = {
        IDS: tokens,
        MASK: torch.ones(b, t, dtype=torch.long),
        TYPES: torch.zeros(b, t, dtype=torch.long),
        POS: torch.arange(t)[None].expand(b, t).contiguous(),
        "states": torch.randn(b, SOURCE, d, generator=g),
        "source_mask": torch.ones(b, SOURCE, dtype=torch.long),
    }
    return {RENAMED.get(n, n): all_of[n] for n in names}


def raw_feeds(names, c, batch, seed):
    """Pictures or sounds: random numbers."""
    g = torch.Generator().manual_seed(seed)
    return {n: torch.randn(batch, *c["input"], generator=g) for n in names}


RENAMED = {"states": "encoder_hidden_states", "source_mask": "encoder_attention_mask"}


def make(name, root):
    kind, c, names, opset, expected = ZOO[name]
    model = randomise(kind(c), sum(map(ord, name)))
    folder = os.path.join(root, name)
    os.makedirs(folder, exist_ok=True)
    g = torch.Generator().manual_seed(3)
    size = c.get("static", (2, 7))
    raw = "input" in c
    example = raw_feeds(names, c, 2, 5) if raw else feeds(names, torch.randint(3, c["vocab"], size, generator=g), c["d"])
    axes = {n: {i: f"{n}_{i}" for i in range(x.dim())} for n, x in example.items()} if raw else {}
    for n in example if "static" not in c and not raw else ():
        other = "encoder_sequence_length" if n.startswith("encoder") else "sequence_length"
        axes[n] = {0: "batch_size", 1: other}
    outputs = ["logits"]
    if c.get("outputs_all"):
        outputs += [f"hidden_states.{i}" for i in range(c["layers"])] + [f"attentions.{i}" for i in range(c["layers"])]
    export(model, os.path.join(folder, "model.onnx"), example, axes, outputs, opset, fold="nofold" not in name)
    shorten_names(os.path.join(folder, "model.onnx"))
    runs = []
    if raw:
        given = raw_feeds(names, c, 1, 6)
        out, kept = capture(model, *given.values())
        runs.append((range(kept[("pattern", 0)].shape[-1]), None, kept))
        expected = {**expected, "inputs": {n: {"dims": list(x.shape), "data": x.flatten().tolist()} for n, x in given.items()}}
    for length in () if raw else (c["static"][1], c["static"][1] - 2) if "static" in c else LENGTHS:
        tokens = torch.randint(3, c["vocab"], (1, length), generator=g)
        out, kept = capture(model, *feeds(names, tokens, c["d"]).values())
        logits = None if expected.get("unembedding") is False else (out[0] if isinstance(out, tuple) else out)
        runs.append((tokens[0], logits, kept))
    find = {"layers": len([k for k in runs[0][2] if k[0] == "pattern"]) or c["layers"], "heads": c["heads"],
            "kvHeads": c["heads"], "headDim": c.get("dv", c.get("dh", c["d"] // c["heads"])), "dModel": c["d"], **expected}
    if "states" in names:
        find["source"] = feeds(names, tokens, c["d"])["encoder_hidden_states"][0].flatten().tolist()
    write_golden(folder, name, find, runs)


if __name__ == "__main__":
    for name in sys.argv[2:] or ZOO:
        make(name, sys.argv[1])
        print(name, os.path.getsize(os.path.join(sys.argv[1], name, "model.onnx")))
