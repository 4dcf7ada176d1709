"""The declared optimizer over a copy of the model, its rates free to be changed together."""

import math
from dataclasses import dataclass

import torch
from torch import nn

from auditor.core.text import clean_text
from auditor.experiments.training import settled
from auditor.experiments.updates import go_on
from auditor.intake import optimizer as optimizers
from auditor.intake.subject import Subject

PLAIN = ("SGD", "ASGD")
"""Optimizers whose step is proportional to the gradient."""


class NoStepperError(Exception):
    """The declared optimizer can't be built over the model's parameters."""


@dataclass(frozen=True)
class Stepper:
    """An optimizer; `bases` are its groups' rates as training began, `rate` the highest of them.

    `last` is that group's rate at the end of training, as far as it is known. `instead` says why
    the optimizer is not the declared one. `adaptive` ones divide a gradient by its size.
    """

    optimizer: torch.optim.Optimizer
    bases: tuple[float, ...]
    last: float
    shown: str
    instead: str
    restored: bool
    adaptive: bool
    momentum: float

    @property
    def rate(self) -> float:
        """Return the highest rate of all groups, as training began."""
        return max(self.bases)

    def at(self, rate: float) -> None:
        """Set the highest rate, and those of other groups in proportion."""
        for group, base in zip(self.optimizer.param_groups, self.bases, strict=True):
            group["lr"] = base * rate / self.rate


def stepper_for(subject: Subject, model: nn.Module, *, fresh: bool) -> Stepper:
    """Return the declared optimizer over `model`, with the saved moments unless it is fresh."""
    live = subject.live_optimizer
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    instead, restored = "", False
    if subject.optimizer is None and live is not None and _can_step(live.optimizer):
        made = live.twin(model)
        shown = type(made).__name__
        restored = not fresh
        if fresh:
            made.state.clear()
    else:
        spec, instead = settled(subject)
        if instead and live is not None and _rates(live.optimizer):
            instead = f"{type(live.optimizer).__name__} takes no steps of this kind"
        shown = str(spec)
        try:
            made = optimizers.build(spec, [p for _, p in named])
        except (ValueError, TypeError) as error:
            why = f"{spec.name} does not take this model's parameters: {clean_text(error, 120)}"
            raise NoStepperError(why) from error
        restored = not fresh and go_on(made, named, subject)
    bases = _rates(made)
    first = made.param_groups[0]
    beta = first.get("momentum", 0.0)
    return Stepper(
        made,
        bases,
        max(bases) * (1.0 if instead else _left(subject)),
        shown,
        instead,
        restored,
        type(made).__name__ not in PLAIN,
        float(beta) if isinstance(beta, int | float) else 0.0,
    )


def _can_step(optimizer: torch.optim.Optimizer) -> bool:
    return not isinstance(optimizer, torch.optim.LBFGS) and max(_rates(optimizer), default=0) > 0


def _rates(optimizer: torch.optim.Optimizer) -> tuple[float, ...]:
    return tuple(float(group.get("lr", math.nan)) for group in optimizer.param_groups)


def _left(subject: Subject) -> float:
    """Return what share of its first rate training ended with, 1 where nothing tells."""
    groups: object = None
    if subject.live_optimizer is not None:
        groups = subject.live_optimizer.optimizer.param_groups
    elif subject.checkpoint is not None and subject.checkpoint.optimizer is not None:
        groups = subject.checkpoint.optimizer.get("param_groups")
    if not isinstance(groups, list | tuple):
        return 1.0
    shares = []
    for group in groups:
        try:
            first, last = float(group["initial_lr"]), float(group["lr"])
        except (KeyError, TypeError, ValueError, RuntimeError):
            continue
        if first > 0 and math.isfinite(last) and last >= 0:
            shares.append(last / first)
    return max(shares, default=1.0)
