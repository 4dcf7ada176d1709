"""Training each layer of a copy anew, all others as they are: does that mend the checkpoint?"""

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from auditor.core.request import Split, Unavailable
from auditor.core.text import clean_text
from auditor.core.values import Array
from auditor.experiments.lab import affordable, in_parts, private_copy, scored
from auditor.experiments.renewal import renew
from auditor.experiments.rescaling import parted
from auditor.intake.batches import Batch
from auditor.intake.modes import evaluating
from auditor.intake.running_statistics import renewable
from auditor.intake.seeding import derived_seed, seeded
from auditor.intake.subject import Subject
from auditor.observations.layer_repair import BAD, MOST, LayerRepairs, LayerRepairsOver
from auditor.observations.targets import best_constant_loss, losses_of

FEWEST = 8
"""Steps below which nothing is tried: so few show nothing."""

PACE = 0.05
"""The first learning rate of a weight, as a share of the size that it has when initialised."""

OWN = "(model)"
"""What the parameters of the model itself are called together."""


@dataclass(frozen=True)
class Layer:
    """A module with parameters of its own, at least one of them a matrix."""

    name: str
    parameters: tuple[str, ...]


def layer_repairs(request: LayerRepairsOver, subject: Subject) -> LayerRepairs | Unavailable:
    """Score the checkpoint, and, where it does badly, copies of which a layer is trained anew."""
    return in_parts(subject, lambda: _tried(request, subject))


def _tried(request: LayerRepairsOver, subject: Subject) -> LayerRepairs | Unavailable:
    assert subject.model is not None
    split: Split = "train" if request.split == "train" else "val"
    size = max(1, subject.facts.data[split].batch_size)
    most = affordable(subject, request.batches, size, runs=MOST + 2, training=False)
    batches = list(subject.batches(split, most))
    learnt, judged = parted(batches, sum(batch.size for batch in batches))
    if not learnt or not judged:
        return Unavailable("there are too few examples to learn from some and be judged by others")
    with seeded(derived_seed(subject.seed, request.key)):
        before = scored(subject, evaluating(private_copy(subject)), judged, split)
        if isinstance(before, Unavailable):
            return before
        losses, constant = losses_of(before), best_constant_loss(before)
        if not np.isfinite(losses).all() or not math.isfinite(constant):
            return Unavailable("the loss is not finite, so it can't be compared")
        none = np.zeros((0, len(losses)))
        empty = np.zeros(0)
        seen = LayerRepairs(before.metric, (), losses, none, empty, empty, constant, 0, split)
        if losses.mean() < BAD * constant:
            return seen
        return _repaired(request, subject, seen, learnt, judged)


def _repaired(
    request: LayerRepairsOver,
    subject: Subject,
    seen: LayerRepairs,
    learnt: list[Batch],
    judged: list[Batch],
) -> LayerRepairs | Unavailable:
    assert subject.model is not None
    found = layers_of(subject.model)
    if len(found) < 2:
        return Unavailable("the model has no two layers, so none can be told from the others")
    fresh = subject.fresh(derived_seed(subject.seed, "repair"))
    if [n for n, _ in fresh.named_parameters()] != [n for n, _ in subject.model.named_parameters()]:
        return Unavailable("the factory builds a model of other parameters")
    size = max(batch.size for batch in learnt)
    tried = [found[int(i)] for i in np.linspace(0, len(found) - 1, min(MOST, len(found))).round()]
    steps = affordable(subject, request.steps, size, runs=len(tried) + 1)
    if steps < FEWEST:
        return Unavailable(f"the model is too costly: a copy could be trained for {steps} steps")
    start = {name: value.clone() for name, value in fresh.state_dict().items()}
    split: Split = "train" if seen.split == "train" else "val"

    def losses(model: nn.Module, names: set[str]) -> Array:
        if names:
            _train(subject, model, names, learnt, steps)
        made = scored(subject, model, judged, split)
        if isinstance(made, Unavailable):
            return np.full(len(seen.before), math.inf)
        return losses_of(made)

    whole = losses(fresh, {name for name, _ in fresh.named_parameters()})
    after = []
    for layer in tried:
        model = private_copy(subject)
        with torch.no_grad():
            for name in layer.parameters:
                model.get_parameter(name).copy_(start[name])
        after.append(losses(model, {*layer.parameters}))
    renewed = np.zeros(0)
    if renewable(subject.model):
        model = private_copy(subject)
        renew(model, (batch for batch in learnt if batch.size > 1))
        renewed = losses(model, set())
    return LayerRepairs(
        metric=seen.metric,
        layers=tuple(clean_text(layer.name) for layer in tried),
        before=seen.before,
        after=np.stack(after),
        fresh=whole,
        renewed=renewed,
        constant=seen.constant,
        steps=steps,
        split=seen.split,
        left_out=len(found) - len(tried),
    )


def layers_of(model: nn.Module) -> list[Layer]:
    """Return the modules with a matrix among the parameters of their own, none counted twice."""
    found = []
    known: set[nn.Parameter] = set()
    for name, module in model.named_modules():
        own = {
            f"{name}.{key}" if name else key: parameter
            for key, parameter in module.named_parameters(recurse=False)
            if parameter not in known
        }
        known.update(own.values())
        if any(p.ndim > 1 and p.is_floating_point() for p in own.values()):
            found.append(Layer(name or OWN, tuple(own)))
    return found


def _train(
    subject: Subject, model: nn.Module, names: set[str], batches: list[Batch], steps: int
) -> None:
    """Train some parameters in evaluation mode by Adam, at a rate that fits the size of each."""
    assert subject.loss is not None
    model.eval()
    for module in model.modules():
        if isinstance(module, nn.Embedding | nn.EmbeddingBag):
            module.sparse = False  # Adam takes dense gradients
    groups: list[dict[str, Any]] = []
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in names)
        if name in names:
            fan_in = parameter[0].numel() if parameter.ndim > 1 else 64
            groups.append({"params": [parameter], "lr": PACE * math.sqrt(2 / max(fan_in, 1))})
    stepper = torch.optim.Adam(groups, lr=1e-2)
    rates = [float(group["lr"]) for group in groups]
    with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
        for step, batch in enumerate(itertools.islice(itertools.cycle(batches), steps)):
            for group, rate in zip(stepper.param_groups, rates, strict=True):
                group["lr"] = rate * (1 - step / steps)
            stepper.zero_grad()
            here = batch.to(subject.device)
            loss = subject.loss(model(*here.args, **here.kwargs), here.target)
            if not loss.requires_grad or not bool(loss.isfinite()):
                return
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            stepper.step()
