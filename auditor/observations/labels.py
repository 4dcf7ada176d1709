"""Evidence about labels: out-of-sample probabilities, and examples that stand in the data twice."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from auditor.core.request import Capability, Cost, Depth, Request, Split
from auditor.core.values import Array, Number
from auditor.observations.copies import Copies

FOLDS = 2
"""Parts of the training data; each is predicted by a fresh model that was trained on the others."""

LOOKS = 4
"""Looks at what a fresh model predicts, each after twice the steps of the one before."""

MOST = 256
"""Batches of a split that are predicted at most, unless more are asked for."""

PICTURES = 16
"""Examples of each split shown as images."""


@dataclass(frozen=True)
class LabelledSplit:
    """Labels [rows] and out-of-sample probabilities [rows, classes] of a split.

    Of its `examples`, those were read, `whole` tells whether they are all. `numbers` [rows] are the
    predicted ones, as the loader yields them; those without a label or a finite prediction have no
    row. `steps` says after how many steps the fresh models predicted, and `settled` whether they
    had stopped getting better by then; the checkpoint predicts after zero. Where there are no
    probabilities `reason` says why.
    """

    split: Split
    examples: int
    whole: bool
    numbers: Array
    labels: Array
    probabilities: Array
    steps: int
    settled: bool
    reason: str = ""

    @property
    def predicted(self) -> bool:
        """Return whether there are probabilities."""
        return not self.reason


@dataclass(frozen=True)
class Thumbnail:
    """A picture of an example, a PNG file as base64."""

    split: Split
    example: int
    png: str


@dataclass(frozen=True)
class LabelEvidence:
    """What labels, predictions and repeated inputs tell of a subject's data.

    `splits` are predicted by fresh models, `checkpoint` is validation data as the checkpoint
    predicts it, without what stands in training data too.

    Two examples are the same where all input tensors agree to six digits, padding at their end left
    aside. `repeated_split`, `repeated_example` and `repeated_group` [rows] list those that are not
    alone, of `splits` in order; `repeated_label` is their label, -1 where they have no single one.
    `copies` tells how often examples of training stand there, their targets the same too.
    `near` is the share of examples that differ from another in exactly one value; it is large where
    inputs take few distinct values, so that examples are alike by chance.
    """

    splits: tuple[LabelledSplit, ...]
    checkpoint: LabelledSplit
    repeated_split: Array
    repeated_example: Array
    repeated_group: Array
    repeated_label: Array
    near: Number
    thumbnails: tuple[Thumbnail, ...]
    note: str = ""
    copies: Copies = field(default_factory=Copies)
    left_out: bool = False
    """Whether there are pictures that nobody asked for."""


@dataclass(frozen=True)
class LabelEvidenceOver(Request[LabelEvidence]):
    """Asks for labels, predictions and repetitions of both splits; training data may be missing.

    `batches` of each are predicted, or more where they are small; both are read whole, or as far
    as is bearable. Fresh models are trained for up to `steps` steps.
    """

    batches: int = 64
    steps: int = 2400

    answer: ClassVar = LabelEvidence
    depth: ClassVar = Depth.BACKWARD
    requires: ClassVar[frozenset[Capability]] = frozenset({"model", "val", "loss"})
    at_most: ClassVar = True

    def cost(self, batches: dict[Split, int]) -> Cost:
        """Return the checkpoint's pass over validation data, and the passes of fresh models."""
        most = max(self.batches, MOST)
        val, train = (min(most, batches.get(split, 0)) for split in ("val", "train"))
        steps = FOLDS * (self.steps + 1) if train else 0
        looks = FOLDS * LOOKS * (train + val) if train else 0
        return Cost(val + steps + looks, steps)


def margins(split: LabelledSplit) -> Array:
    """Return [rows] the probability of the given label less that of the best other one.

    The normalised margin of Northcutt, Jiang, Chuang 2021 (JAIR 70, section 3.2): the more
    negative, the likelier the label is wrong.
    """
    rows = np.arange(len(split.labels))
    others = np.array(split.probabilities, float)
    given = others[rows, split.labels].copy()
    others[rows, split.labels] = -np.inf
    return np.asarray(given - others.max(axis=1))


def suggested(split: LabelledSplit) -> Array:
    """Return [rows] the most probable label."""
    return np.asarray(np.asarray(split.probabilities).argmax(axis=1))


def contradicted(split: LabelledSplit) -> Array:
    """Tell of each example whether its label is another than the most probable one, [rows]."""
    return np.asarray(suggested(split) != np.asarray(split.labels))


def confident_errors(split: LabelledSplit) -> Array:
    """Tell of each example whether it stands off the diagonal of the confident joint.

    It is counted as of class j where its probability is at least the mean probability of j over
    the examples labelled j; of several, the most probable (Northcutt et al. 2021, equation 2).
    """
    probabilities, labels = np.asarray(split.probabilities, float), np.asarray(split.labels)
    thresholds = np.full(probabilities.shape[1], np.inf)
    for label in np.unique(labels):
        thresholds[label] = probabilities[labels == label, label].mean()
    above = probabilities >= thresholds
    likeliest = np.where(above, probabilities, -1.0).argmax(axis=1)
    return np.asarray(above.any(axis=1) & (likeliest != labels))


def ranked(splits: tuple[LabelledSplit, ...], most: int) -> list[tuple[LabelledSplit, int]]:
    """Return the examples whose labels are most likely wrong, over all splits, worst first.

    Only such that the confident joint counts as wrong.
    """
    found: list[tuple[float, int, int]] = []
    for number, split in enumerate(splits):
        if split.predicted and len(split.labels):
            margin, wrong = margins(split), np.flatnonzero(confident_errors(split))
            found += [(float(margin[place]), number, int(place)) for place in wrong]
    return [(splits[number], place) for _, number, place in sorted(found)[:most]]
