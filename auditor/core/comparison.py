"""How an audit compares with an earlier one, as plain values."""

from dataclasses import dataclass
from enum import StrEnum

from auditor.core.verdict import Verdict


class Kind(StrEnum):
    """How a finding compares with what its check found before, the most urgent first."""

    NEW = "new"
    WORSE = "worse"
    MOVED = "moved"
    """As bad as before, but in other places."""
    NOT_COMPARABLE = "not_comparable"
    BETTER = "better"
    WAIVED = "waived"
    FIXED = "fixed"
    UNCHANGED = "unchanged"


@dataclass(frozen=True)
class SpotChange:
    """A place of a finding, how often it was named before, and how often it is now.

    A finding that names no place has one without kind and name.
    """

    kind: str
    name: str
    fingerprint: str
    before: int
    after: int


@dataclass(frozen=True)
class FindingChange:
    """What a check found in both audits; `reason` says why that can't be compared.

    A verdict is None where the audit did not ask the check.
    """

    check: str
    section: str
    title: str
    kind: Kind
    before: Verdict | None
    after: Verdict | None
    reason: str = ""
    places: tuple[SpotChange, ...] = ()
    """Those that were seen once at least, the new ones first."""

    @property
    def new_places(self) -> tuple[SpotChange, ...]:
        """Return the places that are named more often than before."""
        return tuple(place for place in self.places if place.after > place.before)

    @property
    def gone_places(self) -> tuple[SpotChange, ...]:
        """Return the places that are named less often than before."""
        return tuple(place for place in self.places if place.after < place.before)

    @property
    def new_failure(self) -> bool:
        """Return whether this failure, or part of it, was not there before as far as is known."""
        return self.after is Verdict.FAIL and (
            self.kind in {Kind.NEW, Kind.WORSE, Kind.NOT_COMPARABLE}
            or (self.kind is Kind.MOVED and bool(self.new_places))
        )


@dataclass(frozen=True)
class Comparison:
    """An audit beside an earlier one: `source` names it, `started` and `verdict` are its own."""

    source: str
    started: str
    verdict: Verdict
    findings: tuple[FindingChange, ...]
    """What is or was wrong and what can't be compared, the most urgent first."""
    fine: int
    """Checks that found nothing wrong in either audit."""
    cautions: tuple[str, ...] = ()
    """Why the two are not quite of the same thing."""

    def of(self, kind: Kind) -> tuple[FindingChange, ...]:
        """Return the findings that compare in one way."""
        return tuple(finding for finding in self.findings if finding.kind is kind)
