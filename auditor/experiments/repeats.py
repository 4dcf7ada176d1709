"""Reading a split whole: what its examples are known by, and which of them stand there twice."""

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import nn

from auditor.core.request import Split
from auditor.core.values import Array
from auditor.experiments.lab import affordable
from auditor.intake.batches import Batch, tensors_in
from auditor.intake.subject import Subject
from auditor.observations.copies import ENOUGH, Copies
from auditor.observations.labels import MOST

READ = 65_536
"""Examples of a split that are read at most, unless the batches asked for hold more."""
READ_VALUES = 200_000_000
"""The same in input values: a few seconds of hashing."""
SMALL = 16
"""Examples that a batch costs as much as at least."""
KEPT = MOST * SMALL
"""Examples of a split that are kept to be predicted, with the same exception."""
KEPT_VALUES = 16_000_000
"""The same in input values: 64 MB."""
WIDEST = 64
"""Input columns up to which examples are looked for that differ in one of them."""
COMPARED = 4096
"""Examples of a split among which they are looked for."""


@dataclass
class Read:
    """What one pass over a split told: of each example a hash of its input, and its label.

    `answers` are hashes of the whole target, empty where it has no row for each example.
    `kept` are some of its batches, drawn evenly from all, each with the number of its first
    example. `whole` tells whether nothing was left unread. `columns` holds inputs, [examples,
    values] a batch, where there are few values.
    """

    whole: bool
    hashes: list[bytes] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    answers: list[bytes] = field(default_factory=list)
    kept: list[tuple[int, Batch]] = field(default_factory=list)
    columns: list[Array] = field(default_factory=list)

    @cached_property
    def copies(self) -> Array:
        """Tell of each example whether an earlier one has its input and its label, [examples]."""
        pairs = list(zip(self.hashes, self.labels, strict=True))
        first = {pair: number for number, pair in reversed(list(enumerate(pairs)))}
        return np.asarray([first[pair] < number for number, pair in enumerate(pairs)], bool)


def read(subject: Subject, split: Split, least: int) -> Read:
    """Return what a split holds, read as far as is bearable; keep at least so many batches."""
    data, facts = subject.data[split], subject.facts.data[split]
    size = max(SMALL, facts.batch_size)
    first = next(data.first(1))
    values = max(1, sum(tensor.numel() for tensor in tensors_in((first.args, first.kwargs))))
    most = min(facts.batches, max(least, min(READ // size, READ_VALUES // values)))
    cheap = affordable(subject, KEPT // size, size, training=False)
    drawn = min(most, max(least, min(cheap, KEPT_VALUES // values)))
    chosen = set(np.linspace(0, most - 1, drawn).round().astype(int).tolist())
    ended = facts.complete or facts.batches > facts.batches_read
    found = Read(whole=most == facts.batches and ended)
    padding = _padding(subject.model)
    for number, batch in enumerate(data.first(most)):
        start = len(found.hashes)
        if number in chosen:
            found.kept.append((start, batch))
        whole = batch.padded()
        parts = [_six_digits(rows) for rows in _rows(whole, (whole.args, whole.kwargs))]
        targets = [_six_digits(rows) for rows in _rows(whole, whole.target)]
        found.answers += _hashes(targets, padding) or [b""] * batch.size
        found.hashes += _hashes(parts, padding) or [
            f"{split} {start + row}".encode() for row in range(batch.size)
        ]
        found.labels += whole_labels(batch, subject.facts.task)
        if parts and start < COMPARED and sum(part.shape[1] for part in parts) <= WIDEST:
            found.columns.append(np.concatenate(parts, axis=1))
    return found


def keys_of(batch: Batch, model: nn.Module | None) -> list[bytes]:
    """Return what each example's input is known by: a hash of it to six digits, padding left aside.

    None where no input has a row for each example.
    """
    whole = batch.padded()
    parts = [_six_digits(rows) for rows in _rows(whole, (whole.args, whole.kwargs))]
    return _hashes(parts, _padding(model))


def _rows(batch: Batch, value: Any) -> list[torch.Tensor]:
    """Return each tensor of some of a batch's with one row for each example."""
    rows = []
    for tensor in tensors_in(value):
        axis = batch.axis(tensor)
        if axis is not None and tensor.layout is torch.strided:
            plain = torch.view_as_real(tensor) if tensor.is_complex() else tensor
            rows.append(plain.detach().movedim(axis, 0).reshape(batch.size, -1))
    return rows


def _six_digits(rows: torch.Tensor) -> Array:
    """Return numbers to twenty binary digits, so that the same input read twice is the same."""
    if not rows.is_floating_point():
        return np.asarray(rows.long().numpy())
    bits = rows.float().contiguous().view(torch.int32)
    return np.asarray((((bits + 8) & ~15).view(torch.float32) + 0.0).numpy())


def _padding(model: nn.Module | None) -> int:
    """Return the token that sequences are filled up with: that of an embedding, usually 0."""
    modules = model.modules() if model is not None else ()
    declared = (m.padding_idx for m in modules if isinstance(m, nn.Embedding))
    return next((index for index in declared if index is not None), 0)


def _hashes(parts: list[Array], padding: int) -> list[bytes]:
    """Return a hash of each row over all parts, each without the padding at its end."""
    digests = [hashlib.blake2b(digest_size=16) for _ in (parts[0] if parts else ())]
    for part in parts:
        tokens = part.dtype.kind == "i" and part.max(initial=0) > 1
        filled = part[:, ::-1] == (padding if tokens else 0)
        lengths = filled.shape[1] - np.where(filled.all(axis=1), filled.shape[1], 0)
        lengths -= np.where(lengths, (~filled).argmax(axis=1) if filled.shape[1] else 0, 0)
        for digest, row, length in zip(digests, part, lengths.tolist(), strict=True):
            digest.update(length.to_bytes(8))
            digest.update(row[:length].tobytes())
    return [digest.digest() for digest in digests]


def whole_labels(batch: Batch, task: str | None) -> list[int]:
    """Return one number for the target of each example; equal targets have equal numbers.

    It is -1 where an example has no single label.
    """
    target = batch.target
    none = [-1] * batch.size
    if task not in ("multiclass", "binary", "multilabel") or not isinstance(target, torch.Tensor):
        return none
    if target.ndim == 0 or len(target) != batch.size:
        return none
    rows = target.detach().reshape(batch.size, -1)
    if rows.shape[1] == 1:
        return [int(value) for value in rows[:, 0].double().nan_to_num(-1).round().tolist()]
    if task == "multiclass":
        return [int(label) for label in from_one_hot(rows)]
    return [
        int.from_bytes(hashlib.blake2b(str(row).encode(), digest_size=6).digest())
        for row in rows.tolist()
    ]


def from_one_hot(rows: torch.Tensor) -> torch.Tensor:
    """Return the place of the only one in each row of zeros, -1 where a row holds anything else."""
    one_hot = ((rows == 0) | (rows == 1)).all(dim=1) & (rows.sum(dim=1) == 1)
    return torch.where(one_hot, rows.argmax(dim=1), -1)


def copied(one: Read) -> Copies:
    """Return how often examples of a split stand there, in the classes with most of them."""
    often = Counter(zip(one.hashes, one.answers, one.labels, strict=True))
    classes: dict[int, list[int]] = {}
    for (_, _, label), times in often.items():
        classes.setdefault(label, []).append(times)
    looked_at: list[int] = []
    for _, times_of in sorted(classes.items(), key=lambda item: (-len(item[1]), item[0])):
        if len(looked_at) < ENOUGH:
            looked_at += times_of
    numbers, kinds = np.unique(np.asarray(looked_at, np.int64), return_counts=True)
    return Copies(len(one.hashes), len(often), numbers, kinds)


def repeated(reads: dict[Split, Read]) -> Array:
    """Return (split, example, group, label) of each example that is not alone, [rows, 4]."""
    groups: dict[bytes, list[tuple[int, int, int]]] = {}
    for number, one in enumerate(reads.values()):
        for example, (key, label) in enumerate(zip(one.hashes, one.labels, strict=True)):
            groups.setdefault(key, []).append((number, example, label))
    several = [members for members in groups.values() if len(members) > 1]
    rows = [
        (split, example, group, label)
        for group, members in enumerate(several)
        for split, example, label in members
    ]
    return np.asarray(rows, np.int64).reshape(-1, 4)


def near_misses(table: Array, seed: int) -> int:
    """Return how many rows have another that differs from them in exactly one column.

    Each value has a random number and each row the sum of its values'; rows that agree but for a
    column agree in the sum without it, up to a chance of 2⁻⁶².
    """
    generator = np.random.default_rng(seed)
    marks = np.empty(table.shape, np.int64)
    for column in range(table.shape[1]):
        _, code = np.unique(table[:, column], return_inverse=True)
        marks[:, column] = generator.integers(-(1 << 62), 1 << 62, code.max(initial=0) + 1)[code]
    whole, near = marks.sum(axis=1), np.zeros(len(table), bool)
    for mark in marks.T:
        pairs = np.unique(np.stack([whole - mark, whole], axis=1), axis=0)
        rests, counts = np.unique(pairs[:, 0], return_counts=True)
        near |= counts[np.searchsorted(rests, whole - mark)] > 1
    return int(near.sum())


def near_share(reads: dict[Split, Read], seed: int) -> float:
    """Return the share of such examples over all splits, zero where inputs have many columns."""
    parts = [rows for one in reads.values() for rows in one.columns]
    if not parts or len({part.shape[1] for part in parts}) > 1:
        return 0.0
    table = np.concatenate(parts)
    return near_misses(table, seed) / len(table)
