from dataclasses import replace

import numpy as np
import pytest

from auditor.checks.loss.inputs_prepared_differently import PREPARED, judge
from auditor.core.verdict import Verdict
from auditor.observations.preparation import Prepared

RNG = np.random.default_rng(0)
NOISE = RNG.gamma(4, 0.25, 200)
NOISE /= NOISE.mean()
CHANCE = RNG.integers(0, 2, 200).astype(float)


def right(share, examples=200):
    return (np.arange(examples) < share * examples).astype(float)


def tried(before=2.0, after=2.4, right_before=0.4, right_after=0.3, **changes):
    base = Prepared(
        metric="accuracy",
        tried=("mirrored upside down", "turned by half"),
        losses=np.array([after, after + 1]),
        best="mirrored upside down",
        before=before * NOISE,
        after=after * NOISE,
        right_before=right(right_before),
        right_after=right(right_after),
        constant=2.3,
        train_before=0.2 * NOISE,
        train_after=2.0 * NOISE,
        train_right_before=right(right_before),
        train_right_after=right(0.2),
        told=CHANCE,
    )
    return {PREPARED: replace(base, **changes)}


def test_a_way_that_is_no_better_passes(judged):
    assert judged(judge, tried()).verdict is Verdict.PASS


def test_a_way_that_is_far_better_fails_and_is_named(judged):
    found = judged(judge, tried(after=0.2, right_after=0.95))
    assert found.verdict is Verdict.FAIL, found.summary
    assert [(p.name, p.note) for p in found.where] == [("data.val", "wanted mirrored upside down")]
    assert "Training data is right as it is" in found.summary


def test_where_training_data_wants_it_too_both_are_named(judged):
    found = judged(judge, tried(after=0.2, right_after=0.95, train_after=0.05 * NOISE))
    assert found.where[0].name == "data.train and data.val"


def test_no_way_is_worth_it_that_does_no_better_than_a_constant(judged):
    found = judged(judge, tried(before=9.0, after=2.25, right_before=0.1, right_after=0.3))
    assert found.verdict is Verdict.PASS, found.summary


def test_a_lower_loss_with_hardly_another_answer_has_to_be_half(judged):
    found = judged(judge, tried(1.0, 0.7, 0.9, 0.91))
    assert found.verdict is Verdict.PASS, found.summary
    found = judged(judge, tried(1.0, 0.2, 0.9, 0.91))
    assert found.verdict is Verdict.FAIL, found.summary


def test_answers_that_are_put_right_count_where_a_few_surprises_blur_the_loss(judged):
    rare = np.where(np.arange(200) % 40 == 0, 12.0, 0.05)
    blurred = tried(before=1.0, after=0.2, right_before=0.88, right_after=0.97)[PREPARED]
    loss = {"before": rare, "after": np.roll(rare, 1) / 4}
    found = judged(judge, {PREPARED: replace(blurred, **loss)})
    assert found.verdict is Verdict.FAIL, found.summary
    guessed = replace(blurred, constant=0.15, **loss)
    assert judged(judge, {PREPARED: guessed}).verdict is Verdict.PASS
    few = replace(blurred, right_after=right(0.9), **loss)
    assert judged(judge, {PREPARED: few}).verdict is Verdict.PASS


def test_errors_of_numbers_are_judged_too(judged):
    numbers = {"metric": "squared error", "constant": 1.0, "right_before": 1.2 * NOISE}
    found = judged(judge, tried(1.2, 0.4, **numbers, right_after=0.4 * NOISE))
    assert found.verdict is Verdict.FAIL, found.summary
    found = judged(judge, tried(1.2, 1.1, **numbers, right_after=1.1 * NOISE))
    assert found.verdict is Verdict.PASS, found.summary


def test_splits_that_are_told_apart_warn_where_validation_does_far_worse(judged):
    worse = {"train_right_before": right(0.95), "told": right(0.95)}
    found = judged(judge, tried(**worse))
    assert found.verdict is Verdict.WARN, found.summary
    assert "tells which split an example is of in 95%" in found.summary
    for one in ({"train_right_before": right(0.95)}, {"told": right(0.95)}):
        assert judged(judge, tried(**one)).verdict is Verdict.PASS


def test_without_training_data_nothing_is_told_apart(judged):
    none = np.zeros(0)
    found = judged(judge, tried(told=none, train_right_before=none, train_before=none))
    assert found.verdict is Verdict.PASS, found.summary


def test_inputs_that_can_be_arranged_in_no_other_way_are_not_passed(judged):
    found = judged(judge, tried(tried=(), losses=np.zeros(0), best=""))
    assert found.verdict is Verdict.INFO, found.summary


@pytest.mark.parametrize("examples", [0, 19])
def test_few_examples_are_not_judged(judged, examples):
    some = {"before": NOISE[:examples], "after": NOISE[:examples]}
    assert judged(judge, tried()).verdict is Verdict.PASS
    base = tried()[PREPARED]
    found = judged(judge, {PREPARED: replace(base, **some)})
    assert found.verdict is Verdict.NOT_APPLICABLE, found.summary
