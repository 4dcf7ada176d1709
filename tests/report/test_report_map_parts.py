"""Callouts, stages and names on the model map."""

from itertools import pairwise

import pytest

from auditor.core.verdict import Verdict
from auditor.report.map.deep import calls_of, spread
from auditor.report.map.marks import Mark
from auditor.report.map.names import ending, span_name, stages_of
from auditor.report.plots.letters import fitted


def test_callouts_of_very_many_keep_the_worst_named_and_count_the_others():
    marks = {row: Mark(Verdict.WARN, (2,), False, "b") for row in range(0, 1000, 7)}
    marks[501] = Mark(Verdict.FAIL, (1,), True, "a")
    calls = calls_of(dict(sorted(marks.items())), lambda row: row // 50)
    assert len(calls) == 20
    assert sum(call.count + call.near for call in calls) == len(marks)
    (worst,) = [call for call in calls if call.mark.verdict is Verdict.FAIL]
    assert (worst.first, worst.last, worst.count) == (501, 501, 1)


def test_callouts_never_lie_on_one_another():
    placed = spread([5.0, 6.0, 6.0, 90.0, 99.0, 99.0], 10, 0, 100)
    assert placed == sorted(placed)
    assert all(b - a >= 10 - 1e-9 for a, b in pairwise(placed))
    assert placed[0] >= 5
    assert placed[-1] <= 95


@pytest.mark.parametrize(
    ("first", "last", "name"),
    [
        ("head", "head", "head"),
        ("blocks.10.fc", "blocks.23.act", "blocks.10–23"),
        ("3", "17", "3–17"),
        ("blocks.1.fc", "blocks.1.act", "blocks.1.fc … act"),
        ("stem.conv", "head", "stem.conv … head"),
        ("blocks", "blocks.3", "blocks"),
    ],
)
def test_several_layers_have_one_name(first, last, name):
    assert span_name(first, last) == name


def test_stages_are_as_deep_as_there_is_room_for():
    names = [f"stages.{stage}.{block}.fc" for stage in range(4) for block in range(100)]
    shown = [stage.name for stage in stages_of(names, 8)]
    assert shown == ["stages.0", "stages.1", "stages.2", "stages.3"]
    assert stages_of(names, 80)[0].name == "stages.0.0–9"
    plain = stages_of([str(number) for number in range(1000)], 40)
    assert plain[0].name == "0–49"
    covered = [row for stage in plain for row in range(stage.first, stage.last + 1)]
    assert covered == list(range(1000))


def test_names_are_cut_to_their_room():
    assert fitted("short", 200, size=12) == "short"
    assert fitted("a" * 300, 100, size=12).count("a") < 20
    assert "…" in fitted("層" * 40, 100, size=12)
    assert ending("stages.0.0–49", 40, 10).endswith("0–49")
