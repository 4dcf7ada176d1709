"""How well the checkpoint does when its inputs are rescaled."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from auditor.core.request import Capability, Cost, Depth, Request, Split
from auditor.core.statistics import paired_bootstrap
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
    """What rescaling gains beyond doubt; `proven` where nothing but the inputs can account for it.

    The mean loss falls from `before` to `after`, by `low` to `high` at 95 %.
    """

    before: float
    after: float
    low: float
    high: float
    proven: bool


WORTH = 0.01
"""Share of the best constant's loss that a fall must reach: less is no harm."""


def gained(seen: Rescaled, fall: float, differs: bool, rng: np.random.Generator) -> Gain | None:
    """Return what the best way gains where the loss falls beyond doubt, and by `fall` or more.

    None where something else may account for it. A diverged model comes no further than the best
    constant. One that is over-confident fits its training data as they are, so there the loss
    must fall too, unless the splits `differs` or the fall is beyond what a temperature gives; one
    that is under-confident gains by any larger scale, so the fall must be beyond that of a
    temperature. Doubt is at 99 %.
    """
    before, after = np.asarray(seen.before, float), np.asarray(seen.after, float)
    if not np.isfinite(after).all() or not len(after):
        return None

    def surely(a: Array, b: Array) -> float:
        return paired_bootstrap(a, b, rng, confidence=0.99)[0]

    keep, classes = 1 - fall, seen.metric == "accuracy"
    if after.mean() > min(keep * before.mean(), 0.95 * seen.constant):
        return None
    if surely(before, after) <= WORTH * seen.constant:
        return None
    if classes and np.mean(seen.right_after) < np.mean(seen.right_before) - 0.02:
        return None
    tempered = np.asarray(seen.tempered, float)
    beyond = classes and after.mean() < keep * tempered.mean() and surely(tempered, after) > 0
    if seen.temperature < 1 and not beyond:
        return None
    better = surely(seen.right_after, seen.right_before) if classes else 0.0
    quarter = surely(0.25 * before, after) > 0
    if len(seen.train_before):
        supported = differs or surely(seen.train_before, seen.train_after) > 0
    else:
        supported = seen.reason == "statistics" or quarter
    if not (supported or beyond or better > 0.02):
        return None
    low, high = paired_bootstrap(before, after, rng)
    proven = better > 0.05 if classes else quarter
    return Gain(float(before.mean()), float(after.mean()), low, high, proven)


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
