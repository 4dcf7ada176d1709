"""What a section costs beside a plain pass: told in the plan, and within its bar."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from auditor.checks import catalogue
from auditor.commands.plan_table import REMEDIES, plan_table, plans_by_section
from auditor.core.request import Profile
from auditor.core.spec_file import read_spec
from auditor.core.subject import SubjectFacts
from auditor.engine.plan import plan_of, planned, times_plain
from auditor.intake.loading import load
from auditor.observations.gradients import GradientNormsOver
from auditor.observations.reproducibility import ReproducibilityOver
from auditor.observations.weight_matrices import WeightMatricesOf
from tests.engine.test_plan import facts, plan
from tests.subjects import SAMPLES

BAR = 12
"""Plain forward and backward passes that diagnosing the parameters may cost."""

NAMES = sorted(folder.parent.name for folder in SAMPLES.glob("*/audit.yaml"))


@cache
def known(folder: Path) -> SubjectFacts:
    return load(read_spec(folder / "audit.yaml")).facts


def batches_of(subject: SubjectFacts) -> dict[Any, int]:
    return {split: data.batches for split, data in subject.data.items()}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("profile", ["quick", "standard"])
def test_diagnosing_parameters_stays_within_its_bar(name: str, profile: Profile) -> None:
    subject = known(SAMPLES / name)
    checks = [check for check in catalogue() if check.section == "parameters"]
    made = planned(checks, profile, subject)
    if not any(work.weight > 1 for work in made.work):
        assert made.cost.forwards == made.cost.backwards == 0
        return
    told = times_plain(made, batches_of(subject))
    assert told is not None, [
        request.key
        for work in made.work
        for request in work.requests
        if request.looked_at(batches_of(subject)) is None
    ]
    times, _ = told
    assert times <= BAR, sorted(
        ((work.weight, work.name) for work in made.work if work.weight > 1), reverse=True
    )


def test_the_cost_is_counted_beside_plain_passes_over_the_longest_run_of_each_split() -> None:
    both = plan(GradientNormsOver(4, "train"), GradientNormsOver(16, "train"))
    assert times_plain(both, {"train": 40, "val": 40}) == (1.0, 16)
    shared = plan(GradientNormsOver(16, "train"), GradientNormsOver(8, "val"))
    assert times_plain(shared, {"train": 40, "val": 40}) == (1.0, 24)


def test_nothing_is_told_where_some_work_does_not_say_what_it_looks_at() -> None:
    batches = {"train": 40, "val": 40}
    told = plan(GradientNormsOver(4, "train"))
    untold = plan_of([ReproducibilityOver().at("quick", facts().has)], facts())
    assert times_plain(told, batches) is not None  # type: ignore[arg-type]
    assert times_plain(untold, batches) is None  # type: ignore[arg-type]
    assert times_plain(plan(WeightMatricesOf()), batches) is None  # type: ignore[arg-type]


def test_the_plan_shows_each_section_and_what_comes_on_top() -> None:
    text = Console(width=100)
    with text.capture() as captured:
        subject = facts()
        sections = plans_by_section(catalogue(), "standard", subject)
        text.print(plan_table(planned(catalogue(), "standard", subject), sections, subject))
    lines = captured.get().splitlines()
    (line,) = [one for one in lines if one.startswith("Diagnose parameters")]
    assert " × " in line
    assert " batches" in line
    assert "Where something is found, trials of remedies" in " ".join(lines)
    assert len(sections) == 5


def test_no_remedies_are_announced_where_none_are_wanted() -> None:
    console = Console(width=400)
    subject = facts()
    for wanted in (True, False):
        with console.capture() as captured:
            console.print(plan_table(plan(WeightMatricesOf()), {}, subject, remedies=wanted))
        assert (REMEDIES in captured.get()) is wanted
