"""Reference for the sparse autoencoder: PyTorch autograd and torch.optim.Adam, with the authors' weight hook written out.
Writes sae-reference.json beside this file.   Run: python3 reference_sae.py"""
import json
import os

import torch
import torch.nn.functional as F

STEPS, LR, LAMBDA = 40, 1e-2, 0.02
# Rows, width, latents: many latents for the error itself, few for the way by Gram matrices.
MANY, FEW = (24, 12, 10), (40, 24, 6)


def numbers(t):
    return [float(f"{v:.9g}") for v in t.detach().flatten().tolist()]


def case(decoder_norm, shape):
    """decoder_norm: 'dimension' (the authors' code: rows of the [width, latents] weight) or 'latent' (dictionary vectors)."""
    torch.manual_seed(5)
    rows, width, latents = shape
    x = torch.randn(rows, width) * 0.7 + 0.3
    if latents < width / 2:
        x = torch.randn(rows, 2) @ torch.randn(2, width) + 0.2 * x
    axis = 1 if decoder_norm == "dimension" else 0
    encoder = torch.nn.Parameter(F.normalize(torch.randn(latents, width), dim=1))
    encoder_bias = torch.nn.Parameter(torch.empty(latents).uniform_(-width ** -0.5, width ** -0.5))
    decoder = torch.nn.Parameter(F.normalize(torch.randn(width, latents), dim=axis))
    bias = torch.nn.Parameter(torch.zeros(width))

    def tangent(weight, dim):
        return lambda grad: grad - (grad * weight).sum(dim, keepdim=True) * weight / weight.norm(dim=dim, keepdim=True)

    encoder.register_hook(tangent(encoder, 1))
    decoder.register_hook(tangent(decoder, axis))
    start = {"encoder": numbers(encoder), "encoderBias": numbers(encoder_bias), "decoder": numbers(decoder.t()), "bias": numbers(bias)}
    optimizer = torch.optim.Adam([encoder, encoder_bias, decoder, bias], lr=LR)
    losses, first = [], None
    for _ in range(STEPS):
        optimizer.zero_grad()
        f = torch.relu(F.linear(x - bias, encoder, encoder_bias))
        decoded = F.linear(f, decoder) + bias
        loss = F.mse_loss(decoded, x) + LAMBDA * torch.mean(torch.norm(f, p=1, dim=1))
        loss.backward()
        if first is None:
            first = {"encoder": numbers(encoder.grad), "encoderBias": numbers(encoder_bias.grad),
                     "decoder": numbers(decoder.grad.t()), "bias": numbers(bias.grad)}
        optimizer.step()
        with torch.no_grad():
            encoder.copy_(F.normalize(encoder, dim=1))
            decoder.copy_(F.normalize(decoder, dim=axis))
        losses.append(loss.item())
    with torch.no_grad():
        f = torch.relu(F.linear(x - bias, encoder, encoder_bias))
    return {"decoderNorm": decoder_norm, "rows": rows, "width": width, "latents": latents, "start": start, "firstGradients": first, "losses": losses,
            "end": {"encoder": numbers(encoder), "encoderBias": numbers(encoder_bias), "decoder": numbers(decoder.t()), "bias": numbers(bias)},
            "codes": f.argmax(1).tolist(), "activations": numbers(f.max(1).values), "x": numbers(x)}


if __name__ == "__main__":
    out = {"steps": STEPS, "learningRate": LR, "lambda": LAMBDA,
           "torch": torch.__version__, "cases": [case(norm, shape) for shape in (MANY, FEW) for norm in ("dimension", "latent")]}
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "sae-reference.json"), "w") as fh:
        json.dump(out, fh)
        fh.write("\n")
