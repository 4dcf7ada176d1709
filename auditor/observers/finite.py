"""Sees where values stop being finite."""

from typing import Any, TypeGuard

import numpy as np
import torch
from numpy.typing import NDArray

from auditor.intake.batches import tensors_in
from auditor.intake.losses import main_output
from auditor.intake.subject import Subject
from auditor.observations.finite import NAN, NEGATIVE, POSITIVE, NonFinite, NonFiniteOver
from auditor.observers.observer import Observer, Place, Step

Range = torch.Tensor
"""[minimum, maximum] of some values; both NaN where one of them is."""


class NonFiniteObserver(Observer):
    """Keeps the range of every output; a range is finite only where all its values are."""

    def __init__(self, request: NonFiniteOver, subject: Subject) -> None:
        self._split = request.split
        self._places: dict[str, Place] = {}
        self._ranges: dict[str, Range] = {}
        self._rows: list[dict[str, Range]] = []
        self._inputs: list[Range | None] = []
        self._bad: list[torch.Tensor] = []
        self._losses: list[torch.Tensor] = []
        self._seen = 0

    def leaving(self, place: Place, output: Any) -> None:
        """Widen the range of a place by what it put out."""
        found = _range(output, self._ranges.get(place.name))
        if found is not None:
            self._places[place.name] = place
            self._ranges[place.name] = found

    def step(self, step: Step) -> None:
        """Close the books on a batch, and note the examples with a bad output."""
        self._rows.append(self._ranges)
        self._ranges = {}
        self._inputs.append(_range((step.batch.args, step.batch.kwargs), None))
        outputs = main_output(step.outputs)
        if _by_example(outputs, step.batch.size):
            rows = outputs.detach().reshape(step.batch.size, -1)
            bad = (rows.isnan() | (rows == torch.inf)).any(dim=1)
            self._bad.append(torch.nonzero(bad).flatten() + self._seen)
        if step.loss is not None:
            self._losses.append(step.loss.detach())
        self._seen += step.batch.size

    def result(self) -> NonFinite:
        """Return the flags of all places and batches."""
        places = sorted(self._places.values(), key=lambda place: place.index)
        column = {place.name: index for index, place in enumerate(places)}
        flags = np.zeros((len(self._rows), len(places)), np.uint8)
        cells = [(row, column[name]) for row, ranges in enumerate(self._rows) for name in ranges]
        found = [r for ranges in self._rows for r in ranges.values()]
        if cells:
            rows, columns = zip(*cells, strict=True)
            flags[list(rows), list(columns)] = _flags(found)
        input_flags = np.zeros(len(self._inputs), np.uint8)
        with_floats = [i for i, found_range in enumerate(self._inputs) if found_range is not None]
        if with_floats:
            input_flags[with_floats] = _flags([r for r in self._inputs if r is not None])
        losses = torch.stack(self._losses).cpu().double().numpy() if self._losses else np.zeros(0)
        bad = torch.cat(self._bad).tolist() if self._bad else []
        return NonFinite(
            layers=tuple(place.name for place in places),
            flags=flags,
            input_flags=input_flags,
            losses=losses,
            examples=tuple(bad),
            seen=self._seen,
            split=self._split,
        )


def _by_example(outputs: Any, examples: int) -> TypeGuard[torch.Tensor]:
    """Tell whether each row of the outputs is one example's."""
    return (
        isinstance(outputs, torch.Tensor)
        and outputs.is_floating_point()
        and outputs.ndim > 0
        and len(outputs) == examples
        and outputs.numel() > 0
    )


def _range(values: Any, before: Range | None) -> Range | None:
    for tensor in tensors_in(values):
        if tensor.is_complex():
            tensor = torch.view_as_real(tensor)
        if tensor.is_floating_point() and tensor.numel() and tensor.layout is torch.strided:
            found = torch.stack(torch.aminmax(tensor.detach()))
            if before is not None:
                low = torch.minimum(before[0], found[0])
                found = torch.stack([low, torch.maximum(before[1], found[1])])
            before = found
    return before


def _flags(ranges: list[Range]) -> NDArray[np.uint8]:
    table = torch.stack(ranges).cpu().double().numpy()
    flags = np.isnan(table).any(axis=1) * NAN
    flags = flags | (table[:, 1] == np.inf) * POSITIVE | (table[:, 0] == -np.inf) * NEGATIVE
    return np.asarray(flags, np.uint8)
