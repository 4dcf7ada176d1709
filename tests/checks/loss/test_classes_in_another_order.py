from dataclasses import replace

import numpy as np
import pytest

from auditor.checks.loss.classes_in_another_order import PREDICTIONS, TRAINING, judge
from auditor.core.request import Unavailable
from auditor.core.verdict import Verdict
from tests.predictions import drawn, predicted

ABSENT = Unavailable("no training data was given")


def seen(outputs, targets, training=ABSENT, **changes):
    return {PREDICTIONS: predicted(outputs, targets, **changes), TRAINING: training}


def test_the_order_as_given_passes(judged):
    found = judged(judge, seen(*drawn(400, 5)))
    assert found.verdict is Verdict.PASS, found.summary


def test_rotated_classes_fail_and_are_named(judged):
    outputs, targets = drawn(400, 5)
    found = judged(judge, seen(np.roll(outputs, 1, axis=1), targets))
    assert found.verdict is Verdict.FAIL, found.summary
    assert [(p.name, p.note) for p in found.where[:2]] == [
        ("class 4", "answered as class 0"),
        ("class 0", "answered as class 1"),
    ]
    assert "order = [4, 0, 1, 2, 3]\n" in found.advice[1]


def test_two_of_five_classes_that_change_places_warn_or_fail(judged):
    outputs, targets = drawn(2000, 5)
    found = judged(judge, seen(outputs[:, [1, 0, 2, 3, 4]], targets))
    assert found.verdict in (Verdict.WARN, Verdict.FAIL), found.summary
    assert {place.name for place in found.where} == {"class 0", "class 1"}


def test_training_data_tells_which_side_is_numbered_otherwise(judged):
    outputs, targets = drawn(400, 5)
    turned = np.roll(outputs, 1, axis=1)
    right, wrong = (replace(predicted(o, targets), split="train") for o in (outputs, turned))
    found = judged(judge, seen(turned, targets, right))
    assert "it is the validation data that is numbered otherwise" in found.summary
    assert "Number the validation targets" in found.advice[1]
    found = judged(judge, seen(turned, targets, wrong))
    assert "it is the model's outputs" in found.summary


def test_one_label_answered_the_wrong_way_round_fails(judged):
    rng = np.random.default_rng(0)
    targets = (rng.random((200, 1)) > 0.4).astype(float)
    outputs = 4 * targets - 2 + rng.standard_normal((200, 1))
    loss = "binary_cross_entropy_with_logits"
    assert judged(judge, seen(outputs, targets, loss=loss)).verdict is Verdict.PASS
    found = judged(judge, seen(-outputs, targets, loss=loss))
    assert found.verdict is Verdict.FAIL, found.summary


def test_labels_in_another_order_fail(judged):
    rng = np.random.default_rng(0)
    targets = (rng.random((300, 4)) > 0.5).astype(float)
    outputs = 4 * targets - 2 + rng.standard_normal(targets.shape)
    loss = "binary_cross_entropy_with_logits"
    assert judged(judge, seen(outputs, targets, loss=loss)).verdict is Verdict.PASS
    found = judged(judge, seen(outputs[:, [1, 2, 3, 0]], targets, loss=loss))
    assert found.verdict is Verdict.FAIL, found.summary
    assert found.where[0].name == "label 1"
    assert found.where[0].note == "answered as label 0"


def test_a_model_that_is_mostly_wrong_in_any_order_merely_warns(judged):
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 5, 600)
    answers = np.where(rng.random(600) < 0.25, (targets + 1) % 5, 0)
    found = judged(judge, seen(4.0 * np.eye(5)[answers], targets))
    assert found.verdict is Verdict.WARN, found.summary


@pytest.mark.parametrize("seed", range(10))
def test_guessing_is_no_order(judged, seed):
    rng = np.random.default_rng(seed)
    found = judged(judge, seen(rng.standard_normal((120, 4)), rng.integers(0, 4, 120)))
    assert found.verdict is Verdict.PASS, found.summary


def test_one_answer_for_all_that_would_suit_another_class_is_no_order(judged):
    targets = np.repeat([0, 1], [180, 20])
    outputs = np.tile([0.0, 5.0], (200, 1))
    found = judged(judge, seen(outputs, targets))
    assert found.verdict is Verdict.PASS, found.summary


def test_numbers_few_examples_and_many_classes_are_not_judged(judged):
    outputs, targets = drawn(30, 3)
    assert judged(judge, seen(outputs, targets)).verdict is Verdict.NOT_APPLICABLE
    outputs, targets = drawn(100, 2001)
    assert judged(judge, seen(outputs, targets)).verdict is Verdict.NOT_APPLICABLE
    numbers = seen(np.zeros((100, 1)), np.zeros((100, 1)), kind="numbers", loss="mse_loss")
    assert judged(judge, numbers).verdict is Verdict.NOT_APPLICABLE


def test_rows_that_are_no_numbers_are_left_out(judged):
    outputs, targets = drawn(400, 5)
    outputs[::3] = np.nan
    assert judged(judge, seen(outputs, targets, losses=np.zeros(8))).verdict is Verdict.PASS
