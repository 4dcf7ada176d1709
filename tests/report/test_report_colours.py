"""Colours: lines can be told apart with every common kind of colour vision, and from the page."""

import itertools
import math

import numpy as np
import pytest

from auditor.report.plots.lines import _DASHES
from auditor.report.plots.markers import key_marker
from auditor.report.plots.ramps import DIVERGING, SEQUENTIAL, Ramp
from auditor.report.selection import MOST_SERIES
from auditor.report.theme import DARK, PRINT, SERIES

VISIONS = {
    "all cones": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "tritanopia": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
}
"""Machado, Oliveira and Fernandes 2009, severity 1, of linear red, green and blue."""
APART = 14.0
"""Least distance in CIELAB; about 2.3 is just noticeable side by side."""
THEMES = {"light": PRINT, "dark": DARK}
LINES = [f"s{index}" for index in range(SERIES)]


def linear(colour: str) -> np.ndarray:
    value = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def lab(colour: str, vision: str) -> np.ndarray:
    seen = np.clip(np.array(VISIONS[vision]) @ linear(colour), 0, 1)
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    ratio = to_xyz @ seen / [0.9505, 1.0, 1.089]
    x, y, z = np.where(ratio > 0.008856, np.cbrt(ratio), 7.787 * ratio + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def distance(one: str, other: str, vision: str) -> float:
    return float(np.linalg.norm(lab(one, vision) - lab(other, vision)))


def contrast(one: str, other: str) -> float:
    bright = sorted(float(linear(c) @ [0.2126, 0.7152, 0.0722]) for c in (one, other))
    return (bright[1] + 0.05) / (bright[0] + 0.05)


def test_the_measure_finds_colours_that_are_confused():
    assert distance("#d62728", "#2ca02c", "all cones") > 100
    assert distance("#0067a5", "#a3498f", "all cones") > 50
    assert distance("#0067a5", "#a3498f", "protanopia") < 10
    assert distance("#000000", "#ffffff", "deuteranopia") == pytest.approx(100, abs=0.1)
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


@pytest.mark.parametrize("vision", VISIONS)
@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
def test_no_two_lines_are_confused(theme, vision):
    close = [
        (one, other, distance(theme[one], theme[other], vision))
        for one, other in itertools.combinations(LINES, 2)
        if distance(theme[one], theme[other], vision) < APART
    ]
    assert close == []


@pytest.mark.parametrize("vision", VISIONS)
@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
def test_limits_and_marked_bars_stand_out(theme, vision):
    for one, other in (("bar", "mark"), ("warn", "fail"), ("muted", "warn"), ("muted", "fail")):
        assert distance(theme[one], theme[other], vision) > APART, (one, other)


@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
def test_lines_and_words_are_seen_on_the_page(theme):
    for role in (*LINES, "bar", "mark"):
        assert contrast(theme[role], theme["paper"]) >= 3, role
    for role in ("ink", "muted", "warn", "fail", "mark"):
        assert contrast(theme[role], theme["paper"]) >= 4.5, role


def test_no_two_lines_look_the_same_without_colour():
    looks = {(key_marker(i), _DASHES[i // SERIES % len(_DASHES)]) for i in range(MOST_SERIES)}
    assert len(looks) == MOST_SERIES


@pytest.mark.parametrize("vision", VISIONS)
def test_ramps_go_one_way_in_brightness(vision):
    even = [lab(stop, vision)[0] for stop in SEQUENTIAL.split()]
    assert even == sorted(even)
    both = [lab(stop, vision)[0] for stop in DIVERGING.split()]
    assert both[:5] == sorted(both[:5])
    assert both[4:] == sorted(both[4:], reverse=True)
    ends = DIVERGING.split()[1], DIVERGING.split()[-2]
    assert distance(*ends, vision) > 40


def test_a_ramp_keeps_zero_in_its_middle_and_marks_what_is_unknown():
    both = Ramp(-1.0, 4.0)
    values = np.array([-4.0, 0.0, 4.0, math.nan, math.inf])
    low, zero, high, unknown, endless = both.pixels(values).tolist()
    assert zero == [0xF7, 0xF6, 0xF3]
    assert low[2] > low[0]
    assert high[0] > high[2]
    assert unknown == endless == [150, 150, 150]
    assert Ramp(2.0, 3.0).pixels(np.array([2.0, 3.0])).tolist() == [[0, 34, 78], [254, 232, 56]]
    huge = Ramp(-1.7e308, 1.7e308)
    assert huge.pixels(np.array([-1.7e308, 1.7e308])).tolist() == [[10, 58, 117], [125, 53, 4]]
    same = Ramp(5.0, 5.0)
    assert same.low < 5 < same.high
