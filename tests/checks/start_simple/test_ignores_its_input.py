import math
from dataclasses import replace

import numpy as np
import pytest

from auditor.checks.start_simple.ignores_its_input import BLANK, REAL, TRAINED_ON, USE, judge
from auditor.core.request import Unavailable
from auditor.core.verdict import Verdict
from auditor.observations.input_use import InputUse
from tests.checks.start_simple.test_does_not_learn_in_short_run import RUNS, runs

ABSENT = Unavailable("no factory is given")
CHANCE = math.log(10)


def use(
    worse: float, spread: float = 0.5, examples: int = 400, level: float = 0.0, **changes
) -> dict:
    """Return losses near 0.6 over `level`; a constant gets 2.3."""
    rng = np.random.default_rng(3)
    own = level + rng.gamma(2.0, 0.3, examples)
    others = own + worse + spread * rng.standard_normal((4, examples))
    none = np.zeros(0)
    made = InputUse(
        own, others, "cross-entropy", "example", CHANCE, none, none, math.nan, examples, 10,
        examples, "val",
    )  # fmt: skip
    return {USE: replace(made, **changes), TRAINED_ON: ABSENT, REAL: ABSENT, BLANK: ABSENT}


def on_training_data(seen: dict) -> dict:
    return {TRAINED_ON: replace(seen[USE], split="train")}


def trained(real: float, blank: float, **changes) -> dict:
    return {
        REAL: runs(real, real, **changes)[RUNS],
        BLANK: runs(blank, blank, inputs="blank", **changes)[RUNS],
    }


@pytest.mark.parametrize(
    ("worse", "spread", "level", "verdict"),
    [
        (3.0, 0.5, 0.0, Verdict.PASS),
        (0.2, 0.5, 0.0, Verdict.PASS),
        (0.01, 0.01, 0.0, Verdict.FAIL),
        (-0.5, 0.5, 0.0, Verdict.FAIL),
        (0.0, 0.5, 2.0, Verdict.INFO),
        (0.0, 3.5, 2.0, Verdict.INFO),
        (0.0, 3.5, 6.0, Verdict.WARN),
        (0.0, 8.0, 6.0, Verdict.INFO),
    ],
)
def test_worsening(judged, worse: float, spread: float, level: float, verdict: Verdict) -> None:
    found = judged(judge, use(worse, spread, level=level))
    assert found.verdict is verdict, found.summary
    if verdict in (Verdict.WARN, Verdict.FAIL):
        assert {place.name for place in found.where} == {"model.checkpoint", "data.val"}


def test_losses_that_do_not_move_fail(judged) -> None:
    same = use(0.0, 0.0)
    found = judged(judge, same)
    assert found.verdict is Verdict.FAIL
    assert "not used at all" in found.summary
    one = {**same, USE: replace(same[USE], inputs=1)}
    assert judged(judge, one).where[0].name == "data.val"
    both = judged(judge, {**same, **trained(2.3, 2.3)})
    assert both.where[0].name == "model.factory"


def test_accuracy_tells_where_entropies_are_noisy(judged) -> None:
    rng = np.random.default_rng(4)
    wrong = (rng.random((5, 400)) < 0.9).astype(float)
    extra = {"wrong": wrong[0], "wrong_others": wrong[1:], "wrong_constant": 0.9}
    found = judged(judge, use(0.0, 8.0, level=6.0, **extra))
    assert found.verdict is Verdict.WARN
    assert "share of wrong answers" in found.summary
    able = {**extra, "wrong": np.zeros(400)}
    assert judged(judge, use(0.0, 8.0, **able)).verdict is Verdict.PASS


def test_predictions_that_never_vary_say_nothing(judged) -> None:
    majority = (np.arange(400) % 12 == 0).astype(float)
    alike = {"wrong": majority, "wrong_others": np.tile(majority, (4, 1)), "wrong_constant": 1 / 12}
    found = judged(judge, use(0.05, 1.0, level=1.5, **alike))
    assert found.verdict is Verdict.INFO, found.summary
    assert "would settle it" in found.summary


def test_a_loss_that_stands_still_while_answers_change_warns(judged) -> None:
    able = {"wrong": np.zeros(400), "wrong_others": np.ones((4, 400)), "wrong_constant": 0.9}
    found = judged(judge, use(0.0, 0.001, level=1.7, **able))
    assert found.verdict is Verdict.WARN
    assert [place.name for place in found.where] == ["model.checkpoint"]


def test_training_data_out_of_step_warn_though_validation_passes(judged) -> None:
    seen = use(3.0)
    lost = on_training_data(use(0.0, 0.01))
    found = judged(judge, {**seen, **lost})
    assert found.verdict is Verdict.WARN
    assert [place.name for place in found.where] == ["data.train"]
    assert "cross-entropy on training data" in found.metrics[1].name
    unsure = on_training_data(use(0.0, 0.5, level=2.0))
    assert judged(judge, {**seen, **unsure}).verdict is Verdict.PASS


def test_use_of_training_inputs_clears_the_checkpoint(judged) -> None:
    found = judged(judge, {**use(0.0, 0.01), **on_training_data(use(3.0))})
    assert found.verdict is Verdict.FAIL
    assert [place.name for place in found.where] == ["data.val"]


@pytest.mark.parametrize(
    ("changes", "verdict", "word"),
    [
        ({"targets": 1}, Verdict.NOT_APPLICABLE, "same target"),
        ({"own": np.full(400, math.nan)}, Verdict.NOT_APPLICABLE, "not finite"),
    ],
)
def test_what_can_not_be_judged(judged, changes: dict, verdict: Verdict, word: str) -> None:
    found = judged(judge, use(1.0, **changes))
    assert found.verdict is verdict
    assert word in found.summary


def test_few_examples_are_not_judged(judged) -> None:
    assert judged(judge, use(1.0, examples=12)).verdict is Verdict.INFO


def test_batches_are_judged_by_certainty_alone(judged) -> None:
    batches = {"metric": "loss", "per": "batch", "constant": math.nan}
    assert judged(judge, use(1.0, 0.1, examples=30, **batches)).verdict is Verdict.PASS
    assert judged(judge, use(0.0, 0.1, examples=30, **batches)).verdict is Verdict.INFO
    assert judged(judge, use(0.0, 0.0, examples=30, **batches)).verdict is Verdict.FAIL


def test_runs_that_are_the_same_on_zeros_warn(judged) -> None:
    found = judged(judge, {**use(3.0), **trained(2.3, 2.3)})
    assert found.verdict is Verdict.WARN
    assert found.where[0].name == "model.factory"
    found = judged(judge, {**use(3.0), **trained(2.3, 2.3, alike=True)})
    assert found.where[0].name == "data.train"


def test_runs_that_are_not_yet_better_are_not_held_against_the_checkpoint(judged) -> None:
    found = judged(judge, {**use(3.0), **trained(2.301, 2.3)})
    assert found.verdict is Verdict.PASS
    assert "not held against" in found.summary
    found = judged(judge, {**use(3.0), **trained(1.0, 2.3)})
    assert "57%" in found.summary or "56.5%" in found.summary


def test_missing_runs_are_told(judged) -> None:
    found = judged(judge, use(3.0))
    assert found.verdict is Verdict.PASS
    assert "no factory is given" in found.summary
