"""What dropout does to a model's answers, and what copies gain that are trained without it."""

import math
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from auditor.core.errors import InputError
from auditor.core.request import Unavailable
from auditor.core.values import Array
from auditor.experiments.arms import marks, shown_of, stepped, stepper
from auditor.experiments.dropout_sites import Drops, dropping, sites_of, undropped
from auditor.experiments.lab import affordable, every_module_called, halving
from auditor.experiments.probe import native_copy, raised
from auditor.experiments.training import USUAL
from auditor.intake.batches import Batch, changed
from auditor.intake.losses import as_classes, main_output, picks_class
from auditor.intake.modes import evaluating, keep_statistics
from auditor.intake.seeding import derived_seed, seeded
from auditor.intake.subject import Subject
from auditor.observations.dropout import (
    EXTREME,
    HIGH,
    LONGER,
    LONGER_SCORED,
    LOST,
    PASSES,
    SCORED,
    SEEDS,
    Dropout,
    DropoutOver,
    DropoutSite,
    WithoutDropout,
)

Sites = tuple[DropoutSite, ...]


def dropout(request: DropoutOver, subject: Subject) -> Dropout | Unavailable:
    """Look at dropout in both modes, and race copies where it takes much away."""
    assert subject.model is not None
    if request.split == "train_or_val":
        raise ValueError(f"{request.key} has not been settled with at()")
    size = subject.facts.data[request.split].batch_size
    many = affordable(subject, request.batches, size, runs=PASSES + 2, training=False)
    batches = list(subject.batches(request.split, many))
    seed = derived_seed(subject.seed, request.key)
    model = native_copy(subject)
    try:
        sites = _sites(model, batches[0], seed)
    except (torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - the model is the user's
        return Unavailable(f"the model does not run in training mode: {raised(error)}")
    nothing = np.zeros(0)
    found = Dropout(
        sites=sites,
        plain=nothing,
        dropped=nothing,
        evaluated=nothing,
        constant=math.nan,
        spread=math.nan,
        flips=False,
        examples=sum(batch.size for batch in batches),
        split=request.split,
        raced=None,
        no_race="nothing drops in training",
        answers=subject.facts.task not in (None, "custom"),
    )
    if not found.active and not found.left_on:
        return found
    try:
        found = _looked(subject, model, found, batches, seed)
    except (torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - the model and the loss are the user's
        return replace(found, untold=raised(error), no_race="its losses could not be had")
    raced = _raced(request, subject, found, seed)
    if isinstance(raced, Unavailable):
        return replace(found, no_race=raced.reason)
    return replace(found, raced=raced, no_race="")


def _sites(model: nn.Module, batch: Batch, seed: int) -> Sites:
    """Run a batch in both modes and return where something drops."""
    wanted = [(p, p.requires_grad) for p in model.parameters()]
    weights = [p for p, _ in wanted if p.is_floating_point() or p.is_complex()]
    trained, evaluated = Drops(model), Drops(model)
    with seeded(seed), every_module_called():
        for p in weights:
            p.requires_grad_(True)
        model.train()
        keep_statistics(model)
        with torch.enable_grad(), trained.watching():
            outputs = model(*batch.args, **batch.kwargs)
        model.eval()
        with torch.no_grad(), evaluated.watching():
            model(*batch.args, **batch.kwargs)
        sites = sites_of(model, trained, evaluated, outputs, whole=bool(weights))
    for p, required in wanted:
        p.requires_grad_(required)
    return sites


@dataclass
class _Answers:
    """Losses and predictions of some batches."""

    losses: list[float]
    constants: list[float]
    predicted: list[torch.Tensor]
    flips: bool


@torch.no_grad()
def _looked(
    subject: Subject, model: nn.Module, found: Dropout, batches: list[Batch], seed: int
) -> Dropout:
    """Return the losses and the spread of the answers, with dropout and without."""
    with seeded(seed), every_module_called():
        evaluating(model)
        with undropped(model):
            evaluated = plain = _answers(subject, model, batches, told=True)
        if found.left_on:
            evaluated = _answers(subject, model, batches)
        with dropping(model, found.sites):
            passes = [_answers(subject, model, batches) for _ in range(PASSES)]
    return replace(
        found,
        plain=np.asarray(plain.losses),
        dropped=np.asarray([one.losses for one in passes]),
        evaluated=np.asarray(evaluated.losses),
        constant=float(np.mean(plain.constants)) if plain.constants else math.nan,
        spread=_spread(plain, passes),
        flips=plain.flips,
    )


def _answers(
    subject: Subject, model: nn.Module, batches: list[Batch], *, told: bool = False
) -> _Answers:
    """Run the batches; where `told`, also say what the mean answer to all would cost."""
    losses, constants, predicted, flips = [], [], [], False
    for batch in batches:
        outputs = model(*batch.args, **batch.kwargs)
        if subject.loss is not None:
            losses.append(float(subject.loss(outputs, batch.target)))
        main = main_output(outputs)
        if not isinstance(main, torch.Tensor) or not main.is_floating_point() or not main.ndim:
            continue
        if told and subject.loss is not None:
            constants.append(float(subject.loss(_averaged(outputs, main), batch.target)))
        if subject.loss is not None and isinstance(batch.target, torch.Tensor) and picks_class(
            subject.loss, subject.facts.task, main, batch.target
        ):  # fmt: skip
            flips = True
            try:
                main = as_classes(main, batch.target)[0].argmax(dim=1)
            except InputError:
                main = main.argmax(dim=-1)
        elif subject.facts.task in ("binary", "multilabel"):
            flips = True
            main = main > (0.5 if subject.loss and subject.loss.known == "binary_cross_entropy"
                           else 0.0)  # fmt: skip
        predicted.append(main)
    return _Answers(losses, constants, predicted, flips)


def _spread(plain: _Answers, passes: list[_Answers]) -> float:
    """Return the share of predictions that a pass changes, or the relative deviation."""
    if not plain.predicted:
        return math.nan
    if plain.flips:
        changes = [
            (a != b).double().mean()
            for one in passes
            for a, b in zip(plain.predicted, one.predicted, strict=True)
        ]
        return float(torch.stack(changes).mean())
    within, between = [], []
    for place, base in enumerate(plain.predicted):
        runs = torch.stack([one.predicted[place].double() for one in passes])
        within.append(runs.var(dim=0, unbiased=True).mean())
        if len(base) > 1:
            between.append(base.double().var(dim=0, unbiased=True).mean())
    whole = float(torch.stack(between).mean()) if between else 0.0
    return math.sqrt(float(torch.stack(within).mean()) / whole) if whole > 0 else math.nan


def _averaged(outputs: Any, main: torch.Tensor) -> Any:
    """Return outputs in which every example gets the mean of the main ones."""

    def put(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.mean(dim=0, keepdim=True).expand_as(tensor) if tensor is main else tensor

    return changed(outputs, put)


def _raced(
    request: DropoutOver, subject: Subject, found: Dropout, seed: int
) -> WithoutDropout | Unavailable:
    """Train pairs of copies with dropout and without; score them with dropout off."""
    if not found.active:
        return Unavailable("nothing drops in training")
    if subject.loss is None:
        return Unavailable("no loss is named (`loss`)")
    if "train" not in subject.data:
        return Unavailable("no training data is given (`data: train`)")
    highest = max(site.rate for site in found.active)
    if not (found.lost(found.constant) >= LOST or highest >= HIGH):
        return Unavailable("dropout takes too little away to hold anything back")
    known = subject
    if subject.optimizer is None and subject.live_optimizer is None:
        known = replace(subject, optimizer=USUAL)
    size = subject.facts.data["train"].batch_size
    long = highest >= EXTREME
    steps = affordable(subject, request.steps * (LONGER if long else 1), size, runs=2 * SEEDS)
    scored = LONGER_SCORED if long else SCORED
    try:
        return halving(lambda fraction: _pairs(known, steps, scored, fraction, seed))[0]
    except (torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - the model and the optimizer are the user's
        return Unavailable(f"copies can't be trained here: {raised(error)}")


def _pairs(
    subject: Subject, steps: int, scored: int, fraction: float, seed: int
) -> WithoutDropout | Unavailable:
    assert subject.loss is not None
    losses: dict[tuple[str, bool], list[Array]] = {}
    scores, shown, measure = np.full((SEEDS, 2, 2), math.nan), "", ""
    for number in range(SEEDS):
        for drops in (True, False):
            with seeded(seed + number), torch.enable_grad():
                model = native_copy(subject)
                optimizer = stepper(subject, model, "checkpoint")
                if isinstance(optimizer, Unavailable):
                    return optimizer
                shown = shown_of(optimizer)
                with nullcontext() if drops else undropped(model):
                    fine = stepped(subject, model, optimizer, steps, fraction, subject.loss)
                if not fine:
                    return Unavailable("copies get a loss that is not finite within a few steps")
            for place, split in enumerate(("train", "val")):
                with undropped(model):
                    seen = subject.batches("train" if split == "train" else "val", scored)
                    measure, rows, score = marks(
                        subject, model, seen, "train" if split == "train" else "val"
                    )
                losses.setdefault((split, drops), []).append(rows)
                scores[number, place, 0 if drops else 1] = score
    return WithoutDropout(
        steps,
        shown,
        measure,
        np.stack(losses["train", True]),
        np.stack(losses["train", False]),
        np.stack(losses["val", True]),
        np.stack(losses["val", False]),
        scores,
    )
