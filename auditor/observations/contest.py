"""The model against a rival on the same examples: a constant answer, or a simpler model."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from auditor.core.statistics import examples_to_settle, paired_bootstraps
from auditor.core.values import Array
from auditor.observations.baselines import SimpleModel
from auditor.observations.performance import Performance
from auditor.observations.targets import class_weights, constant_entropies

ROUNDING = 1e-12
"""Share of a score that the rounding of its mean stays well below."""

SURE = 0.99
"""Confidence, over all simpler models together, with which one is said to be ahead."""

NIL = 0.01
"""A gain of less than this share of the constant's error is no gain of note."""

ROOM = 0.05
"""Share of the constant's error that a simpler model must leave for anything to be better at."""

MOST_NEEDED = 1_000_000
"""Examples beyond which it helps nobody to know how many would settle it."""

Entry = tuple[str, str, str, float, float, Array, Array]
"""A contest's name, unit, rival and least gain, 1 where more is better, else -1, and the scores."""


@dataclass(frozen=True)
class Contest:
    """The model against a rival, example by example; `gain` is positive where it wins.

    [low, high] is the gain's 95 % interval, [sure_low, sure_high] the one adjusted for the number
    of contests; the model wins where it gains more than `least`. `rival` says what it is up
    against. `perfect` is the score of one that makes no error.
    """

    name: str
    unit: str
    rival: str
    least: float
    model: Array
    other: Array
    gain: float
    low: float
    high: float
    sure_low: float
    sure_high: float
    perfect: float

    @property
    def won(self) -> bool:
        """Tell whether the model is better beyond doubt."""
        return self.sure_low > self.least

    @property
    def error(self) -> float:
        """Return the rival's mean error."""
        return abs(self.perfect - float(self.other.mean()))

    @property
    def value(self) -> str:
        """Return the model's score with its unit."""
        return f"{self.model.mean():.3g} {self.unit}".strip()

    @property
    def others_value(self) -> str:
        """Return the rival's score with its unit."""
        return f"{self.other.mean():.3g} {self.unit}".strip()

    def words(self, confidence: float) -> str:
        """Return "better by 0.1 (95 % interval 0.08 to 0.12)", the model being compared."""
        if self.gain == 0:
            return "no different"
        ahead = self.gain > 0
        ends = sorted((self.sure_low, self.sure_high), reverse=not ahead)
        low, high = ((end if ahead else -end) + 0.0 for end in ends)
        return (
            f"{'better' if ahead else 'worse'} by {abs(self.gain):.3g} ({100 * confidence:.3g} % "
            f"interval {low:.3g} to {high:.3g})"
        )

    @property
    def needed(self) -> int | None:
        """Return how many examples would settle it, were the gain to stay; None of millions.

        The wider half of the interval counts: where few examples differ, the other one ends at 0.
        """
        half = max(self.sure_high - self.gain, self.gain - self.sure_low)
        bounds = self.gain - half, self.gain + half
        number = examples_to_settle(len(self.model), self.gain, *bounds, self.least)
        return None if number is None or number > MOST_NEEDED else number


def held(
    entries: list[Entry], rng: np.random.Generator, known: Array, confidence: float
) -> list[Contest]:
    """Return the contests over the `known` examples, each with an interval of `confidence`."""
    contests = []
    for name, unit, rival, limit, side, model, other in entries:
        a, b = model[known], other[known]
        better, worse = (a, b) if side > 0 else (b, a)
        gain = float(np.mean(better) - np.mean(worse))
        if abs(gain) <= ROUNDING * float(np.abs(b).mean()):
            gain = 0.0
        plain, sure = paired_bootstraps(better, worse, rng, (0.95, confidence))
        perfect = 1.0 if side > 0 else 0.0
        contests.append(Contest(name, unit, rival, limit, a, b, gain, *plain, *sure, perfect))
    return contests


def against_constant(
    seen: Performance, constant: Array, known: Array, least: float, rng: np.random.Generator
) -> list[Contest]:
    """Return the contests that the scores allow, the one of the metric itself first.

    5 % of doubt are left for all of them together (Holm 1979: the model passes with any).
    """
    scores = np.asarray(seen.scores, float)
    higher = seen.metric == "accuracy"
    sign = 1.0 if higher else -1.0
    entries: list[Entry] = [(seen.metric, "", "the constant", least, sign, scores, constant)]
    if has_entropies(seen):
        own, best = np.asarray(seen.entropies, float), constant_entropies(seen)
        entries.append(("cross-entropy", "nats", "constant probabilities", 0.0, -1.0, own, best))
    weights = class_weights(seen)
    if weights is not None:
        balanced = weights * scores, weights * constant
        entries.append(("balanced accuracy", "", "any constant", 0.0, 1.0, *balanced))
    return held(entries, rng, known, confidence(len(entries)))


def confidence(contests: int) -> float:
    """Return the confidence of each interval that leaves 5 % of doubt for all together."""
    return 1 - 0.05 / contests


def confidence_of_simple(models: int) -> float:
    """Return the confidence of each interval that leaves 1 % of doubt for all models together."""
    return 1 - (1 - SURE) / models


def has_entropies(seen: Performance) -> bool:
    """Tell whether each example has a finite cross-entropy."""
    entropies = np.asarray(seen.entropies, float)
    return (
        seen.metric == "accuracy"
        and len(entropies) == seen.examples
        and bool(np.isfinite(entropies).all())
    )


@dataclass(frozen=True)
class Standing:
    """How the model stands against one simpler model.

    It is "behind" where the simpler model is better beyond doubt by every score, "level" where
    it has more parameters and is shown to gain nothing of note, "ahead" where it is better beyond
    doubt by one score at least, else "open". `gains` tells whether, doubt aside, a score of its is
    better by anything of note, or the other model leaves nothing to be better at. `judged` is
    False where the other model is no simpler.
    """

    simple: SimpleModel
    contests: tuple[Contest, ...]
    standing: Literal["ahead", "open", "level", "behind"]
    times: float
    gains: bool
    judged: bool
    models: int

    @property
    def main(self) -> Contest:
        """Return the contest of the metric itself."""
        return self.contests[0]

    def warns(self, many: float) -> bool:
        """Tell whether the simpler model is to be preferred, with `many` times fewer parameters."""
        level = self.standing == "level" and self.times >= many
        return self.judged and (self.standing == "behind" or level)

    @property
    def idle(self) -> bool:
        """Tell whether nothing is seen to come of the parameters that the simpler one lacks."""
        return self.judged and self.times > 1 and self.standing != "ahead" and not self.gains


def against_simple(
    seen: Performance,
    simple: SimpleModel,
    parameters: int,
    constants: list[Contest],
    known: Array,
    rng: np.random.Generator,
    *,
    noticed: float,
    models: int,
) -> Standing | None:
    """Return how the model stands against a simpler one, None where they can't be paired.

    `constants` are the contests with the constant, whose errors say how large a gain is; a lead
    of the simpler model below the share `noticed` of these is none. A model trained with class
    weights gives up accuracy and cross-entropy for balanced accuracy, so it is behind in no case
    where it is ahead in that.
    """
    scores = np.asarray(seen.scores, float)
    other = np.asarray(simple.scores, float)
    if len(other) != len(scores) or not np.isfinite(other).all():
        return None
    sign = 1.0 if seen.metric == "accuracy" else -1.0
    entries: list[Entry] = [(seen.metric, "", simple.name, 0.0, sign, scores, other)]
    entropies = np.asarray(simple.entropies, float)
    if has_entropies(seen) and len(entropies) == len(scores) and np.isfinite(entropies).all():
        own = np.asarray(seen.entropies, float)
        entries.append(("cross-entropy", "nats", simple.name, 0.0, -1.0, own, entropies))
    weights = class_weights(seen)
    if weights is not None:
        balanced = weights * scores, weights * other
        entries.append(("balanced accuracy", "", simple.name, 0.0, 1.0, *balanced))
    contests = held(entries, rng, known, confidence_of_simple(models))
    errors = {contest.name: contest.error for contest in constants}
    times = parameters / max(simple.parameters, 1)
    plain = [c for c in contests if c.name != "balanced accuracy"]
    lead = -contests[0].gain / max(errors[seen.metric], np.finfo(float).tiny)
    room = all(contest.error > ROOM * errors.get(contest.name, 0.0) for contest in contests)
    standing: Literal["ahead", "open", "level", "behind"] = "open"
    if (
        lead > noticed
        and all(contest.sure_high < 0 for contest in plain)
        and all(contest.gain <= 0 for contest in contests)
    ):
        standing = "behind"
    elif (
        times > 1
        and room
        and all(contest.sure_high < NIL * errors.get(contest.name, 0.0) for contest in contests)
    ):
        standing = "level"
    elif any(contest.won for contest in contests):
        standing = "ahead"
    gains = not room or any(c.gain >= NIL * errors.get(c.name, 0.0) for c in contests)
    judged = simple.name.endswith("linear model") or times > 1
    return Standing(simple, tuple(contests), standing, times, gains, judged, models)
