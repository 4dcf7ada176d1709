from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from auditor.checks.start_simple.capacity_off import CAPACITY, SIMPLE, TRAIN, VAL, judge
from auditor.core.request import Unavailable
from auditor.core.verdict import Verdict
from auditor.observations.baselines import SimpleModel, SimpleModels
from auditor.observations.capacity import Capacity, Strait
from auditor.observations.performance import Performance

STEPS = 100


def right(share: float, count: int = 200) -> np.ndarray:
    """Return scores of which so many are right, spread evenly."""
    return (np.arange(count) < round(share * count)).astype(float)


def falling(towards: float, steps: int = STEPS) -> np.ndarray:
    """Return a loss that falls from 2.3, the faster the nearer to zero it comes."""
    return towards + (2.3 - towards) * np.exp(-np.arange(steps) / 10)


def fitted(seeds: int = 5, slower: float = 3.0, **changes: Any) -> Capacity:
    """Return copies that fit everything, random targets so many times as slowly as true ones."""
    spread = 1 + 0.02 * (np.arange(seeds)[:, None] - (seeds - 1) / 2)
    true = np.tile(falling(0.1), (seeds, 1))
    usual = Capacity(
        parameters=5000,
        frozen=0,
        examples=1000,
        targets=1000,
        all_counted=True,
        subset=200,
        rate=0.01,
        metric="accuracy",
        true=true,
        random=true * slower * spread,
        true_scores=np.tile(right(1.0), (seeds, 1)),
        random_scores=np.tile(right(0.95), (seeds, 1)),
        linear_scores=right(0.95),
        linear_parameters=650,
        linear_missing="",
        constant_error=0.9,
        longer_scores=np.zeros(0),
        longer=np.zeros(0),
        out_of_reach=False,
    )
    return replace(usual, **changes)


SQUEEZE = Strait("squeeze", "out", 1, 9, "squeeze")


def narrow(**changes: Any) -> Capacity:
    """Return copies that a linear model leaves far behind, however long they are trained."""
    usual = fitted(
        true_scores=np.tile(right(0.3), (5, 1)),
        random_scores=np.tile(right(0.15), (5, 1)),
        longer_scores=right(0.5),
        longer=falling(1.5, 600),
        out_of_reach=True,
        strait=SQUEEZE,
    )
    return replace(usual, **changes)


def performance(share: float, split: str, count: int = 400) -> Performance:
    return Performance(
        "accuracy",
        right(share, count),
        np.zeros(0),
        np.ones(1),
        np.array([count]),
        np.arange(count),
        np.arange(count) % 10,
        np.ones(count, int),
        np.zeros((0, 0)),
        split,
    )


def splits(train: float, val: float, count: int = 400) -> dict[Any, Any]:
    return {TRAIN: performance(train, "train", count), VAL: performance(val, "val", count)}


def beside(train: float, count: int = 400) -> SimpleModels:
    scores = right(train, count)
    model = SimpleModel(
        "a linear model", "", 650, (0.01,), (0.1,), (100,), 0.01, scores, scores, scores
    )
    return SimpleModels((model,), 5000, 800, 200)


def test_copies_that_fit_and_a_checkpoint_that_carries_over(judged) -> None:
    found = judged(judge, {CAPACITY: fitted(), **splits(0.99, 0.97)})
    assert found.verdict is Verdict.PASS
    assert "5,000 trainable parameters for 1,000 training targets, 5 each" in found.summary
    assert "learn by heart, too, which takes 3 times as long as true ones" in found.summary
    assert "a gap of 2.2 % of a constant's error" in found.summary
    assert not found.where
    assert len(found.figures) == 2


def test_learning_random_targets_alone_is_no_fault(judged) -> None:
    large = fitted(parameters=1_000_000, slower=1.05)
    assert judged(judge, {CAPACITY: large, **splits(0.99, 0.98)}).verdict is Verdict.PASS
    slow = fitted(parameters=1_000_000, slower=3.0)
    assert judged(judge, {CAPACITY: slow, **splits(1.0, 0.5)}).verdict is Verdict.PASS


def test_learning_by_heart_what_does_not_carry_over_warns(judged) -> None:
    found = judged(judge, {CAPACITY: fitted(parameters=1_000_000, slower=1.05), **splits(1.0, 0.5)})
    assert found.verdict is Verdict.WARN
    assert "1,000 each" in found.summary
    assert "learns this data by heart" in found.summary
    assert [place.name for place in found.where] == ["parameters"]
    assert "the linear model of 650 parameters" in found.advice[0]


@pytest.mark.parametrize(
    ("changes", "scores"),
    [
        ({"parameters": 9_900}, (1.0, 0.5)),  # fewer than ten parameters a target
        ({"slower": 1.6}, (1.0, 0.5)),  # slower beyond doubt
        ({}, (0.99, 0.98)),  # a gap below the limit beyond doubt
    ],
)
def test_one_part_of_the_evidence_refuted_is_enough_to_pass(judged, changes, scores) -> None:
    changes = {"parameters": 1_000_000, "slower": 1.05, **changes}
    found = judged(judge, {CAPACITY: fitted(**changes), **splits(*scores, 4000)})
    assert found.verdict is Verdict.PASS
    assert "Open is" not in found.summary


LARGE = {"parameters": 1_000_000, "slower": 1.05}
LOST = replace(performance(1.0, "val"), scores=np.full(400, np.nan))


@pytest.mark.parametrize(
    ("changes", "answers", "words"),
    [
        ({"slower": 1.5}, splits(1.0, 0.5), "whether true targets are learnt any faster"),
        (
            {"random_scores": np.tile(right(0.3), (5, 1))},
            splits(1.0, 0.5),
            "random targets are not learnt in 100 steps",
        ),
        ({}, splits(0.95, 0.88, 100), "beyond 5 % (1,680 examples of each split would settle it)"),
        ({"all_counted": False}, splits(1.0, 0.5), "how many targets the training data holds"),
        ({}, splits(1.0, 0.5, 19), "from 20 examples of each on, and there are 19 training"),
        ({}, splits(1.0, 0.5) | splits(1.0, 0.5, 1) | {TRAIN: performance(1.0, "train")}, "is 1 v"),
        ({}, {TRAIN: Unavailable("no training data")}, "the gap between the splits can't be"),
        ({}, splits(1.0, 1.0) | {VAL: LOST}, "can't be measured in a constant's errors"),
    ],
)
def test_what_is_open_does_not_pass(judged, changes, answers, words) -> None:
    found = judged(judge, {CAPACITY: fitted(**LARGE | changes), **answers})
    assert found.verdict is Verdict.INFO
    assert "Open is whether it merely learns by heart: " in found.summary
    assert words in found.summary
    small = fitted(**LARGE | changes | {"parameters": 5000})
    assert judged(judge, {CAPACITY: small, **answers}).verdict is Verdict.PASS


def test_a_straddling_interval_says_how_many_seeds(judged) -> None:
    spread = np.array([0.6, 0.8, 1.0, 1.2, 1.3])[:, None]
    large = fitted(**LARGE, true=0.5 * fitted().true)
    start = 2 * large.true[:, :1]
    true = np.hstack([start, large.true[:, 1:]])
    wavering = replace(large, true=true, random=np.hstack([start, true[:, 1:] * 1.25 * spread]))
    found = judged(judge, {CAPACITY: wavering, **splits(1.0, 0.5)})
    assert found.verdict is Verdict.INFO
    assert "any faster than random ones (26 seeds would settle it)" in found.summary


def test_a_leap_of_the_loss_counts_as_no_more_than_the_start() -> None:
    calm = fitted(slower=1.0, seeds=3)
    leaping = calm.random.copy()
    leaping[1, 50:60] = 50.0
    seen = replace(calm, random=leaping).slowness()
    assert seen[0] == pytest.approx(calm.slowness()[0])
    assert 1 < seen[1] / calm.slowness()[1] < 2


def test_a_layer_that_lets_too_little_through_is_named(judged) -> None:
    found = judged(judge, {CAPACITY: narrow()})
    assert found.verdict is Verdict.WARN
    assert [place.name for place in found.where] == ["squeeze"]
    assert "layer 'squeeze' passes on 1 number for each example, where the outputs need 9" in (
        found.summary
    )
    assert "Widen layer 'squeeze', so that it passes on 9 numbers or more" in found.advice[0]
    assert found.figures[-1].labels == ("fresh copies", "trained longer", "linear model")


def test_a_checkpoint_that_is_as_far_behind_fails(judged) -> None:
    found = judged(judge, {CAPACITY: narrow(), SIMPLE: beside(0.95), **splits(0.4, 0.4)})
    assert found.verdict is Verdict.FAIL
    assert "The checkpoint itself is as far behind" in found.summary
    found = judged(judge, {CAPACITY: narrow(), SIMPLE: beside(0.95), **splits(0.9, 0.9)})
    assert found.verdict is Verdict.WARN
    unpaired = {SIMPLE: beside(0.95, 300), **splits(0.4, 0.4)}
    assert judged(judge, {CAPACITY: narrow(), **unpaired}).verdict is Verdict.WARN


@pytest.mark.parametrize(
    ("strait", "words"),
    [
        (Strait("head", "in", 1, 9, "gru"), "Widen layer 'gru', or pool less of what it puts out"),
        (Strait("pool", "out", 4, 9, "conv"), "so that layer 'pool' passes on 9 numbers or more"),
        (Strait("body.0", "in", 1, 9, ""), "Average, pool or cut off less of the input"),
    ],
)
def test_advice_says_what_to_widen(judged, strait, words) -> None:
    found = judged(judge, {CAPACITY: narrow(strait=strait)})
    assert found.verdict is Verdict.WARN
    assert [place.name for place in found.where] == [strait.layer]
    assert words in found.advice[0]


def test_without_a_narrow_place_it_takes_a_checkpoint_that_is_behind(judged) -> None:
    wide = narrow(strait=None)
    found = judged(judge, {CAPACITY: wide, SIMPLE: beside(0.95), **splits(0.4, 0.4)})
    assert found.verdict is Verdict.WARN
    assert "which part holds them back is open" in found.summary
    assert not found.where
    assert "vanishing-gradients" in found.advice[0]
    assert "twice as wide" in found.advice[1]
    found = judged(judge, {CAPACITY: wide, SIMPLE: beside(0.95), **splits(0.9, 0.9)})
    assert found.verdict is Verdict.INFO
    assert not found.advice


def test_a_shortfall_below_the_limit_is_none(judged) -> None:
    found = judged(judge, {CAPACITY: narrow(longer_scores=right(0.94))})
    assert found.verdict is Verdict.PASS
    assert "not far apart" in found.summary


def test_a_shortfall_that_may_lie_below_the_limit_is_open(judged) -> None:
    found = judged(judge, {CAPACITY: narrow(longer_scores=right(0.84))})
    assert found.verdict is Verdict.INFO
    assert "far apart is not certain; 1,514" in found.summary


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"out_of_reach": False}, "their loss still falls"),
        ({"frozen": 300}, "300 parameters are frozen"),
        ({"strait": None}, "which part holds them back is open"),
    ],
)
def test_falling_behind_for_another_reason_than_size_is_told(judged, changes, words) -> None:
    found = judged(judge, {CAPACITY: narrow(**changes)})
    assert found.verdict is Verdict.INFO
    assert words in found.summary
    assert not found.where


def test_numbers_are_errors(judged) -> None:
    errors = np.full(200, 0.4)
    wide = fitted(
        metric="squared error",
        constant_error=1.0,
        true_scores=np.tile(errors, (5, 1)),
        random_scores=np.tile(errors, (5, 1)),
        linear_scores=errors / 10,
        longer_scores=errors,
        longer=falling(0.4, 600),
        out_of_reach=True,
        strait=Strait("squeeze", "out", 2, 3, "squeeze"),
    )
    found = judged(judge, {CAPACITY: wide})
    assert found.verdict is Verdict.WARN
    assert "a squared error of 0.4 at best" in found.summary
    assert found.where[0].name == "squeeze"
    assert judged(judge, {CAPACITY: replace(wide, strait=None)}).verdict is Verdict.INFO


def test_without_a_linear_model_the_reason_is_told(judged) -> None:
    alone = fitted(linear_scores=np.zeros(0), linear_missing="the targets repeat the inputs")
    found = judged(judge, {CAPACITY: alone})
    assert found.verdict is Verdict.PASS
    assert "no linear model stands beside them (the targets repeat the inputs)" in found.summary


def test_nothing_to_compare(judged) -> None:
    empty = np.zeros((0, 0))
    own = fitted(metric="", true_scores=empty, random_scores=empty, constant_error=np.nan)
    found = judged(judge, {CAPACITY: own})
    assert found.verdict is Verdict.PASS
    assert "3 times as long" in found.summary
    negative = replace(own, true=-own.true)
    assert judged(judge, {CAPACITY: negative}).verdict is Verdict.NOT_APPLICABLE
    lost = own.true.copy()
    lost[0, -1] = np.nan
    assert judged(judge, {CAPACITY: replace(own, true=lost)}).verdict is Verdict.NOT_APPLICABLE


def test_a_note_is_passed_on(judged) -> None:
    found = judged(judge, {CAPACITY: fitted(note="memory sufficed for 50% of each batch only")})
    assert found.summary.endswith("Memory sufficed for 50% of each batch only.")
