"""What the inputs are like, column by column: features of a table, channels of an image."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from auditor.core.request import Capability, Cost, Depth, Request, Split
from auditor.core.values import Array, Number

MOST = 1_000_000
"""Values of an input kept for comparing splits: 4 MB."""


@dataclass(frozen=True)
class InputColumns:
    """One floating-point input, looked at column by column.

    A column is a feature of a table or sequence, a channel of an image, or the whole input where
    neither can be told apart; `why` says which and how that was settled. `mean`, `deviation`,
    `least`, `most` [columns] are over the values that are finite, `lost` [columns] counts the
    others; `binary` [columns] tells whether all values are 0 or 1.

    `square` [examples] is each example's mean squared value. `sample` [rows, columns] holds what
    splits are compared by: the values of a table; else each example's mean and then its deviation,
    since values within an example depend on one another. Each column is sorted. `compared` numbers
    the columns that stand in `sample`.

    `layer` names the first layer with weights that takes this input as it is, empty where the
    model changes it first or has no such layer; `normalises` tells that this layer is a
    normalisation. `fan_in` is how many values one of its units sums.
    """

    name: str
    shape: str
    kind: Literal["feature", "channel", "input"]
    why: str
    mean: Array
    deviation: Array
    least: Array
    most: Array
    lost: Array
    binary: Array
    square: Array
    sample: Array
    compared: Array
    layer: str = ""
    normalises: bool = False
    fan_in: int = 0

    @property
    def columns(self) -> int:
        """Return the number of columns."""
        return len(self.mean)

    @property
    def size(self) -> Array:
        """Return the root mean square of each column."""
        return np.asarray(np.sqrt(np.square(self.mean) + np.square(self.deviation)))

    @property
    def whole(self) -> float:
        """Return the root mean square of the whole input."""
        return float(np.sqrt(np.nanmean(self.square)))

    @property
    def signal(self) -> float:
        """Return how far examples move a unit of the first layer, as a multiple of its bias.

        Both as variances, by PyTorch's initialisation, which draws weights and bias alike: the
        mean variance of the columns times how many values a unit sums.
        """
        return self.summed * float(np.square(self.deviation).mean())

    @property
    def summed(self) -> int:
        """Return how many values a unit of the first layer sums, as far as it is known."""
        return self.fan_in or self.columns

    @property
    def spreading(self) -> Array:
        """Return the columns whose spreads can be compared, from the narrowest to the widest.

        Columns of 0 and 1, and those that keep one value in half of the examples, are rare events;
        these may be as rare as they are.
        """
        dense = np.full(self.columns, not self.table)
        if self.table and len(self.sample):
            centre = np.nanmedian(self.sample, axis=0)
            dense[self.compared] = (self.sample != centre).mean(axis=0) > 0.5
        found = np.flatnonzero(dense & (self.deviation > 0) & ~np.asarray(self.binary))
        return np.asarray(found[np.argsort(np.asarray(self.deviation)[found], kind="stable")])

    @property
    def constant(self) -> Array:
        """Return the columns that never vary and should.

        Black borders of images do not count, nor, beside columns of 0 and 1, those that stay at
        one of them.
        """
        flat = (self.deviation == 0) & (np.asarray(self.lost) == 0)
        if self.columns < 2 or self.pixels:
            return np.zeros(0, int)
        if (np.asarray(self.binary) & ~flat).any():
            flat &= ~np.asarray(self.binary)
        return np.flatnonzero(flat)

    @property
    def worst(self) -> Array:
        """Return the columns, those furthest from unit size first; lost values before all."""
        far = np.abs(np.log(np.maximum(np.nan_to_num(self.size), 1e-12)))
        return np.argsort(-np.where(np.asarray(self.lost) > 0, np.inf, far), kind="stable")

    @property
    def table(self) -> bool:
        """Tell whether each example has one value in each column."""
        return bool(self.sample.shape[1] == len(self.compared))

    @property
    def pixels(self) -> bool:
        """Tell whether the columns look like the pixels of an image laid out in a row.

        They do where 49 or more make a square, or three, or where a quarter of the columns share
        their least or their largest value, as pixels share black and white.
        """
        return self.table and (_square(self.columns) or _same_ends(self))

    def named(self, column: int) -> str:
        """Return what to call a column."""
        return self.name if self.kind == "input" else f"{self.name}: {self.kind} {column}"


@dataclass(frozen=True)
class InputStatistics:
    """The inputs of `examples` examples of `split`; `skipped` says why others are not among them.

    `first_layer` names the first layer with weights that runs, and `first_square` is the mean
    square of what it is given, NaN where that is not numbers. `filled` tells that of the first
    batch with values that are not finite none reaches it: the model fills them in itself.
    """

    inputs: tuple[InputColumns, ...]
    skipped: tuple[str, ...]
    examples: int
    split: str
    first_layer: str = ""
    first_square: Number = float("nan")
    filled: bool = False


@dataclass(frozen=True)
class InputStatisticsOf(Request[InputStatistics]):
    """Asks what the inputs of a split are like; one pass tells which layer takes them."""

    batches: int = 64
    split: str = "train_or_val"

    answer: ClassVar = InputStatistics
    depth: ClassVar = Depth.FORWARD
    scaled: ClassVar = ("batches",)
    requires: ClassVar[frozenset[Capability]] = frozenset({"model"})
    at_most: ClassVar = True

    def cost(self, batches: dict[Split, int]) -> Cost:
        """Return the one pass that shows which layer takes the inputs."""
        here = batches.get("train" if self.split == "train" else "val", 0)
        return Cost(forwards=min(1, here))


def _square(count: int) -> bool:
    return any(
        count % planes == 0 and round((count / planes) ** 0.5) ** 2 * planes == count
        for planes in (1, 3)
        if count / planes >= 49
    )


def _same_ends(seen: InputColumns) -> bool:
    varied = np.asarray(seen.most > seen.least) & ~np.asarray(seen.binary)
    if varied.sum() < 16:
        return False
    ends = (seen.least[varied], seen.most[varied])
    return any(np.unique(end, return_counts=True)[1].max() >= varied.sum() / 4 for end in ends)
