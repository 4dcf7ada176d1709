from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from auditor.checks.internals.initialisation_off import SIZES, judge
from auditor.core.verdict import Verdict
from auditor.observations.initial_sizes import InitialSize, InitialSizes
from auditor.observations.mended_copies import NOTHING, MendedCopies

SOUND = InitialSize("body.0.weight", 0.1, 0.1, 0.09)
ZERO = InitialSize("body.2.weight", 0.0, 0.0, 0.1)
ALIKE = InitialSize("body.4.weight", 0.05, 0.0, 0.1)
LARGE = InitialSize("head.weight", 1.0, 1.0, 0.1)


def copies(gain: float, seeds: int = 3) -> MendedCopies:
    rng = np.random.default_rng(0)
    old = rng.gamma(4, 0.25, (seeds, 300))
    return MendedCopies("cross-entropy", 60, old, (1 - gain) * old)


def said(judged, *tensors: InitialSize, found: MendedCopies = NOTHING) -> Any:
    return judged(judge, {SIZES: InitialSizes(tensors, found)})


@pytest.mark.parametrize(
    ("times", "odd"), [(0.0, True), (0.19, True), (0.21, False), (4.9, False), (5.1, True)]
)
def test_what_is_five_times_off_is_odd(times: float, odd: bool) -> None:
    assert InitialSize("a", times, times, 1.0).odd is odd


def test_the_usual_size_passes(judged) -> None:
    assert said(judged, SOUND, SOUND).verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("gain", "verdict"),
    [(-0.5, Verdict.INFO), (0.1, Verdict.INFO), (0.3, Verdict.WARN), (0.8, Verdict.FAIL)],
)
@pytest.mark.parametrize("odd", [ZERO, ALIKE, LARGE])
def test_what_a_usual_start_gains_decides(judged, odd, gain: float, verdict: Verdict) -> None:
    found = said(judged, SOUND, odd, found=copies(gain))
    assert found.verdict is verdict
    assert [place.name for place in found.where] == [odd.name]
    assert bool(found.advice) is (verdict is not Verdict.INFO)


def test_a_share_of_next_to_nothing_is_no_harm(judged) -> None:
    large = copies(0.8)
    small = replace(large, as_it_is=large.as_it_is / 20, mended=large.mended / 20)
    found = said(judged, LARGE, found=small)
    assert found.verdict is Verdict.INFO
    assert "Less than 0.05 nats are no harm." in found.summary
    rare = replace(small, constant=0.056)  # one example in a hundred
    assert said(judged, LARGE, found=rare).verdict is Verdict.FAIL
    even = replace(small, constant=2.3)
    assert said(judged, LARGE, found=even).verdict is Verdict.INFO


def test_places_say_how_weights_start_the_farthest_first(judged) -> None:
    found = said(judged, LARGE, SOUND, ALIKE, ZERO, found=copies(0.8))
    assert [place.note for place in found.where] == [
        "all values start at 0.05",
        "starts at zero",
        "starts 10 times as large as usual, at deviation 1",
    ]


def test_what_could_not_be_tried_is_told(judged) -> None:
    lack = MendedCopies("", 0, NOTHING.as_it_is, NOTHING.mended, "no loss is known")
    found = said(judged, LARGE, found=lack)
    assert found.verdict is Verdict.INFO
    assert "no loss is known" in found.summary
