"""Which layer is to blame, in view of what training each of them anew makes of the checkpoint."""

import numpy as np

from auditor.core.statistics import paired_bootstrap
from auditor.core.values import Array
from auditor.observations.layer_repair import LayerRepairs

DOUBT = 0.01
"""Doubt that is shared out over the layers."""

WORSE = 1.1
"""Times the best constant's loss beyond which a checkpoint knows something else, or nothing."""

NEW = 0.7
"""Share of a new model's loss below which the other layers must know the data."""


def surely_below(some: Array, other: Array, rng: np.random.Generator, layers: int = 1) -> bool:
    """Tell whether the mean of some losses is below that of others beyond doubt."""
    some, other = np.asarray(some, float), np.asarray(other, float)
    if not np.isfinite(other).all():
        return bool(np.isfinite(some).all())
    return paired_bootstrap(other, some, rng, confidence=1 - DOUBT / layers)[0] > 0


def _mends(told: LayerRepairs, layer: int, bound: float, rng: np.random.Generator) -> bool:
    """Tell whether a layer trained anew surely makes the loss a good one, unlike new statistics."""
    after = np.asarray(told.after[layer], float)
    if not np.isfinite(after).all() or not after.mean() < told.constant:
        return False
    others = [told.before, *([told.renewed] if len(told.renewed) else [])]
    return all(
        surely_below(after, bound * np.asarray(one, float), rng, len(told.layers)) for one in others
    )


def knows(told: LayerRepairs, layer: int, rng: np.random.Generator) -> bool:
    """Tell whether it is so good then that the other layers must know the data."""
    after, fresh = told.after[layer], told.fresh
    below = not np.isfinite(fresh).all() or float(np.mean(after)) < NEW * float(np.mean(fresh))
    return below and surely_below(after, fresh, rng, len(told.layers))


def worse_than_nothing(told: LayerRepairs, rng: np.random.Generator) -> bool:
    """Tell whether it is far worse than a constant answer, surely worse, whatever its statistics.

    And worse than a new model, since what no model learns tells nothing.
    """
    states = [told.before, *([told.renewed] if len(told.renewed) else [])]
    constant = np.full(len(told.before), told.constant)
    return all(
        float(np.mean(one)) > WORSE * told.constant and surely_below(constant, one, rng)
        for one in states
    ) and surely_below(told.fresh, told.before, rng)


def to_blame(told: LayerRepairs, bound: float, rng: np.random.Generator) -> list[int]:
    """Return the layers to blame, the best first: those that mend it and are not surely worse.

    None where not even the best does, or does no better than a new model. Where it is not known to
    owe that to what the others know, it must be the only one, and not the first: a first layer
    learns nearly as well below any others as a whole model does.
    """
    after = told.after.mean(axis=1)
    best = int(np.argmin(after))
    if not _mends(told, best, bound, rng) or not after[best] < np.mean(told.fresh):
        return []
    order = [int(i) for i in np.argsort(after, kind="stable") if np.isfinite(after[i])]
    near = [
        i
        for i in order
        if i == best
        or (_mends(told, i, bound, rng) and not surely_below(told.after[best], told.after[i], rng))
    ]
    alone = len(near) == 1 and best > 0
    return near if alone or knows(told, best, rng) else []
