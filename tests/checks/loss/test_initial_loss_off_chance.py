import math
from dataclasses import replace

import numpy as np
import pytest

from auditor.checks.loss.initial_loss_off_chance import FRESH, VAL, judge
from auditor.core.subject import TargetFacts
from auditor.core.verdict import Verdict
from auditor.observations.initial_loss import FreshLosses
from auditor.observations.performance import Performance

BALANCED = TargetFacts("classes", 100, tuple(range(10)), (10,) * 10)
NUMBERS = TargetFacts(
    "numbers", 100, mean=(0.0,), variance=(4.0,), median=(0.0,), mean_absolute_deviation=(1.5,)
)


def losses(level: float, spread: float = 0.02, seeds: int = 5, batches: int = 4) -> np.ndarray:
    steps = np.linspace(-1, 1, seeds)[:, None] if seeds > 1 else np.zeros((seeds, 1))
    wobble = np.linspace(-1, 1, batches)[None] if batches > 1 else np.zeros((1, batches))
    return level * (1 + spread * (steps + 0.5 * wobble))


def fresh(level: float, loss: str = "cross_entropy", outputs: int | None = 10, **changes):
    targets = NUMBERS if loss in ("mse_loss", "l1_loss") else BALANCED
    seen = FreshLosses(
        loss, outputs, losses(level), np.full(5, 0.5), 0.0, 1.0, 0.1, targets, "train"
    )
    return {FRESH: replace(seen, **changes)}


@pytest.mark.parametrize(
    ("loss", "outputs", "chance"),
    [
        ("cross_entropy", 10, 2.3026),
        ("cross_entropy", 2, 0.6931),
        ("nll_loss", 100, 4.6052),
        ("binary_cross_entropy", 1, 0.6931),
        ("binary_cross_entropy_with_logits", 7, 0.6931),
        ("mse_loss", 1, 4.0),
        ("l1_loss", 1, 1.5),
    ],
)
def test_chance(judged, loss: str, outputs: int, chance: float) -> None:
    found = judged(judge, fresh(chance, loss, outputs))
    assert found.verdict is Verdict.PASS
    level = next(m.value for m in found.metrics if m.name == "loss at chance")
    assert level == pytest.approx(chance, abs=5e-5)
    assert f"{chance:.4g}" in found.summary


@pytest.mark.parametrize(
    ("times", "verdict"),
    [
        (1.0, Verdict.PASS),
        (1.9, Verdict.PASS),
        (2.1, Verdict.WARN),
        (2.9, Verdict.WARN),
        (3.2, Verdict.FAIL),
        (0.85, Verdict.PASS),
        (0.7, Verdict.WARN),
        (0.01, Verdict.WARN),
    ],
)
def test_classes(judged, times: float, verdict: Verdict) -> None:
    assert judged(judge, fresh(times * math.log(10))).verdict is verdict


@pytest.mark.parametrize(
    ("times", "verdict"),
    [(2.0, Verdict.PASS), (4.0, Verdict.WARN), (12.0, Verdict.FAIL), (0.5, Verdict.WARN)],
)
def test_numbers(judged, times: float, verdict: Verdict) -> None:
    assert judged(judge, fresh(4.0 * times, "mse_loss", 1)).verdict is verdict


@pytest.mark.parametrize(
    ("handed_on", "verdict"),
    [(0.0, Verdict.PASS), (1.2, Verdict.PASS), (3.0, Verdict.WARN), (math.nan, Verdict.WARN)],
)
def test_a_shortcut_from_the_input_needs_no_training(
    judged, handed_on: float, verdict: Verdict
) -> None:
    found = judged(judge, fresh(1.6, "mse_loss", 64, handed_on_loss=handed_on))
    assert found.verdict is verdict
    assert ("shortcut from input to output" in found.summary) is (verdict is Verdict.PASS)


def test_an_interval_that_straddles_warns_and_says_how_many_seeds(judged) -> None:
    found = judged(judge, fresh(5.0, losses=losses(5.5, spread=0.6)))
    assert found.verdict is Verdict.WARN
    assert "seeds would settle it" in found.summary


def test_an_interval_that_reaches_the_limit_passes_and_says_how_many_seeds(judged) -> None:
    found = judged(judge, fresh(4.0, losses=losses(4.0, spread=0.6)))
    assert found.verdict is Verdict.PASS
    assert "Whether that is too far above chance is not certain" in found.summary
    assert "seeds would settle it" in found.summary
    assert "not certain" not in judged(judge, fresh(4.0)).summary


def test_a_bias_at_the_class_shares_is_not_too_good(judged) -> None:
    found = judged(judge, fresh(0.25, outputs=2, constant_loss=0.24))
    assert found.verdict is Verdict.PASS, found.summary
    assert "The best constant costs 0.24" in found.summary
    found = judged(judge, fresh(0.15, outputs=2, constant_loss=0.24))
    assert found.verdict is Verdict.WARN, found.summary
    assert "good: the best constant costs 0.24" in found.summary


def test_a_shortfall_has_to_be_sure(judged) -> None:
    found = judged(judge, fresh(1.7, losses=losses(1.7, spread=0.4)))
    assert found.verdict is Verdict.PASS, found.summary
    assert judged(judge, fresh(1.7)).verdict is Verdict.WARN


def with_remedies(**ratios: float):
    """Return a regression forty times above chance, and what remedies bring it to."""
    remedies = tuple(tuple(name.split("_")) for name in ratios)
    remedied = np.repeat(np.asarray(list(ratios.values()))[:, None], 5, axis=1)
    targets = replace(NUMBERS, mean=(30.0,))
    return fresh(
        160.0,
        "mse_loss",
        1,
        targets=targets,
        neutral_loss=4.0,
        remedies=remedies,
        remedied=remedied,
        input_mean=0.0,
        input_deviation=100.0,
    )


def test_two_causes_at_once(judged) -> None:
    ratios = {"inputs": 38.0, "targets": 30.0, "inputs_targets": 1.1, "inputs_reset": 1.2}
    found = judged(judge, with_remedies(**ratios))
    assert "Two causes at once: the inputs are not normalised" in found.summary
    assert "and the targets are not standardised" in found.summary
    assert "with inputs standardised and targets standardised the same models" in found.summary
    assert len(found.where) == len(found.advice) == 2
    assert "inputs standardised and targets standardised" in found.figures[1].labels


def test_one_cause_is_preferred_to_two(judged) -> None:
    found = judged(judge, with_remedies(inputs=38.0, inputs_targets=1.0, targets=1.2))
    assert "Cause: the targets are not standardised" in found.summary
    assert len(found.where) == 1


def test_what_mends_most_is_the_likely_cause(judged) -> None:
    found = judged(judge, with_remedies(inputs=38.0, targets=12.0, inputs_targets=11.0))
    assert "Likely cause: the targets are not standardised" in found.summary
    assert "that is not all of it" in found.summary
    found = judged(judge, with_remedies(inputs=38.0, targets=36.0))
    assert "Likely cause: the inputs are not normalised" in found.summary


def test_blames_the_inputs(judged) -> None:
    found = judged(judge, fresh(30.0, input_mean=33.3, input_deviation=78.6))
    assert found.verdict is Verdict.FAIL
    assert "inputs are not normalised (mean 33.3, deviation 78.6)" in found.summary
    assert "subtract 33.3 and divide by 78.6" in found.advice[0]


def test_blames_the_targets(judged) -> None:
    targets = replace(NUMBERS, mean=(150.0,), variance=(1600.0,))
    found = judged(judge, fresh(24000.0, "mse_loss", 1, targets=targets))
    assert found.verdict is Verdict.FAIL
    assert "targets are not standardised (mean 150, deviation 40)" in found.summary


def test_targets_below_zero_keep_their_sign(judged) -> None:
    targets = replace(NUMBERS, mean=(-50.0,), variance=(16.0,))
    found = judged(judge, fresh(2400.0, "mse_loss", 1, targets=targets))
    assert "targets are not standardised (mean -50, deviation 4)" in found.summary
    assert "subtract -50 and divide by 4" in found.advice[0]


def test_several_outputs_each_have_their_own_mean(judged) -> None:
    targets = replace(NUMBERS, mean=(-50.0, 50.0), variance=(16.0, 16.0))
    found = judged(judge, fresh(2400.0, "mse_loss", 2, targets=targets))
    assert "means of size 50, deviation 4" in found.summary
    assert "subtract each output's own mean" in found.advice[0]


def test_the_reason_is_true_of_a_weighted_loss_too(judged) -> None:
    found = judged(judge, fresh(1.0, ""))
    assert found.summary.startswith("The loss is one of your own, or weighted, smoothed or summed")
    assert "For `huber_loss`" in judged(judge, fresh(1.0, "huber_loss")).summary


def test_blames_the_initialisation(judged) -> None:
    seen = fresh(20.0, output_deviation=np.full(5, 12.0), input_mean=math.nan)
    found = judged(judge, {FRESH: replace(seen[FRESH], input_deviation=math.nan)})
    assert "outputs of a fresh model are too large (deviation 12)" in found.summary
    same = replace(seen[FRESH], output_deviation=np.zeros(5))
    assert "one answer to everything" in judged(judge, {FRESH: same}).summary


def test_too_low(judged) -> None:
    found = judged(judge, fresh(0.2))
    assert found.verdict is Verdict.WARN
    assert "factory" in found.advice[0]
    assert "log_softmax" in judged(judge, fresh(-0.1, "nll_loss")).advice[0]


def test_the_best_constant(judged) -> None:
    rare = replace(BALANCED, classes=(0, 1), counts=(95, 5))
    found = judged(judge, fresh(0.6931, outputs=2, targets=rare))
    saved = next(m.value for m in found.metrics if m.name.startswith("saved"))
    assert saved == pytest.approx(0.6931 - 0.1985, abs=1e-3)
    labels = TargetFacts("labels", 40, (0, 1, 2, 3), (10, 10, 20, 0))
    found = judged(judge, fresh(0.6931, "binary_cross_entropy_with_logits", 2, targets=labels))
    saved = next(m.value for m in found.metrics if m.name.startswith("saved"))
    assert saved == pytest.approx(math.log(2) / 2, abs=1e-3)


def test_a_checkpoint_that_learnt_nothing_is_mentioned(judged) -> None:
    found = judged(judge, fresh(2.3026, checkpoint_loss=2.31))
    assert found.verdict is Verdict.PASS
    assert "The checkpoint's own loss, 2.31, is no better" in found.summary


def test_what_a_bias_saves_is_measured_for_other_losses(judged) -> None:
    known = {"task": "multiclass", "neutral": "an all-zero output", "neutral_loss": 10.0}
    found = judged(judge, fresh(30.0, "", 2, **known, prior_loss=4.0))
    saved = next(m.value for m in found.metrics if m.name.startswith("saved"))
    assert saved == pytest.approx(6.0)
    assert "weighted as the loss weights them: the model then starts at 4" in found.advice[-1]
    dearer = judged(judge, fresh(30.0, "", 2, **known, prior_loss=12.0))
    saved = next(m.value for m in dearer.metrics if m.name.startswith("saved"))
    assert saved == 0


@pytest.mark.parametrize("loss", ["", "huber_loss", "kl_div"])
def test_unknown_chance(judged, loss: str) -> None:
    assert judged(judge, fresh(1.0, loss)).verdict is Verdict.NOT_APPLICABLE


def test_chance_that_costs_nothing_is_a_reason_not_to_judge(judged) -> None:
    known = {"task": "language_model", "neutral": "an all-zero output", "neutral_loss": 0.0}
    found = judged(judge, fresh(1.0, "", **known))
    assert found.verdict is Verdict.NOT_APPLICABLE
    assert "An all-zero output costs 0, and" in found.summary
    assert "above zero" in found.summary


@pytest.mark.parametrize(
    "changes",
    [
        {"outputs": None},
        {"losses": np.empty((0, 0))},
        {"loss": "mse_loss", "targets": BALANCED},
        {"loss": "mse_loss", "targets": replace(NUMBERS, variance=(0.0,))},
        {"loss": "l1_loss", "targets": replace(NUMBERS, mean_absolute_deviation=(math.nan,))},
    ],
)
def test_what_can_not_be_compared(judged, changes: dict) -> None:
    seen = replace(fresh(1.0)[FRESH], **changes)
    assert judged(judge, {FRESH: seen}).verdict is Verdict.NOT_APPLICABLE


def test_not_finite(judged) -> None:
    odd = losses(2.3)
    odd[1, 2] = np.nan
    found = judged(judge, fresh(2.3, losses=odd))
    assert found.verdict is Verdict.FAIL
    assert "1 of 20 losses" in found.summary


def test_one_output(judged) -> None:
    found = judged(judge, fresh(0.0, outputs=1))
    assert found.verdict is Verdict.FAIL
    assert "single output" in found.summary


@pytest.mark.parametrize("shape", [(1, 4), (1, 1), (2, 1)])
def test_few_seeds(judged, shape: tuple[int, int]) -> None:
    found = judged(judge, fresh(2.3, losses=losses(2.3026, 0.02, *shape)))
    assert found.verdict is Verdict.PASS
    far = judged(judge, fresh(2.3, losses=losses(20.0, 0.02, *shape)))
    assert far.verdict is (Verdict.WARN if shape == (1, 1) else Verdict.FAIL)


def scored(error: float, examples: int = 40, metric: str = "squared error") -> dict:
    """Return scores on validation targets of variance 4, for the most part `error`."""
    values = np.where(np.arange(examples) % 2, 2.0, -2.0)[:, None]
    scores = error * (1 + 0.1 * np.cos(np.arange(examples)))
    nothing = np.zeros(0)
    return {
        VAL: Performance(metric, scores, nothing, nothing, nothing, *[nothing] * 3, values, "val")  # type: ignore[arg-type]
    }


@pytest.mark.parametrize(
    ("val", "verdict"),
    [
        (scored(0.01), Verdict.INFO),
        (scored(0.5), Verdict.FAIL),
        (scored(math.nan), Verdict.FAIL),
        (scored(0.01, examples=9), Verdict.FAIL),
        (scored(0.01, metric="accuracy"), Verdict.FAIL),
        ({}, Verdict.FAIL),
    ],
)
def test_an_odd_start_that_a_good_model_of_numbers_left_behind(judged, val, verdict) -> None:
    found = judged(judge, fresh(400.0, "mse_loss", 1) | val)
    assert found.verdict is verdict, found.summary
    assert ("no lasting harm" in found.summary) is (verdict is Verdict.INFO)
    assert found.advice


def test_a_good_classifier_is_judged_by_its_start_all_the_same(judged) -> None:
    assert judged(judge, fresh(40.0) | scored(0.01)).verdict is Verdict.FAIL
