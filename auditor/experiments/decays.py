"""The weight decay of each parameter, as declared or saved."""

import math
from typing import Any

import numpy as np
import torch

from auditor.core.values import Array
from auditor.intake import optimizer as optimizers
from auditor.intake.moments import entries_at_hand, entries_of, known_of, matched
from auditor.intake.subject import Subject

BESIDE = frozenset({"AdamW", "Adafactor", "Muon", "Lion", "SGDW", "LAMB"})
"""Optimizers that shrink the weights beside the gradient's step, and not through the gradient."""


def decays_of(subject: Subject, names: list[str]) -> tuple[Array, str]:
    """Return the weight decay of each parameter, NaN where not known, and why it isn't."""
    unknown = np.full(len(names), math.nan)
    live, checkpoint = subject.live_optimizer, subject.checkpoint
    if live is not None:
        groups = live.optimizer.param_groups
        held = {e.name: _decay(groups[e.group]) for e in entries_at_hand(live) if e.name}
        return np.asarray([held.get(name, 0.0) for name in names]), ""
    saved = checkpoint.optimizer if checkpoint is not None else None
    if saved is not None:
        assert subject.model is not None
        groups = saved["param_groups"]
        one = {_decay(group) for group in groups}
        if len(one) == 1:
            return np.full(len(names), one.pop()), ""
        entries = entries_of(saved)
        match = matched(entries, known_of(subject.model))
        held = {
            name: _decay(groups[entry.group])
            for entry, name in zip(entries, match.names, strict=True)
            if name
        }
        if not all(match.names):
            return unknown, "which parameters belong to which group of the optimizer can't be told"
        return np.asarray([held.get(name, 0.0) for name in names]), ""
    if subject.optimizer is not None:
        made = optimizers.build(subject.optimizer, [torch.zeros(1, requires_grad=True)])
        return np.full(len(names), _decay(made.param_groups[0])), ""
    return unknown, "no optimizer is declared or saved"


def _decay(group: Any) -> float:
    """Return a group's weight decay; an optimizer without one has none."""
    try:
        value = float(group.get("weight_decay", 0.0) or 0.0)
    except (TypeError, ValueError):
        return math.nan
    return value if math.isfinite(value) else math.nan


def decoupled(subject: Subject) -> bool:
    """Tell whether the optimizer shrinks the weights beside the gradient's step."""
    group: Any = {}
    kind = subject.optimizer.name if subject.optimizer is not None else ""
    if subject.live_optimizer is not None:
        kind = type(subject.live_optimizer.optimizer).__name__
        group = subject.live_optimizer.optimizer.param_groups[0]
    elif subject.checkpoint is not None and subject.checkpoint.optimizer is not None:
        group = subject.checkpoint.optimizer["param_groups"][0]
    elif subject.optimizer is not None:
        group = subject.optimizer.arguments()
    return kind in BESIDE or bool(group.get("decoupled_weight_decay", False))
