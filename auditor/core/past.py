"""What earlier audits of the same subject measured, as far as a report shows it."""

from dataclasses import dataclass

from auditor.core.finding import Limit
from auditor.core.values import Number
from auditor.core.verdict import Verdict


@dataclass(frozen=True)
class PastAudit:
    """One audit: when it began and what came out; `id` finds it in the history."""

    id: str
    started: str
    verdict: Verdict


@dataclass(frozen=True)
class Point:
    """What one audit measured; sampled values carry their 95 % interval [low, high]."""

    value: Number
    low: Number | None = None
    high: Number | None = None


@dataclass(frozen=True)
class Trend:
    """A metric of a check over audits, the oldest first; None where an audit lacks it."""

    check: str
    name: str
    unit: str
    points: tuple[Point | None, ...]
    limit: Limit | None = None
    """As it is in the newest audit."""


@dataclass(frozen=True)
class Past:
    """The last audits of a subject, the oldest first, this one the last; and their trends."""

    audits: tuple[PastAudit, ...]
    trends: tuple[Trend, ...] = ()
