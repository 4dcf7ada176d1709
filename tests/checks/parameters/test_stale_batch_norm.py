import numpy as np
import pytest

from auditor.checks.parameters.stale_batch_norm import SEQUENCE, STATISTICS, TRIAL, judge
from auditor.core.request import Unavailable
from auditor.core.verdict import Verdict
from auditor.observations.batch_norm import BatchNormLayer, BatchNormStatistics
from auditor.observations.norm_layers import NormSequence, RanNorm
from auditor.observations.norm_trial import NormTrial


def layer(
    name: str = "bn",
    shift: float = 0.0,
    spread: float = 1.0,
    channels: int = 16,
    count: int = 5000,
    mean: float = 3.0,
    variance: float = 4.0,
    noise: float = 0.01,
    groups: int = 64,
) -> BatchNormLayer:
    """Return a layer given data that is `shift` deviations off, with `spread` times the variance
    that the layer remembers, seen in groups whose means scatter by `noise` deviations.
    """
    scatter = np.outer([noise**2 * variance * count, 0.0, 0.0], np.ones(channels))
    return BatchNormLayer(
        name,
        1e-5,
        np.full(channels, mean),
        np.full(channels, variance),
        count,
        np.full(channels, mean + shift * variance**0.5),
        np.full(channels, variance * spread * count),
        groups,
        scatter,
    )


def seen(
    *layers: BatchNormLayer,
    split: str = "train",
    trial: NormTrial | None = None,
    order: NormSequence | None = None,
) -> dict:
    answers = {STATISTICS: BatchNormStatistics(layers, 512, split)}
    return answers | ({TRIAL: trial} if trial else {}) | ({SEQUENCE: order} if order else {})


def trial(
    before: float = 0.9,
    after: float = 0.9,
    *given: BatchNormLayer,
    shift: float = 1.0,
    examples: int = 400,
    measure: str = "accuracy",
    split: str = "train",
) -> NormTrial:
    """Return a trial in which so large a share of examples is right before and after."""
    order = np.arange(examples) / examples
    rows = [order < before, order < after, order < after, order < after]
    scores = np.asarray(rows, float)
    if measure != "accuracy":
        jitter = 0.5 + order
        scores = np.stack([before * jitter, after * jitter, after * jitter, after * jitter])
    table = np.full((20, len(given)), shift) * (1 + 0.001 * np.arange(20)[:, None])
    return NormTrial(
        measure,
        measure == "accuracy",
        scores,
        np.zeros((4, 0)),
        given,
        table if shift != 1 else np.zeros((0, 0)),
        shift != 1,
        640,
        32,
        split,
    )


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


@pytest.mark.parametrize(
    ("shift", "noise", "verdict"),
    [
        (1.5, 0.01, Verdict.WARN),
        (1.5, 3.0, Verdict.INFO),
        (0.9, 3.0, Verdict.PASS),
        (2.1, 2.0, Verdict.WARN),
        (2.1, 0.01, Verdict.FAIL),
    ],
)
def test_what_the_examples_do_not_settle_is_not_held_against_it(
    judged, shift: float, noise: float, verdict: Verdict
) -> None:
    found = judged(judge, seen(layer(shift=shift, noise=noise)))
    assert found.verdict is verdict
    assert ("settle" in found.summary) is (verdict is Verdict.INFO)
    assert found.metrics[0].low < found.metrics[0].value < found.metrics[0].high


def test_a_single_group_settles_nothing(judged) -> None:
    found = judged(judge, seen(layer(shift=5.0, groups=1)))
    assert found.verdict is Verdict.INFO
    assert found.metrics[0].low is None


@pytest.mark.parametrize(
    ("before", "after", "shift", "verdict"),
    [
        (0.60, 0.95, 0.0, Verdict.FAIL),
        (0.60, 0.95, 1.5, Verdict.FAIL),
        (0.90, 0.97, 0.0, Verdict.WARN),
        (0.95, 0.96, 0.0, Verdict.PASS),
        (0.95, 0.94, 0.0, Verdict.PASS),
        (0.95, 0.95, 1.5, Verdict.INFO),
        (0.95, 0.95, 2.5, Verdict.WARN),
        (0.95, 0.60, 2.5, Verdict.FAIL),
    ],
)
def test_the_proof_decides(
    judged, before: float, after: float, shift: float, verdict: Verdict
) -> None:
    bad = layer("b", shift)
    found = judged(judge, seen(layer("a"), bad, trial=trial(before, after, layer("a"), bad)))
    assert found.verdict is verdict, found.summary
    scores = {m.name: m.value for m in found.metrics}
    assert scores["score as it is"] == pytest.approx(before)
    assert scores["score with statistics computed anew"] == pytest.approx(after)
    if verdict in (Verdict.WARN, Verdict.FAIL):
        assert found.where
    if before < after - 0.05:
        assert "Proven on a copy" in found.summary
    if after < before - 0.1:
        assert "make it worse" in found.summary


@pytest.mark.parametrize(
    ("after", "verdict"), [(0.3, Verdict.FAIL), (0.75, Verdict.WARN), (0.9, Verdict.PASS)]
)
def test_errors_are_judged_by_their_share(judged, after: float, verdict: Verdict) -> None:
    given = seen(layer(), trial=trial(1.0, after, layer(), measure="squared error"))
    assert judged(judge, given).verdict is verdict


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [(0.5, 0.1, Verdict.WARN), (0.12, 0.06, Verdict.WARN), (0.085, 0.05, Verdict.PASS)],
)
def test_a_small_cross_entropy_that_halves_is_no_news(
    judged, before: float, after: float, verdict: Verdict
) -> None:
    given = seen(layer(), trial=trial(before, after, layer(), measure="cross-entropy"))
    assert judged(judge, given).verdict is verdict


def test_validation_data_alone_proves_no_staleness(judged) -> None:
    given = seen(layer(), split="val", trial=trial(0.8, 0.9, layer(), split="val"))
    assert judged(judge, given).verdict is Verdict.INFO


def test_a_layer_that_others_shift_comes_behind_the_guilty_one(judged) -> None:
    given = seen(
        layer("later", 4.0), layer("guilty", 1.5),
        trial=trial(0.5, 0.9, layer("later"), layer("guilty", 1.5)),
    )  # fmt: skip
    found = judged(judge, given)
    assert [place.name for place in found.where] == ["guilty", "later"]
    assert "sound itself" in found.where[1].note
    assert "sound itself" not in found.where[0].note


def test_a_few_channels_are_found_by_the_proof(judged) -> None:
    odd = layer("odd")
    odd.running_var[:2] = 1e-6
    given = seen(layer("a"), odd, trial=trial(0.5, 0.9, layer("a"), odd))
    found = judged(judge, given)
    assert found.verdict is Verdict.FAIL
    assert [place.name for place in found.where] == ["odd"]
    assert "By a few of its channels `odd`" in found.summary


def test_what_dropout_shifts_is_left_to_the_check_of_its_name(judged) -> None:
    far = layer("a", spread=0.1)
    found = judged(judge, seen(far, trial=trial(0.9, 0.9, layer("a"), shift=10.0)))
    assert found.verdict is Verdict.INFO
    assert "dropout-before-batch-norm" in found.summary
    slight = judged(judge, seen(far, trial=trial(0.9, 0.9, layer("a"), shift=1.02)))
    assert "dropout-before-batch-norm" not in slight.summary


def test_a_shared_layer_is_left_to_another_check(judged) -> None:
    order = NormSequence((RanNorm("a", 2, 512, ""), RanNorm("b", 1, 512, "")), (), (), 32)
    found = judged(judge, seen(layer("a", 9.0), layer("b"), order=order))
    assert found.verdict is Verdict.PASS
    assert "batch-norm-misused" in found.summary


def test_few_values_are_enough_where_there_is_a_proof(judged) -> None:
    few = layer(count=20)
    assert judged(judge, seen(few, trial=trial(0.5, 0.9, few))).verdict is Verdict.FAIL
    assert judged(judge, seen(few, trial=trial(0.9, 0.9, few))).verdict is Verdict.PASS


def test_why_nothing_was_tried_is_said(judged) -> None:
    given = seen(layer()) | {TRIAL: Unavailable("data.val has no batch")}
    assert "was not tried: data.val has no batch." in judged(judge, given).summary


def test_beyond_forty_layers_the_worst_are_drawn(judged) -> None:
    layers = [layer(f"bn{n}", 2.5 if n == 77 else 0.0) for n in range(1000)]
    found = judged(judge, seen(*layers))
    assert len(found.figures[0].labels) == 40
    assert "bn77" in found.figures[0].labels
    assert "1,000 layers" in found.figures[0].caption
    assert not found.figures[0].log
    assert judged(judge, seen(layer(shift=20.0))).figures[0].log
