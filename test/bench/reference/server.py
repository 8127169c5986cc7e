"""Answers the benchmark's questions, a line of JSON each way.   Run: python3 server.py model.onnx heads kvHeads threads elapsed|cpu"""
import base64
import json
import platform
import sys
import time

import numpy as np
import torch

from circuit import circuit, head_vectors, train
from gpt2 import Gpt2
from hooks import Captured
from llama import Llama
from weights import load


def encode(tensor):
    return base64.b64encode(np.ascontiguousarray(tensor.numpy(), dtype=np.float32).tobytes()).decode()


def decode(text, shape):
    return torch.from_numpy(np.frombuffer(base64.b64decode(text), dtype=np.float32).reshape(shape).copy())


def blas():
    """The BLAS that is loaded into this process."""
    with open("/proc/self/maps") as maps:
        loaded = maps.read()
    return next((name for name, sign in (("MKL", "libmkl"), ("OpenBLAS", "openblas"), ("BLIS", "libblis")) if sign in loaded), "BLAS unknown")


def memory(field):
    """A line of this process's status, in MB: VmRSS is what it holds, VmHWM the most it has held."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith(field + ":"))


def run_in_memory(model, ids, clock):
    """What a run holds at most beyond the loaded model, in MB."""
    with open("/proc/self/clear_refs", "w") as refs:
        refs.write("5")  # the most it has held starts anew
    before = memory("VmRSS")
    run(model, ids, clock)
    return memory("VmHWM") - before


def run(model, ids, clock):
    captured = Captured(model)
    start = clock()
    logits = model(torch.tensor([ids]))
    ms = 1000 * (clock() - start)
    captured.remove()
    return ms, logits, captured.values


def answer(model, request, clock):
    what = request["do"]
    if what == "about":
        return {"about": f"Python {platform.python_version()}, PyTorch {torch.__version__}, {blas()}, {torch.get_num_threads()} threads"}
    if what == "run":
        return {"ms": run(model, request["ids"], clock)[0]}
    if what == "values":
        _, logits, values = run(model, request["ids"], clock)
        layer = request["layer"]
        z = values[("z", layer)][0].permute(1, 0, 2)
        pattern = values[("pattern", layer)][0, : request["heads"]]
        return {"logits": encode(logits[0, -1]), "pattern": encode(pattern), "z": encode(z)}
    if what == "memory":
        return {"mb": run_in_memory(model, request["ids"], clock)}
    if what == "vectors":
        return {"x": encode(head_vectors(model, request["prompts"]))}
    if what == "losses":
        width, latents = model.wte.shape[1], request["latents"]
        given = request["parameters"]
        start = {
            "encoder": decode(given["encoder"], (latents, width)),
            "encoderBias": decode(given["encoderBias"], (latents,)),
            "decoder": decode(given["decoder"], (latents, width)).t().contiguous(),
            "bias": decode(given["bias"], (width,)),
        }
        x = decode(request["x"], (-1, width))
        return {"losses": train(x, start, request["lambda"], request["learningRate"], request["epochs"])[1]}
    if what == "circuit":
        return circuit(model, request, clock)
    raise ValueError(f"unknown request {what}")


def main():
    path, (heads, kv_heads, threads) = sys.argv[1], map(int, sys.argv[2:5])
    clock = {"elapsed": time.perf_counter, "cpu": time.process_time}[sys.argv[5]]
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    torch.set_grad_enabled(False)
    weights = load(path)
    model = Llama(weights, heads, kv_heads) if "model.norm.weight" in weights else Gpt2(weights, heads)
    del weights
    for line in sys.stdin:
        print(json.dumps(answer(model, json.loads(line), clock)), flush=True)


main()
