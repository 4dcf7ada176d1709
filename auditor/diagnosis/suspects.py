"""Suspects: the rules that apply to what was found, and in which order they are to be believed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum

from auditor.core.finding import Finding, Metric
from auditor.core.verdict import SEVERITY, Verdict
from auditor.diagnosis.rule import Cure, Rule, Sight
from auditor.diagnosis.rules import RULES
from auditor.observations.treatment import TreatmentOver

LOUD = (Verdict.WARN, Verdict.FAIL)

CLEARED = (Verdict.PASS, Verdict.WARN, Verdict.FAIL)
"""Verdicts of a check that could tell: where it does not see the cause, there is none."""


class Proof(IntEnum):
    """What speaks for a cause, the most convincing last."""

    IN_VAIN = 0
    """Its remedies were tried, and none made a copy better."""
    POSSIBLE = 1
    LIKELY = 2
    """It explains other findings too, or several findings point to it."""
    WITH_OTHERS = 3
    """Its remedy helped copies in which the other causes were treated as well."""
    SEEN = 4
    """It is a fact, not a guess."""
    CONFIRMED = 5
    """Its remedy alone made copies better."""


@dataclass(frozen=True)
class Measured:
    """What a check has tried itself: the means before and after, and whether it helped for sure."""

    measure: str
    before: float
    after: float
    helped: bool


@dataclass(frozen=True)
class Suspect:
    """A rule that applies.

    `finding` is the one in which the cause is seen, None where it is suspected from `signs`, which
    are checks. `explained` are the other checks that found something which it explains.
    """

    rule: Rule
    finding: Finding | None
    sight: Sight | None
    signs: tuple[str, ...]
    explained: tuple[str, ...]

    @property
    def roots(self) -> tuple[str, ...]:
        """Return the checks that brought it up."""
        return (self.finding.check,) if self.finding is not None else self.signs

    @property
    def severity(self) -> int:
        """Return how bad the finding is in which it is seen; a mere suspicion is a warning."""
        return SEVERITY[self.finding.verdict if self.finding is not None else Verdict.WARN]

    @property
    def measured(self) -> Measured | None:
        """Return what the check itself has tried, None where it has not."""
        if self.finding is None or self.rule.measured is None:
            return None
        before, after, change = (
            next((m for m in self.finding.metrics if m.name.endswith(end)), None)
            for end in self.rule.measured
        )
        if before is None or after is None or before.value is None or after.value is None:
            return None
        name = before.name.removesuffix(self.rule.measured[0]).strip(" ,") or before.unit
        helped = change is not None and _surely_better(change, name)
        return Measured(name or "score", float(before.value), float(after.value), helped)

    @property
    def treatments(self) -> tuple[tuple[Cure, TreatmentOver], ...]:
        """Return what can be tried, the most promising first."""
        made = ((cure, cure.trial(self.finding)) for cure in self.rule.cures)
        return tuple((cure, treatment) for cure, treatment in made if treatment is not None)

    @property
    def first(self) -> TreatmentOver | None:
        """Return the most promising treatment, None where nothing can be tried."""
        return next((treatment for _, treatment in self.treatments), None)

    @property
    def fact(self) -> bool:
        """Tell whether the cause is no guess."""
        failed = self.finding is not None and self.finding.verdict is Verdict.FAIL
        return failed and self.sight is not None and self.sight.fact

    @property
    def exact(self) -> bool:
        """Tell whether the very setting to blame is seen."""
        return self.sight is not None and self.sight.exact

    @property
    def plain_proof(self) -> Proof:
        """Return what speaks for it before anything is tried."""
        if self.fact:
            return Proof.SEEN
        return Proof.LIKELY if self.explained or self.signs else Proof.POSSIBLE

    @property
    def explains(self) -> frozenset[str]:
        """Return the checks that see what may come of it."""
        return frozenset(self.rule.explains) | frozenset(self.sight.explains if self.sight else ())

    def comes_of(self, other: "Suspect") -> bool:
        """Tell whether another cause may bring about all that this one is seen in.

        A fact in which the very setting is seen comes of nothing else.
        """
        return not (self.fact and self.exact) and {*self.roots} <= other.explains


def _surely_better(change: Metric, measure: str) -> bool:
    """Tell whether the whole interval of a change is on the good side of 0.

    A gain is better above 0 whatever it is a gain of; else errors and losses are below it.
    """
    if change.low is None or change.high is None:
        return False
    lower = measure.endswith(("error", "loss")) and not change.name.startswith("gain")
    return change.high < 0 if lower else change.low > 0


def suspects_in(findings: Iterable[Finding]) -> tuple[Suspect, ...]:
    """Return the rules that apply to what was found, in the order of the table."""
    found = {finding.check: finding for finding in findings}
    loud = {c: f for c, f in found.items() if f.verdict in LOUD and f.waived is None}
    made = (_suspect(rule, loud, found) for rule in RULES)
    return tuple(suspect for suspect in made if suspect is not None)


def _suspect(
    rule: Rule, loud: Mapping[str, Finding], found: Mapping[str, Finding]
) -> Suspect | None:
    seen = [s for s in rule.sights if s.check in loud and s.sees(loud[s.check])]
    if seen:
        finding = loud[seen[0].check]
        roots = {sight.check for sight in seen}
        explains = {*rule.explains, *seen[0].explains, *roots}
        explained = [c for c in loud if c in explains and c != finding.check]
        return Suspect(rule, finding, seen[0], (), tuple(explained))
    first = rule.sights[0].check
    if not rule.signs or (first in found and found[first].verdict in CLEARED):
        return None
    signs: list[str] = []
    for group in rule.signs:
        present = [check for check in group if check in loud and check not in signs]
        if not present:
            return None
        signs.append(present[0])
    explained = [c for c in loud if c in rule.explains and c not in signs]
    return Suspect(rule, None, None, tuple(signs), tuple(explained))


def ranked(suspects: Iterable[Suspect], proofs: Mapping[str, Proof]) -> list[Suspect]:
    """Return suspects, the most likely first.

    What is better proven comes first; a fact is as good as proven. Among equals, what may have
    brought about another comes before it, and where each may have brought about the other, the one
    that a trial confirms, or else the one whose very setting is seen. Then comes the worst, then
    what a trial confirms, then what explains most, then the order of the table.
    """

    def sure(suspect: Suspect) -> int:
        return min(proofs[suspect.rule.id], Proof.SEEN)

    def precedes(one: Suspect, other: Suspect) -> bool:
        if not other.comes_of(one):
            return False
        confirmed = proofs[one.rule.id] is Proof.CONFIRMED is not proofs[other.rule.id]
        if confirmed or not one.comes_of(other):
            return True
        return one.exact and not other.exact and proofs[one.rule.id] == proofs[other.rule.id]

    def order(suspect: Suspect) -> tuple[int, ...]:
        proof = proofs[suspect.rule.id]
        return -sure(suspect), -suspect.severity, -proof, -len(suspect.explained)

    left = sorted(suspects, key=order)
    ordered: list[Suspect] = []
    while left:
        peers = [suspect for suspect in left if sure(suspect) == sure(left[0])]
        first = next((s for s in peers if not any(precedes(o, s) for o in peers)), peers[0])
        ordered.append(first)
        left.remove(first)
    return ordered
