"""to_external.py MODEL.onnx OUT.onnx: the model with all its tensors in OUT.onnx.data."""

import sys
from pathlib import Path

import onnx

model, out = map(Path, sys.argv[1:])
onnx.save(onnx.load(model), out, save_as_external_data=True, location=f"{out.name}.data", size_threshold=0)
