"""From kept observations to record and page: every change in them is seen in review.

`make golden` writes `record.json` and `report.html` anew from the journal beside this file.
"""

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from auditor.api import judge_folder
from auditor.core.record import AuditRecord, Volatile, record_schema, record_to_json
from auditor.report.html import render_html

HERE = Path(__file__).parent
VOLATILE = Volatile("2026-01-01T00:00:00+00:00", 1.0, "host", 1, {})


@pytest.fixture(scope="module")
def record() -> AuditRecord:
    return replace(judge_folder(HERE), volatile=VOLATILE)


@pytest.fixture(autouse=True)
def renewed(request: pytest.FixtureRequest, record: AuditRecord) -> None:
    if request.config.getoption("--golden"):
        (HERE / "record.json").write_text(record_to_json(record), encoding="utf-8")
        (HERE / "report.html").write_text(render_html(record), encoding="utf-8")
        schema = json.dumps(record_schema(), indent=2) + "\n"
        (HERE / "record.schema.json").write_text(schema, encoding="utf-8")


def alike(one: Any, other: Any) -> bool:
    """Tell whether two JSON values agree, numbers to nine digits: CPUs differ in the last."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(alike(one[k], other[k]) for k in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)
    return bool(one == other)


def test_the_record_is_the_golden_one(record: AuditRecord) -> None:
    golden = json.loads((HERE / "record.json").read_text(encoding="utf-8"))
    assert alike(json.loads(record_to_json(record)), golden)


def test_the_page_is_the_golden_one(record: AuditRecord) -> None:
    def text(page: str) -> list[str]:
        return re.sub(r"<svg.*?</svg>", "<svg/>", page, flags=re.DOTALL).splitlines()

    golden = (HERE / "report.html").read_text(encoding="utf-8")
    assert text(render_html(record)) == text(golden)


def test_the_schema_is_the_golden_one_and_fits_the_record() -> None:
    import jsonschema

    schema = json.loads((HERE / "record.schema.json").read_text(encoding="utf-8"))
    assert schema == record_schema()
    jsonschema.validate(json.loads((HERE / "record.json").read_text(encoding="utf-8")), schema)
