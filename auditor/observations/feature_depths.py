"""In how many directions each layer's features vary, against how many the task asks for."""

import math
from dataclasses import dataclass

import numpy as np

from auditor.core.spectrum import effective_rank
from auditor.observations.features import Features, LayerFeatures, singular_values

ASKED = 32
"""Directions asked for at most, however many classes there are."""
EXAMPLES_EACH = 8
"""Examples that each direction asked for takes."""
FEWEST_ASKED = 3
"""Directions from which on a rank is judged: fewer can lie along one line for good reasons."""
BLOCKS = 10
"""Blocks of examples that are left out in turn."""


@dataclass(frozen=True)
class Depth:
    """One layer's effective rank, and the directions that are asked for."""

    of: LayerFeatures
    rank: float
    asked: int

    @property
    def filled(self) -> float:
        """Return (rank - 1) / (asked - 1), NaN where too few directions are asked for."""
        if self.asked < FEWEST_ASKED:
            return math.nan
        return max(0.0, self.rank - 1) / (self.asked - 1)


def depths_of(told: Features, layers: list[LayerFeatures]) -> list[Depth]:
    """Return each layer's effective rank beside the directions asked for, in order.

    None are asked of scores that are given step by step: how many words follow one another in how
    many ways is a matter of the language.
    """
    own = effective_rank(singular_values(told.inputs)) if told.inputs.shape[1] else math.inf
    if not math.isfinite(own) or own < 1:
        own = math.inf
    classes = told.classes - 1 if told.classes else 1
    asked = min(classes, ASKED, told.examples // EXAMPLES_EACH, own)
    by_step = told.classes > 0 and not (told.targets >= 0).any()
    return [
        Depth(
            layer,
            effective_rank(layer.singular_values()),
            1 if by_step and layer.units == told.classes else int(min(asked, layer.units)),
        )
        for layer in layers
    ]


def lasting(marks: list[bool | None]) -> int | None:
    """Return the first of the marked layers that go on to the last; None ones are passed over."""
    first = None
    for place in range(len(marks) - 1, -1, -1):
        if marks[place] is None:
            continue
        if not marks[place]:
            break
        first = place
    return first


def uniform_from(layers: list[LayerFeatures]) -> LayerFeatures | None:
    """Return the first of the last layers of a sequence in which all its steps are one.

    None where some later one tells steps apart, or where none before it does.
    """
    known = [layer for layer in layers if layer.uniform is not None]
    first = lasting([layer.uniform for layer in known])
    return known[first] if first else None


def last_judged(depths: list[Depth]) -> Depth | None:
    """Return the last layer whose rank can be judged."""
    return next((d for d in reversed(depths) if not math.isnan(d.filled)), None)


def jackknife(depth: Depth) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return 95 % and 99 % intervals of what is filled, each block of examples left out in turn.

    The pseudo-values 10 v - 9 v_i have the mean and the error of v (Tukey 1958); the interval is
    Student's about v itself.
    """
    from scipy.special import stdtrit

    table = depth.of.features
    block = np.arange(len(table)) * BLOCKS // len(table)
    left = [effective_rank(singular_values(table[block != b])) for b in range(BLOCKS)]
    filled = (np.asarray(left) - 1) / (depth.asked - 1)
    error = math.sqrt((BLOCKS - 1) * float(filled.var()))
    reach = [float(stdtrit(BLOCKS - 1, tail)) * error for tail in (0.975, 0.995)]
    return tuple((depth.filled - half, depth.filled + half) for half in reach)  # type: ignore[return-value]
