"""Writes fresh-prompts.json: unseen text of the language that the two sink checkpoints were trained on (Bigram-Backcopy, after
Guo et al. 2024). Markov text over 64 symbols; after a trigger the next token repeats the token before it.
Run: python3 test/sinks/fresh_prompts.py"""
import json
import pathlib

import numpy as np

SPECIALS = 3
SYMBOLS = 64
TRIGGERS = np.array([4, 8, 19])


def transitions(seed, delimiter, rate, restarts):
    rng = np.random.default_rng(np.random.default_rng(seed).integers(1 << 30))
    popular = rng.dirichlet(np.full(SYMBOLS, 0.9)) + 0.2 / SYMBOLS
    p = rng.gamma(0.35, 1.0, size=(SYMBOLS, SYMBOLS)) * popular[None]
    p /= p.sum(1, keepdims=True)
    boost = np.zeros(SYMBOLS)
    boost[TRIGGERS] = 1 / len(TRIGGERS)
    p = (0.85 * p + 0.15 * boost[None]) * (1 - rate)
    p[:, delimiter] += rate
    p /= p.sum(1, keepdims=True)
    if restarts:  # the delimiter comes once, from outside the table
        p[:, delimiter] = 0
        p /= p.sum(1, keepdims=True)
    return p


def text(p, rng, length, delimiter, restarts):
    """One sequence of symbols. With `restarts` the delimiter stands at position 2 to 6 and the text starts anew behind it."""
    where = rng.integers(2, 7) if restarts else -1
    symbols = SYMBOLS - 1 if restarts else SYMBOLS
    out = [rng.integers(symbols)]
    while len(out) < length:
        t = len(out)
        before = out[-2] if t >= 2 else None
        if t == where:
            out.append(delimiter)
        elif t == where + 1 and restarts:
            out.append(rng.integers(symbols))
        elif out[-1] in TRIGGERS and before is not None and not (restarts and before == delimiter):
            out.append(before)
        else:
            out.append(rng.choice(SYMBOLS, p=p[out[-1]]))
    return [int(s) + SPECIALS for s in out]


rng = np.random.default_rng(901)
bos = transitions(11, 62, 0.1, False)
delim = transitions(16, 63, 0.0, True)
(pathlib.Path(__file__).parent / "fresh-prompts.json").write_text(json.dumps({
    "sink-3l": [[0] + text(bos, rng, 63, 62, False) for _ in range(32)],
    "sink-delim-2l": [text(delim, rng, 48, 63, True) for _ in range(32)],
}) + "\n")
