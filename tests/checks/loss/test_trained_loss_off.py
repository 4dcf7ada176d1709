from dataclasses import replace

import numpy as np
import pytest

from auditor.checks.loss.trained_loss_off import PREDICTIONS, TRAINING, judge
from auditor.core.request import Unavailable
from auditor.core.verdict import Verdict
from tests.predictions import drawn, predicted

NO_TRAINING = Unavailable("there is no training data")


def answers(seen, training=NO_TRAINING):
    return {PREDICTIONS: seen, TRAINING: training}


def numbers(outputs, targets, loss="mse_loss"):
    cost = np.square(outputs - targets).mean(axis=1)
    held = [cost[start : start + 50].mean() for start in range(0, len(cost), 50)]
    return predicted(outputs, targets, loss, kind="numbers", losses=np.asarray(held))


def test_a_model_that_knows_something_passes(judged):
    found = judged(judge, answers(predicted(*drawn(300, 5))))
    assert found.verdict is Verdict.PASS, found.summary


@pytest.mark.parametrize("rows", [60, 400])
def test_a_constant_is_no_better_than_the_best_constant(judged, rows):
    _, truth = drawn(rows, 3)
    for bias in ([0.0, 0.0, 0.0], [0.3, 0.0, -0.3]):
        found = judged(judge, answers(predicted(np.tile(bias, (rows, 1)), truth)))
        assert found.verdict is Verdict.FAIL, found.summary
        assert found.where[0].name == "model.checkpoint"


def test_a_model_worse_than_a_constant_fails(judged):
    logits, truth = drawn(400, 5)
    found = judged(judge, answers(predicted(-logits, truth)))
    assert found.verdict is Verdict.FAIL, found.summary


def test_a_model_trained_on_even_shares_is_judged_with_classes_counting_alike(judged):
    rng = np.random.default_rng(0)
    truth = (rng.random(2000) < 0.02).astype(int)
    logit = 1.5 * rng.standard_normal(2000) + np.where(truth == 1, 1.5, -1.5)
    seen = predicted(np.stack([0 * logit, logit], axis=1), truth)
    found = judged(judge, answers(seen))
    assert found.verdict is Verdict.PASS, found.summary
    gains = {m.name: m.value for m in found.metrics if m.name.startswith("gain")}
    assert gains["gain on the best constant"] < 0 < gains["gain, classes counting alike"]


def of_two_classes(scale):
    """Return answers among ten classes to examples of two of them, as a sorted loader gives."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 400)
    logits = 3 * rng.standard_normal((400, 10)) + scale * np.eye(10)[truth]
    return logits, truth


def test_a_model_is_told_which_classes_occur_as_the_constant_is(judged):
    found = judged(judge, answers(predicted(*of_two_classes(6.0))))
    gains = {m.name: m.value for m in found.metrics if m.name.startswith("gain")}
    assert gains["gain on the best constant"] < 0 < gains["gain, told which classes occur"]
    assert found.verdict is Verdict.PASS, found.summary
    assert "told as much" in found.summary


@pytest.mark.parametrize("scale", [0.0, -6.0])
def test_told_which_classes_occur_a_model_that_knows_nothing_still_fails(judged, scale):
    found = judged(judge, answers(predicted(*of_two_classes(scale))))
    assert found.verdict is Verdict.FAIL, found.summary
    flat = judged(judge, answers(predicted(np.zeros((400, 10)), of_two_classes(0.0)[1])))
    assert flat.verdict is Verdict.FAIL, flat.summary


def test_where_a_constant_knows_no_frequencies_nothing_is_told(judged):
    rng = np.random.default_rng(0)
    seen = predicted(np.zeros((300, 500)), rng.integers(0, 200, 300))
    found = judged(judge, answers(seen))
    assert "gain, told which classes occur" not in [metric.name for metric in found.metrics]


def test_advice_is_of_classes_or_of_numbers(judged):
    rng = np.random.default_rng(0)
    targets = rng.standard_normal((400, 1))
    found = judged(judge, answers(numbers(4 * targets, targets)))
    assert found.verdict is Verdict.FAIL, found.summary
    assert "order of the classes" not in " ".join(found.advice)
    assert "scale" in found.advice[2]
    logits, truth = drawn(400, 5)
    found = judged(judge, answers(predicted(-logits, truth)))
    assert "order of the classes" in found.advice[2]


def test_an_uncertain_gain_is_told_as_such(judged):
    rng = np.random.default_rng(1)
    targets = rng.standard_normal((60, 1))
    outputs = 0.5 * targets + 0.85 * rng.standard_normal((60, 1))
    found = judged(judge, answers(numbers(outputs, targets)))
    assert found.verdict is Verdict.INFO, found.summary
    assert "not certain" in found.summary


def test_sure_mistakes_contradict_the_accuracy(judged):
    rng = np.random.default_rng(0)
    logits = 60 * rng.standard_normal((600, 5))
    truth = logits.argmax(axis=1)
    truth[:18] = logits[:18].argmin(axis=1)
    found = judged(judge, answers(predicted(logits, truth)))
    assert found.verdict is Verdict.FAIL or "contradicts" in found.summary, found.summary
    found = judged(judge, answers(predicted(logits / 6, truth)))
    assert found.verdict is Verdict.WARN, found.summary
    assert "97.0%" in found.summary
    assert "18 wrong answers" in found.summary
    assert all(place.kind == "example" for place in found.where)
    assert {int(place.name.split()[-1]) for place in found.where} <= set(range(18))


def test_two_mistakes_contradict_nothing(judged):
    rng = np.random.default_rng(0)
    logits = 20 * rng.standard_normal((600, 5))
    truth = logits.argmax(axis=1)
    truth[:2] = logits[:2].argmin(axis=1)
    assert judged(judge, answers(predicted(logits, truth))).verdict is Verdict.PASS


def test_right_answers_that_are_unsure_contradict_the_accuracy(judged):
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 10, 400)
    logits = np.eye(10)[truth]
    logits[:6] = np.eye(10)[(truth[:6] + 1) % 10]
    found = judged(judge, answers(predicted(logits, truth)))
    assert found.verdict is Verdict.WARN, found.summary
    assert "right answers" in found.summary
    assert found.where[0].name == "the outputs"


def test_a_guessed_reading_is_not_blamed(judged):
    logits, truth = drawn(400, 5)
    seen = predicted(-logits, truth)
    guessed = replace(seen, loss="", losses=np.arange(len(seen.losses)) + 1.0)
    found = judged(judge, answers(guessed))
    assert found.verdict is Verdict.INFO
    assert "a guess" in found.summary


def test_a_negated_loss_fails(judged):
    seen = predicted(*drawn(300, 5))
    found = judged(judge, answers(replace(seen, loss="", losses=-seen.losses)))
    assert found.verdict is Verdict.FAIL
    assert "negative of the cross-entropy" in found.summary
    rng = np.random.default_rng(0)
    line = numbers(rng.standard_normal((90, 1)), rng.standard_normal((90, 1)))
    found = judged(judge, answers(replace(line, loss="", losses=-line.losses)))
    assert "negative of the squared error" in found.summary


@pytest.mark.parametrize(
    ("loss", "targets", "cause"),
    [
        ("nll_loss", None, "no log-probabilities"),
        ("binary_cross_entropy_with_logits", 3.0, "from 0 to 1"),
    ],
)
def test_a_loss_that_can_not_be_negative_fails(judged, loss, targets, cause):
    logits, truth = drawn(100, 4)
    truth = truth if targets is None else np.full((100, 4), targets)
    seen = predicted(logits, truth, loss, losses=np.asarray([-2.0, -3.0]))
    found = judged(judge, answers(seen))
    assert found.verdict is Verdict.FAIL
    assert cause in found.summary


def test_an_own_loss_may_be_negative(judged):
    seen = predicted(*drawn(300, 5))
    own = replace(seen, loss="", losses=-np.arange(len(seen.losses)) - 1.0)
    assert judged(judge, answers(own)).verdict is Verdict.PASS


def test_raw_logits_into_nll_loss_warn_even_where_the_loss_is_positive(judged):
    logits, truth = drawn(300, 5)
    seen = predicted(logits - 50, truth, "nll_loss", losses=np.full(6, 44.0))
    found = judged(judge, answers(seen))
    assert found.verdict is Verdict.WARN
    assert "log_softmax" in found.advice[0]


def test_a_loss_that_is_not_finite_fails(judged):
    seen = predicted(*drawn(100, 5), losses=np.asarray([0.3, np.nan]))
    found = judged(judge, answers(seen))
    assert found.verdict is Verdict.FAIL
    assert "1 of 2" in found.summary


def test_numbers_are_judged_against_their_variance(judged):
    rng = np.random.default_rng(0)
    targets = rng.standard_normal((200, 2))
    assert judged(judge, answers(numbers(0.8 * targets, targets))).verdict is Verdict.PASS
    found = judged(judge, answers(numbers(0 * targets, targets)))
    assert found.verdict is Verdict.FAIL, found.summary
    assert "squared error" in found.summary


def test_training_data_is_set_beside_it(judged):
    logits, truth = drawn(300, 5)
    seen = predicted(logits, truth)
    worse = replace(predicted(*drawn(300, 5, scale=0.3)), split="train")
    found = judged(judge, answers(seen, worse))
    assert found.verdict is Verdict.PASS
    assert "On training data it is higher" in found.summary
    assert "training" in found.figures[0].labels
    assert "training data" not in judged(judge, answers(seen, seen)).summary


def test_nothing_can_be_said_of_few_examples_of_one_class_or_of_unknown_losses(judged):
    logits, truth = drawn(49, 5)
    few = judged(judge, answers(predicted(logits, truth)))
    assert (few.verdict, "50" in few.summary) == (Verdict.INFO, True)
    alike = judged(judge, answers(predicted(np.zeros((90, 3)), np.ones(90, int))))
    assert (alike.verdict, "same target" in alike.summary) == (Verdict.INFO, True)
    values = np.random.default_rng(0).standard_normal((100, 1))
    own = predicted(values, values + 1, "", kind="numbers", losses=np.asarray([3.0, 8.0]))
    assert judged(judge, answers(own)).verdict is Verdict.NOT_APPLICABLE
    hinge = predicted(*drawn(100, 5), "multi_margin_loss", losses=np.ones(2))
    assert judged(judge, answers(hinge)).verdict is Verdict.NOT_APPLICABLE
