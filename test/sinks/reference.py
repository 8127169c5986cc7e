"""Writes expected.json: what NumPy says about sinks in the golden data. Run: python3 test/sinks/reference.py"""
import json
import pathlib

import numpy as np

here = pathlib.Path(__file__).parent


def golden(name):
    folder = here.parent / "golden" / name
    index = json.loads((folder / "golden.json").read_text())
    flat = np.fromfile(folder / "golden.bin", "<f4")
    tensors = {t["name"]: flat[t["offset"] // 4:(t["offset"] + t["length"]) // 4].reshape(t["shape"]) for t in index["tensors"]}
    return index["prompts"], tensors


out = {}
for name, layers in (("sink-3l", 3), ("sink-delim-2l", 2)):
    prompts, tensors = golden(name)
    received, causal = [], np.tril(np.ones((24, 24)))
    for layer in range(layers):
        a = tensors[f"p0.l{layer}.attn"].astype("f8")
        received.append((a * causal).sum(1) / causal.sum(0))
    out[name] = {"received": np.round(received, 9).tolist()}
    x = tensors["p0.resid.1"].astype("f8")
    hat = np.abs(x / np.sqrt((x * x).mean(-1, keepdims=True)))
    out[name]["phi"] = {"dims": [3, 43], "values": np.round(hat[:, [3, 43]].max(1), 9).tolist()}
uniform = np.tril(np.ones((24, 24))) / np.arange(1, 25)[:, None]
out["uniform"] = np.round(uniform.sum(0) / np.arange(24, 0, -1), 9).tolist()

rng = np.random.default_rng(3)
values = np.round(rng.normal(size=31), 3)
counts = rng.multinomial(31, [1 / 31] * 31, size=40)
means = counts @ values / 31
out["stats"] = {
    "values": values.tolist(), "counts": counts.ravel().tolist(), "mean": values.mean(), "sd": values.std(ddof=1),
    "quantiles": {q: float(np.quantile(values, float(q))) for q in ("0", "0.1", "0.5", "0.83", "1")},
    "interval": np.quantile(means, [0.025, 0.975]).tolist(),
}
(here / "expected.json").write_text(json.dumps(out) + "\n")
