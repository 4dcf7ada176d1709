"""Trials of remedies come after the checks: interrupted, killed, hung, judged again, left out."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from tests.system.test_supervision import (
    OUT,
    REFUSE_TORCH,
    SHORT,
    SPEC,
    Ended,
    audit,
    findings,
    journal,
    record,
    run,
    settled,
    subject,
)

ONLY_DEAD = {"profile": "quick", "checks": {"only": ["dead-units"]}}
IN_A_TRIAL = "if builds > 1 and model.training:"
"""A second model, being trained: a sweep needs neither."""


def dead(folder: Path, trouble: str = "pass", **options: Any) -> Path:
    """Write a subject whose first bias kills every rectified unit."""
    fast = {"optimizer": {"name": "SGD", "lr": 0.5}}
    made = subject(folder, trouble, audit={**ONLY_DEAD, **options}, training=fast)
    weights = torch.load(folder / "weights.pt")
    weights["0.bias"].fill_(-100.0)
    torch.save(weights, folder / "weights.pt")
    return made


def trials_in(folder: Path) -> list[str]:
    return [line["work"] for line in record(folder)["plan"] if "TreatmentOver" in line["work"]]


@pytest.fixture(scope="module")
def guard(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment in which only a worker may import torch."""
    folder = tmp_path_factory.mktemp("guard")
    (folder / "sitecustomize.py").write_text(REFUSE_TORCH)
    path = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))
    return {"PYTHONPATH": path}


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory, guard: dict[str, str]) -> tuple[Path, Ended]:
    """An audit of one check that finds something, by a supervisor that may not import torch."""
    folder = dead(tmp_path_factory.mktemp("tried") / "subject")
    return folder, run(folder, *SHORT, **guard)


def test_one_check_that_finds_something_has_its_remedy_tried(tried: tuple[Path, Ended]) -> None:
    folder, ended = tried
    assert ended.code == 1, ended.err
    assert ended.left == []
    (cause,) = record(folder)["causes"]
    assert cause["id"] == "dead-units"
    assert cause["findings"] == ["dead-units"]
    assert cause["confidence"] == "seen directly, confirmed by a trial"
    first = cause["remedies"][0]
    assert "0.bias" in first["text"]
    assert first["tried"]
    assert first["helped"]
    assert first["after"] > first["before"]
    assert first["measure"].startswith("accuracy of copies")
    assert len(trials_in(folder)) == 2
    spent = record(folder)["volatile"]["spent"]
    assert all(spent[work] > 0 for work in trials_in(folder))
    assert ended.err.count("TreatmentOver") >= 2


@pytest.mark.slow
def test_the_same_audit_tries_the_same_and_finds_the_same(
    tried: tuple[Path, Ended], tmp_path: Path
) -> None:
    folder = tmp_path / "subject"
    shutil.copytree(tried[0], folder)
    shutil.rmtree(folder / OUT)
    run(folder, *SHORT)
    mine, theirs = settled(folder), settled(tried[0])
    for held in (mine, theirs):
        del held["subject"]["checkpoint"]
    assert mine == theirs


@pytest.mark.slow
def test_judging_again_gives_the_same_causes_without_torch(
    tried: tuple[Path, Ended], tmp_path: Path, guard: dict[str, str]
) -> None:
    folder = tmp_path / "subject"
    shutil.copytree(tried[0], folder)
    (folder / OUT / "record.json").unlink()
    ended = audit(folder, "judge", OUT, *SHORT, **guard)
    assert ended.code == 1, ended.err
    assert settled(folder) == settled(tried[0])


@pytest.mark.slow
def test_judging_again_under_limits_that_find_nothing_names_no_cause(
    tried: tuple[Path, Ended], tmp_path: Path
) -> None:
    folder = tmp_path / "subject"
    shutil.copytree(tried[0], folder)
    waived = {"check": "dead-units", "reason": "pruned on purpose", "where": "*"}
    spec = {**SPEC, "audit": {**ONLY_DEAD, "waive": [waived]}}
    (folder / "other.yaml").write_text(yaml.safe_dump(spec))
    ended = audit(folder, "judge", OUT, "--spec", "other.yaml", *SHORT)
    assert ended.code == 0, ended.err
    assert record(folder)["causes"] == []
    assert trials_in(folder) == []


@pytest.mark.slow
def test_an_audit_interrupted_amid_its_trials_is_resumed(
    tried: tuple[Path, Ended], tmp_path: Path
) -> None:
    folder = tmp_path / "subject"
    shutil.copytree(tried[0], folder)
    (folder / OUT / "record.json").unlink()
    first, second = sorted((folder / OUT / "journal").glob("TreatmentOver-*.json"))
    second.unlink()
    before = journal(folder)
    assert first.name in before
    ended = run(folder, *SHORT, "--resume")
    assert ended.code == 1, ended.err
    after = journal(folder)
    assert before.items() <= after.items()
    assert second.name in after
    mine, theirs = settled(folder), settled(tried[0])
    for held in (mine, theirs):
        del held["subject"]["checkpoint"]
    assert mine == theirs


@pytest.mark.slow
def test_a_trial_that_kills_the_worker_costs_no_finding(
    tried: tuple[Path, Ended], tmp_path: Path
) -> None:
    folder = dead(tmp_path / "subject", f"{IN_A_TRIAL} os._exit(3)")
    ended = run(folder, *SHORT)
    assert ended.code == 1, ended.err
    assert ended.left == []
    assert findings(folder)["dead-units"] == findings(tried[0])["dead-units"]
    (cause,) = record(folder)["causes"]
    assert cause["confidence"] == "seen directly"
    assert not any(remedy["tried"] for remedy in cause["remedies"])
    assert cause["remedies"][0]["measure"].startswith("could not be tried: ")
    assert "exit code 3" in cause["remedies"][0]["measure"]


@pytest.mark.slow
def test_a_trial_that_hangs_is_cut_off(tried: tuple[Path, Ended], tmp_path: Path) -> None:
    trouble = (
        f"hung = HERE / 'hung'\n{IN_A_TRIAL}\n"
        "    if not hung.exists():\n        hung.touch()\n        time.sleep(1000)"
    )
    folder = dead(tmp_path / "subject", trouble)
    ended = run(folder, *SHORT, "--time-limit", "15")
    assert ended.code == 1, ended.err
    assert ended.left == []
    assert findings(folder)["dead-units"] == findings(tried[0])["dead-units"]
    (cause,) = record(folder)["causes"]
    assert "longer than the time limit of 15 s" in cause["remedies"][0]["measure"]
    assert not any(remedy["helped"] for remedy in cause["remedies"])


@pytest.mark.slow
def test_no_remedy_is_tried_where_none_is_wanted(tried: tuple[Path, Ended], tmp_path: Path) -> None:
    folder = dead(tmp_path / "subject", remedies=False)
    ended = run(folder, *SHORT)
    assert ended.code == 1, ended.err
    assert trials_in(folder) == []
    (cause,) = record(folder)["causes"]
    assert cause["confidence"] == "seen directly"
    assert cause["remedies"]
    assert not any(remedy["tried"] for remedy in cause["remedies"])
    assert findings(folder)["dead-units"] == findings(tried[0])["dead-units"]
