"""Sees where values stop being finite."""

from typing import Any, TypeGuard

import numpy as np
import torch
from numpy.typing import NDArray

from auditor.intake.batches import Batch, tensors_in
from auditor.intake.losses import main_output
from auditor.intake.norms import norms
from auditor.intake.subject import Subject
from auditor.observations.finite import (
    NAN,
    NEGATIVE,
    POSITIVE,
    NonFinite,
    NonFiniteInTrainingOver,
    NonFiniteOver,
)
from auditor.observers.culprits import Kept, culprits
from auditor.observers.observer import Observer, Place, Step

Range = torch.Tensor
"""[minimum, maximum] of some values; both NaN where one of them is."""


MOST_KEPT = 3
"""Batches that are kept to be traced to their examples, and the most values of one's inputs."""

MOST_VALUES = 20_000_000


class NonFiniteObserver(Observer):
    """Keeps the range of every output; a range is finite only where all its values are.

    Of the first batches with something not finite a copy is kept, and traced at the end to the
    examples that make it.
    """

    def __init__(self, request: NonFiniteOver | NonFiniteInTrainingOver, subject: Subject) -> None:
        self._split, self._subject = request.split, subject
        self._training = request.mode == "train"
        self._places: dict[str, Place] = {}
        self._ranges: dict[str, Range] = {}
        self._rows: list[dict[str, int]] = []
        self._inputs: list[int] = []
        self._targets: list[int] = []
        self._gradients: list[torch.Tensor] = []
        self._bad: list[torch.Tensor] = []
        self._whole: list[torch.Tensor] = []
        self._losses: list[torch.Tensor] = []
        self._kept: list[Kept] = []
        self._seen = 0

    def leaving(self, place: Place, output: Any) -> None:
        """Widen the range of a place by what it put out."""
        found = _range(output, self._ranges.get(place.name))
        if found is not None:
            self._places[place.name] = place
            self._ranges[place.name] = found

    def step(self, step: Step) -> None:
        """Close the books on a batch, and note the examples with a bad output."""
        given = _range((step.batch.args, step.batch.kwargs), None)
        wanted = _range(step.batch.target, None)
        extra = [found for found in (given, wanted) if found is not None]
        flags = _flags([*self._ranges.values(), *extra]).tolist()
        self._rows.append(dict(zip(self._ranges, flags, strict=False)))
        rest = iter(flags[len(self._ranges) :])
        self._ranges = {}
        self._inputs.append(next(rest) if given is not None else 0)
        self._targets.append(next(rest) if wanted is not None else 0)
        outputs = main_output(step.outputs)
        if _by_example(outputs, step.batch.size):
            rows = outputs.detach().reshape(step.batch.size, -1)
            bad = rows.isnan() | (rows == torch.inf)
            self._bad.append(torch.nonzero(bad.any(dim=1)).flatten() + self._seen)
            whole = bad.any(dim=1) & ~rows.isfinite().any(dim=1)
            self._whole.append(whole.sum())
        if step.loss is not None:
            self._losses.append(step.loss.detach())
        gradients = [g for g in step.gradients.values() if g is not None]
        if self._training:
            lost = ~norms(gradients).isfinite().all() if gradients else torch.tensor(False)
            self._gradients.append(lost)
        if len(self._kept) < MOST_KEPT and self._broken(step):
            self._keep(step.batch)
        self._seen += step.batch.size

    def _broken(self, step: Step) -> bool:
        if any(flag & (NAN | POSITIVE) for flag in self._rows[-1].values()):
            return True
        lost = step.loss is not None and not bool(step.loss.detach().isfinite())
        return lost or (self._training and bool(self._gradients[-1]))

    def _keep(self, batch: Batch) -> None:
        values = sum(tensor.numel() for tensor in tensors_in((batch.args, batch.kwargs)))
        if values <= MOST_VALUES:
            own = batch.rows(torch.arange(batch.size))
            self._kept.append(Kept(len(self._rows) - 1, self._seen, own))

    def result(self) -> NonFinite:
        """Return the flags of all places and batches."""
        places = sorted(self._places.values(), key=lambda place: place.index)
        column = {place.name: index for index, place in enumerate(places)}
        flags = np.zeros((len(self._rows), len(places)), np.uint8)
        for row, found in enumerate(self._rows):
            for name, flag in found.items():
                flags[row, column[name]] = flag
        losses = torch.stack(self._losses).cpu().double().numpy() if self._losses else np.zeros(0)
        bad = torch.cat(self._bad).tolist() if self._bad else []
        lost = torch.stack(self._gradients).cpu().numpy() if self._gradients else np.zeros(0, bool)
        return NonFinite(
            layers=tuple(place.name for place in places),
            flags=flags,
            input_flags=np.asarray(self._inputs, np.uint8),
            losses=losses,
            examples=tuple(bad),
            seen=self._seen,
            split=self._split,
            whole=int(torch.stack(self._whole).sum()) if self._whole else 0,
            target_flags=np.asarray(self._targets, np.uint8),
            gradient_flags=np.asarray(lost, bool),
            culprits=culprits(self._subject, self._kept, gradients=bool(lost.any())),
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
    """Return the flags of several ranges, brought over in one go."""
    if not ranges:
        return np.zeros(0, np.uint8)
    table = torch.stack(ranges).cpu().double().numpy()
    flags = np.isnan(table).any(axis=1) * NAN
    flags = flags | (table[:, 1] == np.inf) * POSITIVE | (table[:, 0] == -np.inf) * NEGATIVE
    return np.asarray(flags, np.uint8)
