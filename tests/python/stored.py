"""Reads a safetensors file with numpy alone: the length of a JSON header, the header, the data."""

import json
from pathlib import Path

import numpy as np

TYPES = {"F32": "<f4", "I64": "<i8", "U8": "u1"}


def tensors(path):
    data = Path(path).read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    found = {}
    for name, tensor in json.loads(data[8:start]).items():
        if name != "__metadata__":
            a, b = tensor["data_offsets"]
            found[name] = np.frombuffer(data[start + a : start + b], TYPES[tensor["dtype"]]).reshape(tensor["shape"])
    return found
