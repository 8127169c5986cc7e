"""Weights of an .onnx file by name. Those in a file of their own are mapped into memory, not read, so that other processes share them."""
import os

import numpy as np
import onnx
import torch
from onnx import numpy_helper


def load(path):
    found = {}
    for tensor in onnx.load(path, load_external_data=False).graph.initializer:
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            found[tensor.name] = torch.from_numpy(numpy_helper.to_array(tensor).copy())
            continue
        place = {entry.key: entry.value for entry in tensor.external_data}
        file = os.path.join(os.path.dirname(path), place["location"])
        # copy-on-write: PyTorch wants memory that it may write to, and never does
        values = np.memmap(file, dtype=np.float32, mode="c", offset=int(place["offset"]), shape=tuple(tensor.dims))
        found[tensor.name] = torch.from_numpy(values)
    return found
