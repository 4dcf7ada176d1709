"""How far stated probabilities are from observed frequencies."""

from dataclasses import dataclass

import numpy as np

from auditor.core.values import Array
from auditor.observations.probabilities import Probabilities, blocks, draws_of

BINS = 15
"""Bins of a reliability diagram (Guo et al. 2017)."""

FEWEST_A_BIN = 20
"""Examples for which another bin is worth it."""


@dataclass(frozen=True)
class Reliability:
    """Stated probability and observed frequency, bin by bin of about equally many rows.

    `stated`, `observed` and `rows` are [bins]. `sway` is the standard deviation that `observed`
    would have about `stated` were the model calibrated. `error` is the mean absolute gap, the
    expected calibration error, `debiased` the same less what chance adds; `by_chance` is what a
    calibrated model of these probabilities would show. `draws` are bootstrapped debiased errors.
    """

    stated: Array
    observed: Array
    rows: Array
    sway: Array
    error: float
    debiased: float
    by_chance: float
    draws: Array

    def interval(self, confidence: float) -> tuple[float, float]:
        """Return the bootstrap interval of the debiased error."""
        tail = (1 - confidence) / 2
        low, high = np.quantile(self.draws, [tail, 1 - tail])
        return min(max(0.0, float(low)), self.debiased), max(float(high), self.debiased)


def claims(read: Probabilities) -> tuple[Array, Array]:
    """Return the probability stated of each row, and 1 where what it was stated of came true.

    Of two classes it is the probability of the second, of more that of the likeliest.
    """
    if read.logs.shape[1] == 2:
        return np.exp(read.logs[:, 1]), np.asarray(read.decisions.truth, float)
    top = read.logs.argmax(axis=1)
    return np.exp(read.logs.max(axis=1)), np.asarray(top == read.decisions.truth, float)


def reliability(read: Probabilities, rng: np.random.Generator) -> Reliability:
    """Return stated against observed frequencies in bins of equal mass (Naeini et al. 2015).

    A gap g with sampling variance v shows as |g| with expectation E|N(g, v)|, so that chance adds
    E|N(g, v)| - |g|, which is taken off (after Kumar et al. 2019). v is estimated over whole
    examples, whose rows are not independent. The bootstrap draws whole examples.
    """
    stated, came = claims(read)
    block = blocks(read.decisions.example, rng)
    examples = len(np.unique(read.decisions.example))
    count = int(np.clip(examples // FEWEST_A_BIN, 1, BINS))
    inner = np.unique(np.quantile(stated, np.arange(1, count) / count))
    _, place = np.unique(np.searchsorted(inner, stated, side="right"), return_inverse=True)
    bins = int(place.max()) + 1
    rows = np.bincount(place, minlength=bins).astype(float)
    cell = block * bins + place
    shape = (int(block.max()) + 1, bins)

    def cells(values: Array) -> Array:
        return np.asarray(np.bincount(cell, values, shape[0] * bins).reshape(shape))

    gaps, held = cells(came - stated), cells(np.ones(len(came)))
    total = gaps.sum(axis=0)
    centred = gaps - held * (total / rows)
    variance = np.square(centred).sum(axis=0)
    alone = np.bincount(place, np.square((came - stated) - (total / rows)[place]), bins)
    together = np.maximum(1.0, variance / np.maximum(alone, 1e-12))
    sway = np.sqrt(np.bincount(place, stated * (1 - stated), bins) * together)
    noise = np.maximum(np.sqrt(variance), sway)
    error = float(np.abs(total).sum() / len(came))
    excess = float((_folded(np.abs(total), noise) - np.abs(total)).sum() / len(came))
    draws = np.abs(draws_of(len(gaps), rng)[1:] @ gaps).sum(axis=1) / len(came)
    debiased = max(0.0, error - excess)
    return Reliability(
        stated=np.bincount(place, stated, bins) / rows,
        observed=np.bincount(place, came, bins) / rows,
        rows=rows,
        sway=sway / rows,
        error=error,
        debiased=debiased,
        by_chance=float(np.sqrt(2 / np.pi) * sway.sum() / len(came)),
        draws=draws - draws.mean() + debiased,
    )


def overconfidence(read: Probabilities) -> Array:
    """Return [rows] the probability of the likeliest class, less 1 where it is the right one."""
    top = read.logs.argmax(axis=1)
    return np.asarray(np.exp(read.logs.max(axis=1)) - (top == read.decisions.truth))


def _folded(mean: Array, deviation: Array) -> Array:
    """Return E|N(mean, deviation²)| of means that are not negative."""
    from scipy.special import ndtr

    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(deviation > 0, mean / deviation, np.inf)
    bell = deviation * np.sqrt(2 / np.pi) * np.exp(-0.5 * np.square(ratio))
    return np.asarray(bell + mean * (1 - 2 * ndtr(-ratio)))
