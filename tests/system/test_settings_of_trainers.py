"""Checkpoints of Hugging Face's Trainer and of Lightning, held against right and wrong specs."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from auditor.checks.tracking import hyperparameters_unrecorded, settings_contradict_checkpoint
from auditor.core.check import Check, Seen
from auditor.core.finding import Judgement
from auditor.core.spec_file import read_spec
from auditor.core.verdict import Verdict
from auditor.intake.loading import load
from auditor.observers.schedule import schedule
from auditor.observers.setting_sources import setting_sources
from auditor.observers.settings import settings

pytestmark = pytest.mark.slow

CONTRADICT = settings_contradict_checkpoint.judge
UNRECORDED = hyperparameters_unrecorded.judge
SOURCES = settings_contradict_checkpoint.SOURCES
SCHEDULE = settings_contradict_checkpoint.SCHEDULE
SETTINGS = settings_contradict_checkpoint.SETTINGS


def judged(check: Check, folder: Path, file: str, **training: Any) -> Judgement:
    spec = {"model": {"checkpoint": file}, "training": training}
    (folder / "audit.yaml").write_text(yaml.safe_dump(spec))
    subject = load(read_spec(folder / "audit.yaml"))
    answers = {
        SOURCES: setting_sources(SOURCES, subject),
        SCHEDULE: schedule(SCHEDULE, subject),
        SETTINGS: settings(SETTINGS, subject),
    }
    return check(Seen(answers))


class Words(torch.utils.data.Dataset[Any]):
    def __len__(self) -> int:
        return 24

    def __getitem__(self, place: int) -> dict[str, Any]:
        ids = torch.arange(6) % 9 + place % 3
        return {"input_ids": ids, "labels": place % 2}


@pytest.fixture(scope="module")
def hugging_face(tmp_path_factory: pytest.TempPathFactory) -> Any:
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("trainer")

    def train(name: str, **given: Any) -> tuple[Path, str]:
        config = transformers.BertConfig(
            vocab_size=16, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
            intermediate_size=8, max_position_embeddings=8, num_labels=2,
        )  # fmt: skip
        arguments = transformers.TrainingArguments(
            output_dir=str(folder / name), report_to=[], use_cpu=True, disable_tqdm=True,
            learning_rate=3e-4, weight_decay=0.01, seed=7, save_strategy="epoch", logging_steps=1,
            **{"num_train_epochs": 3, "per_device_train_batch_size": 8, **given},
        )  # fmt: skip
        model = transformers.BertForSequenceClassification(config)
        transformers.Trainer(model, arguments, train_dataset=Words()).train()
        last = max((folder / name).glob("checkpoint-*"), key=lambda p: int(p.name.split("-")[1]))
        return last, "model.safetensors"

    return train


RIGHT = {
    "optimizer": {"name": "AdamW", "lr": 3e-4, "weight_decay": 0.01},
    "batch_size": 8,
    "epochs": 3,
    "clip_norm": 1.0,
    "seed": 7,
    "schedule": "linear",
}


@pytest.mark.parametrize(
    ("given", "training"),
    [
        ({}, {}),
        ({"lr_scheduler_type": "cosine", "warmup_steps": 2}, {"schedule": "cosine with warmup"}),
        ({"lr_scheduler_type": "constant"}, {"schedule": "none"}),
        ({"gradient_accumulation_steps": 2, "per_device_train_batch_size": 4}, {}),
        ({"max_steps": 4, "num_train_epochs": 1}, {"epochs": 1.3}),
        ({"optim": "adamw_torch"}, {"optimizer": {"name": "AdamW", "lr": 3e-4}}),
    ],
)
def test_a_checkpoint_of_hugging_face(hugging_face: Any, given: Any, training: Any) -> None:
    folder, file = hugging_face("-".join(map(str, given.values())) or "plain", **given)
    found = judged(CONTRADICT, folder, file, **{**RIGHT, **training})
    assert found.verdict in (Verdict.PASS, Verdict.INFO), found.summary
    assert found.metrics[0].value == 0
    told = judged(UNRECORDED, folder, file)
    assert told.metrics[0].value == 4, told.summary
    assert told.verdict is Verdict.INFO, "the version of the data is not recorded"


def test_wrong_specs_of_a_checkpoint_of_hugging_face(hugging_face: Any) -> None:
    folder, file = hugging_face("wrong")
    for training, verdict, place in (
        ({"optimizer": {"name": "SGD", "lr": 3e-4}}, Verdict.FAIL, "training.optimizer.name"),
        ({"optimizer": {"name": "AdamW", "lr": 3e-3}}, Verdict.FAIL, "training.optimizer.lr"),
        ({"epochs": 30}, Verdict.FAIL, "training.epochs"),
        ({"seed": 1}, Verdict.WARN, "training.seed"),
        ({"clip_norm": 5.0}, Verdict.WARN, "training.clip_norm"),
        ({"schedule": "cosine"}, Verdict.WARN, "training.schedule"),
        ({"schedule": "none"}, Verdict.WARN, "training.schedule"),
    ):
        found = judged(CONTRADICT, folder, file, **{**RIGHT, **training})
        assert found.verdict is verdict, (training, found.summary)
        assert found.where[0].name == place


@pytest.fixture(scope="module")
def lightning(tmp_path_factory: pytest.TempPathFactory) -> Any:
    framework = pytest.importorskip("lightning")
    folder = tmp_path_factory.mktemp("lightning")

    class Small(framework.LightningModule):  # type: ignore[misc, name-defined]
        def __init__(self, lr: float, batch_size: int, width: int, scheduled: bool) -> None:
            super().__init__()
            self.save_hyperparameters()
            self.net = nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 1))

        def training_step(self, batch: Any, place: int) -> Any:
            return self.net(batch[0]).square().mean()

        def configure_optimizers(self) -> Any:
            made = torch.optim.SGD(self.parameters(), lr=self.hparams["lr"], momentum=0.9)
            if not self.hparams["scheduled"]:
                return made
            return [made], [torch.optim.lr_scheduler.CosineAnnealingLR(made, T_max=4)]

    def train(scheduled: bool) -> tuple[Path, str]:
        loader = DataLoader(TensorDataset(torch.randn(40, 4)), batch_size=8)
        trainer = framework.Trainer(
            max_epochs=4, accelerator="cpu", logger=False, enable_progress_bar=False,
            enable_model_summary=False, default_root_dir=folder / str(scheduled),
        )  # fmt: skip
        trainer.fit(Small(0.05, 8, 6, scheduled), loader)
        (file,) = (folder / str(scheduled)).rglob("*.ckpt")
        return file.parent, file.name

    return train


@pytest.mark.parametrize("scheduled", [True, False])
def test_a_checkpoint_of_lightning(lightning: Any, scheduled: bool) -> None:
    folder, file = lightning(scheduled)
    cosine = {"name": "CosineAnnealingLR", "T_max": 4}
    right = {
        "optimizer": {"name": "SGD", "lr": 0.05, "momentum": 0.9},
        "batch_size": 8,
        "epochs": 4,
        "schedule": cosine if scheduled else "none",
    }
    found = judged(CONTRADICT, folder, file, **right)
    assert found.verdict is Verdict.PASS, found.summary
    told = judged(UNRECORDED, folder, file)
    assert told.metrics[0].value == 4, told.summary
    for training, verdict, place in (
        ({"optimizer": {"name": "Adam", "lr": 0.05}}, Verdict.FAIL, "training.optimizer.name"),
        ({"optimizer": {"name": "SGD", "lr": 0.5}}, Verdict.FAIL, "training.optimizer.lr"),
        ({"epochs": 40}, Verdict.WARN, "training.epochs"),
        ({"epochs": 1}, Verdict.FAIL, "training.epochs"),
        ({"batch_size": 6}, Verdict.WARN, "training.batch_size"),
    ):
        found = judged(CONTRADICT, folder, file, **{**right, **training})
        assert found.verdict is verdict, (training, found.summary)
        assert found.where[0].name == place
