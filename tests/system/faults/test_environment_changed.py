"""Checkpoints and earlier audits of other versions than those at hand."""

from dataclasses import replace
from pathlib import Path

import torch

from auditor.core.verdict import Verdict
from auditor.observations.earlier import earlier_of
from tests.projects import audited, project

CHECK = "environment-changed"


def test_a_checkpoint_of_an_older_release(tmp_path: Path) -> None:
    env = {"torch": "1.13.1+cu117", "python": "3.8.10", "device": "cuda"}
    folder = project(tmp_path / "old", saved={"environment": env})
    (found,) = audited(folder, tmp_path / "out", CHECK).findings
    assert found.verdict is Verdict.WARN, found.summary
    assert found.where[0].name == "torch"
    assert "checkpoint: environment.torch" in found.summary
    assert "device" in [place.name for place in found.where]
    assert "torch==1.13.1" in found.advice[0]


def test_the_same_environment_as_in_training_and_at_the_last_audit(tmp_path: Path) -> None:
    folder = project(tmp_path / "new", saved={"environment": {"torch": str(torch.__version__)}})
    first = audited(folder, tmp_path / "first", CHECK)
    assert first.findings[0].verdict is Verdict.PASS, first.findings[0].summary
    last = earlier_of(first, "record.json")
    again = audited(folder, tmp_path / "again", CHECK, earlier={"last": last})
    assert again.findings[0].verdict is Verdict.PASS, again.findings[0].summary
    other = replace(last, environment=last.environment | {"torch": "2.0.1"})
    moved = audited(folder, tmp_path / "moved", CHECK, earlier={"last": other})
    assert moved.findings[0].verdict is Verdict.WARN
    assert "2.0.1 at the last audit (record.json)" in moved.findings[0].summary


def test_nothing_recorded(tmp_path: Path) -> None:
    (found,) = audited(project(tmp_path / "bare"), tmp_path / "out", CHECK).findings
    assert found.verdict is Verdict.NOT_APPLICABLE
    assert "--baseline last" in found.summary
