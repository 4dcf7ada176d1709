from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from auditor.checks.tracking.claims_do_not_hold import (
    CLAIMS,
    PERFORMANCE,
    PREDICTIONS,
    SPLITS,
    judge,
)
from auditor.core.request import Unavailable
from auditor.core.verdict import Verdict
from auditor.observations.claims import Claims
from auditor.observations.splits import SplitsSeen
from tests.checks.tracking.test_data_changed import PART, split
from tests.observations.test_claimed import performance
from tests.predictions import drawn, predicted


def scored(right: int, of: int = 1000) -> Any:
    """Return so many examples, one target each, of which so many are right."""
    return performance(
        scores=(np.arange(of) < right).astype(float),
        entropies=np.full(of, 0.3),
        losses=np.full(20, 0.3),
        batch_examples=np.full(20, of // 20),
        target_example=np.arange(of),
        target_class=np.arange(of) % 2,
        target_count=np.ones(of, int),
    )


def seen(
    declared: dict[str, float],
    right: int = 900,
    recorded: dict[str, float] | None = None,
    but: dict | None = None,
) -> dict:
    logits, truth = drawn(1000, 3, 2.0)
    return {
        CLAIMS: Claims(declared, recorded or {}),
        PERFORMANCE: scored(right),
        PREDICTIONS: predicted(logits, truth),
        SPLITS: SplitsSeen({"val": split()}),
        **(but or {}),
    }


@pytest.mark.parametrize(
    ("claims", "verdict"),
    [
        ({"accuracy": 0.9}, Verdict.PASS),
        ({"accuracy": 90}, Verdict.PASS),
        ({"accuracy": 0.92}, Verdict.PASS),
        ({"accuracy": 0.93}, Verdict.WARN),
        ({"accuracy": 0.97}, Verdict.FAIL),
        ({"acc": 97.0}, Verdict.FAIL),
        ({"accuracy": 0.8}, Verdict.INFO),
        ({"error": 0.1}, Verdict.PASS),
        ({"error": 0.05}, Verdict.FAIL),
        ({"error": 0.2}, Verdict.INFO),
        ({"log_loss": 0.3}, Verdict.PASS),
        ({"log_loss": 0.2}, Verdict.FAIL),
        ({"loss": 0.5}, Verdict.INFO),
        ({"accuracy": 0.9, "log_loss": 0.2}, Verdict.FAIL),
    ],
)
def test_claims_are_held_against_what_is_measured(judged, claims: dict, verdict: Verdict) -> None:
    found = judged(judge, seen(claims))
    assert found.verdict is verdict, found.summary
    assert len(found.metrics) == len(claims)


def test_a_claim_is_missed_only_beyond_rounding_and_doubt(judged) -> None:
    """900 of 1,000: at 99 % up to 0.9233, and 0.928 rounds to 0.93."""
    assert judged(judge, seen({"accuracy": 0.9235})).verdict is Verdict.WARN
    assert judged(judge, seen({"accuracy": 0.92})).verdict is Verdict.PASS
    many = judged(judge, seen({f"{'val_' * n}accuracy": 0.9235 for n in range(20)}))
    assert many.verdict is Verdict.PASS


def test_says_what_is_missed_where_and_what_holds(judged) -> None:
    found = judged(judge, seen({"accuracy": 0.97, "error": 0.05, "top2": 0.5}))
    assert "`accuracy`, claimed as 0.97, is 0.9 (95 % interval 0.8797" in found.summary
    assert [place.name for place in found.where] == ["claims.error", "claims.accuracy"]
    assert '"accuracy": 0.9' in found.advice[-1]
    assert {figure.kind for figure in found.figures} == {"table", "bars"}
    metric = found.metrics[0]
    assert metric.limit is not None
    assert metric.limit.fail == pytest.approx(0.965)


def test_a_metric_that_is_not_known_is_named_and_not_judged(judged) -> None:
    found = judged(judge, seen({"accurcy": 0.9}))
    assert found.verdict is Verdict.NOT_APPLICABLE
    assert "accurcy is no metric that can be measured here (nearest: `accuracy`)" in found.summary
    both = judged(judge, seen({"BLEU": 30.0, "accuracy": 0.9}))
    assert both.verdict is Verdict.PASS
    assert "Not judged: BLEU" in both.summary


def test_what_the_task_does_not_have_is_not_judged(judged) -> None:
    found = judged(judge, seen({"rmse": 0.9}))
    assert found.verdict is Verdict.NOT_APPLICABLE
    assert "the task is no regression" in found.summary


def test_what_the_checkpoint_records_is_told(judged) -> None:
    missed = judged(judge, seen({}, recorded={"metrics.best_acc": 97.1}))
    assert missed.verdict is Verdict.INFO
    assert "recorded in the checkpoint as 0.971, is 0.9" in missed.summary
    assert not missed.where
    held = judged(judge, seen({}, recorded={"val_acc": 0.9}))
    assert held.verdict is Verdict.PASS


def test_a_part_of_the_data_does_not_fail(judged) -> None:
    part = {SPLITS: SplitsSeen({"val": split(**PART)})}
    found = judged(judge, seen({"accuracy": 0.97}, but=part))
    assert found.verdict is Verdict.WARN
    assert "Only the first 64 of 400 batches" in found.summary


def test_other_units_are_thought_of(judged) -> None:
    assert "unless the units are others" in judged(judge, seen({"log_loss": 30.0})).summary


def test_nothing_is_claimed(judged) -> None:
    found = judged(judge, seen({}))
    assert found.verdict is Verdict.NOT_APPLICABLE
    assert "Nothing is claimed" in found.summary


def test_nothing_can_be_measured(judged) -> None:
    none = Unavailable("no loss is named")
    found = judged(judge, seen({"accuracy": 0.9}, but={PERFORMANCE: none, PREDICTIONS: none}))
    assert found.verdict is Verdict.NOT_APPLICABLE
    assert "no loss is named" in found.summary


def test_few_examples(judged) -> None:
    found = judged(judge, seen({"accuracy": 0.97}, but={PERFORMANCE: scored(5, 20)}))
    assert found.verdict is Verdict.FAIL
    few = replace(scored(5, 20), scores=np.ones(19))
    found = judged(judge, seen({"accuracy": 0.97}, but={PERFORMANCE: few}))
    assert found.verdict is Verdict.NOT_APPLICABLE


def test_a_model_of_nan_reaches_no_claim(judged) -> None:
    lost = replace(scored(900), scores=np.full(1000, np.nan), entropies=np.full(1000, np.nan))
    found = judged(judge, seen({"accuracy": 0.9, "log_loss": 0.3}, but={PERFORMANCE: lost}))
    assert found.verdict is Verdict.FAIL
    assert len(found.where) == 2


def test_hostile_names(judged) -> None:
    found = judged(judge, seen({"acc\u202e\n```": 0.9, "accuracy": 0.97}))
    assert "\u202e" not in found.summary
    assert "\n" not in found.summary


def test_the_limit_can_be_set(judged) -> None:
    limit = replace(judge.limits["shortfall"], fail=0.0)
    found = judged(judge, seen({"accuracy": 0.93}), {"shortfall": limit})
    assert found.verdict is Verdict.FAIL
