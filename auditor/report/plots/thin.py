"""Fewer points of a dense line, none of its spikes lost."""

import numpy as np

from auditor.core.values import Array

MOST_POINTS = 1600
"""Points of a line from which on it is thinned, and about how many are left."""


def thinned(x: Array, y: Array) -> tuple[Array, Array]:
    """Return a line in pixels with the lowest and the highest point of each column of pixels.

    NaN in `y` is a gap; it stays one where a column holds nothing else.
    """
    if len(x) <= MOST_POINTS:
        return x, y
    starts = _columns(x)
    places = np.arange(len(x))
    runs = np.repeat(np.arange(len(starts)), np.diff([*starts, len(x)]))
    low = _first_of(runs, np.where(np.isnan(y), np.inf, y), places)
    high = _first_of(runs, np.where(np.isnan(y), np.inf, -y), places)
    kept = np.unique(np.concatenate([low, high]))
    return x[kept], y[kept]


def thinned_band(x: Array, low: Array, high: Array) -> tuple[Array, Array, Array]:
    """Return a band in pixels with the widest reach of each column; y grows downwards."""
    if len(x) <= MOST_POINTS:
        return x, low, high
    starts = _columns(x)
    return x[starts], np.fmax.reduceat(low, starts), np.fmin.reduceat(high, starts)


def _columns(x: Array) -> Array:
    """Return where columns of pixels start: by pixel, or evenly where a line goes to and fro."""
    pixels = np.floor(x)
    starts: Array = np.concatenate([[0], np.flatnonzero(pixels[1:] != pixels[:-1]) + 1])
    if len(starts) > MOST_POINTS // 2:
        starts = np.unique(np.linspace(0, len(x), MOST_POINTS // 2, endpoint=False).astype(int))
    return starts


def _first_of(runs: Array, values: Array, places: Array) -> Array:
    """Return, for each run of equal numbers, the place of its smallest value."""
    order = np.lexsort((places, values, runs))
    first = np.concatenate([[True], np.diff(runs[order]) > 0])
    found: Array = order[first]
    return found
