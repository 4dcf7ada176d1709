from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from auditor.checks.tracking.data_changed import LAST, SPLITS, judge
from auditor.core.check import Seen
from auditor.core.request import Unavailable
from auditor.core.subject import FeatureFacts, SplitFacts, TargetFacts
from auditor.core.verdict import Verdict
from auditor.observations.earlier import Earlier
from auditor.observations.splits import RecordedSplit, SplitsSeen

RNG = np.random.default_rng(0)
TABLE = RNG.standard_normal((500, 3))


def features(table: Any = TABLE) -> FeatureFacts:
    count = np.isfinite(table).sum(axis=0)
    return FeatureFacts(
        names=tuple(f"feature {n}" for n in range(table.shape[1])),
        kinds=("feature",) * table.shape[1],
        values=count,
        missing=len(table) - count,
        mean=np.nanmean(table, axis=0),
        variance=np.nanvar(table, axis=0),
        least=np.nanmin(table, axis=0),
        most=np.nanmax(table, axis=0),
        quantiles=np.nanquantile(table, np.linspace(0, 1, 101), axis=0, method="inverted_cdf").T,
    )


def split(**changes: Any) -> SplitFacts:
    facts: dict[str, Any] = {
        "batches": 16,
        "batches_read": 16,
        "examples": 500,
        "batch_size": 32,
        "complete": True,
        "input_shapes": ("float32[32, 3]",),
        "target_shape": "int64[32]",
        "targets": TargetFacts("classes", 500, (0, 1), (250, 250)),
        "fingerprint": "aa",
        "features": features(),
    }
    return SplitFacts(**{**facts, **changes})


def seen(before: dict, after: dict, torch: str = "2.9", **more: Any) -> dict:
    last = Earlier("the audit of May", "", Verdict.PASS, "", {"torch": "2.9"}, before)
    return {SPLITS: SplitsSeen(after, torch, **more), LAST: last}


def change(judged: Any, name: str = "val", before: Any = None, **changes: Any) -> Any:
    now = split(**{"fingerprint": "bb", **changes})
    return judged(judge, seen({name: before or split()}, {name: now}))


def test_the_same_content_passes_in_whatever_order(judged) -> None:
    found = judged(
        judge, seen({"train": split(), "val": split()}, {"train": split(), "val": split()})
    )
    assert found.verdict is Verdict.PASS
    assert "in whatever order" in found.summary
    assert "the audit of May" in found.summary


def test_another_seed_may_draw_other_examples(judged) -> None:
    answers = seen({"val": split()}, {"val": split(fingerprint="bb")}, seed=5)
    answers[LAST] = replace(answers[LAST], seed=0)
    found = judged(judge, answers)
    assert found.verdict is Verdict.INFO
    assert "seed was 0 then and is 5 now" in found.summary
    answers[LAST] = replace(answers[LAST], seed=5)
    assert judged(judge, answers).verdict is Verdict.WARN
    fewer = seen({"val": split()}, {"val": split(fingerprint="bb", examples=400)}, seed=5)
    fewer[LAST] = replace(fewer[LAST], seed=0)
    assert judged(judge, fewer).verdict is Verdict.WARN


def test_validation_data_that_changed_is_warned_of_and_training_data_told(judged) -> None:
    val, train = change(judged, "val"), change(judged, "train")
    assert val.verdict is Verdict.WARN
    assert val.where[0].name == "data.val"
    assert "not the same ones" in val.summary
    assert "No feature has drifted" in val.summary
    assert "can't be compared" in val.summary
    assert train.verdict is Verdict.INFO


def test_counts_are_told(judged) -> None:
    found = change(judged, examples=480)
    assert "500 examples before, 480 now" in found.summary


@pytest.mark.parametrize("name", ["train", "val"])
def test_drift_is_told_apart_from_change_and_the_worst_is_first(judged, name: str) -> None:
    table = RNG.standard_normal((500, 3))
    table[:, 1] *= 3
    table[:, 2] += 0.7
    found = change(judged, name, features=features(table))
    assert found.verdict is Verdict.FAIL
    assert [place.name for place in found.where] == [
        f"data.{name}: feature 1", f"data.{name}: feature 2"
    ]  # fmt: skip
    assert "of 4 features and labels, 2 surely did" in found.summary
    assert [figure.title for figure in found.figures][-1] == "Quantiles of feature 1"


def test_some_drift_is_warned_of(judged) -> None:
    table = RNG.standard_normal((5000, 3))
    moved = RNG.standard_normal((5000, 3))
    moved[:, 0] += 0.43
    found = change(
        judged, before=split(features=features(table), examples=5000),
        features=features(moved), examples=5000,
    )  # fmt: skip
    assert found.verdict is Verdict.WARN
    assert found.where[0].name == "data.val: feature 0"


def test_labels_drift(judged) -> None:
    found = change(judged, targets=TargetFacts("classes", 500, (0, 1), (60, 440)))
    assert found.verdict is Verdict.FAIL
    assert found.where[0].name == "data.val: labels"
    assert any(figure.title == "Labels of the validation data" for figure in found.figures)


def test_values_that_went_missing(judged) -> None:
    table = TABLE.copy()
    table[::4, 0] = np.nan
    assert change(judged, features=features(table)).where[0].name == "data.val: feature 0"


@pytest.mark.parametrize(
    "changes",
    [
        {"input_shapes": ("float64[32, 3]",)},
        {"input_shapes": ("float32[32, 4]",)},
        {"input_shapes": ("float32[32, 3]", "float32[32, 1]")},
        {"target_shape": "float32[32]"},
        {"target_shape": "int64[32, 1]"},
        {"features": features(np.ones((500, 4)))},
    ],
)
def test_another_form_fails(judged, changes: dict) -> None:
    found = change(judged, **changes)
    assert found.verdict is Verdict.FAIL
    assert "another form" in found.summary
    assert found.where[0].name == "data.val"


def test_images_of_another_size_fail_and_longer_sequences_do_not(judged) -> None:
    for before, after, verdict in (
        ("float32[32, 3, 32, 32]", "float32[8, 3, 64, 64]", Verdict.FAIL),
        ("float32[32, 3, 32, 32]", "float32[8, 3, 32, 32]", Verdict.WARN),
        ("int64[32, 48]", "int64[32, 50]", Verdict.WARN),
        ("float32[32, 20, 6]", "float32[32, 25, 6]", Verdict.WARN),
    ):
        found = change(judged, before=split(input_shapes=(before,)), input_shapes=(after,))
        assert found.verdict is verdict, (before, after)


PART = {"complete": False, "batches": 400, "batches_read": 64, "examples": 2048}


def test_parts_that_differ_are_not_judged(judged) -> None:
    quick = {**PART, "batches_read": 16, "examples": 512}
    found = change(judged, before=split(**quick), **PART)
    assert found.verdict is Verdict.NOT_APPLICABLE
    assert "16 batches of 32 then and 64 of 32 now" in found.summary


def test_the_same_part_of_a_split_that_shuffles_is_compared_by_distribution(judged) -> None:
    found = change(judged, before=split(**PART), **PART)
    assert found.verdict is Verdict.NOT_APPLICABLE
    assert "may have yielded others of the same data. No feature has drifted" in found.summary
    drifted = change(judged, before=split(**PART), features=features(3 * TABLE), **PART)
    assert drifted.verdict is Verdict.FAIL
    same = change(judged, before=split(**PART), fingerprint="aa", **PART)
    assert same.verdict is Verdict.PASS
    assert "as far as it was read" in same.summary


def test_a_split_of_more_batches_has_changed_however_much_was_read(judged) -> None:
    found = change(judged, before=split(**PART), **{**PART, "batches": 500})
    assert found.verdict is Verdict.WARN
    assert "400 batches before, 500 now" in found.summary


def test_one_split_of_two_that_can_not_be_told_is_no_pass(judged) -> None:
    now = {"train": split(fingerprint="bb", **PART), "val": split()}
    found = judged(judge, seen({"train": split(**PART), "val": split()}, now))
    assert found.verdict is Verdict.INFO


def test_another_torch_is_named_where_content_differs(judged) -> None:
    now = {"val": split(fingerprint="bb")}
    assert "augment at random" in judged(judge, seen({"val": split()}, now, "2.10")).summary
    assert "augment" not in judged(judge, seen({"val": split()}, now)).summary


def test_a_split_that_is_new_or_gone_is_told(judged) -> None:
    found = judged(judge, seen({"train": split()}, {"val": split()}))
    assert found.verdict is Verdict.NOT_APPLICABLE
    assert "No training data is given any more." in found.summary
    assert "The validation data was not given then." in found.summary


def test_records_of_before_have_no_features(judged) -> None:
    found = change(judged, before=replace(split(), features=None))
    assert found.verdict is Verdict.WARN
    assert len(found.metrics) == 2


def test_limits_can_be_set(judged) -> None:
    limit = replace(judge.limits["drift"], warn=None, fail=None)
    answers = seen({"val": split()}, {"val": split(fingerprint="bb", features=features(3 * TABLE))})
    assert judged(judge, answers, {"drift": limit}).verdict is Verdict.WARN
    limit = replace(limit, warn=0.1)
    assert judged(judge, answers, {"drift": limit}).where[0].name.startswith("data.val: feature")


def test_nothing_to_compare_with(judged) -> None:
    answers = {SPLITS: SplitsSeen({"val": split()}), LAST: Unavailable("no earlier audit")}
    found = judge(Seen(answers))
    assert found.verdict is Verdict.NOT_APPLICABLE
    assert "no earlier audit" in found.summary


@pytest.mark.parametrize(
    ("recorded", "verdict", "words"),
    [
        (RecordedSplit("aa", 500, True), Verdict.PASS, "is that of the training"),
        (RecordedSplit("cc", 500, True), Verdict.INFO, "as many examples"),
        (RecordedSplit("cc", 450, True), Verdict.WARN, "450 examples then, 500 now"),
        (RecordedSplit("cc", 450, False), Verdict.NOT_APPLICABLE, "can't be told"),
        (RecordedSplit("cc", None, True), Verdict.NOT_APPLICABLE, "can't be told"),
    ],
)
def test_against_a_recording_of_the_training(
    judged, recorded: RecordedSplit, verdict: Verdict, words: str
) -> None:
    now = SplitsSeen({"train": split()}, recorded={"train": recorded}, source="run.audit.jsonl")
    found = judged(judge, {SPLITS: now, LAST: Unavailable("no earlier audit")})
    assert found.verdict is verdict
    assert words in found.summary
    assert "run.audit.jsonl" in found.summary
