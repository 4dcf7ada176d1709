from typing import Any

import numpy as np
import pytest

from auditor.checks.parameters.batch_size_off import CHECKPOINT, FRESH, SETTINGS, judge
from auditor.core.figure import Lines, Table
from auditor.core.request import Unavailable
from auditor.core.verdict import Verdict
from auditor.diagnosis.treatments import larger_batches
from auditor.observations.gradient_noise import GradientNoise
from auditor.observations.settings import ParameterGroup, Settings

SIZE = 32


def noise(scale: float, start: str = "fresh", wobble: float = 0.02) -> GradientNoise:
    """Return pieces of 32 examples whose gradients have nearly the same length and angles.

    `wobble` is the scatter of the angles, and with it the width of the interval.
    """
    steady = 1 / (1 + scale / SIZE)
    rng = np.random.default_rng(0)
    off = steady * (1 + wobble * rng.normal(size=(16, 16)))
    off = (off + off.T) / 2
    np.fill_diagonal(off, 1.0)
    return GradientNoise(off, np.ones(16), SIZE, start, "train", 1000)  # type: ignore[arg-type]


def settings(batch: int | None, **known: Any) -> Settings:
    group = ParameterGroup({"lr": 0.1, "momentum": 0.9}, (), 4)
    given = {"optimizer": "SGD", "groups": (group,), "per_epoch": 40, **known}
    return Settings(batch_size=batch, sources={"batch_size": "the spec"}, **given)


def answers(batch: int | None, early: Any, late: Any, **known: Any) -> dict:
    return {SETTINGS: settings(batch, **known), FRESH: early, CHECKPOINT: late}


LATE = noise(2000, "checkpoint")


@pytest.mark.parametrize(
    ("batch", "scale", "verdict"),
    [
        (1, 5, Verdict.PASS),
        (1, 40, Verdict.WARN),
        (2, 200, Verdict.WARN),
        (8, 60, Verdict.PASS),
        (8, 400, Verdict.WARN),
        (9, 400, Verdict.INFO),
        (32, 200, Verdict.PASS),
        (32, 2000, Verdict.INFO),
        (10, 3000, Verdict.WARN),
    ],
)
def test_a_batch_far_below_the_noise_of_fresh_weights_is_too_small(
    judged, batch: int, scale: float, verdict: Verdict
) -> None:
    found = judged(judge, answers(batch, noise(scale), noise(2 * scale, "checkpoint")))
    assert found.verdict is verdict, found.summary
    if verdict is Verdict.WARN:
        assert found.where[0].name == "training.batch_size"
        assert found.where[0].note.startswith(f"{batch};")
        assert "too small" in found.summary
        assert f"no more than {batch}, accumulate" in found.advice[2]
        trial = larger_batches(found)  # It reads the note.
        assert trial is not None
        assert trial.merged == 32 // batch


def test_a_wide_interval_is_not_settled(judged) -> None:
    found = judged(judge, answers(2, noise(24, wobble=2.0), LATE))
    assert found.verdict is Verdict.INFO
    assert "don't settle it; some " in found.summary
    assert not found.where


def test_gradients_without_anything_in_common(judged) -> None:
    table = np.random.default_rng(1).normal(size=(16, 4000))
    random = GradientNoise(table @ table.T, np.ones(16), SIZE, "fresh", "train", 1000)
    found = judged(judge, answers(1, random, LATE))
    assert found.verdict is Verdict.WARN, found.summary
    assert "at least" in found.summary
    assert "inf" not in found.summary
    assert larger_batches(found) is not None
    assert judged(judge, answers(256, random, LATE)).verdict is Verdict.INFO


def test_gradients_that_cancel_out_bound_nothing(judged) -> None:
    table = np.random.default_rng(1).normal(size=(16, 40))
    table -= table.mean(axis=0)
    cancelled = GradientNoise(table @ table.T, np.ones(16), SIZE, "fresh", "train", 1000)
    for batch in (1, 64):
        found = judged(judge, answers(batch, cancelled, LATE))
        assert found.verdict is Verdict.INFO
        assert "within any bounds" in found.summary


@pytest.mark.parametrize(
    ("batch", "scale", "known", "verdict"),
    [
        (1000, 20, {"epochs": 5}, Verdict.WARN),
        (1000, 20, {"steps": 499.0}, Verdict.WARN),
        (1000, 20, {"steps": 500.0}, Verdict.INFO),
        (1000, 20, {}, Verdict.INFO),
        (1000, 150, {"epochs": 5}, Verdict.PASS),
        (1000, 200, {"epochs": 50, "per_epoch": 1}, Verdict.WARN),
        (1000, 2000, {"epochs": 50, "per_epoch": 1}, Verdict.PASS),
        (1000, 200, {"epochs": 600, "per_epoch": 1}, Verdict.PASS),
        (1000, 200, {"per_epoch": 1}, Verdict.INFO),
    ],
)
def test_a_batch_far_above_the_noise_of_the_checkpoint_is_too_large(
    judged, batch: int, scale: float, known: dict, verdict: Verdict
) -> None:
    found = judged(judge, answers(batch, noise(10), noise(scale, "checkpoint"), **known))
    assert found.verdict is verdict, found.summary
    if verdict is Verdict.WARN:
        assert "too large" in found.summary
        assert "update" in found.summary
        assert "Or keep the batch" in found.advice[2]


def test_a_wide_interval_does_not_settle_a_large_batch(judged) -> None:
    late = noise(20, "checkpoint", wobble=2.0)
    found = judged(judge, answers(400, noise(10), late, epochs=5))
    assert found.verdict is Verdict.INFO
    assert "settle" in found.summary


def test_a_loader_of_one_batch_says_nothing_of_a_smaller_declared_one(judged) -> None:
    late = noise(200, "checkpoint")
    found = judged(judge, answers(256, noise(10), late, epochs=50, per_epoch=1))
    assert found.verdict is Verdict.PASS, found.summary


def test_no_more_examples_are_advised_than_were_seen(judged) -> None:
    few = GradientNoise(noise(6400).products, np.ones(16), 2, "fresh", "train", 1000)
    found = judged(judge, answers(None, few, few))
    assert "noise scale on fresh weights is 4" in found.summary
    assert "Batches of 16 to 32 examples" in found.advice[0]


def test_an_unknown_batch_is_measured_all_the_same(judged) -> None:
    found = judged(judge, answers(None, noise(80), LATE))
    assert found.verdict is Verdict.INFO
    assert "`training: batch_size`" in found.summary
    assert "80 examples" in found.summary
    assert found.advice == ("Batches of 16 to 256 examples use both steps and examples well here.",)


def test_without_fresh_weights_a_small_batch_is_not_blamed(judged) -> None:
    missing = Unavailable("no factory is given")
    found = judged(judge, answers(2, missing, LATE))
    assert found.verdict is Verdict.INFO
    assert "no factory is given" in found.summary
    assert judged(judge, answers(256, missing, LATE)).verdict is Verdict.PASS
    large = answers(1000, missing, noise(20, "checkpoint"), epochs=5)
    assert judged(judge, large).verdict is Verdict.WARN


def test_advice_changes_the_rate_along_with_the_batch(judged) -> None:
    plain = judged(judge, answers(2, noise(126), LATE))
    # (1 + 126 / 2) / (1 + 126 / 128) = 32.25
    assert "`batch_size=128`" in plain.advice[0]
    assert "by about 32 (from 0.1 to 3.2)" in plain.advice[1]
    adam = judged(judge, answers(2, noise(126), LATE, optimizer="Adam"))
    assert "by about 5.7 (from 0.1 to 0.57)" in adam.advice[1]


def test_the_curve_stands_beside_what_was_measured(judged) -> None:
    found = judged(judge, answers(32, noise(96), LATE))
    curve, table = found.figures
    assert isinstance(curve, Lines)
    assert isinstance(table, Table)
    model, measured = curve.series[:2]
    assert dict(zip(model.x, model.y, strict=True))[32.0] == pytest.approx(0.5, abs=0.01)
    assert measured.x == (32.0, 64.0, 128.0, 256.0)
    assert measured.y[0] == pytest.approx(0.5, abs=0.01)
    # Two groups of two pieces of steady share 1/4 agree with 2 (1/4) / (1/2 + 1/2 + 1/4 ...) = 0.4.
    assert measured.y[1] == pytest.approx(np.sqrt(0.4), abs=0.01)
    (row,) = [row for row in table.rows if row[:2] == ("fresh weights", 32)]
    assert row[2] == "in training"
    assert row[5] == pytest.approx(1 / 3, abs=0.01)


def test_metrics_carry_intervals_and_limits(judged) -> None:
    found = judged(judge, answers(32, noise(96), LATE))
    metrics = {metric.name: metric for metric in found.metrics}
    over = metrics["noise scale over batch on fresh weights"]
    assert over.value == pytest.approx(3, abs=0.1)
    assert over.low < over.value < over.high
    assert over.limit is judge.limits["noise_over_batch"]
    large = metrics["batch over noise scale on the checkpoint"]
    assert large.value == pytest.approx(32 / 2000, rel=0.2)
    assert large.low <= large.value <= large.high
