"""Hand-made runs on both sides of every limit."""

from dataclasses import replace

import numpy as np
import pytest

from auditor.checks.parameters.underfitted import CONTINUED, SETTINGS, TARGETS, TRAIN, judge
from auditor.core.check import Seen
from auditor.core.finding import Judgement
from auditor.core.request import Unavailable
from auditor.core.subject import TargetFacts
from auditor.core.verdict import Verdict
from auditor.observations.continued import Continued, ContinuedFrom, Progress, gains
from auditor.observations.performance import Performance
from auditor.observations.settings import ParameterGroup, Settings
from auditor.observations.targets import TargetsSeen

NONE = np.zeros((0, 0))


def progress(
    gain: float,
    freed: float | None = 0.0,
    *,
    before: float = 0.6,
    spread: float = 0.01,
    examples: int = 200,
    right: float = 0.0,
    scale: float = 2.0,
) -> Progress:
    """Return losses that fall by such shares of `scale`, and by `spread` more or less."""
    noise = np.resize([spread * scale, -spread * scale], examples)
    losses = np.full(examples, before * scale)
    declared = np.stack([losses - gain * scale + noise] * 2)
    loose = np.zeros((0, examples)) if freed is None else (losses - freed * scale + noise)[None]
    hits = np.resize([1.0, 0.0], examples)
    moved = np.clip(hits + right, 0, 1)
    return Progress(losses, declared, loose, hits, np.stack([moved] * 2), loose * 0 + moved, scale)


def found(train: Progress, val: Progress | None = None, **changes) -> Continued:
    made = Continued(
        unit="cross-entropy",
        train=train,
        val=train if val is None else val,
        declared_losses=np.linspace(1.2, 1.1, 32).reshape(2, 16),
        freed_losses=np.zeros((0, 0)),
        optimizer="SGD(lr=0.1)",
        rate=0.1,
        restored=True,
        note="",
        steps=16,
        planned=16,
    )
    return replace(made, **changes)


def scores(right: float, examples: int = 100) -> Performance:
    """Return an accuracy on two classes of equal size."""
    truth = np.arange(examples) % 2
    hits = np.asarray(np.arange(examples) < round(right * examples), float)
    return Performance(
        "accuracy",
        hits,
        np.where(hits, 0.1, 3.0),
        np.zeros(1),
        np.asarray([examples]),
        np.arange(examples),
        truth,
        np.ones(examples, int),
        np.zeros((0, 0)),
        "train",
    )


FACTS = TargetsSeen(TargetFacts("classes", 100, (0, 1), (51, 49)), "train")
ABSENT = Unavailable("not given")


def judged(given: Continued, train=ABSENT, settings=ABSENT) -> Judgement:
    seen = Seen({CONTINUED: given, TRAIN: train, TARGETS: FACTS, SETTINGS: settings})
    return judge(seen)


@pytest.mark.parametrize(
    ("gain", "verdict"),
    [
        (0.0, Verdict.PASS),
        (0.019, Verdict.PASS),
        (0.0205, Verdict.INFO),
        (0.025, Verdict.WARN),
        (0.19, Verdict.WARN),
        (0.21, Verdict.FAIL),
    ],
)
def test_the_limits_of_a_gain_as_declared(gain: float, verdict: Verdict) -> None:
    told = judged(found(progress(gain)))
    assert told.verdict is verdict, told.summary
    assert bool(told.where) == bool(told.advice) == (verdict in (Verdict.WARN, Verdict.FAIL))
    assert [figure.kind for figure in told.figures] == ["bars", "lines"]


def test_what_is_gained_on_one_split_alone_does_not_count() -> None:
    for train, val in ((0.3, 0.0), (0.0, 0.3)):
        told = judged(found(progress(train), progress(val)))
        assert told.verdict is Verdict.PASS
        assert not told.where


def test_a_gain_that_costs_right_answers_is_none() -> None:
    assert gains(found(progress(0.1)), "declared", 0.02)
    lost = found(progress(0.1), progress(0.1, right=-1.0))
    assert not gains(lost, "declared", 0.02)


def test_one_run_that_gains_nothing_keeps_the_others_from_proof() -> None:
    both = progress(0.1)
    worse = np.stack([both.declared[0], both.before + 0.1])
    assert not gains(found(replace(both, declared=worse)), "declared", 0.02)


def test_what_is_left_decides_whether_it_matters() -> None:
    told = judged(found(progress(0.05, before=0.09)))
    assert told.verdict is Verdict.INFO
    assert "only 9 % of a constant's loss was left" in told.summary
    assert judged(found(progress(0.05, before=0.11))).verdict is Verdict.WARN


def test_the_freed_copy_blames_the_optimizer() -> None:
    settings = Settings(
        "SGD", (ParameterGroup({"lr": 0.1, "weight_decay": 0.5}, (), 4),), epochs=10
    )
    told = judged(found(progress(0.0, 0.1)), settings=settings)
    assert told.verdict is Verdict.WARN
    (place,) = told.where
    assert place.name == "training.optimizer"
    assert place.note == "learning rate 0.1, weight decay 0.5"
    assert "not for want of steps" in told.summary


def faster(gain: float, before: float = 0.9, **changes) -> Progress:
    """Return losses that only a copy at a higher rate moved."""
    still = progress(0.0, before=before, **changes)
    moved = progress(0.0, gain, before=before, **changes)
    return replace(still, faster=moved.freed, right_faster=moved.right_freed)


def test_a_copy_at_a_higher_rate_blames_the_rate() -> None:
    at = {"faster_losses": np.ones((1, 16)), "faster_rate": 1.0}
    told = judged(found(faster(0.05), **at))
    assert told.verdict is Verdict.WARN
    (place,) = told.where
    assert (place.name, place.note) == (
        "training.optimizer.lr",
        "learning rate 0.1, held back: 1 gains",
    )
    assert "the same at a learning rate of 1 bring" in told.summary
    assert told.advice[0].startswith("Raise the learning rate to 1:")
    for train, val in ((0.05, 0.0), (0.0, 0.05), (0.01, 0.01)):
        quiet = judged(found(faster(train), faster(val), **at))
        assert quiet.verdict is Verdict.PASS
        assert not quiet.where
    noisy = judged(found(faster(0.05, spread=0.5), **at))
    assert noisy.verdict is Verdict.PASS
    assert "not certain" not in noisy.summary


def test_nothing_was_learnt_at_a_rate_too_low() -> None:
    told = judged(found(faster(0.05), faster_rate=1.0), scores(0.5))
    assert told.verdict is Verdict.FAIL
    assert [place.name for place in told.where] == ["training", "training.optimizer.lr"]


def test_too_few_epochs_are_counted() -> None:
    settings = Settings("SGD", epochs=3, per_epoch=40)
    told = judged(found(progress(0.1, None)), settings=settings)
    (place,) = told.where
    assert (place.name, place.note) == ("training.epochs", "3 epochs or 120 updates")
    assert "Train for 6 epochs at least, instead of 3" in told.advice[0]


def test_a_model_no_better_than_a_constant_in_training_fails() -> None:
    told = judged(found(progress(0.0)), scores(0.5))
    assert told.verdict is Verdict.FAIL
    assert "no better than a constant answer" in told.summary
    assert told.where[0].name == "training"
    assert judged(found(progress(0.0)), scores(0.9)).verdict is Verdict.PASS
    doubtful = judged(found(progress(0.0)), scores(0.56))
    assert doubtful.verdict is Verdict.INFO
    assert "not certain" in doubtful.summary


def test_few_examples_are_not_set_beside_a_constant() -> None:
    assert judged(found(progress(0.0)), scores(0.5, 18)).verdict is Verdict.PASS


def test_a_loss_of_ones_own_is_set_beside_no_constant() -> None:
    numbers = replace(
        scores(0.5), metric="squared error", entropies=np.zeros(0), target_values=np.ones((100, 1))
    )
    own = found(progress(0.0), unit="loss")
    assert judged(own, numbers).verdict is Verdict.PASS


def test_a_slow_fall_is_told_by_the_epoch() -> None:
    told = judged(found(progress(0.006, spread=0.001)), settings=Settings(per_epoch=160))
    assert told.verdict is Verdict.PASS
    assert "an epoch of 160 steps at this pace would bring 6 %" in told.summary


def test_few_steps_prove_nothing() -> None:
    told = judged(found(progress(0.0), steps=4))
    assert told.verdict is Verdict.INFO
    assert "only 4 of 16 steps" in told.summary
    assert judged(found(progress(0.1), steps=4)).verdict is Verdict.WARN


@pytest.mark.parametrize(("unit", "fewest"), [("cross-entropy", 20), ("loss", 4)])
def test_few_examples_prove_nothing(unit: str, fewest: int) -> None:
    told = judged(found(progress(0.3, examples=fewest - 1), unit=unit))
    assert told.verdict is Verdict.INFO
    assert f"only {fewest - 1}" in told.summary
    assert judged(found(progress(0.3, examples=fewest), unit=unit)).verdict is Verdict.FAIL


def test_a_declared_run_that_diverges_is_told() -> None:
    good = progress(0.0, 0.0)
    lost = replace(good, declared=good.declared * np.inf)
    told = judged(found(good, lost))
    assert told.verdict is Verdict.PASS
    assert "SGD(lr=0.1), its moments going on the loss is no longer finite" in told.summary


def test_an_open_gain_says_what_would_settle_it() -> None:
    told = judged(found(progress(0.03, spread=0.3)))
    assert told.verdict is Verdict.INFO
    assert "examples would settle it" in told.summary


def test_without_a_scale_nothing_is_judged() -> None:
    told = judged(found(replace(progress(0.1), scale=float("nan")), unit="loss"))
    assert told.verdict is Verdict.INFO
    assert "nor can a fresh model be built" in told.summary
    assert not told.figures
    bare = found(replace(progress(0.1), scale=float("nan")), unit="loss", fresh=0.5)
    assert "as if it had learnt nothing" in judged(bare).summary


def test_losses_that_are_not_finite() -> None:
    good = progress(0.1)
    after = judged(found(good, replace(good, declared=good.declared * np.nan, freed=NONE)))
    assert after.verdict is Verdict.INFO
    assert "no longer finite" in after.summary
    lost = replace(good, before=good.before * np.nan, declared=NONE, freed=NONE)
    assert judged(found(lost)).verdict is Verdict.NOT_APPLICABLE


def test_what_was_not_declared_is_told() -> None:
    told = judged(found(progress(0.1), note="no optimizer is declared", restored=False))
    assert "(no optimizer is declared)" in told.summary
    assert "moments" not in told.summary


def test_what_it_costs() -> None:
    request = ContinuedFrom()
    cost = request.cost({"train": 43, "val": 8})
    assert (cost.forwards, cost.backwards) == (95 + 14 * 6 + 7, 95)
    assert request.looked_at({"train": 43, "val": 8}) == {"train": 102, "val": 7}
