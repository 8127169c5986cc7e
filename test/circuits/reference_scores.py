"""Reference for codes and scores: the authors' counting written out in NumPy, and energy scores from the vectors themselves.
Writes scores-reference.json beside this file.   Run: python3 reference_scores.py"""
import json
import os

import numpy as np

POSITIVES, NEGATIVES, HEADS, LATENTS, WIDTH = 11, 9, 7, 6, 5


def unique(rows_pos, rows_neg):
    return len(set(map(tuple, rows_pos.tolist())) - set(map(tuple, rows_neg.tolist())))


def energy(y):
    """mean over positives of E|y - Y-| - E|Y- - Y-'|/2, pairs of different negatives"""
    pos, neg = y[:POSITIVES], y[POSITIVES:]
    cross = np.mean([np.linalg.norm(p - q) for p in pos for q in neg])
    within = np.mean([np.linalg.norm(neg[i] - neg[j]) for i in range(NEGATIVES) for j in range(NEGATIVES) if i != j])
    return float(cross - within / 2)


def main():
    r = np.random.default_rng(11)
    codes = r.integers(0, LATENTS, (POSITIVES + NEGATIVES, HEADS))
    codes[:POSITIVES, 2] = r.integers(0, 3, POSITIVES)       # a head whose codes differ by label
    codes[POSITIVES:, 2] = r.integers(3, 6, NEGATIVES)
    codes[:, 4] = 1                                          # a head with one code only
    activation = r.gamma(2.0, 1.0, codes.shape)
    activation[codes == 5] = 0
    decoder = r.normal(size=(LATENTS, WIDTH))
    unit = 0.5
    encoder = r.normal(size=(LATENTS, WIDTH))
    encoder_bias, bias = r.normal(size=LATENTS), r.normal(size=WIDTH)
    x = r.normal(size=(POSITIVES + NEGATIVES, HEADS, WIDTH))
    x[:POSITIVES, 2] += 2                                    # a head whose outputs differ by label
    x[:, 4] = x[0, 4]                                        # a head that always writes the same
    f = np.maximum(0, (x - bias) @ encoder.T + encoder_bias)
    y = f @ decoder * unit                                   # [prompts, heads, width]
    pos, neg = codes[:POSITIVES], codes[POSITIVES:]
    counts = [unique(pos[:, [h]], neg[:, [h]]) for h in range(HEADS)]
    distinct = [len(set(codes[:, h].tolist())) for h in range(HEADS)]
    pairs = np.zeros((HEADS, HEADS))
    joint = np.zeros((HEADS, HEADS))
    for a in range(HEADS):
        for b in range(HEADS):
            if a != b:
                pairs[a, b] = unique(pos[:, [a, b]], neg[:, [a, b]])
                joint[a, b] = energy(np.concatenate([y[:, a], y[:, b]], axis=1))
    order = np.argsort(pairs.ravel(), kind="stable")[::-1][:HEADS ** 2 // 2]
    votes, weighted = np.zeros(HEADS), np.zeros(HEADS)
    for i in order:
        for h in divmod(int(i), HEADS):
            votes[h] += 1
    strongest = np.argsort(joint.ravel(), kind="stable")[::-1][:HEADS ** 2 // 2]
    for i in strongest:
        for h in divmod(int(i), HEADS):
            weighted[h] += joint.ravel()[i]
    out = {"positives": POSITIVES, "negatives": NEGATIVES, "heads": HEADS, "latents": LATENTS, "width": WIDTH, "unit": unit,
           "codes": codes.ravel().tolist(), "activation": activation.ravel().tolist(),
           "x": x.ravel().tolist(), "encoder": encoder.ravel().tolist(), "encoderBias": encoder_bias.tolist(), "bias": bias.tolist(), "decoder": decoder.ravel().tolist(),
           "counts": counts, "shares": [c / d for c, d in zip(counts, distinct)], "pairs": pairs.ravel().tolist(),
           "votes": votes.tolist(), "energy": [energy(y[:, h]) for h in range(HEADS)], "joint": joint.ravel().tolist(),
           "weightedVotes": weighted.tolist()}
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "scores-reference.json"), "w") as fh:
        json.dump(out, fh)
        fh.write("\n")


if __name__ == "__main__":
    main()
