"""The ways to turn, reorder and renumber inputs that are tried on a checkpoint."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from auditor.core.values import Array
from auditor.experiments.inputs import column_axis, inputs_of
from auditor.intake.batches import Batch
from auditor.intake.subject import Subject
from auditor.observations.preparation import MOST

Change = Callable[[torch.Tensor], torch.Tensor]

WIDEST = 256
"""Columns of a table beyond which they are not matched one by one."""

SMALLEST = 4
"""Pixels of a side from which on a row of numbers is taken for an image."""


@dataclass(frozen=True)
class Way:
    """A way to arrange an input, a function of its rows [examples, ...]; targets too of tokens."""

    name: str
    change: Change
    targets: bool = False

    def applied(self, batch: Batch, name: str) -> Batch:
        """Return the batch with the named input arranged otherwise."""
        names = iter([known for known, _ in inputs_of(batch)])

        def change(tensor: torch.Tensor) -> torch.Tensor:
            place = batch.axis(tensor)
            if next(names) != name or place is None:
                return tensor
            return self.change(tensor.movedim(place, 0)).movedim(0, place)

        made = batch.with_inputs(change)
        if not self.targets or not isinstance(batch.target, torch.Tensor):
            return made
        target = torch.where(batch.target < 0, batch.target, self.change(batch.target.clamp(min=0)))
        return Batch(made.args, made.kwargs, target)


def main_input(batch: Batch) -> tuple[str, torch.Tensor] | None:
    """Return the largest input of real numbers as [examples, ...], else the first of tokens."""
    rows = []
    for name, tensor in inputs_of(batch):
        place = batch.axis(tensor)
        if place is not None and tensor.ndim > 1 and tensor.dtype != torch.bool:
            rows.append((name, tensor.movedim(place, 0)))
    real = [pair for pair in rows if pair[1].is_floating_point()]
    if real:
        return max(real, key=lambda pair: pair[1][0].numel())
    return next((pair for pair in rows if not pair[1].is_complex()), None)


def ways_of(
    subject: Subject, name: str, rows: torch.Tensor, there: torch.Tensor | None
) -> list[Way]:
    """Return the ways to try on an input: `rows` of validation, and of training if there are."""
    if rows.is_floating_point():
        found = [*_values(rows, there), *_arranged(rows, there)]
    else:
        found = list(_renumbered(subject, rows))
    return found[:MOST]


def _values(rows: torch.Tensor, there: torch.Tensor | None) -> Iterator[Way]:
    known = rows if there is None else there
    if known.isfinite().all():
        ends = float(known.min()) + float(known.max())
        yield Way("turned light for dark", lambda x: ends - x)


def _arranged(rows: torch.Tensor, there: torch.Tensor | None) -> Iterator[Way]:
    """Yield flips and exchanges of dimensions: of images and sequences, or of columns."""
    if rows.ndim == 2:
        yield from _columns(rows, there)
        return
    if rows.ndim == 3:
        for dimension, word in ((1, "first"), (2, "second")):
            yield Way(f"with the {word} dimension reversed", _flipped(dimension))
        yield from _turns(rows, 1, 2)
        return
    axis, kind, _ = column_axis(rows.shape, None)
    spatial = [d for d in range(1, rows.ndim) if d != axis]
    names = {-2: "upside down", -1: "left to right"}
    for place, dimension in enumerate(spatial):
        words = names.get(place - len(spatial), f"along dimension {dimension}")
        yield Way(f"mirrored {words}", _flipped(dimension))
    yield from _turns(rows, spatial[-2], spatial[-1])
    if axis is not None and kind == "channel" and rows.shape[axis] > 1:
        yield Way("with the channels in reverse order", _flipped(axis))


def _turns(rows: torch.Tensor, a: int, b: int) -> Iterator[Way]:
    """Yield the exchange of two dimensions of equal size, and turns by a quarter and a half."""
    yield Way("turned by half", _flipped(a, b))
    if rows.shape[a] == rows.shape[b] > 1:
        yield Way("with rows and columns exchanged", lambda x: x.transpose(a, b))
        yield Way("turned by a quarter to the left", lambda x: torch.rot90(x, 1, (a, b)))
        yield Way("turned by a quarter to the right", lambda x: torch.rot90(x, 3, (a, b)))


def _columns(rows: torch.Tensor, there: torch.Tensor | None) -> Iterator[Way]:
    width = rows.shape[1]
    if width < 2:
        return
    yield Way("with the columns in reverse order", _flipped(1))
    yield Way("with the columns moved one to the right", lambda x: x.roll(1, 1))
    yield Way("with the columns moved one to the left", lambda x: x.roll(-1, 1))
    if there is not None and there.shape[1:] == rows.shape[1:] and width <= WIDEST:
        order = matching(there.double().cpu().numpy(), rows.double().cpu().numpy())
        if (order != np.arange(width)).any():
            index = torch.from_numpy(order)
            yield Way(
                "with the columns in training's order",
                lambda x: x[:, index.to(x.device)],
            )
    for channels in (1, 3):
        side = math.isqrt(width // channels)
        if side >= SMALLEST and channels * side * side == width:
            yield from _as_image(channels, side)


def _as_image(channels: int, side: int) -> Iterator[Way]:
    """Yield the ways of images whose pixels are laid out in a row."""
    shape = (channels, side, side)
    yield Way("mirrored upside down", _within(shape, _flipped(2)))
    yield Way("mirrored left to right", _within(shape, _flipped(3)))
    for way in _turns(torch.zeros(1, *shape), 2, 3):
        # To turn a row of one channel by half is to reverse it.
        if channels > 1 or way.name != "turned by half":
            yield Way(way.name, _within(shape, way.change))


def _flipped(*dimensions: int) -> Change:
    return lambda x: x.flip(dimensions)


def _within(shape: tuple[int, ...], change: Change) -> Change:
    """Return a change of rows [examples, numbers] that is one of their images."""
    return lambda x: change(x.unflatten(1, shape)).flatten(1)


def matching(training: Array, validation: Array) -> Array:
    """Return which validation column each training column is likest to, one to one.

    By the mean gap between their quantiles (Wasserstein's distance), the smallest sum of all
    assignments; a column moves only where that brings it nearer.
    """
    from scipy.optimize import linear_sum_assignment

    levels = np.linspace(0.02, 0.98, 49)
    mine, theirs = (np.quantile(part, levels, axis=0).T for part in (training, validation))
    gaps = np.abs(mine[:, None, :] - theirs[None, :, :]).mean(axis=2)
    _, order = linear_sum_assignment(gaps)
    return np.asarray(order)


def _renumbered(subject: Subject, rows: torch.Tensor) -> Iterator[Way]:
    """Yield tokens numbered one higher and one lower, with 0 among them or left as it is."""
    assert subject.model is not None
    largest = int(rows.max())
    tables = [
        module.num_embeddings
        for module in subject.model.modules()
        if isinstance(module, nn.Embedding) and module.num_embeddings > largest
    ]
    size = tables[0] if tables else largest + 1
    if size < 3 or int(rows.min()) < 0:
        return
    targets = subject.facts.task == "language_model"
    for step, word in ((-1, "lower"), (1, "higher")):
        yield Way(f"numbered one {word}", _numbered(step, size), targets)
        name = f"numbered one {word}, 0 left as it is"
        yield Way(name, _numbered(step, size, first=1), targets)
    if rows.ndim == 2:
        yield Way("read from the last to the first", _flipped(1), targets)


def _numbered(step: int, size: int, first: int = 0) -> Change:
    """Return what numbers tokens from `first` to `size` - 1 higher by a step, round and round."""

    def change(x: torch.Tensor) -> torch.Tensor:
        moved = (x - first + step) % (size - first) + first
        return torch.where(x >= first, moved, x)

    return change
