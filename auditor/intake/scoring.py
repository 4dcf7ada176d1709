"""Scoring a model's outputs against their targets, example by example."""

from typing import Any, Literal

import numpy as np
import torch
from torch.nn import functional

from auditor.core.errors import InputError
from auditor.core.request import Unavailable
from auditor.core.values import Array
from auditor.intake.losses import as_classes, labels_in, main_output, matched, picks_class
from auditor.intake.subject import Subject
from auditor.observations.performance import Performance

WIDEST = 64
"""Outputs of a regression whose targets are kept for scoring other predictors."""


class Scorer:
    """Scores each example and keeps what other predictors need to be scored on it."""

    def __init__(self, subject: Subject, split: str) -> None:
        self._split = split
        self._task = subject.facts.task
        assert subject.loss is not None
        self._given = subject.loss
        self._loss = subject.loss.known
        self._ignored = subject.loss.ignored
        self._scores: list[torch.Tensor] = []
        self._entropies: list[torch.Tensor] = []
        self._losses: list[torch.Tensor] = []
        self._sizes: list[int] = []
        self._pairs: list[torch.Tensor] = []
        self._values: list[torch.Tensor] = []
        self._shares: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._no_shares: list[torch.Tensor] = []
        self._unreadable = ""
        self._counted: list[torch.Tensor] = []

    def add(self, outputs: Any, target: Any, loss: torch.Tensor | None) -> None:
        """Score a batch by what the model put out."""
        outputs = main_output(outputs)
        if not isinstance(outputs, torch.Tensor) or not isinstance(target, torch.Tensor):
            self._unreadable = "the outputs or the targets are no tensors"
            return
        wide = torch.float64 if outputs.dtype == torch.float64 else torch.float32
        outputs, target = outputs.detach().to(wide), target.detach()
        if picks_class(self._given, self._task, outputs, target):
            try:
                self._score_classes(*as_classes(outputs, target))
            except InputError as error:
                self._unreadable = str(error)
                return
        elif self._task in ("binary", "multilabel"):
            self._score_labels(*matched(outputs, target, "binary_cross_entropy"))
        elif self._task == "regression":
            self._score_numbers(*matched(outputs, target, "mse_loss"))
        else:
            self._unreadable = "the task is custom, so no standard metric applies"
            return
        if loss is not None:
            self._losses.append(loss.detach())
        self._sizes.append(len(self._scores[-1]))

    def scored(self) -> Array:
        """Return which of the examples seen have a score: those with a target that counts."""
        return np.asarray(_joined(self._counted), bool)

    def _score_classes(self, scores: torch.Tensor, target: torch.Tensor) -> None:
        size = len(target)
        logs = scores if self._loss == "nll_loss" else functional.log_softmax(scores, dim=1)
        safe = target.masked_fill(target == self._ignored, 0)
        surprise = -logs.gather(1, safe.unsqueeze(1)).squeeze(1).reshape(size, -1)
        right = (scores.argmax(dim=1) == target).reshape(size, -1)
        target = target.reshape(size, -1)
        counted = target != self._ignored
        rows = counted.any(dim=1)
        self._counted.append(rows)
        target, counted = target[rows], counted[rows]
        share = counted.sum(dim=1)
        self._scores.append(_unless_nan((right[rows] & counted).sum(dim=1) / share, scores[rows]))
        self._entropies.append(surprise[rows].masked_fill(~counted, 0.0).sum(dim=1) / share)
        self._keep(target, counted)

    def _score_labels(self, outputs: torch.Tensor, target: torch.Tensor) -> None:
        size = len(target)
        labels = labels_in(target)
        outputs, target = outputs.reshape(size, -1), target.reshape(size, -1)
        numbers = torch.arange(labels, device=target.device)
        numbers = numbers.repeat_interleave(target.shape[1] // labels)
        read = _as_shares if self._loss == "binary_cross_entropy" else _as_logits
        scores, surprise = read(outputs, target)
        self._scores.append(scores)
        self._counted.append(torch.ones(size, dtype=torch.bool, device=target.device))
        self._entropies.append(surprise)
        if not self._loss:
            self._shares.append(_as_shares(outputs, target))
            self._no_shares.append(((outputs < 0) | (outputs > 1)).any())
        classes = (target > 0.5).long()
        if self._task == "multilabel":
            classes = classes + 2 * numbers
        self._keep(classes, torch.ones_like(classes, dtype=torch.bool))

    def _score_numbers(self, outputs: torch.Tensor, target: torch.Tensor) -> None:
        if self._loss == "poisson_nll_loss":
            outputs = outputs.exp()  # The loss takes the logarithm of the rate.
        difference = (outputs - target).reshape(len(target), -1)
        error = difference.abs() if self._loss == "l1_loss" else difference.square()
        self._scores.append(error.mean(dim=1))
        self._counted.append(torch.ones(len(error), dtype=torch.bool, device=target.device))
        values = target.reshape(len(target), -1)
        self._values.append(values if values.shape[1] <= WIDEST else values[:, :0])

    def _keep(self, classes: torch.Tensor, counted: torch.Tensor) -> None:
        """Keep how often each class stands among the targets of each example."""
        first = sum(self._sizes)
        examples = torch.arange(len(classes), device=classes.device).unsqueeze(1) + first
        pairs = torch.stack([examples.expand_as(classes)[counted], classes[counted]], dim=1)
        unique, counts = torch.unique(pairs, dim=0, return_counts=True)
        self._pairs.append(torch.cat([unique, counts.unsqueeze(1)], dim=1))

    def result(self) -> Performance | Unavailable:
        """Return the scores of all examples."""
        if self._unreadable or not self._scores:
            return Unavailable(self._unreadable or "no example was scored")
        metric: Literal["accuracy", "squared error", "absolute error"] = "accuracy"
        if self._task == "regression":
            metric = "absolute error" if self._loss == "l1_loss" else "squared error"
        scores, entropies = self._scores, self._entropies
        if self._shares and not torch.stack(self._no_shares).any():
            # A loss of the user's own took them as they are, so they are probabilities already.
            scores, entropies = map(list, zip(*self._shares, strict=True))
        pairs = _joined(self._pairs).astype(np.int64).reshape(-1, 3)
        return Performance(
            metric=metric,
            scores=_joined(scores),
            entropies=_joined(entropies),
            losses=_joined([loss.reshape(1) for loss in self._losses]),
            batch_examples=np.asarray(self._sizes),
            target_example=pairs[:, 0],
            target_class=pairs[:, 1],
            target_count=pairs[:, 2],
            target_values=_joined(self._values) if self._values else np.zeros((0, 0)),
            split=self._split,
        )


def _unless_nan(scores: torch.Tensor, outputs: torch.Tensor) -> torch.Tensor:
    """Return the scores, NaN where an example's outputs hold one: it has no largest output."""
    lost = outputs.reshape(len(outputs), -1).isnan().any(dim=1)
    return scores.masked_fill(lost, torch.nan)


def _as_logits(outputs: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return each example's accuracy and cross-entropy over its labels, outputs being logits."""
    surprise = functional.binary_cross_entropy_with_logits(outputs, target, reduction="none")
    return _label_scores(outputs > 0, outputs, target), surprise.mean(dim=1)


def _as_shares(outputs: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the same, outputs being probabilities."""
    # Not torch's own function, which stops all of CUDA at an output of NaN.
    share = outputs.clamp(0.0, 1.0)
    yes, no = share.log().clamp(min=-100), torch.log1p(-share).clamp(min=-100)
    surprise = -(target * yes + (1 - target) * no)
    return _label_scores(outputs > 0.5, outputs, target), surprise.mean(dim=1)


def _label_scores(
    predicted: torch.Tensor, outputs: torch.Tensor, target: torch.Tensor
) -> torch.Tensor:
    return _unless_nan((predicted == (target > 0.5)).float().mean(dim=1), outputs)


def _joined(tensors: list[torch.Tensor]) -> Any:
    return torch.cat(tensors).double().cpu().numpy() if tensors else np.zeros(0)
