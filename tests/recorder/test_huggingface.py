"""The Recorder as a callback of Hugging Face's Trainer, in real trainings."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import Dataset

from tests.recorder.runs import lines, rows

pytestmark = pytest.mark.slow

transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))

    def forward(self, inputs: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        logits = self.net(inputs)
        return {"loss": functional.cross_entropy(logits, labels), "logits": logits}


class Data(Dataset[Any]):
    def __init__(self, seed: int, size: int) -> None:
        self.inputs = torch.randn(size, 8, generator=torch.Generator().manual_seed(seed))

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: int) -> dict[str, Any]:
        one = self.inputs[index]
        return {"inputs": one, "labels": int(one[:3].argmax())}


def trained(folder: Path, callbacks: Any, resume: str | None = None, **options: Any) -> nn.Module:
    arguments = transformers.TrainingArguments(
        output_dir=str(folder),
        **{
            "num_train_epochs": 2,
            "per_device_train_batch_size": 16,
            "learning_rate": 0.01,
            "logging_steps": 4,
            "eval_strategy": "epoch",
            "save_strategy": "epoch",
            "lr_scheduler_type": "cosine",
            "report_to": [],
            "use_cpu": True,
            "disable_tqdm": True,
            "seed": 3,
            **options,
        },
    )
    torch.manual_seed(0)
    model = Model()
    trainer = transformers.Trainer(
        model=model,
        args=arguments,
        train_dataset=Data(0, 128),
        eval_dataset=Data(1, 32),
        callbacks=callbacks,
    )
    trainer.train(resume_from_checkpoint=resume)
    trainer.save_model()
    return model


def weights(model: nn.Module) -> list[bytes]:
    return [p.detach().numpy().tobytes() for p in model.parameters()]


def test_a_training_is_recorded_beside_its_checkpoints(tmp_path: Path) -> None:
    from auditor.recorder.huggingface import RecorderCallback

    plain = trained(tmp_path / "plain", [])
    same = trained(tmp_path / "run", [RecorderCallback(every=5)])
    assert weights(same) == weights(plain)
    path = tmp_path / "run/training.audit.jsonl"
    assert (path.parent / "model.safetensors").is_file()
    header, *written = lines(path)
    told = header["settings"]
    assert told["optimizer"] == "AdamW"
    assert (told["num_train_epochs"], told["batch_size"], told["seed"]) == (2, 16, 3)
    assert told["lr_scheduler_type"].lower().endswith("cosine")
    assert header["data"]["train"]["examples"] == 128
    losses = [(row["step"], row["train_loss"]) for row in written if "train_loss" in row]
    assert [step for step, _ in losses] == [4, 8, 12, 16]
    assert all(loss > 0 for _, loss in losses)
    looked_into = [row for row in written if "update_ratio" in row]
    assert [row["step"] for row in looked_into] == [1, 6, 11, 16]
    assert looked_into[0]["grad_norm"] <= 1.0001
    assert looked_into[0]["dead_share"].keys() == {"net.1"}
    ends = [row for row in written if "epoch" in row]
    assert [(row["step"], row["epoch"]) for row in ends] == [(8, 1), (16, 2)]
    assert ends[0].keys() == {"step", "epoch", "val_loss"}
    for step in (8, 16):
        copy = rows(tmp_path / f"run/checkpoint-{step}/training.audit.jsonl")
        assert max(row["step"] for row in copy) == step


def test_a_training_that_is_resumed_goes_on(tmp_path: Path) -> None:
    from auditor.recorder.huggingface import RecorderCallback

    trained(tmp_path, [RecorderCallback()])
    path = tmp_path / "training.audit.jsonl"
    trained(tmp_path, [RecorderCallback()], resume=str(tmp_path / "checkpoint-8"))
    written = rows(path)
    assert [row["step"] for row in written if "train_loss" in row] == [4, 8, 12, 16]
    assert [row["step"] for row in written if "resumed" in row] == [8]


def test_its_audit_knows_the_settings(tmp_path: Path) -> None:
    from auditor.intake.checkpoint import open_checkpoint
    from auditor.intake.declared import told_by
    from auditor.recorder.huggingface import RecorderCallback

    trained(tmp_path, [RecorderCallback()], gradient_accumulation_steps=2)
    checkpoint = open_checkpoint(tmp_path / "model.safetensors")
    assert checkpoint.recorded is not None
    found = {told.field: told.value for told in reversed([*told_by(checkpoint)])}
    assert found["optimizer"] == "AdamW"
    assert found["schedule"].lower().endswith("cosine")
    assert found["epochs"] == 2
    assert checkpoint.recorded.steps == 8
