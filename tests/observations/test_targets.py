"""How far the class shares of two splits lie apart."""

import pytest

from auditor.core.subject import TargetFacts
from auditor.observations.targets import TargetsSeen, class_mix


def seen(*counts: int, kind: str = "classes") -> TargetsSeen:
    return TargetsSeen(TargetFacts(kind, sum(counts), tuple(range(len(counts))), counts), "val")


def test_the_class_mix_is_the_total_variation_distance() -> None:
    assert class_mix(seen(50, 50), seen(90, 10)) == pytest.approx(0.4)
    assert class_mix(seen(50, 50), seen(5, 5)) == 0
    assert class_mix(seen(10), seen(0, 10)) == 1


def test_without_classes_in_both_there_is_no_mix() -> None:
    assert class_mix(seen(50, 50), None) == 0
    assert class_mix(seen(50, 50), seen(90, 10, kind="numbers")) == 0
