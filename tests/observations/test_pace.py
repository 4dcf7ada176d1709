"""The pace of a model and of its weights, on ratios of which each is known to be near or far."""

from dataclasses import replace

import numpy as np
import pytest

from auditor.core.statistics import geometric_interval, mean_interval
from auditor.observations.pace import OPENING, pace_of
from auditor.observations.updates import UpdateRatios


def updates(*typical: float, steps: int = 24, spread: float = 0.1) -> UpdateRatios:
    rng = np.random.default_rng(1)
    ratios = np.asarray(typical) * np.exp(spread * rng.normal(size=(steps, len(typical))))
    names = tuple(f"{n}.weight" for n in range(len(typical)))
    return UpdateRatios(
        names, (2,) * len(names), ratios, np.ones(steps), "SGD", 0.1, "fresh", False
    )


def test_values_are_those_of_plain_computations() -> None:
    seen = updates(1e-3, 2e-3, 4e-3)
    pace = pace_of(seen)
    assert pace is not None
    late = seen.ratios[OPENING:]
    assert pace.ratio.value == pytest.approx(np.median(np.median(late, axis=1)))
    for column, weight in enumerate(pace.weights):
        assert weight.ratio.value == pytest.approx(np.median(late[:, column]))
        _, low, high = geometric_interval(late[:, column])
        assert (weight.ratio.low, weight.ratio.high) == pytest.approx((low, high))
        assert weight.ratio.least < low
        assert weight.ratio.most > high
        first = np.exp(np.log(seen.ratios[:OPENING, column]).mean())
        assert weight.opening == pytest.approx(first)


def test_what_waits_for_a_zero_takes_no_part_in_fresh_paces() -> None:
    seen = replace(updates(1e-2, 2e-3, 1e-5, 1e-5, 1e-5), waits=(False, False, True, True, True))
    pace = pace_of(seen)
    assert pace is not None
    assert [weight.name for weight in pace.weights] == ["0.weight", "1.weight"]
    for other in (replace(seen, start="checkpoint"), replace(seen, waits=(True,) * 5)):
        whole = pace_of(other)
        assert whole is not None
        assert len(whole.weights) == 5


def test_distance_is_what_is_sure_of_it() -> None:
    pace = pace_of(updates(1e-3, 1e-3, 1e-3, 1e-5))
    assert pace is not None
    assert -2 < pace.weights[3].apart < -1.9
    assert pace.weights[3].opens_apart == pytest.approx(-2, abs=0.1)
    assert abs(pace.weights[0].apart) < 0.1
    seen = updates(1e-3, 1e-3, 1e-3, 1e-5, spread=2.0)
    noisy = pace_of(seen)
    assert noisy is not None
    logs = np.log10(seen.ratios[OPENING:])
    distance = logs[:, 3] - np.median(logs[:, :3], axis=1)
    assert noisy.weights[3].apart == pytest.approx(mean_interval(distance, 1 - 0.01 / 5)[1])
    assert abs(noisy.weights[3].apart) < abs(distance.mean()) - 0.3
    few = pace_of(updates(1e-3, 1e-3, 1e-3, 1e-5, steps=2))
    assert few is not None
    assert few.weights[3].apart == 0


def test_noise_that_all_weights_share_takes_no_part() -> None:
    seen = updates(1e-3, 1e-3, 1e-3, 1e-5, spread=0.05)
    shared = np.exp(2 * np.random.default_rng(2).normal(size=(24, 1)))
    pace = pace_of(replace(seen, ratios=seen.ratios * shared))
    assert pace is not None
    assert pace.weights[3].apart < -1.9


def test_two_weights_have_too_few_peers() -> None:
    pace = pace_of(updates(1e-3, 1e-6))
    assert pace is not None
    assert [weight.apart for weight in pace.weights] == [0, 0]


def test_tables_are_no_peers() -> None:
    seen = replace(updates(1e-3, 1e-3, 1e-3, 1e-6, 1e-6), tables=(False,) * 3 + (True,) * 2)
    pace = pace_of(seen)
    assert pace is not None
    assert abs(pace.weights[0].apart) < 0.1
    assert [weight.table for weight in pace.weights] == [False] * 3 + [True] * 2


def test_nothing_moves() -> None:
    pace = pace_of(updates(0.0, 0.0, 1e-3))
    assert pace is not None
    assert pace.weights[0].ratio.value == pace.weights[0].ratio.most == 0
    assert pace.ratio.value == 0
