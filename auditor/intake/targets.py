"""The distribution of targets, gathered batch by batch."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from auditor.core.spec import Task
from auditor.core.subject import TargetFacts
from auditor.intake.batches import tensors_in

MOST_ROWS = 1_000_000
"""Rows of numeric targets kept for the median; later ones still count in mean and variance."""


class TargetSurvey:
    """Counts integer targets by value and keeps numeric ones by row."""

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._first_batch: dict[int, int] = {}
        self._rows: list[NDArray[Any]] = []
        self._kept = 0
        self._lowest: tuple[float, int] | None = None
        self._highest: tuple[float, int] | None = None
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
        if task in ("multiclass", "segmentation", "language_model", "binary") and self._counts:
            classes = sorted(c for c in self._counts if c >= 0 and c != ignored)
            return TargetFacts(
                kind="classes",
                values=self.values,
                classes=tuple(classes),
                counts=tuple(self._counts[c] for c in classes),
            )
        rows = [row for row in self._rows if row.shape[1] == self._rows[0].shape[1]]
        if not rows:
            return TargetFacts(kind="unknown", values=self.values)
        table = np.concatenate(rows)
        if task == "multilabel":
            ones = (table > 0.5).sum(axis=0)
            pairs = np.stack([len(table) - ones, ones], axis=1).reshape(-1)
            return TargetFacts(
                kind="labels",
                values=self.values,
                classes=tuple(range(len(pairs))),
                counts=tuple(int(count) for count in pairs),
            )
        median = np.median(table, axis=0)
        return TargetFacts(
            kind="numbers",
            values=self.values,
            mean=tuple(table.mean(axis=0).tolist()),
            variance=tuple(table.var(axis=0).tolist()),
            median=tuple(median.tolist()),
            mean_absolute_deviation=tuple(np.abs(table - median).mean(axis=0).tolist()),
        )
