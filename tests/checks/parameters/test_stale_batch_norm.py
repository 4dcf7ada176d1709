import numpy as np
import pytest

from auditor.checks.parameters.stale_batch_norm import STATISTICS, judge
from auditor.core.verdict import Verdict
from auditor.observations.batch_norm import BatchNormLayer, BatchNormStatistics


def layer(
    name: str = "bn",
    shift: float = 0.0,
    spread: float = 1.0,
    channels: int = 16,
    count: int = 5000,
    mean: float = 3.0,
    variance: float = 4.0,
) -> BatchNormLayer:
    """Return a layer given data that is `shift` deviations off, with `spread` times the variance
    that the layer remembers.
    """
    return BatchNormLayer(
        name,
        1e-5,
        np.full(channels, mean),
        np.full(channels, variance),
        count,
        np.full(channels, mean + shift * variance**0.5),
        np.full(channels, variance * spread * count),
    )


def seen(*layers: BatchNormLayer, split: str = "train") -> dict:
    return {STATISTICS: BatchNormStatistics(layers, 512, split)}


@pytest.mark.parametrize(
    ("shift", "spread", "verdict"),
    [
        (0.0, 1.0, Verdict.PASS),
        (0.3, 1.5, Verdict.PASS),
        (0.9, 1.0, Verdict.PASS),
        (1.1, 1.0, Verdict.WARN),
        (0.0, 2.9, Verdict.PASS),
        (0.0, 3.3, Verdict.WARN),
        (0.0, 0.15, Verdict.WARN),
        (2.1, 1.0, Verdict.FAIL),
        (0.0, 10.0, Verdict.FAIL),
        (0.0, 1e30, Verdict.FAIL),
    ],
)
def test_one_layer(judged, shift: float, spread: float, verdict: Verdict) -> None:
    assert judged(judge, seen(layer(shift=shift, spread=spread))).verdict is verdict


def test_the_divergence_is_that_of_normal_distributions(judged) -> None:
    found = judged(judge, seen(layer(shift=1.0, spread=2.0)))
    expected = 0.5 * (np.log(1 / 2) + (2 + 1) - 1)
    assert found.metrics[0].value == pytest.approx(expected, rel=1e-4)


def test_names_the_first_stale_layer_and_the_worst(judged) -> None:
    found = judged(judge, seen(layer("a"), layer("b", 1.5), layer("c", 5.0)))
    assert found.verdict is Verdict.FAIL
    assert [place.name for place in found.where] == ["b", "c"]
    assert "first `b` (1.1 nats), farthest `c` (12 nats)" in found.summary
    assert "2 of 3 batch-norm layers" in found.summary
    assert "`b`" in found.advice[0]


def test_never_updated(judged) -> None:
    fresh = layer("bn", shift=4.0, mean=0.0, variance=1.0)
    found = judged(judge, seen(fresh))
    assert "Never updated since creation: bn" in found.summary
    assert "never updated" in found.where[0].note
    mild = judged(judge, seen(layer("bn", 0.5, mean=0.0, variance=1.0)))
    assert mild.verdict is Verdict.WARN
    unharmed = judged(judge, seen(layer("bn", mean=0.0, variance=1.0)))
    assert unharmed.verdict is Verdict.PASS


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0])
def test_impossible_statistics(judged, value: float) -> None:
    broken = layer("bad")
    broken.running_var[3] = value
    found = judged(judge, seen(layer("good"), broken))
    assert found.verdict is Verdict.FAIL
    assert [place.name for place in found.where] == ["bad"]


def test_dead_channels_decide_nothing(judged) -> None:
    odd = layer()
    odd.squares[:7] = 0
    assert judged(judge, seen(odd)).verdict is Verdict.PASS
    silent = layer(mean=0.0, variance=0.0)
    assert judged(judge, seen(silent)).verdict is Verdict.PASS


def test_validation_data_is_named(judged) -> None:
    assert "validation data" in judged(judge, seen(layer(), split="val")).summary
    assert "validation data" not in judged(judge, seen(layer())).summary


def test_nothing_to_compare(judged) -> None:
    assert judged(judge, seen()).verdict is Verdict.NOT_APPLICABLE
    found = judged(judge, seen(layer(count=20), layer(count=0)))
    assert found.verdict is Verdict.INFO
    assert "20 values" in found.summary
    assert judged(judge, seen(layer(channels=0))).verdict is Verdict.INFO


def test_data_that_is_not_finite_is_not_compared(judged) -> None:
    odd = layer()
    odd.mean[:] = np.nan
    assert judged(judge, seen(odd)).verdict is Verdict.NOT_APPLICABLE
    assert judged(judge, seen(odd, layer("b", 3.0))).where[0].name == "b"
