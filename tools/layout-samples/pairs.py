"""Writes encoder–decoder samples as Optimum does, in two files, with reference values of the decoder.

    python3 pairs.py OUT

In golden.json, `expected.sourceIds` is what the encoder reads.
"""
import json
import os
import sys

import torch
import torch.nn as nn

from encoders import Bert
from seq2seq import BartDecoder, T5Decoder, T5Encoder
from taps import capture, export, randomise, shorten_names, write_golden
from zoo import IDS, LN, MASK, RMS, find, sizes

SOURCE = [5, 9, 17, 3, 22, 8, 1]
START = 2
TEXTS = ([START, 7, 30, 12], [START, 11, 4, 4, 25, 9])


class States(nn.Module):
    """Only the states of an encoder that gives more."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, input_ids, attention_mask):
        return self.inner(input_ids, attention_mask)[0]


PAIRS = {
    "t5-pair": (T5Encoder, T5Decoder, sizes(4, 4, dh=6), True,
                find([True, False] * 2, "pre", [None, "relu"] * 2, RMS, context=None, tied=True, kind=["self", "cross"] * 2)),
    "bart-pair": (lambda c: States(Bert({**c, "style": "bert", "head": "none"})), BartDecoder, sizes(4, 4), False,
                  find([True, False] * 2, "post", [None, "gelu"] * 2, LN, tied=True, kind=["self", "cross"] * 2)),
}


def make(name, root):
    make_encoder, make_decoder, c, masked, expected = PAIRS[name]
    encoder, decoder = randomise(make_encoder(c), 11), randomise(make_decoder(c), 12)
    folder = os.path.join(root, name)
    os.makedirs(folder, exist_ok=True)
    source = torch.tensor([SOURCE])
    ones = torch.ones_like(source)
    states = encoder(source, ones).detach()
    two = lambda x: x.expand(2, *x.shape[1:]).contiguous()
    axes = {0: "batch_size", 1: "encoder_sequence_length"}
    export(encoder, os.path.join(folder, "encoder_model.onnx"), {IDS: two(source), MASK: two(ones)}, {IDS: axes, MASK: axes},
           ["last_hidden_state"])
    text = torch.tensor([TEXTS[0]])
    feeds = {IDS: two(text), "encoder_hidden_states": two(states)}
    named = {IDS: {0: "batch_size", 1: "decoder_sequence_length"}, "encoder_hidden_states": axes}
    if masked:
        feeds["encoder_attention_mask"], named["encoder_attention_mask"] = two(ones), axes
    export(decoder, os.path.join(folder, "decoder_model.onnx"), feeds, named, ["logits"])
    for file in ("encoder_model.onnx", "decoder_model.onnx"):
        shorten_names(os.path.join(folder, file))
    runs = []
    for ids in TEXTS:
        args = [torch.tensor([ids]), states] + ([ones] if masked else [])
        logits, kept = capture(decoder, *args)
        runs.append((ids, logits, kept))
    facts = {"layers": 4, "heads": c["heads"], "kvHeads": c["heads"], "headDim": c.get("dh", 4), "dModel": c["d"], **expected}
    write_golden(folder, name, {**facts, "sourceIds": SOURCE}, runs)
    with open(os.path.join(folder, "config.json"), "w") as f:
        json.dump({"is_encoder_decoder": True, "decoder_start_token_id": START}, f)
        f.write("\n")


if __name__ == "__main__":
    for name in PAIRS:
        make(name, sys.argv[1])
        print(name, [os.path.getsize(os.path.join(sys.argv[1], name, f)) for f in sorted(os.listdir(os.path.join(sys.argv[1], name)))])
