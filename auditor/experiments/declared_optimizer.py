"""The declared optimizer, group by group, built over a fresh model: as it is, or put right."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import nn

from auditor.core.text import clean_text
from auditor.intake.moments import number
from auditor.intake.optimizer import rate_of
from auditor.intake.optimizer_groups import (
    HOW,
    Group,
    declared_groups,
    least_of,
    plain,
    shown,
    usual,
)
from auditor.intake.subject import ABSENT, Subject
from auditor.observations.optimizer_rule import Known
from auditor.observations.optimizer_rules import Hit, hits_of
from auditor.observations.settings import Plain

Build = Callable[[nn.Module, float], torch.optim.Optimizer]


class RefusedError(Exception):
    """An optimizer can't be built over the model, or can't step; its text says why."""


@dataclass(frozen=True)
class Declared:
    """The declared optimizer: its class by name, its groups with the parameters in each.

    Without names a group holds all that is trainable. `twin` makes a copy of an optimizer that is
    at hand and of no class of torch.optim, else None. `hits` are the rules that its settings meet.
    """

    kind: str
    groups: tuple[Group, ...]
    hits: tuple[Hit, ...]
    twin: Callable[[nn.Module], torch.optim.Optimizer] | None = None

    @property
    def rate(self) -> float:
        """Return the largest rate that training began with."""
        return max(rate_of(values) for values, _ in self.groups)

    @property
    def momentum(self) -> float:
        """Return the momentum of the first group, 0 where it has none."""
        return number(self.groups[0][0].get("momentum", 0.0))

    @property
    def name(self) -> str:
        """Return the class and what of the first group is not as torch sets it, the rate aside."""
        return self.changed({})

    def changed(self, change: Mapping[str, Plain]) -> str:
        """Return that name with some settings changed."""
        own = usual(self.kind)
        values = {k: v for k, v in {**self.groups[0][0], **change}.items() if k not in HOW}
        odd = [
            f"{clean_text(name, 40)}={shown(value)}"
            for name, value in values.items()
            if name in own and plain(value) != plain(own[name])
        ]
        return self.kind + (f"({', '.join(odd)})" if odd else "")

    def build(self, model: nn.Module, rate: float) -> torch.optim.Optimizer:
        """Return it over a model; its groups keep the ratios of their rates."""
        return self._built(model, rate, {})

    def mended(self, change: Mapping[str, Plain]) -> Build:
        """Return how it is built with some settings changed."""
        return lambda model, rate: self._built(model, rate, change)

    def _built(
        self, model: nn.Module, rate: float, change: Mapping[str, Plain]
    ) -> torch.optim.Optimizer:
        factor = rate / self.rate
        if self.twin is not None:
            made = self.twin(model)
            made.state.clear()
            for group in made.param_groups:
                group["lr"] = rate_of(group) * factor
                group.update({k: v for k, v in change.items() if k in group})
            return made
        kind = getattr(torch.optim, self.kind)
        known = usual(self.kind)
        named = {name: p for name, p in model.named_parameters() if p.requires_grad}
        groups = []
        for values, names in self.groups:
            kept = {**values, **change}
            kept = {k: v for k, v in kept.items() if k in known and k not in HOW}
            kept = {k: tuple(v) if isinstance(v, list) else v for k, v in kept.items()}
            here = [named[name] for name in names if name in named] if names else [*named.values()]
            if here:
                groups.append({"params": here, "lr": rate_of(values) * factor, **kept})
        if not groups:
            raise RefusedError("it holds none of a fresh model's parameters")
        # Some settings count only where the class is given them, not a group.
        defaults = {k: v for k, v in groups[0].items() if k != "params"}
        optimizer: torch.optim.Optimizer = kind(groups, **defaults)
        return optimizer


def held_by(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    """Return the tensors that an optimizer updates."""
    return [p for group in optimizer.param_groups for p in group["params"]]


def declared_of(subject: Subject) -> Declared | str:
    """Return the declared optimizer as fresh models can be trained with it, or why they can't."""
    known = declared_groups(subject)
    if known is None:
        return ABSENT["optimizer"]
    if not known.kind:
        return "the class of the saved optimizer can't be told from its settings"
    if known.kind == "LBFGS":
        return "LBFGS goes through the model several times a step"
    if not known.groups:
        return "it holds none of the model's parameters"
    rates = [rate_of(values) for values, _ in known.groups]
    if not max(rates) > 0 or not math.isfinite(max(rates)):
        return "it has no learning rate above 0"
    live, twin = subject.live_optimizer, None
    if live is not None and getattr(torch.optim, known.kind, None) is not type(live.optimizer):
        twin = live.twin
    train = subject.facts.data.get("train")
    per_epoch = train.batches if train else 0
    steps = known.steps
    if steps is None and subject.training.epochs is not None and per_epoch:
        steps = subject.training.epochs * per_epoch
    assert subject.model is not None
    first = Known(known.kind, known.groups[0][0], steps, per_epoch, least_of(subject.model))
    return Declared(known.kind, known.groups, tuple(hits_of(first)), twin)
