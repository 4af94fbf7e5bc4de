"""Holds reports of a check against their schema.

schema.py SCHEMA REPORT...   each a snapshot of JSON; the first holds an object of every kind
"""

import copy
import json
import sys

from jsonschema import Draft202012Validator

# Objects of fixed fields in the first report, and what may be missing from them.
PLACES = [
    "",
    "/policy",
    "/findings/0",
    "/findings/0/place",
    "/findings/0/judged",
    "/findings/0/judged/scope",
    "/evaluation",
    "/evaluation/data",
    "/evaluation/bootstrap",
    "/evaluation/figures/PS",
    "/evaluation/concepts/weapons",
    "/evaluation/worst_concept/PS",
    "/structure",
    "/structure/files/0",
    "/structure/files/0/model",
    "/structure/files/0/tensors/0",
    "/structure/files/0/layers/0",
    "/structure/files/0/siblings/0",
    "/scatter",
    "/examples/0",
    "/rewritten",
    "/rewritten/controls/0",
    "/rewritten/scores/0",
    "/frontiers/0",
    "/reproduce",
    "/reproduce/files/0",
]
OPTIONAL = {"p"}
WRONG = {
    "/verdict": "PASS",
    "/schema_version": 2,
    "/findings/0/outcome": "ok",
    "/findings/0/exit_code": 3,
    "/findings/0/judged/bound": "least",
    "/evaluation/figures/PS/interval": [1],
}


def read(path):
    text = open(path, encoding="utf-8").read()
    return json.loads(text.split("---\n", 2)[2] if text.startswith("---\n") else text)


def at(value, place):
    for key in place.split("/")[1:]:
        value = value[int(key) if isinstance(value, list) else key]
    return value


schema = read(sys.argv[1])
Draft202012Validator.check_schema(schema)
validator = Draft202012Validator(schema)
reports = [read(path) for path in sys.argv[2:]]
for path, report in zip(sys.argv[2:], reports, strict=True):
    faults = [f"{path}: {error.json_path}: {error.message}" for error in validator.iter_errors(report)]
    assert not faults, "\n".join(faults)

whole = reports[0]
for place in PLACES:
    more = copy.deepcopy(whole)
    at(more, place)["unknown"] = 1
    assert not validator.is_valid(more), f"{place}: an unknown field"
    for field in at(whole, place).keys() - OPTIONAL:
        less = copy.deepcopy(whole)
        del at(less, place)[field]
        assert not validator.is_valid(less), f"{place}: without {field}"
for place, value in WRONG.items():
    other = copy.deepcopy(whole)
    parent, _, key = place.rpartition("/")
    at(other, parent)[key] = value
    assert not validator.is_valid(other), place
