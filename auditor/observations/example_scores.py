"""The scores of single examples as a record keeps them, and two audits' scores side by side."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from auditor.core.request import Request
from auditor.core.scores import ExampleScores
from auditor.core.values import Array
from auditor.observations.performance import Performance, PerformanceOver

MOST = 20_000
"""Examples whose scores a record keeps: half a megabyte of it."""

PERFORMANCE = PerformanceOver()


def scores_seen(
    answers: Mapping[Request[Any], Any], settled: Callable[[Request[Any]], Request[Any]]
) -> ExampleScores | None:
    """Return the scores that an audit keeps, from an answer that checks asked for, or None.

    `settled` gives what a request of a check came to in this audit.
    """
    answer = answers.get(settled(PERFORMANCE))
    return scores_of(answer) if isinstance(answer, Performance) else None


def scores_of(seen: Performance) -> ExampleScores | None:
    """Return the scores of the first examples, None where these are not known again.

    An answer that is not finite is a wrong one, and its loss without bound.
    """
    count = min(MOST, len(seen.scores), len(seen.hashes))
    if not count:
        return None
    accuracy = seen.metric == "accuracy"
    return ExampleScores(
        metric=seen.metric,
        higher_is_better=accuracy,
        examples=np.asarray(seen.hashes[:count], np.uint64),
        scores=_told(seen.scores[:count], 0.0 if accuracy else np.inf),
        losses=_told(seen.entropies[:count] if accuracy else (), np.inf),
        classes=np.asarray(_classes(seen)[:count], np.int32),
    )


def _told(values: Any, lost: float) -> Array:
    plain = np.asarray(values, np.float32)
    return np.where(np.isnan(plain), np.float32(lost), plain)


def _classes(seen: Performance) -> Array:
    """Return the class of each example, nothing unless each has exactly one target."""
    alone = np.array_equal(np.asarray(seen.target_example), np.arange(seen.examples))
    once = alone and bool((np.asarray(seen.target_count) == 1).all())
    return np.asarray(seen.target_class) if once else np.zeros(0)


@dataclass(frozen=True)
class Pairs:
    """Which examples of two audits are the same: places in the one and in the other, in order."""

    before: Array
    after: Array

    @property
    def count(self) -> int:
        """Return how many there are."""
        return len(self.before)


def paired(before: ExampleScores, after: ExampleScores) -> Pairs:
    """Return the examples that both audits have; copies of one are paired off one by one."""
    waiting: dict[tuple[int, int], int] = {}
    for place, key in enumerate(_numbered(before.examples)):
        waiting[key] = place
    found = [
        (waiting[key], place)
        for place, key in enumerate(_numbered(after.examples))
        if key in waiting
    ]
    table = np.asarray(found, np.int64).reshape(-1, 2)
    return Pairs(table[:, 0], table[:, 1])


def _numbered(examples: Array) -> list[tuple[int, int]]:
    """Return each hash with how many copies of it come before it."""
    seen: dict[int, int] = {}
    found = []
    for key in np.asarray(examples).tolist():
        number = seen.get(key, 0)
        seen[key] = number + 1
        found.append((key, number))
    return found
