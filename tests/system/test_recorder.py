"""Trained with a Recorder, saved, and audited as a user does it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BIN = Path(sys.executable).parent

MODEL = """
from torch import nn

def build():
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
"""

DATA = """
import torch
from torch.utils.data import DataLoader, TensorDataset

def train_loader():
    inputs = torch.randn(256, 8, generator=torch.Generator().manual_seed(0))
    return DataLoader(TensorDataset(inputs, inputs[:, :3].argmax(1)), 32, shuffle=True)
"""

TRAIN = """
import torch
from torch.nn import functional
from auditor import Recorder
from data import train_loader
from model import build

torch.manual_seed(0)
model, loader = build(), train_loader()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 80)
recorder = Recorder("weights.pt", model, optimizer, train=loader, scheduler=scheduler)
for epoch in range(10):
    for inputs, target in loader:
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(inputs), target)
        loss.backward()
        optimizer.step()
        scheduler.step()
        recorder.step(loss)
    recorder.epoch()
torch.save(model.state_dict(), "weights.pt")
"""

SPEC = """
version: 1
model: {factory: "model:build", checkpoint: weights.pt}
data: {train: "data:train_loader"}
loss: cross_entropy
audit: {device: cpu, checks: {only: [environment-unrecorded, schedule-missing-or-off]}}
output: {formats: [json]}
"""


def audited(folder: Path) -> dict[str, Any]:
    command = [BIN / "audit", "run", "audit.yaml", "--quiet"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    record = json.loads((folder / "audit-report" / "record.json").read_text())
    assert isinstance(record, dict)
    return record


def findings(record: dict[str, Any]) -> dict[str, Any]:
    return {f["check"]: f for section in record["sections"] for f in section["findings"]}


@pytest.mark.slow
def test_an_audit_reads_what_the_recorder_wrote(tmp_path: Path) -> None:
    for name, text in (("model.py", MODEL), ("data.py", DATA), ("train.py", TRAIN)):
        (tmp_path / name).write_text(text)
    (tmp_path / "audit.yaml").write_text(SPEC)
    subprocess.run([sys.executable, "train.py"], cwd=tmp_path, check=True, timeout=120)
    recording = tmp_path / "weights.audit.jsonl"
    header = json.loads(recording.read_text().partition("\n")[0])

    record = audited(tmp_path)
    found = findings(record)
    assert found["environment-unrecorded"]["verdict"] == "pass"
    assert "weights.audit.jsonl" in found["environment-unrecorded"]["summary"]
    assert "CosineAnnealingLR" in json.dumps(found["schedule-missing-or-off"])
    # The data that training began with are the data that the audit sees.
    assert header["data"]["train"]["fingerprint"] == record["subject"]["data"]["train"][
        "fingerprint"
    ]  # fmt: skip
