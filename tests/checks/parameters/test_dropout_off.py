"""Dropout: each limit from both sides, and each reason not to judge."""

import math
from dataclasses import replace

import numpy as np
import pytest

from auditor.checks.parameters.dropout_off import DROPOUT, TRAIN, VAL, judge
from auditor.core.check import Seen
from auditor.core.finding import Judgement
from auditor.core.request import Unavailable
from auditor.core.verdict import Verdict
from auditor.observations.dropout import Dropout, DropoutSite, WithoutDropout


def site(rate: float = 0.2, **changes) -> DropoutSite:
    made = DropoutSite("body.drop", "Dropout", rate, training=True, evaluation=False)
    return replace(made, **changes)


def dropout(*sites: DropoutSite, on: float = 0.2, off: float = 0.1, **changes) -> Dropout:
    """Return dropout at some places; one answer to all costs 1."""
    made = Dropout(
        sites=sites,
        plain=np.full(2, off),
        dropped=np.full((4, 2), on),
        evaluated=np.full(2, off),
        constant=1.0,
        spread=0.1,
        flips=True,
        examples=64,
        split="train",
        raced=None,
        no_race="dropout takes too little away",
    )
    return replace(made, **changes)


def race(train: float, val: float, noise: float = 0.01, other: float | None = None):
    """Return two pairs of copies that lose these shares of their losses without dropout."""
    rng = np.random.default_rng(2)
    held = rng.uniform(0.5, 1.5, (2, 64))
    shares = np.asarray([train, train if other is None else other])[:, None]

    def freed(share) -> np.ndarray:
        return (
            held - share * held.mean(axis=1, keepdims=True) + noise * rng.standard_normal((2, 64))
        )

    return WithoutDropout(
        steps=5,
        optimizer="Adam at 0.001",
        measure="cross-entropy",
        train_with=held,
        train_without=freed(shares),
        val_with=held,
        val_without=freed(val),
        scores=np.full((2, 2, 2), 0.5),
    )


def judged(found: Dropout) -> Judgement:
    none = Unavailable("no validation data")
    return judge(Seen({DROPOUT: found, TRAIN: none, VAL: none}))


def test_a_model_without_dropout_is_not_judged() -> None:
    said = judged(dropout())
    assert said.verdict is Verdict.NOT_APPLICABLE
    assert said.summary == "Nothing in the model drops."


def test_usual_dropout_passes_and_is_told() -> None:
    said = judged(dropout(site()))
    assert said.verdict is Verdict.PASS
    assert "11% of what it is ahead of a constant answer" in said.summary
    assert "10.0% of the predictions" in said.summary


def test_dropout_left_on_fails_and_is_named() -> None:
    left = site(evaluation=True)
    said = judged(dropout(site(layer="head.drop"), left, evaluated=np.full(2, 0.15)))
    assert said.verdict is Verdict.FAIL
    assert [place.name for place in said.where] == ["body.drop"]
    assert "0.15, and 0.1 with dropout off" in said.summary
    assert 'get_submodule("body.drop")' in said.advice[0]


@pytest.mark.parametrize(
    ("kind", "flag"),
    [
        ("functional.dropout", "training=self.training"),
        ("functional.scaled_dot_product_attention", "dropout_p=0.2 if self.training else 0.0"),
    ],
)
def test_a_function_is_told_its_flag(kind: str, flag: str) -> None:
    said = judged(dropout(site(kind=kind, evaluation=True)))
    assert flag in said.advice[0]
    assert len(said.advice) == 2


def test_a_rate_of_one_fails() -> None:
    said = judged(dropout(site(1.0)))
    assert said.verdict is Verdict.FAIL
    assert "everything" in said.summary


@pytest.mark.parametrize(
    ("rate", "on", "verdict"),
    [
        (0.89, 0.32, Verdict.INFO),
        (0.9, 0.32, Verdict.INFO),
        (0.9, 0.33, Verdict.WARN),
        (0.89, 0.33, Verdict.INFO),
    ],
)
def test_a_high_rate_warns_where_it_takes_a_quarter_away(rate, on, verdict) -> None:
    said = judged(dropout(site(rate), on=on))
    assert said.verdict is verdict
    if verdict is Verdict.WARN:
        assert said.where[0].name == "body.drop"
        assert "`p=0.1`" in said.advice[0]


@pytest.mark.parametrize(
    ("off", "verdict"), [(0.49, Verdict.INFO), (0.51, Verdict.WARN), (0.91, Verdict.WARN)]
)
def test_a_high_rate_warns_where_little_was_learnt(off: float, verdict: Verdict) -> None:
    assert judged(dropout(site(0.95), on=off, off=off)).verdict is verdict


def test_it_fails_where_copies_begin_to_learn_without_it() -> None:
    found = dropout(site(0.95), on=0.95, off=0.95)
    assert judged(replace(found, raced=race(0.05, 0.0))).verdict is Verdict.FAIL
    assert judged(replace(found, raced=race(0.05, 0.0, other=-0.05))).verdict is Verdict.WARN


def test_dropout_on_answers_warns_and_on_features_is_told() -> None:
    last = site(at="output")
    said = judged(dropout(last))
    assert said.verdict is Verdict.WARN
    assert said.where[0].note == "rate 0.2 on the outputs"
    assert judged(dropout(last, answers=False)).verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("train", "val", "off", "verdict"),
    [
        (0.15, 0.08, 0.26, Verdict.WARN),
        (0.08, 0.08, 0.26, Verdict.PASS),
        (0.15, 0.04, 0.26, Verdict.PASS),
    ],
)
def test_an_underfitting_network_gains_on_both_splits(train, val, off, verdict) -> None:
    sites = site(0.6), site(0.3, layer="head")
    said = judged(dropout(*sites, on=0.3, off=off, raced=race(train, val)))
    assert said.verdict is verdict
    if verdict is Verdict.WARN:
        assert [place.name for place in said.where] == ["body.drop", "head"]
        assert "0.6 to 0.2" in said.advice[0]
    else:
        assert "not beyond doubt" in said.summary


def test_a_network_that_fits_is_told_and_not_warned() -> None:
    said = judged(dropout(site(0.6), on=0.3, off=0.24, raced=race(0.15, 0.08)))
    assert said.verdict is Verdict.PASS
    assert "learn faster" in said.summary


@pytest.mark.parametrize(
    ("rate", "off", "train", "verdict"),
    [
        (0.9, 0.11, 0.15, Verdict.WARN),
        (0.9, 0.09, 0.15, Verdict.PASS),
        (0.9, 0.11, 0.08, Verdict.PASS),
        (0.89, 0.11, 0.15, Verdict.PASS),
    ],
)
def test_an_extreme_rate_is_blamed_before_a_usual_one(rate, off, train, verdict) -> None:
    """Shortcuts and width let a network learn that gains by what it drops all the same."""
    said = judged(dropout(site(rate), on=off + 0.01, off=off, raced=race(train, 0.08)))
    assert said.verdict is verdict
    assert ("holds back" in said.summary) is (verdict is Verdict.WARN)


def test_both_pairs_have_to_gain_and_beyond_doubt() -> None:
    unfit = dropout(site(), on=0.5, off=0.4)
    assert judged(replace(unfit, raced=race(0.2, 0.1))).verdict is Verdict.WARN
    assert judged(replace(unfit, raced=race(0.2, 0.1, other=0.0))).verdict is Verdict.PASS
    assert judged(replace(unfit, raced=race(0.2, 0.1, noise=5.0))).verdict is Verdict.PASS


def test_what_has_no_effect_is_told() -> None:
    idle = site(0.4, layer="rnn", kind="LSTM", at="idle")
    said = judged(dropout(idle, plain=np.zeros(0), dropped=np.zeros((0, 0))))
    assert said.verdict is Verdict.INFO
    assert "one layer only" in said.summary
    said = judged(dropout(site(), site(layer="spare", training=False, at="unused")))
    assert "`spare` never ran" in said.summary
    assert "drops inputs" in judged(dropout(site(at="input"))).summary


def test_without_a_loss_it_does_not_pass() -> None:
    found = dropout(site(), plain=np.zeros(0), dropped=np.zeros((4, 0)), constant=math.nan)
    said = judged(found)
    assert said.verdict is Verdict.INFO
    assert "can't be told" in said.summary


def test_what_could_not_be_measured_is_told() -> None:
    found = dropout(site(), plain=np.zeros(0), dropped=np.zeros((0, 0)), untold="RuntimeError: x")
    said = judged(found)
    assert said.verdict is Verdict.INFO
    assert "RuntimeError: x" in said.summary


def test_losses_that_are_not_finite_are_no_pass() -> None:
    assert judged(dropout(site(), on=math.nan, off=math.nan)).verdict is Verdict.INFO


@pytest.mark.parametrize(("rate", "verdict"), [(0.49, Verdict.PASS), (0.5, Verdict.INFO)])
def test_what_copies_could_not_prove_is_told(rate: float, verdict: Verdict) -> None:
    said = judged(dropout(site(rate), no_race="no training data is given"))
    assert said.verdict is verdict
    assert ("no training data is given" in said.summary) == (verdict is Verdict.INFO)


def test_numbers_spread_relative_to_the_examples() -> None:
    said = judged(dropout(site(), flips=False, spread=0.5))
    assert "spread by 0.5 of what they do over examples" in said.summary
