"""Looks at the moments that optimizers keep of the model's parameters."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from auditor.core.text import clean_text
from auditor.intake.moments import Entry, entries_at_hand, entries_of, known_of, matched, number
from auditor.intake.optimizer_groups import declared_groups, least_of
from auditor.intake.subject import Subject
from auditor.observations.optimizer_moments import (
    Held,
    Moments,
    OptimizerMoments,
    OptimizerMomentsOf,
    Role,
)
from auditor.observations.settings import ParameterGroup, Plain

FIRST = ("exp_avg", "momentum_buffer")
SECOND = ("exp_avg_sq", "square_avg", "sum")

SLACK = 2.0
"""How many times the bound a first moment may be: betas may have been others before."""

TABLES = (nn.Embedding, nn.EmbeddingBag)
NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


def optimizer_moments(request: OptimizerMomentsOf, subject: Subject) -> OptimizerMoments:
    """Return what the optimizer at hand, or each one in the checkpoint, keeps of past gradients."""
    model = subject.model
    assert model is not None
    found = []
    if subject.live_optimizer is not None:
        entries = list(entries_at_hand(subject.live_optimizer))
        groups = subject.live_optimizer.optimizer.param_groups
        names = [entry.name for entry in entries]
        found.append(Held("", _moments(entries, names, groups)))
    elif subject.checkpoint is not None:
        for where, saved in subject.checkpoint.optimizers.items():
            entries = entries_of(saved)
            match = matched(entries, known_of(model))
            if match.strangers:
                continue
            moments = _moments(entries, match.names, saved["param_groups"])
            found.append(Held(clean_text(where, 120), moments))
    declared = declared_groups(subject)
    if declared is None:
        return OptimizerMoments(tuple(found), _roles(model), least_of(model))
    return OptimizerMoments(
        tuple(found),
        _roles(model),
        least_of(model),
        clean_text(declared.kind, 60),
        tuple(_group(values, names, model) for values, names in declared.groups),
        declared.source,
        declared.conflicts,
    )


def _group(values: Mapping[str, Any], names: tuple[str, ...], model: nn.Module) -> ParameterGroup:
    kept: dict[str, Plain] = {}
    for name, value in values.items():
        numbers = isinstance(value, tuple) and all(isinstance(one, int | float) for one in value)
        if isinstance(value, tuple) and numbers:
            kept[clean_text(name, 60)] = tuple(float(one) for one in value[:16])
        elif isinstance(value, bool | int | float) or value is None:
            kept[clean_text(name, 60)] = value
        elif isinstance(value, str):
            kept[clean_text(name, 60)] = clean_text(value, 120)
    trained = sum(p.requires_grad for p in model.parameters())
    return ParameterGroup(kept, names, len(names) or trained)


def _roles(model: nn.Module) -> tuple[tuple[str, Role], ...]:
    owners: dict[int, nn.Module] = {}
    for module in model.modules():
        for p in module._parameters.values():
            if p is not None:
                owners.setdefault(id(p), module)
    return tuple(
        (name, _role(name, p, owners.get(id(p))))
        for name, p in model.named_parameters()
        if p.requires_grad
    )


def _role(name: str, parameter: nn.Parameter, owner: nn.Module | None) -> Role:
    if isinstance(owner, TABLES):
        return "embedding"
    if isinstance(owner, NORMS) or "norm" in type(owner).__name__.lower():
        return "norm"
    if "bias" in name.rpartition(".")[2]:
        return "bias"
    return "weight" if parameter.ndim > 1 else "vector"


def _moments(
    entries: Sequence[Entry], names: Sequence[str], groups: Sequence[Mapping[str, Any]]
) -> tuple[Moments, ...]:
    """Return the moments of those entries of which any are kept; all come over at once."""
    kept, rows = [], []
    for entry, name in zip(entries, names, strict=True):
        if not entry.state:
            continue
        group = groups[entry.group]
        kept.append((entry, name, _eps(group)))
        rows.append(_measured(entry.state, group, _eps(group)))
    if not rows:
        return ()
    device = rows[0].device
    numbers = torch.stack([row.to(device) for row in rows]).cpu().tolist()
    return tuple(
        Moments(
            clean_text(name, 300),
            entry.group,
            int(size),
            number(entry.state.get("step")),
            first,
            root,
            eps,
            share,
            int(lost),
            int(impossible),
            longest,
        )
        for (entry, name, eps), (size, first, root, share, lost, impossible, longest) in zip(
            kept, numbers, strict=True
        )
    )


def _measured(state: Mapping[str, Any], group: Mapping[str, Any], eps: float) -> torch.Tensor:
    """Return size, first, root, frozen, lost, impossible and longest, [7]."""
    first = _kept(state, FIRST)
    second = _kept(state, ("max_exp_avg_sq",)) if group.get("amsgrad") else None
    second = _kept(state, SECOND) if second is None else second
    peak = _kept(state, ("exp_inf",))
    some = next((value for value in (first, second, peak) if value is not None), None)
    if some is None:
        plain = [0.0, math.nan, math.nan, math.nan, 0.0, 0.0, math.nan]
        return torch.tensor(plain, dtype=torch.float64)
    nan = torch.full((), math.nan, dtype=torch.float64, device=some.device)
    lost = torch.zeros((), dtype=torch.int64, device=some.device)
    size, least, share, longest = torch.full_like(nan, some.numel()), nan, nan, nan
    impossible = torch.zeros_like(lost)
    if first is not None:
        lost = lost + (~first.isfinite()).sum()
    for squares in (second, peak):
        if squares is not None:
            lost = lost + (~(squares.isfinite() & (squares >= 0))).sum()
    root = _root(second, peak, state, group)
    if root is not None:
        seen = root > 0
        least = root.square().mean(dtype=torch.float64).sqrt()
        if math.isfinite(eps):
            share = (seen & (root < eps)).sum() / seen.sum()
        bound = _bound(group)
        if first is not None and bound is not None and second is not None:
            eps = eps if math.isfinite(eps) else 0.0
            steps = first.abs() / (second.clamp(min=0).sqrt() + eps)
            beyond = (steps > SLACK * bound) & first.isfinite() & second.isfinite()
            impossible = beyond.sum()
            longest = torch.where(beyond, steps, 0).max()
    size_of = nan if first is None else first.square().mean(dtype=torch.float64).sqrt()
    rows = (size, size_of, least, share, lost, impossible, longest)
    return torch.stack([row.double() for row in rows])


def _kept(state: Mapping[str, Any], keys: Sequence[str]) -> torch.Tensor | None:
    for key in keys:
        value = state.get(key)
        if isinstance(value, torch.Tensor) and value.numel() and value.layout is torch.strided:
            if value.is_floating_point():
                return value.detach() if value.dtype.itemsize >= 4 else value.detach().float()
            if value.is_complex():
                return torch.view_as_real(value.detach())
    return None


def _root(
    second: torch.Tensor | None,
    peak: torch.Tensor | None,
    state: Mapping[str, Any],
    group: Mapping[str, Any],
) -> torch.Tensor | None:
    """Return what the optimizer divides by, eps aside."""
    if second is None:
        return peak
    betas, step = group.get("betas"), number(state.get("step"))
    correction = 1.0
    if isinstance(betas, list | tuple) and len(betas) > 1 and step > 0:
        correction = 1 - number(betas[1]) ** step
    return (second.clamp(min=0) / correction).sqrt() if correction > 0 else None


def _eps(group: Mapping[str, Any]) -> float:
    """Return what is added to the root of the second moment, NaN where it is no number.

    Adadelta adds its eps below the root.
    """
    eps = number(group.get("eps"))
    return math.sqrt(eps) if "rho" in group and eps >= 0 else eps


def _bound(group: Mapping[str, Any]) -> float | None:
    """Return the most that |m| / sqrt(v) can be, whatever the gradients.

    With m = (1 - a) sum a^i g_i and v = (1 - b) sum b^i g_i^2, the inequality of Cauchy and
    Schwarz gives m^2 <= v (1 - a)^2 / ((1 - b) (1 - a^2 / b)), where a^2 < b.
    """
    betas = group.get("betas")
    if not isinstance(betas, list | tuple) or len(betas) < 2:
        return None
    a, b = number(betas[0]), number(betas[1])
    if not (0 <= a < 1 and 0 < b < 1 and a * a < b):
        return None
    return math.sqrt((1 - a) ** 2 / ((1 - b) * (1 - a * a / b)))
