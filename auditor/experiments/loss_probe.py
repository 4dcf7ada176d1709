"""Trying a loss on a few batches: whole and in halves, with its targets handed round."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from auditor.core.errors import InputError
from auditor.core.request import Split, Unavailable
from auditor.core.values import Array
from auditor.experiments.class_direction import class_direction
from auditor.experiments.lab import affordable, in_parts, private_copy
from auditor.experiments.last_activation import last_module
from auditor.experiments.own_loss import acts_like, left_out, terms_of, unstable
from auditor.experiments.shaken import shaken_outputs
from auditor.intake.batches import Batch, described
from auditor.intake.losses import (
    LABEL_LOSSES,
    NUMBER_LOSSES,
    Loss,
    main_output,
    matched,
    stands_for,
)
from auditor.intake.seeding import derived_seed, seeded
from auditor.intake.subject import Subject
from auditor.intake.trial import none_finite
from auditor.observations.class_direction import ClassDirection, together
from auditor.observations.loss_probe import (
    DRAWS,
    PASSES,
    SIGMOID,
    SOFTMAX,
    LossProbe,
    LossProbeOver,
)

MOST_EXAMPLES = 64
"""Examples of a batch that are looked at; an even number, so that halves are equal."""

MOST_VALUES = 1_000_000
"""Values of output kept, and of the outputs of blown-up copies."""

STACKED = 5e-3
"""How far from 1 the sum of a column may be that a softmax made, in half precision."""

Reading = tuple[torch.Tensor, torch.Tensor, bool]


def loss_probe(request: LossProbeOver, subject: Subject) -> LossProbe | Unavailable:
    """Return outputs, targets, and how the loss treats them."""
    split: Split = "train" if request.split == "train" else "val"
    return in_parts(subject, lambda: probed(subject, split, request.batches))


@torch.no_grad()
def probed(subject: Subject, split: Split, most: int) -> LossProbe:
    """Probe the loss on the first batches of a split."""
    assert subject.loss is not None
    loss = subject.loss
    kept: list[_Kept | None] = []
    ignored, stacked = loss.ignored, True
    names = _names(loss)
    alike = [set() if name else set(CANDIDATES) for name in names]
    whole: list[float] = []
    halves: list[list[float]] = []
    quarters: list[float] = []
    blind: list[bool | None] = []
    directions: list[ClassDirection | None] = []
    shapes, broadcasts, spoilt = ("", ""), False, False
    runs = PASSES * most + 2 * DRAWS
    examples = max(2, affordable(subject, MOST_EXAMPLES, 1, runs, training=False))
    batches = [_even(batch, examples) for batch in subject.batches(split, most)]
    model, fresh = _asked(subject, batches[0])
    with seeded(derived_seed(subject.seed, "loss probe")):
        end = last_module(model, *batches[0].args, **batches[0].kwargs)
        for batch in batches:
            outputs = model(*batch.args, **batch.kwargs)
            main = main_output(outputs)
            values = loss.values(outputs, batch.target)
            reading = read(loss, main, batch.target)
            if reading is None:
                alike = [set() for _ in names]
                kept.append(None)
            else:
                tried = list(terms_of(loss, outputs, batch.target))
                if not kept and subject.facts.task != "custom":
                    own = (term for term, name in zip(tried, names, strict=True) if not name)
                    spoilt = any(unstable(term, main, batch.target) for term in own)
                if not kept and reading[2] and names == [""]:
                    hidden = left_out(tried[0], main, batch.target)
                    ignored = ignored if hidden is None else hidden
                alike = [
                    {n for n in left if acts_like(n, term, value, main, batch.target, ignored)}
                    for left, term, value in zip(alike, tried, values.values(), strict=True)
                ]
                kept.append(_cut(reading, ignored, len(batches)))
                if reading[2] and not loss.known:
                    directions.append(class_direction(loss, outputs, batch.target, ignored))
            stacked = stacked and _over_batch(main)
            if batch.size > 1:
                whole.append(float(torch.stack(list(values.values())).sum()))
                halves.append([_loss(subject, model, half) for half in _parts(batch, 2)])
                fourths = [_loss(subject, model, part) for part in _parts(batch, 4)]
                quarters.append(sum(fourths) / 4 if fourths else math.nan)
            shapes = described(main), described(batch.target)
            if _broadcasts(main, batch.target):
                broadcasts = True
                blind.append(_blind(loss, outputs, batch))
        few = batches[0].take(examples // 2 if batches[0].size > 2 else 2)
        bases = [model] if subject.factory is None else [model, subject.fresh(subject.seed)]
        shaken = []
        for number, factor, outputs in shaken_outputs(subject, bases, few):
            if broadcasts and len(blind) < len(batches) + 2:
                blind.append(_blind(loss, outputs, few))
            reading = read(loss, main_output(outputs), few.target)
            if reading is not None:
                rows = _cut(reading, None, 2 * DRAWS).outputs
                shaken.append((rows, np.full(len(rows), factor), np.full(len(rows), number)))
    told = [one for one in kept if one is not None]
    if len({(one.outputs.shape[1], one.classes) for one in told}) != 1 or len(told) < len(kept):
        told, shaken = [], []
    return LossProbe(
        outputs=_stacked([one.outputs for one in told]),
        targets=_stacked([one.targets for one in told]),
        classes=bool(told) and told[0].classes,
        counted=sum(one.counted for one in told),
        ignored=sum(one.ignored for one in told),
        ignored_label=ignored,
        examples=sum(batch.size for batch in batches),
        shaken=_stacked([rows for rows, _, _ in shaken]),
        shaken_by=_stacked([factor for _, factor, _ in shaken]),
        shaken_draw=_stacked([number for _, _, number in shaken]),
        acts_like=tuple(
            name or next((n for n in CANDIDATES if n in left), "")
            for name, left in zip(names, alike, strict=True)
        ),
        over_batch=bool(batches) and stacked,
        whole=np.asarray(whole, float),
        halves=np.asarray(halves, float).reshape(-1, 2),
        quarters=np.asarray(quarters, float),
        unpaired=not loss.known and True in blind and False not in blind,
        broadcasts=broadcasts,
        output_shape=shapes[0],
        target_shape=shapes[1],
        width=subject.facts.outputs,
        loss=loss.shown,
        factory=subject.facts.factory,
        split=split,
        unstable=spoilt,
        direction=together(directions),
        fresh=fresh,
        end=end,
    )


def _asked(subject: Subject, batch: Batch) -> tuple[nn.Module, bool]:
    """Return a copy of the checkpoint, or a fresh model where none of its outputs is finite."""
    model = private_copy(subject)
    model.eval()
    if subject.factory is None or not none_finite(model(*batch.args, **batch.kwargs)):
        return model, False
    other = subject.fresh(derived_seed(subject.seed, "loss probe"))
    other.eval()
    return other, True


@dataclass(frozen=True)
class _Kept:
    """Rows of one batch whose targets count, how many there were, and how many do not."""

    outputs: Array
    targets: Array
    classes: bool
    counted: int
    ignored: int


def _cut(reading: Reading, ignored_label: int | None, batches: int) -> _Kept:
    """Return rows of a batch, evenly spread, that are no more than its share of what is kept."""
    outputs, targets, classes = reading
    ignored, seen = 0, len(outputs)
    if classes and ignored_label is not None:
        counted = targets != ignored_label
        ignored = int((~counted).sum())
        outputs, targets = outputs[counted], targets[counted]
    most = max(1, MOST_VALUES // max(1, batches * outputs.shape[1]))
    if len(outputs) > most:
        place = torch.linspace(0, len(outputs) - 1, most, device=outputs.device).round().long()
        outputs, targets = outputs[place], targets[place]
    return _Kept(
        outputs.detach().double().cpu().numpy(),
        targets.double().cpu().numpy(),
        classes,
        seen - ignored,
        ignored,
    )


_NONE = np.zeros(0)

CANDIDATES = (
    "cross_entropy",
    "nll_loss",
    "binary_cross_entropy_with_logits",
    "binary_cross_entropy",
    "mse_loss",
    "l1_loss",
    "smooth_l1_loss",
    "huber_loss",
    SOFTMAX,
    SIGMOID,
)
"""What a loss of the user's own is compared with; the first that agrees is taken."""


def _names(loss: Loss) -> list[str]:
    """Return, for each term, the name of torch's loss that it is, or an empty one."""
    if len(loss.terms) == 1:
        return [loss.known or stands_for(next(iter(loss.terms.values())))]
    return [
        term.known or stands_for(next(iter(term.terms.values()))) if isinstance(term, Loss) else ""
        for term in loss.terms.values()
    ]


def _over_batch(main: Any) -> bool:
    """Tell whether each output of several sums to one over the examples, and no row does."""
    if not isinstance(main, torch.Tensor) or main.ndim < 2 or min(main.shape[:2]) < 2:
        return False
    table = main.double()
    for shares in (table, table.exp()):
        down, across = ((shares.sum(dim=axis) - 1).abs() for axis in (0, 1))
        if (shares >= 0).all() and (down < STACKED).all() and not (across < STACKED).all():
            return True
    return False


def read(loss: Loss, outputs: Any, target: Any) -> Reading | None:
    """Return outputs and targets in rows, and whether the targets are class indices."""
    if not isinstance(outputs, torch.Tensor) or not isinstance(target, torch.Tensor):
        return None
    if outputs.is_complex() or not outputs.is_floating_point() or not outputs.ndim:
        return None
    numeric = (*LABEL_LOSSES, *NUMBER_LOSSES)
    if not target.is_floating_point() and loss.known not in numeric:
        scores, labels = matched(outputs, target, "cross_entropy")
        if scores.ndim == labels.ndim + 1 and scores.ndim > 1:
            rows = scores.movedim(1, -1).reshape(-1, scores.shape[1])
            return (rows, labels.reshape(-1), True) if len(rows) == labels.numel() else None
    if target.is_complex():
        return None
    try:
        outputs, target = matched(outputs, target, "mse_loss")
    except InputError:
        return None
    if loss.known == "cross_entropy" and outputs.ndim > 2:
        outputs, target = outputs.movedim(1, -1), target.movedim(1, -1)
        return outputs.reshape(-1, outputs.shape[-1]), target.reshape(-1, target.shape[-1]), False
    return outputs.reshape(len(outputs), -1), target.reshape(len(target), -1), False


def _even(batch: Batch, examples: int) -> Batch:
    size = min(batch.size, examples)
    return batch.take(size - size % 2 if size > 1 else 1)


def _parts(batch: Batch, count: int) -> list[Batch]:
    """Return so many equal parts of a batch; none where it can't be divided so."""
    size = batch.size // count
    if batch.size % count:
        return []
    return [batch.rows(torch.arange(at, at + size)) for at in range(0, batch.size, size)]


def _loss(subject: Subject, model: nn.Module, batch: Batch) -> float:
    assert subject.loss is not None
    return float(subject.loss(model(*batch.args, **batch.kwargs), batch.target))


def _broadcasts(outputs: Any, target: Any) -> bool:
    """Tell whether an elementwise loss would set each output against each target."""
    if not isinstance(outputs, torch.Tensor) or not isinstance(target, torch.Tensor):
        return False
    if outputs.numel() != target.numel() or outputs.numel() < 2:
        return False
    try:
        shape = torch.broadcast_shapes(outputs.shape, target.shape)
    except RuntimeError:
        return False
    return bool(torch.Size(shape).numel() > outputs.numel())


def _blind(loss: Loss, outputs: Any, batch: Batch) -> bool | None:
    """Tell whether the loss stays what it is as targets go to other examples.

    None where this shows nothing: the outputs or the targets are all alike, or not finite.
    """
    main = main_output(outputs)
    if not main.isfinite().all() or bool((main == main.flatten()[0]).all()):
        return None
    value, told = float(loss(outputs, batch.target)), None
    for shift in (1, 2, batch.size // 2):
        turned = batch.rows(torch.arange(batch.size).roll(shift)).target
        if bool((turned == batch.target).all()):
            continue
        told = True
        if abs(float(loss(outputs, turned)) - value) > max(1e-5 * abs(value), 1e-12):
            return False
    return told


def _stacked(tables: list[Any]) -> Any:
    return np.concatenate(tables) if tables else _NONE
