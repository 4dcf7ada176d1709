"""Comparing an audit with an earlier one: finding by finding, place by place."""

from collections import Counter
from collections.abc import Mapping
from enum import Enum, auto
from typing import Any

from auditor.core.comparison import Comparison, FindingChange, Kind, SpotChange
from auditor.core.finding import Finding
from auditor.core.fingerprint import Identity, fingerprint, identity_of
from auditor.core.glance import Spot, outcome_of
from auditor.core.record import AuditRecord
from auditor.core.text import clean_text, counted, listed
from auditor.core.verdict import SEVERITY, Verdict


def compared(before: AuditRecord, after: AuditRecord, source: str) -> Comparison:
    """Return how an audit compares with an earlier one, which `source` names for people.

    Findings are the same where check, subject and place are; a place named twice counts twice. A
    check that only one audit could judge, or that was judged by other limits and came to another
    verdict, can't be compared.
    """
    old, new = ({finding.check: finding for finding in one.findings} for one in (before, after))
    sections = {f.check: s.id for one in (before, after) for s in one.sections for f in s.findings}
    changes = [
        FindingChange(
            check=check,
            section=sections[check],
            title=(new.get(check) or old[check]).title,
            kind=kind,
            before=_verdict(old.get(check)),
            after=_verdict(new.get(check)),
            reason=reason,
            places=_places(check, old.get(check), new.get(check), identity_of(after.subject)),
        )
        for check in dict.fromkeys((*new, *old))
        if (told := _kind(check, old.get(check), new.get(check), before, after)) is not None
        for kind, reason in [told]
    ]
    told_of = [change for change in changes if not _fine(change)]
    return Comparison(
        source=source,
        started=before.volatile.started,
        verdict=before.verdict,
        findings=tuple(sorted(told_of, key=_urgency)),
        fine=len(changes) - len(told_of),
        cautions=_cautions(before, after),
    )


class _State(Enum):
    OPEN = auto()
    WAIVED = auto()
    FINE = auto()
    LOST = auto()
    UNASKED = auto()


_ORDER = {kind: place for place, kind in enumerate(Kind)}
_JUDGED = {_State.OPEN, _State.WAIVED, _State.FINE}


def _urgency(change: FindingChange) -> tuple[int, int]:
    now = -1 if change.after is None else SEVERITY[change.after]
    return _ORDER[change.kind], -now


def _fine(change: FindingChange) -> bool:
    """Return whether there is nothing to tell: both audits found nothing wrong that counts."""
    return change.kind is Kind.UNCHANGED and not change.places


def _verdict(finding: Finding | None) -> Verdict | None:
    return None if finding is None else finding.verdict


def _state(finding: Finding | None) -> _State:
    if finding is None or finding.verdict is Verdict.NOT_APPLICABLE:
        return _State.UNASKED
    if finding.verdict in {Verdict.WARN, Verdict.FAIL}:
        return _State.OPEN if finding.waived is None else _State.WAIVED
    return _State.FINE if finding.verdict in {Verdict.PASS, Verdict.INFO} else _State.LOST


def _kind(
    check: str, old: Finding | None, new: Finding | None, before: AuditRecord, after: AuditRecord
) -> tuple[Kind, str] | None:
    """Return how a check's findings compare, and why not; None where there is nothing to it."""
    was, now = _state(old), _state(new)
    if not {was, now} <= _JUDGED:
        return _incomparable(old, new)
    assert old is not None
    assert new is not None
    if old.verdict is not new.verdict and (said := _other_limits(check, old, new, before, after)):
        return Kind.NOT_COMPARABLE, said
    match was, now:
        case _State.OPEN, _State.OPEN:
            return _still(old, new), ""
        case _, _State.OPEN:
            return Kind.NEW, ""
        case ((_State.OPEN | _State.FINE), _State.WAIVED):
            return Kind.WAIVED, ""
        case ((_State.OPEN | _State.WAIVED), _State.FINE):
            return Kind.FIXED, ""
    return Kind.UNCHANGED, ""


def _incomparable(old: Finding | None, new: Finding | None) -> tuple[Kind, str] | None:
    idle = {None, Verdict.NOT_APPLICABLE, Verdict.INFO}
    if {_verdict(old), _verdict(new)} <= idle or _state(new) is _State.WAIVED:
        return None
    if _state(old) not in _JUDGED and _state(new) not in _JUDGED:
        return Kind.NOT_COMPARABLE, f"{_unjudged(new)} now, and {_unjudged(old)} before"
    if _state(new) in _JUDGED:
        return Kind.NOT_COMPARABLE, f"{_unjudged(old)} before"
    return Kind.NOT_COMPARABLE, f"{_unjudged(new)} now"


def _unjudged(finding: Finding | None) -> str:
    if finding is None:
        return "not asked"
    return "not applicable" if finding.verdict is Verdict.NOT_APPLICABLE else "could not be judged"


def _still(old: Finding, new: Finding) -> Kind:
    """Return how something that is wrong before and after compares."""
    if old.verdict is not new.verdict:
        return Kind.WORSE if new.verdict is Verdict.FAIL else Kind.BETTER
    return Kind.UNCHANGED if _spots(old) == _spots(new) else Kind.MOVED


def _other_limits(
    check: str, old: Finding, new: Finding, before: AuditRecord, after: AuditRecord
) -> str:
    """Return that other limits were at work; empty where they were the same.

    Limits that a check works out from what it sees differ by themselves, so that those of the
    findings count only where the audits are of different versions of the program.
    """
    if _set_limits(before.spec, check) != _set_limits(after.spec, check):
        return "the specs set other limits"
    versions = [one.environment.get("auditor") for one in (before, after)]
    if versions[0] == versions[1]:
        return ""
    limits = [
        {m.name: (m.limit.warn, m.limit.fail, m.limit.bad) for m in one.metrics if m.limit}
        for one in (old, new)
    ]
    shared = limits[0].keys() & limits[1].keys()
    moved = sorted(name for name in shared if limits[0][name] != limits[1][name])
    return f"other limits in this version of auditor: {listed(moved, 2)}" if moved else ""


def _set_limits(spec: Mapping[str, Any], check: str) -> Any:
    audit = spec.get("audit")
    limits = audit.get("limits") if isinstance(audit, dict) else None
    return limits.get(check) if isinstance(limits, dict) else None


def _spots(finding: Finding | None) -> Counter[Spot]:
    """Return how often an open finding names each place; one without a place counts once."""
    if finding is None or _state(finding) is not _State.OPEN:
        return Counter()
    return Counter(outcome_of(finding).where or (Spot("", ""),))


def _places(
    check: str, old: Finding | None, new: Finding | None, subject: Identity
) -> tuple[SpotChange, ...]:
    was, now = _spots(old), _spots(new)
    places = [
        SpotChange(
            kind=spot.kind,
            name=spot.name,
            fingerprint=fingerprint(check, subject, spot),
            before=was[spot],
            after=now[spot],
        )
        for spot in dict.fromkeys((*now, *was))
    ]
    return tuple(sorted(places, key=lambda place: place.before - place.after))


def _cautions(before: AuditRecord, after: AuditRecord) -> tuple[str, ...]:
    """Return what makes the two audits less than comparable as a whole."""
    said = []
    if identity_of(before.subject) != identity_of(after.subject):
        names = [clean_text(one.subject.name, 60) for one in (before, after)]
        said.append(
            f"The audits are of different subjects: {names[0]} and {names[1]}."
            if names[0] != names[1]
            else f"The audits are of different subjects named {names[0]}: "
            "their factories or tasks differ."
        )
    profiles = [_profile(one) for one in (before, after)]
    if profiles[0] != profiles[1]:
        said.append(f"The profiles differ: {profiles[0]}, then {profiles[1]}.")
    for split in sorted({*before.subject.data, *after.subject.data}):
        name = _SPLITS.get(split, split)
        old, new = (one.subject.data.get(split) for one in (before, after))
        if old is None or new is None:
            said.append(f"Only the {'earlier' if new is None else 'later'} audit saw {name} data.")
        elif old.fingerprint == new.fingerprint:
            continue
        elif old.batches_read != new.batches_read and not (old.complete and new.complete):
            said.append(
                f"Other parts of the {name} data were read: "
                f"{counted(old.batches_read, 'batch', 'batches')}, then {new.batches_read:,}."
            )
        else:
            said.append(f"The {name} data differ.")
    versions = [clean_text(one.environment.get("auditor", "?"), 40) for one in (before, after)]
    if versions[0] != versions[1]:
        said.append(f"Auditor {versions[0]} judged the earlier one, {versions[1]} this one.")
    return tuple(said)


_SPLITS = {"train": "training", "val": "validation"}


def _profile(record: AuditRecord) -> str:
    audit = record.spec.get("audit")
    return clean_text(audit.get("profile", "?"), 40) if isinstance(audit, dict) else "?"
