"""Writes expected.json: ACT and VAR on golden patterns in NumPy, whole matrices at a time. Run: python3 test/calibration/reference.py"""
import json
import pathlib

import numpy as np

here = pathlib.Path(__file__).parent
folder = here.parent / "golden" / "sink-delim-2l"
index = json.loads((folder / "golden.json").read_text())
flat = np.fromfile(folder / "golden.bin", "<f4")
tensors = {t["name"]: flat[t["offset"] // 4:(t["offset"] + t["length"]) // 4].reshape(t["shape"]) for t in index["tensors"]}


def act(a, threshold, beta):
    """a [H, T, T]; returns the calibrated patterns and the sink mask [H, T]."""
    tokens = a.shape[-1]
    received = a.sum(1) / (tokens - np.arange(tokens))
    sink = (received > threshold) & (np.arange(tokens) > 0)
    on = a * sink[:, None, :]
    off = a * ~sink[:, None, :]
    freed = (1 - beta) * on.sum(-1, keepdims=True)
    base = off.sum(-1, keepdims=True)
    new = beta * on + off + freed * off / np.where(base > 0, base, 1)
    return np.where(base > 0, new, a), sink


def var(a, sinks, start, end, rho, summ, p):
    """a [H, T, T]; returns the redistributed patterns and the image-centric (head, query) mask."""
    tokens = a.shape[-1]
    at = np.arange(tokens)
    span = (at >= start) & (at < end)
    sink = np.isin(at, sinks)
    m = a[..., span].sum(-1)
    portion = a[..., span & sink].sum(-1) / m
    chosen = (m >= summ) & (portion <= rho) & (at >= end)[None]
    if not (span & sink).any():
        chosen[:] = False
    freed = (1 - p) * a[..., sink].sum(-1, keepdims=True)
    share = a * (span & ~sink) / a[..., span & ~sink].sum(-1, keepdims=True)
    new = np.where(sink, p * a, a) + freed * share
    return np.where(chosen[..., None], new, a), chosen


a0 = tensors["p1.l0.attn"].astype("f8")
a1 = tensors["p1.l1.attn"].astype("f8")
out = {"act": [], "var": []}
for name, pattern, rule, beta in (
    ("l0", a0, {"alpha": 5}, 0.4), ("l0", a0, {"absolute": 0.1}, 0.4), ("l1", a1, {"alpha": 3}, 0.0), ("l1", a1, {"alpha": 3}, 0.75)):
    new, sink = act(pattern, rule.get("absolute", rule.get("alpha", 0) / 24), beta)
    out["act"].append({"pattern": f"p1.{name}.attn", **rule, "beta": beta,
                       "sinks": [np.flatnonzero(s).tolist() for s in sink],
                       "row": 20, "values": np.round(new[:, 20], 9).tolist(), "column": 2, "down": np.round(new[:, :, 2], 9).tolist()})
for name, pattern, sinks, focus, settings in (
    ("l0", a0, [0, 2, 14], (2, 8), {"rho": 0.8, "summ": 0.2, "p": 0.6}), ("l1", a1, [2, 5], (1, 12), {"rho": 0.5, "summ": 0.3, "p": 0.0}),
    ("l1", a1, [0, 14], (1, 12), {"rho": 0.5, "summ": 0.2, "p": 0.6})):
    new, chosen = var(pattern, sinks, *focus, **settings)
    out["var"].append({"pattern": f"p1.{name}.attn", "sinks": sinks, "focus": focus, **settings,
                       "imageCentric": [np.flatnonzero(c).tolist() for c in chosen],
                       "row": 20, "values": np.round(new[:, 20], 9).tolist(), "column": 4, "down": np.round(new[:, :, 4], 9).tolist()})
(here / "expected.json").write_text(json.dumps(out) + "\n")
