from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from auditor.checks.start_simple.idle_block import ABLATIONS, FEWEST, judge
from auditor.core.figure import Bars, Lines, Table
from auditor.core.finding import Judgement
from auditor.core.verdict import Verdict
from auditor.observations.ablation import Ablations, InertBlock
from tests.checks.conftest import Judged

NAMES = ("stem", "blocks.0", "blocks.1", "head")
CONSTANT = 2.3


def seen(
    *costs: float, parameters: tuple[int, ...] = (10, 40, 40, 10), examples: int = 400, **more: Any
) -> Ablations:
    """Return a model of loss near 0.3 that is right in nine cases of ten.

    Each block costs a share of what it gains over a constant.
    """
    rng = np.random.default_rng(0)
    entropies = rng.uniform(0.2, 0.4, examples)
    scores = (np.arange(examples) % 10 > 0).astype(float)
    gain = CONSTANT - entropies.mean()
    noise = rng.normal(0, 0.002, (len(costs), examples))
    rises = np.asarray(costs)[:, None] * gain + noise
    order = np.arange(examples) % 100
    without = np.stack([np.where(order < 100 * min(max(c, 0), 0.8), 0.0, scores) for c in costs])
    told = Ablations(
        blocks=NAMES[: len(costs)],
        parameters=parameters[: len(costs)],
        ways=("identity",) * len(costs),
        inert=(),
        metric="accuracy",
        scores=scores,
        entropies=entropies,
        without_scores=without,
        without_entropies=entropies + rises,
        constant_score=0.1,
        constant_entropy=CONSTANT,
        piles=(),
        without_piles=np.zeros((0, examples)),
        all_parameters=sum(parameters),
        skipped=0,
        broke=(),
        split="val",
    )
    told = replace(told, **more)
    piles = told.cheapest()
    together = [told.losses + rises[list(piles[:k])].sum(axis=0) for k in range(1, len(piles) + 1)]
    return replace(
        told, piles=piles, without_piles=np.stack(together) if piles else told.without_piles
    )


def judgement(judged: Judged, told: Ablations) -> Judgement:
    return judged(judge, {ABLATIONS: told})


def test_blocks_that_earn_their_place_pass(judged: Judged) -> None:
    said = judgement(judged, seen(0.5, 0.1, 0.2, 1.0))
    assert said.verdict is Verdict.PASS
    assert "4 provably earn their place" in said.summary
    assert [type(figure) for figure in said.figures] == [Bars, Table]


def test_one_idle_block_of_few_weights_is_no_fault(judged: Judged) -> None:
    said = judgement(judged, seen(0.5, 0.0, 0.2, 1.0, parameters=(45, 10, 40, 5)))
    assert said.verdict is Verdict.PASS
    assert "blocks.0 is idle" in said.summary
    assert not said.where


def test_a_block_that_costs_certainly_next_to_nothing_is_idle_alone(judged: Judged) -> None:
    said = judgement(judged, seen(0.5, 0.003, 0.2, 1.0, parameters=(45, 10, 40, 5)))
    assert "3 provably earn their place. blocks.0 is idle" in said.summary
    (table,) = (figure for figure in said.figures if isinstance(figure, Table))
    assert [row[1] for row in table.rows] == ["earns", "idle", "earns", "earns"]


def test_the_table_shows_what_the_metric_loses_with_its_interval(judged: Judged) -> None:
    told = seen(0.5, 0.1, 0.2, 1.0)
    (table,) = (f for f in judgement(judged, told).figures if isinstance(f, Table))
    falls = told.without_scores[2] - told.scores
    half = 1.966 * falls.std(ddof=1) / 20
    low, high = falls.mean() - half, falls.mean() + half
    assert table.rows[2][5] == f"{falls.mean():.2g} ({low:.2g} to {high:.2g})"


def test_idle_blocks_of_many_weights_warn(judged: Judged) -> None:
    said = judgement(judged, seen(0.5, 0.0, 0.002, 1.0))
    assert said.verdict is Verdict.WARN
    assert {place.name for place in said.where} == {"blocks.0", "blocks.1"}
    assert any(isinstance(figure, Lines) for figure in said.figures)


def test_blocks_that_are_idle_only_apart_do_not_warn(judged: Judged) -> None:
    told = seen(0.5, 0.0, 0.002, 1.0)
    costly = np.stack([told.without_piles[0], told.losses + 0.3])
    said = judgement(judged, replace(told, without_piles=costly, parameters=(70, 10, 10, 10)))
    assert said.verdict is Verdict.PASS


def test_what_few_examples_leave_open_is_not_idle(judged: Judged) -> None:
    told = seen(0.5, 0.0, 0.0, 1.0)
    wide = np.random.default_rng(1).normal(0, 0.5, told.without_entropies.shape)
    wide -= wide.mean(axis=1, keepdims=True)
    said = judgement(judged, replace(told, without_entropies=told.without_entropies + wide))
    assert said.verdict is Verdict.PASS
    assert "Not decided: blocks.0, blocks.1" in said.summary
    assert "would settle it" in said.summary


def test_nothing_decided_is_information(judged: Judged) -> None:
    told = seen(0.1, 0.1, 0.1, 0.1, examples=FEWEST)
    wide = np.random.default_rng(1).normal(0, 5.0, told.without_entropies.shape)
    said = judgement(judged, replace(told, without_entropies=told.without_entropies + wide))
    assert said.verdict is Verdict.INFO


def test_a_block_that_harms_warns(judged: Judged) -> None:
    told = seen(0.5, -0.2, 0.2, 1.0)
    better = told.without_scores.copy()
    better[1] = 1.0
    said = judgement(judged, replace(told, without_scores=better))
    assert said.verdict is Verdict.WARN
    assert [place.name for place in said.where] == ["blocks.0"]
    assert "accuracy is 1 instead of 0.9" in said.summary


@pytest.mark.parametrize("reason", ["constant", "identity", "dropped", "unused"])
def test_a_block_without_effect_warns(judged: Judged, reason: Any) -> None:
    inert = (InertBlock("blocks.0", "Linear", 40, reason),)
    said = judgement(judged, seen(0.5, 0.1, 0.2, 1.0, inert=inert))
    assert said.verdict is Verdict.WARN
    assert said.where[0].name == "blocks.0"
    few = judgement(judged, seen(0.5, 0.1, 0.2, 1.0, inert=inert, examples=5))
    assert few.verdict is Verdict.WARN


def test_too_few_examples_are_information(judged: Judged) -> None:
    said = judgement(judged, seen(0.5, 0.1, 0.2, 1.0, examples=FEWEST - 1))
    assert said.verdict is Verdict.INFO
    assert str(FEWEST) in said.summary


def test_a_model_no_better_than_a_constant_is_not_judged(judged: Judged) -> None:
    said = judgement(judged, seen(0.5, 0.1, 0.2, 1.0, constant_entropy=0.1))
    assert said.verdict is Verdict.NOT_APPLICABLE
    assert "constant" in said.summary


def test_scores_that_are_not_finite_are_not_judged(judged: Judged) -> None:
    told = seen(0.5, 0.1, 0.2, 1.0)
    said = judgement(judged, replace(told, entropies=np.full_like(told.entropies, np.nan)))
    assert said.verdict is Verdict.NOT_APPLICABLE


def test_errors_are_judged_like_losses(judged: Judged) -> None:
    told = seen(0.5, 0.1, 0.2, 1.0)
    none = np.zeros((4, 0))
    regression = replace(
        told,
        metric="squared error",
        scores=told.entropies,
        without_scores=told.without_entropies,
        entropies=np.zeros(0),
        without_entropies=none,
        constant_score=CONSTANT,
    )
    said = judgement(judged, regression)
    assert said.verdict is Verdict.PASS
    assert "4 provably" in said.summary
