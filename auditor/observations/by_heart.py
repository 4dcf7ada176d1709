"""Whether a model is so large that it learns its data by heart: what has to be shown for it."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from auditor.core.statistics import examples_to_settle, geometric_interval, welch_interval
from auditor.core.text import counted
from auditor.observations.capacity import Capacity
from auditor.observations.performance import Performance
from auditor.observations.targets import best_constant_score

SURE = 0.99
"""Confidence with which each part of the evidence is shown."""

FEWEST = 20
"""Examples of each split below which the gap between them is not judged."""

Part = Literal["shown", "open", "refuted"]


@dataclass(frozen=True)
class Gap:
    """How much larger the checkpoint's error is on validation data, in shares of a constant's.

    [low, high] is its 95 % interval, [sure_low, sure_high] that of 99 %. `train` and `val` are
    the scores, `examples` those of the smaller split.
    """

    metric: str
    train: float
    val: float
    value: float
    low: float
    high: float
    sure_low: float
    sure_high: float
    examples: int


def gap_between(train: Performance | None, val: Performance | None) -> Gap | str:
    """Return the gap between the splits, or why it can't be told."""
    if train is None or val is None:
        return "the gap between the splits can't be measured"
    fewest = min(train.examples, val.examples)
    if fewest < FEWEST:
        split = "training" if train.examples == fewest else "validation"
        return (
            f"the gap between the splits is judged from {FEWEST} examples of each on, and there "
            f"{'is' if fewest == 1 else 'are'} {counted(fewest, f'{split} example')}"
        )
    own, other = np.asarray(train.scores, float), np.asarray(val.scores, float)
    higher = val.metric == "accuracy"
    best = best_constant_score(val)
    error = 1 - best if higher else best
    if not (error > 0 and np.isfinite(own).all() and np.isfinite(other).all()):
        return "the gap between the splits can't be measured in a constant's errors"
    a, b = (own, other) if higher else (other, own)
    low, high = welch_interval(a, b)
    sure_low, sure_high = welch_interval(a, b, SURE)
    return Gap(
        metric=val.metric,
        train=float(own.mean()),
        val=float(other.mean()),
        value=float(a.mean() - b.mean()) / error,
        low=low / error,
        high=high / error,
        sure_low=sure_low / error,
        sure_high=sure_high / error,
        examples=fewest,
    )


@dataclass(frozen=True)
class ByHeart:
    """Whether it is shown that a model merely learns by heart, and if it is open, what is."""

    standing: Part
    open: tuple[str, ...] = ()


def by_heart(found: Capacity, gap: Gap | str, many: float, slow: float, apart: float) -> ByHeart:
    """Return whether all that speaks for too many parameters is shown, or some of it refuted.

    It takes more than `many` parameters a target, random targets that are learnt, in less than
    `slow` times as long as true ones, and a `gap` beyond `apart`.
    """
    parts = list(_parts(found, gap, many, slow, apart))
    standings = {standing for standing, _ in parts}
    if "refuted" in standings:
        return ByHeart("refuted")
    return ByHeart(
        "open" if "open" in standings else "shown",
        tuple(words for standing, words in parts if standing == "open"),
    )


def _parts(
    found: Capacity, gap: Gap | str, many: float, slow: float, apart: float
) -> Iterator[tuple[Part, str]]:
    """Yield each part of the evidence, with what is open about it."""
    if found.per_target > many:
        unknown = "how many targets the training data holds is not known"
        yield "shown" if found.all_counted else "open", unknown
    else:
        yield "refuted", ""
    steps = found.random.shape[1]
    yield "shown" if found.learnt else "open", f"random targets are not learnt in {steps:,} steps"
    yield _pace(found, slow)
    yield _apart(gap, apart)


def _pace(found: Capacity, slow: float) -> tuple[Part, str]:
    slowness = found.slowness()
    times, sure_low, sure_high = geometric_interval(slowness, SURE)
    if math.isnan(times):
        return "open", "the losses on true and on random targets can't be compared"
    if sure_high < slow:
        return "shown", ""
    if geometric_interval(slowness)[1] >= slow:
        return "refuted", ""
    ends = (math.log(value) for value in (times, sure_low, sure_high, slow))
    needed = examples_to_settle(len(slowness), *ends)
    settle = f" ({needed:,} seeds would settle it)" if needed else ""
    return "open", f"whether true targets are learnt any faster than random ones{settle}"


def _apart(gap: Gap | str, apart: float) -> tuple[Part, str]:
    if isinstance(gap, str):
        return "open", gap
    if gap.sure_low > apart:
        return "shown", ""
    if gap.high <= apart:
        return "refuted", ""
    ends = gap.value, gap.sure_low, gap.sure_high, apart
    needed = examples_to_settle(gap.examples, *ends)
    settle = f" ({needed:,} examples of each split would settle it)" if needed else ""
    return "open", f"whether the gap between the splits is beyond {100 * apart:.3g} %{settle}"
