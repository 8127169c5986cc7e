"""Reference for the sparse autoencoder: PyTorch autograd and torch.optim.Adam, with the authors' weight hook written out.
Writes sae-reference.json beside this file.   Run: python3 reference_sae.py"""
import json
import os

import torch
import torch.nn.functional as F

ROWS, WIDTH, LATENTS, STEPS, LR, LAMBDA = 24, 12, 10, 40, 1e-2, 0.02


def numbers(t):
    return [float(f"{v:.9g}") for v in t.detach().flatten().tolist()]


def case(decoder_norm):
    """decoder_norm: 'dimension' (the authors' code: rows of the [width, latents] weight) or 'latent' (dictionary vectors)."""
    torch.manual_seed(5)
    x = torch.randn(ROWS, WIDTH) * 0.7 + 0.3
    axis = 1 if decoder_norm == "dimension" else 0
    encoder = torch.nn.Parameter(F.normalize(torch.randn(LATENTS, WIDTH), dim=1))
    encoder_bias = torch.nn.Parameter(torch.empty(LATENTS).uniform_(-WIDTH ** -0.5, WIDTH ** -0.5))
    decoder = torch.nn.Parameter(F.normalize(torch.randn(WIDTH, LATENTS), dim=axis))
    bias = torch.nn.Parameter(torch.zeros(WIDTH))

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
    return {"decoderNorm": decoder_norm, "start": start, "firstGradients": first, "losses": losses,
            "end": {"encoder": numbers(encoder), "encoderBias": numbers(encoder_bias), "decoder": numbers(decoder.t()), "bias": numbers(bias)},
            "codes": f.argmax(1).tolist(), "activations": numbers(f.max(1).values), "x": numbers(x)}


if __name__ == "__main__":
    out = {"rows": ROWS, "width": WIDTH, "latents": LATENTS, "steps": STEPS, "learningRate": LR, "lambda": LAMBDA,
           "torch": torch.__version__, "cases": [case("dimension"), case("latent")]}
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "sae-reference.json"), "w") as fh:
        json.dump(out, fh)
        fh.write("\n")
