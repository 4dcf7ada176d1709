"""Hand-made scores on both sides of every limit."""

from dataclasses import replace

import numpy as np
import pytest

from auditor.checks.parameters.overfitted import (
    CONTINUED,
    SETTINGS,
    SHARED,
    TRAIN,
    TRAIN_LOSSES,
    TRAIN_TARGETS,
    VAL,
    VAL_LOSSES,
    VAL_TARGETS,
    judge,
)
from auditor.core.check import Seen
from auditor.core.finding import Judgement
from auditor.core.request import Unavailable
from auditor.core.subject import TargetFacts
from auditor.core.verdict import Verdict
from auditor.observations.losses import Losses
from auditor.observations.performance import Performance
from auditor.observations.settings import ParameterGroup, Settings
from auditor.observations.shared_examples import SharedExamples
from auditor.observations.targets import TargetsSeen
from tests.checks.parameters.test_underfitted import found, progress

ABSENT = Unavailable("not given")


def scores(right: float, examples: int = 1000, classes: int = 5, nats: float = 0.5) -> Performance:
    """Return an accuracy over classes of equal size."""
    hits = np.zeros(examples)
    hits[: round(right * examples)] = 1
    return Performance(
        "accuracy",
        hits,
        np.resize([nats - 0.01, nats + 0.01], examples),
        np.zeros(4),
        np.full(4, examples // 4),
        np.arange(examples),
        np.arange(examples) % classes,
        np.ones(examples, int),
        np.zeros((0, 0)),
        "val",
    )


def numbers(error: float, spread: float = 1.0, examples: int = 400) -> Performance:
    """Return squared errors of targets with the variance `spread`."""
    values = np.resize([spread**0.5, -(spread**0.5)], examples)[:, None]
    return replace(
        scores(1.0, examples),
        metric="squared error",
        scores=np.resize([0.5 * error, 1.5 * error], examples),
        entropies=np.zeros(0),
        target_values=values,
    )


def shared(copies: int = 0, of: int = 1000, repeated: float = 0.0, **changes) -> SharedExamples:
    places = np.full(of, -1)
    places[:copies] = np.arange(copies)
    doubles = np.zeros(1000, bool)
    doubles[: round(1000 * repeated)] = True
    made = SharedExamples(places, doubles, np.full(4, of // 4), True, False, -1, -1, "no")
    return replace(made, **changes)


def judged(train, val, copies: SharedExamples | None = None, **more) -> Judgement:
    answers = {
        SHARED: copies if copies is not None else shared(),
        TRAIN: train,
        VAL: val,
        **dict.fromkeys((TRAIN_LOSSES, VAL_LOSSES, CONTINUED, SETTINGS), ABSENT),
        **dict.fromkeys((TRAIN_TARGETS, VAL_TARGETS), ABSENT),
    }
    named = {"losses": TRAIN_LOSSES, "others": VAL_LOSSES, "continued": CONTINUED}
    named |= {"settings": SETTINGS, "own": TRAIN_TARGETS, "other": VAL_TARGETS}
    return judge(Seen(answers | {named[name]: value for name, value in more.items()}))


@pytest.mark.parametrize(
    ("train", "val", "verdict"),
    [
        (0.999, 0.98, Verdict.PASS),
        (1.0, 0.86, Verdict.PASS),  # a gap of 0.175
        (1.0, 0.82, Verdict.INFO),  # 0.225, but perhaps 0.186
        (1.0, 0.75, Verdict.WARN),
        (1.0, 0.57, Verdict.WARN),  # 0.5375, but perhaps less than 0.5
        (1.0, 0.5, Verdict.FAIL),
        (0.6, 0.2, Verdict.FAIL),  # no better than a constant
        (0.6, 0.35, Verdict.WARN),
    ],
)
def test_the_limits_of_the_gap(train: float, val: float, verdict: Verdict) -> None:
    told = judged(scores(train), scores(val))
    assert told.verdict is verdict, told.summary
    assert bool(told.where) == bool(told.advice) == (verdict in (Verdict.WARN, Verdict.FAIL))
    assert [figure.kind for figure in told.figures] == ["bars", "table"]
    assert told.metrics[0].low <= told.metrics[0].value <= told.metrics[0].high


def test_few_validation_examples_have_wide_intervals() -> None:
    told = judged(scores(1.0), scores(0.7, 40))
    assert told.verdict is Verdict.INFO
    assert "examples of each split would settle it" in told.summary
    assert judged(scores(1.0), scores(0.7, 400)).verdict is Verdict.WARN


def test_nineteen_examples_are_too_few() -> None:
    told = judged(scores(1.0), scores(0.0, 16))
    assert told.verdict is Verdict.NOT_APPLICABLE
    assert "validation has 16" in told.summary


def test_nothing_carried_over_is_said() -> None:
    told = judged(scores(1.0), scores(0.2))
    assert "by heart" in told.summary
    assert "labels" in told.advice[0]
    assert "by heart" not in judged(scores(1.0), scores(0.5)).summary


def test_numbers_are_judged_beside_the_spread_of_their_own_split() -> None:
    """Twice the spread makes four times the error: that is no overfitting."""
    assert judged(numbers(0.4), numbers(1.6, 4.0)).verdict is Verdict.PASS
    told = judged(numbers(0.1), numbers(1.1))
    assert told.verdict is Verdict.FAIL
    assert told.metrics[0].value == pytest.approx(1.0)


def test_an_honest_regression_that_explains_half_passes() -> None:
    assert judged(numbers(0.45), numbers(0.55)).verdict is Verdict.PASS


def test_a_cross_entropy_worse_than_a_constants() -> None:
    """Five classes of equal size cost a constant ln 5 = 1.609 nats."""
    good, sure = scores(1.0, nats=0.05), scores(0.95, nats=1.7)
    told = judged(good, sure)
    assert told.verdict is Verdict.WARN
    assert "sure of its mistakes" in told.summary
    assert judged(good, scores(0.95, nats=1.5)).verdict is Verdict.PASS
    assert judged(scores(1.0, nats=0.9), sure).verdict is Verdict.PASS


def test_scores_that_are_not_finite_are_not_judged() -> None:
    lost = scores(0.5)
    lost.scores[0] = np.nan
    told = judged(scores(1.0), lost)
    assert told.verdict is Verdict.NOT_APPLICABLE
    assert "not finite" in told.summary


def test_one_class_in_validation_leaves_nothing_to_judge() -> None:
    told = judged(scores(1.0), scores(0.5, classes=1))
    assert told.verdict is Verdict.NOT_APPLICABLE
    assert "always the same answer" in told.summary


@pytest.mark.parametrize(
    ("copies", "verdict"),
    [
        (0, Verdict.PASS),
        (50, Verdict.INFO),
        (110, Verdict.INFO),  # perhaps 8 %
        (140, Verdict.WARN),
        (520, Verdict.WARN),  # perhaps less than a half
        (560, Verdict.FAIL),
        (1000, Verdict.FAIL),
    ],
)
def test_the_limits_of_what_is_shared(copies: int, verdict: Verdict) -> None:
    told = judged(scores(1.0), scores(1.0), shared(copies))
    assert told.verdict is verdict, told.summary
    if verdict in (Verdict.WARN, Verdict.FAIL):
        assert told.where[0].name == "data.val"
        assert told.where[1].name == "val 0"
        assert told.advice


def test_what_repeats_itself_in_training_is_usual() -> None:
    assert judged(scores(1.0), scores(1.0), shared(600, repeated=0.6)).verdict is Verdict.PASS
    assert judged(scores(1.0), scores(1.0), shared(1000, repeated=0.3)).verdict is Verdict.FAIL


def test_the_rest_is_judged_by_itself() -> None:
    val = scores(0.8)  # Right in the first 800, all of which were trained on.
    told = judged(scores(1.0), val, shared(800))
    assert "On these the accuracy is 1, on the other 200 0." in told.summary
    assert told.metrics[1].value == 1.0
    assert told.metrics[2].value == 0.0


def test_one_loader_and_common_indices_are_certain() -> None:
    none = replace(shared(), shared=np.zeros(0, int), repeated=np.zeros(0, bool))
    same = judged(scores(1.0), scores(1.0), replace(none, same_loader=True))
    assert same.verdict is Verdict.FAIL
    assert "One loader gives both splits" in same.summary
    drawn = judged(scores(1.0), scores(1.0), replace(none, indices=30, of_indices=100))
    assert drawn.verdict is Verdict.WARN
    assert "30 of the 100 validation indices" in drawn.summary
    clean = judged(scores(1.0), scores(1.0), shared(indices=0, of_indices=100))
    assert clean.verdict is Verdict.PASS


def test_inputs_without_rows_can_not_be_compared() -> None:
    none = replace(shared(), shared=np.zeros(0, int), repeated=np.zeros(0, bool))
    told = judged(scores(1.0), scores(1.0), none)
    assert "no row for each example" in told.summary


def test_validation_better_than_training() -> None:
    told = judged(scores(0.7), scores(0.9))
    assert told.verdict is Verdict.WARN
    assert told.where[0].name == "data.val"
    assert judged(scores(0.88), scores(0.9)).verdict is Verdict.PASS
    augmented = judged(scores(0.7), scores(0.9), shared(varies="yes"))
    assert augmented.verdict is Verdict.INFO
    assert "Augmented" in augmented.summary


def test_other_class_shares_may_be_why_validation_is_better() -> None:
    own = TargetsSeen(TargetFacts("classes", 10, (0, 1), (9, 1)), "train")
    other = TargetsSeen(TargetFacts("classes", 10, (0, 1), (4, 6)), "val")
    assert judged(scores(0.7), scores(0.9), own=own, other=other).verdict is Verdict.PASS


def test_losses_of_whole_batches() -> None:
    low, high = (np.resize([mean - 0.05, mean + 0.05], 10) for mean in (0.2, 1.1))
    own, other = Losses(low, np.ones(10), "train"), Losses(high, np.ones(10), "val")
    continued = found(progress(0.0), unit="loss", fresh=1.2)
    told = judged(ABSENT, ABSENT, losses=own, others=other, continued=continued)
    assert told.verdict is Verdict.FAIL
    assert told.metrics[0].value == pytest.approx(0.9)
    near = replace(other, values=low + 0.1)
    kept = judged(ABSENT, ABSENT, losses=own, others=near, continued=continued)
    assert kept.verdict is Verdict.PASS
    for changes, words in (
        ({"fresh": float("nan")}, "how much was learnt"),
        ({"fresh": 0.1}, "loses no more than this one"),
    ):
        blind = found(progress(0.0), unit="loss", **changes)
        open_ = judged(ABSENT, ABSENT, losses=own, others=other, continued=blind)
        assert open_.verdict is Verdict.NOT_APPLICABLE
        assert words in open_.summary
    few = replace(other, values=high[:5])
    short = judged(ABSENT, ABSENT, losses=own, others=few, continued=continued)
    assert "from 6 of each split on, there are 5" in short.summary


def test_without_scores_the_reason_is_told() -> None:
    told = judged(Unavailable("no loss is named (`loss`)"), ABSENT)
    assert told.verdict is Verdict.NOT_APPLICABLE
    assert "no loss is named" in told.summary


def test_a_leak_is_found_without_scores() -> None:
    assert judged(ABSENT, ABSENT, shared(900)).verdict is Verdict.FAIL


def test_advice_names_the_settings() -> None:
    settings = Settings(
        "AdamW",
        (ParameterGroup({"lr": 0.1, "weight_decay": 0.01}, (), 3),),
        epochs=300,
        sources={"groups": "the spec"},
    )
    text = " ".join(judged(scores(1.0), scores(0.2), settings=settings).advice)
    assert "it is 0.01 by the spec" in text
    assert "300 epochs" in text


def test_a_validation_loss_that_goes_on_rising_is_told() -> None:
    told = judged(scores(1.0), scores(0.2), continued=found(progress(-0.1)))
    assert "It goes on: 16 more steps" in told.summary
