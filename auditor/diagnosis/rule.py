"""What a rule of the table of root causes says."""

from collections.abc import Callable
from dataclasses import dataclass

from auditor.core.finding import Finding, Place
from auditor.core.verdict import SEVERITY, Verdict
from auditor.observations.treatment import TreatmentOver

Trial = Callable[[Finding | None], TreatmentOver | None]


@dataclass(frozen=True)
class Sight:
    """A finding in which a cause is seen itself.

    It is one of `check`, of the verdict `least` or worse, of which `when` is true, and, where
    `words` are given, with one of them in the name or note of a place. Where it fails a `fact` is
    no guess, however little it explains. An `exact` one names the very setting: of two causes that
    may each have brought about the other it comes first, and where it is a fact as well, it has
    come of no other. Seen here, the cause also `explains` more than its rule says.
    """

    check: str
    words: tuple[str, ...] = ()
    when: Callable[[Finding], bool] = bool
    least: Verdict = Verdict.WARN
    fact: bool = False
    exact: bool = False
    explains: tuple[str, ...] = ()

    def sees(self, finding: Finding) -> bool:
        """Tell whether a finding of this check shows the cause."""
        if SEVERITY[finding.verdict] < SEVERITY[self.least] or not self.when(finding):
            return False
        return not self.words or self.place(finding) is not None

    def place(self, finding: Finding) -> Place | None:
        """Return the first place at which the cause is seen."""
        for place in finding.where:
            if not self.words or self._said(f"{place.name} {place.note}"):
                return place
        return None

    def _said(self, text: str) -> bool:
        return any(word in text.lower() for word in self.words)


@dataclass(frozen=True)
class Cure:
    """A remedy that can be tried on copies: what it is, in words, and the trial.

    `text` may name `{place}`, `{note}` and `{names}`, the parameters that the finding names. Advice
    of the finding that starts with one of `like` says the same with the user's numbers, and stands
    in its place. A `fallback` is tried only where the first remedy did not help.
    """

    text: str
    trial: Trial
    like: tuple[str, ...] = ()
    fallback: bool = False


@dataclass(frozen=True)
class Rule:
    """One cause.

    It is seen in one of `sights`, the clearest first; or, where none of their checks could tell,
    it is suspected from `signs`: of each group, one check must have found something. `explains`
    are the checks that see what comes of it. `title` may name the `{place}` and `{note}` where it
    is seen; without one `plain` stands in. `cures` can be tried, the most promising first;
    `equally` are remedies that do as well. `measured` tells how three metrics of the finding end
    that hold what its own check has tried: before, after, and the change.
    """

    id: str
    title: str
    plain: str
    sights: tuple[Sight, ...]
    explains: tuple[str, ...]
    signs: tuple[tuple[str, ...], ...] = ()
    cures: tuple[Cure, ...] = ()
    equally: tuple[str, ...] = ()
    measured: tuple[str, str, str] | None = None

    @property
    def checks(self) -> frozenset[str]:
        """Return the checks in which the cause is seen."""
        return frozenset(sight.check for sight in self.sights)

    @property
    def known(self) -> frozenset[str]:
        """Return every check that the rule names."""
        also = (check for sight in self.sights for check in sight.explains)
        signs = (check for group in self.signs for check in group)
        return self.checks | {*self.explains, *also, *signs}
