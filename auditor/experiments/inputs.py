"""What the inputs of a split are like, and which layer takes them."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from auditor.core.request import Split, Unavailable
from auditor.core.text import clean_text
from auditor.core.values import Array
from auditor.intake.batches import Batch, described, tensors_in
from auditor.intake.preserve import preserved
from auditor.intake.seeding import seeded
from auditor.intake.subject import Subject
from auditor.observations.inputs import MOST, InputColumns, InputStatistics, InputStatisticsOf

NORMS = (
    nn.modules.batchnorm._NormBase,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.LocalResponseNorm,
    nn.RMSNorm,
)

CHANNELS = (1, 3, 4)
"""How many channels an image may have where no layer says which dimension they are."""

Kind = Literal["feature", "channel", "input"]


@dataclass
class Entry:
    """The layer that takes an input as it is."""

    name: str
    module: nn.Module


@dataclass
class Entries:
    """Which layers take which inputs, by storage, and what the first layer of all is given."""

    direct: dict[int, Entry] = field(default_factory=dict)
    first: str = ""
    square: float = float("nan")


def input_statistics(request: InputStatisticsOf, subject: Subject) -> InputStatistics | Unavailable:
    """Describe every floating-point input of a split column by column."""
    split: Split = "train" if request.split == "train" else "val"
    gathered: dict[str, _Columns] = {}
    skipped: dict[str, str] = {}
    examples = 0
    entries: Entries | None = None
    filled: bool | None = None
    share = 0
    for batch in subject.data[split].first(request.batches):
        for name, tensor in inputs_of(batch):
            reason = _passed_over(tensor, batch)
            if reason:
                skipped[name] = reason
                continue
            if entries is None:
                entries, moved = entered(subject, batch)
            if name not in gathered:
                seen = entries.direct.get(moved.get(name, 0))
                known = subject.facts.data[split].batches
                share = max(1, min(request.batches, known))
                gathered[name] = _Columns(name, tensor, batch, seen, share)
            gathered[name].add(tensor, batch)
            if filled is None and not bool(tensor.isfinite().all()):
                filled = math.isfinite(entered(subject, batch)[0].square)
        examples += batch.size
    for name in skipped:
        gathered.pop(name, None)
    if not gathered or entries is None:
        said = {f"{clean_text(name)} {why}" for name, why in skipped.items()}
        return Unavailable(f"no input has a scale: {'; '.join(sorted(said))}")
    return InputStatistics(
        inputs=tuple(columns.result() for columns in gathered.values()),
        skipped=tuple(f"{clean_text(name)} {why}" for name, why in skipped.items()),
        examples=examples,
        split=split,
        first_layer=clean_text(entries.first),
        first_square=entries.square,
        filled=bool(filled),
    )


def inputs_of(batch: Batch) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield every input tensor with its name."""
    tensors = list(tensors_in(batch.args))
    for place, tensor in enumerate(tensors):
        yield ("input" if len(tensors) == 1 else f"input {place}"), tensor
    for key, value in batch.kwargs.items():
        inner = list(tensors_in(value))
        for place, tensor in enumerate(inner):
            yield (str(key) if len(inner) == 1 else f"{key} {place}"), tensor


def _passed_over(tensor: torch.Tensor, batch: Batch) -> str:
    if not tensor.is_floating_point():
        return "holds indices, flags, bytes or complex numbers"
    if batch.axis(tensor) is None:
        return "is not one row for each example"
    if tensor.numel() and bool(((tensor == 0) | (tensor == -torch.inf)).all()):
        return "" if bool((tensor == 0).all()) else "is a mask of 0 and -inf"
    return ""


def entered(subject: Subject, batch: Batch) -> tuple[Entries, dict[str, int]]:
    """Return the layers that take the inputs of a batch, and where in memory each input lies.

    The whole batch is run in evaluation mode; each layer with weights of its own is looked at as
    it is called. An input that is only reshaped on its way keeps its place in memory.
    """
    assert subject.model is not None
    here = batch.to(subject.device)
    places = {name: tensor.untyped_storage().data_ptr() for name, tensor in inputs_of(here)}
    found = Entries()

    def look(name: str, module: nn.Module, given: Any) -> None:
        tensor = next(tensors_in(given), None)
        if tensor is None:
            return
        if not found.first:
            found.first = name or type(module).__name__
            if tensor.is_floating_point() and tensor.numel():
                found.square = float(tensor.detach().double().square().mean())
        place = tensor.untyped_storage().data_ptr()
        if place in places.values():
            found.direct.setdefault(place, Entry(name or type(module).__name__, module))

    with preserved(subject.model), seeded(subject.seed), torch.no_grad():
        subject.model.eval()
        for name, module in subject.model.named_modules():
            if _takes_in(module):
                module.register_forward_pre_hook(
                    lambda module, args, kwargs, name=name: look(name, module, (args, kwargs)),
                    with_kwargs=True,
                )
        subject.model(*here.args, **here.kwargs)
    return found, places


def _takes_in(module: nn.Module) -> bool:
    """Tell whether a module is a layer: a normalisation, or one with weights of its own.

    A whole model may hold a parameter beside its layers; what it is given, they are given.
    """
    if isinstance(module, (*NORMS, nn.MultiheadAttention)) or hasattr(module, "parametrizations"):
        return True
    inner = any(True for child in module.children() for _ in child.parameters())
    return not inner and any(True for _ in module.parameters())


def column_axis(shape: torch.Size, module: nn.Module | None) -> tuple[int | None, Kind, str]:
    """Return which dimension of [examples, ...] holds the columns, what they are, and why."""
    taken = type(module).__name__ if module is not None else ""
    channels = getattr(module, "in_channels", None) or getattr(module, "num_features", None)
    width = getattr(module, "in_features", None) or getattr(module, "input_size", None)
    if len(shape) <= 2:
        return (1 if len(shape) == 2 else None), "feature", "a table of one row an example"
    if channels == shape[1]:
        return 1, "channel", f"{taken} takes dimension 1 as channels"
    if len(shape) == 3:
        if width == shape[2]:
            return 2, "feature", f"{taken} takes the last dimension as features"
        if shape[1] == shape[2] or width == shape[1] * shape[2]:
            return None, "input", "an image without a dimension for channels"
        return 2, "feature", "a sequence, whose features stand last"
    if len(shape) == 5 and shape[2] in CHANNELS and shape[1] not in CHANNELS:
        return 2, "channel", "dimension 2 is as wide as colours"
    last = shape[-1] in CHANNELS and shape[1] not in CHANNELS
    if last:
        return len(shape) - 1, "channel", "the last dimension is as wide as colours"
    return 1, "channel", "dimension 1 of images holds channels"


def in_columns(tensor: torch.Tensor, examples: int, axis: int | None) -> torch.Tensor:
    """Return [examples, columns, values] of an input whose examples stand in `examples`."""
    rows = tensor.movedim(examples, 0)
    if axis is None:
        return rows.reshape(len(rows), 1, -1)
    return rows.movedim(axis, 1).flatten(2) if rows.ndim > 2 else rows.unsqueeze(2)


class _Columns:
    """Gathers one input batch by batch."""

    def __init__(
        self, name: str, tensor: torch.Tensor, batch: Batch, entry: Entry | None, share: int
    ) -> None:
        place = batch.axis(tensor)
        assert place is not None
        shape = tensor.movedim(place, 0).shape
        module = entry.module if entry else None
        self._axis, self._kind, self._why = column_axis(shape, module)
        self._name, self._shape = clean_text(name), described(tensor)
        self._entry = entry
        self._share = share
        self._parts: list[tuple[Array, ...]] = []
        self._samples: list[Array] = []
        self._squares: list[Array] = []
        self._kept: Array | None = None

    def add(self, tensor: torch.Tensor, batch: Batch) -> None:
        place = batch.axis(tensor)
        assert place is not None
        values = in_columns(tensor.detach().to(_wide(tensor)), place, self._axis)
        finite = values.isfinite()
        sound = bool(finite.all())
        lost = (~finite).sum((0, 2))
        inner = values if sound else torch.where(finite, values, 0.0)
        count = finite.sum(2).double()
        mean = inner.sum(2).double() / count
        gaps = inner - mean.to(inner.dtype).unsqueeze(2)
        gaps = gaps if sound else torch.where(finite, gaps, 0.0)
        variance = gaps.square().sum(2).double() / count
        least = values if sound else torch.where(finite, values, torch.inf)
        most = values if sound else torch.where(finite, values, -torch.inf)
        binary = ((values == 0) | (values == 1)).all(2).all(0)
        total = count.nansum(0)
        self._parts.append(
            tuple(
                part.double().cpu().numpy()
                for part in (
                    total,
                    (mean.nan_to_num() * count).sum(0),
                    ((variance + mean.square()).nan_to_num() * count).sum(0),
                    least.amin((0, 2)),
                    most.amax((0, 2)),
                    lost,
                    binary,
                )
            )
        )
        self._squares.append((variance + mean.square()).nanmean(1).cpu().numpy())
        self._sample(mean, variance, values.shape[2] == 1)

    def _sample(self, mean: torch.Tensor, variance: torch.Tensor, table: bool) -> None:
        """Keep an even choice of columns, and of the batch's rows, within `MOST` values in all."""
        columns = mean.shape[1]
        if self._kept is None:
            fits = max(1, min(columns, 1024))
            self._kept = np.linspace(0, columns - 1, fits).round().astype(np.int64)
        width = len(self._kept) * (1 if table else 2)
        rows = max(1, min(len(mean), MOST // (self._share * width)))
        chosen = torch.linspace(0, len(mean) - 1, rows).round().long()
        part = mean[chosen][:, self._kept]
        if not table:
            part = torch.cat([part, variance[chosen][:, self._kept].sqrt()], dim=1)
        self._samples.append(part.float().cpu().numpy())

    def result(self) -> InputColumns:
        """Return the statistics over all batches seen."""
        total, first, second, least, most, lost, binary = map(
            np.stack, zip(*self._parts, strict=True)
        )
        count = total.sum(0)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = first.sum(0) / count
            variance = second.sum(0) / count - np.square(mean)
        module = self._entry.module if self._entry else None
        weight = getattr(module, "weight", None)
        fan_in = weight[0].numel() if weight is not None and weight.ndim > 1 else 0
        assert self._kept is not None
        varied = np.asarray(most.max(0) > least.min(0))
        return InputColumns(
            name=self._name,
            shape=self._shape,
            kind=self._kind,
            why=self._why,
            mean=mean,
            deviation=np.where(varied, np.sqrt(np.maximum(variance, 0.0)), 0.0),
            least=least.min(0),
            most=most.max(0),
            lost=lost.sum(0).astype(np.int64),
            binary=np.asarray(binary.all(0), bool),
            square=np.concatenate(self._squares),
            # Each column sorted for itself: a row of them is no example's.
            sample=np.sort(np.concatenate(self._samples), axis=0),
            compared=self._kept,
            layer=clean_text(self._entry.name) if self._entry else "",
            normalises=isinstance(module, NORMS),
            fan_in=fan_in,
        )


def _wide(tensor: torch.Tensor) -> torch.dtype:
    return torch.float64 if tensor.dtype == torch.float64 else torch.float32
