"""The recording beside a checkpoint: which it is, what its header tells, and what it may not do."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from auditor.core.spec import AuditSettings, AuditSpec, ModelSpec
from auditor.intake import recorder_file
from auditor.intake.loading import load
from auditor.intake.recorder_file import Header, read_header, recording_beside
from auditor.intake.subject import Subject
from auditor.observations.environment import EnvironmentEvidenceOf
from auditor.observations.schedule import ScheduleOf
from auditor.observations.settings import SettingsOf
from auditor.observers.facts import environment_evidence
from auditor.observers.schedule import schedule
from auditor.observers.settings import settings

HEADER = {
    "auditor_recorder": 1,
    "started": "2026-01-01T00:00:00+00:00",
    "environment": {"python": "3.11.1", "torch": "2.10.0", "platform": "Linux", "numpy": "2.0.0"},
    "settings": {
        "optimizer": "SGD",
        "lr": 0.1,
        "momentum": 0.9,
        "batch_size": 32,
        "schedule": "StepLR",
        "clip_norm": 1.5,
        "seed": 3,
    },
    "data": {"train": {"fingerprint": "ab"}},
    "code": {"commit": "c0ffee"},
}


def written(path: Path, *rows: Any, header: Any = HEADER) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in (header, *rows)), encoding="utf-8")
    return path


def header_beside(checkpoint: Path) -> Header | None:
    path = recording_beside(checkpoint)
    return None if path is None else read_header(path)[0]


def subject(folder: Path) -> Subject:
    torch.save(nn.Linear(2, 1).state_dict(), folder / "m.pt")
    spec = AuditSpec(model=ModelSpec(checkpoint="m.pt"), audit=AuditSettings(device="cpu"))
    return load(spec.model_copy(update={"base": folder}))


def test_the_one_named_after_the_checkpoint_comes_first(tmp_path: Path) -> None:
    own = written(tmp_path / "m.audit.jsonl")
    written(tmp_path / "training.audit.jsonl")
    assert recording_beside(tmp_path / "m.pt") == own
    assert recording_beside(tmp_path / "other.pt") is None  # which of the two can't be told
    own.unlink()
    assert recording_beside(tmp_path / "m.pt") == tmp_path / "training.audit.jsonl"


def test_one_of_another_checkpoint_is_not_taken(tmp_path: Path) -> None:
    written(tmp_path / "best.audit.jsonl")
    assert recording_beside(tmp_path / "m.pt") == tmp_path / "best.audit.jsonl"
    (tmp_path / "best.pt").write_bytes(b"")
    assert recording_beside(tmp_path / "m.pt") is None
    assert header_beside(tmp_path / "none" / "m.pt") is None


def test_a_header_is_read_with_how_far_training_got(tmp_path: Path) -> None:
    rows = ({"step": 7, "train_loss": 0.5}, {"step": 7, "epoch": 2.0}, {"step": 9})
    written(tmp_path / "m.audit.jsonl", *rows)
    found = header_beside(tmp_path / "m.pt")
    assert found is not None
    assert found.environment["torch"] == "2.10.0"
    assert found.settings["seed"] == 3
    assert found.data["train"] == {"fingerprint": "ab"}
    assert found.code == {"commit": "c0ffee"}
    assert (found.steps, found.epochs) == (9, 2.0)


def test_the_end_of_a_long_file_tells_how_far_it_got(tmp_path: Path) -> None:
    path = written(tmp_path / "m.audit.jsonl", *({"step": n} for n in range(30_000)))
    assert path.stat().st_size > recorder_file.TAIL
    found = read_header(path)[0]
    assert found is not None
    assert found.steps == 29_999


DEEP = '{"auditor_recorder": 1, "settings": ' + '{"a": ' * 30_000 + "1" + "}" * 30_001


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "does not begin with a header"),
        (b"\x80\x04\n", "does not begin with a header"),
        (b'{"step": 1}\n', "does not begin with a header"),
        (b"[1]\n", "does not begin with a header"),
        (DEEP.encode(), "does not begin with a header"),
        (b'{"auditor_recorder": 2}\n', "is of version 2, expected 1"),
        (b'{"auditor_recorder": true}\n', "is of version True, expected 1"),
        (b'{"auditor_recorder": 1, "x": "' + b"x" * (2 << 20) + b'"}', "does not begin with a"),
        (b'{"auditor_recorder": 1, "x": ' + b"9" * 5000 + b"}", "does not begin with a header"),
    ],
)
def test_what_is_no_recording_is_left_out_with_a_note(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    (tmp_path / "m.audit.jsonl").write_bytes(content)
    assert header_beside(tmp_path / "m.pt") is None
    found = subject(tmp_path)
    assert found.checkpoint is not None
    assert found.checkpoint.recorded is None
    (note,) = (one for one in found.facts.warnings if "audit.jsonl" in one)
    assert reason in note


def test_odd_values_in_a_header_do_no_harm(tmp_path: Path) -> None:
    odd = {
        "auditor_recorder": 1,
        "started": ["x"],
        "environment": {"torch": {"a": 1}, "python\x1b[31m": "3\u202e", "numpy": "2" * 1000},
        "settings": [1, 2],
        "data": {"train": 3, "val": {"x": float("nan")}},
        "code": "no",
    }
    more = {f"k{n}": str(n) for n in range(5000)}
    rows = ({"step": True}, {"step": "x", "epoch": -1}, {"step": 1e300}, {"epoch": {}})
    odd["environment"] |= more  # type: ignore[operator]
    written(tmp_path / "m.audit.jsonl", *rows, header=odd)
    found = header_beside(tmp_path / "m.pt")
    assert found is not None
    assert (found.steps, found.epochs) == (None, None)
    assert (found.settings, found.code) == ({}, {})
    assert found.data == {"val": {"x": "NaN"}}
    assert len(found.environment) <= recorder_file.MOST_FACTS
    assert not any("\x1b" in text or "\u202e" in text for pair in found.environment.items()
                   for text in pair)  # fmt: skip
    assert subject(tmp_path).checkpoint is not None


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "m.audit.jsonl")
    assert header_beside(tmp_path / "m.pt") is None


def test_settings_of_training_are_known_from_it(tmp_path: Path) -> None:
    rates = [{"step": n, "lr": 0.1 / (1 + n // 5)} for n in range(1, 11)]
    written(tmp_path / "m.audit.jsonl", *rates, {"step": 10, "epoch": 2.0})
    audited = subject(tmp_path)
    known = settings(SettingsOf(), audited)
    assert known.optimizer == "SGD"
    assert known.batch_size == 32
    assert known.clip_norm == 1.5
    assert known.schedule == "StepLR"
    assert known.epochs == 2
    assert known.steps == 10
    assert known.groups[0].number("momentum") == 0.9
    assert known.source("optimizer") == "`optimizer` in m.audit.jsonl"
    course = schedule(ScheduleOf(), audited)
    assert course.logged.tolist() == [row["lr"] for row in rates]
    assert course.log_source == "the log of training, m.audit.jsonl"


def test_the_environment_is_known_from_it(tmp_path: Path) -> None:
    written(tmp_path / "m.audit.jsonl")
    (tmp_path / "requirements.txt").write_text("torch==1.0\n")
    found = environment_evidence(EnvironmentEvidenceOf(), subject(tmp_path))
    told = {fact.item: (fact.value, fact.where) for fact in found.found}
    assert told["torch"] == ("2.10.0", "m.audit.jsonl")
    assert told["platform"] == ("Linux", "m.audit.jsonl")
    assert found.looked_at[:2] == ("the checkpoint", "m.audit.jsonl")
