"""How well the checkpoint does when its inputs are rescaled."""

import math
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np

from auditor.core.request import Capability, Cost, Depth, Request, Split
from auditor.core.statistics import examples_to_settle, paired_bootstrap
from auditor.core.values import Array, Number

MOST = 24
"""Ways to rescale the inputs that are tried at most."""


@dataclass(frozen=True)
class Rescaled:
    """The checkpoint in evaluation mode, its inputs as they are and rescaled.

    Some examples, every second of the first, chose among `tried`, by the mean loss in `losses`
    [tried]; the rest were measured with the `best` alone. `reason` says where it comes from: a
    `usual` way to preprocess, the `statistics` kept by the model or taken of the training data, or
    a search over the `scale`. `rule` is what it does, as text.

    `before` and `after` [examples] are cross-entropies in nats, or errors where the task is a
    regression; `right_before` and `right_after` [examples] the share of an example's targets that
    are right, or the same errors. `tempered` [examples] are the losses without rescaling when the
    outputs are divided by the one `temperature` that suits the examples that chose: what being
    over- or under-confident alone accounts for. `constant` is the mean loss of the best constant.
    `train_before` and `train_after` are the losses over training examples, empty where there are
    none.
    """

    metric: Literal["accuracy", "squared error", "absolute error"]
    tried: tuple[str, ...]
    losses: Array
    best: str
    reason: Literal["usual", "statistics", "scale"]
    rule: str
    before: Array
    after: Array
    right_before: Array
    right_after: Array
    tempered: Array
    temperature: Number
    constant: Number
    train_before: Array
    train_after: Array
    split: str = "val"


@dataclass(frozen=True)
class Gain:
    """What rescaling gains: the mean loss falls from `before` to `after`, `low` to `high` at 95 %.

    `rival` is what else may account for it, empty where nothing may: the fall is so `small` that
    some way or other had to bring it; a `constant` answer does as well, as it does better than a
    model that has diverged; it may be `chance`; the `accuracy` falls; or a wrong `confidence`
    alone explains it. Without a rival, `proven` tells that the loss is not all that gets better.
    `enough` examples would rule out chance, where no more than that is in doubt.
    """

    before: float
    after: float
    low: float
    high: float
    rival: Literal["", "small", "constant", "chance", "accuracy", "confidence"]
    proven: bool = False
    enough: int | None = None


WORTH = 0.01
"""Share of the best constant's loss that a fall must reach: less is no harm."""


def gained(seen: Rescaled, fall: float, differs: bool, rng: np.random.Generator) -> Gain:
    """Return what the best way gains, with what else may account for it. Doubt is at 99 %.

    The loss must fall by the share `fall` or more. A model that is over-confident fits its
    training data as they are, so there the loss must fall too, unless the splits `differs` or the
    fall is beyond what a temperature gives; one that is under-confident gains by any larger scale,
    so the fall must be beyond that of a temperature.
    """
    before, after = np.asarray(seen.before, float), np.asarray(seen.after, float)

    def surely(a: Array, b: Array) -> float:
        return paired_bootstrap(a, b, rng, confidence=0.99)[0]

    low, high = paired_bootstrap(before, after, rng)
    gain = Gain(float(before.mean()), float(after.mean()), low, high, "")
    keep, classes = 1 - fall, seen.metric == "accuracy"
    if not gain.after <= keep * gain.before:
        return replace(gain, rival="small")
    if gain.after > 0.95 * seen.constant:
        return replace(gain, rival="constant")
    floor, least = WORTH * seen.constant, surely(before, after)
    if least <= floor:
        change = gain.before - gain.after
        enough = examples_to_settle(len(before), change, least, math.inf, floor)
        return replace(gain, rival="chance", enough=enough if change > floor else None)
    if classes and np.mean(seen.right_after) < np.mean(seen.right_before) - 0.02:
        return replace(gain, rival="accuracy")
    tempered = np.asarray(seen.tempered, float)
    beyond = classes and gain.after < keep * tempered.mean() and surely(tempered, after) > 0
    if seen.temperature < 1 and not beyond:
        return replace(gain, rival="confidence")
    better = surely(seen.right_after, seen.right_before) if classes else 0.0
    quarter = surely(0.25 * before, after) > 0
    if len(seen.train_before):
        supported = differs or surely(seen.train_before, seen.train_after) > 0
    else:
        supported = seen.reason == "statistics" or quarter
    if not (supported or beyond or better > 0.02):
        return replace(gain, rival="confidence")
    return replace(gain, proven=better > 0.05 if classes else quarter)


@dataclass(frozen=True)
class RescaledOver(Request[Rescaled]):
    """Asks for the checkpoint's loss with its inputs rescaled in the usual ways."""

    batches: int = 8

    answer: ClassVar = Rescaled
    depth: ClassVar = Depth.FORWARD
    scaled: ClassVar = ("batches",)
    requires: ClassVar[frozenset[Capability]] = frozenset({"model", "loss", "val"})
    at_most: ClassVar = True

    def cost(self, batches: dict[Split, int]) -> Cost:
        """Return a pass per batch and way, five to measure, two over training data, two to look."""
        val = min(self.batches, batches.get("val", 0))
        train = min(self.batches, batches.get("train", 0))
        return Cost(forwards=(MOST + 5) * val + 2 * train + 2)
