"""Which log belongs to a checkpoint: named in the spec, or found beside it."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from auditor.core.errors import InputError
from auditor.core.request import Unavailable
from auditor.core.spec import AuditSettings, AuditSpec, ModelSpec, TrainingSpec
from auditor.intake.loading import load
from auditor.observations.training_log import TrainingLog, TrainingLogOf
from auditor.observers.training_log import training_log

COURSE = "epoch,step,train_loss,val_loss\n0,10,3,3\n1,20,2,2.5\n2,30,1,2.8\n"
LONG = COURSE + "3,40,0.9,2.9\n4,50,0.8,3.0\n"


def found(
    folder: Path, checkpoint: str = "c.pt", log: str | None = None, **held: Any
) -> TrainingLog | Unavailable:
    path = folder / checkpoint
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"state_dict": nn.Linear(2, 2).state_dict(), **held}, path)
    spec = AuditSpec(
        model=ModelSpec(checkpoint=checkpoint),
        training=TrainingSpec(log=log),
        audit=AuditSettings(device="cpu"),
    )
    subject = load(spec.model_copy(update={"base": folder}))
    return training_log(TrainingLogOf(), subject)


def source(*given: Any, **held: Any) -> str:
    log = found(*given, **held)
    assert isinstance(log, TrainingLog), log
    return log.source


def why_not(*given: Any, **held: Any) -> str:
    log = found(*given, **held)
    assert isinstance(log, Unavailable), log
    return log.reason


@pytest.mark.parametrize(
    "name",
    ["metrics.csv", "log.csv", "history.csv", "training_log.txt", "train_log.csv", "log.txt",
     "results.csv", "c.csv", "c_history.csv", "c.metrics.csv"],
)  # fmt: skip
def test_well_known_names(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(COURSE)
    assert source(tmp_path) == name


def test_the_recorders_file_comes_first_and_the_one_of_the_checkpoint_before_others(
    tmp_path: Path,
) -> None:
    rows = '{"auditor_recorder": 1}\n{"step": 1, "train_loss": 2}\n{"step": 2, "train_loss": 1}\n'
    (tmp_path / "metrics.csv").write_text(COURSE)
    (tmp_path / "other.audit.jsonl").write_text(rows)
    assert source(tmp_path) == "other.audit.jsonl"
    (tmp_path / "c.audit.jsonl").write_text(rows)
    assert source(tmp_path) == "c.audit.jsonl"


def test_nothing_there(tmp_path: Path) -> None:
    assert "none lies beside the checkpoint" in why_not(tmp_path)
    assert "training: {log: metrics.csv}" in why_not(tmp_path)


def test_lightnings_folders(tmp_path: Path) -> None:
    run = tmp_path / "lightning_logs" / "version_3"
    (run / "checkpoints").mkdir(parents=True)
    (run / "metrics.csv").write_text(COURSE)
    name = "lightning_logs/version_3/checkpoints/epoch=2-step=30.ckpt"
    other = tmp_path / "lightning_logs" / "version_4"
    other.mkdir()
    (other / "metrics.csv").write_text(LONG)
    log = found(tmp_path, name, global_step=30, epoch=2)
    assert isinstance(log, TrainingLog)
    assert log.source == "../metrics.csv"
    assert log.saved_at == 30
    assert source(tmp_path, "c.pt", global_step=50) == "lightning_logs/version_4/metrics.csv"
    assert "Several logs may be" in why_not(tmp_path, "c.pt")


def test_hugging_faces_folder(tmp_path: Path) -> None:
    rows = [{"step": s, "epoch": s / 10, "loss": 3 - s / 20} for s in (10, 20, 30)]
    folder = tmp_path / "checkpoint-30"
    folder.mkdir()
    (folder / "trainer_state.json").write_text(json.dumps({"log_history": rows}))
    for beside in ("optimizer.pt", "scheduler.pt", "training_args.bin", "rng_state.pth"):
        (folder / beside).write_bytes(b"")
    log = found(tmp_path, "checkpoint-30/model.pt")
    assert isinstance(log, TrainingLog)
    assert (log.saved_at, log.saved_by) == (30, "its name")


def test_a_log_that_ends_long_before_the_checkpoint_is_of_another_run(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text(COURSE)
    said = why_not(tmp_path, global_step=5000)
    assert "metrics.csv is not of the checkpoint's run: it ends at step 30 (epoch 2)" in said
    assert "saved at step 5,000" in said


def test_the_log_of_another_model_is_left(tmp_path: Path) -> None:
    (tmp_path / "resnet.pt").write_bytes(b"")
    (tmp_path / "resnet.csv").write_text(COURSE)
    assert "training log" not in why_not(tmp_path, "lstm.pt")
    (tmp_path / "metrics.csv").write_text(COURSE)
    said = why_not(tmp_path, "lstm.pt")
    assert "may be of another model in the folder (resnet.pt)" in said
    assert source(tmp_path, "lstm.pt", global_step=30) == "metrics.csv", "its steps fit"
    (tmp_path / "lstm.csv").write_text(COURSE)
    assert source(tmp_path, "lstm.pt") == "lstm.csv"


def test_checkpoints_of_one_run_share_its_log(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text(COURSE)
    for name in ("best.pt", "last.pt", "epoch_1.pt", "model_epoch2.pt"):
        (tmp_path / name).write_bytes(b"")
    assert source(tmp_path, "epoch_2.pt") == "metrics.csv"


@pytest.mark.parametrize(
    ("name", "held", "at", "by"),
    [
        ("c.pt", {"global_step": 20}, 20, "`global_step` in the checkpoint"),
        ("c.pt", {"epoch": 1}, 20, "`epoch` in the checkpoint"),
        ("model_epoch_1.pt", {}, 20, "its name"),
        ("model-step=30.pt", {}, 30, "its name"),
        ("best.pt", {}, 20, "its name, the best"),
        ("last.pt", {}, 30, "its name, the last"),
    ],
)
def test_where_the_checkpoint_was_saved(
    tmp_path: Path, name: str, held: dict[str, Any], at: float, by: str
) -> None:
    (tmp_path / "metrics.csv").write_text(COURSE)
    log = found(tmp_path, name, **held)
    assert isinstance(log, TrainingLog)
    assert (log.saved_at, log.saved_by) == (at, by)


def test_one_that_cant_be_read_is_a_note(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_bytes(b"\x00\xff" * 50)
    assert "log.csv is not read: it holds bytes that are no text" in why_not(tmp_path)
    (tmp_path / "history.csv").write_text(COURSE)
    log = found(tmp_path)
    assert isinstance(log, TrainingLog)
    assert any("log.csv is not read" in note for note in log.notes)


def test_final_scores_alone_are_no_log(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text('{"loss": 0.3, "val_loss": 0.4}')
    assert "none lies beside" in why_not(tmp_path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "does not exist; expected a CSV table"),
        (b"", "it is empty; expected a CSV table"),
        (b"\x00" * 100, "no text"),
        (b"a,b\n1,2\n", "none of its columns is known as a loss"),
        (b"a,b\n", "no row of numbers below it"),
    ],
)
def test_a_named_log_has_to_be_one(tmp_path: Path, text: bytes | None, words: str) -> None:
    if text is not None:
        (tmp_path / "run.log").write_bytes(text)
    with pytest.raises(InputError) as raised:
        found(tmp_path, log="run.log")
    assert str(raised.value).startswith("training.log: run.log")
    assert words in str(raised.value)


def test_a_named_log_goes_before_any_beside(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text(COURSE)
    (tmp_path / "odd name").write_text(LONG)
    assert source(tmp_path, log="odd name") == "odd name"


def test_a_named_folder(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with pytest.raises(InputError, match="a folder without a log of training"):
        found(tmp_path, log="run")
    (tmp_path / "run" / "metrics.csv").write_text(LONG)
    assert source(tmp_path, log="run") == "run/metrics.csv"


def test_without_a_checkpoint_or_a_name() -> None:
    import auditor

    record = auditor.audit(nn.Linear(2, 2), only=["logged-overfitting"], remedies=False)
    (finding,) = record.findings
    assert finding.verdict == "not_applicable"
    assert "training: {log: metrics.csv}" in finding.summary


def test_the_recording_of_another_checkpoint_is_not_read_whatever_its_suffix(
    tmp_path: Path,
) -> None:
    (tmp_path / "best.audit.jsonl").write_text(
        '{"auditor_recorder": 1}\n{"step": 1, "train_loss": 2}\n{"step": 2, "train_loss": 1}\n'
    )
    assert source(tmp_path) == "best.audit.jsonl"
    (tmp_path / "best.pkl").write_bytes(b"")
    assert "none lies beside the checkpoint" in why_not(tmp_path)
