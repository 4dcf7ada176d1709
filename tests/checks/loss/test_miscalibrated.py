from dataclasses import replace

import numpy as np
import pytest

from auditor.checks.loss.miscalibrated import PREDICTIONS, TARGETS, judge
from auditor.core.request import Unavailable
from auditor.core.subject import TargetFacts
from auditor.core.verdict import Verdict
from auditor.observations.probabilities import log_softmax
from auditor.observations.targets import TargetsSeen
from tests.predictions import drawn, predicted

NO_TRAINING = Unavailable("there is no training data")


def answers(seen, training=NO_TRAINING):
    return {PREDICTIONS: seen, TARGETS: training}


def scaled(factor: float, rows: int = 2000, classes: int = 5, scale: float = 3.0):
    logits, truth = drawn(rows, classes, scale)
    return predicted(factor * logits, truth)


def test_a_calibrated_model_passes(judged):
    for seed in range(20):
        logits, truth = drawn(300, 5, seed=seed)
        found = judged(judge, answers(predicted(logits, truth)), seed=seed)
        assert found.verdict is Verdict.PASS, found.summary


def test_a_mildly_overconfident_model_passes_with_its_temperature(judged):
    found = judged(judge, answers(scaled(2.0)))
    assert found.verdict is Verdict.PASS, found.summary
    (heat,) = (m for m in found.metrics if m.name == "best temperature")
    assert heat.low < 2 < heat.high


@pytest.mark.parametrize(
    ("factor", "verdict"), [(6.0, Verdict.WARN), (30.0, Verdict.FAIL), (1 / 30, Verdict.FAIL)]
)
def test_a_factor_on_the_logits_is_found_and_told(judged, factor, verdict):
    found = judged(judge, answers(scaled(factor)))
    assert found.verdict is verdict, found.summary
    (heat,) = (m for m in found.metrics if m.name == "best temperature")
    assert heat.value == pytest.approx(factor, rel=0.1)
    assert ("overconfident" if factor > 1 else "underconfident") in found.summary
    assert f"{heat.value:.3g}" in found.advice[0]
    assert found.where[0].name == "the outputs"


def test_a_calibration_error_alone_is_enough(judged):
    logits, truth = drawn(2000, 5, scale=0.5)
    found = judged(judge, answers(predicted(3.2 * logits, truth)))
    (error,) = (m for m in found.metrics if m.name == "expected calibration error")
    assert error.low > 0.2
    assert found.verdict is Verdict.WARN, found.summary


def test_logits_too_small_warn_where_smoothing_would_not_explain_it(judged):
    logits, truth = drawn(2000, 2, scale=6.0)
    found = judged(judge, answers(predicted(logits / 6, truth)))
    assert found.verdict is Verdict.WARN, found.summary
    assert "too small" in found.summary


def test_an_error_that_straddles_the_limit_says_what_would_settle_it(judged):
    logits, truth = drawn(250, 5, scale=0.5)
    for factor in (2.2, 2.4, 2.6, 2.8, 3.0):
        found = judged(judge, answers(predicted(factor * logits, truth)))
        (error,) = (m for m in found.metrics if m.name == "expected calibration error")
        if error.value > 0.2 and found.verdict is Verdict.PASS:
            assert "would settle it" in found.summary
            return
    pytest.fail("no factor straddled")


def test_a_temperature_that_straddles_the_limit_says_what_would_settle_it(judged):
    found = judged(judge, answers(scaled(4.2, rows=300)))
    assert found.verdict is Verdict.PASS, found.summary
    assert "Whether the temperature is more than 3.5 is not certain; about" in found.summary
    needed = int(found.summary.split("certain; about ")[1].split(" ")[0].replace(",", ""))
    assert needed > 300
    assert judged(judge, answers(scaled(4.2, rows=2 * needed))).verdict is Verdict.WARN


def test_what_smoothing_takes_from_the_probabilities_is_allowed(judged):
    truth = np.arange(2000) % 2
    answer = np.where(np.arange(2000) < 100, 1 - truth, truth)
    stated = 0.42 * np.stack([1 - 2 * answer, 2 * answer - 1], axis=1)
    small = predicted(stated, truth)
    assert judged(judge, answers(small)).verdict is Verdict.WARN
    assert judged(judge, answers(replace(small, smoothing=0.2))).verdict is Verdict.PASS
    smaller = predicted(stated / 20, truth, smoothing=0.1)
    assert judged(judge, answers(smaller)).verdict is Verdict.WARN


def test_two_wrong_answers_bound_no_temperature(judged):
    rng = np.random.default_rng(0)
    logits = 40 * rng.standard_normal((400, 3))
    truth = logits.argmax(axis=1)
    truth[:2] = logits[:2].argmin(axis=1)
    assert judged(judge, answers(predicted(logits, truth))).verdict is Verdict.PASS
    truth[:9] = logits[:9].argmin(axis=1)
    assert judged(judge, answers(predicted(logits, truth))).verdict is not Verdict.PASS


def test_labels_are_read_by_sigmoid(judged):
    rng = np.random.default_rng(0)
    logits = 2 * rng.standard_normal((600, 3))
    truth = (rng.random((600, 3)) < 1 / (1 + np.exp(-logits))).astype(float)
    loss = "binary_cross_entropy_with_logits"
    assert judged(judge, answers(predicted(logits, truth, loss))).verdict is Verdict.PASS
    found = judged(judge, answers(predicted(20 * logits, truth, loss)))
    assert found.verdict is Verdict.FAIL, found.summary


def test_what_a_sampler_adds_is_taken_out(judged):
    rng = np.random.default_rng(0)
    logit = rng.standard_normal(3000) - 3
    truth = (rng.random(3000) < 1 / (1 + np.exp(-logit))).astype(int)
    raised = predicted(np.stack([0 * logit, logit + 3], axis=1), truth)
    rare = int(truth.sum())
    even = TargetsSeen(TargetFacts("classes", 2000, (0, 1), (1000, 1000)), "train")
    same = TargetsSeen(TargetFacts("classes", 3000, (0, 1), (3000 - rare, rare)), "train")
    taken = judged(judge, answers(raised, even))
    assert taken.verdict is Verdict.PASS, taken.summary
    assert "training loader yields other shares" in taken.summary
    left = judged(judge, answers(raised, same))
    assert left.verdict in (Verdict.WARN, Verdict.FAIL)
    assert "lean" in left.summary
    assert "class 1" in left.where[0].note or "class 0" in left.where[0].note


def test_outputs_whose_meaning_is_a_guess_are_not_blamed(judged):
    seen = scaled(30.0)
    guessed = replace(seen, loss="", losses=np.arange(len(seen.losses)) + 1.0)
    found = judged(judge, answers(guessed))
    assert found.verdict is Verdict.INFO
    assert "a guess" in found.summary
    twice = predicted(np.exp(log_softmax(seen.outputs.astype(float))), seen.targets)
    assert judged(judge, answers(twice)).verdict is Verdict.INFO


def test_too_few_examples_are_not_judged(judged):
    found = judged(judge, answers(scaled(30.0, rows=199)))
    assert found.verdict is Verdict.INFO
    assert "200" in found.summary


def test_rows_of_few_examples_are_few_examples(judged):
    seen = scaled(30.0)
    crowded = replace(seen, example=np.arange(2000) // 100, batch_examples=np.asarray([20]))
    assert judged(judge, answers(replace(crowded, losses=np.ones(1)))).verdict is Verdict.INFO


def test_numbers_are_not_judged(judged):
    values = np.zeros((300, 1))
    found = judged(judge, answers(predicted(values, values, "mse_loss", kind="numbers")))
    assert found.verdict is Verdict.NOT_APPLICABLE
