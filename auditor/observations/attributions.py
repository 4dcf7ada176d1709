"""What a model's outputs hang on in its inputs, and what is left of that with shuffled weights."""

import math
import warnings
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from auditor.core.request import Capability, Cost, Depth, Request, Split
from auditor.core.statistics import mean_interval
from auditor.core.values import Array, Number

READ = 128
"""Examples that are looked at to choose from."""
PICTURED = 4
COMPARED = 24
"""Examples whose maps are compared with those of shuffled weights."""
SHUFFLES = 5
STAGES = 6
STEPS = (16, 64, 256)
"""Points of the path of integrated gradients, more where the sum does not come out."""
SIDE = 60
"""Rows and columns of a map that is kept; a larger one is averaged down."""
MOST_FEATURES = 256
MOST_TOKENS = 256
WITH_FEATURES = 64
"""Examples of a table whose features are attributed to."""
CHUNK = 32
"""Examples in a pass at most."""
FEWEST = 5
"""Places of a map from which on it is ranked."""
FEWEST_EXAMPLES = 8
"""Examples from which on changes are measured."""

Kind = Literal["picture", "tokens", "features"]


@dataclass(frozen=True)
class Attributed:
    """One example: its input, what of the output was explained, and the maps of it.

    `example` counts as the loader yields them, from 0. `shown` is the input: grey values
    [height, width] or colours [height, width, 3] from 0 to 1, token ids [positions], or the values
    of features [features]; empty where inputs are left out. `saliency` is |d score / d input|,
    `integrated` the integrated gradients (signed), `cam` the class activation map (empty where
    there is none), each of the places of the input, pictures scaled to a largest magnitude of 1.
    The three `shuffled_` ones are the same with shuffled weights. Of tokens and features
    `integrated` is in the score's own units. `score` is the explained output, `total` how much of
    it the path has to account for, `attributed` the sum of the integrated gradients.
    """

    example: int
    explained: str
    truth: str
    right: bool | None
    score: Number
    shown: Array
    saliency: Array
    integrated: Array
    cam: Array
    shuffled_saliency: Array
    shuffled_integrated: Array
    shuffled_cam: Array
    total: Number
    attributed: Number

    @property
    def gap(self) -> float:
        """Return the share of the path's total that the attributions miss."""
        return abs(self.attributed - self.total) / max(abs(self.total), 1e-12)


@dataclass(frozen=True)
class MapChange:
    """Rank correlations of one method's maps, example by example.

    `trained` [shuffles, examples] is that of the model's map with the one of shuffled weights,
    `among` [pairs of shuffles, examples] that between different shuffles. NaN where either map is
    constant or has fewer than `FEWEST` places.
    """

    method: str
    trained: Array
    among: Array

    def known(self) -> bool:
        """Tell whether at least half of the maps could be ranked."""
        return self.trained.size > 0 and float(np.isfinite(self.trained).mean()) >= 0.5

    def interval(self, confidence: float = 0.95) -> tuple[float, float, float]:
        """Return the mean correlation with shuffled weights, and its interval."""
        return _mean(self.trained, confidence)

    def between(self, confidence: float = 0.95) -> tuple[float, float, float]:
        """Return the mean correlation between two shuffles, and its interval."""
        return _mean(self.among, confidence)

    def own(self, confidence: float) -> float:
        """Return by how much, at least, the model's maps are farther from shuffled ones than these
        are from one another; the difference is taken example by example.
        """
        with np.errstate(invalid="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            apart = np.nanmean(self.among, axis=0) - np.nanmean(self.trained, axis=0)
        return mean_interval(apart[np.isfinite(apart)], confidence)[0]


def _mean(table: Array, confidence: float) -> tuple[float, float, float]:
    """Return the mean of [draws, examples] with an interval that allows for both being samples.

    Student's half-widths of the means by draw and of the means by example are added as squares:
    both the shuffles and the examples are drawn. NaN where nothing is known.
    """
    if not np.isfinite(table).any():
        return math.nan, math.nan, math.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        value = float(np.nanmean(table))
        sides = [np.nanmean(table, axis=axis) for axis in (0, 1)]
    halves = []
    for side in sides:
        low, high = mean_interval(side[np.isfinite(side)], confidence)
        halves.append((high - low) / 2)
    half = math.hypot(*halves)
    return value, max(-1.0, value - half), min(1.0, value + half)


@dataclass(frozen=True)
class Attributions:
    """Maps of a few examples, and how they change when the weights are shuffled.

    `features` [examples, features] are the integrated gradients of `feature_numbers`, the columns
    that count most, over more examples; `shuffled_features` [features] their mean magnitude with
    shuffled weights. `cascade` [stages, examples] is the correlation of saliency once the weights
    of the last `stage_layers` of `layers` are shuffled. `score_change` is how far the explained
    outputs move by shuffling, as a share of their own spread. `inner` tells how the gradient at
    the input of `first`, the first layer with weights, changes. `integrated_change` [pictured] is
    the correlation of the integrated gradients' magnitudes, of which the input is a factor, with
    those after the first shuffle. `why_unchanged` tells why no change could be measured.
    `one_place` tells whether one place of an output that has several is explained, as a picture's.
    """

    kind: Kind
    source: str
    baseline: str
    cam_layer: str
    steps: int
    pictured: tuple[Attributed, ...]
    feature_numbers: Array
    features: Array
    shuffled_features: Array
    changes: tuple[MapChange, ...]
    inner: MapChange | None
    first: str
    stage_layers: tuple[int, ...]
    stage_names: tuple[str, ...]
    cascade: Array
    integrated_change: Array
    layers: int
    score_change: Number
    examples: int
    split: str
    why_unchanged: str = ""
    one_place: bool = False


@dataclass(frozen=True)
class AttributionsOver(Request[Attributions]):
    """Asks for attributions of the checkpoint's outputs, and of the same with shuffled weights."""

    batches: int = 16
    split: Literal["train", "val"] = "val"

    answer: ClassVar = Attributions
    depth: ClassVar = Depth.BACKWARD
    requires: ClassVar[frozenset[Capability]] = frozenset({"model"})
    at_most: ClassVar = True

    def cost(self, batches: dict[Split, int]) -> Cost:
        """Return a bound on the passes; most are of a few examples."""
        paths = sum(STEPS) + sum(STEPS[:2]) + (1 + SHUFFLES) * STEPS[0]
        rows = COMPARED + PICTURED
        runs = (1 + SHUFFLES + STAGES) * rows
        others = READ + 2 * (4 + SHUFFLES) + SHUFFLES + STAGES
        return Cost(others + runs + paths, runs + paths)
