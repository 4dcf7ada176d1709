"""Small models really trained, with what happened written down as training scripts do it."""

import csv
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from auditor.core.check import Check, Seen
from auditor.core.finding import Judgement
from auditor.core.request import Unavailable
from auditor.intake.training_logs.read import read_log
from auditor.observations.schedule import ScheduleOf
from auditor.observations.training_log import TrainingLog, TrainingLogOf

Schedule = Callable[[float], float]
"""From the share of training that is done to the share of the highest rate."""


def constant(done: float) -> float:
    return 1.0


def cosine(done: float) -> float:
    warm = 0.05
    if done < warm:
        return max(done / warm, 0.01)
    return 0.5 * (1 + math.cos(math.pi * (done - warm) / (1 - warm)))


def one_cycle(done: float) -> float:
    return 0.04 + 0.96 * done / 0.3 if done < 0.3 else max(1 - (done - 0.3) / 0.7, 1e-3)


@dataclass(frozen=True)
class Run:
    """A run: its data, its model and its settings. `every` steps a row is written."""

    examples: int = 256
    features: int = 8
    classes: int = 3
    noise: float = 0.5
    width: int = 16
    batch: int = 16
    epochs: int = 30
    optimizer: str = "Adam"
    rate: float = 3e-3
    schedule: Schedule = constant
    clip: float | None = None
    every: int = 1
    per_epoch: bool = False
    random_labels: bool = False
    linear: bool = False
    """Whether it is a linear regression instead of a classification by a small network."""
    broken_steps: tuple[int, ...] = ()
    """Steps whose batch has inputs a thousand times too large."""
    seed: int = 0

    def but(self, **changes: Any) -> "Run":
        return replace(self, **changes)


def data_of(run: Run) -> tuple[tuple[torch.Tensor, torch.Tensor], ...]:
    """Return the inputs and targets of training and of validation."""
    generator = torch.Generator().manual_seed(run.seed)
    centres = 2 * torch.randn(run.classes, run.features, generator=generator)

    def split(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        y = torch.randint(run.classes, (count,), generator=generator)
        x = centres[y] + 4 * run.noise * torch.randn(count, run.features, generator=generator)
        if run.random_labels:
            flipped = torch.rand(count, generator=generator) < 0.4
            y = torch.where(flipped, torch.randint(run.classes, (count,), generator=generator), y)
        if run.linear:
            return x / 2, (x @ centres[0])[:, None] + 4 * run.noise * torch.randn(
                count, 1, generator=generator
            )
        return x / 2, y

    return split(run.examples), split(256)


def rows_of(run: Run) -> Iterator[dict[str, Any]]:
    """Train, and yield the rows of the log."""
    (x, y), (val_x, val_y) = data_of(run)
    torch.manual_seed(run.seed)
    hidden = nn.Sequential(nn.Linear(run.features, run.width), nn.ReLU())
    model = nn.Sequential(hidden, nn.Linear(run.width, run.width), nn.ReLU(),
                          nn.Linear(run.width, run.classes))  # fmt: skip
    measure: Any = functional.cross_entropy
    if run.linear:
        model, measure = nn.Sequential(nn.Linear(run.features, 1)), functional.mse_loss
    optimizer = getattr(torch.optim, run.optimizer)(model.parameters(), lr=run.rate)
    steps = run.epochs * math.ceil(run.examples / run.batch)
    step = 0
    for epoch in range(run.epochs):
        losses = []
        for rows in torch.randperm(run.examples).split(run.batch):
            rate = run.rate * run.schedule(step / steps)
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.zero_grad()
            inputs = x[rows] * (1000 if step in run.broken_steps else 1)
            loss = measure(model(inputs), y[rows])
            loss.backward()
            most = run.clip if run.clip is not None else math.inf
            norm = nn.utils.clip_grad_norm_(model.parameters(), most)
            optimizer.step()
            losses.append(float(loss.detach()))
            step += 1
            if step % run.every == 0 and not run.per_epoch:
                yield {"step": step, "epoch": epoch, "train_loss": losses[-1], "lr": rate,
                       "grad_norm": float(norm)}  # fmt: skip
        with torch.no_grad():
            val = float(measure(model(val_x), val_y))
        if run.per_epoch:
            mean = sum(losses) / len(losses)
            yield {"epoch": epoch, "train_loss": mean, "val_loss": val, "lr": rate}
        else:
            yield {"step": step, "epoch": epoch, "val_loss": val}


def log_of(run: Run, folder: Path) -> TrainingLog:
    """Return the log of a run, read from the file that it wrote."""
    path = folder / "metrics.csv"
    names = ("step", "epoch", "train_loss", "val_loss", "lr", "grad_norm")
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows_of(run))
    return read_log(path, path.name)


def judged(check: Check, log: TrainingLog, schedule: Any = None) -> Judgement:
    """Judge a log, with what is known of the schedule."""
    known = schedule or Unavailable("nothing is known of it")
    return check(Seen({TrainingLogOf(): log, ScheduleOf(): known}))
