"""Figures for Prometheus, read by its own parser."""

import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from auditor.core.finding import Finding, Metric
from auditor.core.record import read_record
from auditor.core.verdict import Verdict
from auditor.report.prometheus import render_prometheus
from tests.subjects import ROOT

HOSTILE = 'a\\b"c\n# TYPE x counter\n{},=\x00\u202eü'


@pytest.fixture(scope="module")
def golden():
    return read_record(ROOT / "tests/golden/record.json")


def samples(text: str) -> list:
    return [s for family in text_string_to_metric_families(text) for s in family.samples]


def one(text: str, name: str, **labels: str) -> float:
    (found,) = (
        s.value for s in samples(text) if s.name == name and labels.items() <= s.labels.items()
    )
    return found


def with_finding(record, finding):
    first, *rest = record.sections
    return replace(record, sections=(replace(first, findings=(finding,)), *rest))


def test_every_family_has_its_help_and_type_once_and_no_series_twice(golden):
    text = render_prometheus(golden)
    assert text.endswith("\n")
    for word in ("HELP", "TYPE"):
        names = re.findall(rf"^# {word} (\S+)", text, re.MULTILINE)
        assert len(names) == len(set(names)) >= 8
        assert all(re.fullmatch(r"audit_[a-z_]*[a-z]", name) for name in names)
    series = [(s.name, tuple(sorted(s.labels.items()))) for s in samples(text)]
    assert len(series) == len(set(series))
    # A family's samples stand together, as the parsers of some programs want it.
    order = [line.split("{")[0] for line in text.splitlines() if not line.startswith("#")]
    assert len(dict.fromkeys(order)) == sum(
        a != b for a, b in zip(order, ["", *order], strict=False)
    )


def test_a_verdict_is_a_set_of_states(golden):
    text = render_prometheus(golden)
    assert one(text, "audit_verdict", verdict="fail") == 1
    assert sum(s.value for s in samples(text) if s.name == "audit_verdict") == 1
    for section in golden.sections:
        assert one(text, "audit_section_verdict", section=section.id, verdict=section.verdict) == 1
    for finding in golden.findings:
        assert one(text, "audit_finding_verdict", check=finding.check, verdict=finding.verdict) == 1
        states = [s.value for s in samples(text) if s.labels.get("check") == finding.check]
        assert states.count(1.0) >= 1
    failed = [f for f in golden.findings if f.verdict is Verdict.FAIL and f.waived is None]
    assert one(text, "audit_findings", verdict="fail") == len(failed)


def test_metrics_stand_with_their_intervals(golden):
    text = render_prometheus(golden)
    found, metric = next(
        (f, m) for f in golden.findings for m in f.metrics if None not in (m.value, m.low, m.high)
    )
    for suffix, value in (("", metric.value), ("_low", metric.low), ("_high", metric.high)):
        name = f"audit_metric{suffix}"
        assert one(text, name, check=found.check, metric=metric.name, unit=metric.unit) == value


def test_numbers_that_are_not_finite_and_names_that_are_hostile(golden):
    metrics = (
        Metric(HOSTILE, math.nan, HOSTILE),
        Metric("infinite", math.inf),
        Metric("minus infinite", -math.inf),
        Metric("not measured", None),
        Metric("twice", 1.0),
        Metric("twice", 2.0),
    )
    finding = Finding("dead-units", Verdict.FAIL, "t", "s", metrics, waived="because")
    record = with_finding(golden, finding)
    record = replace(record, subject=replace(record.subject, name=HOSTILE))
    text = render_prometheus(record)
    assert "\x00" not in text
    assert "\u202e" not in text
    values = {s.labels["metric"]: s.value for s in samples(text) if s.name == "audit_metric"}
    assert values["infinite"] == math.inf
    assert values["minus infinite"] == -math.inf
    assert values["twice"] == 1.0
    assert "not measured" not in values
    (nan,) = (value for name, value in values.items() if name.startswith("a\\b"))
    assert math.isnan(nan)
    assert {s.name for s in samples(text)} >= {"audit_finding_waived"}
    assert all(s.labels["name"].startswith('a\\b"c\\n#') for s in samples(text))


def test_times(golden):
    text = render_prometheus(golden)
    assert one(text, "audit_duration_seconds") == golden.volatile.seconds
    broken = replace(golden, volatile=replace(golden.volatile, started="long ago"))
    names = {s.name for s in samples(render_prometheus(broken))}
    assert "audit_started_timestamp_seconds" not in names
    began = replace(golden, volatile=replace(golden.volatile, started="2026-11-27T02:00:00+00:00"))
    assert one(render_prometheus(began), "audit_started_timestamp_seconds") == 1795744800.0


def test_a_file_is_written_whole_or_not_at_all(golden, tmp_path, monkeypatch):
    from auditor.commands.unattended import afterwards
    from auditor.core.spec_file import spec_from

    file = tmp_path / "audit.prom"
    spec = spec_from({}, "", tmp_path)
    file.write_text("old", encoding="utf-8")

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full)
        (problem,) = afterwards(golden, spec, None, str(file))
    assert problem.endswith("audit.prom: not written: No space left on device")
    assert file.read_text() == "old"
    assert list(afterwards(golden, spec, None, str(file))) == []
    assert file.read_text() == render_prometheus(golden)
    assert [path.name for path in Path(tmp_path).iterdir()] == ["audit.prom"]
