"""The layouts: what to build, what to feed, and what a reader of the file must find in it.

`expected` speaks of the model as written above, not of any program's answer. Lists are per attention block.
"""
from encoders import Bert, TorchEncoder
from gpt import GPT2, OPT
from llama import Llama
from odd import Odd
from parallel import BigCode, Bloom, Parallel
from seq2seq import BartDecoder, T5Decoder, T5Encoder
from vision import SoundEncoder, Vit

IDS, MASK, TYPES, POS = "input_ids", "attention_mask", "token_type_ids", "position_ids"
SMALL = {"vocab": 40, "n": 24, "layers": 2, "mlp": 32}
LN, RMS = "layernorm", "rmsnorm"


def sizes(heads, width, **more):
    """Model width is heads × width; a head may be wider or narrower where the configuration says so."""
    return {**SMALL, "d": heads * width, "heads": heads, **more}


def find(causal, norm, act, final, context=24, **more):
    return {"causal": causal, "norm": norm, "activation": act, "finalNorm": final, "context": context, "tied": False, **more}


GPT = find(True, "pre", "gelu_new", LN, tied=True)
LLAMA = find(True, "pre", "swiglu", RMS, context=None)
BERT = find(False, "post", "gelu", None, tied=True)


def llama(heads=4, kv=2, width=4, **more):
    return sizes(heads, width, kv=kv, **more)


# name: (class, config, inputs, opset, expected)
ZOO = {
    "gpt2": (GPT2, sizes(4, 4), [IDS], 13, GPT),
    "gpt2-mask": (GPT2, sizes(4, 4), [IDS, MASK, POS], 11, GPT),
    "gpt2-slice": (GPT2, sizes(7, 7, qkv="slice"), [IDS], 14, GPT),
    "gpt2-chunk": (GPT2, sizes(3, 11, qkv="chunk"), [IDS], 12, GPT),
    "gpt2-gather": (GPT2, sizes(2, 5, qkv="gather"), [IDS], 14, GPT),
    "gpt2-sdpa": (GPT2, sizes(4, 6, scores="sdpa"), [IDS], 14, GPT),
    "gpt2-einsum": (GPT2, sizes(4, 6, scores="einsum"), [IDS], 14, GPT),
    "gpt2-states": (GPT2, sizes(4, 4, outputs_all=True), [IDS, MASK], 14, GPT),
    "gpt2-untied": (GPT2, sizes(1, 16, tied=False), [IDS], 17, {**GPT, "tied": False}),
    "gpt2-square": (GPT2, {**sizes(4, 4, tied=False), "vocab": 16}, [IDS], 14, {**GPT, "tied": False}),
    "opt": (OPT, sizes(4, 4), [IDS, MASK], 14, find(True, "pre", "relu", LN, tied=True)),
    "opt-post": (OPT, sizes(4, 4, pre_norm=False), [IDS, MASK], 14, find(True, "post", "relu", LN, tied=True)),
    "neox": (Parallel, sizes(4, 4, rot=2, style="neox"), [IDS, MASK], 14, find(True, "pre", "gelu", LN, parallel=True)),
    "gptj": (Parallel, sizes(4, 4, style="gptj"), [IDS], 14, find(True, "pre", "gelu_new", LN, parallel=True)),
    "bloom-4": (Bloom, sizes(4, 4), [IDS, MASK], 14, find(True, "pre", "gelu_new", LN, context=None, tied=True)),
    "bloom": (Bloom, sizes(3, 5), [IDS, MASK], 12, find(True, "pre", "gelu_new", LN, context=None, tied=True)),
    "bigcode": (BigCode, sizes(4, 4), [IDS], 14, {**GPT, "kvHeads": 1}),
    "llama": (Llama, llama(), [IDS, MASK], 14, {**LLAMA, "kvHeads": 2}),
    "llama-table": (Llama, llama(rope="table", mask="triu"), [IDS, MASK, POS], 14, {**LLAMA, "kvHeads": 2, "context": 24}),
    "mistral": (Llama, llama(6, 2, 6, mask="where", window=3), [IDS, MASK], 14, {**LLAMA, "kvHeads": 2}),
    "llama-mqa": (Llama, llama(4, 1, 4, mask="where"), [IDS, MASK], 13, {**LLAMA, "kvHeads": 1}),
    "llama-mha": (Llama, llama(3, 3, 4, mask="where", rms="div"), [IDS, MASK], 12, {**LLAMA, "kvHeads": 3}),
    "llama-grouped": (Llama, llama(6, 2, 4, grouped=True), [IDS, MASK], 14, {**LLAMA, "kvHeads": 2}),
    "llama-inplace": (Llama, llama(mask="triu", inplace=True), [IDS, MASK], 14, {**LLAMA, "kvHeads": 2}),
    "gpt2-static": (GPT2, sizes(4, 4, static=(1, 7)), [IDS, MASK], 14, {**GPT, "context": 7}),
    "llama-static": (Llama, llama(7, 1, 6, static=(1, 7)), [IDS, MASK], 14, {**LLAMA, "kvHeads": 1, "context": 7}),
    "bert-static": (Bert, sizes(4, 4, style="bert", head="mlm", static=(1, 8)), [IDS, MASK, TYPES], 14, {**BERT, "context": 8}),
    "opt-static": (OPT, sizes(3, 4, static=(1, 9)), [IDS, MASK], 14, find(True, "pre", "relu", LN, tied=True, context=9)),
    "bloom-static": (Bloom, sizes(4, 4, static=(1, 6)), [IDS, MASK], 14, find(True, "pre", "gelu_new", LN, context=6, tied=True)),
    "t5-static": (T5Encoder, sizes(4, 4, dh=6, static=(1, 6)), [IDS, MASK], 14, find(False, "pre", "relu", None, context=6,
                                                                                 unembedding=False)),
    "qwen3": (Llama, llama(4, 2, 6, dh=8, qk_norm=True, tied=True, mask="where"), [IDS, MASK, POS], 14,
              {**LLAMA, "kvHeads": 2, "tied": True}),
    "qwen2": (Llama, llama(4, 2, 4, qkv_bias=True), [IDS, MASK], 14, {**LLAMA, "kvHeads": 2}),
    "phi3": (Llama, llama(4, 2, 4, fused=True, mask="where"), [IDS, MASK], 14, {**LLAMA, "kvHeads": 2}),
    "gemma2": (Llama, llama(4, 2, 6, dh=8, scale=0.3, softcap=5.0, final_softcap=4.0, norms="sandwich", offset=True,
                            embed_factor=4.9, act="gelu", tied=True, mask="where"), [IDS, MASK], 14,
               {**LLAMA, "kvHeads": 2, "activation": "geglu_tanh", "tied": True, "outputNorm": True}),
    "gemma2-nofold": (Llama, llama(4, 2, 4, dh=6, scale=0.3, softcap=5.0, final_softcap=4.0, norms="sandwich", offset=True,
                                   embed_factor=4.9, act="gelu", tied=True, mask="where"), [IDS, MASK], 14,
                      {**LLAMA, "kvHeads": 2, "activation": "geglu_tanh", "tied": True, "outputNorm": True}),
    "olmo2": (Llama, llama(4, 2, 4, norms="after", rms="pow"), [IDS, MASK], 14,
              {**LLAMA, "kvHeads": 2, "norm": "none", "outputNorm": True}),
    "granite": (Llama, llama(4, 2, 4, residual_factor=0.22, embed_factor=12.0, logits_divisor=8.0, scale=0.1, mask="where"),
                [IDS, MASK], 14, {**LLAMA, "kvHeads": 2}),
    "stablelm": (Llama, llama(4, 4, 4, layernorm=True, rope="table"), [IDS, MASK], 17,
                 {**LLAMA, "kvHeads": 4, "finalNorm": LN, "context": 24}),
    "mixtral": (Llama, llama(4, 2, 4, experts=3, mask="where"), [IDS, MASK], 14, {**LLAMA, "kvHeads": 2}),
    "gpt-oss": (Llama, llama(4, 2, 4, sinks=True, mask="where"), [IDS, MASK], 14, {**LLAMA, "kvHeads": 2}),
    "bert": (Bert, sizes(4, 4, style="bert", head="mlm"), [IDS, MASK, TYPES], 14, BERT),
    "bert-11": (Bert, sizes(4, 4, style="bert-min", head="mlm"), [IDS, MASK, TYPES], 11, BERT),
    "bert-pooled": (Bert, sizes(4, 4, style="bert", head="none"), [IDS, MASK, TYPES], 14, {**BERT, "unembedding": False}),
    "bert-labels": (Bert, sizes(4, 4, style="bert", head="labels"), [IDS, MASK, TYPES], 14, {**BERT, "unembedding": False}),
    "distilbert": (Bert, sizes(7, 3, style="distilbert", head="mlm"), [IDS, MASK], 14, BERT),
    "roberta": (Bert, sizes(4, 4, style="roberta", head="mlm"), [IDS, MASK], 14, {**BERT, "context": 22}),
    "torch-encoder": (TorchEncoder, sizes(4, 4, batch_first=True, norm_first=False), [IDS], 14,
                      find(False, "post", "gelu", LN)),
    "torch-pre": (TorchEncoder, sizes(4, 4, batch_first=True, norm_first=True), [IDS], 14, find(False, "pre", "gelu", None)),
    "torch-first": (TorchEncoder, sizes(4, 4, batch_first=False, norm_first=True), [IDS], 14, find(False, "pre", "gelu", None)),
    "t5-encoder": (T5Encoder, sizes(4, 4, dh=6), [IDS, MASK], 14, find(False, "pre", "relu", None, context=None,
                                                                      unembedding=False)),
    "t5-decoder": (T5Decoder, sizes(4, 4, dh=6), [IDS, "states", "source_mask"], 14,
                   find([True, False] * 2, "pre", [None, "relu"] * 2, RMS, context=None, tied=True,
                        kind=["self", "cross"] * 2)),
    "bart-decoder": (BartDecoder, sizes(4, 4), [IDS, "states"], 14,
                     find([True, False] * 2, "post", [None, "gelu"] * 2, LN, tied=True, kind=["self", "cross"] * 2)),
    "vit": (Vit, sizes(4, 4, side=12, patch=4, key_bias=True, input=(3, 12, 12)), ["pixel_values"], 14,
            find(False, "pre", "gelu", None, context=10, unembedding=False)),
    "sound": (SoundEncoder, sizes(4, 4, features=6, positions=10, key_bias=False, input=(6, 20)), ["input_features"], 14,
              find(False, "pre", "gelu", None, context=10, unembedding=False)),
    "einsum-bqhd": (Odd, sizes(4, 6, style="einsum"), [IDS], 14, {**GPT, "tied": False}),
    "deberta": (Odd, sizes(4, 4, style="deberta", span=6, causal=False), [IDS], 14, {**GPT, "tied": False, "causal": False}),
    "latent": (Odd, sizes(4, 4, style="latent", nope=4, pe=2, dv=3, rank=8), [IDS], 14, {**GPT, "tied": False}),
    "gated": (Odd, sizes(4, 4, style="gated"), [IDS], 14, {**GPT, "tied": False, "missing": ["result"]}),
    "cosine": (Odd, sizes(4, 4, style="cosine"), [IDS], 14, {**GPT, "tied": False}),
    "albert": (Odd, sizes(4, 4, style="plain", share=True, embed=10, layers=3), [IDS], 14,
               {**GPT, "tied": False, "finalNorm": None}),
    "two-mlps": (Odd, sizes(4, 4, style="plain", two_mlps=True, layer_scale=True), [IDS], 14, {**GPT, "tied": False}),
}
