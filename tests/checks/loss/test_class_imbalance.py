from dataclasses import replace

import numpy as np
import pytest

from auditor.checks.loss.class_imbalance import PREDICTIONS, TARGETS, judge
from auditor.core.subject import TargetFacts
from auditor.core.verdict import Verdict
from auditor.observations.targets import TargetsSeen
from tests.predictions import predicted


def answers(rows, found, counts, classes=None, **changes):
    """`found` of `rows` targets of each class are answered right, the rest as the next class."""
    truth = np.repeat(np.arange(len(rows)), rows)
    answer = np.concatenate(
        [
            np.where(np.arange(number) < hit, place, (place + 1) % len(rows))
            for place, (number, hit) in enumerate(zip(rows, found, strict=True))
        ]
    )
    outputs = np.full((len(truth), classes or len(rows)), -2.0)
    outputs[np.arange(len(truth)), answer] = 2.0
    known = tuple(place for place, count in enumerate(counts) if count)
    facts = TargetFacts("classes", sum(counts), known, tuple(counts[place] for place in known))
    seen = replace(predicted(outputs, truth), **changes)
    return {PREDICTIONS: seen, TARGETS: TargetsSeen(facts, "train")}


def test_imbalance_alone_is_no_fault(judged):
    found = judged(judge, answers((900, 30), (890, 29), (9000, 300)))
    assert found.verdict is Verdict.PASS, found.summary
    assert "30 to 1" in found.summary


def test_a_rare_class_that_suffers_warns(judged):
    found = judged(judge, answers((900, 60), (890, 12), (9000, 600)))
    assert found.verdict is Verdict.WARN, found.summary
    assert [place.name for place in found.where] == ["class 1"]
    assert "taken for class 0" in found.where[0].note
    assert "a rare class" in found.where[0].note
    assert "0.533, 8" in found.advice[0]
    assert "focal loss with gamma = 2" in " ".join(found.advice)


@pytest.mark.parametrize(("hits", "verdict"), [(20, Verdict.WARN), (38, Verdict.PASS)])
def test_a_class_of_a_few_targets_has_to_keep_up(judged, hits, verdict):
    found = judged(judge, answers((60, 60, 48), (58, 58, hits), (130, 130, 4)))
    assert found.verdict is verdict, found.summary
    assert [place.name for place in found.where] == ["class 2"] * (verdict is Verdict.WARN)
    assert not found.advice or found.advice[0].startswith("Gather more training examples")


def test_a_rare_class_of_more_targets_may_be_harder(judged):
    found = judged(judge, answers((60, 60, 48), (58, 58, 30), (1300, 1300, 40)))
    assert found.verdict is Verdict.PASS, found.summary


def test_what_was_read_of_training_does_not_show_a_class_of_a_few(judged):
    seen = answers((60, 60, 48), (58, 58, 30), (130, 130, 4))
    seen[TARGETS] = replace(seen[TARGETS], complete=False)
    assert judged(judge, seen).verdict is Verdict.PASS


def test_a_common_class_that_suffers_is_hard_not_neglected(judged):
    found = judged(judge, answers((100, 100, 100), (98, 20, 98), (1000, 1000, 1000)))
    assert found.verdict is Verdict.PASS, found.summary


def test_a_class_never_predicted_fails(judged):
    found = judged(judge, answers((900, 40), (900, 0), (9000, 400)))
    assert found.verdict is Verdict.FAIL, found.summary
    assert "never found" in found.summary


def test_a_common_class_never_predicted_fails_with_other_advice(judged):
    rows, hits = (60,) * 4, (60, 0, 60, 60)
    found = judged(judge, answers(rows, hits, (500,) * 4))
    assert found.verdict is Verdict.FAIL, found.summary
    assert "no rarer" in found.advice[0]
    assert "a rare class" not in found.where[0].note


@pytest.mark.parametrize(
    ("weights", "verdict"), [((0.5, 5.0), Verdict.WARN), ((1.0, 1.0), Verdict.FAIL)]
)
def test_weights_in_the_loss_are_taken_into_account(judged, weights, verdict):
    seen = answers((900, 40), (900, 0), (9000, 400), weights=weights)
    found = judged(judge, seen)
    assert found.verdict is verdict, found.summary
    assert ("weights it up" in found.summary) is (verdict is Verdict.WARN)


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ((), "Whether the loss weights them can't be told."),
        ((1.0,), "The loss weights none more than another."),
        ((1.0, 12.0), "In the loss a target of class 1 counts 12 times as much as one of class 0."),
        ((1.0, 0.1), "In the loss a target of class 1 counts 0.1 times as much as one of class 0."),
    ],
)
def test_whether_the_loss_weights_classes_is_always_said(judged, weights, said):
    for hits in (12, 59):
        found = judged(judge, answers((900, 60), (890, hits), (9000, 600), weights=weights))
        assert said in found.summary
        down = hits == 12 and weights == (1.0, 0.1)
        assert ("weights class 1 down" in " ".join(found.advice)) is down


def test_few_examples_of_a_class_never_predicted_are_not_enough(judged):
    found = judged(judge, answers((900, 4), (900, 0), (9000, 40)))
    assert found.verdict is Verdict.INFO, found.summary
    assert "4 examples of class 1" in found.summary
    needed = int(found.summary.split("about ")[1].split(" ")[0])
    enough = judged(judge, answers((900, needed), (900, 0), (9000, 10 * needed)))
    assert enough.verdict is Verdict.FAIL, enough.summary


def test_the_pixels_of_one_example_are_one_trial(judged):
    seen = answers((900, 400), (900, 0), (9000, 400))
    crowded = replace(seen[PREDICTIONS], example=np.arange(1300) // 200)
    assert judged(judge, {**seen, PREDICTIONS: crowded}).verdict is Verdict.INFO


def test_a_class_that_training_lacks_fails(judged):
    found = judged(judge, answers((90, 90, 20), (90, 90, 0), (500, 500, 0)))
    assert found.verdict is Verdict.FAIL
    assert [place.name for place in found.where] == ["class 2"]
    assert "10.0%" in found.summary


def test_a_class_may_be_missing_from_what_was_read_of_training(judged):
    seen = answers((90, 90, 20), (90, 90, 20), (500, 500, 0))
    partly = replace(seen[TARGETS], complete=False)
    found = judged(judge, {**seen, TARGETS: partly})
    assert found.verdict is Verdict.INFO, found.summary
    assert "no example of class 2" in found.summary
    own = TargetsSeen(seen[TARGETS].targets, "val")
    assert judged(judge, {**seen, TARGETS: own}).verdict is Verdict.PASS


def test_a_class_that_validation_lacks_is_told(judged):
    found = judged(judge, answers((90, 90), (90, 90), (500, 500, 500), classes=3))
    assert found.verdict is Verdict.INFO, found.summary
    assert "no example of class 2" in found.summary


def test_each_label_is_judged(judged):
    rng = np.random.default_rng(0)
    truth = (rng.random((800, 2)) < (0.5, 0.08)).astype(float)
    outputs = np.where(truth > 0, 2.0, -2.0)
    outputs[:, 1] = -2.0
    seen = predicted(outputs, truth, "binary_cross_entropy_with_logits")
    ones = truth.sum(axis=0).astype(int)
    counts = tuple(int(n) for one in ones for n in (800 - one, one))
    facts = TargetFacts("labels", 1600, (0, 1, 2, 3), counts)
    found = judged(judge, {PREDICTIONS: seen, TARGETS: TargetsSeen(facts, "train")})
    assert found.verdict is Verdict.FAIL, found.summary
    assert [place.name for place in found.where] == ["label 1 = 1"]
    assert "pos_weight" in found.advice[0]
    assert "WeightedRandomSampler" not in " ".join(found.advice)
    weighted = replace(seen, weights=(1.0, 10.0))
    found = judged(judge, {PREDICTIONS: weighted, TARGETS: TargetsSeen(facts, "train")})
    assert found.verdict is Verdict.WARN, found.summary


def test_many_classes_are_cut_to_the_worst(judged):
    found = judged(judge, answers((40,) * 60, (30,) * 60, (400,) * 60))
    assert len(found.figures[0].labels) == 20


def test_what_is_not_judged_says_why(judged):
    seen = answers((90, 90), (90, 90), (500, 500))
    tokens = replace(seen[PREDICTIONS], task="language_model")
    assert judged(judge, {**seen, PREDICTIONS: tokens}).verdict is Verdict.NOT_APPLICABLE
    values = np.zeros((60, 1))
    numbers = predicted(values, values, "mse_loss", kind="numbers")
    assert judged(judge, {**seen, PREDICTIONS: numbers}).verdict is Verdict.NOT_APPLICABLE
    unknown = TargetsSeen(TargetFacts("numbers", 60, mean=(0.0,)), "train")
    assert judged(judge, {**seen, TARGETS: unknown}).verdict is Verdict.NOT_APPLICABLE
    alone = answers((90, 0), (90, 0), (500, 500))
    assert judged(judge, alone).verdict is Verdict.INFO
