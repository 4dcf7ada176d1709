"""The distribution of targets, gathered batch by batch."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from auditor.core.spec import Task
from auditor.core.subject import TargetFacts
from auditor.intake.batches import tensors_in
from auditor.intake.losses import CLASS_TASKS, gives_shares, labels_in

MOST_ROWS = 1_000_000
"""Rows of numeric targets kept for the median; later ones still count in mean and variance."""


class TargetSurvey:
    """Counts integer targets by value, adds up shares of classes, keeps numbers by row."""

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._first_batch: dict[int, int] = {}
        self._shares: NDArray[np.float64] | None = np.zeros(0)
        self._rows: list[NDArray[Any]] = []
        self._kept = 0
        self._lowest: tuple[float, int] | None = None
        self._highest: tuple[float, int] | None = None
        self._labels = 0
        self.values = 0

    def add(self, target: Any, batch: int) -> None:
        """Take in the target of batch number `batch`."""
        tensor = next(tensors_in(target), None)
        if tensor is None:
            if isinstance(target, int | float):
                tensor = torch.tensor([target])
            else:
                return
        values = tensor.detach().cpu()
        self.values += values.numel()
        if values.numel() and not values.is_complex():
            low, high = float(values.min()), float(values.max())
            if self._lowest is None or low < self._lowest[0]:
                self._lowest = low, batch
            if self._highest is None or high > self._highest[0]:
                self._highest = high, batch
        self._labels = labels_in(values)
        self._add_shares(values)
        if values.dtype.is_floating_point:
            values = values.float()
            if set(values.unique()[:3].tolist()) <= {0.0, 1.0}:
                self._count(values.long(), batch)
        else:
            self._count(values.long(), batch)
        if self._kept < MOST_ROWS and values.ndim:
            rows = values.reshape(len(values), -1).numpy().astype(np.float64)
            if rows.shape[1] <= 1024:
                self._rows.append(rows)
                self._kept += rows.size

    def _add_shares(self, values: torch.Tensor) -> None:
        """Add up the shares of each class, so long as all targets give them."""
        so_far = self._shares
        if so_far is None or not gives_shares(values):
            self._shares = None
            return
        shares = values.double().movedim(1, -1).reshape(-1, values.shape[1]).sum(dim=0).numpy()
        fits = not len(so_far) or len(so_far) == len(shares)
        self._shares = (so_far + shares if len(so_far) else shares) if fits else None

    def _count(self, values: torch.Tensor, batch: int) -> None:
        found, counts = torch.unique(values, return_counts=True)
        for value, count in zip(found.tolist(), counts.tolist(), strict=True):
            self._counts[value] = self._counts.get(value, 0) + count
            self._first_batch.setdefault(value, batch)

    def outside(self, low: int, high: int, ignored: int) -> list[tuple[int, int]]:
        """Return the labels outside [low, high), with the first batch that holds each."""
        return sorted(
            (label, self._first_batch[label])
            for label in self._counts
            if not low <= label < high and label != ignored
        )

    def beyond(self, low: float, high: float) -> tuple[float, int] | None:
        """Return a value outside [low, high] and the first batch that holds it, if any."""
        if self._lowest is not None and self._lowest[0] < low:
            return self._lowest
        if self._highest is not None and self._highest[0] > high:
            return self._highest
        return None

    def facts(self, task: Task | None, ignored: int) -> TargetFacts:
        """Return the distribution, told as the task reads it, without labels that are ignored."""
        classes = task in CLASS_TASKS or task == "binary"
        if classes and self._shares is not None and len(self._shares):
            counts = np.rint(self._shares).astype(int)
            found = np.flatnonzero(counts)
            return TargetFacts(
                kind="classes",
                values=round(float(self._shares.sum())),
                classes=tuple(found.tolist()),
                counts=tuple(counts[found].tolist()),
            )
        if classes and self._counts:
            labels = sorted(c for c in self._counts if c >= 0 and c != ignored)
            return TargetFacts(
                kind="classes",
                values=self.values,
                classes=tuple(labels),
                counts=tuple(self._counts[c] for c in labels),
            )
        if task == "multilabel" and self._labels == 1 and self._counts:
            return _labelled(self.values, [[self._counts.get(value, 0) for value in (0, 1)]])
        rows = [row for row in self._rows if row.shape[1] == self._rows[0].shape[1]]
        if not rows:
            return TargetFacts(kind="unknown", values=self.values)
        table = np.concatenate(rows)
        if task == "multilabel":
            ones = (table > 0.5).reshape(len(table), self._labels, -1).sum(axis=(0, 2))
            each = table.size // self._labels
            return _labelled(self.values, np.stack([each - ones, ones], axis=1).tolist())
        median = np.median(table, axis=0)
        return TargetFacts(
            kind="numbers",
            values=self.values,
            mean=tuple(table.mean(axis=0).tolist()),
            variance=tuple(table.var(axis=0).tolist()),
            median=tuple(median.tolist()),
            mean_absolute_deviation=tuple(np.abs(table - median).mean(axis=0).tolist()),
        )


def _labelled(values: int, pairs: list[list[int]]) -> TargetFacts:
    """Return the facts of labels, given how many zeros and ones each has."""
    counts = tuple(count for pair in pairs for count in pair)
    return TargetFacts("labels", values, classes=tuple(range(len(counts))), counts=counts)
