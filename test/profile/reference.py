"""Writes expected.json: pattern statistics of golden heads in NumPy. Run: python3 test/profile/reference.py"""
import json
import pathlib

import numpy as np

here = pathlib.Path(__file__).parent
folder = here.parent / "golden" / "induction-2l"
index = json.loads((folder / "golden.json").read_text())
flat = np.fromfile(folder / "golden.bin", "<f4")
tensors = {t["name"]: flat[t["offset"] // 4:(t["offset"] + t["length"]) // 4].reshape(t["shape"]) for t in index["tensors"]}
ids = np.array(index["prompts"][2]["tokens"])  # <bos>, a segment of 16, its first 15 again
tokens = len(ids)
at = np.arange(tokens)
same = (ids[:, None] == ids[None]) & (at[:, None] > at[None])
out = []
for layer in range(2):
    for head, a in enumerate(tensors[f"p2.l{layer}.attn"].astype("f8")):
        s = np.linalg.svd(a, compute_uv=False)
        p = s / s.sum()
        out.append({
            "layer": layer, "head": head,
            "previous": np.diagonal(a, -1).mean(),
            "duplicate": (a * same).sum(1)[same.any(1)].mean(),
            "entropy": -np.where(a > 0, a * np.log2(np.where(a > 0, a, 1)), 0).sum(1).mean(),
            "distance": (a * np.abs(at[:, None] - at[None])).sum(1).mean(),
            "first": a[1:, 0].mean(),
            "singular": s[:3].tolist() + [s[-1]],
            "rank": float(np.exp(-(p * np.log(p)).sum())),
        })
(here / "expected.json").write_text(json.dumps(out) + "\n")
