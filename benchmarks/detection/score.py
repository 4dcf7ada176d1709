"""How well the audits did."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch

import numpy as np
from scipy import stats

from benchmarks.detection.case import Case
from benchmarks.detection.found import Found, Said
from benchmarks.detection.scores import killed

FIRST_PLACES = 3


@dataclass(frozen=True)
class Outcome:
    """How one faulty case came out; `place` is None where the fault has no one place.

    `counts` is False for a mutant that does as well as its twin, though its fault does not hide
    from the metric by nature, and for a post whose fix does not help.
    """

    case: Case
    counts: bool
    killed: bool
    metric: tuple[float, float]
    loud: tuple[str, ...]
    causes: tuple[str, ...]
    rank: int | None
    place: bool | None
    seconds: float | None

    @property
    def detected(self) -> bool:
        """Whether a check warns or fails that does not on the healthy twin."""
        return bool(self.loud)


@dataclass(frozen=True)
class Rate:
    """A share of cases with its 95 % interval by Wilson's method (Wilson 1927)."""

    hits: int
    of: int

    @property
    def interval(self) -> tuple[float, float]:
        """Return the ends of the interval."""
        found = stats.binomtest(self.hits, self.of).proportion_ci(method="wilson")
        return float(found.low), float(found.high)

    def __str__(self) -> str:
        if not self.of:
            return "no case"
        low, high = self.interval
        return f"{self.hits} of {self.of}: {self.hits / self.of:.0%} ({low:.0%} to {high:.0%})"


def outcome(case: Case, found: Found, twin: Found) -> Outcome:
    """Score what an audit said of a faulty case against what it said of its healthy twin."""
    worse = killed(np.asarray(found.scores), np.asarray(twin.scores))
    quiet = {(said.check, said.verdict) for said in twin.said}
    quiet |= {(check, "warn") for check, verdict in quiet if verdict == "fail"}
    loud = [said for said in found.said if (said.check, said.verdict) not in quiet]
    causes = tuple(named.cause for named in found.named)
    rank = next((i for i, cause in enumerate(causes, 1) if cause in case.causes), None)
    return Outcome(
        case=case,
        counts=worse or bool(case.hides),
        killed=worse,
        metric=(found.metric(), twin.metric()),
        loud=tuple(said.check for said in loud),
        causes=causes,
        rank=rank,
        place=_placed(case, found, loud) if case.places else None,
        seconds=found.seconds,
    )


def _placed(case: Case, found: Found, loud: list[Said]) -> bool:
    """Tell whether the fault's place is among the first of a finding behind a right cause."""
    right = {
        check for named in found.named[:3] if named.cause in case.causes for check in named.findings
    }
    return any(
        fnmatch(place, f"*{pattern}*")
        for said in loud
        if said.check in right
        for place in said.places[:FIRST_PLACES]
        for pattern in case.places
    )


@dataclass(frozen=True)
class Totals:
    """The score over some faulty cases."""

    detected: Rate
    first: Rate
    third: Rate
    place: Rate


def totals(outcomes: Iterable[Outcome]) -> Totals:
    """Add up the cases that count."""
    counted = [one for one in outcomes if one.counts]
    placed = [one for one in counted if one.place is not None]
    return Totals(
        detected=Rate(sum(one.detected for one in counted), len(counted)),
        first=Rate(sum(one.rank == 1 for one in counted), len(counted)),
        third=Rate(sum(one.rank is not None and one.rank <= 3 for one in counted), len(counted)),
        place=Rate(sum(bool(one.place) for one in placed), len(placed)),
    )


@dataclass(frozen=True)
class Alarms:
    """What was said of healthy models: (model, check, summary) of each warning and failure."""

    audits: int
    fails: tuple[tuple[str, str, str], ...]
    warns: tuple[tuple[str, str, str], ...]


def alarms(found: Mapping[str, Found], healthy: Iterable[Case]) -> Alarms:
    """Gather what was said of the healthy cases that were run."""
    ran = [found[case.id] for case in healthy if case.id in found]
    said = [(one.case, entry) for one in ran for entry in one.said]

    def those(verdict: str) -> tuple[tuple[str, str, str], ...]:
        return tuple(
            (case, entry.check, entry.summary) for case, entry in said if entry.verdict == verdict
        )

    return Alarms(len(ran), those("fail"), those("warn"))
