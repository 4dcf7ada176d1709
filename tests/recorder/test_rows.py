"""The recording's file: begun anew, gone on with, and written by one process alone."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from auditor import Recorder
from auditor.recorder.cadence import sampled, stride
from auditor.recorder.rows import Rows, bring_over, line_of
from tests.recorder.runs import data, lines, mlp, rows, sgd, trained


def recorded(folder: Path, steps: int, resume: Any, optimizer: Any = None) -> Path:
    recorder = Recorder(folder / "model.pt", nn.Linear(2, 1), optimizer, resume=resume)
    for _ in range(steps):
        recorder.step(1.0)
    recorder.epoch(loss=1.0)
    recorder.close()
    return recorder.path


def test_a_new_run_keeps_the_file_of_the_one_before(tmp_path: Path) -> None:
    recorded(tmp_path, 3, None)
    path = recorded(tmp_path, 2, None)
    assert [row["step"] for row in rows(path)] == [1, 2, 2]
    assert [row["step"] for row in rows(tmp_path / "model.audit.jsonl.old")] == [1, 2, 3, 3]


def test_a_run_that_is_gone_on_with_counts_on(tmp_path: Path) -> None:
    recorded(tmp_path, 3, None)
    path = recorded(tmp_path, 2, True)
    _, *written = lines(path)
    assert [row["step"] for row in written] == [1, 2, 3, 3, 3, 4, 5, 5]
    (mark,) = (row for row in written if "resumed" in row)
    assert mark["environment"]["torch"] == str(torch.__version__)
    assert [row["epoch"] for row in written if "epoch" in row] == [1, 2]


def test_rows_past_the_step_that_training_goes_on_after_are_dropped(tmp_path: Path) -> None:
    recorded(tmp_path, 5, None)
    path = recorded(tmp_path, 2, 2)
    assert [row["step"] for row in rows(path)] == [1, 2, 2, 3, 4, 4]
    assert [row["epoch"] for row in rows(path) if "epoch" in row] == [1]


def test_a_line_that_was_cut_off_is_dropped(tmp_path: Path) -> None:
    path = recorded(tmp_path, 2, None)
    with path.open("a") as file:
        file.write('{"step": 3, "train_')
    recorded(tmp_path, 1, True)
    assert [row["step"] for row in rows(path)] == [1, 2, 2, 2, 3, 3]


def test_an_optimizer_with_a_state_goes_on(tmp_path: Path) -> None:
    _, optimizer = trained(lambda m, o, loader: Recorder(tmp_path / "model.pt", m, o))
    model = mlp()
    again = sgd(model.parameters())
    again.load_state_dict(optimizer.state_dict())
    recorder = Recorder(tmp_path / "model.pt", model, again)
    assert (recorder.steps, recorder.epochs) == (18, 3)
    recorder.close()
    assert Recorder(tmp_path / "model.pt", model, sgd(model.parameters())).steps == 0


@pytest.mark.parametrize("content", ["", "no json\n", '{"step": 1}\n', '{"auditor_recorder": 9}\n'])
def test_what_is_no_recording_is_not_gone_on_with(tmp_path: Path, content: str) -> None:
    path = tmp_path / "model.audit.jsonl"
    path.write_text(content)
    recorded(tmp_path, 1, True)
    assert lines(path)[0]["auditor_recorder"] == 1
    assert [row["step"] for row in rows(path)] == [1, 1]


def test_a_fork_writes_nothing(tmp_path: Path, monkeypatch: Any) -> None:
    written = Rows(tmp_path / "model.audit.jsonl")
    written.waiting.append({"step": 1})
    monkeypatch.setattr(os, "getpid", lambda: -1)
    written.flush()
    assert not written.path.exists()


def test_tensors_of_rows_are_brought_over_together() -> None:
    row: dict[str, Any] = {
        "step": 1,
        "train_loss": torch.tensor(0.5, dtype=torch.float16),
        "lr": torch.tensor([0.25], dtype=torch.float64),
        "dead_share": {"1": torch.tensor(0.125)},
    }
    bring_over([row])
    assert row == {"step": 1, "train_loss": 0.5, "lr": 0.25, "dead_share": {"1": 0.125}}


def test_a_line_is_json_whatever_the_names() -> None:
    import json

    row = {'a"b\n': 1.5, "step": 3, "ok": True, "none": None, "é": [1, 2.5], "text": "x\u2028"}
    assert json.loads(line_of(row)) == row


def test_rows_and_looks_thin_out_by_count_alone() -> None:
    assert [stride(n) for n in (1, 10_000, 10_001, 100_000, 100_001)] == [1, 1, 10, 10, 100]
    looked_into = [n for n in range(1, 30_001) if sampled(n, 100)]
    assert looked_into[:3] == [1, 101, 201]
    assert looked_into[100:] == [10_001, *range(11_001, 30_001, 1000)]


def test_two_equal_runs_write_equal_rows(tmp_path: Path) -> None:
    found = []
    for name in ("one", "other"):
        trained(
            lambda m, o, loader, name=name: Recorder(tmp_path / name, m, o, train=loader, every=5)
        )
        found.append((tmp_path / f"{name}.audit.jsonl").read_text().splitlines()[1:])
    assert found[0] == found[1]
    assert data() is not None
