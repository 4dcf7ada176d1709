"""The Recorder as a callback of Lightning, in real fits."""

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.recorder.runs import data, lines, mlp, rows, state

pytestmark = pytest.mark.slow

lightning = pytest.importorskip("lightning.pytorch")


def module(scheduled: bool = True) -> Any:
    class Module(lightning.LightningModule):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.net = mlp()

        def training_step(self, batch: Any, _index: int) -> Any:
            inputs, target = batch
            loss = functional.cross_entropy(self.net(inputs), target)
            self.log("loss", loss)
            self.log("train_acc", (self.net(inputs).argmax(1) == target).float().mean())
            return loss

        def validation_step(self, batch: Any, _index: int) -> None:
            inputs, target = batch
            self.log("val/loss", functional.cross_entropy(self.net(inputs), target))

        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.Adam(self.parameters(), lr=1e-2)
            if not scheduled:
                return optimizer
            return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1)]

    return Module()


def fitted(folder: Path, callbacks: Any, ckpt: Path | None = None, **options: Any) -> Any:
    torch.manual_seed(0)
    model = module()
    trainer = lightning.Trainer(
        **{"max_epochs": 2, **options},
        callbacks=[*callbacks, lightning.callbacks.ModelCheckpoint(dirpath=folder / "weights")],
        default_root_dir=folder,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        check_val_every_n_epoch=2,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(model, data(), data(32, shuffle=False), ckpt_path=ckpt)
    return model, trainer


def test_a_fit_is_recorded_beside_its_checkpoint(tmp_path: Path) -> None:
    from auditor.recorder.lightning import RecorderCallback

    plain, _ = fitted(tmp_path / "plain", [], gradient_clip_val=0.5)
    same, _ = fitted(tmp_path, [RecorderCallback(every=5)], gradient_clip_val=0.5)
    assert state(same) == state(plain)
    (checkpoint,) = (tmp_path / "weights").glob("*.ckpt")
    (path,) = checkpoint.parent.glob("*.audit.jsonl")
    header, *written = lines(path)
    told = header["settings"]
    assert told["optimizer"] == "Adam"
    assert (told["schedule"], told["epochs"], told["clip_norm"]) == ("StepLR", 2, 0.5)
    assert header["data"]["train"]["examples"] == 96
    assert header["data"]["val"]["examples"] == 32
    steps = [row for row in written if "epoch" not in row]
    assert [row["step"] for row in steps] == [*range(1, 13)]
    rates = [0.01] * 5 + [0.001] * 6 + [0.0001]  # the schedule steps first
    assert [row["lr"] for row in steps] == rates
    looked_into = [row for row in steps if "grad_norm" in row]
    assert [row["step"] for row in looked_into] == [1, 6, 11]
    assert all(row["grad_norm"] <= 0.5001 for row in looked_into)  # clipped
    assert "net.0" in looked_into[0]["activation_rms"]
    assert looked_into[0]["update_ratio"].keys() == {"net.0.weight", "net.3.weight"}
    first, second = (row for row in written if "epoch" in row)
    assert first.keys() == {"step", "epoch", "train_acc"}  # validated every other epoch
    assert second.keys() == {"step", "epoch", "train_acc", "val_loss"}
    assert (second["step"], second["epoch"]) == (12, 2)


def test_batches_that_add_up_make_one_step(tmp_path: Path) -> None:
    from auditor.recorder.lightning import RecorderCallback

    fitted(tmp_path, [RecorderCallback(every=1)], accumulate_grad_batches=3, max_epochs=1)
    steps = [r for r in rows(tmp_path / "weights/training.audit.jsonl") if "epoch" not in r]
    assert [row["step"] for row in steps] == [1, 2]
    assert 0.5 < steps[0]["train_loss"] < 2  # the mean of three, not a share nor their sum
    assert all("update_ratio" in row for row in steps)


def test_a_fit_that_is_resumed_goes_on(tmp_path: Path) -> None:
    from auditor.recorder.lightning import RecorderCallback

    fitted(tmp_path, [RecorderCallback()])
    (checkpoint,) = (tmp_path / "weights").glob("*.ckpt")
    fitted(tmp_path, [RecorderCallback()], ckpt=checkpoint, max_epochs=3)
    written = rows(tmp_path / "weights/training.audit.jsonl")
    assert [r["step"] for r in written if "train_loss" in r] == [*range(1, 19)]
    assert len([row for row in written if "resumed" in row]) == 1


def test_a_fit_that_breaks_keeps_its_rows(tmp_path: Path) -> None:
    from auditor.recorder.lightning import RecorderCallback

    class Breaking(lightning.Callback):  # type: ignore[misc, name-defined]
        def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
            if trainer.global_step == 4:
                raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        fitted(tmp_path, [RecorderCallback(), Breaking()])
    assert len(rows(tmp_path / "weights/training.audit.jsonl")) == 4
    assert not nn.modules.module._has_any_global_hook()


def test_its_audit_knows_settings_and_environment(tmp_path: Path) -> None:
    from auditor.core.spec import AuditSettings, AuditSpec, ModelSpec
    from auditor.intake.loading import load
    from auditor.observations.settings import SettingsOf
    from auditor.observers.settings import settings
    from auditor.recorder.lightning import RecorderCallback

    fitted(tmp_path, [RecorderCallback()])
    (checkpoint,) = (tmp_path / "weights").glob("*.ckpt")
    spec = AuditSpec(model=ModelSpec(checkpoint=str(checkpoint)), audit=AuditSettings(device="cpu"))
    subject = load(spec.model_copy(update={"base": tmp_path}))
    known = settings(SettingsOf(), subject)
    assert known.batch_size == 16
    assert known.source("batch_size") == "`batch_size` in training.audit.jsonl"
    assert subject.checkpoint is not None
    assert subject.checkpoint.recorded is not None
    assert json.dumps(dict(subject.checkpoint.recorded.environment))
