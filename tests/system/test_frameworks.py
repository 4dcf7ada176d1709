"""Audits by the command line whose model, loss and data come from a framework."""

import hashlib
import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.test_docs import commands

pytestmark = pytest.mark.slow

CHECKS = (
    "trained-loss-off",
    "initial-loss-off-chance",
    "updates-not-applied",
    "no-better-than-baseline",
    "wrong-gradients",
)

HUB = """
import torch

def batches(seed, count):
    for number in range(count):
        generator = torch.Generator().manual_seed(100 * seed + number)
        ids = torch.randint(1, 16, (32, 6), generator=generator)
        yield {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids[:, 0] % 3}

def train_loader():
    return list(batches(0, 12))

def val_loader():
    return list(batches(1, 6))

def beyond():
    return [{**batch, "labels": batch["labels"] + 1} for batch in batches(1, 4)]
"""

TRAIN_HUB = """
import torch, transformers, data

torch.manual_seed(0)
config = transformers.BertConfig(
    vocab_size=16, hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
    intermediate_size=32, max_position_embeddings=8, num_labels=3, initializer_range=0.1,
)
model = transformers.BertForSequenceClassification(config)
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
for _ in range(25):
    for batch in data.train_loader():
        optimizer.zero_grad()
        model(**batch).loss.backward()
        optimizer.step()
model.save_pretrained("my-bert")
"""

LIT = """
import lightning, torch
from torch import nn
from torch.nn import functional

class Lit(lightning.LightningModule):
    def __init__(self, width=16, lr=0.1):
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(nn.Linear(6, width), nn.ReLU(), nn.Linear(width, 3))

    def forward(self, x):
        self.log("seen", x.mean())
        return self.net(x)

    def training_step(self, batch, batch_idx):
        loss = functional.cross_entropy(self(batch[0]), batch[1])
        self.log("loss", loss)
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.hparams.lr, momentum=0.9)

class Data(lightning.LightningDataModule):
    def __init__(self, size=32):
        super().__init__()
        self.save_hyperparameters()

    def setup(self, stage):
        inputs = torch.randn(480, 6, generator=torch.Generator().manual_seed(0))
        made = torch.utils.data.TensorDataset(inputs, inputs[:, :3].argmax(1))
        self.train = torch.utils.data.Subset(made, range(320))
        self.val = torch.utils.data.Subset(made, range(320, 480))

    def train_dataloader(self):
        return torch.utils.data.DataLoader(self.train, self.hparams.size, shuffle=True)

    def val_dataloader(self):
        return torch.utils.data.DataLoader(self.val, self.hparams.size)
"""

TRAIN_LIT = """
import lightning, torch, lit
torch.manual_seed(0)
trainer = lightning.Trainer(
    max_epochs=15, accelerator="cpu", logger=False, enable_checkpointing=False,
    enable_progress_bar=False, enable_model_summary=False,
)
trainer.fit(lit.Lit(), lit.Data())
trainer.save_checkpoint("last.ckpt")
"""


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).parent / "audit", "run", *arguments],
        cwd=folder, capture_output=True, text=True, timeout=240,
    )  # fmt: skip


def only(*checks: str) -> list[str]:
    return [word for check in checks for word in ("--only", check)]


def record(folder: Path, out: str = "audit-report") -> dict[str, Any]:
    held: dict[str, Any] = json.loads((folder / out / "record.json").read_text())
    return held


def verdicts(held: dict[str, Any]) -> dict[str, str]:
    return {f["check"]: f["verdict"] for s in held["sections"] for f in s["findings"]}


def files(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and "audit-report" not in path.parts and "__pycache__" not in path.parts
    }


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("hub")
    (folder / "data.py").write_text(HUB)
    subprocess.run([sys.executable, "-c", TRAIN_HUB], cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def lit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("lightning")
    folder = tmp_path_factory.mktemp("lit")
    (folder / "lit.py").write_text(LIT)
    subprocess.run([sys.executable, "-c", TRAIN_LIT], cwd=folder, check=True, capture_output=True)
    return folder


def test_a_folder_and_loaders_are_enough(hub: Path) -> None:
    before = files(hub)
    data = ["--train", "data:train_loader", "--val", "data:val_loader"]
    done = run(hub, "my-bert", *data, "--format", "json", *only(*CHECKS))
    assert done.returncode == 0, done.stdout + done.stderr
    held = record(hub)
    assert set(verdicts(held).values()) <= {"pass", "not_applicable"}, verdicts(held)
    assert verdicts(held)["trained-loss-off"] == "pass"
    assert held["subject"]["factory"] == "hf"
    assert held["subject"]["loss"] == "cross_entropy"
    assert files(hub) == before


def test_the_commands_of_the_document_run(hub: Path) -> None:
    lines = [line for line in commands("docs/frameworks.md") if line.startswith("audit run ")]
    assert lines
    for line in lines:
        out = ["--format", "json", "--out", "audit-report/document"]
        done = run(hub, *shlex.split(line)[2:], *out, *only("trained-loss-off"))
        assert done.returncode == 0, done.stderr


def test_plain_mistakes_with_a_folder(hub: Path) -> None:
    from safetensors.torch import load_file, save_file

    done = run(hub, "my-bert", "--val", "data:beyond", "--format", "json")
    assert done.returncode == 2
    assert "label out of range" in done.stderr
    weights = load_file(hub / "my-bert/model.safetensors")
    weights["classifier.weight"] = -weights["classifier.weight"]
    other = hub / "turned"
    other.mkdir()
    (other / "config.json").write_text((hub / "my-bert/config.json").read_text())
    save_file(weights, other / "model.safetensors")
    out = ["--format", "json", "--out", "audit-report/turned"]
    done = run(hub, "turned", "--val", "data:val_loader", *out, *only("trained-loss-off"))
    assert done.returncode == 1, done.stderr
    assert verdicts(record(hub, "audit-report/turned"))["trained-loss-off"] == "fail"


def test_a_folder_without_data_is_audited_by_its_weights(hub: Path) -> None:
    out = ["--format", "json", "--out", "audit-report/weights"]
    done = run(hub, "my-bert", *out)
    assert done.returncode in (0, 1), done.stderr
    assert record(hub, "audit-report/weights")["subject"]["factory"] == ""


def test_lightning_tells_model_loss_data_and_optimizer(lit: Path) -> None:
    before = files(lit)
    spec = (
        "model: {factory: 'lit:Lit', checkpoint: last.ckpt}\n"
        "data: {train: 'lit:Data', val: 'lit:Data'}\n"
    )
    held = []
    for number in (1, 2):
        (lit / "audit.yaml").write_text(spec)
        out = f"audit-report/{number}"
        done = run(lit, "audit.yaml", "--out", out, "--format", "json", *only(*CHECKS))
        assert done.returncode == 0, done.stdout + done.stderr
        held.append(record(lit, out))
    (lit / "audit.yaml").unlink()
    first, second = ({k: v for k, v in one.items() if k != "volatile"} for one in held)
    first["spec"]["output"] = second["spec"]["output"]
    first["spec_sha256"] = second["spec_sha256"]  # of the folder of the reports, too
    assert first == second
    assert set(verdicts(first).values()) <= {"pass", "not_applicable"}, verdicts(first)
    assert verdicts(first)["updates-not-applied"] == "pass"
    assert first["subject"]["checkpoint"]["format"] == "Lightning checkpoint (torch zip)"
    assert first["subject"]["loss"] == "cross_entropy"
    assert files(lit) == before, "no log, no checkpoint"


def test_a_lightning_checkpoint_of_another_class(lit: Path) -> None:
    held = torch.load(lit / "last.ckpt", weights_only=True)
    held["hyper_parameters"] = {"width": 8}
    torch.save(held, lit / "narrow.ckpt")
    done = run(lit, "--model", "lit:Lit", "--checkpoint", "narrow.ckpt", "--val", "lit:Data")
    (lit / "narrow.ckpt").unlink()
    assert done.returncode == 2
    assert "of another shape" in done.stderr
    assert "Traceback" not in done.stderr
