"""The settings of the optimizer group by group, from the spec, the checkpoint, or the object."""

import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from auditor.core.text import clean_text
from auditor.intake.moments import Entry, entries_at_hand, entries_of, known_of, matched, number
from auditor.intake.optimizer import rate_of, read_from
from auditor.intake.subject import Subject

Group = tuple[Mapping[str, Any], tuple[str, ...]]
"""The settings of a group, and the names of its parameters: none stand for all."""

HOW = frozenset({"params", "lr", "initial_lr", "foreach", "fused", "capturable", "differentiable"})
"""Settings that say how the step is computed, or that are set apart."""

TELLING = frozenset(
    {"betas", "momentum", "nesterov", "alpha", "rho", "lr_decay", "etas", "lambd", "beta2_decay"}
)
"""Settings by which classes of torch.optim differ."""


@dataclass(frozen=True)
class DeclaredGroups:
    """The groups, the name of the class, empty where it can't be told, and where from, for people.

    Of an optimizer at hand that holds none of the model's parameters there are no groups.
    `conflicts` tells in words where the spec says other than the checkpoint; the spec counts.
    `steps` counts the updates in the state, None where no count is kept.
    """

    kind: str
    groups: tuple[Group, ...]
    source: str
    conflicts: tuple[str, ...] = ()
    steps: float | None = None


def declared_groups(subject: Subject) -> DeclaredGroups | None:
    """Return what is known of the optimizer's settings, None where nothing is."""
    live, spec = subject.live_optimizer, subject.training.optimizer
    saved = subject.checkpoint.optimizer if subject.checkpoint is not None else None
    if live is not None:
        entries = list(entries_at_hand(live))
        groups = tuple(
            (_values(group), names)
            for place, group in enumerate(live.optimizer.param_groups)
            if (names := tuple(e.name for e in entries if e.group == place and e.name))
        )
        kind = type(live.optimizer).__name__
        return DeclaredGroups(kind, groups, "the optimizer handed in", steps=_steps(entries))
    kept: tuple[Group, ...] = ()
    steps, kind = None, ""
    if saved is not None and saved["param_groups"]:
        entries = entries_of(saved)
        names = tuple(entry.name for entry in entries)
        if subject.model is not None:
            names = matched(entries, known_of(subject.model)).names
        kept, steps = _grouped(saved["param_groups"], entries, names), _steps(entries)
        first = read_from({"param_groups": saved["param_groups"][:1]})
        kind = first.name if first is not None else ""
    if spec is None:
        state = "the optimizer's state in the checkpoint"
        return DeclaredGroups(kind, kept, state, steps=steps) if kept else None
    given = {key: plain(value) for key, value in spec.arguments().items()}
    whole = {**_defaults(spec.name), **given}
    if not kept:
        return DeclaredGroups(spec.name, ((whole, ()),), "the spec")
    if not _fits(spec.name, kept[0][0]):
        other = f"the saved state is not of {clean_text(spec.name, 60)}"
        return DeclaredGroups(spec.name, ((whole, ()),), "the spec", (other,), steps)
    odd = [key for key in given if not any(_same(key, given[key], group) for group, _ in kept)]
    conflicts = tuple(
        f"`{clean_text(key, 40)}` is {shown(given[key])} in the spec and "
        f"{shown(kept[0][0].get(key))} in the saved state"
        for key in odd
        if key != "lr"  # a schedule that keeps no first rate changes it
    )
    over = {key: given[key] for key in odd}
    mixed = tuple(({**_defaults(spec.name), **group, **over}, names) for group, names in kept)
    if "lr" in over:
        mixed = tuple(({**group, "initial_lr": over["lr"]}, names) for group, names in mixed)
    return DeclaredGroups(spec.name, mixed, "the spec and the saved state", conflicts, steps)


def least_of(model: nn.Module) -> float:
    """Return the smallest positive number of the coarsest type of the trainable parameters."""
    types = {p.dtype for p in model.parameters() if p.requires_grad and p.is_floating_point()}
    infos = [torch.finfo(kind) for kind in types]
    return max((info.smallest_normal * info.eps for info in infos), default=0.0)


def usual(kind: str) -> dict[str, Any]:
    """Return the settings of a class of torch.optim, as it sets them; none of any other class."""
    found = getattr(torch.optim, kind, None)
    if not isinstance(found, type):
        return {}
    parameters = inspect.signature(found).parameters.values()
    return {p.name: p.default for p in parameters if p.name != "params"}


def plain(value: Any) -> Any:
    """Return a setting as a plain value, where it is one."""
    if isinstance(value, torch.Tensor) and value.numel() == 1:
        return value.item()
    return tuple(value) if isinstance(value, list) else value


def shown(value: Any) -> str:
    """Return a setting as text."""
    if isinstance(value, tuple):
        return "(" + ", ".join(shown(one) for one in value) + ")"
    is_float = isinstance(value, float)
    return f"{value:g}" if is_float else clean_text(value, 40)


def _defaults(kind: str) -> dict[str, Any]:
    known = usual(kind).items()
    return {k: plain(v) for k, v in known if v is not inspect.Parameter.empty}


def _fits(kind: str, group: Mapping[str, Any]) -> bool:
    return TELLING & set(usual(kind)) == TELLING & set(group)


def _same(key: str, value: Any, group: Mapping[str, Any]) -> bool:
    kept = rate_of(group) if key == "lr" else group.get(key, value)
    return bool(kept == value)


def _grouped(
    groups: Iterable[Mapping[str, Any]], entries: Sequence[Entry], names: Sequence[str]
) -> tuple[Group, ...]:
    """Return groups with their parameters; all by the first one where these can't be told."""
    found: list[Group] = []
    for place, group in enumerate(groups):
        own = [name for entry, name in zip(entries, names, strict=True) if entry.group == place]
        values = _values(group)
        if not own or not all(own):
            first = found[0][0] if found else values
            return ((first, ()),)
        found.append((values, tuple(own)))
    return tuple(found)


def _values(group: Mapping[str, Any]) -> dict[str, Any]:
    return {str(key): plain(value) for key, value in group.items() if key != "params"}


def _steps(entries: Iterable[Entry]) -> float | None:
    counts = [number(entry.state.get("step")) for entry in entries]
    return max((count for count in counts if count == count), default=None)
