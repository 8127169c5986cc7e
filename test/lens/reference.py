"""Writes expected.json: logit lens and direct logit attribution of two sample checkpoints, computed in float64 from the golden
activations and the weights in their ONNX files. Run: python3 test/lens/reference.py"""
import json
import pathlib

import numpy as np
import onnx
from onnx import numpy_helper

here = pathlib.Path(__file__).parent
root = here.parent.parent
out = {}
for name, norm, weights in (("ioi-4l", "layernorm", ("transformer.ln_f.weight", "transformer.ln_f.bias")),
                            ("llama-tiny", "rmsnorm", ("model.norm.weight", None))):
    folder = here.parent / "golden" / name
    index = json.loads((folder / "golden.json").read_text())
    flat = np.fromfile(folder / "golden.bin", "<f4")
    t = {x["name"]: flat[x["offset"] // 4:(x["offset"] + x["length"]) // 4].reshape(x["shape"]).astype("f8") for x in index["tensors"]}
    graph = onnx.load(str(root / "assets/checkpoints" / name / "model.onnx")).graph
    init = {x.name: numpy_helper.to_array(x).astype("f8") for x in graph.initializer}
    gamma = init[weights[0]]
    beta = init[weights[1]] if weights[1] else np.zeros_like(gamma)
    unembedding = init[graph.node[-1].input[1]]
    eps = 1e-5 if norm == "layernorm" else 1e-6

    def frozen(v, ref):
        if norm == "layernorm":
            return (v - v.mean(-1, keepdims=True)) / np.sqrt(ref.var(-1, keepdims=True) + eps) * gamma @ unembedding
        return v / np.sqrt((ref * ref).mean(-1, keepdims=True) + eps) * gamma @ unembedding

    def log_softmax(x):
        x = x - x.max(-1, keepdims=True)
        return x - np.log(np.exp(x).sum(-1, keepdims=True))

    layers = sum(f"p0.l{i}.attn" in t for i in range(99))
    assert np.abs(frozen(t[f"p0.resid.{layers}"], t[f"p0.resid.{layers}"]) + beta @ unembedding - t["p0.logits"]).max() < 1e-3
    words = json.loads((root / "assets/checkpoints" / name / "tokenizer.json").read_text())["model"]["vocab"]
    ids = index["prompts"][0]["tokens"]
    text = ["<bos>"] + index["prompts"][0]["text"].split()
    answer, distractor = words[text[3]], words[text[5]]
    final = t[f"p0.resid.{layers}"]
    lens = []
    for position in (5, len(ids) - 1):
        last = log_softmax(frozen(final[position], final[position]) + beta @ unembedding)
        for layer in range(layers + 1):
            x = t[f"p0.resid.{layer}"][position]
            logprobs = log_softmax(frozen(x, x) + beta @ unembedding)
            lens.append({"layer": layer, "position": position, "top": np.argsort(-logprobs)[:3].tolist(),
                         "rank": int((logprobs > logprobs[answer]).sum()), "logprob": logprobs[answer],
                         "kl": float((np.exp(last) * (last - logprobs)).sum())})

    def value(v):
        logits = frozen(v, final[-1])
        return logits[..., answer] - logits[..., distractor]

    heads = [value(t[f"p0.l{i}.head_out"][:, -1]).tolist() for i in range(layers)]
    bias = [float(value(t[f"l{i}.attn_out_bias"])) for i in range(layers)]
    rest = [float(value(t[f"p0.resid.{i + 1}"][-1] - t[f"p0.resid.{i}"][-1] - t[f"p0.l{i}.head_out"][:, -1].sum(0))) for i in range(layers)]
    constant = beta @ unembedding
    out[name] = {"norm": norm, "ids": ids, "answer": answer, "distractor": distractor, "lens": lens,
                 "embedding": float(value(t["p0.resid.0"][-1])), "heads": heads, "attentionBias": bias,
                 "mlp": [r - b for r, b in zip(rest, bias)], "constant": float(constant[answer] - constant[distractor]),
                 "logitDifference": float(t["p0.logits"][-1, answer] - t["p0.logits"][-1, distractor])}
(here / "expected.json").write_text(json.dumps(out) + "\n")
