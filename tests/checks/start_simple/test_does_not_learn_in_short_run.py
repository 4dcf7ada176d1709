import math
from dataclasses import replace

import numpy as np
import pytest

from auditor.checks.start_simple.does_not_learn_in_short_run import BLANK, RUNS, judge
from auditor.core.figure import Lines
from auditor.core.request import Unavailable
from auditor.core.subject import TargetFacts
from auditor.core.verdict import Verdict
from auditor.observations.short_run import Run, ShortRuns

BALANCED = TargetFacts("classes", 100, tuple(range(10)), (10,) * 10)
ABSENT = Unavailable("not asked for")


def run(after: float, before: float = 2.4, factor: float = 1.0, spread: float = 0.002) -> Run:
    wobble = spread * np.linspace(-1, 1, 8)
    looks = np.asarray([before + 0 * wobble, (before + after) / 2 + wobble, after + wobble])
    return Run(factor, np.linspace(before, after, 100), looks)


def runs(*afters: float, others: tuple[Run, ...] = (), **changes) -> dict:
    made = ShortRuns(
        runs=tuple(run(after) for after in afters),
        others=others,
        steps=100,
        examples=32,
        batches=40,
        optimizer="SGD(lr=0.1)",
        learning_rate=0.1,
        instead="",
        loss="cross_entropy",
        targets=BALANCED,
        inputs="real",
        alike=False,
        split="train",
    )
    return {RUNS: replace(made, **changes), BLANK: ABSENT}


def test_a_loss_that_falls_passes(judged) -> None:
    found = judged(judge, runs(1.2, 1.3, 1.1))
    assert found.verdict is Verdict.PASS
    assert "2.4 to 1.2" in found.summary
    fall = found.metrics[0]
    assert fall.value == pytest.approx(0.5)
    assert fall.low < 0.5 < fall.high


def test_an_optimizer_of_ours_is_told(judged) -> None:
    assert "not named" in judged(judge, runs(1.0, instead="not named")).summary


@pytest.mark.parametrize("after", [2.4, 3.0])
def test_a_loss_that_does_not_fall_fails(judged, after: float) -> None:
    found = judged(judge, runs(after, after, after, others=(run(2.5, factor=10.0),)))
    if after > 2.4:
        assert found.verdict is Verdict.FAIL
        assert "a rise of 25%" in found.summary
        assert "No other learning rate" in found.summary
    else:
        assert found.verdict is Verdict.INFO  # the wobble is larger than the limit


def test_the_rate_that_works_is_named(judged) -> None:
    found = judged(judge, runs(3.0, 3.1, 3.0, others=(run(4.0, factor=10.0), run(1.0, factor=0.1))))
    assert found.verdict is Verdict.FAIL
    assert found.where[0].name == "training.optimizer.lr"
    assert "0.01" in found.advice[0]
    low = runs(others=(run(1.5, factor=10.0),), runs=(run(2.4, spread=0.0),) * 3)
    found = judged(judge, low)
    assert found.verdict is Verdict.FAIL
    assert "too small" in found.summary
    assert "about 1," in found.advice[0]


def test_nothing_that_changes_is_told(judged) -> None:
    found = judged(judge, runs(runs=(run(2.4, spread=0.0),) * 3))
    assert found.verdict is Verdict.FAIL
    assert "does not depend on what is trained" in found.summary


def test_a_small_fall_that_is_certain_passes(judged) -> None:
    found = judged(judge, runs(2.38, 2.38, 2.38, others=(run(1.8, factor=10.0),)))
    assert found.verdict is Verdict.PASS
    assert "At 10 times the learning rate, 1," in found.summary


def test_a_far_larger_rate_that_leaves_a_constant_behind_warns(judged) -> None:
    near = run(2.39, factor=10.0), run(2.399, factor=0.1)
    far = run(1.5, factor=1000.0)
    found = judged(judge, runs(2.395, 2.395, 2.395, others=(*near, far)))
    assert found.verdict is Verdict.WARN
    assert found.where[0].name == "training.optimizer.lr"
    assert "too small: at 1000 times the learning rate, 1e+02," in found.summary
    (curves,) = (figure for figure in found.figures if isinstance(figure, Lines))
    assert "1000 times" in [series.name for series in curves.series]
    weak = run(2.2, factor=1000.0)
    found = judged(judge, runs(2.395, 2.395, 2.395, others=(*near, weak)))
    assert found.verdict is Verdict.PASS
    found = judged(judge, runs(2.3, 2.3, 2.3, others=(*near, far)))
    assert found.verdict is Verdict.PASS


def test_a_smaller_rate_that_leaves_a_constant_behind_warns(judged) -> None:
    other = (run(1.5, factor=0.1),)
    found = judged(judge, runs(2.32, 2.32, 2.32, others=other))
    assert found.verdict is Verdict.WARN
    assert "too large" in found.summary
    assert judged(judge, runs(2.32, 2.32, 2.32, others=other, split="val")).verdict is Verdict.PASS
    cut = runs(2.32, 2.32, 2.32, others=other, note="each batch was cut to 8 examples")
    assert judged(judge, cut).verdict is Verdict.PASS


def test_a_rise_on_cut_batches_is_not_held_against_the_rate(judged) -> None:
    cut = runs(3.0, 3.0, others=(run(1.5, factor=0.1),), note="each batch was cut to 8 examples")
    found = judged(judge, cut)
    assert found.verdict is Verdict.INFO
    assert "cut" in found.summary


def test_a_constant_answer_that_blank_inputs_give_too_warns(judged) -> None:
    seen = runs(2.31, 2.31)
    found = judged(judge, {**seen, BLANK: replace(seen[RUNS], inputs="blank")})
    assert found.verdict is Verdict.WARN
    assert "constant" in found.where[0].note
    alike = replace(seen[RUNS], alike=True)
    found = judged(judge, {RUNS: alike, BLANK: alike})
    assert found.where[0].name == "data.train"
    blank = replace(seen[RUNS], runs=(run(2.305), run(2.305)))
    assert judged(judge, {**seen, BLANK: blank}).verdict is Verdict.PASS


def test_weights_that_know_the_task_show_nothing(judged) -> None:
    known = runs(runs=(run(0.06, before=0.05),) * 3)
    assert judged(judge, known).verdict is Verdict.INFO
    learns = runs(runs=(run(0.6, before=1.0),) * 3)
    assert judged(judge, learns).verdict is Verdict.PASS


def test_a_loss_that_is_lost_fails_at_its_step(judged) -> None:
    losses = np.asarray([2.4, 9.0, math.nan])
    gone = replace(run(math.nan), losses=losses)
    found = judged(judge, runs(runs=(gone, run(1.0)), others=(run(1.0, factor=0.1),)))
    assert found.verdict is Verdict.FAIL
    assert "step 3" in found.summary
    assert found.where[0].name == "training.optimizer.lr"
    found = judged(judge, runs(runs=(gone,), others=(replace(gone, factor=0.1),)))
    assert found.where[0].name == "loss"
    start = runs(runs=(run(1.0, before=math.nan),))
    assert "before the first step" in judged(judge, start).summary


def test_a_single_batch_is_compared_with_itself(judged) -> None:
    one = Run(1.0, np.linspace(2.4, 1.0, 100), np.asarray([[2.4], [1.5], [1.0]]))
    assert judged(judge, runs(runs=(one,))).verdict is Verdict.PASS


def test_a_loss_of_ones_own_has_no_constant(judged) -> None:
    found = judged(judge, runs(1.2, loss=""))
    assert found.verdict is Verdict.PASS
    assert math.isnan(next(m.value for m in found.metrics if "constant" in m.name))
