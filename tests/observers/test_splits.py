"""What a Recorder wrote of the data of training is set beside the data of an audit."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from auditor.checks import find
from auditor.core.check import Seen
from auditor.core.finding import Judgement
from auditor.core.spec import AuditSettings, AuditSpec
from auditor.core.verdict import Verdict
from auditor.engine.perform import perform
from auditor.engine.plan import planned
from auditor.intake.assembly import assemble
from auditor.intake.checkpoint import open_checkpoint
from auditor.intake.live import live_parts
from auditor.observations.earlier import EarlierOf
from auditor.observations.splits import SplitsOf, SplitsSeen
from auditor.recorder import Recorder


def loader(rows: int = 96, seed: int = 0, shuffle: bool = True) -> DataLoader[Any]:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(rows, 4, generator=generator)
    return DataLoader(TensorDataset(inputs, inputs.sum(1, keepdim=True)), 16, shuffle=shuffle)


def recorded(folder: Path, **loaders: Any) -> Path:
    model = nn.Linear(4, 1)
    recorder = Recorder(folder / "model.pt", model, **loaders)
    recorder.close()
    torch.save(model.state_dict(), folder / "model.pt")
    return folder / "model.pt"


def judged(checkpoint: Path, train: Any, val: Any) -> tuple[SplitsSeen, Judgement]:
    model = nn.Linear(4, 1)
    parts = live_parts(model, None, "mse_loss", train, val, None, None, "cpu")
    parts = replace(parts, checkpoint=open_checkpoint(checkpoint))
    subject = assemble(parts, AuditSpec(audit=AuditSettings(device="cpu")))
    check = find("data-changed")
    plan = planned([check], "standard", subject.facts)
    answers = {request: answer for work in plan.work for request, answer in perform(work, subject)}
    seen = {**answers, **plan.unavailable}
    return seen[SplitsOf()], check(Seen({**seen, EarlierOf("last"): seen[EarlierOf("last")]}))


def test_the_data_of_the_training(tmp_path: Path) -> None:
    checkpoint = recorded(tmp_path, train=loader(), val=loader(32, 1, shuffle=False))
    seen, found = judged(checkpoint, loader(), loader(32, 1, shuffle=False))
    assert seen.source == "model.audit.jsonl"
    assert seen.recorded is not None
    assert seen.recorded["train"].examples == 96
    assert found.verdict is Verdict.PASS
    assert "The training data is that of the training, by model.audit.jsonl" in found.summary


def test_fewer_examples_than_the_training_had(tmp_path: Path) -> None:
    checkpoint = recorded(tmp_path, train=loader())
    _, found = judged(checkpoint, loader(80), loader(32, 1))
    assert found.verdict is Verdict.WARN
    assert [place.name for place in found.where] == ["data.train"]
    assert "96 examples then, 80 now" in found.summary
    assert found.advice
    assert found.figures


def test_other_examples_than_the_training_had(tmp_path: Path) -> None:
    checkpoint = recorded(tmp_path, train=loader())
    _, found = judged(checkpoint, loader(seed=5), loader(32, 1))
    assert found.verdict is Verdict.INFO


@pytest.mark.parametrize(
    "header",
    [
        '{"auditor_recorder": 1, "data": {"train": {"fingerprint": 5}}}',
        '{"auditor_recorder": 1, "data": {"train": {"fingerprint": "a", "examples": "many"}}}',
        '{"auditor_recorder": 1, "data": {"train": [], "val": "x"}}',
        '{"auditor_recorder": 1, "data": {"train": {"fingerprint": "\\u202e", "examples": true}}}',
    ],
)
def test_a_hostile_header(tmp_path: Path, header: str) -> None:
    checkpoint = recorded(tmp_path, train=loader())
    (tmp_path / "model.audit.jsonl").write_text(header + "\n")
    _, found = judged(checkpoint, loader(), loader(32, 1))
    assert found.verdict is Verdict.NOT_APPLICABLE
