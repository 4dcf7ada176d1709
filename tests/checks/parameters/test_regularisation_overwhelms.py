"""Regularisation against data: each limit from both sides, and each reason not to judge."""

import math
from dataclasses import replace

import numpy as np
import pytest

from auditor.checks.parameters.regularisation_overwhelms import PULLS, SETTINGS, TRAIN, VAL, judge
from auditor.core.check import Seen
from auditor.core.finding import Judgement
from auditor.core.request import Unavailable
from auditor.core.verdict import Verdict
from auditor.observations.performance import Performance
from auditor.observations.regularisation import Regularisation, Released, SlopeCheck
from auditor.observations.regularisation_gain import gain_of
from auditor.observations.settings import ParameterGroup, Settings

NOTHING = np.zeros(0)
TWO = ("body.weight", "head.bias")


def pulls(decay: float = 0.0, **changes) -> Regularisation:
    """Return two parameters whose fresh |w|² is 16 and 4; the fresh loss is 1."""
    made = Regularisation(
        parameters=TWO,
        elements=np.asarray([100.0, 4.0]),
        decays=np.full(2, decay),
        decoupled=False,
        unknown="",
        hidden=np.zeros(2),
        alike=np.zeros(2),
        form="",
        terms=(),
        worth=0.0,
        weights=np.asarray([4.0, 2.0]),
        data=np.asarray([0.5, 0.1]),
        fresh_weights=np.asarray([4.0, 2.0]),
        fresh_data=np.asarray([0.5, 0.1]),
        free=np.zeros(2, bool),
        data_loss=0.1,
        fresh_loss=1.0,
        released=None,
        no_release="too light",
        slope=SlopeCheck(1.0, 1.0),
        batches=2,
        split="train",
    )
    return replace(made, **changes)


def released(share: float, noise: float = 0.01, **changes) -> Released:
    """Return a race in which this share of the loss goes at the second point of the line."""
    rng = np.random.default_rng(1)
    held = rng.uniform(0.5, 1.5, 100)
    freed = [held - t * held.mean() * share + noise * rng.standard_normal(100) for t in (0.5, 1.0)]
    made = Released(
        start="checkpoint",
        steps=8,
        optimizer="SGD at 0.1",
        measure="cross-entropy",
        times=np.asarray([0.0, 1.0, 3.0]),
        losses=np.stack([held, *freed]),
        scores=np.asarray([0.8, 0.85, 0.9]),
    )
    return replace(made, **changes)


def performance(score: float, split: str = "val") -> Performance:
    examples = 50
    return Performance(
        metric="accuracy",
        scores=np.full(examples, score),
        entropies=np.full(examples, 0.1),
        losses=np.asarray([0.1]),
        batch_examples=np.asarray([examples]),
        target_example=np.arange(examples),
        target_class=np.arange(examples) % 2,
        target_count=np.ones(examples, int),
        target_values=np.zeros((0, 0)),
        split=split,
    )


def judged(
    found: Regularisation, settings: Settings | None = None, **performances: Performance
) -> Judgement:
    known = {TRAIN: performances.get("train"), VAL: performances.get("val")}
    answers = {PULLS: found, SETTINGS: settings or Settings(optimizer="SGD")}
    none = Unavailable("no training data")
    return judge(Seen({**answers, **{k: v or none for k, v in known.items()}}))


def test_a_usual_decay_passes() -> None:
    said = judged(pulls(5e-4))
    assert said.verdict is Verdict.PASS
    assert "0.005 of a fresh network's data loss" in said.summary
    assert not said.where
    assert not said.advice


@pytest.mark.parametrize(("decay", "verdict"), [(0.0099, Verdict.PASS), (0.0101, Verdict.INFO)])
def test_the_weight_has_to_be_a_tenth(decay: float, verdict: Verdict) -> None:
    said = judged(pulls(decay, no_release="no training data is given"))
    assert said.verdict is verdict
    if verdict is Verdict.INFO:
        assert "no training data is given" in said.summary


@pytest.mark.parametrize(
    ("share", "verdict"),
    [(0.03, Verdict.INFO), (0.08, Verdict.WARN), (0.45, Verdict.WARN), (0.6, Verdict.FAIL)],
)
def test_copies_have_to_gain_by_being_freed(share: float, verdict: Verdict) -> None:
    said = judged(pulls(0.05, released=released(share)))
    assert said.verdict is verdict
    if verdict is not Verdict.INFO:
        assert said.where[0].name == "training.optimizer.weight_decay"
        assert said.where[0].kind == "setting"
        assert said.where[1].name == "head.bias"  # 0.05 * 2 / 0.1 against 0.05 * 4 / 0.5
        assert "0.001" in said.advice[0]
        assert "3 times as far" in said.summary


def test_a_gain_in_the_noise_is_no_harm() -> None:
    said = judged(pulls(0.05, released=released(0.08, noise=2.0)))
    assert said.verdict is Verdict.INFO
    assert "not lower beyond doubt" in said.summary


def test_a_gain_of_a_light_decay_is_not_blamed_on_it() -> None:
    assert judged(pulls(1e-4, released=released(0.3))).verdict is Verdict.PASS


@pytest.mark.parametrize(("size", "verdict"), [(0.49, Verdict.FAIL), (0.51, Verdict.INFO)])
def test_shrunk_and_ignorant_fails(size: float, verdict: Verdict) -> None:
    weights = size * np.asarray([4.0, 2.0])
    said = judged(pulls(0.05, weights=weights, data_loss=0.95))
    assert said.verdict is verdict


@pytest.mark.parametrize(("loss", "verdict"), [(0.89, Verdict.INFO), (0.91, Verdict.FAIL)])
def test_ignorant_is_what_costs_as_much_as_a_fresh_network(loss: float, verdict: Verdict) -> None:
    assert judged(pulls(0.05, weights=np.ones(2) * 0.1, data_loss=loss)).verdict is verdict


@pytest.mark.parametrize(("decay", "verdict"), [(0.19, Verdict.INFO), (0.21, Verdict.WARN)])
def test_a_heavy_decay_and_shrunk_weights_are_enough(decay: float, verdict: Verdict) -> None:
    assert judged(pulls(decay, weights=np.ones(2))).verdict is verdict


def test_decoupled_decay_is_told_in_full_steps() -> None:
    found = pulls(10.0, decoupled=True)
    # The root of 10² (16 + 4) over 104 weights.
    assert found.weight == pytest.approx(10 * math.sqrt(20 / 104))
    assert found.pulls(fresh=True) == pytest.approx([10 * 4 / 10, 10 * 2 / 2])
    said = judged(replace(found, released=released(0.2)), Settings(optimizer="AdamW"))
    assert said.verdict is Verdict.WARN
    assert "beside the gradient" in said.summary
    assert 'group["weight_decay"] = 0.02' in said.advice[0]


def test_weights_of_no_scale_are_left_out() -> None:
    found = pulls(0.05, free=np.asarray([True, False]))
    assert found.weight == pytest.approx(0.05 * 4 / 2)
    said = judged(replace(found, released=released(0.3)))
    assert "body.weight" not in [place.name for place in said.where]


def test_a_penalty_in_the_loss_is_named_by_its_term() -> None:
    hidden = pulls(
        1e-4,
        hidden=np.asarray([0.8, 0.4]),
        alike=np.asarray([0.2, 0.2]),
        form="square",
        terms=("l2",),
        worth=2.0,
        released=released(0.2),
    )
    assert hidden.weight == pytest.approx(2.0 + 0.001)
    said = judged(hidden)
    assert said.verdict is Verdict.WARN
    assert [place.name for place in said.where][:2] == ["loss.l2", "head.bias"]
    assert "like a weight decay of 0.2" in said.summary
    assert "0.005" in said.advice[0]
    assert len([step for step in said.advice if "weight_decay" in step]) == 1


def test_absolute_penalties_are_weighed() -> None:
    found = pulls(hidden=np.ones(2), alike=np.full(2, 0.01), form="absolute", terms=("loss",))
    assert found.weight == pytest.approx(0.01 * (4 * 10 + 2 * 2))


def test_of_another_penalty_its_value_is_told() -> None:
    found = pulls(
        hidden=np.ones(2), alike=np.full(2, math.nan), form="other", terms=("loss",), worth=0.4
    )
    assert found.weight == pytest.approx(0.4)
    said = judged(replace(found, no_release="the penalty is of another form"))
    assert said.verdict is Verdict.INFO
    assert "another form" in said.summary


def test_no_decay_at_all_passes_and_points_at_the_gap() -> None:
    said = judged(pulls(), train=performance(1.0, "train"), val=performance(0.9))
    assert said.verdict is Verdict.PASS
    assert "accuracy 1 and 0.9" in said.summary
    assert "`overfitted`" in said.summary


def test_an_unknown_decay_is_told_without_a_verdict() -> None:
    found = pulls(math.nan, unknown="no optimizer is declared or saved")
    said = judged(found)
    assert said.verdict is Verdict.INFO
    assert "no optimizer is declared or saved" in said.summary


@pytest.mark.parametrize(("size", "verdict"), [(0.09, Verdict.WARN), (0.11, Verdict.INFO)])
def test_an_unknown_decay_is_guessed_from_what_it_leaves(size: float, verdict: Verdict) -> None:
    weights = size * np.asarray([4.0, 2.0])
    said = judged(pulls(math.nan, unknown="not declared", weights=weights, data_loss=1.0))
    assert said.verdict is verdict


def test_settings_may_know_what_the_experiment_does_not() -> None:
    groups = (
        ParameterGroup({"weight_decay": 0.5}, ("body.weight",), 1),
        ParameterGroup({"weight_decay": 0.0}, ("head.bias",), 1),
    )
    said = judged(pulls(math.nan), Settings(optimizer="SGD", groups=groups))
    assert "0.5" in said.summary
    assert said.metrics[2].value == pytest.approx(4.0)


def test_a_penalty_that_can_not_be_looked_for_is_no_pass() -> None:
    said = judged(pulls(untold="the loss does not take such outputs"))
    assert said.verdict is Verdict.INFO
    assert "does not take such outputs" in said.summary


def test_without_a_factory_the_copies_decide() -> None:
    bare = pulls(0.05, fresh_weights=NOTHING, fresh_data=NOTHING, fresh_loss=math.nan)
    assert judged(replace(bare, released=released(0.01))).verdict is Verdict.PASS
    assert judged(replace(bare, released=released(0.2))).verdict is Verdict.WARN
    assert judged(replace(bare, released=None)).verdict is Verdict.INFO


def test_a_wrong_slope_is_passed_on() -> None:
    said = judged(pulls(5e-4, slope=SlopeCheck(1.0, 1.5)))
    assert "`wrong-gradients`" in said.summary
    assert "wrong-gradients" not in judged(pulls(5e-4)).summary


def test_the_gain_is_the_surest_and_shared_among_the_points() -> None:
    gain = gain_of(released(0.2), np.random.default_rng(0))
    assert gain is not None
    assert gain.time == 3.0
    assert gain.low < gain.usual[0] < gain.share < gain.usual[1] < gain.high
    assert (gain.before, gain.after) == (0.8, 0.9)


def test_points_that_are_not_finite_are_left_out() -> None:
    race = released(0.2)
    race.losses[2] = np.inf
    gain = gain_of(race, np.random.default_rng(0))
    assert gain is not None
    assert gain.time == 1.0
    race.losses[0] = np.nan
    assert gain_of(race, np.random.default_rng(0)) is None


def test_few_batches_are_not_resampled() -> None:
    race = released(0.2)
    few = replace(race, losses=race.losses[:, :3])
    gain = gain_of(few, np.random.default_rng(0))
    assert gain is not None
    assert gain.high - gain.low > 0.01
