"""Predictions of labels by a model that has not seen them, and the training that leads there."""

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from auditor.core.request import Split
from auditor.core.statistics import clopper_pearson
from auditor.core.values import Array
from auditor.experiments.repeats import Read, from_one_hot
from auditor.experiments.training import settled, train
from auditor.intake.batches import Batch
from auditor.intake.losses import main_output, matched
from auditor.intake.subject import Subject
from auditor.observations.label_noise import USUAL, Estimate, estimated
from auditor.observations.labels import FOLDS, LOOKS, LabelledSplit, contradicted

FEWEST_STEPS = 50
"""Steps of a fresh model below which its predictions say nothing about labels."""
LEAST_FALL = 0.1
"""Share of the contradictions that must be gone since the last look for training to be worth it."""

Numbered = tuple[Array, Batch]
"""The numbers of examples, and these, on the subject's device."""


@dataclass(frozen=True)
class Look:
    """What a fresh model predicts after so many steps of the examples left out, and of others.

    It is `settled` where further steps make the model no better, or need not.
    """

    steps: int
    left_out: LabelledSplit
    others: LabelledSplit
    settled: bool


def looked(
    subject: Subject,
    reads: dict[Split, Read],
    left_out: Array,
    steps: int,
    seed: int,
    fraction: float,
) -> Look | None:
    """Train a fresh model on the training examples not `left_out`; return its best look.

    It ends where labels certainly hold up, where further steps no longer pay, or after `steps`.
    None where there is no look, as the loss is not finite or there is nothing to train on.
    """
    training, val = reads["train"], reads["val"]
    model = subject.fresh(seed)
    ends = {steps >> look for look in range(LOOKS)}
    looks: list[Look] = []

    def watch(step: int, _loss: torch.Tensor, _outputs: Any) -> bool:
        if step not in ends or step < FEWEST_STEPS:
            return False
        modes = [(module, module.training) for module in model.modules()]
        rest = predicted(subject, model, "train", training, chosen(subject, training, left_out))
        others = predicted(subject, model, "val", val, every(subject, val))
        for module, mode in modes:
            module.training = mode
        found = estimated(rest)
        sound = found is not None and _sound(found)
        pays = not sound and (not looks or _fell(looks[-1].left_out, rest))
        looks.append(Look(step, rest, others, settled=not pays))
        return not pays or step == steps

    batches = list(chosen(subject, training, ~left_out, alone=False))
    endless = (b.share(fraction) for _, b in itertools.cycle(batches))
    optimizer, _ = settled(subject)
    few = itertools.islice(endless, steps + 1)
    train(subject, model, few, optimizer, clip_norm=subject.clip_norm, watch=watch)
    if not looks:
        return None
    best = min(looks, key=lambda look: _against(look.left_out))
    return replace(best, settled=looks[-1].settled)


def _sound(found: Estimate) -> bool:
    """Tell whether too many labels can't be wrong, if the other parts are like this one."""
    return clopper_pearson(FOLDS * found.wrong, FOLDS * found.sure)[1] < 2 * USUAL


def _against(split: LabelledSplit) -> int:
    return int(contradicted(split).sum())


def _fell(before: LabelledSplit, now: LabelledSplit) -> bool:
    """Tell whether contradictions fell by more than a tenth, and than chance makes them fall.

    No more of them can have changed by chance than there were, so that two deviations are 2 √n.
    """
    was = _against(before)
    return was - _against(now) > max(LEAST_FALL * was, 2 * math.sqrt(was))


def every(subject: Subject, read: Read) -> Iterator[Numbered]:
    """Yield the batches that were kept."""
    for start, batch in read.kept:
        yield np.arange(start, start + batch.size), batch.to(subject.device)


def chosen(subject: Subject, read: Read, mask: Array, *, alone: bool = True) -> Iterator[Numbered]:
    """Yield, batch by batch, the kept examples under the mask [examples], and these alone.

    A single one of a larger batch is left out unless it may stand `alone`: batch norm can't train
    on it.
    """
    for start, batch in read.kept:
        places = np.flatnonzero(mask[start : start + batch.size])
        if len(places) > 1 or (len(places) and (alone or batch.size <= 2)):
            yield places + start, batch.rows(torch.from_numpy(places)).to(subject.device)


@torch.no_grad()
def predicted(
    subject: Subject, model: nn.Module, split: Split, read: Read, batches: Iterable[Numbered]
) -> LabelledSplit:
    """Return what a model, put in evaluation mode, says of some examples of a split."""
    model.eval()
    rows = []
    for numbers, batch in batches:
        told = _classes(subject, model, batch)
        if told is None:
            return unpredicted(split, read, "outputs and targets do not show one class each")
        rows.append((numbers, *told))
    if not rows:
        return unpredicted(split, read, "there are no examples to predict")
    numbers, probabilities, labels = (np.concatenate(column) for column in zip(*rows, strict=True))
    return labelled(split, read, numbers, probabilities, labels)


def labelled(
    split: Split, read: Read, numbers: Array, probabilities: Array, labels: Array
) -> LabelledSplit:
    """Return predictions as evidence, those that are finite, of examples with a label.

    Of copies only the first counts: an error that was copied is one error.
    """
    kept = np.isfinite(probabilities).all(axis=1) & ~read.copies[numbers]
    kept &= (labels >= 0) & (labels < probabilities.shape[1])
    return LabelledSplit(
        split,
        len(read.hashes),
        read.whole,
        numbers[kept],
        labels[kept],
        probabilities[kept],
        steps=0,
        settled=True,
    )


def unpredicted(split: Split, read: Read, reason: str) -> LabelledSplit:
    """Return the evidence of a split that can't be predicted, and why."""
    none = np.zeros(0, np.int64)
    size = len(read.hashes)
    return LabelledSplit(split, size, read.whole, none, none, np.zeros((0, 0)), 0, True, reason)


def _classes(subject: Subject, model: nn.Module, batch: Batch) -> tuple[Array, Array] | None:
    """Return probabilities and labels of a batch, -1 for none; None where they can't be read."""
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
        scores, labels = matched(outputs, target, "cross_entropy")
        if scores.ndim == 2 and labels.shape == scores.shape:
            labels = from_one_hot(labels)
        if scores.ndim != 2 or labels.ndim != 1 or labels.is_floating_point():
            return None
        sums = scores.sum(dim=1)
        ready = bool((scores >= 0).all()) and bool(((sums - 1).abs() < 1e-3).all())
        probabilities = scores if ready else functional.softmax(scores, dim=1)
    if len(labels) != len(probabilities):
        return None
    return probabilities.cpu().numpy(), labels.cpu().numpy()
