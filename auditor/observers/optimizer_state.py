"""Looks at what optimizers keep of the model's parameters."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from auditor.core.text import clean_text
from auditor.intake.moments import (
    Entry,
    Match,
    entries_at_hand,
    entries_of,
    identified,
    known_of,
    matched,
    number,
    spoilt,
)
from auditor.intake.norms import norms
from auditor.intake.subject import Subject
from auditor.observations.optimizer_state import (
    HeldParameter,
    OptimizerHeld,
    OptimizersHeld,
    OptimizersHeldIn,
)

REMEMBERING = ("betas", "alpha", "rho", "lr_decay", "etas", "beta2_decay")
"""Settings of the optimizers of torch.optim that always keep moments."""


def optimizers_held(request: OptimizersHeldIn, subject: Subject) -> OptimizersHeld:
    """Return which parameters the optimizer handed in, or each one in the checkpoint, holds."""
    model = subject.model
    assert model is not None
    known = known_of(model)
    found = []
    if subject.live_optimizer is not None:
        entries = list(entries_at_hand(subject.live_optimizer))
        groups = subject.live_optimizer.optimizer.param_groups
        found.append(_held("", entries, identified(entries, known), groups))
    elif subject.checkpoint is not None:
        for where, saved in subject.checkpoint.optimizers.items():
            entries = entries_of(saved)
            match, groups = matched(entries, known), saved["param_groups"]
            found.append(_held(clean_text(where, 120), entries, match, groups))
    train = subject.facts.data.get("train")
    return OptimizersHeld(
        tuple(found),
        tuple(p.name for p in known if p.trainable),
        tuple(p.name for p in known if not p.trainable),
        subject.training.epochs,
        train.batches if train else 0,
    )


def _held(
    where: str, entries: Sequence[Entry], match: Match, groups: Sequence[Mapping[str, Any]]
) -> OptimizerHeld:
    slots = [(entry, key, value) for entry in entries for key, value in _moments(entry)]
    sizes = norms([value for _, _, value in slots]).cpu().tolist()
    zero: dict[int, list[str]] = {}
    kept: dict[int, list[str]] = {}
    for (entry, key, _), size in zip(slots, sizes, strict=True):
        kept.setdefault(id(entry), []).append(key)
        if size == 0:
            zero.setdefault(id(entry), []).append(key)
    held = tuple(
        HeldParameter(
            name,
            entry.group,
            entry.rate,
            bool(entry.state),
            number(entry.state.get("step")),
            tuple(kept.get(id(entry), ())),
            tuple(zero.get(id(entry), ())),
            spoilt(entry.state),
        )
        for entry, name in zip(entries, match.names, strict=True)
    )
    return OptimizerHeld(
        where,
        match.how,
        held,
        match.missing,
        match.unsure,
        match.strangers,
        any(_remembers(group) for group in groups),
    )


def _remembers(group: Mapping[str, Any]) -> bool:
    """Tell whether a group's settings are those of an optimizer that keeps moments."""
    return any(key in group for key in REMEMBERING) or number(group.get("momentum", 0)) > 0


def _moments(entry: Entry) -> list[tuple[str, torch.Tensor]]:
    return [
        (clean_text(key, 40), value)
        for key, value in entry.state.items()
        if key != "step"
        and isinstance(value, torch.Tensor)
        and value.numel()
        and value.layout is torch.strided
        and (value.is_floating_point() or value.is_complex())
        and not isinstance(value, nn.parameter.UninitializedParameter)
    ]
