"""What the inputs of a split are like: one number an example and feature, gathered in reading."""

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from auditor.core.subject import FeatureFacts, FeatureKind
from auditor.core.text import clean_text
from auditor.core.values import Array
from auditor.intake.batches import Batch, tensors_in

WIDEST = 64
"""Columns of a table, or channels, that are looked at one by one; of more, some drawn evenly."""

NARROW = 16
"""Whole numbers beside one another up to which each is a feature; more are tokens."""

DRAWN = 4096
"""Values of an example and channel that mean and spread are taken of at most, drawn evenly."""

KEPT = 16_384
"""Examples that quantiles are taken of at most, drawn evenly: 4 MB of 64 features."""

LEVELS = np.linspace(0.0, 1.0, 101)

Features = list[tuple[str, FeatureKind, torch.Tensor]]
"""Names, what they are, and columns [examples]."""


class FeatureSurvey:
    """Adds up the features of batches; those whose number changes between batches are dropped."""

    def __init__(self) -> None:
        self._names: tuple[str, ...] | None = None
        self._kinds: tuple[FeatureKind, ...] = ()
        self._left_out = 0
        self._sums: list[Array] = []
        self._kept: list[Array] = []
        self._seen = 0
        self._stride = 1
        self._held = 0

    def add(self, batch: Batch) -> None:
        """Take in a batch."""
        found, left_out = features_of(batch)
        names = tuple(name for name, _, _ in found)
        if self._names is None:
            self._names, self._kinds = names, tuple(kind for _, kind, _ in found)
            self._left_out = left_out
        elif names != self._names:
            self._keep_only(names)
            found = [one for one in found if one[0] in self._names]
        if not found:
            return
        rows = _table([column for _, _, column in found])
        self._sums.append(_sums(rows))
        first = -self._seen % self._stride
        self._seen += len(rows)
        self._kept.append(rows[first :: self._stride])
        self._held += len(self._kept[-1])
        while self._held > KEPT:
            self._kept = [np.concatenate(self._kept)[::2]]
            self._held = len(self._kept[0])
            self._stride *= 2

    def _keep_only(self, names: tuple[str, ...]) -> None:
        """Drop the features that are not among `names`."""
        known = self._names or ()
        places = [place for place, name in enumerate(known) if name in names]
        self._names = tuple(known[place] for place in places)
        self._kinds = tuple(self._kinds[place] for place in places)
        self._sums = [part[:, places] for part in self._sums]
        self._kept = [part[:, places] for part in self._kept]

    def facts(self, *, with_targets: bool = True) -> FeatureFacts | None:
        """Return the distributions, None where there is no feature."""
        if not with_targets and self._names is not None:
            pairs = zip(self._names, self._kinds, strict=True)
            self._keep_only(tuple(name for name, kind in pairs if kind != "target"))
        if not self._names or not self._sums:
            return None
        table = np.stack(self._sums)
        count, lost = table[:, 0].sum(axis=0), table[:, 1].sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = (table[:, 0] * table[:, 2]).sum(axis=0) / count
            within, between = table[:, 3], table[:, 0] * np.square(table[:, 2] - mean)
            variance = (within + between).sum(axis=0) / count
        rows = np.concatenate(self._kept)
        rows = np.where(np.isfinite(rows), rows, np.nan)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of a column without a finite value
            quantiles = np.nanquantile(rows, LEVELS, axis=0, method="inverted_cdf")
        return FeatureFacts(
            names=self._names,
            kinds=self._kinds,
            values=count.astype(np.int64),
            missing=lost.astype(np.int64),
            mean=mean,
            variance=variance,
            least=np.where(count > 0, table[:, 4].min(axis=0), np.nan),
            most=np.where(count > 0, table[:, 5].max(axis=0), np.nan),
            quantiles=np.asarray(quantiles.T, np.float32),
            left_out=self._left_out,
        )


def _table(columns: list[torch.Tensor]) -> Array:
    """Return columns beside one another, in single precision."""
    table = np.empty((len(columns[0]), len(columns)), np.float32)
    for place, column in enumerate(columns):
        table[:, place] = (column if column.dtype.itemsize >= 4 else column.float()).numpy()
    return table


def _sums(rows: Array) -> Array:
    """Return count, lost, mean, sum of squares about it, least and most of columns, [6, columns].

    Of what is not finite there are zeros, and infinite ends.
    """
    finite = np.isfinite(rows)
    count = finite.sum(axis=0)
    ends = rows, rows
    if not finite.all():
        ends = np.where(finite, rows, np.inf), np.where(finite, rows, -np.inf)
        rows = np.where(finite, rows, 0.0)
    mean = rows.sum(axis=0, dtype=np.float64) / np.maximum(count, 1)
    squares = (np.square(rows - mean) * finite).sum(axis=0)
    least, most = ends[0].min(axis=0), ends[1].max(axis=0)
    return np.stack([count, len(rows) - count, mean, squares, least, most])


def features_of(batch: Batch) -> tuple[Features, int]:
    """Return the features of a batch, and how many columns are left out."""
    found: Features = []
    left_out = 0
    size, whole = batch.size, batch.padded()
    named = list(_named(whole))
    for name, tensor in named:
        axis = whole.axis(tensor)
        if axis is None or tensor.layout is not torch.strided or not tensor.numel():
            continue
        if tensor.is_complex():
            continue
        rows = tensor.detach().cpu().movedim(axis, 0)
        prefix = f"{name}: " if len(named) > 1 else ""
        more, beyond = _features(rows, prefix)
        found += more
        left_out += beyond
    target = next(tensors_in(batch.target), None)
    if target is not None and target.is_floating_point() and target.ndim and len(target) == size:
        columns = target.detach().cpu().reshape(size, -1)
        if columns.shape[1] <= WIDEST:
            found += _columns(columns, "target", "target", range(columns.shape[1]))
    return found, left_out


def _named(batch: Batch) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the inputs with what to call them."""
    for place, tensor in enumerate(tensors_in(batch.args)):
        yield f"input {place}", tensor
    for key, value in batch.kwargs.items():
        for tensor in tensors_in(value):
            yield clean_text(key, 40), tensor


def _features(rows: torch.Tensor, prefix: str) -> tuple[Features, int]:
    """Return the features of one input [examples, ...], and how many columns are left out."""
    size = len(rows)
    whole = rows.dtype in (torch.int64, torch.int32)
    if whole and rows.ndim > 1 and rows[0].numel() > NARROW:
        return _tokens(rows.reshape(size, -1), f"{prefix}tokens"), 0
    if rows.ndim <= 2:
        table = rows.reshape(size, -1)
        width = table.shape[1]
        if width <= WIDEST:
            return _columns(table, f"{prefix}feature", "feature", range(width)), 0
        drawn = np.linspace(0, width - 1, WIDEST - 2).round().astype(int).tolist()
        return [
            *_moments(table.unsqueeze(1), f"{prefix}values", "values"),
            *_columns(table, f"{prefix}feature", "feature", drawn),
        ], width - len(drawn)
    last = rows.ndim == 3 and rows.shape[2] <= rows.shape[1]
    channels = rows.movedim(-1, 1) if last else rows
    grouped = channels.reshape(size, channels.shape[1], -1)
    if grouped.shape[1] > WIDEST // 2:
        return _moments(rows.reshape(size, 1, -1), f"{prefix}values", "values"), grouped.shape[1]
    return _moments(grouped, f"{prefix}channel", "channel"), 0


def _columns(table: torch.Tensor, name: str, kind: FeatureKind, chosen: Any) -> Features:
    only = table.shape[1] == 1
    return [(name if only else f"{name} {place}", kind, table[:, place]) for place in chosen]


def _moments(grouped: torch.Tensor, name: str, kind: FeatureKind) -> Features:
    """Return mean and spread of an example's values [examples, groups, values] in each group."""
    # An odd step, so that it does not keep to some columns of an image.
    values = grouped[:, :, :: max(1, grouped.shape[2] // DRAWN) | 1].float()
    variance, mean = torch.var_mean(values, dim=2, correction=0)
    several = grouped.shape[1] > 1
    found: Features = []
    for place in range(grouped.shape[1]):
        called = f"{name} {place}" if several else name
        found.append((f"{called}, mean", kind, mean[:, place]))
        if grouped.shape[2] > 1:
            found.append((f"{called}, spread", kind, variance[:, place].sqrt()))
    return found


def _tokens(rows: torch.Tensor, name: str) -> Features:
    """Return what an example's tokens are like; zeros are left aside, since they fill rows up."""
    real = rows != 0
    count = real.sum(dim=1).clamp(min=1)
    values = rows.float()
    mean = values.sum(dim=1) / count
    # Zeros add their squared distance to the mean, which is taken off again.
    around = (values - mean.unsqueeze(1)).square().sum(dim=1)
    around -= mean.square() * (rows.shape[1] - real.sum(dim=1))
    spread = around.clamp(min=0).div(count).sqrt()
    ordered = rows.sort(dim=1).values
    new = (ordered.diff(dim=1) != 0).sum(dim=1) + 1 - (~real).any(dim=1).long()
    return [
        (f"{name}, mean", "tokens", mean),
        (f"{name}, spread", "tokens", spread),
        (f"{name}, number", "tokens", real.sum(dim=1)),
        (f"{name}, share of different ones", "tokens", new / count),
    ]
