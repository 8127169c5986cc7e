"""Writes reference.json/.bin: what edits do to sample models, computed with plain float64 models.   python3 test/edits/reference.py

Each case is one prompt with edits, written as the program takes them (arrays in the .bin), and the result: logits of the last token, the
edited heads' patterns and z.
"""
import os

import numpy as np

from methods import edit_pattern, edit_z
from plain_models import Packed, check

HERE = os.path.dirname(os.path.abspath(__file__))


def head(layer, number):
    return {"layer": layer, "head": number}


def cases_of(name, plain, golden):
    """name of the case, prompt, edits"""
    layers, last = plain.layers, plain.layers - 1
    prompt = 0
    ids = golden.prompts[prompt]
    t = len(ids)
    z = lambda p, layer, h: golden[f"p{p}.l{layer}.z"][h]  # noqa: E731
    rng = np.random.default_rng(11)
    lower = np.tril(np.ones((t, t)))
    uniform = lower / lower.sum(-1, keepdims=True)
    random = rng.random((t, t)) * lower
    random /= random.sum(-1, keepdims=True)
    no_first_token = np.ones((t, t))
    no_first_token[:, 0] = 0  # the first query can see nothing else and keeps its row
    window = lower - np.tril(np.ones((t, t)), -4)  # a sliding window of 4
    yield "zero ablation", prompt, [{"kind": "z", **head(1, 3), "scale": 0}]
    yield "zero ablation of a layer", prompt, [{"kind": "z", **head(0, h), "scale": 0} for h in range(plain.heads)]
    yield "mean ablation", prompt, [{"kind": "z", **head(0, 2), "scale": 0, "add": z(1, 0, 2).mean(0)}]
    yield "scaling", prompt, [{"kind": "z", **head(last, 1), "scale": 2.5}, {"kind": "z", **head(0, 0), "scale": -0.5}]
    yield "patching at some positions", prompt, [
        {"kind": "z", **head(1, 1), "scale": 0, "add": z(1, 1, 1)[:t], "positions": [3, t - 1]},
        {"kind": "z", **head(last, 0), "scale": 0, "add": z(1, last, 0)[:t], "positions": [t - 2, t - 1]},
    ]
    yield "steering", prompt, [{"kind": "z", **head(0, 1), "scale": 1, "add": rng.normal(size=z(0, 0, 1).shape[1])}]
    yield "pattern replaced at chosen queries", prompt, [
        {"kind": "pattern", **head(1, 2), "scale": 0, "add": uniform, "positions": [2, 5, t - 1]}
    ]
    yield "pattern blended", prompt, [{"kind": "pattern", **head(0, 3), "scale": 0.25, "add": 0.75 * random}]
    yield "first token forbidden", prompt, [{"kind": "mask", **head(1, 0), "allowed": no_first_token}]
    yield "window", prompt, [{"kind": "mask", **head(l, h), "allowed": window} for l in range(layers) for h in (0, 2)]
    yield "ACT by alpha", prompt, [{"kind": "act", **head(l, h), "alpha": 1.6, "beta": 0.4} for l in range(1, layers) for h in range(plain.heads)]
    yield "ACT absolute", prompt, [{"kind": "act", **head(0, h), "absolute": 0.1, "beta": 0.4} for h in (0, 1)]
    yield "ACT leaves rows that are on sinks alone", prompt, [
        {"kind": "pattern", **head(1, 1), "scale": 0, "add": np.eye(t)[[2] * t], "positions": list(range(4, t, 2))},
        {"kind": "act", **head(1, 1), "absolute": 0.3, "beta": 0.4},
    ]
    yield "VAR", *var_case(plain, golden, 1)
    yield "VAR of every head", *var_case(plain, golden, last, every=True)
    yield "everything in one head and others elsewhere", prompt, [
        {"kind": "z", **head(0, 3), "scale": 0.5},
        {"kind": "pattern", **head(1, 1), "scale": 0.5, "add": 0.5 * uniform},
        {"kind": "mask", **head(1, 1), "allowed": window},
        {"kind": "act", **head(1, 1), "alpha": 1.1, "beta": 0.4},
        {"kind": "z", **head(1, 1), "scale": 0.5, "positions": [1, t - 1]},
        {"kind": "z", **head(1, 1), "scale": 3, "add": z(1, 1, 1).mean(0)},
        {"kind": "mask", **head(last, 0), "allowed": no_first_token},
        {"kind": "act", **head(last, 3), "absolute": 0.08, "beta": 0.1},
    ]


def var_case(plain, golden, layer, every=False):
    """Sink dimensions and a threshold that make some tokens of the span sinks and others not."""
    prompt = 1
    ids = golden.prompts[prompt]
    focus = [1, len(ids) // 2]
    x = golden[f"p{prompt}.resid.{layer}"].astype(float)
    x = np.abs(x / np.sqrt((x**2).mean(-1, keepdims=True)))
    inside = x[focus[0] : focus[1]]
    # the dimensions in which the span's tokens differ most; between the second and the third largest token lies the threshold
    dims = np.argsort(inside.max(0) - np.median(inside, 0))[-2:].tolist()
    phi = np.sort(inside[:, dims].max(-1))
    tau = round(float((phi[-2] + phi[-3]) / 2), 4)
    settings = {"dims": dims, "tau": tau, "rho": 0.8, "summ": 0.1, "p": 0.6, "focus": focus}
    heads = range(plain.heads) if every else (0, 3)
    return prompt, [{"kind": "var", **head(layer, h), **settings} for h in heads]


def run_case(plain, ids, edits, report):
    of = lambda layer, h: [e for e in edits if e["layer"] == layer and e["head"] == h]  # noqa: E731
    return plain.run(
        ids,
        lambda l, a, run: np.stack([edit_pattern(a[h], of(l, h), run["resid_pre"][l], report) for h in range(plain.heads)]),
        lambda l, z, run: np.stack([edit_z(z[h], of(l, h)) for h in range(plain.heads)]),
    )


def main():
    packed, document = Packed(), []
    for name in ("ioi-4l", "llama-tiny", "sink-3l", "sink-delim-2l"):
        plain, golden = check(name)
        for title, prompt, edits in cases_of(name, plain, golden):
            # the program gets float32 numbers, so the reference does too
            edits = [{k: v.astype("<f4").astype(float) if isinstance(v, np.ndarray) else v for k, v in e.items()} for e in edits]
            report = []
            before, out = plain.run(golden.prompts[prompt]), run_case(plain, golden.prompts[prompt], edits, report)
            moved = np.abs(out["logits"][-1] - before["logits"][-1]).max()
            inside = max(np.abs(out[s][e["layer"]] - before[s][e["layer"]]).max() for s in ("pattern", "z") for e in edits)
            print(f"{name}, {title}: logits move by {moved:.2g}, pattern or z by {inside:.2g}; {'; '.join(report)}")
            assert moved > 1e-4 and inside > 0.01, "a case that changes nothing shows nothing"
            edited = sorted({(e["layer"], e["head"]) for e in edits})[:3]
            document.append({
                "model": name,
                "title": title,
                "prompt": prompt,
                "edits": [{k: packed.put(v) if isinstance(v, np.ndarray) else v for k, v in e.items()} for e in edits],
                "logits": packed.put(out["logits"][-1]),
                "heads": [
                    {**head(l, h), "pattern": packed.put(out["pattern"][l][h]), "z": packed.put(out["z"][l][h])} for l, h in edited
                ],
            })
    packed.save(os.path.join(HERE, "reference"), document)


if __name__ == "__main__":
    main()
