"""Sees what the model puts out beside what it should have put out, target by target."""

from typing import Any, Literal

import numpy as np
import torch

from auditor.core.errors import InputError
from auditor.core.request import Unavailable
from auditor.intake.losses import as_classes, by_label, main_output, matched, picks_class
from auditor.intake.neutral import class_weights
from auditor.intake.subject import Subject
from auditor.observations.predictions import MOST, Predictions, PredictionsOver
from auditor.observers.observer import Observer, Step

Kind = Literal["classes", "labels", "numbers"]


class PredictionsObserver(Observer):
    """Keeps raw outputs and targets, a bounded number of each batch."""

    def __init__(self, request: PredictionsOver, subject: Subject) -> None:
        assert subject.loss is not None
        self._loss = subject.loss
        self._task = subject.facts.task
        self._split = request.split
        known = subject.facts.data["train" if request.split == "train" else "val"].batches
        self._share = MOST // max(1, min(request.batches, known))
        self._kind: Kind | None = None
        self._unreadable = ""
        self._weights: tuple[float, ...] = ()
        self._smoothing = subject.loss.smoothing
        self._kept: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
        self._losses: list[torch.Tensor] = []
        self._sizes: list[int] = []
        self._seen = 0
        self._ignored: list[torch.Tensor] = []

    def step(self, step: Step) -> None:
        """Take in a batch."""
        try:
            self._kind, rows, targets, per_example = self._read(step)
        except InputError as error:
            self._unreadable = str(error)
            return
        self._look_at(step)
        counted = torch.ones(len(rows), dtype=torch.bool, device=rows.device)
        if self._kind == "classes":
            counted = targets != self._loss.ignored
        place = counted.nonzero().squeeze(1)
        self._ignored.append((~counted).sum())
        self._seen += len(place)
        fits = max(1, self._share // max(1, rows.shape[1]))
        if len(place) > fits:
            evenly = torch.linspace(0, len(place) - 1, fits, device=place.device).round().long()
            place = place[evenly]
        example = place // per_example + sum(self._sizes)
        self._kept.append((rows[place], targets[place], example))
        if step.loss is not None:
            self._losses.append(step.loss.detach())
        self._sizes.append(step.batch.size)

    def _look_at(self, step: Step) -> None:
        """Take in how the loss weights classes, once, and how far targets are smoothed."""
        outputs, target = step.outputs, step.batch.target
        if not self._sizes and self._kind != "numbers":
            plain = self._loss.known and self._loss.plain
            known = self._loss.weights or ((1.0,) if plain else ())
            self._weights = known or class_weights(self._loss, self._task, outputs, target)
        if self._kind == "classes" and target.is_floating_point():
            self._smoothing = max(self._smoothing, 1 - float(target.amax(dim=1).mean()))

    def _read(self, step: Step) -> tuple[Kind, torch.Tensor, torch.Tensor, int]:
        """Return how to read the batch, its rows, their targets, and how many an example has.

        Raises:
            InputError: outputs and targets can't be set side by side.
        """
        outputs, target = main_output(step.outputs), step.batch.target
        if not isinstance(outputs, torch.Tensor) or not isinstance(target, torch.Tensor):
            raise InputError("the outputs or the targets are no tensors")
        if outputs.is_complex() or not outputs.ndim:
            raise InputError("the outputs are complex or a single number")
        outputs, target = outputs.detach().float(), target.detach()
        if picks_class(self._loss, self._task, outputs, target):
            scores, target = as_classes(outputs, target)
            if scores.ndim != target.ndim + 1:
                raise InputError("outputs and targets do not match")
            rows = scores.movedim(1, -1).reshape(-1, scores.shape[1])
            return "classes", rows, target.reshape(-1), target[0].numel()
        kind: Kind = "labels" if self._task in ("binary", "multilabel") else "numbers"
        if kind == "numbers" and self._task != "regression":
            raise InputError("the task is custom, so outputs can't be read")
        outputs, target = matched(outputs, target, "mse_loss")
        if kind == "labels":
            rows, wanted = by_label(outputs), by_label(target)
            return kind, rows, wanted, len(rows) // max(1, len(target))
        return kind, outputs.reshape(len(outputs), -1), target.reshape(len(target), -1), 1

    def result(self) -> Predictions | Unavailable:
        """Return all rows kept."""
        if self._unreadable or self._kind is None:
            return Unavailable(self._unreadable or "no batch was seen")
        outputs, targets, example = zip(*self._kept, strict=True)
        return Predictions(
            kind=self._kind,
            outputs=_joined(outputs),
            targets=_joined(targets),
            example=_joined(example),
            losses=_joined([loss.double().reshape(1) for loss in self._losses]),
            batch_examples=np.asarray(self._sizes),
            rows_seen=self._seen,
            ignored=int(torch.stack(self._ignored).sum()),
            loss=self._loss.known,
            plain=self._loss.plain,
            split=self._split,
            task=self._task or "",
            weights=self._weights,
            smoothing=round(self._smoothing, 6),
        )


def _joined(tensors: Any) -> Any:
    return torch.cat(list(tensors)).cpu().numpy() if len(tensors) else np.zeros(0)
