"""The sample checkpoints as plain float64 NumPy models: weights from model.onnx, every step written out, nothing shared with the program.

`run` returns all internals and takes two hooks, which edit the attention pattern and z where the model computes them.
"""
import json
import os

import numpy as np
import onnx
from onnx import numpy_helper

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def layer_norm(x, weight, bias, eps=1e-5):
    c = x - x.mean(-1, keepdims=True)
    return c / np.sqrt((c**2).mean(-1, keepdims=True) + eps) * weight + bias


def rms_norm(x, weight, eps):
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + eps) * weight


def heads(x, count):
    """[T, count * d] -> [count, T, d]"""
    return x.reshape(len(x), count, -1).transpose(1, 0, 2)


def keep(layer, value, run):
    return value


class Plain:
    def __init__(self, name):
        folder = os.path.join(ROOT, "assets", "checkpoints", name)
        with open(os.path.join(folder, "config.json")) as f:
            self.config = json.load(f)
        graph = onnx.load(os.path.join(folder, "model.onnx")).graph
        self.w = {t.name: numpy_helper.to_array(t).astype(np.float64) for t in graph.initializer}
        # weights that the exporter transposed lost their names; they come in the order in which the model uses them
        self.unnamed = [self.w[t.name] for t in graph.initializer if t.name.startswith("onnx::")]
        self.layers = self.config["num_hidden_layers"]
        self.heads = self.config["num_attention_heads"]
        self.kv = self.config["num_key_value_heads"]
        self.llama = self.config["model_type"] == "llama"

    def run(self, ids, edit_pattern=keep, edit_z=keep):
        out = {"pattern": [], "z": [], "q": [], "k": [], "v": [], "scores": [], "resid_pre": [], "resid_mid": [], "mlp": []}
        x = self.embed(ids)
        for layer in range(self.layers):
            out["resid_pre"].append(x)
            q, k, v, project = self.attention(layer, x)
            for key, value in (("q", q), ("k", k), ("v", v)):
                out[key].append(value)
            group = self.heads // self.kv
            k, v = np.repeat(k, group, 0), np.repeat(v, group, 0)
            scores = q @ k.transpose(0, 2, 1) / np.sqrt(q.shape[-1])
            t = len(ids)
            scores = np.where(np.tril(np.ones((t, t), bool)), scores, -np.inf)
            out["scores"].append(scores)
            pattern = edit_pattern(layer, softmax(scores), out)
            out["pattern"].append(pattern)
            z = edit_z(layer, pattern @ v, out)
            out["z"].append(z)
            x = x + project(z.transpose(1, 0, 2).reshape(t, -1))
            out["resid_mid"].append(x)
            mlp = self.mlp(layer, x)
            out["mlp"].append(mlp)
            x = x + mlp
        out["resid_pre"].append(x)
        out["logits"] = self.unembed(x)
        return out

    def embed(self, ids):
        if self.llama:
            return self.w["model.embed_tokens.weight"][ids]
        return self.w["transformer.wte.weight"][ids] + self.w["transformer.wpe.weight"][: len(ids)]

    def unembed(self, x):
        if self.llama:
            return rms_norm(x, self.w["model.norm.weight"], self.config["rms_norm_eps"]) @ self.unnamed[-1]
        return layer_norm(x, self.w["transformer.ln_f.weight"], self.w["transformer.ln_f.bias"]) @ self.unnamed[-1]

    def attention(self, layer, x):
        """q, k, v per head (k and v per kv head) and the output projection."""
        if self.llama:
            x = rms_norm(x, self.w[f"model.layers.{layer}.input_layernorm.weight"], self.config["rms_norm_eps"])
            wq, wk, wv, wo = self.unnamed[7 * layer : 7 * layer + 4]
            q, k, v = heads(x @ wq, self.heads), heads(x @ wk, self.kv), heads(x @ wv, self.kv)
            return self.rotate(q), self.rotate(k), v, lambda z: z @ wo
        p = f"transformer.h.{layer}."
        x = layer_norm(x, self.w[p + "ln_1.weight"], self.w[p + "ln_1.bias"])
        if p + "attn.c_attn.weight" in self.w:
            q, k, v = np.split(x @ self.w[p + "attn.c_attn.weight"] + self.w[p + "attn.c_attn.bias"], 3, -1)
            wo, bo = self.w[p + "attn.c_proj.weight"], self.w[p + "attn.c_proj.bias"]
        else:
            wq, wk, wv, wo = self.unnamed[4 * layer : 4 * layer + 4]
            q, k, v = (x @ w + self.w[f"{p}attn.{n}_proj.bias"] for w, n in ((wq, "q"), (wk, "k"), (wv, "v")))
            bo = self.w[p + "attn.out_proj.bias"]
        return heads(q, self.heads), heads(k, self.heads), heads(v, self.heads), lambda z: z @ wo + bo

    def rotate(self, x):
        """Rotary positions (Su et al. 2021), the two halves of a head being the two coordinates."""
        d = x.shape[-1]
        frequency = self.config["rope_theta"] ** (-np.arange(0, d, 2) / d)
        angle = np.arange(x.shape[1])[:, None] * frequency
        a, b = x[..., : d // 2], x[..., d // 2 :]
        return np.concatenate([a * np.cos(angle) - b * np.sin(angle), b * np.cos(angle) + a * np.sin(angle)], -1)

    def mlp(self, layer, x):
        if self.llama:
            x = rms_norm(x, self.w[f"model.layers.{layer}.post_attention_layernorm.weight"], self.config["rms_norm_eps"])
            gate, up, down = self.unnamed[7 * layer + 4 : 7 * layer + 7]
            g = x @ gate
            return (g / (1 + np.exp(-g)) * (x @ up)) @ down
        p = f"transformer.h.{layer}."
        if p + "ln_2.weight" not in self.w:
            return np.zeros_like(x)
        x = layer_norm(x, self.w[p + "ln_2.weight"], self.w[p + "ln_2.bias"]) @ self.w[p + "mlp.c_fc.weight"]
        x = x + self.w[p + "mlp.c_fc.bias"]
        x = 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
        return x @ self.w[p + "mlp.c_proj.weight"] + self.w[p + "mlp.c_proj.bias"]


class Golden:
    """test/golden/<name>: what PyTorch computed in float32."""

    def __init__(self, name):
        folder = os.path.join(ROOT, "test", "golden", name)
        with open(os.path.join(folder, "golden.json")) as f:
            index = json.load(f)
        self.prompts = [p["tokens"] for p in index["prompts"]]
        self.data = np.fromfile(os.path.join(folder, "golden.bin"), "<f4")
        self.entries = {t["name"]: t for t in index["tensors"]}

    def __getitem__(self, name):
        t = self.entries[name]
        return self.data[t["offset"] // 4 : (t["offset"] + t["length"]) // 4].reshape(t["shape"])


def check(name):
    """The plain model must be the model: largest difference from the golden tensors."""
    plain, golden = Plain(name), Golden(name)
    worst = 0.0
    for i, ids in enumerate(golden.prompts):
        out = plain.run(ids)
        worst = max(worst, np.abs(out["logits"] - golden[f"p{i}.logits"]).max())
        for layer in range(plain.layers):
            worst = max(worst, np.abs(out["pattern"][layer] - golden[f"p{i}.l{layer}.attn"]).max())
            worst = max(worst, np.abs(out["z"][layer] - golden[f"p{i}.l{layer}.z"]).max())
            worst = max(worst, np.abs(out["resid_pre"][layer + 1] - golden[f"p{i}.resid.{layer + 1}"]).max())
    print(f"{name}: plain model differs from PyTorch by at most {worst:.1e}")
    assert worst < 5e-5
    return plain, golden


class Packed:
    """Arrays in one float32 file; in the JSON each is {"at": first number, "shape": [...]}"""

    def __init__(self):
        self.parts, self.size, self.known = [], 0, {}

    def put(self, array):
        array = np.ascontiguousarray(array, "<f4")
        key = array.tobytes()
        if key in self.known:
            return {"at": self.known[key], "shape": list(array.shape)}
        self.known[key] = self.size
        entry = {"at": self.size, "shape": list(array.shape)}
        self.parts.append(array.ravel())
        self.size += array.size
        return entry

    def save(self, path, document):
        np.concatenate(self.parts).tofile(path + ".bin")
        with open(path + ".json", "w") as f:
            json.dump(document, f, separators=(",", ":"))
            f.write("\n")
        print(f"{os.path.basename(path)}.bin: {self.size * 4 // 1024} KiB of numbers")


if __name__ == "__main__":
    for model in ("induction-2l", "ioi-4l", "llama-tiny", "sink-3l", "sink-delim-2l"):
        check(model)
