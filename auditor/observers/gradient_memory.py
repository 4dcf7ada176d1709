"""Holds the gradients of batches against the average that the optimizer keeps of past ones."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from auditor.core.request import Unavailable
from auditor.intake.moments import entries_at_hand, entries_of, known_of, matched, number
from auditor.intake.subject import Subject
from auditor.observations.gradient_memory import GradientMemory, GradientMemoryOver
from auditor.observers.observer import Observer, Step


@dataclass(frozen=True)
class _Average:
    """What is kept of one parameter: its first moment times `scale` is an average of gradients.

    `decay` is the share of the weight that was added to each gradient; `root` is the norm of the
    root of the second moment.
    """

    moment: torch.Tensor
    scale: float
    root: torch.Tensor
    decay: float


class GradientMemoryObserver(Observer):
    """Keeps a squared norm and an inner product a batch for each parameter."""

    def __init__(self, request: GradientMemoryOver, subject: Subject) -> None:
        assert subject.model is not None
        self._weights = {n: p for n, p in subject.model.named_parameters() if p.requires_grad}
        self._averages = {
            name: average
            for name, state, group in _states(subject)
            if name in self._weights
            and (average := _average(state, group)) is not None
            and average.moment.shape == self._weights[name].shape
        }
        self._rows: list[torch.Tensor] = []

    def step(self, step: Step) -> None:
        """Measure the gradients of a batch."""
        if self._averages:
            pairs = [self._pair(name, step.gradients.get(name)) for name in self._averages]
            self._rows.append(torch.stack(pairs))

    def _pair(self, name: str, gradient: torch.Tensor | None) -> torch.Tensor:
        """Return the squared norm of a gradient and its inner product with the average, [2]."""
        weight, kept = self._weights[name], self._averages[name]
        if gradient is None:
            return torch.full((2,), math.nan, dtype=torch.float64, device=weight.device)
        given = gradient.to_dense() if gradient.layout is not torch.strided else gradient
        given = given.detach().float()
        if kept.decay:
            given = given.add(weight.detach().float(), alpha=kept.decay)
        moment = kept.moment.to(given.device).float()
        product = (given * moment).sum(dtype=torch.float64) * kept.scale
        return torch.stack([given.square().sum(dtype=torch.float64), product])

    def result(self) -> GradientMemory | Unavailable:
        """Return the average and the gradients of all batches."""
        if not self._averages:
            return Unavailable("no optimizer is known that keeps an average of past gradients")
        if not self._rows:
            return Unavailable("no batch could be gone through in training mode")
        kept = list(self._averages.values())
        lengths = [one.moment.float().norm().double().cpu() * one.scale for one in kept]
        table = torch.stack([row.cpu() for row in self._rows]).numpy()
        return GradientMemory(
            tuple(self._averages),
            torch.stack(lengths).numpy(),
            torch.stack([one.root.double().cpu() for one in kept]).numpy(),
            table[..., 0],
            table[..., 1],
        )


def _states(subject: Subject) -> list[tuple[str, Mapping[str, Any], Mapping[str, Any]]]:
    """Return name, state and group of each parameter that the optimizer remembers."""
    if subject.live_optimizer is not None:
        groups = subject.live_optimizer.optimizer.param_groups
        entries = list(entries_at_hand(subject.live_optimizer))
        names: tuple[str, ...] = tuple(entry.name for entry in entries)
    else:
        saved = subject.checkpoint.optimizer if subject.checkpoint is not None else None
        if saved is None or subject.model is None:
            return []
        groups, entries = saved["param_groups"], entries_of(saved)
        match = matched(entries, known_of(subject.model))
        names = () if match.strangers else match.names
    return [
        (name, entry.state, groups[entry.group])
        for name, entry in zip(names, entries, strict=False)
        if name and entry.state
    ]


def _average(state: Mapping[str, Any], group: Mapping[str, Any]) -> _Average | None:
    """Return the average of gradients that an optimizer keeps, None where it keeps none.

    Adam and its kin keep (1 - b1) sum b1^i g_i, SGD (1 - dampening) sum momentum^i g_i. What other
    optimizers call a momentum is one of steps.
    """
    if group.get("maximize"):
        return None
    decay = 0.0 if group.get("decoupled_weight_decay") else number(group.get("weight_decay", 0.0))
    if "betas" in group and "exp_avg_sq" in state:
        moment, second = state.get("exp_avg"), state["exp_avg_sq"]
        first_beta, second_beta = (number(beta) for beta in group["betas"][:2])
        steps = number(state.get("step"))
        begun, known = 1 - first_beta**steps, 1 - second_beta**steps
        if not (_usable(moment) and _usable(second) and begun > 0 and known > 0):
            return None
        assert isinstance(moment, torch.Tensor)
        root = (second.detach().float().clamp(min=0).sum(dtype=torch.float64) / known).sqrt()
        return _Average(moment.detach(), 1 / begun, root, decay)
    if "nesterov" in group and _usable(state.get("momentum_buffer")):
        moment = state["momentum_buffer"].detach()
        kept = 1 - number(group.get("dampening", 0.0))
        share = 1 - number(group.get("momentum", 0.0))
        unknown = torch.full((), math.nan, device=moment.device)
        return _Average(moment, share / kept, unknown, decay) if kept > 0 and share > 0 else None
    return None


def _usable(moment: Any) -> bool:
    return (
        isinstance(moment, torch.Tensor)
        and moment.is_floating_point()
        and moment.layout is torch.strided
        and moment.numel() > 0
    )
