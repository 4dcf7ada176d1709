from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from auditor.checks.tracking.worse_than_before import ACCEPTED, PERFORMANCE, SPLITS, judge
from auditor.core.figure import Bars
from auditor.core.verdict import Verdict
from auditor.observations.earlier import Earlier
from auditor.observations.example_scores import scores_of
from auditor.observations.performance import Performance
from auditor.observations.splits import SplitsSeen

COUNT = 1000


def performance(right: Any, loss: float = 0.3, hashes: Any = None, **changes: Any) -> Performance:
    right = np.asarray(right, float)
    count = len(right)
    rng = np.random.default_rng(1)
    seen: dict[str, Any] = {
        "metric": "accuracy",
        "scores": right,
        "entropies": loss * rng.gamma(4.0, 0.25, count),
        "losses": np.array([loss]),
        "batch_examples": np.array([count]),
        "target_example": np.arange(count),
        "target_class": np.arange(count) % 10,
        "target_count": np.ones(count, int),
        "target_values": np.zeros((0, 0)),
        "split": "val",
        "hashes": np.arange(count, dtype=np.uint64) if hashes is None else np.asarray(hashes, "u8"),
    }
    return Performance(**{**seen, **changes})


def some(right: int, of: int = COUNT) -> Any:
    return (np.arange(of) < right).astype(float)


def seen(before: Performance, after: Performance, then: str = "x", now: str = "y") -> dict:
    earlier = Earlier("the audit of May", "", Verdict.PASS, then, {}, {}, scores_of(before))
    return {
        ACCEPTED: earlier,
        PERFORMANCE: after,
        SPLITS: SplitsSeen({}, "2.9", checkpoint=now),
    }


@pytest.mark.parametrize(
    ("right", "loss", "verdict"),
    [
        (900, 0.3, Verdict.PASS),
        (896, 0.3, Verdict.PASS),
        (886, 0.3, Verdict.WARN),
        (860, 0.3, Verdict.FAIL),
        (940, 0.3, Verdict.INFO),
        (900, 0.32, Verdict.INFO),
        (900, 0.36, Verdict.WARN),
        (900, 0.2, Verdict.INFO),
        (940, 0.9, Verdict.WARN),
    ],
)
def test_by_size_and_certainty(judged, right: int, loss: float, verdict: Verdict) -> None:
    found = judged(judge, seen(performance(some(900)), performance(some(right), loss)))
    assert found.verdict is verdict, found.summary
    assert "on the same 1,000 examples" in found.summary


def test_says_how_many_got_worse_and_names_the_worst(judged) -> None:
    found = judged(judge, seen(performance(some(900)), performance(some(860))))
    assert "40 examples got worse, 0 better" in found.summary
    assert len(found.where) == 10
    assert all(860 <= int(place.name.removeprefix("val ")) < 900 for place in found.where)
    assert "right before, wrong now" in found.where[0].note
    assert {place.kind for place in found.where} == {"example"}
    assert "pairs[number]" in found.advice[0]


def test_says_what_would_have_been_seen(judged) -> None:
    after = some(900)
    after[[3, 5]], after[[950, 951]] = 0, 1
    found = judged(judge, seen(performance(some(900)), performance(after)))
    assert found.verdict is Verdict.PASS
    assert "would have been seen four times in five" in found.summary


def test_equal_models_are_equal(judged) -> None:
    found = judged(judge, seen(performance(some(900)), performance(some(900))))
    assert "accuracy is 0.9, as before; cross-entropy is" in found.summary
    assert "No example has another score." in found.summary


def test_many_won_and_lost_are_not_worse(judged) -> None:
    before, after = some(900), np.roll(some(900), 60)
    found = judged(judge, seen(performance(before), performance(after)))
    assert found.verdict is Verdict.PASS


def test_order_and_new_examples_do_not_matter(judged) -> None:
    rng = np.random.default_rng(0)
    order = rng.permutation(COUNT)
    after = performance(some(860)[order], hashes=np.arange(COUNT)[order])
    found = judged(judge, seen(performance(some(900)), after))
    assert found.verdict is Verdict.FAIL
    more = performance(np.ones(1500), hashes=np.arange(500, 2000))
    found = judged(judge, seen(performance(some(900)), more))
    assert "on the same 500 examples, beside 1,000 that it did not have" in found.summary


def test_on_other_examples_it_warns_at_most(judged) -> None:
    after = performance(some(500), hashes=np.arange(5000, 6000))
    found = judged(judge, seen(performance(some(900)), after))
    assert found.verdict is Verdict.WARN
    assert "the data may be what differs" in found.summary
    assert not found.where
    assert "present validation data" in " ".join(found.advice)
    after = performance(some(890), hashes=np.arange(5000, 6000))
    found = judged(judge, seen(performance(some(900)), after))
    assert found.verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("factor", "verdict"),
    [(1.0, Verdict.PASS), (1.03, Verdict.INFO), (1.08, Verdict.WARN), (1.3, Verdict.FAIL)],
)
def test_the_error_of_a_regression(judged, factor: float, verdict: Verdict) -> None:
    errors = np.random.default_rng(0).gamma(1.0, 1.0, COUNT)
    sides = [performance(errors * f, metric="squared error") for f in (1.0, factor)]
    found = judged(judge, seen(*sides))
    assert found.verdict is verdict, found.summary
    assert len(found.metrics) == 1


def test_the_same_file_has_to_score_the_same(judged) -> None:
    after = some(900)
    after[:5], after[-5:] = 0, 1
    same = judged(judge, seen(performance(some(900)), performance(after), "x", "x"))
    other = judged(judge, seen(performance(some(900)), performance(after), "x", "y"))
    assert same.verdict is Verdict.WARN
    assert "The checkpoint is the same file, and yet 10 of 1,000" in same.summary
    assert other.verdict is Verdict.PASS
    none = judged(judge, seen(performance(some(900)), performance(after), "", ""))
    assert none.verdict is Verdict.PASS


def test_a_model_that_gives_nan_is_worse(judged) -> None:
    lost = performance(np.full(COUNT, np.nan), float("nan"))
    found = judged(judge, seen(performance(some(900)), lost))
    assert found.verdict is Verdict.FAIL
    errors = np.random.default_rng(0).gamma(1.0, 1.0, COUNT)
    sides = [
        performance(values, metric="squared error") for values in (errors, np.full(COUNT, np.nan))
    ]
    assert judged(judge, seen(*sides)).verdict is Verdict.FAIL


def test_classes_that_got_worse_are_marked(judged) -> None:
    after = some(900)
    after[np.arange(COUNT) % 10 == 7] = 0
    found = judged(judge, seen(performance(some(900)), performance(after)))
    classes = next(f for f in found.figures if f.title == "Change by class")
    assert isinstance(classes, Bars)
    assert classes.labels[0] == "class 7 (100)"
    assert classes.marked == (True, *(False,) * 9)


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        (performance(some(20, 25)), performance(some(20, 25)), "Only 25 examples"),
        (performance(some(900), metric="absolute error"), performance(some(900)), "measured"),
        (performance(some(900), hashes=[]), performance(some(900)), "kept no scores"),
        (performance(some(900)), performance(some(900), hashes=[]), "is not known"),
    ],
)
def test_what_can_not_be_compared(judged, before: Any, after: Any, reason: str) -> None:
    found = judged(judge, seen(before, after))
    assert found.verdict is Verdict.NOT_APPLICABLE
    assert reason in found.summary


def test_limits_can_be_set(judged) -> None:
    limits = dict(judge.limits)
    limits["accuracy_fall"] = replace(limits["accuracy_fall"], fail=0.1)
    answers = seen(performance(some(900)), performance(some(860)))
    assert judged(judge, answers, limits).verdict is Verdict.WARN
