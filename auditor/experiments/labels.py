"""Predicting labels out of sample, and finding examples that stand in the data twice."""

import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from auditor.core.request import Split, Unavailable
from auditor.core.values import Array
from auditor.experiments.lab import affordable, halving
from auditor.experiments.pictures import picture
from auditor.experiments.training import USUAL, train
from auditor.intake.batches import Batch, tensors_in
from auditor.intake.losses import main_output, matched
from auditor.intake.preserve import preserved
from auditor.intake.seeding import derived_seed, seeded
from auditor.intake.subject import Subject
from auditor.observations.labels import (
    FOLDS,
    PICTURES,
    LabelEvidence,
    LabelEvidenceOver,
    LabelledSplit,
    Thumbnail,
    ranked,
)

FEWEST_STEPS = 50
"""Steps of a fresh model below which its predictions say nothing about labels."""
WIDEST = 64
"""Input columns up to which examples are looked for that differ in one of them."""
MOST_CLASSES = 1000


@dataclass
class _Read:
    """What one pass over a split told: its batches, and of each example a hash and its label.

    `columns` holds the inputs, [examples, values] a batch, where there are few values.
    """

    batches: list[Batch]
    hashes: list[bytes] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    columns: list[Array] = field(default_factory=list)


def label_evidence(request: LabelEvidenceOver, subject: Subject) -> LabelEvidence | Unavailable:
    """Return predictions of the labels, and what stands in the data more than once."""
    single = subject.facts.task in ("multiclass", "binary", "multilabel")
    known: tuple[Split, ...] = ("train", "val")
    reads = {
        split: _read(subject, split, request.batches, single)
        for split in known
        if split in subject.data
    }
    predicted, note = [_by_checkpoint(subject, reads["val"])], ""
    if "train" in reads:
        crossed, note = _cross_fitted(request, subject, reads["train"])
        predicted.insert(0, crossed)
    rows = _repeated(reads)
    return LabelEvidence(
        splits=tuple(predicted),
        repeated_split=rows[:, 0],
        repeated_example=rows[:, 1],
        repeated_group=rows[:, 2],
        repeated_label=rows[:, 3],
        near=_near_misses(reads, subject.seed) if len(rows) else 0,
        thumbnails=tuple(_thumbnails(tuple(predicted), reads)),
        note=note,
    )


def _read(subject: Subject, split: Split, most: int, single: bool) -> _Read:
    read = _Read(list(subject.data[split].first(most)))
    for batch in read.batches:
        rows = _rows(batch)
        read.hashes += [hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in rows]
        read.labels += _whole_labels(batch) if single else [-1] * batch.size
        if rows.shape[1] <= WIDEST:
            read.columns.append(rows)
    return read


def _rows(batch: Batch) -> Array:
    """Return the inputs of each example in one row, numbers to six digits."""
    parts = []
    for tensor in tensors_in((batch.args, batch.kwargs)):
        axis = batch.axis(tensor)
        if axis is None or tensor.layout is not torch.strided:
            continue
        rows = tensor.detach().movedim(axis, 0).reshape(batch.size, -1)
        rows = torch.view_as_real(rows).flatten(1) if rows.is_complex() else rows
        parts.append(_six_digits(rows.double().numpy()))
    return np.concatenate(parts, axis=1) if parts else np.arange(batch.size, dtype=float)[:, None]


def _six_digits(values: Array) -> Array:
    """Return values to six significant digits, so that the same input read twice is the same."""
    _, exponent = np.frexp(values)
    scale = np.exp2(20.0 - exponent)
    with np.errstate(invalid="ignore", over="ignore"):
        return np.asarray(np.round(values * scale) / scale + 0.0)


def _whole_labels(batch: Batch) -> list[int]:
    """Return one number for the target of each example; equal targets have equal numbers."""
    target = batch.target
    if not isinstance(target, torch.Tensor) or target.ndim == 0 or len(target) != batch.size:
        return [-1] * batch.size
    rows = target.detach().reshape(batch.size, -1)
    if rows.shape[1] == 1:
        return [int(value) for value in rows[:, 0].double().nan_to_num(-1).round().tolist()]
    return [
        int.from_bytes(hashlib.blake2b(str(row).encode(), digest_size=6).digest())
        for row in rows.tolist()
    ]


def _repeated(reads: dict[Split, _Read]) -> Array:
    """Return (split, example, group, label) of each example that is not alone, [rows, 4]."""
    groups: dict[bytes, list[tuple[int, int, int]]] = {}
    for number, read in enumerate(reads.values()):
        for example, (key, label) in enumerate(zip(read.hashes, read.labels, strict=True)):
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


def _near_misses(reads: dict[Split, _Read], seed: int) -> int:
    """Return the same over all splits, zero where inputs have many columns."""
    parts = [rows for read in reads.values() for rows in read.columns]
    if not parts or len({part.shape[1] for part in parts}) > 1:
        return 0
    return near_misses(np.concatenate(parts), seed)


def _by_checkpoint(subject: Subject, read: _Read) -> LabelledSplit:
    """Return the checkpoint's own predictions of validation data, which it has not seen."""
    assert subject.model is not None
    examples, reason = len(read.hashes), _why_not(subject)
    if reason:
        return _unpredicted("val", examples, reason)
    with preserved(subject.model), seeded(subject.seed):
        start, parts = 0, []
        for batch in read.batches:
            numbers = np.arange(start, start + batch.size)
            parts.append(_predicted(subject, subject.model, numbers, batch.to(subject.device)))
            start += batch.size
    return _labelled("val", examples, parts, 0)


def _cross_fitted(
    request: LabelEvidenceOver, subject: Subject, read: _Read
) -> tuple[LabelledSplit, str]:
    """Return predictions of training data by fresh models that were trained on the rest of it."""
    reason = _why_not(subject)
    size = subject.facts.data["train"].batch_size
    if subject.factory is None:
        reason = reason or "there is no factory for fresh models that have not seen the labels"
    elif not subject.facts.trainable:
        reason = reason or "the model has no trainable parameters"
    steps = affordable(subject, request.steps, max(1, size // FOLDS), FOLDS)
    if not reason and steps < FEWEST_STEPS:
        reason = f"only {steps} steps of a fresh model are affordable, {FEWEST_STEPS} are needed"
    if reason:
        return _unpredicted("train", len(read.hashes), reason), ""
    seed = derived_seed(subject.seed, request.key)
    generator = np.random.default_rng(seed)
    folds = [generator.permutation(batch.size) % FOLDS for batch in read.batches]

    def attempt(fraction: float) -> LabelledSplit:
        parts = []
        for fold in range(FOLDS):
            with seeded(seed + fold):
                model = subject.fresh(seed + fold)
                others = _chosen(subject, read.batches, [part != fold for part in folds])
                endless = itertools.cycle(list(others))
                batches = (b.take(max(1, int(b.size * fraction))) for _, b in endless)
                clip = subject.clip_norm
                declared = subject.optimizer or USUAL
                train(subject, model, itertools.islice(batches, steps), declared, clip_norm=clip)
            left_out = _chosen(subject, read.batches, [part == fold for part in folds])
            parts += [_predicted(subject, model, numbers, batch) for numbers, batch in left_out]
        return _labelled("train", len(read.hashes), parts, steps)

    return halving(attempt)


def _chosen(
    subject: Subject, batches: list[Batch], masks: list[Array]
) -> Iterator[tuple[Array, Batch]]:
    """Yield, batch by batch, the numbers of the examples under the mask, and these alone.

    Those of which only one is left are kept out where batches are larger: batch norm can't train
    on one.
    """
    start = 0
    for batch, mask in zip(batches, masks, strict=True):
        places = np.flatnonzero(mask)
        if len(places) > 1 or (len(places) and batch.size == 1):
            rows = batch.rows(torch.from_numpy(places)).to(subject.device)
            yield places + start, rows
        start += batch.size


def _why_not(subject: Subject) -> str:
    """Return why labels can't be predicted, empty where they can."""
    task, outputs = subject.facts.task, subject.facts.outputs
    if task not in ("multiclass", "binary"):
        return "the examples do not have one class each"
    if outputs is not None and outputs > MOST_CLASSES:
        return f"there are more than {MOST_CLASSES:,} classes"
    return ""


Row = tuple[Array, Array, Array]
"""Numbers of examples, their probabilities, and their labels."""


@torch.no_grad()
def _predicted(subject: Subject, model: nn.Module, numbers: Array, batch: Batch) -> Row | None:
    """Return what a model, in evaluation mode, says of a batch; None where it can't be read."""
    model.eval()
    outputs, target = main_output(model(*batch.args, **batch.kwargs)), batch.target
    if not isinstance(outputs, torch.Tensor) or not isinstance(target, torch.Tensor):
        return None
    if outputs.ndim < 1 or outputs.is_complex() or len(outputs) != batch.size:
        return None
    outputs = outputs.float()
    if outputs[0].numel() == 1:
        share = outputs.reshape(-1)
        if not (subject.loss and subject.loss.known == "binary_cross_entropy"):
            share = share.sigmoid()
        probabilities = torch.stack([1 - share, share], dim=1)
        labels = (target.reshape(-1) > 0.5).long()
    else:
        scores, target = matched(outputs, target, "cross_entropy")
        if scores.ndim != 2 or target.ndim != 1 or target.is_floating_point():
            return None
        sums = scores.sum(dim=1)
        ready = bool((scores >= 0).all()) and bool(((sums - 1).abs() < 1e-3).all())
        probabilities = scores if ready else functional.softmax(scores, dim=1)
        labels = target
    if len(labels) != len(probabilities):
        return None
    kept = probabilities.isfinite().all(dim=1) & (labels >= 0)
    kept &= labels < probabilities.shape[1]
    place = kept.cpu().numpy()
    return numbers[place], probabilities[kept].cpu().numpy(), labels[kept].cpu().numpy()


def _labelled(split: Split, examples: int, parts: list[Row | None], steps: int) -> LabelledSplit:
    rows = [part for part in parts if part is not None and len(part[0])]
    if not rows or any(part is None for part in parts):
        return _unpredicted(split, examples, "outputs and targets do not show one class each")
    numbers, probabilities, labels = (np.concatenate(column) for column in zip(*rows, strict=True))
    order = np.argsort(numbers)
    return LabelledSplit(
        split,
        examples,
        numbers[order],
        labels[order],
        probabilities[order],
        steps,
    )


def _unpredicted(split: Split, examples: int, reason: str) -> LabelledSplit:
    none = np.zeros(0, np.int64)
    return LabelledSplit(split, examples, none, none, np.zeros((0, 0)), 0, reason)


def _thumbnails(
    splits: tuple[LabelledSplit, ...], reads: dict[Split, _Read]
) -> Iterator[Thumbnail]:
    """Yield pictures of the examples whose labels are most likely wrong."""
    for split, row in ranked(splits, PICTURES):
        number = int(split.numbers[row])
        start = 0
        for batch in reads[split.split].batches:
            if number < start + batch.size:
                shown = _shown(batch, number - start)
                if shown:
                    yield Thumbnail(split.split, number, shown)
                break
            start += batch.size


def _shown(batch: Batch, place: int) -> str | None:
    tensor = next(tensors_in((batch.args, batch.kwargs)), None)
    axis = None if tensor is None else batch.axis(tensor)
    if tensor is None or axis is None or not tensor.is_floating_point():
        return None
    return picture(tensor.select(axis, place))
