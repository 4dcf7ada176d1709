"""Faults planted in real training runs, found in the logs that these wrote; and healthy runs."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from auditor.checks import find
from auditor.core.verdict import Verdict
from tests.log_runs import Run, cosine, judged, log_of, one_cycle
from tests.subjects import SAMPLES

CHECKS = (
    "logged-gradient-spikes",
    "logged-loss-diverges",
    "logged-loss-not-decreasing",
    "logged-loss-oscillates",
    "logged-overfitting",
    "logged-rate-not-scheduled",
    "stopped-too-early",
)
LOUD = (Verdict.WARN, Verdict.FAIL)

SMALL = Run(epochs=24, examples=160, batch=16)
LINEAR = Run(optimizer="SGD", linear=True, noise=2.0, examples=64, batch=4, epochs=48)
SPIKED = SMALL.but(broken_steps=(70, 120, 180), optimizer="SGD", rate=0.01)
BY_HEART = Run(examples=48, width=96, random_labels=True, noise=1.0, epochs=40)


def alarms(run: Run, folder: Path) -> dict[str, str]:
    log = log_of(run, folder)
    found = {name: judged(find(name), log) for name in CHECKS}
    return {name: one.summary for name, one in found.items() if one.verdict in LOUD}


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.2, 0.5])
@pytest.mark.parametrize("per_epoch", [False, True], ids=["steps", "epochs"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"schedule": cosine, "rate": 5e-3},
        {"schedule": one_cycle, "rate": 1e-2},
        {"optimizer": "SGD", "rate": 0.1, "schedule": cosine, "clip": 1.0},
        {"batch": 4, "rate": 1e-3},
    ],
    ids=["constant", "warm-up and cosine", "one-cycle", "SGD", "tiny batches"],
)
def test_healthy_runs_raise_nothing(
    tmp_path: Path, noise: float, per_epoch: bool, changes: dict[str, Any]
) -> None:
    run = SMALL.but(noise=noise, per_epoch=per_epoch, **changes)
    assert alarms(run, tmp_path) == {}


@pytest.mark.parametrize(
    ("check", "run"),
    [
        ("logged-loss-not-decreasing", SMALL.but(rate=0.0)),
        ("logged-loss-not-decreasing", LINEAR.but(rate=0.0, per_epoch=True)),
        ("logged-loss-diverges", SMALL.but(optimizer="SGD", rate=30.0)),
        ("logged-loss-diverges", LINEAR.but(rate=0.04, per_epoch=True)),
        ("logged-loss-oscillates", LINEAR.but(rate=0.02, per_epoch=True)),
        ("logged-loss-oscillates", LINEAR.but(rate=0.02, seed=3)),
        ("logged-rate-not-scheduled", LINEAR.but(rate=0.02, per_epoch=True)),
        ("stopped-too-early", SMALL.but(rate=2e-4, per_epoch=True)),
        ("stopped-too-early", SMALL.but(rate=1e-4, noise=0.2)),
        ("logged-overfitting", BY_HEART),
        ("logged-overfitting", BY_HEART.but(per_epoch=True, seed=1)),
        ("logged-gradient-spikes", SPIKED),
        ("logged-gradient-spikes", LINEAR.but(broken_steps=(300, 400, 500), rate=1e-5, clip=5.0)),
    ],
)  # fmt: skip
def test_planted_faults(tmp_path: Path, check: str, run: Run) -> None:
    assert check in alarms(run, tmp_path)


def test_the_rate_that_should_have_come_down(tmp_path: Path) -> None:
    """A schedule is declared, and the loop never steps it: the log tells."""
    found = audited(tmp_path, SMALL.but(per_epoch=True, epochs=30), "logged-rate-not-scheduled")
    assert found["verdict"] == "warn"
    assert "CosineAnnealingLR" in found["summary"]
    assert found["where"][0]["name"] == "metrics.csv"


def test_a_log_beside_the_checkpoint_is_found_and_judged(tmp_path: Path) -> None:
    found = audited(tmp_path, BY_HEART.but(per_epoch=True), "logged-overfitting")
    assert found["verdict"] == "fail"
    assert "best at epoch" in found["summary"]
    assert found["figures"]


def audited(folder: Path, run: Run, check: str) -> dict[str, Any]:
    """Audit a sample model with the log of a run beside its checkpoint, as a user does."""
    recording = shutil.ignore_patterns("*.audit.jsonl")
    there = shutil.copytree(SAMPLES / "digits_cnn", folder / "m", ignore=recording)
    log_of(run, there)
    command = [sys.executable, "-m", "auditor.cli", "run", str(there / "audit.yaml"),
               "--only", check, "--out", str(folder / "out"), "--format", "json"]  # fmt: skip
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode in (0, 1), ended.stderr
    record = json.loads((folder / "out" / "record.json").read_text())
    (found,) = (f for section in record["sections"] for f in section["findings"])
    assert isinstance(found, dict)
    return found
