"""Writes the models of ONNX's own test suite into a folder: one for each case of each operator."""

import pathlib
import sys

import onnx.backend.test.case.node as node
from onnx.backend.test.case.model import collect_testcases as collect_models

folder = pathlib.Path(sys.argv[1])
cases = [*node.collect_testcases(None), *collect_models()]
for case in cases:
    if case.model is not None:
        (folder / f"{case.name}.onnx").write_bytes(case.model.SerializeToString())
