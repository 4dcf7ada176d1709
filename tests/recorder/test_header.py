"""What a recording tells of the run as a whole."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

from auditor import Recorder
from tests.recorder.runs import data, lines, mlp


def header(folder: Path, *given: Any, **more: Any) -> dict[str, Any]:
    recorder = Recorder(folder / "model.pt", *given, resume=False, **more)
    recorder.close()
    return lines(recorder.path)[0]


def test_settings_are_read_off_what_trains(tmp_path: Path) -> None:
    torch.manual_seed(17)
    model = mlp()
    optimizer = torch.optim.AdamW(
        [{"params": model[0].parameters(), "lr": 0.5}, {"params": model[3].parameters()}],
        lr=torch.tensor(0.25),
        weight_decay=0.125,
    )
    scheduler = lr_scheduler.LinearLR(optimizer, start_factor=0.1)
    told = header(
        tmp_path,
        model,
        optimizer,
        train=data(),
        scheduler=scheduler,
        settings={"epochs": 20, "clip_norm": 1.0},
    )["settings"]
    assert told["optimizer"] == "AdamW"
    assert told["lr"] == 0.5  # that which the schedule begins with
    assert told["betas"] == [0.9, 0.999]
    assert told["weight_decay"] == 0.125
    assert told["param_groups"] == 2
    assert told["schedule"] == "LinearLR"
    assert told["batch_size"] == 16
    assert told["shuffle"] is True
    assert told["seed"] == 17
    assert told["epochs"] == 20
    assert told["clip_norm"] == 1.0
    assert told["trainable"] == sum(p.numel() for p in model.parameters())


def test_secrets_and_what_is_no_plain_value_are_left_out(tmp_path: Path) -> None:
    given = {
        "api_key": "abc",
        "HF_TOKEN": "abc",
        "nested": {"password": "abc", "width": 3},
        "max_tokens": 128,
        "model": mlp(),
        "rate": float("nan"),
        "control": "a\x1b[31mb",
        "long": "x" * 1000,
    }
    written = header(tmp_path, mlp(), settings=given)
    assert "abc" not in json.dumps(written)
    told = written["settings"]
    assert told["nested.width"] == 3
    assert told["max_tokens"] == 128
    assert told["model"] == "Sequential"
    assert told["rate"] == "nan"
    assert told["control"] == "a\\x1b[31mb"
    assert len(told["long"]) < 300


def test_a_loader_that_breaks_costs_its_fingerprint_alone(tmp_path: Path) -> None:
    class Broken(torch.utils.data.Dataset[Any]):
        def __len__(self) -> int:
            return 4

        def __getitem__(self, index: int) -> Any:
            raise KeyError("gone")

    loader = torch.utils.data.DataLoader(Broken(), 2)
    written = header(tmp_path, mlp(), train=loader, val=data())
    assert "gone" in written["data"]["train"]["not_read"]
    assert written["data"]["val"]["examples"] == 96


PROGRAM = """
import torch
from auditor import Recorder
Recorder("model.pt", torch.nn.Linear(2, 1)).close()
"""


@pytest.mark.parametrize("change", ["", "# changed\n"])
def test_the_commit_of_the_program_is_told(tmp_path: Path, change: str) -> None:
    def git(*words: str) -> str:
        command = ["git", "-c", "user.name=a", "-c", "user.email=a@b.example", *words]
        done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    (tmp_path / "train.py").write_text(PROGRAM)
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "first")
    commit = git("rev-parse", "HEAD")
    (tmp_path / "train.py").write_text(PROGRAM + change)
    subprocess.run([sys.executable, "train.py"], cwd=tmp_path, check=True)
    told = lines(tmp_path / "model.audit.jsonl")[0]["code"]
    assert told["commit"] == commit
    assert told["dirty"] is bool(change)


def test_code_in_no_repository_tells_of_none(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(PROGRAM)
    subprocess.run([sys.executable, "train.py"], cwd=tmp_path, check=True)
    assert lines(tmp_path / "model.audit.jsonl")[0]["code"] == {}


def test_a_model_of_no_parameters_has_a_header(tmp_path: Path) -> None:
    assert header(tmp_path, nn.ReLU())["settings"]["parameters"] == 0
