"""What a logged curve did, told apart from its noise: levels, slopes, swings.

Readings of a run are neither normal nor independent. So levels are medians, slopes Theil and Sen's,
and every error grows with the correlation of neighbours.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from auditor.core.statistics import theil_sen
from auditor.core.text import percent
from auditor.core.values import Array
from auditor.observations.training_log import LoggedSeries, TrainingLog

SURE = 0.99
"""Confidence before anything is said of one curve."""

MOST_CORRELATED = 0.8
"""Correlation of neighbours beyond which an estimate from one curve is not trusted."""

OWN_NOISE = 12
"""Readings of a stretch whose scatter can be told by themselves."""

TRUST = 0.25
"""Share of itself by which a first reading, alone as it is, may be off."""

FIRST = 5
"""Readings of a long curve that tell where it began; later ones have come down already."""

QUIET = 0.02
"""Share of a stretch's range up to which what a bent line leaves is no noise to speak of."""

POINTS = 60
"""Stretches that a long curve is condensed to."""


@dataclass(frozen=True)
class Noise:
    """The scatter of readings about their course, and the correlation of neighbours."""

    spread: float
    correlation: float

    @property
    def times(self) -> float:
        """Return how much wider errors are than of independent readings (Bayley & Hammersley)."""
        return math.sqrt((1 + self.correlation) / (1 - self.correlation))

    def of_level(self, readings: int) -> float:
        """Return the standard error of the median of so many readings."""
        return math.sqrt(math.pi / 2) * self.spread * self.times / math.sqrt(max(readings, 1))


@dataclass(frozen=True)
class Gap:
    """A difference of two levels with its standard error."""

    value: float
    error: float

    def low(self, z: float) -> float:
        """Return the lower bound at so many errors."""
        return self.value - z * self.error

    def high(self, z: float) -> float:
        """Return the upper bound at so many errors."""
        return self.value + z * self.error


def reach(tests: int = 1, confidence: float = SURE) -> float:
    """Return the errors that bound one of several tests from both sides (Bonferroni)."""
    return NormalDist().inv_cdf(1 - (1 - confidence) / (2 * max(tests, 1)))


def noise_of(values: Array) -> Noise:
    """Return the noise of a curve.

    The spread is that of readings about the mean of their neighbours, by its median (Gasser, Sroka,
    Jennen-Steinmetz 1986, made robust), set right for the correlation of what a running median
    leaves: of correlated noise, neighbours differ by less than it scatters.
    """
    y = np.asarray(values, float)
    if y.size < 3:
        return Noise(0.0, 0.0)
    left = y - running_median(y, _odd(max(5, y.size // 8)))
    left = left - left.mean()
    whole = float(left @ left)
    correlation = float(left[1:] @ left[:-1]) / whole if whole > 0 else 0.0
    correlation = min(max(correlation, 0.0), MOST_CORRELATED)
    bent = (y[1:-1] - (y[:-2] + y[2:]) / 2) / math.sqrt(1.5)
    spread = 1.4826 * float(np.median(np.abs(bent)))
    shrunk = math.sqrt((1.5 - 2 * correlation + 0.5 * correlation**2) / 1.5)
    return Noise(spread / shrunk, correlation)


def running_median(values: Array, window: int) -> Array:
    """Return the median of a window about each reading; at the ends the window is cut."""
    y = np.asarray(values, float)
    half = window // 2
    padded = np.concatenate([np.full(half, np.nan), y, np.full(half, np.nan)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1)
    result: Array = np.nanmedian(windows, axis=1)
    return result


def _odd(number: int) -> int:
    return number + 1 - number % 2


def level(values: Array) -> float:
    """Return the level of a stretch: its median."""
    return float(np.median(values))


def fallen(before: Array, after: Array, noise: Noise) -> Gap:
    """Return by how much the level falls from one stretch to another.

    A stretch that is long enough has its own noise, a shorter one that of the whole curve.
    """
    errors = (
        (noise_of(part) if len(part) >= OWN_NOISE else noise).of_level(len(part))
        for part in (before, after)
    )
    return Gap(level(before) - level(after), math.hypot(*errors))


def condensed(series: LoggedSeries, most: int = POINTS) -> tuple[Array, Array, int]:
    """Return a curve as medians of stretches, and how many readings one stretch has."""
    known = series.finite
    each = max(1, len(known.x) // most)
    count = len(known.x) // each
    if each == 1:
        return np.asarray(known.x, float), np.asarray(known.values, float), 1
    skipped = len(known.x) - count * each
    x, y = (np.asarray(a, float)[skipped:].reshape(count, each) for a in (known.x, known.values))
    return np.median(x, axis=1), np.median(y, axis=1), each


def slope(x: Array, y: Array, confidence: float = SURE) -> tuple[float, float, float]:
    """Return Theil and Sen's slope with an interval for correlated readings.

    The interval is made as much wider as the correlation of what a bent line leaves asks for (Hamed
    & Rao 1998, Journal of Hydrology 204, of the same rank statistic). That a course bends is no
    correlation of its noise.
    """
    correlation = 0.0
    if len(y) > 3:
        t = np.linspace(-1, 1, len(y))
        left = y - np.polyval(np.polyfit(t, y, 2), t)
        whole = float(left @ left)
        noisy = math.sqrt(whole / len(y)) > QUIET * float(np.ptp(y))
        correlation = float(left[1:] @ left[:-1]) / whole if noisy else 0.0
    times = Noise(0.0, min(max(correlation, 0.0), MOST_CORRELATED)).times
    z = min(times * NormalDist().inv_cdf((1 + confidence) / 2), 7.5)
    return theil_sen(x, y, 2 * NormalDist().cdf(z) - 1)


def swings(values: Array) -> Array:
    """Return how far a curve went from each turning point to the next."""
    y = np.asarray(values, float)
    moved = np.flatnonzero(np.diff(y) != 0)
    y = y[np.r_[moved, len(y) - 1]] if len(moved) else y[:1]
    turned = np.flatnonzero(np.diff(np.sign(np.diff(y)))) + 1
    return np.abs(np.diff(y[turned]))


def middle(values: Array, confidence: float = SURE) -> tuple[float, float, float]:
    """Return the median of the means of all pairs, with its interval.

    The bounds are the means of rank n (n + 1) / 4 ∓ z √(n (n + 1) (2n + 1) / 24) (Hodges & Lehmann
    1963; Hollander & Wolfe 1999, section 3.3). Few values bound nothing.
    """
    y = np.asarray(values, float)
    count = len(y)
    if not count:
        return math.nan, -math.inf, math.inf
    first, second = np.triu_indices(count)
    means = np.sort((y[first] + y[second]) / 2)
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    reach = z * math.sqrt(count * (count + 1) * (2 * count + 1) / 24)
    rank = math.floor(len(means) / 2 - reach)
    value = float(np.median(means))
    if rank < 1:
        return value, -math.inf, math.inf
    return value, float(means[rank - 1]), float(means[-rank])


def first_reading(values: Array) -> float:
    """Return where a curve began: its first reading, or the middle of five if that is lower.

    A rate that is far too high makes the loss explode within a few readings.
    """
    return min(float(values[0]), level(values[: min(FIRST, max(1, len(values) // 50))]))


def stays_above(first: float, stretch: Array, tests: int = 1) -> bool:
    """Tell whether the level of a stretch is surely above a first reading, alone as that is.

    It may be off by a quarter of itself, and scatter as the readings of the stretch do, which of
    positive losses is in proportion to them.
    """
    if first > 0 and float(np.min(stretch)) > 0:
        first, stretch, trusted = math.log(first), np.log(stretch), math.log1p(TRUST)
    else:
        trusted = TRUST * abs(first)
    noise = noise_of(stretch)
    low = level(stretch) - reach(tests) * noise.of_level(len(stretch))
    return low > first + max(trusted, reach() * noise.spread)


def of_gain(share: float) -> str:
    """Return a share of what training gained in words."""
    if share < 2:
        return f"{percent(share)} % of what training gained"
    return (
        f"{share:,.0f} times what training gained" if share < 1e4 else "beyond all that it gained"
    )


def ended_in_nothing(series: LoggedSeries) -> bool:
    """Tell whether a series ends with values that are not finite."""
    return len(series.values) > 0 and not math.isfinite(float(series.values[-1]))


def first_level(log: TrainingLog) -> float:
    """Return the loss that the run began with: of training or validation, whichever is higher.

    A log that begins with the end of an epoch tells the first for neither of them.
    """
    found = []
    for name in ("train_loss", "val_loss"):
        series = log.named(name)
        if series is not None and len(series.finite.values):
            found.append(first_reading(np.asarray(series.finite.values, float)))
    return max(found, default=math.nan)


def per_epoch(log: TrainingLog, series: LoggedSeries) -> bool:
    """Tell whether a series has one reading an epoch, a mean over all its batches."""
    if log.unit == "epochs":
        return bool(np.all(np.asarray(series.x) % 1 == np.asarray(series.x)[:1] % 1))
    epochs = np.floor(series.epochs[np.isfinite(series.epochs)])
    return len(epochs) >= len(series.x) / 2 and len(np.unique(epochs)) >= 0.9 * len(epochs)


def too_few(log: TrainingLog, needs: int, *names: str) -> str:
    """Return why a run can't be judged that has too few readings of any of the series named."""
    said = {
        "train_loss": "the training loss",
        "val_loss": "the validation loss",
        "lr": "the learning rate",
        "grad_norm": "the gradient's norm",
    }
    held = {name: len(one.finite.x) for name in names if (one := log.named(name)) is not None}
    wanted = " or ".join(said[name] for name in names)
    if not any(held.values()):
        columns = ", ".join(log.columns[:8])
        return f"The log {log.source} does not tell {wanted}; its columns are {columns}."
    most = max(held.values())
    return f"The log {log.source} has {most:,} readings of {wanted}; it takes {needs} to tell."
