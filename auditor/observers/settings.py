"""Looks at the settings of training: declared in the spec, or read from the checkpoint."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn

from auditor.core.text import clean_text
from auditor.intake.declared import told_by
from auditor.intake.optimizer_groups import Group, declared_groups
from auditor.intake.subject import Subject
from auditor.observations.settings import ParameterGroup, Plain, Settings, SettingsOf

SPEC = "the spec"
STATE = "the optimizer's state in the checkpoint"
OBJECT = "the optimizer handed in"
LOADER = "the training loader"

FIELDS = ("optimizer", "steps", "batch_size", "epochs", "clip_norm", "schedule", "schedule_state")


def settings(request: SettingsOf, subject: Subject) -> Settings:
    """Return what is known of how the model was trained; the spec goes before the checkpoint."""
    declared, train = subject.training, subject.facts.data.get("train")
    known: dict[str, Any] = {"per_epoch": train.batches if train else 0}
    sources: dict[str, str] = {}

    def learn(field: str, value: Any, source: str) -> None:
        if value is not None and field not in sources:
            known[field] = value
            sources[field] = source

    held = declared_groups(subject)
    if held is not None:
        learn("optimizer", held.kind or None, held.source)
        learn("steps", held.steps, STATE if subject.live_optimizer is None else OBJECT)
        learn("groups", _groups(held.groups, subject.model) or None, held.source)
    learn("batch_size", declared.batch_size, SPEC)
    learn("epochs", declared.epochs, SPEC)
    learn("clip_norm", subject.clip_norm, SPEC)
    learn("schedule", _schedule(declared.schedule), SPEC)
    for told in told_by(subject.checkpoint) if subject.checkpoint is not None else ():
        if told.field == "rates":
            group = ParameterGroup(_plain(told.value), (), 0)
            learn("groups", (group,), told.source)
        elif told.field in FIELDS:
            learn(told.field, told.value or None, told.source)
    learn("batch_size", train.batch_size if train else None, LOADER)
    return Settings(**known, sources=sources)


def _schedule(schedule: str | Mapping[str, Any] | None) -> str | None:
    if isinstance(schedule, Mapping):
        return clean_text(schedule.get("name", schedule), 120)
    return None if schedule is None else clean_text(schedule, 120)


def _groups(groups: Iterable[Group], model: nn.Module | None) -> tuple[ParameterGroup, ...]:
    held = model.parameters() if model is not None else ()
    whole = sum(parameter.requires_grad for parameter in held)
    return tuple(
        ParameterGroup(_plain(values), names, len(names) or whole) for values, names in groups
    )


def _plain(group: Mapping[str, Any]) -> dict[str, Plain]:
    """Return a group's settings that are plain values."""
    found: dict[str, Plain] = {}
    for name, value in group.items():
        if isinstance(value, torch.Tensor) and value.numel() == 1:
            value = value.item()
        if isinstance(value, list | tuple) and name != "params":
            if all(isinstance(one, int | float) for one in value):
                found[clean_text(name, 60)] = tuple(float(one) for one in value[:16])
        elif isinstance(value, str):
            found[clean_text(name, 60)] = clean_text(value, 120)
        elif isinstance(value, bool | int | float) or value is None:
            found[clean_text(name, 60)] = value
    return found
