"""Writes reference.json/.bin: what the golden data lacks, from plain float64 models.   python3 test/parity/reference.py

Queries, keys (after rotary positions), values and the MLP's output of one layer of one prompt per checkpoint; logits of arbitrary residual
vectors; the same with the final norm's statistics frozen to another vector's.
"""
import os
import sys

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "edits"))
from plain_models import Packed, check  # noqa: E402

CASES = {"induction-2l": (0, 1), "ioi-4l": (2, 3), "llama-tiny": (2, 2), "sink-3l": (1, 2), "sink-delim-2l": (1, 1)}


def frozen(plain, vectors, reference):
    """The unembedding as a linear map: the norm divides by the reference's spread and adds nothing."""
    if plain.llama:
        scale = np.sqrt((reference**2).mean(-1, keepdims=True) + plain.config["rms_norm_eps"])
        return vectors / scale * plain.w["model.norm.weight"] @ plain.unnamed[-1]
    scale = np.sqrt(reference.var(-1, keepdims=True) + 1e-5)
    centred = vectors - vectors.mean(-1, keepdims=True)
    return centred / scale * plain.w["transformer.ln_f.weight"] @ plain.unnamed[-1]


def main():
    packed, document = Packed(), {}
    rng = np.random.default_rng(5)
    for model, (prompt, layer) in CASES.items():
        plain, golden = check(model)
        out = plain.run(golden.prompts[prompt])
        vectors = rng.normal(size=(3, plain.config["hidden_size"])).astype("<f4").astype(float)
        reference = 2 * rng.normal(size=vectors.shape).astype("<f4").astype(float) + 1
        document[model] = {
            "prompt": prompt,
            "layer": layer,
            **{site: packed.put(out[site][layer]) for site in ("q", "k", "v", "mlp")},
            "vectors": packed.put(vectors),
            "reference": packed.put(reference),
            "unembed": packed.put(plain.unembed(vectors)),
            "unembedFrozen": packed.put(frozen(plain, vectors, reference)),
        }
    packed.save(os.path.join(HERE, "reference"), document)


if __name__ == "__main__":
    main()
