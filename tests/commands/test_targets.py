"""The line that the report shows for running a check again, as the shell would read it."""

import shlex
from typing import Any

import pytest
import typer.testing

from auditor.cli import app
from auditor.commands.targets import FLAGS, command_of

GIVEN: dict[tuple[str, ...], Any] = {
    ("model", "factory"): "model:build",
    ("model", "checkpoint"): "runs/my best; rm -rf ~.pt",
    ("loss",): "cross_entropy",
    ("training", "optimizer", "lr"): 0.1,
    ("audit", "profile"): "quick",
    ("audit", "checks", "only"): ["dead-units"],
    ("output", "dir"): "elsewhere",
    ("output", "formats"): ["html"],
    ("audit", "seed"): None,
}


def test_a_spec_is_named_as_it_was_typed() -> None:
    assert command_of("../a b/audit.yaml", {}) == "audit run '../a b/audit.yaml'"
    assert command_of(None, {}) == "audit run"


def test_flags_are_repeated_but_for_the_choice_of_checks_and_folder() -> None:
    words = shlex.split(command_of(None, GIVEN))
    assert words == [
        *("audit", "run", "--model", "model:build"),
        *("--checkpoint", "runs/my best; rm -rf ~.pt", "--loss", "cross_entropy"),
        *("--lr", "0.1", "--profile", "quick"),
    ]


def test_the_command_line_reads_what_it_wrote(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[dict[tuple[str, ...], Any]] = []

    def spec_of(target: str | None, flags: dict[tuple[str, ...], Any]) -> None:
        read.append({path: value for path, value in flags.items() if value is not None})
        raise typer.Exit(0)

    monkeypatch.setattr("auditor.commands.targets.spec_of", spec_of)
    words = shlex.split(command_of(None, GIVEN))[1:]
    result = typer.testing.CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    kept = {p: GIVEN[p] for p in FLAGS if GIVEN.get(p) is not None}
    assert read == [{p: v for p, v in kept.items() if p[0] != "output" and "checks" not in p}]


def test_a_command_is_told_without_its_secrets() -> None:
    flags = {("model", "checkpoint"): "https://me:hunter2@host/w.pt?token=hunter2&v=1"}
    told = command_of("s3://me:hunter2@bucket/w.pt", flags)
    assert "hunter2" not in told
    assert "s3://bucket/w.pt" in told
    assert "https://host/w.pt" in told
