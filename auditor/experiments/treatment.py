"""Trying remedies: copies with and without them, from the same weights on the same batches."""

import ast
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from auditor.core.request import Unavailable
from auditor.core.spec import OptimizerSpec
from auditor.core.text import counted
from auditor.core.values import Array
from auditor.experiments.examples import joined
from auditor.experiments.lab import affordable, cycled, halving, private_copy, scored
from auditor.experiments.last_activation import Bare
from auditor.experiments.renewal import renew
from auditor.experiments.rescaling_ways import Way, layouts_of
from auditor.experiments.shortcuts import around, put_shortcuts
from auditor.experiments.standardised import Restored, Standard, standard_of
from auditor.experiments.training import settled, train
from auditor.intake.batches import Batch
from auditor.intake.losses import Loss
from auditor.intake.modes import dropout_off
from auditor.intake.seeding import derived_seed, seeded
from auditor.intake.subject import Subject
from auditor.observations.treatment import KEPT, SCORED, TreatmentOver, Tried

SHARE = 2
"""A trial spends this part of what an experiment may: there are several of them."""

ENOUGH = 24
"""Steps below which a trial takes smaller batches, so that it can make more of them."""

FEWEST = 8
"""Steps below which nothing is tried: so few show nothing."""

Inputs = Callable[[Batch], Batch]


@dataclass(frozen=True)
class Pace:
    """How many steps a trial takes, and what share of each batch."""

    steps: int
    fraction: float


@dataclass(frozen=True)
class Means:
    """What a treatment does to the data: to inputs, and to targets; None where it leaves them."""

    inputs: Inputs
    standard: Standard | None


def treated(request: TreatmentOver, subject: Subject) -> Tried | Unavailable:
    """Return how copies score that are treated."""
    if request.statistics or not request.steps:
        with seeded(derived_seed(subject.seed, "trial")):
            return _as_it_is(request, subject)
    assert subject.model is not None
    if request.shortcuts and not around(subject.model):
        return Unavailable("no layer keeps the shape of what it is given, as shortcuts need")
    inputs: Inputs = _same
    if request.rescaled:
        found = _rescaling(subject)
        if found is None:
            return Unavailable("no input holds finite real numbers alone, so none can be rescaled")
        inputs = found
    standard = standard_of(subject, SCORED) if request.retargeted else None
    if request.retargeted and standard is None:
        return Unavailable("targets that are no plain numbers can't be standardised")
    pace = _pace(request, subject)
    if pace.steps // request.merged < min(FEWEST, request.steps):
        steps = counted(pace.steps // request.merged, "step")
        return Unavailable(f"the model is too costly: {steps} would be all that a trial can afford")
    means = Means(inputs, standard)
    try:
        made, _ = halving(
            lambda part: _trained(
                request, subject, means, replace(pace, fraction=part * pace.fraction)
            )
        )
    except _ApartError:
        return Unavailable("batches of training can't be joined into larger ones")
    return made


def _pace(request: TreatmentOver, subject: Subject) -> Pace:
    """Return the largest share of each batch with which there are steps enough."""
    size = subject.facts.data["train"].batch_size
    pace = Pace(0, 1.0)
    for fraction in (1.0, 0.5, 0.25):
        examples = max(1, int(size * fraction))
        steps = affordable(subject, request.steps, examples, runs=SHARE * request.seeds)
        if steps > pace.steps:
            pace = Pace(steps, fraction)
        if steps >= min(ENOUGH, request.steps):
            break
    return pace


def _as_it_is(request: TreatmentOver, subject: Subject) -> Tried:
    """Score the checkpoint without training, its batch norm shown training data where asked, and
    parameters made anew.
    """
    model = private_copy(subject)
    _make_anew(model, request.anew)
    if request.statistics:
        size = subject.facts.data["train"].batch_size
        count = affordable(subject, request.steps, size, training=False)
        renew_statistics(subject, model, count)
    measure, higher, scores = _scores(subject, model, _same)
    what = "of a copy, not trained on" if request.anew else "of the checkpoint"
    return Tried(measure, higher, what, scores[None])


def renew_statistics(subject: Subject, model: nn.Module, batches: int) -> None:
    """Replace batch norm's running statistics by plain means over training batches.

    Everything else is in evaluation mode meanwhile.
    """
    renew(model, (batch for batch in subject.batches("train", batches) if batch.size > 1))


def _trained(request: TreatmentOver, subject: Subject, means: Means, pace: Pace) -> Tried:
    optimizer = _optimizer(request, subject)
    clip_norm = subject.clip_norm if request.clip_norm == KEPT else request.clip_norm
    size = max(1, int(subject.facts.data["train"].batch_size * pace.fraction))
    mode = (lambda model: dropout_off(model, size)) if request.no_dropout else nn.Module.train
    kept: list[Array] = []
    measure, higher = "", False
    for number in range(request.seeds):
        seed = derived_seed(subject.seed, f"trial {number}")
        with seeded(seed):
            model = _start(request, subject, seed)
            loss = subject.loss
            if request.bare:
                model = Bare(model)
                loss = Loss({"loss": _of_logits(model, subject)}, "", "the loss of the logits")
        with seeded(seed):
            drawn = cycled(subject, "train", pace.steps, pace.fraction)
            batches = (_prepared(batch, means) for batch in _merged(drawn, request.merged))
            racer = replace(subject, loss=loss)
            train(racer, model, batches, optimizer, clip_norm=clip_norm, mode=mode)
            judged = Restored(model, means.standard) if means.standard else model
            measure, higher, scores = _scores(subject, judged, means.inputs)
        kept.append(scores)
    begun = "fresh models" if request.start == "fresh" else "copies"
    part = "" if pace.fraction == 1.0 else f" on {pace.fraction:.0%} of each batch"
    each = "" if request.merged == 1 else f" of {request.merged} batches"
    what = f"of {begun} after {pace.steps // request.merged} steps{each}{part}"
    return Tried(measure, higher, what, np.stack(kept))


class _ApartError(Exception):
    """Batches can't be joined."""


def _merged(batches: Iterator[Batch], count: int) -> Iterator[Batch]:
    """Yield batches that are `count` of those given in one; what is left over is left out."""
    while len(group := list(itertools.islice(batches, count))) == count:
        whole = group[0] if count == 1 else joined(group)
        if whole is None:
            raise _ApartError
        yield whole


def _prepared(batch: Batch, means: Means) -> Batch:
    changed = means.inputs(batch)
    return changed if means.standard is None else means.standard.applied(changed)


def _optimizer(request: TreatmentOver, subject: Subject) -> OptimizerSpec:
    declared, _ = settled(subject)
    changes: dict[str, Any] = {"lr": declared.lr * request.times}
    if request.rate != KEPT:
        changes["lr"] = request.rate
    if request.weight_decay != KEPT:
        changes["weight_decay"] = request.weight_decay
    name, _, value = request.setting.partition("=")
    if name in declared.arguments():
        changes[name] = ast.literal_eval(value)
    return declared.model_copy(update=changes)


def _start(request: TreatmentOver, subject: Subject, seed: int) -> nn.Module:
    model = subject.fresh(seed) if request.start == "fresh" else private_copy(subject)
    if request.reset:
        for module in model.modules():
            if callable(start := getattr(module, "reset_parameters", None)):
                start()
    if request.shortcuts:
        put_shortcuts(model)
    _make_anew(model, request.anew)
    return model


@torch.no_grad()
def _make_anew(model: nn.Module, names: str) -> None:
    """Initialise some parameters soundly: matrices as He et al. 2015 do, scales 1, shifts 0."""
    chosen = set(names.split(","))
    for name, parameter in model.named_parameters():
        if name not in chosen:
            continue
        if parameter.ndim > 1:
            nn.init.kaiming_normal_(parameter)
        else:
            parameter.fill_(1.0 if name.endswith("weight") else 0.0)


def _of_logits(model: Bare, subject: Subject) -> Callable[[Any, Any], torch.Tensor]:
    assert subject.loss is not None
    loss = subject.loss

    def measured(outputs: Any, target: Any) -> torch.Tensor:
        return loss(outputs if model.logits is None else model.logits, target)

    return measured


def _rescaling(subject: Subject) -> Inputs | None:
    """Return what brings each column of the inputs to mean 0 and deviation 1."""
    layouts, _ = layouts_of(subject, list(subject.batches("train", SCORED)))
    if not layouts:
        return None
    widths = [torch.where(one.deviation > 0, one.deviation, 1.0) for one in layouts.values()]
    scale = tuple(1 / width for width in widths)
    shift = tuple(-o.mean / w for o, w in zip(layouts.values(), widths, strict=True))
    way = Way("standardised", "statistics", scale, shift)
    return lambda batch: way.applied(batch, layouts)


def _same(batch: Batch) -> Batch:
    return batch


@torch.no_grad()
def _scores(subject: Subject, model: nn.Module, inputs: Inputs) -> tuple[str, bool, Array]:
    """Return the measure, whether more of it is better, and each validation example's score."""
    assert subject.loss is not None
    batches = [inputs(b) for b in itertools.islice(subject.batches("val", SCORED), SCORED)]
    seen = scored(subject, model, batches, "val")
    if not isinstance(seen, Unavailable):
        return seen.metric, seen.metric == "accuracy", np.asarray(seen.scores, float)
    model.eval()
    losses = [float(subject.loss(model(*b.args, **b.kwargs), b.target)) for b in batches]
    return "loss", False, np.asarray(losses)
