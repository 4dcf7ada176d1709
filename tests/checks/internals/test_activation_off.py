from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from auditor.checks.internals.activation_off import TRIAL, judge
from auditor.core.verdict import Verdict
from auditor.observations.activation_trial import ActivationTrial, Doubt
from auditor.observations.mended_copies import NOTHING, MendedCopies

MISSING = Doubt("missing", "a", "b")
STACKED = Doubt("stacked", "a", "b", ("act.0", "act.1"))
SOFTMAX = Doubt("softmax", "a", "b", ("act",))


def hits(share: float, seeds: int = 2, examples: int = 400) -> Any:
    right = np.arange(examples) < round(share * examples)
    return np.tile(right.astype(float), (seeds, 1))


def trial(*doubts: Doubt, before: float = 0.8, after: float = 0.8, **more: Any) -> ActivationTrial:
    copies = MendedCopies("accuracy", 200, hits(before), hits(after))
    return replace(ActivationTrial(3, doubts, False, copies if doubts else NOTHING), **more)


def errors(old: Any, new: Any) -> ActivationTrial:
    return trial(MISSING, copies=MendedCopies("squared error", 200, old, new))


def said(judged, found: ActivationTrial) -> Any:
    return judged(judge, {TRIAL: found})


def test_one_activation_each_passes(judged) -> None:
    assert said(judged, trial()).verdict is Verdict.PASS


def test_no_layer_behind_another_is_not_judged(judged) -> None:
    assert said(judged, trial(pairs=0)).verdict is Verdict.NOT_APPLICABLE


@pytest.mark.parametrize(
    ("after", "verdict"),
    [(0.7, Verdict.INFO), (0.81, Verdict.INFO), (0.87, Verdict.WARN), (0.98, Verdict.FAIL)],
)
@pytest.mark.parametrize("doubt", [MISSING, STACKED, SOFTMAX])
def test_what_mended_copies_gain_decides(judged, doubt, after: float, verdict) -> None:
    found = said(judged, trial(doubt, after=after))
    assert found.verdict is verdict
    assert bool(found.advice) is (verdict is not Verdict.INFO)


def test_a_gain_in_one_seed_alone_is_none(judged) -> None:
    mixed = np.stack([hits(0.99)[0], hits(0.79)[0]])
    copies = MendedCopies("accuracy", 200, hits(0.8), mixed)
    assert said(judged, trial(STACKED, copies=copies)).verdict is Verdict.INFO


def test_errors_are_better_where_they_are_lower(judged) -> None:
    rng = np.random.default_rng(0)
    large, small = rng.gamma(2, 1.0, (2, 300)), rng.gamma(2, 0.2, (2, 300))
    assert said(judged, errors(large, small)).verdict is Verdict.FAIL
    assert said(judged, errors(small, large)).verdict is Verdict.INFO


def test_a_linear_model_of_several_layers_fails_whatever_it_gains(judged) -> None:
    found = said(judged, trial(MISSING, linear=True))
    assert found.verdict is Verdict.FAIL
    assert "linear function of its inputs" in found.summary
    assert "between `a` and `b`" in found.advice[0]


def test_what_could_not_be_tried_is_told(judged) -> None:
    found = said(judged, trial(SOFTMAX, copies=replace(NOTHING, why="the model is too costly")))
    assert found.verdict is Verdict.INFO
    assert "too costly" in found.summary
    assert not found.metrics


def test_places_say_what_stands_there(judged) -> None:
    places = said(judged, trial(MISSING, STACKED, SOFTMAX)).where
    assert [(place.name, place.note) for place in places] == [
        ("a", "no activation before b"),
        ("act.1", "on top of act.0"),
        ("act", "a softmax between a and b"),
    ]


def test_copies_that_break_are_no_gain(judged) -> None:
    broken = np.full((2, 300), np.nan)
    assert said(judged, errors(np.ones((2, 300)), broken)).verdict is Verdict.INFO
