"""Edits of one head's attention pattern and of z, in float64, as the papers define them (Yu et al. 2024 for ACT, Kang et al. 2025 for VAR).

`pattern` is one head's [T, T]; every function returns a new one.
"""
import numpy as np


def replace(pattern, scale, add, positions):
    """scale * A + add for the given queries (all when None)."""
    out = pattern.copy()
    rows = range(len(pattern)) if positions is None else positions
    for q in rows:
        out[q] = scale * pattern[q] + (0 if add is None else add[q])
    return out


def mask(pattern, allowed):
    """Keys that are not allowed get nothing; what is left of a row is scaled to sum to 1; an empty row stays."""
    out = pattern.copy()
    for q, row in enumerate(pattern):
        kept = row * allowed[q]
        if kept.sum() > 0:
            out[q] = kept / kept.sum()
    return out


def act_sinks(pattern, threshold):
    """Positions other than the first whose mean attention over the queries that can see them exceeds the threshold."""
    t = len(pattern)
    received = np.array([pattern[k:, k].sum() / (t - k) for k in range(t)])
    margin = np.abs(received[1:] - threshold).min() / threshold
    assert margin > 1e-4, f"a position is too close to the threshold to compare float32 with float64 ({margin:.1e})"
    return [k for k in range(1, t) if received[k] > threshold]


def act(pattern, beta, alpha=None, absolute=None):
    t = len(pattern)
    sinks = act_sinks(pattern, alpha / t if absolute is None else absolute)
    out = pattern.copy()
    for q in range(t):
        others = [k for k in range(t) if k not in sinks]
        freed = sum((1 - beta) * pattern[q, s] for s in sinks)
        rest = sum(pattern[q, k] for k in others)
        if rest == 0:
            continue
        for s in sinks:
            out[q, s] = beta * pattern[q, s]
        for k in others:
            out[q, k] = pattern[q, k] + freed * pattern[q, k] / rest
    return out, sinks


def var_sinks(residual, dims, tau):
    x = residual / np.sqrt((residual**2).mean(-1, keepdims=True))
    phi = np.abs(x[:, dims]).max(-1)
    margin = np.abs(phi - tau).min() / tau
    assert margin > 1e-4, f"a token is too close to tau ({margin:.1e})"
    return [k for k in range(len(phi)) if phi[k] > tau]


def var(pattern, residual, dims, tau, rho, summ, p, focus):
    start, end = focus
    sinks = var_sinks(residual, dims, tau)
    span = range(start, end)
    span_sinks = [k for k in sinks if k in span]
    out, chosen = pattern.copy(), []
    if not span_sinks:
        return out, sinks, chosen
    for q in range(end, len(pattern)):
        mass = sum(pattern[q, k] for k in span)
        if mass < summ or sum(pattern[q, k] for k in span_sinks) / mass > rho:
            continue
        targets = [k for k in span if k not in span_sinks]
        total = sum(pattern[q, k] for k in targets)
        if total == 0:
            continue
        freed = (1 - p) * sum(pattern[q, k] for k in sinks)
        for k in sinks:
            out[q, k] = p * pattern[q, k]
        for k in targets:
            out[q, k] = pattern[q, k] + freed * pattern[q, k] / total
        chosen.append(q)
    return out, sinks, chosen


def edit_pattern(pattern, edits, residual, report):
    """All pattern edits of one head in the order the program states: scale and add, mask, ACT, VAR."""
    for kind in ("pattern", "mask", "act", "var"):
        for e in edits:
            if e["kind"] != kind:
                continue
            if kind == "pattern":
                pattern = replace(pattern, e["scale"], e.get("add"), e.get("positions"))
            elif kind == "mask":
                pattern = mask(pattern, e["allowed"])
            elif kind == "act":
                pattern, sinks = act(pattern, e["beta"], e.get("alpha"), e.get("absolute"))
                report.append(f"L{e['layer']}H{e['head']} ACT sinks {sinks}")
            else:
                args = {key: e[key] for key in ("dims", "tau", "rho", "summ", "p", "focus")}
                pattern, sinks, chosen = var(pattern, residual, **args)
                report.append(f"L{e['layer']}H{e['head']} VAR sinks {sinks}, queries {chosen}")
    return pattern


def edit_z(z, edits):
    """scale * z + add at the given positions; edits of the same head follow one another."""
    z = z.copy()
    for e in edits:
        if e["kind"] != "z":
            continue
        for t in range(len(z)) if e.get("positions") is None else e["positions"]:
            add = e.get("add")
            z[t] = e["scale"] * z[t] + (0 if add is None else add if add.ndim == 1 else add[t])
    return z
