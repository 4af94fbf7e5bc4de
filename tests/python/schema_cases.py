"""Holds values against a schema.

schema_cases.py SCHEMA RIGHT WRONG   lists of values, all of which it takes, and none
"""

import json
import sys

from jsonschema import Draft202012Validator

schema, right, wrong = (json.load(open(path, encoding="utf-8")) for path in sys.argv[1:])
Draft202012Validator.check_schema(schema)
validator = Draft202012Validator(schema)
for value in right:
    faults = [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]
    assert not faults, (value, faults)
for value in wrong:
    assert not validator.is_valid(value), value
