"""What the Recorder writes beside a checkpoint is the log that the audit reads."""

from pathlib import Path

import torch
from torch import nn

from auditor import Recorder
from auditor.observations.training_log import TrainingLog
from tests.intake.test_training_logs_found import found


def test_a_recorded_training_is_read(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    inputs = torch.randn(8, 2)
    with Recorder(tmp_path / "c.pt", model, optimizer, every=1) as recorder:
        for _ in range(12):
            optimizer.zero_grad()
            loss = model(inputs).square().mean()
            loss.backward()
            optimizer.step()
            recorder.step(loss)
    log = found(tmp_path)
    assert isinstance(log, TrainingLog), log
    assert log.source == "c.audit.jsonl"
    assert "Recorder" in log.format
    series = {one.name: one for one in log.series}
    assert len(series["train_loss"].x) == 12
    assert series["train_loss"].values[-1] < series["train_loss"].values[0]
    assert set(series["lr"].values.tolist()) == {0.1}
    assert len(series["grad_norm"].x) == 12
