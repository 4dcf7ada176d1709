"""Schedules that are missing, never stepped or laid out wrongly, in models trained with them."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from auditor.checks.parameters.schedule_missing_or_off import (
    FRESH,
    SCHEDULE,
    SETTINGS,
    TRAINED,
    judge,
)
from auditor.core.check import Seen
from auditor.core.finding import Judgement
from auditor.core.request import Unavailable
from auditor.core.spec_file import read_spec
from auditor.core.verdict import Verdict
from auditor.intake.loading import load
from auditor.intake.losses import named_loss
from auditor.observers.schedule import schedule
from auditor.observers.settings import settings
from tests.subjects import SAMPLES, Live

EPOCHS = 4


def trained(live: Live, optimizer: dict[str, Any], epochs: int, scheduler: Any = None) -> Any:
    """Return a model trained at a rate that stays, or by a scheduler stepped as it says."""
    assert live.factory is not None
    torch.manual_seed(0)
    model = live.factory()
    arguments = {name: value for name, value in optimizer.items() if name != "name"}
    made = getattr(torch.optim, optimizer["name"])(model.parameters(), **arguments)
    planned, step = scheduler(made) if scheduler is not None else (None, "never")
    loss = named_loss(live.loss)
    model.train()
    for _ in range(epochs):
        for inputs, target in live.train:
            made.zero_grad()
            loss(model(inputs), target).backward()
            made.step()
            if step == "update":
                planned.step()
        if step == "epoch":
            planned.step()
    return model.eval(), made, planned


def test_a_constant_rate_that_rattles_at_its_noise_floor(diabetes: Live) -> None:
    optimizer = {"name": "AdamW", "lr": 0.05, "weight_decay": 0.1}
    model, *_ = trained(diabetes, optimizer, 10)
    live = replace(diabetes, model=model, optimizer=optimizer)
    found = live.finding("schedule-missing-or-off")
    assert found.verdict is Verdict.WARN, found.summary
    assert "A decay is called for" in found.summary
    assert found.where[0].name == "training.schedule"
    assert "CosineAnnealingLR" in found.advice[0]


def judged(live: Live, folder: Path, scheduler: Any) -> Judgement:
    """Return what is said of a checkpoint that keeps its scheduler, by its course alone."""
    there = shutil.copytree(SAMPLES / "diabetes_mlp", folder / "m")
    settings_of = {"name": "AdamW", "lr": 0.0005, "weight_decay": 0.1}
    model, optimizer, planned = trained(live, settings_of, EPOCHS, scheduler)
    held = {
        "state_dict": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": planned.state_dict(),
    }
    torch.save(held, there / "diabetes.pt")
    text = (there / "audit.yaml").read_text().replace("epochs: 20", f"epochs: {EPOCHS}")
    (there / "audit.yaml").write_text(text)
    subject = load(read_spec(there / "audit.yaml"))
    untried = Unavailable("not tried here")
    answers = {
        SCHEDULE: schedule(SCHEDULE, subject),
        SETTINGS: settings(SETTINGS, subject),
        FRESH: untried,
        TRAINED: untried,
    }
    return judge(Seen(answers))


def cosine(period: int, step: str) -> Any:
    return lambda made: (torch.optim.lr_scheduler.CosineAnnealingLR(made, period), step)


@pytest.mark.parametrize(
    ("scheduler", "verdict", "words"),
    [
        (cosine(EPOCHS, "never"), Verdict.WARN, "never moved"),
        (cosine(EPOCHS, "update"), Verdict.WARN, "stepped once an update"),
        (cosine(EPOCHS * 15, "epoch"), Verdict.WARN, "stepped once an epoch"),
        (cosine(EPOCHS * 15 // 2, "update"), Verdict.WARN, "raised the rate again"),
        (cosine(EPOCHS, "epoch"), Verdict.INFO, "`CosineAnnealingLR` was used"),
        (
            lambda o: (torch.optim.lr_scheduler.PolynomialLR(o, EPOCHS * 10), "update"),
            Verdict.WARN,
            "brought the rate to nothing",
        ),
    ],
)
def test_the_saved_state_tells_what_the_schedule_did(
    diabetes: Live, tmp_path: Path, scheduler: Any, verdict: Verdict, words: str
) -> None:
    found = judged(diabetes, tmp_path, scheduler)
    assert found.verdict is verdict, found.summary
    assert words in found.summary
