"""Runs models in ONNX Runtime and compares their image embeddings with stored ones.

embeddings.py STORED.safetensors [NAME MODEL.onnx]...   where the stored tensor is "after.NAME"
"""

import sys

import numpy as np
import onnxruntime as ort

from stored import tensors

# Share of the largest embedding value. Float models differ by rounding only; quantised activations may fall to the
# next code on another processor, and half precision is emulated on some.
TOLERANCE = {"fp32": 1e-5, "fp16": 2e-3}
QUANTISED = 2e-2

stored = tensors(sys.argv[1])
for name, path in zip(sys.argv[2::2], sys.argv[3::2], strict=True):
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (got,) = session.run(["image_embeds"], {"pixel_values": stored["pixel_values"]})
    want = stored[f"after.{name}"]
    difference = np.abs(got - want).max() / np.abs(want).max()
    assert difference <= TOLERANCE.get(name, QUANTISED), f"{name}: {difference}"
    print(name, difference)
