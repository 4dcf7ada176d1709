"""The plan: the fewest passes that answer all requests. Plain values, no torch."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from auditor.core.check import Check
from auditor.core.record import PlanLine
from auditor.core.request import (
    Cost,
    Depth,
    Profile,
    Request,
    Riding,
    Split,
    Sweep,
    Unavailable,
)
from auditor.core.subject import SubjectFacts

BACKWARD_WEIGHT = 2
"""What a backward pass costs, in forward passes, by the usual count of multiply-adds."""


@dataclass(frozen=True)
class Work:
    """One piece of work: a sweep that several requests ride, or one experiment or look."""

    requests: tuple[Request[Any], ...]
    cost: Cost
    sweep: Sweep | None = None

    @property
    def name(self) -> str:
        """Return what is being done, for people."""
        return f"sweep of {self.sweep}" if self.sweep else self.requests[0].key

    @property
    def at_most(self) -> bool:
        """Tell whether the cost is a bound."""
        return any(request.at_most for request in self.requests)

    @property
    def weight(self) -> int:
        """Return the cost in forward passes, at least 1."""
        return max(1, self.cost.forwards + BACKWARD_WEIGHT * self.cost.backwards)


@dataclass(frozen=True)
class Plan:
    """All the work, in order, and the requests that this subject can't answer."""

    work: tuple[Work, ...]
    unavailable: Mapping[Request[Any], Unavailable]

    @property
    def cost(self) -> Cost:
        """Return the passes of all the work."""
        return sum((work.cost for work in self.work), Cost())

    @property
    def at_most(self) -> bool:
        """Tell whether the cost is a bound."""
        return any(work.at_most for work in self.work)

    def then(self, more: "Plan") -> "Plan":
        """Return this plan with more work after it."""
        return Plan((*self.work, *more.work), {**self.unavailable, **more.unavailable})

    def lines(self) -> tuple[PlanLine, ...]:
        """Return the plan as the record keeps it."""
        return tuple(
            PlanLine(
                work.name,
                tuple(request.key for request in work.requests),
                work.cost.forwards,
                work.cost.backwards,
                work.at_most,
            )
            for work in self.work
        )


def requests_of(
    check: Check, profile: Profile, facts: SubjectFacts
) -> dict[Request[Any], Request[Any]]:
    """Return a check's requests as it declares them, each with what it comes to here."""
    return {request: request.at(profile, facts.has) for request in (*check.needs, *check.wants)}


def times_plain(plan: Plan, batches: dict[Split, int]) -> tuple[float, int] | None:
    """Return how many times a plain forward and backward pass over the batches a plan costs.

    With it comes how many batches it looks at: of each split the longest run. None where some work
    does not say.
    """
    looked: dict[Split, int] = {}
    for request in (request for work in plan.work for request in work.requests):
        seen = request.looked_at(batches)
        if seen is None:
            return None
        for split, count in seen.items():
            looked[split] = max(looked.get(split, 0), count)
    total = sum(looked.values())
    if not total:
        return None
    spent = plan.cost.forwards + BACKWARD_WEIGHT * plan.cost.backwards
    return spent / (total * (1 + BACKWARD_WEIGHT)), total


def planned(checks: Iterable[Check], profile: Profile, facts: SubjectFacts) -> Plan:
    """Return the least work that answers everything the checks ask of this subject."""
    wanted: dict[Request[Any], None] = {}
    for check in checks:
        wanted |= dict.fromkeys(requests_of(check, profile, facts).values())
    return plan_of(wanted, facts)


def plan_of(wanted: Iterable[Request[Any]], facts: SubjectFacts) -> Plan:
    """Return the least work that answers some requests of this subject."""
    unavailable: dict[Request[Any], Unavailable] = {}
    looks: list[Request[Any]] = []
    riding: dict[Sweep, list[Riding[Any]]] = {}
    for request in wanted:
        absent = sorted(request.needed() - facts.has)
        if absent:
            reasons = "; ".join(facts.lacks.get(name, f"there is no {name}") for name in absent)
            unavailable[request] = Unavailable(reasons)
        elif isinstance(request, Riding):
            riding.setdefault(request.sweep, []).append(request)
        else:
            looks.append(request)
    batches: dict[Split, int] = {split: known.batches for split, known in facts.data.items()}
    static = [Work((r,), Cost()) for r in looks if r.depth is Depth.STATIC]
    experiments = [Work((r,), r.cost(batches)) for r in looks if r.depth is not Depth.STATIC]
    sweeps = [
        Work(tuple(requests), _sweep_cost(requests, batches[sweep.split], facts), sweep)
        for sweep, requests in sorted(riding.items())
    ]
    return Plan((*static, *sweeps, *experiments), unavailable)


def _sweep_cost(requests: list[Riding[Any]], available: int, facts: SubjectFacts) -> Cost:
    def most(asking: list[Riding[Any]]) -> int:
        return min(available, max((request.batches for request in asking), default=0))

    deep = [r for r in requests if r.depth is Depth.BACKWARD and facts.trainable]
    return Cost(forwards=most(requests), backwards=most(deep))
