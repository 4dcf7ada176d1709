"""What changed between two records, finding by finding and place by place."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from auditor.core.compare import compared
from auditor.core.comparison import Comparison, FindingChange, Kind
from auditor.core.finding import Finding, Limit, Metric, Place
from auditor.core.fingerprint import fingerprint, identity_of
from auditor.core.record import AuditRecord, Section, Volatile
from auditor.core.subject import SplitFacts, SubjectFacts, TargetFacts
from auditor.core.verdict import Verdict, worst

SUBJECT = SubjectFacts(
    "digits", "model:build", None, 1, 1, "cpu", "multiclass", "", 10, {}, frozenset(), {}
)


def found(check: str, verdict: str, *places: str, **other: Any) -> Finding:
    where = tuple(Place("layer", name) for name in places)
    return Finding(check, Verdict(verdict), f"About {check}", "Seen.", where=where, **other)


def record(*findings: Finding, **other: Any) -> AuditRecord:
    verdict = worst(one.verdict for one in findings if one.waived is None)
    section = Section("internals", "Inside", verdict, findings)
    known = AuditRecord(
        schema_version=1,
        verdict=verdict,
        sections=(section,),
        causes=(),
        subject=SUBJECT,
        spec={"audit": {"profile": "standard", "limits": {}}},
        environment={"auditor": "1"},
        plan=(),
        warnings=(),
        error=None,
        volatile=Volatile("2026-01-01T12:00:00+00:00", 1.0, "host", 1, {}),
    )
    return replace(known, **other)


def comparison(old: Finding | None, new: Finding | None, **other: Any) -> Comparison:
    before, after = (record(*([one] if one else [])) for one in (old, new))
    return compared(before, replace(after, **other), "it")


def change(old: Finding | None, new: Finding | None, **other: Any) -> FindingChange:
    (only,) = comparison(old, new, **other).findings
    return only


FAILS, WARNS = found("a", "fail", "x"), found("a", "warn", "x")
PASSES, NOTES = found("a", "pass"), found("a", "info")
NEVER, BROKEN = found("a", "not_applicable"), found("a", "error")
WAIVED = replace(FAILS, waived="on purpose")


@pytest.mark.parametrize(
    ("old", "new", "kind", "is_new"),
    [
        (PASSES, FAILS, Kind.NEW, True),
        (NOTES, FAILS, Kind.NEW, True),
        (PASSES, WARNS, Kind.NEW, False),
        (WAIVED, FAILS, Kind.NEW, True),
        (WARNS, FAILS, Kind.WORSE, True),
        (FAILS, WARNS, Kind.BETTER, False),
        (FAILS, FAILS, Kind.UNCHANGED, False),
        (FAILS, PASSES, Kind.FIXED, False),
        (WAIVED, PASSES, Kind.FIXED, False),
        (FAILS, WAIVED, Kind.WAIVED, False),
        (PASSES, WAIVED, Kind.WAIVED, False),
        (FAILS, found("a", "fail", "x", "y"), Kind.MOVED, True),
        (found("a", "fail", "x", "y"), FAILS, Kind.MOVED, False),
        (WARNS, found("a", "warn", "y"), Kind.MOVED, False),
        (None, FAILS, Kind.NOT_COMPARABLE, True),
        (NEVER, FAILS, Kind.NOT_COMPARABLE, True),
        (BROKEN, FAILS, Kind.NOT_COMPARABLE, True),
        (None, PASSES, Kind.NOT_COMPARABLE, False),
        (FAILS, None, Kind.NOT_COMPARABLE, False),
        (FAILS, NEVER, Kind.NOT_COMPARABLE, False),
        (FAILS, BROKEN, Kind.NOT_COMPARABLE, False),
        (PASSES, BROKEN, Kind.NOT_COMPARABLE, False),
        (BROKEN, BROKEN, Kind.NOT_COMPARABLE, False),
    ],
)
def test_kinds(old: Finding | None, new: Finding | None, kind: Kind, is_new: bool) -> None:
    told = change(old, new)
    assert (told.kind, told.new_failure) == (kind, is_new)
    assert bool(told.reason) == (kind is Kind.NOT_COMPARABLE)


@pytest.mark.parametrize(
    ("old", "new", "fine"),
    [
        (PASSES, PASSES, 1),
        (PASSES, NOTES, 1),
        (WAIVED, WAIVED, 1),
        (NEVER, NEVER, 0),
        (None, NEVER, 0),
        (NOTES, NEVER, 0),
        (None, NOTES, 0),
        (None, WAIVED, 0),
    ],
)
def test_what_there_is_nothing_to_tell_of(
    old: Finding | None, new: Finding | None, fine: int
) -> None:
    told = comparison(old, new)
    assert (told.findings, told.fine) == ((), fine)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (None, FAILS, "not asked before"),
        (FAILS, None, "not asked now"),
        (NEVER, FAILS, "not applicable before"),
        (BROKEN, FAILS, "could not be judged before"),
        (BROKEN, NEVER, "not applicable now, and could not be judged before"),
    ],
)
def test_why_it_can_not_be_compared(old: Finding | None, new: Finding, reason: str) -> None:
    assert change(old, new).reason == reason


def test_places_are_counted_by_fingerprint() -> None:
    told = change(found("a", "fail", "x", "y", "y"), found("a", "fail", "y", "z", "z"))
    assert {place.name: (place.before, place.after) for place in told.places} == {
        "x": (1, 0),
        "y": (2, 1),
        "z": (0, 2),
    }
    assert [place.name for place in told.new_places] == ["z"]
    assert [place.name for place in told.gone_places] == ["y", "x"]
    assert told.places[0].fingerprint == fingerprint(
        "a", identity_of(SUBJECT), Place("layer", "z", "whatever")
    )


def test_a_finding_without_a_place_has_one_for_the_whole() -> None:
    (place,) = change(found("a", "pass"), found("a", "fail")).places
    assert (place.kind, place.name, place.before, place.after) == ("", "", 0, 1)
    assert place.fingerprint == fingerprint("a", identity_of(SUBJECT))


def measured(verdict: str, fail: float) -> Finding:
    return found("a", verdict, metrics=(Metric("dead units", 0.3, limit=Limit(None, fail)),))


def test_a_verdict_by_other_limits_is_no_change_of_the_model() -> None:
    limits: Mapping[str, Any] = {"audit": {"profile": "standard", "limits": {"a": {"d": {}}}}}
    told = change(PASSES, FAILS, spec=limits)
    assert (told.kind, told.reason) == (Kind.NOT_COMPARABLE, "the specs set other limits")
    other = change(measured("pass", 0.5), measured("fail", 0.2), environment={"auditor": "2"})
    assert other.kind is Kind.NOT_COMPARABLE
    assert other.reason == "other limits in this version of auditor: dead units"
    same = change(measured("pass", 0.2), measured("fail", 0.2), environment={"auditor": "2"})
    assert same.kind is Kind.NEW
    by_itself = change(measured("pass", 0.5), measured("fail", 0.2))
    assert by_itself.kind is Kind.NEW, "a limit that a check works out may differ"
    assert change(FAILS, FAILS, spec=limits).kind is Kind.UNCHANGED


def test_the_most_urgent_come_first() -> None:
    kinds = {"fixed": "pass", "worse": "fail", "new-warning": "warn", "new-failure": "fail"}
    before = {"fixed": "fail", "worse": "warn", "new-warning": "pass", "new-failure": "pass"}
    told = compared(
        record(*(found(check, verdict) for check, verdict in before.items())),
        record(*(found(check, verdict) for check, verdict in kinds.items())),
        "it",
    )
    assert [one.check for one in told.findings] == ["new-failure", "new-warning", "worse", "fixed"]


def split(fingerprint: str) -> SplitFacts:
    targets = TargetFacts("classes", 8)
    return SplitFacts(1, 1, 8, 8, True, (), "", targets, fingerprint)


def test_cautions() -> None:
    before = record(subject=replace(SUBJECT, data={"train": split("1"), "val": split("1")}))
    after = replace(
        before,
        subject=replace(SUBJECT, name="letters", data={"val": split("2")}),
        spec={"audit": {"profile": "quick"}},
        environment={"auditor": "2"},
    )
    assert compared(before, before, "it").cautions == ()
    assert compared(before, after, "it").cautions == (
        "The audits are of different subjects: digits and letters.",
        "The profiles differ: standard, then quick.",
        "Only the earlier audit saw training data.",
        "The validation data differ.",
        "Auditor 1 judged the earlier one, 2 this one.",
    )
    part = replace(split("3"), batches=4, batches_read=2, complete=False)
    shorter = replace(before, subject=replace(SUBJECT, data={"train": part, "val": split("1")}))
    assert compared(before, shorter, "it").cautions == (
        "Other parts of the training data were read: 1 batch, then 2.",
    )
    other = replace(before, subject=replace(before.subject, factory="model:other"))
    (said,) = compared(before, other, "it").cautions
    assert "factories or tasks differ" in said
