"""Which layers a finding speaks of: the verdicts on the map."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from auditor.core.finding import Finding, Place
from auditor.core.layer import MODEL
from auditor.core.record import AuditRecord
from auditor.core.text import clean_text
from auditor.core.verdict import SEVERITY, Verdict
from auditor.report.view_finding import FindingView


@dataclass(frozen=True)
class Entry:
    """A finding and the layers it speaks of, by place; `number` is what stands beside them.

    `cause` tells that a likely root cause is seen in it. `elsewhere` names its layers and
    parameters that are no layer of the map.
    """

    number: int
    finding: FindingView
    cause: bool
    rows: tuple[int, ...]
    elsewhere: tuple[str, ...]


@dataclass(frozen=True)
class Mark:
    """The worst verdict on one layer, the numbers of what it comes from, and the first of these."""

    verdict: Verdict
    numbers: tuple[int, ...]
    cause: bool
    target: str


def entries_of(
    record: AuditRecord, names: Sequence[str], known: Mapping[str, FindingView]
) -> tuple[Entry, ...]:
    """Return the findings that fail or warn of a layer: of causes first, then the worst.

    What is waived is left out. Last come those that speak of no layer of the map.
    """
    index = _Index(names)
    first = [clean_text(cause.findings[0], 80) for cause in record.causes if cause.findings]
    found = []
    for finding in record.findings:
        view = known.get(clean_text(finding.check, 80))
        if view is None or not _marks(finding):
            continue
        rows, elsewhere = index.rows_of(finding.where)
        if rows or elsewhere:
            found.append((view, rows, elsewhere))
    found.sort(key=lambda one: (not one[1], _rank(first, one[0]), -SEVERITY[one[0].verdict]))
    return tuple(
        Entry(number, view, view.check in first, rows, elsewhere)
        for number, (view, rows, elsewhere) in enumerate(found, 1)
    )


def marks_of(entries: Iterable[Entry]) -> dict[int, Mark]:
    """Return the mark of each layer that has one, by its place."""
    marks: dict[int, Mark] = {}
    for entry in entries:
        verdict, target = entry.finding.verdict, entry.finding.id
        for row in entry.rows:
            old = marks.get(row, Mark(verdict, (), False, target))
            marks[row] = Mark(
                max(old.verdict, verdict, key=SEVERITY.__getitem__),
                (*old.numbers, entry.number),
                old.cause or entry.cause,
                old.target,
            )
    return dict(sorted(marks.items()))


def _marks(finding: Finding) -> bool:
    return finding.verdict in (Verdict.FAIL, Verdict.WARN) and finding.waived is None


def _rank(first: list[str], view: FindingView) -> int:
    return first.index(view.check) if view.check in first else len(first)


class _Index:
    """Finds the layers that a name stands for."""

    def __init__(self, names: Sequence[str]) -> None:
        self._own: dict[str, int] = {}
        self._below: dict[str, list[int]] = {}
        for row, name in enumerate(names):
            key = name.removesuffix("()")
            self._own.setdefault(key, row)
            while key := key.rpartition(".")[0]:
                self._below.setdefault(key, []).append(row)

    def rows_of(self, places: Iterable[Place]) -> tuple[tuple[int, ...], tuple[str, ...]]:
        """Return the layers that places speak of, and the names of places that are on none."""
        rows: set[int] = set()
        elsewhere: dict[str, None] = {}
        for place in places:
            if place.kind not in ("layer", "parameter"):
                continue
            name = clean_text(place.name)
            met = self._parameter(name) if place.kind == "parameter" else self._layer(name)
            rows.update(met)
            if not met:
                elsewhere[name] = None
        return tuple(sorted(rows)), tuple(elsewhere)

    def _parameter(self, name: str) -> list[int]:
        return self._nearest(name.rpartition(".")[0] or MODEL)

    def _layer(self, name: str) -> list[int]:
        """Return the layer, or those inside where it is a container of layers."""
        key = name.removesuffix("()")
        own = [self._own[key]] if key in self._own else []
        return own + self._below.get(key, []) or self._nearest(key)

    def _nearest(self, key: str) -> list[int]:
        """Return the layer, or the one that holds it: attention runs its projections itself."""
        while key and key not in self._own:
            key = key.rpartition(".")[0]
        return [self._own[key]] if key else []
