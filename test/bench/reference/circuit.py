"""Circuits from discrete SAE codes (O'Neill & Bui 2024) in PyTorch eager: head outputs, autoencoder, codes, node and edge scores."""
import itertools
import random

import torch
import torch.nn.functional as F

from hooks import Captured


def head_vectors(model, prompts):
    """result[l,h] averaged over positions, [prompts, heads, d_model]; the unembedding is not run."""
    parts = {}
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    for _, group in itertools.groupby(order, key=lambda i: len(prompts[i])):
        group = list(group)
        captured = Captured(model, patterns=False)
        model.stream(torch.tensor([prompts[i] for i in group]))
        captured.remove()
        outputs = []
        for layer, block in enumerate(model.blocks):
            z = captured.values[("z", layer)].mean(dim=1)  # [prompt, head, d_head]
            weight = block.attn.c_proj_weight.view(z.shape[1], z.shape[2], -1)
            outputs.append(torch.einsum("phk,hkd->phd", z, weight))
        for i, vectors in zip(group, torch.cat(outputs, dim=1)):
            parts[i] = vectors
    return torch.stack([parts[i] for i in range(len(prompts))])


def start_parameters(width, latents):
    """As the authors' code: normal weights brought to unit norm, tied bias 0."""
    bound = width ** -0.5
    return {
        "encoder": F.normalize(torch.randn(latents, width), dim=1),
        "encoderBias": torch.empty(latents).uniform_(-bound, bound),
        "decoder": F.normalize(torch.randn(width, latents), dim=1),
        "bias": torch.zeros(width),
    }


def train(x, start, penalty, rate, epochs):
    """Full-batch Adam; gradients lose the part along the weights, which are brought back to unit norm after each step."""
    with torch.enable_grad():
        encoder, encoder_bias, decoder, bias = (
            torch.nn.Parameter(start[name].clone()) for name in ("encoder", "encoderBias", "decoder", "bias")
        )
        for weight in (encoder, decoder):
            weight.register_hook(lambda grad, weight=weight: grad - (grad * weight).sum(1, keepdim=True) * weight)
        optimizer = torch.optim.Adam([encoder, encoder_bias, decoder, bias], lr=rate)
        losses = []
        for _ in range(epochs):
            optimizer.zero_grad()
            f = torch.relu(F.linear(x - bias, encoder, encoder_bias))
            decoded = F.linear(f, decoder) + bias
            loss = F.mse_loss(decoded, x) + penalty * f.abs().sum(dim=1).mean()
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                encoder.copy_(F.normalize(encoder, dim=1))
                decoder.copy_(F.normalize(decoder, dim=1))
            losses.append(loss.item())
    return {"encoder": encoder.detach(), "encoderBias": encoder_bias.detach(), "bias": bias.detach()}, losses


def scores(codes, positives):
    """Codes [prompts, heads] to node scores and votes of the strongest heads² / 2 ordered pairs."""
    rows = codes.tolist()
    heads = len(rows[0])
    columns = list(zip(*rows))
    nodes = [len(set(column[:positives]) - set(column[positives:])) for column in columns]
    pairs = [[0] * heads for _ in range(heads)]
    for first in range(heads):
        for second in range(first):
            both = list(zip(columns[first], columns[second]))
            count = len(set(both[:positives]) - set(both[positives:]))
            pairs[first][second] = pairs[second][first] = count
    order = sorted(((count, i, j) for i, row in enumerate(pairs) for j, count in enumerate(row)), reverse=True)
    votes = [0] * heads
    for _, first, second in order[: heads * heads // 2]:
        votes[first] += 1
        votes[second] += 1
    return nodes, votes


def circuit(model, task, clock):
    """The whole job and what its parts took, in milliseconds."""
    times = [clock()]
    x = head_vectors(model, task["positives"] + task["negatives"])
    times.append(clock())
    prompts, _, width = x.shape
    chosen = random.Random(0).sample(range(prompts), task["trainPrompts"])
    start = start_parameters(width, task["latents"])
    sae, _ = train(x[chosen].reshape(-1, width), start, task["lambda"], task["learningRate"], task["epochs"])
    times.append(clock())
    codes = torch.relu(F.linear(x - sae["bias"], sae["encoder"], sae["encoderBias"])).argmax(dim=-1)
    scores(codes, len(task["positives"]))
    times.append(clock())
    parts = {name: 1000 * (b - a) for name, a, b in zip(("head outputs", "training", "scores"), times, times[1:])}
    return {"ms": 1000 * (times[-1] - times[0]), "parts": parts}
