"""What `audit list` and `audit explain` print of every check."""

import re
import shlex

import pytest
import typer
import yaml
from typer.testing import CliRunner

from auditor.checks import catalogue, limits_for, select
from auditor.cli import app
from auditor.commands.explain import behind, bounds, command, explained, listed, settings, shown_by
from auditor.core.check import HEADINGS, SECTIONS, Check
from auditor.core.spec_file import spec_from
from auditor.diagnosis.rules import RULES
from tests.subjects import ROOT

CHECKS = pytest.mark.parametrize("check", catalogue(), ids=lambda check: check.id)


def printed(*arguments: str) -> str:
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    return done.stdout


def words(text: str) -> str:
    return " ".join(text.split())


def test_the_list_names_every_check_and_what_it_finds_in_80_columns() -> None:
    text = printed("list")
    assert max(map(len, text.splitlines())) <= 80
    for check in catalogue():
        assert f"\n  {check.id} " in text
        assert f"{check.id} {check.finds}" in words(text)
    for section, title in SECTIONS.items():
        assert f"{title} ({section})\n" in text


def test_explain_lists_a_section_or_all() -> None:
    assert printed("explain") == printed("list")
    text = printed("explain", "loss")
    assert text.startswith("Confirm the loss (loss)\n")
    ids = re.findall(r"^  ([a-z-]+)", text, flags=re.MULTILINE)
    assert ids == [check.id for check in catalogue() if check.section == "loss"]
    assert listed("loss") in listed()


@CHECKS
def test_a_check_is_explained_in_full_in_80_columns(check: Check) -> None:
    text = printed("explain", check.id)
    assert text == explained(check) + "\n"
    assert max(map(len, text.splitlines())) <= 80
    assert text.startswith(f"{check.id}\n{'=' * len(check.id)}\n{check.page.split()[0]}")
    places = [text.index(f"\n{name}\n{'-' * len(name)}\n") for name in HEADINGS]
    assert places == sorted(places)
    for name in HEADINGS:
        assert words(check.heading(name)) in words(text)
    for name, limit in check.limits.items():
        assert f"\n{name}: {bounds(limit)}\n" in text
        assert words(limit.source) in words(text)
    for rule in RULES:
        assert (words(f"- {rule.plain}") in words(text)) == (check.id in rule.known)
    assert "://" not in text


@CHECKS
def test_the_settings_shown_are_those_of_the_check(check: Check) -> None:
    spec = spec_from(yaml.safe_load(settings(check)), "audit.yaml", ROOT).audit
    given = limits_for(check, spec.limits.get(check.id, {}))
    assert given.keys() == check.limits.keys()
    for name, limit in check.limits.items():
        assert (given[name].warn, given[name].fail) == (limit.warn, limit.fail)
        assert spec.limits[check.id][name].model_dump() == {"warn": limit.warn, "fail": limit.fail}
    (waiver,) = spec.waive
    assert (waiver.check, waiver.where) == (check.id, "*")


@CHECKS
def test_the_command_shown_runs_the_check_alone(check: Check) -> None:
    program, name, *arguments = shlex.split(command(check))
    assert (program, name) == ("audit", "run")
    given = typer.main.get_command(app).commands[name].make_context(name, arguments).params
    assert given["target"] == "audit.yaml"
    assert select(given["only"]) == (check,)


@CHECKS
def test_causes_are_shown_by_a_check_or_stand_behind_it(check: Check) -> None:
    assert not {rule.id for rule in shown_by(check)} & {rule.id for rule in behind(check)}
    named = [rule for rule in RULES if check.id in rule.known]
    assert sorted(map(id, named)) == sorted(map(id, [*shown_by(check), *behind(check)]))


def test_dead_units_are_explained_by_a_learning_rate_that_is_too_high() -> None:
    (check,) = (check for check in catalogue() if check.id == "dead-units")
    assert [rule.id for rule in shown_by(check)] == ["dead-units"]
    assert "learning-rate-too-high" in [rule.id for rule in behind(check)]
