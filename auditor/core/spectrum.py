"""Numbers that sum up a spectrum, and what chance alone would give."""

import math
from functools import cache

import numpy as np
from numpy.typing import ArrayLike

from auditor.core.values import Array

GRID = 2000
"""Points at which the law of Marchenko and Pastur is integrated."""

STARTS = 30
"""Starts of a tail that are tried."""

FEWEST_FOR_A_TAIL = 50
"""Eigenvalues below which no exponent of a power law is estimated."""


def effective_rank(singular_values: ArrayLike) -> float:
    """Return exp(-Σ p ln p) of p = σ / Σσ, between 1 and the number of values; 0 of zeros.

    Roy & Vetterli 2007, "The effective rank: a measure of effective dimensionality", EUSIPCO.
    """
    values = np.asarray(singular_values, float)
    total = values.sum()
    if not (total > 0 and math.isfinite(total)):
        return 0.0
    shares = values[values > 0] / total
    return float(np.exp(-(shares * np.log(shares)).sum()))


def stable_rank(singular_values: ArrayLike) -> float:
    """Return Σσ² / max σ², which small singular values hardly move; 0 of zeros."""
    squares = np.square(np.asarray(singular_values, float))
    most = squares.max(initial=0.0)
    return float(squares.sum() / most) if most > 0 else 0.0


@cache
def random_spectrum(rows: int, columns: int) -> Array:
    """Return the singular values, descending, to expect of independent entries of variance 1.

    Their squares over the longer side L follow, in the limit, the density
    √((b - x)(x - a)) / (2π q x) on [a, b] = [(1 - √q)², (1 + √q)²], where q is the shorter side
    over the longer (Marchenko & Pastur 1967); here its quantiles at (i - 1/2) / min(rows, columns).
    """
    short, long = min(rows, columns), max(rows, columns)
    if short < 1:
        return np.zeros(0)
    q = short / long
    a, b = (1 - math.sqrt(q)) ** 2, (1 + math.sqrt(q)) ** 2
    # x = a + (b - a) sin²(t) flattens the roots at both ends.
    angles = (np.arange(GRID) + 0.5) / GRID * math.pi / 2
    x = a + (b - a) * np.sin(angles) ** 2
    density = (np.sin(angles) * np.cos(angles)) ** 2 / np.maximum(x, 1e-12)
    reached = np.cumsum(density)
    reached = (reached - density / 2) / reached[-1]
    levels = (np.arange(short) + 0.5) / short
    return np.sqrt(long * np.interp(levels, reached, x))[::-1].copy()


@cache
def random_effective_rank(rows: int, columns: int) -> float:
    """Return the effective rank to expect of a matrix of independent entries."""
    return effective_rank(random_spectrum(rows, columns))


def tail_exponent(singular_values: ArrayLike) -> float | None:
    """Return the exponent α of a power law x^-α fitted to the tail of the eigenvalues σ².

    For each start m of the tail α = 1 + n / Σ ln(x / m); the start is taken whose fit leaves the
    smallest Kolmogorov-Smirnov distance (Clauset, Shalizi & Newman 2009, SIAM Review 51). Martin &
    Mahoney 2021 (JMLR 22) read α between 2 and 6 as a mark of trained layers. None of too few
    values. Any spectrum has some α: it proves nothing by itself.
    """
    values = np.sort(np.square(np.asarray(singular_values, float)))
    values = values[values > values.max(initial=0.0) * 1e-12]
    if len(values) < FEWEST_FOR_A_TAIL:
        return None
    best, found = math.inf, None
    last = len(values) - FEWEST_FOR_A_TAIL // 2
    for start in np.unique(np.linspace(0, last, STARTS).astype(int)):
        tail = values[start:]
        logs = np.log(tail / tail[0])
        if not logs.sum() > 0:
            continue
        alpha = 1 + len(tail) / logs.sum()
        model = -np.expm1((1 - alpha) * logs)
        gap = np.abs(model - np.arange(len(tail)) / len(tail)).max()
        if gap < best:
            best, found = gap, float(alpha)
    return found
