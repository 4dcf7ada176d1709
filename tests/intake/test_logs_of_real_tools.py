"""Logs that Lightning, Hugging Face's trainer and TensorBoard themselves have written."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from auditor.intake.training_logs.read import read_log
from auditor.intake.training_logs.table import UnreadableLogError
from auditor.observations.training_log import TrainingLog
from tests.intake.test_training_logs_found import found

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

BATCHES, EPOCHS = 6, 3


def data(count: int = BATCHES) -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(count, 8, 4, generator=generator)
    return [(x, x.sum(1, keepdim=True)) for x in inputs]


def test_lightning(tmp_path: Path) -> None:
    lightning = pytest.importorskip("lightning")
    from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint
    from lightning.pytorch.loggers import CSVLogger

    class Module(lightning.LightningModule):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 1)

        def training_step(self, batch: Any, index: int) -> torch.Tensor:
            loss = nn.functional.mse_loss(self.layer(batch[0]), batch[1])
            self.log("train_loss", loss, on_step=True, on_epoch=True)
            return loss

        def validation_step(self, batch: Any, index: int) -> None:
            self.log("val_loss", nn.functional.mse_loss(self.layer(batch[0]), batch[1]))

        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.SGD(self.parameters(), lr=0.05)
            return [optimizer], [torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)]

    trainer = lightning.Trainer(
        max_epochs=EPOCHS,
        accelerator="cpu",
        logger=CSVLogger(str(tmp_path)),
        log_every_n_steps=1,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[LearningRateMonitor("epoch"), ModelCheckpoint(save_top_k=-1)],
    )
    loaders = (torch.utils.data.DataLoader(data(n), batch_size=None) for n in (BATCHES, 2))
    trainer.fit(Module(), *loaders)
    run = tmp_path / "lightning_logs" / "version_0"
    log = read_log(run / "metrics.csv", "metrics.csv")
    assert log.unit == "steps"
    series = {one.name: one for one in log.series}
    assert len(series["train_loss"].x) == EPOCHS * BATCHES
    assert len(series["val_loss"].x) == EPOCHS
    assert series["lr"].values.tolist() == [0.05, 0.025, 0.0125]
    assert series["val_loss"].epochs.tolist() == [0, 1, 2]
    # The checkpoint of the second epoch finds its log above its folder, and its place in it.
    (second,) = (run / "checkpoints").glob("epoch=1-*.ckpt")
    held = torch.load(second, weights_only=False)
    beside = found(tmp_path, str(second.relative_to(tmp_path)), **held)
    assert isinstance(beside, TrainingLog)
    assert (beside.source, beside.saved_at) == ("../metrics.csv", 2 * BATCHES)


def test_hugging_face(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 1)

        def forward(self, x: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
            out = self.layer(x)
            return {"loss": nn.functional.mse_loss(out, labels), "logits": out}

    rows = [{"x": x, "labels": y} for xs, ys in data() for x, y in zip(xs, ys, strict=True)]
    arguments = transformers.TrainingArguments(
        str(tmp_path),
        num_train_epochs=EPOCHS,
        logging_steps=2,
        eval_strategy="epoch",
        save_strategy="epoch",
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
    )
    trainer = transformers.Trainer(Model(), arguments, train_dataset=rows, eval_dataset=rows[:16])
    trainer.train()
    last = max(tmp_path.glob("checkpoint-*"), key=lambda p: int(p.name.rpartition("-")[2]))
    log = read_log(last / "trainer_state.json", "trainer_state.json")
    series = {one.name: one for one in log.series}
    assert "Hugging Face" in log.format
    assert set(series) >= {"train_loss", "val_loss", "lr", "grad_norm"}
    assert len(series["train_loss"].x) == EPOCHS * BATCHES // 2
    assert len(series["val_loss"].x) == EPOCHS
    assert series["lr"].values[-1] < series["lr"].values[0]


def test_tensorboard(tmp_path: Path) -> None:
    tensorboard = pytest.importorskip("torch.utils.tensorboard")

    def write(steps: range, top: float) -> None:
        with tensorboard.SummaryWriter(str(tmp_path)) as writer:
            for step in steps:
                writer.add_scalar("Loss/train", top - step / 10, step)
                writer.add_scalar("Loss/val", math.nan if step == 9 else top - step / 20, step)
                writer.add_scalar("lr", 0.1, step)
            writer.add_text("note", "not a number", 0)
            writer.add_histogram("weights", torch.randn(100), 0)

    write(range(8), 3.0)
    (first,) = tmp_path.glob("events*")
    log = read_log(first, "events")
    assert {one.name for one in log.series} == {"train_loss", "val_loss", "lr"}
    assert log.named("train_loss").values.tolist() == pytest.approx([3 - i / 10 for i in range(8)])  # type: ignore[union-attr]
    # A run that was resumed writes a second file, and so what it tells anew counts.
    first.rename(tmp_path / "events.out.tfevents.0000000001.host")
    write(range(6, 10), 2.0)
    both = found(tmp_path)
    assert isinstance(both, TrainingLog)
    train = both.named("train_loss")
    assert train is not None
    assert train.x.tolist() == list(range(10))
    assert train.values[6] == pytest.approx(1.4)
    # A run that begins anew in the same folder is another: neither is taken.
    sorted(tmp_path.glob("events*"))[-1].unlink()
    write(range(8), 9.0)
    assert "Several logs" in getattr(found(tmp_path), "reason", "")


def test_an_event_file_of_a_run_that_was_killed(tmp_path: Path) -> None:
    tensorboard = pytest.importorskip("torch.utils.tensorboard")
    with tensorboard.SummaryWriter(str(tmp_path)) as writer:
        for step in range(50):
            writer.add_scalar("Loss/train", 1.0 / (step + 1), step)
    (path,) = tmp_path.glob("events*")
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    log = read_log(path, "events")
    assert len(log.series[0].x) >= 48
    path.write_bytes(whole[:600] + b"\xff" * 300 + whole[900:])
    with pytest.raises(UnreadableLogError, match="TensorBoard"):
        read_log(path, "events")
