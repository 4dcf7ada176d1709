"""What is lost of what was learnt when the weights are changed by a share of themselves."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from auditor.core.request import Capability, Cost, Depth, Request, Split
from auditor.core.values import Array, Number

RADII = (0.001, 0.01, 0.1, 0.3)
"""Random changes: the standard deviation of each weight's change, as a share of the weight."""

RANDOM = RADII.index(0.01)
"""The random change that a verdict rests on."""

LENGTHS = (0.02, 0.1, 0.5)
"""Worst changes: the root of the sum of squares of all weights' changes, as shares of them."""

ASCENT = (2, 3)
"""Batches that the worst direction is sought on, and gradients that it takes there."""

LAYERS = 12
"""Groups of layers that are changed alone, and then layers of the worst of them."""

LINE = np.linspace(-1, 1, 9)
"""Places of the one-dimensional slice."""

PLANE = np.linspace(-1, 1, 7)
"""Places of the two-dimensional slice along each of its axes."""


@dataclass(frozen=True)
class Sharpness:
    """The loss at and around the checkpoint, in evaluation mode, on batches the same throughout.

    `losses` [batches] is the loss as it is, `chance` [batches] that of answers which know nothing,
    as `baseline` names them. `noisy` [radii, batches] is the loss with every trainable weight times
    1 + r z, z standard normal and drawn anew for each batch, r from `RADII`; at `RANDOM` it is the
    mean over two draws. `worst` [lengths, batches] is that with all weights moved uphill, by
    w² g / |w g| times a length from `LENGTHS`, in a direction found on other batches. Of classes
    `scores`, `noisy_scores` and `worst_scores` are the accuracies that go with them, `chance_score`
    that of the commonest answer; else empty, and NaN.

    `layers` were changed alone at `alone_at`, one of `RADII`, on the first batch; `alone` [layers]
    is its loss. `climbed` [owners] is how much of the worst change, as a share of the sum of
    squares of all, is each layer's in `owners`.

    `line` [2, LINE] is the loss of the first batch along a random and along the worst direction,
    `plane` [PLANE, PLANE] over two random ones, all brought to the norms of the weights' filters.
    """

    losses: Array
    chance: Array
    baseline: str
    noisy: Array
    worst: Array
    scores: Array
    noisy_scores: Array
    worst_scores: Array
    chance_score: Number
    layers: tuple[str, ...]
    alone: Array
    alone_at: Number
    owners: tuple[str, ...]
    climbed: Array
    line: Array
    plane: Array
    parameters: int
    examples: int
    split: str
    note: str = ""

    @property
    def gain(self) -> Array:
        """Return by how much each batch's loss is below that of knowing nothing, [batches]."""
        return np.asarray(self.chance - self.losses)

    def lost(self, losses: Array, scores: Array) -> Array:
        """Return the share lost on each batch, [..., batches], 1 at most, of all that was learnt.

        Of nothing learnt nothing is lost; a loss that is NaN is all lost.

        Where there are accuracies that tell more than the commonest answer does, the smaller of the
        loss's and the accuracy's share: an overconfident model pays dearly for a few mistakes.
        """
        share = self._share(losses - self.losses, float(self.gain.mean()))
        known = float(np.mean(self.scores)) - self.chance_score if self.scores.size else 0.0
        if scores.size and known > 0.05:
            share = np.minimum(share, self._share(self.scores - scores, known))
        return share

    @property
    def lost_alone(self) -> Array:
        """Return the share of the loss's gain that noise on each layer alone loses, [layers]."""
        return self._share(np.asarray(self.alone) - self.losses[0], float(self.gain.mean()))

    @staticmethod
    def _share(rise: Array, learnt: float) -> Array:
        if not learnt > 0:
            return np.zeros(rise.shape)
        with np.errstate(invalid="ignore"):
            return np.nan_to_num(np.minimum(rise / learnt, 1.0), nan=1.0)


@dataclass(frozen=True)
class SharpnessOver(Request[Sharpness]):
    """Asks what changes of the weights do to the loss, on training data where there is any."""

    batches: int = 6
    split: Literal["train", "val", "train_or_val"] = "train_or_val"

    answer: ClassVar = Sharpness
    depth: ClassVar = Depth.BACKWARD
    requires: ClassVar[frozenset[Capability]] = frozenset({"model", "loss"})
    scaled: ClassVar = ("batches",)
    at_most: ClassVar = True

    def cost(self, batches: dict[Split, int]) -> Cost:
        """Return the passes of all losses; those of few batches are of parts of them."""
        if not batches.get("val" if self.split == "val" else "train"):
            return Cost()
        uphill = ASCENT[0] * ASCENT[1]
        everywhere = self.batches * (1 + len(RADII) + 1 + len(LENGTHS))
        layers = 2 * LAYERS
        slices = 2 * len(LINE) + len(PLANE) ** 2
        return Cost(2 + uphill + everywhere + layers + slices, uphill)

    def looked_at(self, batches: dict[Split, int]) -> dict[Split, int]:
        """Return the batches that the loss is taken over, and those that it is climbed on."""
        split: Split = "val" if self.split == "val" else "train"
        return {split: min(self.batches + ASCENT[0], batches.get(split, 0))}
