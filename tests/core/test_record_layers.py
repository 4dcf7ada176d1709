"""Layers in the record: written, read, described, and absent from older records."""

import json
import math

import pytest

from auditor.core.errors import InputError
from auditor.core.layer import LayerFacts
from auditor.core.record import read_record, record_schema, record_to_json
from tests.golden.test_golden import HERE

LAYERS = (
    LayerFacts("features.0", "Conv2d", "N×16×8×8", True, 160, 0.5, 1e-3, None, 0.0),
    LayerFacts("features.1", "ReLU", "N×16×8×8", activation=math.nan, gradient=math.inf, dead=1.0),
)


@pytest.fixture(scope="module")
def plain():
    return json.loads((HERE / "record.json").read_text(encoding="utf-8"))


def written(tmp_path, plain):
    file = tmp_path / "record.json"
    file.write_text(json.dumps(plain), encoding="utf-8")
    return file


def test_what_is_written_is_read(tmp_path, plain):
    from dataclasses import replace

    record = replace(read_record(written(tmp_path, plain)), layers=LAYERS)
    file = tmp_path / "again.json"
    file.write_text(record_to_json(record), encoding="utf-8")
    assert repr(read_record(file).layers) == repr(LAYERS)


def test_a_record_without_layers_is_read(tmp_path, plain):
    older = {name: value for name, value in plain.items() if name != "layers"}
    assert read_record(written(tmp_path, older)).layers == ()


def test_layers_that_are_none_are_refused(tmp_path, plain):
    with pytest.raises(InputError, match="layers"):
        read_record(written(tmp_path, plain | {"layers": [{"kind": "Conv2d"}]}))


def test_the_schema_describes_layers():
    facts = record_schema()["$defs"]["LayerFacts"]["properties"]
    assert set(facts) == {
        "name", "kind", "output", "ran", "parameters", "activation", "gradient", "dead", "update",
    }  # fmt: skip
