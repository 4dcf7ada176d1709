"""Which remedies are tried, in which rounds, and when one has helped."""

from dataclasses import replace

import numpy as np
import pytest

from auditor.core.finding import Metric, Place
from auditor.core.request import Failed
from auditor.core.verdict import Verdict
from auditor.diagnosis import trials
from auditor.diagnosis.trying import MOST, compared, effect, helped
from auditor.observations.treatment import TreatmentOver, Tried
from tests.diagnosis.test_causes import (
    DEAD,
    INPUTS,
    RESCALED,
    REVIVED,
    finding,
    loss_finding,
    tried,
)

FRESH, KEPT = TreatmentOver(), TreatmentOver(start="checkpoint")
WHOLE = RESCALED.together(REVIVED)


def all_rounds(findings, score) -> list[tuple[TreatmentOver, ...]]:
    """Return what is tried round by round, where `score` tells how each trial comes out."""
    answers, rounds = {}, []
    while wanted := trials(findings, answers, 0):
        assert not answers.keys() & {*wanted}
        rounds.append(wanted)
        answers |= {request: score(request) for request in wanted}
    return rounds


def test_each_remedy_is_tried_alone_against_copies_without_it() -> None:
    assert trials((INPUTS,), {}, 0) == (FRESH, RESCALED)
    assert set(trials((INPUTS, DEAD), {}, 0)) == {FRESH, RESCALED, KEPT, REVIVED}


def test_nothing_more_is_tried_where_one_remedy_explains_all() -> None:
    def score(request: TreatmentOver) -> Tried:
        return tried(0.9 if request.rescaled else 0.2)

    assert len(all_rounds((INPUTS, DEAD), score)) == 1


def test_two_faults_that_hide_each_other_are_tried_together_and_each_beside_the_other() -> None:
    def score(request: TreatmentOver) -> Tried:
        return tried(0.9 if request.rescaled and request.anew else 0.1)

    first, second = all_rounds((INPUTS, DEAD), score)
    assert set(first) == {FRESH, RESCALED, KEPT, REVIVED}
    assert set(second) == {WHOLE, replace(REVIVED, start="fresh")}
    assert (WHOLE.start, WHOLE.rescaled, WHOLE.anew) == ("fresh", True, "a.bias")
    assert REVIVED.together(RESCALED) == WHOLE


def test_a_rate_is_tried_alone_and_never_beside_other_remedies() -> None:
    """The right one depends on what else is mended: beside others it would show nothing."""
    place = Place("setting", "training.optimizer.lr", "too high")
    off = finding("learning-rate-off", Verdict.FAIL, place)
    rounds = all_rounds((INPUTS, DEAD, off), lambda request: tried(0.1))
    paced = [request for wanted in rounds for request in wanted if request.paced]
    assert paced
    assert all(request == replace(request.blank, times=request.times) for request in paced[:1])
    assert not any(request.paced for request in rounds[1])


def test_what_no_finding_shows_is_tried_alone_and_never_beside_other_remedies() -> None:
    unlearnt = finding("no-better-than-baseline")
    rounds = all_rounds((INPUTS, DEAD, unlearnt), lambda request: tried(0.1))
    assert TreatmentOver(times=0.033) in rounds[0]
    assert WHOLE in rounds[1]


def test_what_a_check_has_tried_itself_is_tried_with_the_others_alone() -> None:
    loss = loss_finding(-0.1, 0.9)
    assert trials((loss,), {}, 0) == ()
    rounds = all_rounds((loss, INPUTS), lambda request: tried(0.1))
    bare = TreatmentOver(bare=True)
    assert bare not in rounds[0]
    assert replace(RESCALED, bare=True) in rounds[1]


def test_a_trial_that_breaks_ends_no_round() -> None:
    rounds = all_rounds((INPUTS, DEAD), lambda request: Failed("killed"))
    assert 1 <= len(rounds) <= 2


def test_many_causes_make_a_bounded_number_of_trials() -> None:
    rate = (Metric("lowest recommended", 0.01),)
    many = (
        INPUTS,
        DEAD,
        replace(finding("learning-rate-off", Verdict.FAIL,
                        Place("setting", "training.optimizer.lr", "too high")), metrics=rate),
        finding("regularisation-overwhelms"),
        finding("dropout-off"),
        finding("exploding-gradients"),
        finding("stale-batch-norm"),
        finding("initial-loss-off-chance", Verdict.FAIL, Place("setting", "data", "targets of")),
    )  # fmt: skip
    rounds = all_rounds(many, lambda request: tried(0.1))
    everything = [request for wanted in rounds for request in wanted]
    assert len(everything) == len(set(everything)) <= MOST
    assert all(request.controls[0] in everything for request in everything if request.rescaled)


def test_the_rate_that_a_finding_recommends_is_the_one_tried() -> None:
    place = Place("setting", "training.optimizer.lr", "too high")
    rate = (Metric("recommended to begin with", 0.0123),)
    off = replace(finding("learning-rate-off", Verdict.FAIL, place), metrics=rate)
    (wanted,) = all_rounds((off,), lambda request: tried(0.1))[:1]
    assert wanted == (FRESH, TreatmentOver(rate=0.012))


@pytest.mark.parametrize("helps", [True, False])
def test_what_does_as_well_is_tried_last(helps: bool) -> None:
    place = Place("setting", "training.optimizer.lr", "too high")
    rate = (Metric("recommended to begin with", 0.0123),)
    off = replace(finding("learning-rate-off", Verdict.FAIL, place), metrics=rate)
    rounds = all_rounds((off,), lambda r: tried(0.9 if helps and r != FRESH else 0.1))
    assert rounds[1:] == [(TreatmentOver(clip_norm=1.0),)]


def test_a_fallback_is_tried_where_the_first_did_not_help_beside_copies_of_its_rate() -> None:
    fallback, paced = TreatmentOver(rescaled=True, times=10.0), TreatmentOver(times=10.0)
    assert fallback.controls == (FRESH, paced)
    assert all_rounds((INPUTS,), lambda r: tried(0.1))[1:] == [(paced, fallback)]
    assert len(all_rounds((INPUTS,), lambda r: tried(0.9 if r.rescaled else 0.1))) == 1


@pytest.mark.parametrize(("paced", "expected"), [(0.1, True), (0.9, False)])
def test_a_fallback_gets_no_credit_for_what_its_rate_does_alone(
    paced: float, expected: bool
) -> None:
    fallback = TreatmentOver(rescaled=True, times=10.0)
    answers = dict(zip((*fallback.controls, fallback), map(tried, (0.2, paced, 0.9)), strict=True))
    found = effect(fallback, answers, 0)
    assert found is not None
    assert found.helped is expected
    assert found.before is answers[FRESH]


def scores(before: float, after: float, runs: int = 3) -> tuple[Tried, Tried]:
    return tried(before, runs), tried(after, runs)


@pytest.mark.parametrize(
    ("pair", "expected"),
    [
        (scores(0.2, 0.9), True),
        (scores(0.9, 0.2), False),
        (scores(0.5, 0.5), False),
        (scores(0.50, 0.52), False),
        (tuple(replace(one, higher=False) for one in scores(0.9, 0.2)), True),
        ((Tried("loss", False, "", np.full((1, 8), np.inf)),
          Tried("loss", False, "", np.ones((1, 8)))), True),
        ((Tried("loss", False, "", np.ones((1, 8))),
          Tried("loss", False, "", np.full((1, 8), np.nan))), False),
        ((Tried("loss", False, "", np.ones((2, 1))),
          Tried("loss", False, "", np.zeros((2, 1)))), False),
        ((tried(0.2, 1), tried(0.9)), True),
    ],
    ids=["better", "worse", "same", "hardly", "lower", "diverged", "diverges", "one-example",
         "one-run-before"],
)  # fmt: skip
def test_a_remedy_has_helped_where_every_run_and_the_interval_say_so(
    pair: tuple[Tried, Tried], expected: bool
) -> None:
    assert helped(*pair, np.random.default_rng(0)) is expected


def test_one_run_that_got_worse_is_enough_for_doubt() -> None:
    good, bad = scores(0.2, 0.9), scores(0.9, 0.85, runs=1)
    before, after = (
        replace(one, scores=np.concatenate([one.scores, other.scores]))
        for one, other in zip(good, bad, strict=True)
    )
    assert not helped(before, after, np.random.default_rng(0))


def test_scores_by_different_measures_are_not_compared() -> None:
    one, other = tried(0.2), replace(tried(0.9), measure="loss")
    assert compared(one, other, 0) is None
    assert compared(one, Failed("killed"), 0) is None
