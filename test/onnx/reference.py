"""Writes reference.json: what the onnx package reads in the sample models.   python3 test/onnx/reference.py

Every node, attribute and weight becomes a line of text; the lines are hashed, because all of them would be megabytes. Also hashes of the
weights' bytes, inputs and outputs. (canonical.ts writes the same lines from what the program read.)
"""
import hashlib
import json
import os

import onnx
from onnx import AttributeProto, numpy_helper

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
MODELS = [f"assets/checkpoints/{n}" for n in ("induction-2l", "ioi-4l", "llama-tiny", "sink-3l", "sink-delim-2l")]
MODELS += [f"test/variants/{n}" for n in ("external-data", "ms-mha", "optimum-past")]


def sha(data):
    return hashlib.sha256(data).hexdigest()[:32]


def tensor(t):
    data = numpy_helper.to_array(t).tobytes()
    return f"{t.data_type}[{','.join(map(str, t.dims))}]{sha(data)}"


def attribute(a):
    kinds = {
        AttributeProto.INT: lambda: str(a.i),
        AttributeProto.FLOAT: lambda: f"{a.f:.6e}",
        AttributeProto.STRING: lambda: a.s.decode(),
        AttributeProto.INTS: lambda: ",".join(map(str, a.ints)),
        AttributeProto.FLOATS: lambda: ",".join(f"{f:.6e}" for f in a.floats),
        AttributeProto.TENSOR: lambda: tensor(a.t),
        AttributeProto.GRAPH: lambda: sha("\n".join(graph_lines(a.g)).encode()),
    }
    return f"{a.name}:{a.type}={kinds[a.type]()}"


def value(v):
    t = v.type.tensor_type
    dims = ",".join(d.dim_param if d.WhichOneof("value") == "dim_param" else str(d.dim_value) for d in t.shape.dim)
    return f"{v.name}:{t.elem_type}[{dims}]"


def graph_lines(g):
    lines = []
    for n in g.node:
        attributes = " ".join(sorted(attribute(a) for a in n.attribute))
        lines.append(f"{n.domain}/{n.op_type}({','.join(n.input)})->({','.join(n.output)}) {attributes}")
    return lines


def main():
    document = {}
    for folder in MODELS:
        model = onnx.load(os.path.join(ROOT, folder, "model.onnx"))
        g = model.graph
        document[folder] = {
            "irVersion": model.ir_version,
            "opsets": {o.domain: o.version for o in model.opset_import},
            "producer": model.producer_name,
            "inputs": [value(v) for v in g.input],
            "outputs": [value(v) for v in g.output],
            "nodes": len(g.node),
            "nodeHash": sha("\n".join(graph_lines(g)).encode()),
            "weights": {t.name: tensor(t) for t in g.initializer},
        }
    with open(os.path.join(ROOT, "test", "onnx", "reference.json"), "w") as f:
        json.dump(document, f, indent=2)
        f.write("\n")


if __name__ == "__main__":
    main()
