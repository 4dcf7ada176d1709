from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from auditor.checks.parameters.not_shuffled import ORDER, VAL_TARGETS, judge
from auditor.core.figure import Heatmap, Lines
from auditor.core.subject import TargetFacts
from auditor.core.verdict import Verdict
from auditor.observations.batch_order import BatchOrder, unordered
from auditor.observations.targets import TargetsSeen


def order(between: float, **changes: Any) -> BatchOrder:
    means = np.repeat(np.eye(4), 3, axis=0)
    given = BatchOrder(
        between, 0.03, means, np.arange(4), 32.0, 384, "classes", True, True, in_order=True
    )
    return replace(given, **changes)


@pytest.mark.parametrize(
    ("between", "changes", "verdict"),
    [
        (-0.02, {}, Verdict.PASS),
        (0.02, {}, Verdict.PASS),
        (0.19, {}, Verdict.PASS),
        (0.21, {}, Verdict.WARN),
        (0.49, {}, Verdict.WARN),
        (0.51, {}, Verdict.FAIL),
        (0.3, {"chance": 0.31}, Verdict.PASS),
        (0.9, {"chance": 0.91}, Verdict.PASS),
        (0.49, {"repeated": False}, Verdict.PASS),
        (0.51, {"repeated": False}, Verdict.WARN),
        (0.9, {"kind": "numbers"}, Verdict.WARN),
        (0.9, {"kind": "labels"}, Verdict.WARN),
        (0.9, {"kind": "shares"}, Verdict.WARN),
        (0.1, {"kind": "numbers"}, Verdict.PASS),
    ],
)
def test_limits(judged, between: float, changes: dict[str, Any], verdict: Verdict) -> None:
    found = judged(judge, {ORDER: order(between, **changes)})
    assert found.verdict is verdict, found.summary
    assert bool(found.where) is (verdict is not Verdict.PASS)


def test_it_names_the_loader_and_what_to_write(judged) -> None:
    found = judged(judge, {ORDER: order(0.95)})
    assert [(place.name, place.note.split(":")[0]) for place in found.where] == [
        ("data.train", "not shuffled")
    ]
    assert "shuffle=True" in found.advice[0]
    assert "In 100 % of the batches nearly all examples are of one class" in found.summary
    assert "counts for 1.1 examples" in found.summary
    (figure,) = found.figures
    assert isinstance(figure, Heatmap)
    assert figure.y_names == ("0", "1", "2", "3")


def test_a_stream_is_told_of_its_buffer(judged) -> None:
    found = judged(judge, {ORDER: order(0.95, repeated=False, in_order=False)})
    assert "buffer" in found.advice[0]


def test_an_order_of_its_own_is_not_told_of_a_setting_of_torch(judged) -> None:
    found = judged(judge, {ORDER: order(0.95, in_order=False)})
    assert "randperm" in found.advice[0]


def test_numbers_are_drawn_as_a_line(judged) -> None:
    means = np.linspace(0.05, 0.95, 12)[:, None]
    found = judged(judge, {ORDER: order(0.95, kind="numbers", means=means, labels=np.zeros(1))})
    assert "5 % in one batch to 95 % in another" in found.summary
    (figure,) = found.figures
    assert isinstance(figure, Lines)


def test_many_batches_are_shown_in_part(judged) -> None:
    found = judged(judge, {ORDER: order(0.95, means=np.repeat(np.eye(4), 300, axis=0))})
    (figure,) = found.figures
    assert len(figure.x_names) == 64


def val(*counts: int) -> TargetsSeen:
    classes = tuple(range(len(counts)))
    return TargetsSeen(TargetFacts("classes", sum(counts), classes, counts), "val")


@pytest.mark.parametrize(
    ("examples", "whole", "targets", "verdict"),
    [
        (2000, False, val(50, 50), Verdict.FAIL),
        (2000, True, val(50, 50), Verdict.NOT_APPLICABLE),
        (2000, False, val(100, 0), Verdict.NOT_APPLICABLE),
        (2000, False, None, Verdict.NOT_APPLICABLE),
        (4, False, val(60, 40), Verdict.NOT_APPLICABLE),
    ],
)
def test_one_class_for_many_batches(judged, examples, whole, targets, verdict) -> None:
    alone = unordered("All targets that were read are the same.", examples, 0, whole)
    found = judged(judge, {ORDER: alone, VAL_TARGETS: targets} if targets else {ORDER: alone})
    assert found.verdict is verdict


def test_it_says_why_it_can_not_tell(judged) -> None:
    found = judged(judge, {ORDER: unordered("The targets have no row for each example.")})
    assert found.verdict is Verdict.NOT_APPLICABLE
    assert "no row" in found.summary
