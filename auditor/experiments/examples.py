"""Choosing examples: batches joined into one, mixed anew, or picked one by one."""

import hashlib
from collections.abc import Sequence
from typing import Any

import torch

from auditor.core.request import Split
from auditor.intake.batches import Batch, changed, tensors_in
from auditor.intake.subject import Subject

MOST_BYTES = 256_000_000
"""Inputs and targets that are held at a time."""


def gathered(subject: Subject, split: Split, batches: int) -> list[Batch]:
    """Return the first batches of a split, as one batch where they can be joined; on the CPU."""
    held: list[Batch] = []
    size = 0
    for batch in subject.data[split].first(batches):
        size += sum(t.numel() * t.element_size() for t in _tensors(batch))
        if held and size > MOST_BYTES:
            break
        held.append(batch)
    whole = joined(held)
    return held if whole is None else [whole]


def joined(batches: Sequence[Batch]) -> Batch | None:
    """Return all examples as one batch, None where their shapes do not allow it."""
    if not batches or any(batch.starts is not None for batch in batches):
        return None
    parts = [_tensors(batch) for batch in batches]
    if len({len(part) for part in parts}) > 1:
        return None
    merged = []
    for column in zip(*parts, strict=True):
        axes = {batch.axis(tensor) for batch, tensor in zip(batches, column, strict=True)}
        axis = axes.pop()
        if axes or len({tensor.dtype for tensor in column}) > 1:
            return None
        if axis is None:
            merged.append(column[0])
        elif len({(*t.shape[:axis], *t.shape[axis + 1 :]) for t in column}) > 1:
            return None
        else:
            merged.append(torch.cat(column, dim=axis))
    ready = iter(merged)
    first = batches[0]
    return Batch(
        *changed((first.args, first.kwargs, first.target), lambda tensor: next(ready)),
    )


def mixed(batches: Sequence[Batch], size: int) -> list[Batch]:
    """Return the examples of each batch in random order, in batches of `size`.

    A last batch of one example is left out where there are others.
    """
    pieces = [
        batch.rows(index)
        for batch in batches
        for index in torch.randperm(batch.size).split(max(1, size))
    ]
    several = [piece for piece in pieces if piece.size > 1]
    return several or pieces


def moved(size: int) -> torch.Tensor:
    """Return a random order of so many examples in which none keeps its place."""
    order = torch.randperm(size)
    index = torch.empty_like(order)
    index[order] = order.roll(1)
    return index


def distinct(batch: Batch) -> list[int]:
    """Return the numbers of the examples whose inputs are unlike those of all before."""
    seen: set[bytes] = set()
    kept = []
    batch = batch.padded()
    for number, row in enumerate(_rows(batch, (batch.args, batch.kwargs))):
        digest = hashlib.blake2b(row, digest_size=16).digest()
        if digest not in seen:
            seen.add(digest)
            kept.append(number)
    return kept


def by_turns(labels: Sequence[Any], numbers: Sequence[int], most: int) -> list[int]:
    """Return up to `most` of the examples numbered, the labels taking turns."""
    groups: dict[Any, list[int]] = {}
    for number in numbers:
        groups.setdefault(labels[number], []).append(number)
    chosen: list[int] = []
    for turn in range(max(map(len, groups.values()), default=0)):
        chosen += [group[turn] for group in groups.values() if turn < len(group)]
        if len(chosen) >= most:
            break
    return chosen[:most]


def labels_of(batch: Batch) -> list[bytes]:
    """Return the targets of each example as bytes, equal where the targets are equal."""
    return _rows(batch, batch.target)


def _rows(batch: Batch, part: Any) -> list[bytes]:
    """Return what each example has in a part of its batch."""
    views = [
        # Adding 0 makes -0 a 0.
        (tensor.detach().cpu() + 0).movedim(axis, 0).reshape(batch.size, -1).contiguous()
        for tensor in tensors_in(part)
        if tensor.layout is torch.strided
        and tensor.numel()
        and (axis := batch.axis(tensor)) is not None
    ]
    rows = [view.view(torch.uint8).numpy() for view in views]
    return [b"".join(row[number].tobytes() for row in rows) for number in range(batch.size)]


def _tensors(batch: Batch) -> list[torch.Tensor]:
    """Return the tensors of a batch in the order in which `changed` comes upon them."""
    found: list[torch.Tensor] = []

    def note(tensor: torch.Tensor) -> torch.Tensor:
        found.append(tensor)
        return tensor

    changed((batch.args, batch.kwargs, batch.target), note)
    return found
