from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from auditor.checks.start_simple.capacity_off import CAPACITY, SIMPLE, TRAIN, VAL, judge
from auditor.core.request import Unavailable
from auditor.core.verdict import Verdict
from auditor.observations.baselines import SimpleModel, SimpleModels
from auditor.observations.capacity import Capacity
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
        layers=("enter", "squeeze"),
        widths=(64, 32),
        outputs=10,
    )
    return replace(usual, **changes)


def narrow(**changes: Any) -> Capacity:
    """Return copies that a linear model leaves far behind, however long they are trained."""
    usual = fitted(
        true_scores=np.tile(right(0.3), (5, 1)),
        random_scores=np.tile(right(0.15), (5, 1)),
        longer_scores=right(0.5),
        longer=falling(1.5, 600),
        out_of_reach=True,
        widths=(64, 1),
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
        ({"slower": 1.5}, (1.0, 0.5)),  # not beyond doubt as fast
        ({"random_scores": np.tile(right(0.3), (5, 1))}, (1.0, 0.5)),  # not learnt
        ({}, (0.95, 0.9)),  # no gap beyond doubt
        ({"all_counted": False}, (1.0, 0.5)),  # there may be many more targets
    ],
)
def test_each_part_of_the_evidence_for_too_large_is_needed(judged, changes, scores) -> None:
    changes = {"parameters": 1_000_000, "slower": 1.05, **changes}
    found = judged(judge, {CAPACITY: fitted(**changes), **splits(*scores)})
    assert found.verdict is Verdict.PASS


def test_a_straddling_interval_says_how_many_seeds(judged) -> None:
    spread = np.array([0.6, 0.8, 1.0, 1.2, 1.5])[:, None]
    large = fitted(parameters=1_000_000, slower=1.25)
    wavering = replace(large, random=large.true * 1.25 * spread)
    found = judged(judge, {CAPACITY: wavering, **splits(1.0, 0.5)})
    assert found.verdict is Verdict.PASS
    assert "Whether they learn true targets any faster is not certain; 23 seeds" in found.summary
    above = judged(judge, {CAPACITY: fitted(parameters=1_000_000), **splits(1.0, 0.5)})
    assert "not certain" not in above.summary


def test_no_gap_is_told_from_few_examples_or_none(judged) -> None:
    large = fitted(parameters=1_000_000, slower=1.05)
    for answers in ({}, splits(1.0, 0.5, 19), {TRAIN: Unavailable("no training data")}):
        found = judged(judge, {CAPACITY: large, **answers})
        assert found.verdict is Verdict.PASS
        assert "a gap of" not in found.summary


def test_a_layer_that_lets_too_little_through_is_named(judged) -> None:
    found = judged(judge, {CAPACITY: narrow()})
    assert found.verdict is Verdict.WARN
    assert [place.name for place in found.where] == ["squeeze"]
    assert "layer 'squeeze' passes on 1 number, too few for 10 outputs" in found.summary
    assert "from 1 to 10" in found.advice[0]
    assert found.figures[-1].labels == ("fresh copies", "trained longer", "linear model")


def test_a_checkpoint_that_is_as_far_behind_fails(judged) -> None:
    found = judged(judge, {CAPACITY: narrow(), SIMPLE: beside(0.95), **splits(0.4, 0.4)})
    assert found.verdict is Verdict.FAIL
    assert "The checkpoint itself is as far behind" in found.summary
    found = judged(judge, {CAPACITY: narrow(), SIMPLE: beside(0.95), **splits(0.9, 0.9)})
    assert found.verdict is Verdict.WARN
    unpaired = {SIMPLE: beside(0.95, 300), **splits(0.4, 0.4)}
    assert judged(judge, {CAPACITY: narrow(), **unpaired}).verdict is Verdict.WARN


def test_a_shortfall_below_the_limit_is_none(judged) -> None:
    found = judged(judge, {CAPACITY: narrow(longer_scores=right(0.9))})
    assert found.verdict is Verdict.PASS
    assert "not far apart" in found.summary


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"out_of_reach": False}, "their loss still falls"),
        ({"frozen": 300}, "300 parameters are frozen"),
        ({"widths": (64, 9)}, "not size that holds them back"),
        ({"widths": (), "layers": ()}, "not size that holds them back"),
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
        outputs=3,
        true_scores=np.tile(errors, (5, 1)),
        random_scores=np.tile(errors, (5, 1)),
        linear_scores=errors / 10,
        longer_scores=errors,
        longer=falling(0.4, 600),
        out_of_reach=True,
        widths=(64, 2),
    )
    found = judged(judge, {CAPACITY: wide})
    assert found.verdict is Verdict.WARN
    assert "a squared error of 0.4 at best" in found.summary
    assert found.where[0].name == "squeeze"
    assert judged(judge, {CAPACITY: replace(wide, widths=(64, 3))}).verdict is Verdict.INFO


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
