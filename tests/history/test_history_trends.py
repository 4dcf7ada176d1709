"""Which metrics are followed over the last audits, and what is kept of them."""

from pathlib import Path
from typing import Any

import pytest
from kept_records import audited, found

from auditor.core.finding import Finding, Limit, Metric
from auditor.core.key_metrics import KEY, key_metrics
from auditor.core.record import read_record
from auditor.core.verdict import Verdict
from auditor.history.entry import id_of
from auditor.history.sqlite import SqliteHistory
from auditor.history.trends import MOST_AUDITS, past_of
from tests.subjects import ROOT


@pytest.fixture
def history(tmp_path: Path) -> SqliteHistory:
    return SqliteHistory(tmp_path / "history.sqlite")


def measured(check: str, verdict: str = "pass", **values: float | None) -> Finding:
    metrics = tuple(
        Metric(name.replace("_", " "), value, limit=Limit(1.0, 2.0))
        for name, value in values.items()
    )
    return found(check, verdict, metrics=metrics)


def trends(history: SqliteHistory, *findings: Finding, day: int = 28, **other: Any) -> list[str]:
    return [trend.name for trend in past_of(audited(day, *findings, **other), history).trends]


def test_the_last_twelve_the_oldest_first(history: SqliteHistory) -> None:
    for day in range(1, 16):
        history.add(audited(day, measured("dead-units", dead_units=day / 100)))
    history.add(audited(15, name="letters"))
    record = audited(16, measured("dead-units", dead_units=0.16))
    past = past_of(record, history)
    assert len(past.audits) == MOST_AUDITS
    assert [one.started[8:10] for one in past.audits] == [f"{day:02}" for day in range(5, 17)]
    assert past.audits[-1].id == id_of(record)
    (trend,) = past.trends
    assert (trend.check, trend.name, trend.limit) == ("dead-units", "dead units", Limit(1.0, 2.0))
    assert [point and point.value for point in trend.points] == [d / 100 for d in range(5, 17)]


def test_an_audit_that_is_kept_already_stands_there_once(history: SqliteHistory) -> None:
    records = [audited(day, measured("dead-units", dead_units=0.1)) for day in (1, 2, 3)]
    for record in records:
        history.add(record)
    past = past_of(records[1], history)
    assert [one.started[8:10] for one in past.audits] == ["01", "02"], "none that came after it"


def test_three_audits_have_to_have_measured_it(history: SqliteHistory) -> None:
    two = measured("dead-units", dead_units=0.1)
    history.add(audited(1, two))
    assert trends(history, two) == []
    history.add(audited(2, measured("dead-units", dead_units=None)))
    history.add(audited(3, measured("other", dead_units=0.1)))
    assert trends(history, two) == []
    history.add(audited(4, measured("dead-units", dead_units=float("nan"))))
    assert trends(history, two) == [], "what is no number was not measured"
    history.add(audited(5, two))
    (trend,) = past_of(audited(28, two), history).trends
    assert [point is not None for point in trend.points] == [True, *[False] * 3, True, True]


def test_key_metrics_and_what_is_wrong_are_followed(history: SqliteHistory) -> None:
    many = (
        measured("scaled", "fail", growth=3.0),
        measured("excused", "fail", growth=3.0),
        measured("fine", growth=0.1),
        measured("overfitted", **{"accuracy,_validation": 0.9, "other": 1.0}),
    )
    for day in (1, 2):
        history.add(audited(day, *many))
    waived = found("excused", "fail", metrics=many[1].metrics, waived="known")
    assert trends(history, many[0], waived, *many[2:]) == ["accuracy, validation", "growth"]


def test_metrics_without_a_limit_are_followed_only_where_they_are_key(
    history: SqliteHistory,
) -> None:
    fails = found("other", "fail", metrics=(Metric("loss", 1.0),))
    for day in (1, 2):
        history.add(audited(day, fails))
    assert trends(history, fails) == []


def test_key_metrics_are_metrics_that_checks_measure() -> None:
    from auditor.checks import catalogue

    assert {*KEY} <= {check.id for check in catalogue()}
    record = read_record(ROOT / "tests/golden/record.json")
    told = {check for check, _ in key_metrics(record.findings)}
    assert told == {*KEY}, "the golden audit measures them all"
    assert all(
        finding.verdict is not Verdict.NOT_APPLICABLE
        for finding in record.findings
        if finding.check in told
    )
