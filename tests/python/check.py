"""Python's onnx.checker on each of the given models."""

import sys

import onnx

for path in sys.argv[1:]:
    try:
        onnx.checker.check_model(path, full_check=True)
    except Exception as error:
        sys.exit(f"{path}: {error}")
