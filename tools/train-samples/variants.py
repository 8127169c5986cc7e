"""Other ways an exporter can write the same trained GPT-2-style model.
Run: python3 variants.py WEIGHTS.pt OUT_DIR   (weights: the state dict saved by train_lang.py with HS_WEIGHTS=dir)

  optimum-past   attention_mask / position_ids / past_key_values inputs, present.* outputs (torch export)
  ms-mha         com.microsoft MultiHeadAttention fused op, bias inside the op
  external-data  the plain export with its weights in model.onnx_data
"""
import json
import math
import os
import shutil
import sys
import warnings

import numpy as np
import onnx
import torch
import torch.nn as nn
from onnx import TensorProto, helper, numpy_helper

import hs_common as hs


# --------------------------------------------------------------------------- a small graph writer
class G:
    def __init__(self):
        self.nodes, self.inits, self.k = [], [], 0

    def init(self, name, a):
        if not any(i.name == name for i in self.inits):
            self.inits.append(numpy_helper.from_array(np.ascontiguousarray(a), name))
        return name

    def i64(self, *v, scalar=False):
        self.k += 1
        return self.init(f"c_i64_{self.k}", np.array(v[0] if scalar else v, dtype=np.int64))

    def f32(self, v):
        self.k += 1
        return self.init(f"c_f32_{self.k}", np.array(v, dtype=np.float32))

    def op(self, kind, ins, name=None, n=1, domain="", outs=None, **attrs):
        self.k += 1
        name = name or f"{kind}_{self.k}"
        outs = outs or ([f"{name}_output_{i}" for i in range(n)])
        self.nodes.append(helper.make_node(kind, ins, outs, name=name, domain=domain, **attrs))
        return outs[0] if len(outs) == 1 else outs

    def model(self, inputs, outputs, opset, domains=(), ir=8, name="main_graph", producer="headscope-toy"):
        g = helper.make_graph(self.nodes, name, inputs, outputs, self.inits)
        ops = [helper.make_opsetid("", opset)] + [helper.make_opsetid(d, 1) for d in domains]
        m = helper.make_model(g, opset_imports=ops, producer_name=producer)
        m.ir_version = ir
        return m


def vi(name, t, shape):
    return helper.make_tensor_value_info(name, t, shape)


IDS = lambda: vi("input_ids", TensorProto.INT64, ["batch_size", "sequence_length"])
LOGITS = lambda V, t=TensorProto.FLOAT: vi("logits", t, ["batch_size", "sequence_length", V])


class GPTWriter:
    """Writes the trained GPT weights as an ONNX graph; subclasses override single pieces."""
    opset, domains, ir = 13, (), 8

    def __init__(self, sd, c):
        self.sd = {k: v.detach().numpy().astype(np.float32) for k, v in sd.items()}
        self.c, self.g = c, G()
        self.d, self.H, self.L = c["hidden_size"], c["num_attention_heads"], c["num_hidden_layers"]
        self.dh = self.d // self.H

    # pieces
    def w(self, key):
        return self.g.init(key, self.sd[key])

    def linear(self, x, key, name):
        y = self.g.op("MatMul", [x, self.w(key + ".weight")], name + "/MatMul")
        return self.g.op("Add", [y, self.w(key + ".bias")], name + "/Add")

    def norm(self, x, key, name):
        g = self.g
        mu = g.op("ReduceMean", [x], name + "/ReduceMean", axes=[-1])
        xc = g.op("Sub", [x, mu], name + "/Sub")
        var = g.op("ReduceMean", [g.op("Mul", [xc, xc], name + "/Mul")], name + "/ReduceMean_1", axes=[-1])
        sd = g.op("Sqrt", [g.op("Add", [var, g.f32(1e-5)], name + "/Add")], name + "/Sqrt")
        y = g.op("Mul", [g.op("Div", [xc, sd], name + "/Div"), self.w(key + ".weight")], name + "/Mul_1")
        return g.op("Add", [y, self.w(key + ".bias")], name + "/Add_1")

    def gelu(self, x, name):
        g = self.g
        x3 = g.op("Mul", [g.op("Mul", [x, x], name + "/Mul"), x], name + "/Mul_1")
        t = g.op("Add", [x, g.op("Mul", [x3, g.f32(0.044715)], name + "/Mul_2")], name + "/Add")
        t = g.op("Tanh", [g.op("Mul", [t, g.f32(math.sqrt(2 / math.pi))], name + "/Mul_3")], name + "/Tanh")
        return g.op("Mul", [g.op("Mul", [x, g.f32(0.5)], name + "/Mul_4"),
                            g.op("Add", [t, g.f32(1.0)], name + "/Add_1")], name + "/Mul_5")

    def split(self, x, name):
        return self.g.op("Split", [x, self.g.i64(self.d, self.d, self.d)], name + "/Split", n=3, axis=-1)

    def heads(self, x, name, perm=(0, 2, 1, 3)):
        y = self.g.op("Reshape", [x, self.g.i64(0, 0, self.H, self.dh)], name + "/Reshape")
        return self.g.op("Transpose", [y], name + "/Transpose", perm=list(perm))

    def softmax(self, s, name):
        return self.g.op("Softmax", [s], name + "/Softmax", axis=-1)

    def causal(self):
        """additive [T,T] mask made once from the sequence length"""
        g = self.g
        n = self.c["n_positions"]
        g.init("causal_mask", np.triu(np.full((n, n), -1e9, dtype=np.float32), 1))
        T = g.op("Gather", [g.op("Shape", ["input_ids"], "/Shape"), g.i64(1)], "/Gather", axis=0)
        self.seq = T
        z = g.i64(0)
        r = g.op("Slice", ["causal_mask", z, T, g.i64(0)], "/Slice")
        self.mask = g.op("Slice", [r, z, T, g.i64(1)], "/Slice_1")

    def attention(self, x, l, name):
        q, k, v = self.split(self.linear(x, f"transformer.h.{l}.attn.c_attn", name + "/c_attn"), name)
        g = self.g
        q, v = self.heads(q, name + "/q"), self.heads(v, name + "/v")
        kt = self.heads(k, name + "/k", (0, 2, 3, 1))
        s = g.op("Mul", [g.op("MatMul", [q, kt], name + "/MatMul"), g.f32(self.dh ** -0.5)], name + "/Mul")
        p = self.softmax(g.op("Add", [s, self.mask], name + "/Add"), name)
        z = g.op("Transpose", [g.op("MatMul", [p, v], name + "/MatMul_1")], name + "/Transpose_3", perm=[0, 2, 1, 3])
        m = g.op("Reshape", [z, g.i64(0, 0, self.d)], name + "/Reshape_3")
        return self.linear(m, f"transformer.h.{l}.attn.c_proj", name + "/c_proj")

    def embed(self):
        g = self.g
        self.causal()
        x = g.op("Gather", [self.w("transformer.wte.weight"), "input_ids"], "/transformer/wte/Gather", axis=0)
        pos = g.op("Slice", [self.w("transformer.wpe.weight"), g.i64(0), self.seq, g.i64(0)], "/transformer/wpe/Slice")
        return g.op("Add", [x, pos], "/transformer/Add")

    def unembed(self, x):
        if "lm_head.weight" in self.sd:
            w = self.g.init("lm_head.weight_T", self.sd["lm_head.weight"].T)
        else:
            w = self.g.op("Transpose", [self.w("transformer.wte.weight")], "/lm_head/Transpose", perm=[1, 0])
        return self.g.op("MatMul", [x, w], "/lm_head/MatMul", outs=["logits"])

    def block(self, x, l):
        n = f"/transformer/h.{l}"
        a = self.attention(self.norm(x, f"transformer.h.{l}.ln_1", n + "/ln_1"), l, n + "/attn")
        x = self.g.op("Add", [a, x], n + "/Add")
        h = self.linear(self.norm(x, f"transformer.h.{l}.ln_2", n + "/ln_2"), f"transformer.h.{l}.mlp.c_fc", n + "/mlp/c_fc")
        m = self.linear(self.gelu(h, n + "/mlp/act"), f"transformer.h.{l}.mlp.c_proj", n + "/mlp/c_proj")
        return self.g.op("Add", [x, m], n + "/Add_1")

    def io(self):
        return [IDS()], [LOGITS(self.c["vocab_size"])]

    def build(self):
        x = self.embed()
        for l in range(self.L):
            x = self.block(x, l)
        self.unembed(self.norm(x, "transformer.ln_f", "/transformer/ln_f"))
        i, o = self.io()
        return self.g.model(i, o, self.opset, self.domains, self.ir)


class MsMHA(GPTWriter):
    """onnxruntime's fused attention: probabilities and z never appear as graph tensors."""
    domains = ("com.microsoft",)

    def attention(self, x, l, name):
        k = f"transformer.h.{l}.attn.c_attn"
        qkv = self.g.op("MatMul", [x, self.w(k + ".weight")], name + "/c_attn/MatMul")
        q, kk, v = self.split(qkv, name)
        m = self.g.op("MultiHeadAttention", [q, kk, v, self.w(k + ".bias")], name + "/MultiHeadAttention",
                      domain="com.microsoft", num_heads=self.H, unidirectional=1)
        return self.linear(m, f"transformer.h.{l}.attn.c_proj", name + "/c_proj")


# --------------------------------------------------------------------------- the Optimum-like export
class WithPast(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.transformer = model.transformer
        self.lm_head = getattr(model, "lm_head", None)
        self.c = model.c

    def forward(self, input_ids, attention_mask, position_ids, *past):
        c, t = self.c, self.transformer
        H, d = c["num_attention_heads"], c["hidden_size"]
        B, T = input_ids.shape
        x = t.wte(input_ids) + t.wpe(position_ids)
        add = (1.0 - attention_mask[:, None, None, :].to(x.dtype)) * torch.finfo(x.dtype).min
        present = []
        for i, b in enumerate(t.h):
            q, k, v = b.attn.c_attn(b.ln_1(x)).split(d, dim=2)
            q, k, v = (y.view(B, T, H, d // H).permute(0, 2, 1, 3) for y in (q, k, v))
            k = torch.cat((past[2 * i], k), dim=-2)
            v = torch.cat((past[2 * i + 1], v), dim=-2)
            present += [k, v]
            s = torch.matmul(q, k.transpose(-1, -2))
            s = s / torch.full([], (d // H) ** 0.5)
            ql, kl = q.size(-2), k.size(-2)
            cm = b.attn.bias[:, :, kl - ql:kl, :kl]
            s = torch.where(cm, s, torch.full([], torch.finfo(s.dtype).min)) + add
            z = torch.matmul(torch.softmax(s, dim=-1), v)
            m = z.permute(0, 2, 1, 3).contiguous()
            x = b.attn.c_proj(m.view(B, T, d)) + x
            x = x + b.mlp(b.ln_2(x))
        x = t.ln_f(x)
        logits = self.lm_head(x) if self.lm_head is not None else torch.matmul(x, t.wte.weight.t())
        return (logits, *present)


def export_with_past(model, path, opset=14):
    c = model.c
    H, L, dh = c["num_attention_heads"], c["num_hidden_layers"], c["hidden_size"] // c["num_attention_heads"]
    B, T, P = 2, 3, 4
    past = [torch.zeros(B, H, P, dh) for _ in range(2 * L)]
    ids = torch.randint(3, c["vocab_size"], (B, T))
    args = (ids, torch.ones(B, P + T, dtype=torch.int64), torch.arange(P, P + T)[None].expand(B, T), *past)
    pn = [f"past_key_values.{i}.{k}" for i in range(L) for k in ("key", "value")]
    on = [f"present.{i}.{k}" for i in range(L) for k in ("key", "value")]
    axes = {"input_ids": {0: "batch_size", 1: "sequence_length"},
            "attention_mask": {0: "batch_size", 1: "past_sequence_length + sequence_length"},
            "position_ids": {0: "batch_size", 1: "sequence_length"},
            "logits": {0: "batch_size", 1: "sequence_length"}}
    axes.update({n: {0: "batch_size", 2: "past_sequence_length"} for n in pn})
    axes.update({n: {0: "batch_size", 2: "past_sequence_length + sequence_length"} for n in on})
    m = WithPast(model).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(m, args, path, input_names=["input_ids", "attention_mask", "position_ids"] + pn,
                          output_names=["logits"] + on, dynamic_axes=axes, opset_version=opset, do_constant_folding=True)


# --------------------------------------------------------------------------- folders
def folder(base, root, name, what, golden_rel):
    out = os.path.join(root, name)
    os.makedirs(out, exist_ok=True)
    for f in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(os.path.join(base, f), out)
    g = json.load(open(os.path.join(base, "golden.json")))
    hs.write_json(os.path.join(out, "golden_of.json"), {"same_weights_as": golden_rel, "golden": golden_rel + "/golden.json",
                                                         "prompts": [p["text"] for p in g["prompts"]]})
    hs.readme(out, f"# {os.path.basename(root)}/{name}\n\n{what}\n\nSame trained weights as `{golden_rel}` (see its README, "
                   f"circuit.json and golden data; golden tensors hold for this file too, within the stated precision).")
    return out


def load(base, weights):
    c = json.load(open(os.path.join(base, "config.json")))
    model = hs.build(c)
    model.load_state_dict(torch.load(weights))
    return model.eval(), c


def shared_variants(base, weights, root, rel):
    model, c = load(base, weights)
    sd = model.state_dict()
    out = folder(base, root, "optimum-past", "Export in the style of Hugging Face Optimum `text-generation-with-past`: inputs input_ids, "
                 "attention_mask [batch, past+seq], position_ids, past_key_values.<l>.key/value [batch, heads, past, head_dim]; outputs "
                 "logits and present.<l>.key/value. With an empty past (length 0) it equals the plain model.", rel)
    export_with_past(model, os.path.join(out, "model.onnx"))
    out = folder(base, root, "ms-mha", "Attention is onnxruntime's fused `com.microsoft.MultiHeadAttention` (unidirectional, q/k/v bias inside "
                 "the op): attention probabilities and z are not graph tensors.", rel)
    onnx.save(MsMHA(sd, c).build(), os.path.join(out, "model.onnx"))
    out = folder(base, root, "external-data", "The plain export with all weights in `model.onnx_data`.", rel)
    m = onnx.load(os.path.join(base, "model.onnx"))
    for f in ("model.onnx_data", "model.onnx"):
        if os.path.exists(os.path.join(out, f)):
            os.remove(os.path.join(out, f))
    onnx.save_model(m, os.path.join(out, "model.onnx"), save_as_external_data=True, all_tensors_to_one_file=True,
                    location="model.onnx_data", size_threshold=1024, convert_attribute=False)


if __name__ == "__main__":
    here = os.path.dirname(os.path.abspath(__file__))
    weights = sys.argv[1]
    root = sys.argv[2] if len(sys.argv) > 2 else os.path.join(here, "..", "..", "test", "variants")
    shared_variants(os.path.join(here, "..", "..", "assets", "checkpoints", "ioi-4l"), weights, root, "../../ioi-4l")
