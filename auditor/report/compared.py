"""How an audit compares with an earlier one, in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from auditor.core.comparison import Comparison, FindingChange, Kind, SpotChange
from auditor.core.text import clean_text, counted, listed
from auditor.core.verdict import SEVERITY, Verdict
from auditor.report.wording import WORDS, date, prose

MOST_PLACES = 40
"""Places of a finding that a page shows."""

TITLES: Mapping[Kind, str] = MappingProxyType(
    {
        Kind.NEW: "New",
        Kind.WORSE: "Worse",
        Kind.MOVED: "In other places",
        Kind.BETTER: "Better",
        Kind.WAIVED: "Now waived",
        Kind.FIXED: "Fixed",
        Kind.NOT_COMPARABLE: "Not comparable",
        Kind.UNCHANGED: "Unchanged",
    }
)
"""In the order in which they are shown: what changed, then what can't be told, then the rest."""

_UNJUDGED = {Verdict.NOT_APPLICABLE, Verdict.ERROR, Verdict.INCOMPLETE}


@dataclass(frozen=True)
class ChangedPlace:
    """A place and what became of it: new, gone, or as before."""

    kind: str
    name: str
    note: str


@dataclass(frozen=True)
class Changed:
    """A finding that is told about."""

    check: str
    title: str
    verdict: Verdict
    """Of the later audit; of the earlier one where that did not ask."""
    told: str
    """From which verdict to which, or why that can't be told."""
    places: tuple[ChangedPlace, ...]
    left: int
    """Places that are not shown."""


@dataclass(frozen=True)
class Reason:
    """The findings that can't be compared for one reason: "passed before, not asked now"."""

    told: str
    verdict: Verdict
    """The worst of them before or now, where that is something wrong."""
    findings: tuple[Changed, ...]

    @property
    def line(self) -> str:
        """Return of how many checks it is, and the reason."""
        return f"{counted(len(self.findings), 'check')}: {self.told}"

    def named(self, most: int) -> str:
        """Return the same with the checks by name, as many as may be."""
        return f"{self.line} ({listed([one.check for one in self.findings], most)})"


@dataclass(frozen=True)
class ChangeGroup:
    """The findings that changed in one way; those that can't be compared are told by reason."""

    kind: Kind
    title: str
    findings: tuple[Changed, ...]
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True)
class ComparedView:
    """A comparison as a report shows it: a line, and what it stands for."""

    line: str
    groups: tuple[ChangeGroup, ...]
    cautions: tuple[str, ...]


def view_compared(comparison: Comparison | None) -> ComparedView | None:
    """Return what a report shows of a comparison; what did not change is counted alone."""
    if comparison is None:
        return None
    when = f"the audit of {date(comparison.started)} ({prose(comparison.source, 200)})"
    return ComparedView(
        line=f"Compared with {when}: {summary(comparison)}.",
        groups=tuple(one for one in groups_of(comparison) if one.kind is not Kind.UNCHANGED),
        cautions=tuple(prose(text, 300) for text in comparison.cautions),
    )


def summary(comparison: Comparison) -> str:
    """Return "2 new, 1 fixed, 4 as before"; of what can't be compared, how much."""
    counts = [(len(comparison.of(kind)), title.lower()) for kind, title in TITLES.items()]
    said = [f"{count:,} {title}" for count, title in counts if count]
    if not said:
        return f"nothing found in either by {counted(comparison.fine, 'check')}"
    return ", ".join(said)


def groups_of(comparison: Comparison) -> tuple[ChangeGroup, ...]:
    """Return all findings by how they compare, the most urgent first."""
    return tuple(
        ChangeGroup(
            kind,
            title,
            tuple(map(_changed, found)),
            _reasons(found) if kind is Kind.NOT_COMPARABLE else (),
        )
        for kind, title in TITLES.items()
        if (found := comparison.of(kind))
    )


def _reasons(found: Sequence[FindingChange]) -> tuple[Reason, ...]:
    """Return the findings by why they can't be compared, the worst first."""
    alike: dict[str, list[FindingChange]] = {}
    for change in found:
        alike.setdefault(_told(change), []).append(change)
    reasons = [
        Reason(told, _wrong(some), tuple(map(_changed, some))) for told, some in alike.items()
    ]
    return tuple(sorted(reasons, key=lambda one: -SEVERITY[one.verdict]))


def _wrong(found: Sequence[FindingChange]) -> Verdict:
    seen = [one for change in found for one in (change.before, change.after) if one is not None]
    worst = max(seen, key=SEVERITY.__getitem__, default=Verdict.NOT_APPLICABLE)
    return worst if SEVERITY[worst] >= SEVERITY[Verdict.WARN] else Verdict.NOT_APPLICABLE


def _changed(change: FindingChange) -> Changed:
    places = [*map(_place, change.places[:MOST_PLACES])] if _placed(change) else []
    return Changed(
        check=clean_text(change.check, 80),
        title=prose(change.title, 300),
        verdict=change.after or change.before or Verdict.NOT_APPLICABLE,
        told=_told(change),
        places=tuple(places),
        left=len(change.places) - len(places) if places else 0,
    )


def _placed(change: FindingChange) -> bool:
    """Return whether the finding names places at all."""
    return any(place.name for place in change.places)


def _told(change: FindingChange) -> str:
    was, now = (_word(one) for one in (change.before, change.after))
    if was == now:
        return f"{now}, as before"
    told = f"{was} before, {now} now"
    judged = {change.before, change.after}.isdisjoint({None, *_UNJUDGED})
    return f"{told}: {prose(change.reason, 300)}" if change.reason and judged else told


def _word(verdict: Verdict | None) -> str:
    return "not asked" if verdict is None else WORDS[verdict].lower()


def _place(place: SpotChange) -> ChangedPlace:
    return ChangedPlace(clean_text(place.kind, 20), clean_text(place.name), _note(place))


def _note(place: SpotChange) -> str:
    if place.before == place.after:
        return "as before"
    if not place.before:
        return "new" if place.after == 1 else f"new, {place.after} times"
    if not place.after:
        return "no longer"
    return f"{place.after} times, was {place.before}"
