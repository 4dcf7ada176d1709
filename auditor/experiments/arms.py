"""Copies that are trained for a few steps alike, and how they are told apart."""

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import torch
from torch import nn

from auditor.core.request import Split, Unavailable
from auditor.core.values import Array
from auditor.experiments.lab import cycled
from auditor.experiments.updates import go_on
from auditor.intake import optimizer as optimizers
from auditor.intake.batches import Batch
from auditor.intake.losses import Loss
from auditor.intake.modes import dropout_off, keep_statistics
from auditor.intake.scoring import Scorer
from auditor.intake.subject import ABSENT, Subject

Named = list[tuple[str, nn.Parameter]]


def named_in(model: nn.Module) -> Named:
    """Return the trainable parameters of a copy."""
    return [(name, p) for name, p in model.named_parameters() if p.requires_grad]


def stepper(
    subject: Subject, model: nn.Module, start: str, decays: Mapping[str, float] | None = None
) -> torch.optim.Optimizer | Unavailable:
    """Return an optimizer over a copy as it is declared, but for weight decays where given.

    From the checkpoint it goes on with what was saved of the moments.
    """
    named = named_in(model)
    live = subject.live_optimizer
    if subject.optimizer is None and live is None:
        return Unavailable(ABSENT["optimizer"])
    made: torch.optim.Optimizer
    if live is not None:
        made = live.twin(model)
        if start == "fresh":
            made.state.clear()
        names = {id(p): name for name, p in named}
        for group in made.param_groups if decays is not None else ():
            assert decays is not None
            values = {decays.get(names.get(id(p), ""), 0.0) for p in group["params"]}
            if "weight_decay" in group:
                group["weight_decay"] = max(values, default=0.0)
        return made
    assert subject.optimizer is not None
    if subject.optimizer.name == "LBFGS":
        return Unavailable("LBFGS goes through the model several times a step")
    made = optimizers.build(subject.optimizer, [p for _, p in named])
    if start == "checkpoint":
        go_on(made, named, subject)
    template = made.param_groups[0]
    if decays is not None and "weight_decay" in template:
        groups: dict[float, list[nn.Parameter]] = {}
        for name, p in named:
            groups.setdefault(decays.get(name, 0.0), []).append(p)
        made.param_groups = [
            {**template, "params": members, "weight_decay": decay}
            for decay, members in groups.items()
        ]
    return made


def shown_of(optimizer: torch.optim.Optimizer) -> str:
    """Return an optimizer and its rate, for people."""
    return f"{type(optimizer).__name__} at {optimizer.param_groups[0]['lr']:g}"


def stepped(
    subject: Subject,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    steps: int,
    fraction: float,
    loss: Loss,
    pulls: Callable[[], None] | None = None,
) -> bool:
    """Train a copy, whose gradients `pulls` may add to; return whether its loss stayed finite."""
    model.train()
    losses = []
    for batch in cycled(subject, "train", steps, fraction):
        if batch.size == 1:
            keep_statistics(model)
        optimizer.zero_grad()
        value = loss(model(*batch.args, **batch.kwargs), batch.target)
        losses.append(value.detach())
        if value.requires_grad:
            value.backward()
        if pulls is not None:
            pulls()
        if subject.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_([p for _, p in named_in(model)], subject.clip_norm)
        optimizer.step()
    return bool(losses) and bool(torch.stack(losses).isfinite().all())


@torch.no_grad()
def marks(
    subject: Subject, model: nn.Module, batches: Iterable[Batch], split: Split = "val"
) -> tuple[str, Array, float]:
    """Return a measure, its value for each example (less is better), and the accuracy.

    Dropout is off, and batch norm on the statistics of each batch. Of a task without a measure the
    values are the batches' losses; where there are no classes the accuracy is NaN.
    """
    assert subject.loss is not None
    scorer = Scorer(subject, split)
    losses = []
    for batch in batches:
        here = batch.to(subject.device)
        dropout_off(model, here.size)
        outputs = model(*here.args, **here.kwargs)
        value = subject.loss(outputs, here.target)
        losses.append(value.detach())
        scorer.add(outputs, here.target, value)
    found = scorer.result()
    if isinstance(found, Unavailable):
        return "loss", torch.stack(losses).double().cpu().numpy(), float("nan")
    if found.metric == "accuracy":
        return "cross-entropy", np.asarray(found.entropies), float(found.score)
    return found.metric, np.asarray(found.scores), float("nan")
