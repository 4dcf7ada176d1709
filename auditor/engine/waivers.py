"""Waivers: which findings they cover on a day, what still counts, and which are of no use."""

import datetime
import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from auditor.core.finding import Finding, Judgement
from auditor.core.spec import WaiverSpec
from auditor.core.text import clean_text, listed
from auditor.core.verdict import Verdict
from auditor.core.waiver import Waiver, WaiverState

NOTICE = datetime.timedelta(days=14)
"""How long before its end a waiver is announced to end: time to mend what it covers."""

_FLAWS = (Verdict.WARN, Verdict.FAIL)


@dataclass(frozen=True)
class Pardon:
    """What waivers do to a finding: why it is waived, or why it counts although there are some."""

    waived: str | None = None
    note: str = ""


def pardon(
    check: str, judgement: Judgement, waivers: Iterable[WaiverSpec], today: datetime.date
) -> Pardon:
    """Return what waivers do to what a check found: they have to cover all its places."""
    if judgement.verdict not in _FLAWS:
        return Pardon()
    own = [waiver for waiver in waivers if waiver.check == check]
    covering = {
        place: next((waiver for waiver in own if _covers(waiver, place, today)), None)
        for place in _places(judgement)
    }
    reasons = "; ".join(dict.fromkeys(_reason(one) for one in own if one in covering.values()))
    if None not in covering.values():
        return Pardon(waived=reasons)
    open_ = [place for place, waiver in covering.items() if waiver is None]
    said = []
    if reasons:
        waived = [place for place, waiver in covering.items() if waiver is not None]
        said.append(f"Waived at {listed(waived)}: {reasons}. Counts at {listed(open_)}.")
    said += [
        f"{_spot(one)} ({clean_text(one.reason)}) expired on {one.until}, so it counts again."
        for one in own
        if _expired(one, today) and any(_matches(one, place) for place in open_)
    ]
    return Pardon(note=" ".join(said))


def outcomes(
    waivers: Iterable[WaiverSpec], findings: Sequence[Finding], today: datetime.date
) -> tuple[Waiver, ...]:
    """Return what became of each waiver among all findings of an audit."""
    waivers = tuple(waivers)
    by_check = {finding.check: finding for finding in findings}
    return tuple(_outcome(waiver, waivers, by_check, today) for waiver in waivers)


def _outcome(
    waiver: WaiverSpec,
    all_: Sequence[WaiverSpec],
    found: Mapping[str, Finding],
    today: datetime.date,
) -> Waiver:
    finding = found.get(waiver.check)
    met: tuple[str, ...] = ()
    if finding is not None and finding.verdict in _FLAWS:
        met = tuple(place for place in _places(finding) if _matches(waiver, place))
    state = WaiverState.HOLDS if met else WaiverState.UNMATCHED
    if _expired(waiver, today):
        state = WaiverState.EXPIRED
        others = [one for one in all_ if one.check == waiver.check and one is not waiver]
        met = tuple(place for place in met if not any(_covers(one, place, today) for one in others))
    elif finding is None or finding.verdict in (Verdict.ERROR, Verdict.NOT_APPLICABLE):
        state = WaiverState.IDLE
    elif met and waiver.until is not None and waiver.until - today <= NOTICE:
        state = WaiverState.ENDING
    until = "" if waiver.until is None else waiver.until.isoformat()
    return Waiver(waiver.check, waiver.where, waiver.reason, until, state, met)


def _places(found: Judgement | Finding) -> tuple[str, ...]:
    """Return the names of the places, each once; a finding without a place has one of no name."""
    return tuple(dict.fromkeys(place.name for place in found.where)) or ("",)


def _matches(waiver: WaiverSpec, place: str) -> bool:
    """Tell whether a waiver speaks of a place: by its very name, or by a pattern."""
    return waiver.where == place or fnmatch.fnmatchcase(place, waiver.where)


def _covers(waiver: WaiverSpec, place: str, today: datetime.date) -> bool:
    return _matches(waiver, place) and not _expired(waiver, today)


def _expired(waiver: WaiverSpec, today: datetime.date) -> bool:
    return waiver.until is not None and waiver.until < today


def _reason(waiver: WaiverSpec) -> str:
    end = "" if waiver.until is None else f" (until {waiver.until})"
    return f"{waiver.reason.rstrip('.')}{end}"


def _spot(waiver: WaiverSpec) -> str:
    return "Its waiver" if waiver.where == "*" else f"The waiver for {clean_text(waiver.where, 60)}"
