"""Checkpoints from which what training was done with is taken out, and what advice puts back."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import nn

from auditor import audit
from auditor.checks.tracking.hyperparameters_unrecorded import SCHEDULE, SOURCES, judge
from auditor.core.advice import parts
from auditor.core.check import Seen
from auditor.core.finding import Judgement
from auditor.core.spec_file import read_spec
from auditor.core.verdict import Verdict
from auditor.intake.loading import load
from auditor.observers.schedule import schedule
from auditor.observers.setting_sources import setting_sources
from tests.subjects import SAMPLES, Live

CHECK = "hyperparameters-unrecorded"


def judged(folder: Path) -> Judgement:
    subject = load(read_spec(folder / "audit.yaml"))
    return judge(
        Seen({SOURCES: setting_sources(SOURCES, subject), SCHEDULE: schedule(SCHEDULE, subject)})
    )


def stripped(name: str, file: str, folder: Path, *kept: str) -> Path:
    """Return a copy of a sample whose spec declares nothing, its checkpoint with only `kept`."""
    recording = shutil.ignore_patterns("*.audit.jsonl")
    there = shutil.copytree(SAMPLES / name, folder / name, ignore=recording)
    spec = yaml.safe_load((there / "audit.yaml").read_text())
    del spec["training"], spec["data"]["train"]
    (there / "audit.yaml").write_text(yaml.safe_dump(spec))
    held = torch.load(there / file, weights_only=True)
    torch.save({key: held[key] for key in ("state_dict", *kept)}, there / file)
    return there


@pytest.mark.parametrize(
    ("kept", "places"),
    [
        (("optimizer", "epoch", "hyperparameters"), []),
        (("optimizer", "epoch"), ["training.batch_size"]),
        (("epoch",), ["training.optimizer", "training.optimizer.lr", "training.batch_size"]),
        ((), ["training.optimizer", "training.optimizer.lr", "training.batch_size",
              "training.epochs"]),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    ("name", "file"), [("digits_cnn", "digits.pt"), ("diabetes_mlp", "diabetes.pt")]
)
def test_what_is_taken_out_is_missed(
    name: str, file: str, kept: tuple[str, ...], places: list[str], tmp_path: Path
) -> None:
    found = judged(stripped(name, file, tmp_path, *kept))
    assert found.verdict is (Verdict.WARN if places else Verdict.INFO), found.summary
    essential = [place.name for place in found.where][: len(places)]
    assert essential == places


def test_what_the_advice_saves_is_found(tmp_path: Path) -> None:
    """The code is run where a user would run it, and the checkpoint that it writes is read."""
    there = stripped("diabetes_mlp", "diabetes.pt", tmp_path)
    before = judged(there)
    code = next(parts(step).code for step in before.advice if "torch.save" in parts(step).code)
    model = nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    world: dict[str, Any] = {
        "torch": torch,
        "model": model,
        "optimizer": optimizer,
        "scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 5),
        "train_loader": torch.utils.data.DataLoader([1, 2, 3], batch_size=2),
        "epochs": 7,
        "clip_norm": None,
        "seed": 3,
        "data_version": "v2",
        "loss_fn": nn.MSELoss(),
        "path": there / "new.pt",
    }
    exec(compile(code, "advice", "exec"), world)
    (there / "audit.yaml").write_text("model: {checkpoint: new.pt}\n")
    after = judged(there)
    values = {str(row[0]): (row[1], row[3]) for row in after.figures[0].rows}  # type: ignore[union-attr]
    assert values["optimizer"] == ("AdamW", "recorded")
    assert values["learning rate"][1] == "recorded"
    assert values["batch size"] == ("2", "recorded")
    assert values["epochs or steps"] == ("7", "recorded")
    assert values["clipping of gradients"] == ("none", "recorded")
    assert values["schedule"] == ("StepLR", "recorded")
    assert values["version of the data"] == ("v2", "recorded")
    assert after.verdict in (Verdict.PASS, Verdict.INFO)


def test_in_a_notebook(diabetes: Live) -> None:
    """A live model is told what a checkpoint would lack, and never blamed."""
    found = diabetes.finding(CHECK)
    assert found.verdict is Verdict.INFO
    assert "without a checkpoint" in found.summary
    nothing = replace(diabetes, optimizer=None, loss=None, train=None, factory=None)
    assert nothing.finding(CHECK).verdict is Verdict.NOT_APPLICABLE


def test_an_optimizer_handed_in_and_never_stepped_contradicts_nothing(diabetes: Live) -> None:
    optimizer = torch.optim.SGD(diabetes.model.parameters(), lr=0.1, momentum=0.9)
    (found,) = audit(
        diabetes.model,
        optimizer=optimizer,
        training={"batch_size": 20, "epochs": 2},
        only=["settings-contradict-checkpoint"],
        remedies=False,
    ).findings
    assert found.verdict is Verdict.NOT_APPLICABLE, found.summary
