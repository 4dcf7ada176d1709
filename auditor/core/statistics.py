"""Intervals for what was sampled: each function with its formula and where it comes from.

SciPy is imported inside the functions that need it, so that commands which only judge or draw
start quickly.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

Interval = tuple[float, float]

UNKNOWN: Interval = (-math.inf, math.inf)
"""The interval of what can't be bounded, such as the mean of a single value."""

DISTINCT = 64
"""Up to so many distinct values a bootstrap counts values instead of drawing examples."""

CHUNK = 2_000_000
"""Indices drawn at a time by a bootstrap: 16 MB."""

LARGE = 100_000
"""From so many examples on, a bootstrap of a mean is replaced by the normal interval it equals."""


def clopper_pearson(successes: int, trials: int, confidence: float = 0.95) -> Interval:
    """Return the exact interval of a share.

    The bounds are the quantiles Beta(a/2; k, n - k + 1) and Beta(1 - a/2; k + 1, n - k), with
    a = 1 - confidence (Clopper & Pearson 1934, Biometrika 26). Of no trials it is [0, 1].
    """
    if not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes in {trials} trials")
    if trials == 0:
        return 0.0, 1.0
    from scipy.special import betaincinv

    tail = (1 - confidence) / 2
    missed = trials - successes
    low = float(betaincinv(successes, missed + 1, tail)) if successes else 0.0
    high = float(betaincinv(successes + 1, missed, 1 - tail)) if missed else 1.0
    return low, high


def rule_of_three(trials: int) -> float:
    """Return the 95 % upper bound on the share of what was never seen in so many trials.

    Exactly 1 - 0.05^(1/n), which is close to 3/n (Hanley & Lippman-Hand 1983, JAMA 249).
    """
    return 1.0 if trials <= 0 else -math.expm1(math.log(0.05) / trials)


def trials_to_bound(share: float) -> int:
    """Return how many trials bound what was never seen to `share`, by the rule of three."""
    return math.ceil(math.log(0.05) / math.log1p(-share))


def mean_interval(values: ArrayLike, confidence: float = 0.95) -> Interval:
    """Return Student's interval of the mean, m ± t(n - 1) s / √n (Student 1908, Biometrika 6).

    One value, or one that is not finite, bounds nothing.
    """
    sample = np.asarray(values, float).ravel()
    if sample.size < 2 or not np.isfinite(sample).all():
        return UNKNOWN
    from scipy.special import stdtrit

    mean = float(sample.mean())
    error = float(sample.std(ddof=1)) / math.sqrt(sample.size)
    half = float(stdtrit(sample.size - 1, (1 + confidence) / 2)) * error
    return mean - half, mean + half


def geometric_interval(values: ArrayLike, confidence: float = 0.95) -> tuple[float, float, float]:
    """Return the geometric mean of positive values with its interval: Student's, of the logs.

    For ratios, whose errors multiply. Values that are not positive and finite are left out;
    where none is left, all three are NaN.
    """
    sample = np.asarray(values, float).ravel()
    logs = np.log(sample[np.isfinite(sample) & (sample > 0)])
    if not logs.size:
        return math.nan, math.nan, math.nan
    low, high = mean_interval(logs, confidence)
    return _exp(float(logs.mean())), _exp(low), _exp(high)


def reciprocal(value: float, low: float, high: float) -> tuple[float, float, float]:
    """Return one over a positive value with its interval; one over zero is infinite."""
    over, most, least = (1 / bound if bound > 0 else math.inf for bound in (value, low, high))
    return over, least, most


def _exp(value: float) -> float:
    return math.inf if value > 700 else math.exp(value)


def median_interval(values: ArrayLike, confidence: float = 0.95) -> Interval:
    """Return an interval of the median between two order statistics, x(k) and x(n + 1 - k).

    k is the largest number with P(Binomial(n, 1/2) < k) <= (1 - confidence) / 2, so no form of
    distribution is assumed (Conover 1999, Practical Nonparametric Statistics, 3.2). Fewer than
    six values bound nothing at 95 %.
    """
    sample = np.sort(np.asarray(values, float).ravel())
    count = sample.size
    if not count or not np.isfinite(sample).all():
        return UNKNOWN
    from scipy.special import bdtr

    below = bdtr(np.arange(count // 2 + 1), count, 0.5)
    rank = int(np.searchsorted(below, (1 - confidence) / 2, side="right"))
    return (float(sample[rank - 1]), float(sample[count - rank])) if rank else UNKNOWN


def paired_bootstrap(
    a: ArrayLike,
    b: ArrayLike,
    rng: np.random.Generator,
    resamples: int = 2000,
    confidence: float = 0.95,
) -> Interval:
    """Return the interval of mean(a) - mean(b) over examples that both were measured on.

    Examples are drawn anew with replacement and the difference is averaged each time; the
    bounds are quantiles of these averages (Efron & Tibshirani 1993, ch. 13), taken at the
    levels Φ(±√(n / (n - 1)) t(n - 1)), which corrects the narrowness of small samples
    (Hesterberg 2015, The American Statistician 69). Differences of few distinct values are
    drawn by their counts, which is the same; from `LARGE` examples on Student's interval, the
    limit of all this, is returned.
    """
    return paired_bootstraps(a, b, rng, (confidence,), resamples)[0]


def paired_bootstraps(
    a: ArrayLike,
    b: ArrayLike,
    rng: np.random.Generator,
    levels: Sequence[float],
    resamples: int = 2000,
) -> list[Interval]:
    """Return the interval of `paired_bootstrap` at several levels of confidence, drawn once."""
    differences = np.asarray(a, float).ravel() - np.asarray(b, float).ravel()
    count = differences.size
    if count < 2 or not np.isfinite(differences).all():
        return [UNKNOWN for _ in levels]
    distinct, counts = np.unique(differences, return_counts=True)
    if len(distinct) == 1:
        return [(float(distinct[0]), float(distinct[0])) for _ in levels]
    if len(distinct) <= DISTINCT:
        means = rng.multinomial(count, counts / count, size=resamples) @ distinct / count
    elif count >= LARGE:
        return [mean_interval(differences, level) for level in levels]
    else:
        means = np.empty(resamples)
        step = max(1, CHUNK // count)
        for start in range(0, resamples, step):
            rows = min(step, resamples - start)
            drawn = rng.integers(0, count, (rows, count))
            means[start : start + rows] = differences[drawn].mean(axis=1)
    from scipy.special import ndtr, stdtrit

    tails = np.asarray([(1 + level) / 2 for level in levels])
    reach = math.sqrt(count / (count - 1)) * stdtrit(count - 1, tails)
    low, high = np.quantile(means, [ndtr(-reach), ndtr(reach)])
    return [(float(least), float(most)) for least, most in zip(low, high, strict=True)]


def paired_ratio(a: ArrayLike, b: ArrayLike, confidence: float = 0.95) -> Interval:
    """Return the interval of mean(a) / mean(b) over examples that both were measured on.

    r ± t(n - 1) s / (√n mean(b)), where s is the deviation of a - r b (Cochran 1977, Sampling
    Techniques, ch. 6). For positive values; others bound nothing.
    """
    above, below = np.asarray(a, float).ravel(), np.asarray(b, float).ravel()
    mean = float(below.mean()) if below.size else 0.0
    if not mean > 0 or not math.isfinite(mean):
        return UNKNOWN
    ratio = float(above.mean()) / mean
    low, high = mean_interval(above - ratio * below, confidence)
    return ratio + low / mean, ratio + high / mean


def examples_to_settle(
    examples: int, value: float, low: float, high: float, limit: float = 0.0
) -> int | None:
    """Return how many examples would bring [low, high] clear of `limit`, were `value` to stay.

    A width shrinks as 1/√n, so n' = n (h / d)², with h the reach of the interval from `value`
    towards the limit and d the distance to the limit. None where no number would do.
    """
    distance = abs(value - limit)
    reach = value - low if value > limit else high - value
    if not (distance > 0 and math.isfinite(distance) and math.isfinite(reach)):
        return None
    return max(examples, math.ceil(examples * (reach / distance) ** 2) + 1)


def theil_sen(
    x: Sequence[float] | NDArray[np.float64],
    y: Sequence[float] | NDArray[np.float64],
    confidence: float = 0.95,
) -> tuple[float, float, float]:
    """Return the median slope over all pairs of points, with Sen's interval.

    The bounds are the slopes of rank (N ∓ z √(n (n - 1) (2n + 5) / 18)) / 2 among the N pairs
    (Theil 1950; Sen 1968, JASA 63). Beyond 1,000 points every k-th is taken. Of fewer than two
    points all three are NaN.
    """
    stride = max(1, math.ceil(len(x) / 1000))
    xs, ys = np.asarray(x, float)[::stride], np.asarray(y, float)[::stride]
    first, second = np.triu_indices(len(xs), 1)
    apart = xs[second] != xs[first]
    run, rise = (xs[second] - xs[first])[apart], (ys[second] - ys[first])[apart]
    if not run.size:
        return math.nan, math.nan, math.nan
    slopes = np.sort(rise / run)
    count, pairs = len(xs), len(slopes)
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    spread = z * math.sqrt(count * (count - 1) * (2 * count + 5) / 18)
    lower, upper = round((pairs - spread) / 2) - 1, round((pairs + spread) / 2)
    low = float(slopes[lower]) if lower >= 0 else -math.inf
    high = float(slopes[upper]) if upper < pairs else math.inf
    return float(np.median(slopes)), low, high


def column_quantiles(
    values: ArrayLike, levels: tuple[float, ...] = (0.1, 0.5, 0.9)
) -> NDArray[np.float64]:
    """Return the quantiles of each column, [levels, columns], NaN left out.

    A column of nothing but NaN, or one without rows, has NaN for its quantiles.
    """
    table = np.atleast_2d(np.asarray(values, float))
    result = np.full((len(levels), table.shape[1]), np.nan)
    known = ~np.isnan(table).all(axis=0)
    if table.shape[0] and known.any():
        with np.errstate(invalid="ignore"):
            result[:, known] = np.nanquantile(table[:, known], levels, axis=0)
    return result


def first_over_last(table: ArrayLike) -> NDArray[np.float64]:
    """Return, for each row, the median of its first columns over that of its last.

    A quarter of the columns at each end, at least one and at most five, so that no single column
    decides. Columns of nothing but NaN are left out; fewer than two give no ratios.
    """
    rows = np.atleast_2d(np.asarray(table, float))
    rows = rows[:, ~np.isnan(rows).all(axis=0)] if rows.shape[0] else rows
    if rows.shape[0] == 0 or rows.shape[1] < 2:
        return np.empty(0)
    ends = max(1, min(5, rows.shape[1] // 4))
    first = column_quantiles(rows[:, :ends].T, (0.5,))[0]
    last = column_quantiles(rows[:, -ends:].T, (0.5,))[0]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.asarray(first / last)


def kolmogorov_smirnov(a: ArrayLike, b: ArrayLike, confidence: float = 0.99) -> tuple[float, float]:
    """Return the largest gap between two cumulative distributions, and what it is at least.

    The gap is sup |F(x) - G(x)| over both samples (Kolmogorov 1933; Smirnov 1939). Each sample's
    own distribution lies within √(ln(2 / e) / 2n) of the true one but for a share e of cases
    (Massart 1990, The Annals of Probability 18), so with e half the error allowed the true gap is
    at least the gap less both. Values that are NaN are left out; of nothing, both are 0.
    """
    first, second = (np.asarray(sample, float).ravel() for sample in (a, b))
    first, second = (np.sort(sample[~np.isnan(sample)]) for sample in (first, second))
    if not first.size or not second.size:
        return 0.0, 0.0
    points = np.concatenate([first, second])
    shares = [np.searchsorted(sample, points, "right") / sample.size for sample in (first, second)]
    gap = float(np.abs(shares[0] - shares[1]).max())
    error = math.log(2 / ((1 - confidence) / 2)) / 2
    reach = math.sqrt(error / first.size) + math.sqrt(error / second.size)
    return gap, max(0.0, gap - reach)


def welch_interval(a: ArrayLike, b: ArrayLike, confidence: float = 0.95) -> Interval:
    """Return the interval of mean(a) - mean(b) over two samples that have nothing in common.

    d ± t(v) √(s_a²/n_a + s_b²/n_b), with v = (u + w)² / (u²/(n_a - 1) + w²/(n_b - 1)), where u and
    w are the two terms under the root (Welch 1947, Biometrika 34). A sample of one value, or one
    that is not finite, bounds nothing.
    """
    first, second = (np.asarray(sample, float).ravel() for sample in (a, b))
    if min(first.size, second.size) < 2:
        return UNKNOWN
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        return UNKNOWN
    from scipy.special import stdtrit

    difference = float(first.mean() - second.mean())
    u, w = (float(sample.var(ddof=1)) / sample.size for sample in (first, second))
    if not u + w > 0:
        return difference, difference
    freedom = (u + w) ** 2 / (u**2 / (first.size - 1) + w**2 / (second.size - 1))
    half = float(stdtrit(freedom, (1 + confidence) / 2)) * math.sqrt(u + w)
    return difference - half, difference + half
