import math
from dataclasses import replace

import numpy as np
import pytest

from auditor.checks.start_simple.cannot_overfit_one_batch import TRIALS, judge
from auditor.core.verdict import Verdict
from auditor.observations.overfit import Fit, OverfitTrials, Unshown, seeds_for

CHANCE = math.log(10)


def fit(end: float = 0.1, *, seed: int = 0, examples: int = 16, steps: int = 120, **changes) -> Fit:
    """Return an attempt that has come to rest at `end`."""
    losses = end + (2.4 - end) * np.exp(-np.arange(steps) / 8)
    made = Fit(
        seed=seed,
        examples=examples,
        optimizer="SGD(lr=0.1)",
        factor=1.0,
        losses=losses,
        floor=0.0,
        near=0.115,
        constant=CHANCE,
        accuracy=1.0 if end < 0.2 else 0.1,
        best_accuracy=1.0,
        reached=end < 0.115,
    )
    return replace(made, **changes)


def trials(large: float = 0.1, small: float = 0.1, seeds: int = 3, **changes) -> dict:
    fits = [fit(large, seed=seed) for seed in range(seeds)]
    fits += [fit(small, seed=seed, examples=2) for seed in range(seeds)]
    made = OverfitTrials(
        fits=tuple(fits),
        floor="0 for class labels",
        few=2,
        many=16,
        values=16,
        parameters=5000,
        tensors=4,
        silent=(),
        silent_after=(),
        silent_share=0.0,
        cut_off=(),
        probabilities=False,
        outputs=10,
        loss="cross_entropy",
        optimizer="SGD(lr=0.1)",
        learning_rate=0.1,
        instead="",
        clipped=False,
        read=200,
        different=200,
        labels=10,
        validation=np.tile([1.0, 0, 0, 0, 0], 120),
        shown=0.2,
        unshown=None,
        split="train",
    )
    return {TRIALS: replace(made, **changes)}


def test_models_that_learn_pass(judged) -> None:
    found = judged(judge, trials())
    assert found.verdict is Verdict.PASS
    assert "120 steps of SGD(lr=0.1)" in found.summary
    assert "0 for class labels" in found.summary


def test_an_optimizer_of_ours_is_told(judged) -> None:
    found = judged(judge, trials(instead="no optimizer is declared"))
    assert found.verdict is Verdict.PASS
    assert "no optimizer is declared" in found.summary


def adam(**changes) -> Fit:
    return fit(optimizer="Adam(lr=0.001)", factor=math.nan, **changes)


def with_adam(declared: Fit, *rescues: Fit) -> dict:
    rest = [adam(seed=seed) for seed in (1, 2)]
    few = [adam(seed=seed, examples=2) for seed in range(3)]
    return trials(fits=(declared, adam(), *rescues, *rest, *few))


def test_a_rate_ten_times_smaller_is_named(judged) -> None:
    rescue = fit(optimizer="SGD(lr=0.01)", factor=0.1)
    found = judged(judge, with_adam(fit(2.2), rescue))
    assert found.verdict is Verdict.WARN
    assert found.where[0].name == "training.optimizer.lr"
    assert "10 times smaller" in found.summary
    assert "0.01" in found.advice[0]


@pytest.mark.parametrize("losses", [[2.4, 5.0, math.inf], [2.4] * 200])
def test_a_declared_optimizer_that_gets_nowhere_warns(judged, losses: list[float]) -> None:
    declared = fit(losses=np.asarray(losses), accuracy=0.1, reached=False)
    found = judged(judge, with_adam(declared))
    assert found.verdict is Verdict.WARN
    assert found.where[0].name == "training.optimizer"


def test_a_declared_optimizer_that_is_slow_does_not_warn(judged) -> None:
    slow = fit(losses=np.linspace(2.4, 2.2, 200), accuracy=0.1, reached=False)
    found = judged(judge, with_adam(slow))
    assert found.verdict is Verdict.PASS
    assert "takes longer" in found.summary


def test_more_known_than_shown_is_a_leak(judged) -> None:
    knowing = trials(validation=np.tile([1.0, 1, 1, 1, 0], 120))
    found = judged(judge, knowing)
    assert found.verdict is Verdict.WARN
    assert "shown" in found.summary
    few = trials(validation=np.tile([1.0, 1, 1, 1, 0], 3))
    assert judged(judge, few).verdict is Verdict.PASS


def test_an_easy_task_of_two_classes_is_told_not_judged(judged) -> None:
    found = judged(judge, trials(validation=np.ones(600), shown=1.0))
    assert found.verdict is Verdict.PASS
    assert "easy" in found.summary


def test_models_that_know_before_the_first_step_show_nothing(judged) -> None:
    known = {k: replace(v, fits=tuple(replace(f, losses=f.losses[-1:]) for f in v.fits))
             for k, v in trials().items()}  # fmt: skip
    assert judged(judge, known).verdict is Verdict.INFO


def test_weights_that_are_mostly_never_trained_warn(judged) -> None:
    silent = ("body.0.weight", "body.0.bias")
    changes = {"silent": silent, "silent_after": silent}
    found = judged(judge, trials(**changes, silent_share=0.8))
    assert found.verdict is Verdict.WARN
    assert [place.name for place in found.where] == list(silent)
    assert judged(judge, trials(**changes, silent_share=0.2)).verdict is Verdict.PASS


CUT = {
    "silent": ("body.0.weight", "body.0.bias", "spare.weight"),
    "silent_after": ("body.0.weight", "body.0.bias", "spare.weight"),
    "silent_share": 0.2,
    "cut_off": ("body.0.weight", "body.0.bias"),
}
SLOW = np.exp(-np.arange(200) / 150) * 2.4


@pytest.mark.parametrize(
    "changes",
    [
        {},  # all learnt
        {"fits": tuple(fit(seed=n, losses=SLOW, reached=False) for n in range(3))},  # falling
        {"fits": tuple(fit(seed=n, losses=SLOW[:40], reached=False) for n in range(3))},  # costly
        {"fits": (fit(), *(fit(1.0, seed=n) for n in (1, 2)))},  # some learnt
        {"fits": tuple(fit(0.9, seed=n) for n in range(3)), "floor_known": False},
    ],
    ids=["all", "falling", "costly", "some", "unknown floor"],
)
def test_what_is_cut_off_is_named_however_it_came_out(judged, changes) -> None:
    without = judged(judge, trials(**changes))
    found = judged(judge, trials(**changes, **CUT))
    assert found.verdict is Verdict.WARN
    assert found.summary.startswith(without.summary)
    assert "2 of 4 parameters get no gradient, though the loss hangs on them: in body.0" in (
        found.summary
    )
    assert [place.name for place in found.where[:2]] == list(CUT["cut_off"])
    assert "Follow the output back from the loss to `body.0`" in found.advice[0]
    assert any(m.name == "weights without a gradient" and m.limit for m in found.metrics)


def test_what_is_cut_off_is_named_once(judged) -> None:
    found = judged(judge, trials(2.3, 2.3, **CUT))
    assert found.verdict is Verdict.FAIL
    assert found.summary.count("no gradient") == 1


def unshown(*accuracies: float, alike: bool = False, trained: bool = False) -> Unshown:
    return Unshown(accuracies, 200, 0.5, alike, trained)


KNOWN = [0.95] * seeds_for(2)


@pytest.mark.parametrize(
    ("before", "verdict"),
    [
        (unshown(*KNOWN), Verdict.WARN),
        (unshown(*KNOWN[1:], 0.4), Verdict.PASS),
        (unshown(*KNOWN[1:], 0.78), Verdict.PASS),  # not beyond doubt
        (unshown(*KNOWN[1:]), Verdict.INFO),  # too few to rule luck out
        (unshown(*KNOWN, alike=True), Verdict.INFO),
        (unshown(*KNOWN, alike=True, trained=True), Verdict.WARN),
        (unshown(0.4), Verdict.PASS),
    ],
)
def test_what_two_classes_are_known_by_before_the_first_step(judged, before, verdict) -> None:
    found = judged(judge, trials(outputs=2, shown=1.0, unshown=before))
    assert found.verdict is verdict
    assert ("before the first step they get" in found.summary) == (verdict is not Verdict.PASS)
    assert bool(found.where) == bool(found.advice) == (verdict is Verdict.WARN)


def test_how_many_fresh_models_rule_luck_out() -> None:
    assert [seeds_for(outputs) for outputs in (None, 1, 2, 3, 10, 1000)] == [7, 7, 7, 5, 2, 1]


def test_models_that_know_before_the_first_step_are_told(judged) -> None:
    at_once = tuple(replace(f, losses=f.losses[-1:]) for f in trials()[TRIALS].fits)
    known = trials(fits=at_once, unshown=unshown(0.9, 0.9), outputs=10)
    found = judged(judge, known)
    assert found.verdict is Verdict.WARN
    assert "hands out weights that know the task" in found.summary
    leak = trials(fits=at_once, validation=np.tile([1.0, 1, 1, 1, 0], 120))
    assert judged(judge, leak).verdict is Verdict.WARN


def test_the_attempt_made_once_more_has_a_name_of_its_own(judged) -> None:
    fits = (fit(2.3), adam(losses=np.full(200, 2.3)), adam(losses=np.full(600, 2.3)))
    found = judged(judge, trials(fits=fits))
    names = [series.name for series in found.figures[0].series]
    assert names == ["SGD 0.1 (declared)", "Adam 0.001", "Adam 0.001, longer"]


@pytest.mark.parametrize(
    ("end", "verdict"), [(2.3, Verdict.FAIL), (1.3, Verdict.FAIL), (0.5, Verdict.WARN)]
)
def test_models_that_do_not_learn(judged, end: float, verdict: Verdict) -> None:
    found = judged(judge, trials(end, end))
    assert found.verdict is verdict
    assert "No fresh model" in found.summary


def test_outputs_that_start_far_off_are_told(judged) -> None:
    far = fit(1.5, losses=1.5 + 38.5 * np.exp(-np.arange(120) / 8))
    found = judged(judge, trials(fits=(far, fit(1.5, examples=2))))
    assert "The first loss is 17.4 times that of the best constant" in found.summary
    assert "Standardise the inputs" in found.advice[0]


def test_two_examples_learnt_soften_the_verdict(judged) -> None:
    assert judged(judge, trials(1.5, 0.1)).verdict is Verdict.WARN
    assert judged(judge, trials(1.5, 0.1, parameters=100)).verdict is Verdict.INFO


def test_parameters_without_gradient_are_named(judged) -> None:
    found = judged(judge, trials(2.3, 2.3, silent=("a.weight", "a.bias", "b.weight", "b.bias")))
    assert "No parameter gets a gradient" in found.summary
    found = judged(judge, trials(2.3, 2.3, silent=("a.weight",)))
    assert "1 of 4 parameters get no gradient" in found.summary
    assert found.where[0].name == "a.weight"
    found = judged(judge, trials(2.3, 2.3, silent_after=("a.weight",)))
    assert "in the end" in found.summary


def test_what_may_still_come_is_not_judged(judged) -> None:
    falling = trials()[TRIALS]
    curve = np.exp(-np.arange(200) / 150) * 2.4
    slow = tuple(replace(f, losses=curve, accuracy=0.5, reached=False) for f in falling.fits)
    assert judged(judge, trials(fits=slow)).verdict is Verdict.INFO
    short = tuple(replace(f, losses=np.full(40, 2.4), accuracy=0.1, reached=False) for f in slow)
    found = judged(judge, trials(fits=short))
    assert found.verdict is Verdict.INFO
    assert "costly" in found.summary
    assert judged(judge, trials(2.3, 2.3, parameters=10)).verdict is Verdict.INFO


def test_where_one_model_learns_and_the_others_are_on_their_way_nothing_is_judged(judged) -> None:
    few = tuple(fit(seed=n, examples=2) for n in range(3))
    slow = [fit(seed=n, losses=SLOW, reached=False) for n in (1, 2)]
    found = judged(judge, trials(fits=(fit(), *slow, *few)))
    assert found.verdict is Verdict.INFO
    assert "1 of 3 fresh models came to know 16 examples, 3 of 3 two; the loss" in found.summary
    stuck = fit(1.0, seed=2)
    found = judged(judge, trials(fits=(fit(), slow[0], stuck, *few)))
    assert found.verdict is Verdict.WARN
    assert "hangs on its first weights" in found.summary


def test_a_softmax_applied_twice_is_named(judged) -> None:
    stuck = tuple(replace(f, accuracy=1.0) for f in trials(1.4612, 1.4612)[TRIALS].fits)
    found = judged(judge, trials(fits=stuck))
    assert found.verdict is Verdict.WARN
    assert "1.4612" in found.summary
    assert "softmax" in found.advice[0]
    other = tuple(replace(f, accuracy=1.0) for f in trials(0.6, 0.6)[TRIALS].fits)
    found = judged(judge, trials(fits=other))
    assert found.verdict is Verdict.WARN
    assert "softmax" not in found.summary


def test_first_weights_that_decide(judged) -> None:
    fits = trials()[TRIALS].fits
    lost = replace(fits[1], losses=fits[1].losses + 1, reached=False)
    one = judged(judge, trials(fits=(fits[0], lost, *fits[2:])))
    assert one.verdict is Verdict.INFO
    two = (fits[0], lost, replace(lost, seed=2), *fits[3:])
    assert judged(judge, trials(fits=two)).verdict is Verdict.WARN
    assert judged(judge, trials(fits=two, parameters=100)).verdict is Verdict.INFO


def test_inputs_that_are_all_the_same(judged) -> None:
    found = judged(judge, trials(fits=(), different=1))
    assert found.verdict is Verdict.FAIL
    assert found.where[0].name == "data.train"
    assert judged(judge, trials(fits=(), different=1, labels=1)).verdict is Verdict.NOT_APPLICABLE


def test_a_loss_that_is_never_finite_fails(judged) -> None:
    fits = tuple(
        replace(f, losses=np.asarray([2.4, math.nan]), accuracy=math.nan, reached=False)
        for f in trials()[TRIALS].fits
    )
    found = judged(judge, trials(fits=fits))
    assert found.verdict is Verdict.FAIL
    assert "not finite" in found.summary


def test_a_loss_of_unknown_floor_that_falls_is_told_and_not_judged(judged) -> None:
    unknown = {"floor": "not known for this loss", "floor_known": False}
    found = judged(judge, trials(large=0.9, small=0.9, **unknown))
    assert found.verdict is Verdict.INFO
    assert "How low this loss can come is not known" in found.summary
    found = judged(judge, trials(large=2.3, small=2.3, **unknown))
    assert found.verdict in (Verdict.WARN, Verdict.FAIL)
