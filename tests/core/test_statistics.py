import math

import numpy as np
import pytest
from scipy import stats

from auditor.core import statistics as s


@pytest.mark.parametrize(("successes", "trials"), [(0, 10), (3, 10), (10, 10), (1, 1), (40, 1000)])
def test_clopper_pearson_is_scipys_exact_interval(successes: int, trials: int) -> None:
    exact = stats.binomtest(successes, trials).proportion_ci(0.95, method="exact")
    assert s.clopper_pearson(successes, trials) == pytest.approx((exact.low, exact.high))


def test_clopper_pearson_of_nothing_knows_nothing() -> None:
    assert s.clopper_pearson(0, 0) == (0.0, 1.0)
    with pytest.raises(ValueError, match="3 successes in 2"):
        s.clopper_pearson(3, 2)


def test_rule_of_three() -> None:
    assert s.rule_of_three(100) == pytest.approx(1 - 0.05 ** (1 / 100))
    assert s.rule_of_three(10_000) == pytest.approx(3 / 10_000, rel=0.01)
    assert s.rule_of_three(0) == 1.0
    needed = s.trials_to_bound(0.03)
    assert s.rule_of_three(needed) <= 0.03 < s.rule_of_three(needed - 1)


def test_mean_interval_is_students() -> None:
    values = [2.0, 3.0, 5.0, 11.0]
    expected = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    assert s.mean_interval(values) == pytest.approx(expected)
    assert s.mean_interval([4.0, 4.0, 4.0]) == (4.0, 4.0)


@pytest.mark.parametrize("values", [[], [1.0], [1.0, math.nan], [1.0, math.inf]])
def test_what_bounds_nothing_has_an_endless_interval(values: list[float]) -> None:
    assert s.mean_interval(values) == s.UNKNOWN
    assert s.median_interval(values) == s.UNKNOWN
    assert s.paired_bootstrap(values, [0.0] * len(values), np.random.default_rng(0)) == s.UNKNOWN


def test_geometric_interval() -> None:
    centre, low, high = s.geometric_interval([1.0, 10.0, 100.0, 0.0, math.nan])
    assert centre == pytest.approx(10)
    assert low < 10 < high
    assert low * high == pytest.approx(100)
    assert s.geometric_interval([7.0]) == (pytest.approx(7), 0.0, math.inf)
    assert all(math.isnan(value) for value in s.geometric_interval([0.0]))


def test_median_interval_holds_its_confidence() -> None:
    assert s.median_interval(range(18)) == (4.0, 13.0)
    assert s.median_interval([1, 2, 3, 4, 5]) == s.UNKNOWN
    assert s.median_interval([1, 2, 3, 4, 5, 6]) == (1.0, 6.0)
    rng = np.random.default_rng(1)
    intervals = [s.median_interval(rng.exponential(size=25)) for _ in range(1000)]
    covered = np.mean([low <= math.log(2) <= high for low, high in intervals])
    assert covered >= 0.94


@pytest.mark.parametrize("count", [20, 200])
def test_paired_bootstrap_covers_the_true_difference(count: int) -> None:
    rng = np.random.default_rng(count)
    hits = 0
    for _ in range(300):
        hard = rng.normal(size=count)
        a, b = hard + 0.3 + 0.5 * rng.normal(size=count), hard
        low, high = s.paired_bootstrap(a, b, rng, resamples=500)
        hits += low <= 0.3 <= high
    assert 0.91 <= hits / 300 <= 0.985


def test_paired_ratio_covers_the_true_ratio() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        b = rng.gamma(2.0, 1.0, 60)
        a = 0.4 * b + rng.gamma(2.0, 0.1, 60)
        low, high = s.paired_ratio(a, b)
        assert low < a.mean() / b.mean() < high
        held += low < (0.8 + 0.2) / 2.0 < high
    assert held / 400 == pytest.approx(0.95, abs=0.03)


def test_paired_ratio_to_nothing_is_not_bounded() -> None:
    assert s.paired_ratio([1.0, 2.0], [0.0, 0.0]) == s.UNKNOWN
    assert s.paired_ratio([1.0, 2.0], [math.inf, 1.0]) == s.UNKNOWN
    assert s.paired_ratio([1.0], [2.0]) == (-math.inf, math.inf)


def test_paired_bootstrap_of_shares_covers_too() -> None:
    rng = np.random.default_rng(3)
    hits = 0
    for _ in range(300):
        a, b = rng.random(100) < 0.7, rng.random(100) < 0.5
        low, high = s.paired_bootstrap(a, b, rng, resamples=1000)
        hits += low <= 0.2 <= high
    assert 0.91 <= hits / 300 <= 0.985


def test_paired_bootstrap_drawn_by_counts_or_by_examples_agrees() -> None:
    values = np.random.default_rng(0).integers(0, 2, 500).astype(float)
    by_counts = s.paired_bootstrap(values, 0 * values, np.random.default_rng(1))
    jitter = 1e-9 * np.arange(500)
    by_examples = s.paired_bootstrap(values + jitter, 0 * values, np.random.default_rng(1))
    assert by_counts == pytest.approx(by_examples, abs=0.01)


def test_paired_bootstrap_is_exact_without_spread_and_repeatable() -> None:
    ones = np.ones(30)
    assert s.paired_bootstrap(ones, 0 * ones, np.random.default_rng(0)) == (1.0, 1.0)
    a = np.random.default_rng(5).normal(size=50)
    first = s.paired_bootstrap(a, 0 * a, np.random.default_rng(9))
    assert first == s.paired_bootstrap(a, 0 * a, np.random.default_rng(9))


def test_paired_bootstrap_of_very_many_is_students() -> None:
    a = np.random.default_rng(5).normal(size=s.LARGE)
    assert s.paired_bootstrap(a, 0 * a, np.random.default_rng(0)) == s.mean_interval(a)


def test_examples_to_settle_is_enough_and_not_far_more() -> None:
    needed = s.examples_to_settle(100, 0.02, -0.02, 0.06)
    assert needed == 401
    assert s.examples_to_settle(100, 0.0, -0.1, 0.1) is None
    assert s.examples_to_settle(100, 0.5, -math.inf, math.inf) is None
    assert s.examples_to_settle(100, -1.0, -2.0, 1.0) == 401


def test_theil_sen_is_scipys() -> None:
    rng = np.random.default_rng(0)
    x = np.arange(30.0)
    y = 0.5 * x + rng.normal(size=30)
    y[3] = 1000
    expected = stats.theilslopes(y, x, 0.95)
    assert s.theil_sen(x, y) == pytest.approx(
        (expected.slope, expected.low_slope, expected.high_slope), rel=0.02
    )


def test_theil_sen_of_little_or_much() -> None:
    assert all(math.isnan(value) for value in s.theil_sen([1.0], [2.0]))
    assert s.theil_sen([0.0, 1.0], [0.0, 3.0]) == (3.0, -math.inf, math.inf)
    many = np.arange(5000.0)
    assert s.theil_sen(many, 2 * many)[0] == 2.0


def test_column_quantiles_leave_nan_out() -> None:
    table = [[1.0, np.nan, np.nan], [3.0, 5.0, np.nan]]
    assert s.column_quantiles(table, (0.5,))[0] == pytest.approx([2, 5, np.nan], nan_ok=True)
    assert s.column_quantiles(np.empty((0, 2)), (0.5,)).shape == (1, 2)


def test_first_over_last() -> None:
    assert s.first_over_last([[8.0, 4.0, 2.0]]) == pytest.approx([4.0])
    assert s.first_over_last([[np.nan, 8.0, 2.0]]) == pytest.approx([4.0])
    long = np.geomspace(1, 1e-19, 20)[None]
    assert s.first_over_last(long) == pytest.approx([1e15])
    assert not s.first_over_last([[3.0]]).size
    assert not s.first_over_last(np.empty((0, 4))).size


def test_kolmogorov_smirnov_agrees_with_scipy_and_bounds_the_true_gap() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=300), rng.normal(1.0, size=200)
    gap, low = s.kolmogorov_smirnov(a, b)
    assert gap == pytest.approx(stats.ks_2samp(a, b).statistic)
    assert 0 < low < 2 * stats.norm.cdf(0.5) - 1 < gap + 0.2
    assert s.kolmogorov_smirnov(np.append(a, np.nan), b) == (gap, low)
    assert s.kolmogorov_smirnov(a, a) == (0.0, 0.0)
    assert s.kolmogorov_smirnov([], b) == (0.0, 0.0)
    assert s.kolmogorov_smirnov(np.zeros(100), np.ones(100))[0] == 1.0


def test_kolmogorov_smirnov_claims_no_gap_where_there_is_none() -> None:
    rng = np.random.default_rng(1)
    lows = [s.kolmogorov_smirnov(*rng.normal(size=(2, 80)), 0.9)[1] for _ in range(500)]
    assert np.mean(np.asarray(lows) > 0) < 0.1


def test_welch_interval_agrees_with_scipy() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(1.0, 2.0, size=30), rng.normal(size=200)
    for confidence in (0.95, 0.99):
        expected = stats.ttest_ind(a, b, equal_var=False).confidence_interval(confidence)
        assert s.welch_interval(a, b, confidence) == pytest.approx(tuple(expected))


def test_welch_interval_of_what_bounds_nothing_and_of_what_does_not_vary() -> None:
    assert s.welch_interval([1.0], [1.0, 2.0]) == s.UNKNOWN
    assert s.welch_interval([1.0, math.nan], [1.0, 2.0]) == s.UNKNOWN
    assert s.welch_interval([1.0, 1.0], [0.0, 0.0]) == (1.0, 1.0)
