"""How large outputs are on each batch, and by how much examples differ in them."""

import numpy as np

from auditor.core.values import Array
from auditor.observations.activation_scale import ActivationScale


def sizes_of(scale: ActivationScale) -> tuple[Array, Array]:
    """Return root mean square and deviation, [batches, layers], NaN where not finite."""
    with np.errstate(all="ignore"):
        size = np.sqrt(scale.of("variance") + scale.of("mean") ** 2)
        deviation = np.sqrt(scale.of("variance"))
    bad = ~np.isfinite(size)
    return np.where(bad, np.nan, size), np.where(bad, np.nan, deviation)


def differing_of(shares: Array) -> Array:
    """Return by how much examples differ, relative to their size, at most over batches."""
    with np.errstate(all="ignore"):
        root = np.sqrt(shares)
    known = np.isfinite(root)
    largest = np.fmax.reduce(np.where(known, root, np.nan), axis=0)
    return np.where(known.any(axis=0), largest, np.nan)
