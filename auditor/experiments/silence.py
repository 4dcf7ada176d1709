"""Parameters that get no gradient, and whether the loss hangs on them all the same."""

from collections.abc import Sequence

import torch
from torch import nn

from auditor.intake.batches import Batch
from auditor.intake.modes import dropout_off
from auditor.intake.seeding import seeded
from auditor.intake.subject import Subject

JITTER = 0.1
"""Share of its size by which each parameter is moved, so that no gradient is zero only because of
an initialisation with zeros."""

SMALL, LARGE = 0.1, 1.0
"""Sizes between which a parameter is changed: small ones have to show, and large ones that keep
all from passing a rectifier are not to be undone."""

MOVED = 1e-4
"""Share of the loss that its change has to exceed: far above rounding."""

MOST = 64
"""Parameters that are tried one by one; of more, the first."""


def quiet(model: nn.Module, size: int) -> None:
    """Turn dropout off, as `dropout_off` does, in a way that recurrent layers can be trained in."""
    dropout_off(model, size)
    for module in model.modules():
        if isinstance(module, nn.RNNBase):
            # On CUDA the backward pass of these wants training mode.
            module.dropout = 0.0
            module.train()


def silent(subject: Subject, model: nn.Module, batch: Batch, seed: int) -> tuple[str, ...]:
    """Return the trainable parameters that get no gradient, or one of nothing but zeros."""
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    with seeded(seed), torch.enable_grad():
        loss = _loss(subject, model, batch)
        if not loss.requires_grad:
            return tuple(named)
        gradients = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
    return tuple(
        name
        for name, gradient in zip(named, gradients, strict=True)
        if gradient is None or not bool(gradient.abs().sum() != 0)
    )


@torch.no_grad()
def cut_off(
    subject: Subject, model: nn.Module, batch: Batch, names: Sequence[str], seed: int
) -> tuple[str, ...]:
    """Return those of the named parameters that get no gradient though the loss hangs on them.

    `model` is a fresh one, and is changed. What the loss does not use, or what nothing passes
    through, is none of them.
    """
    if not names:
        return ()
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    with seeded(seed):
        for parameter in named.values():
            parameter.add_(torch.randn_like(parameter) * _size(parameter), alpha=JITTER)
    still = set(silent(subject, model, batch, seed))
    names = [name for name in names if name in still]

    def moves(chosen: Sequence[str]) -> bool:
        kept = {name: named[name].clone() for name in chosen}
        with seeded(seed):
            for name in chosen:
                size = _size(named[name]).clamp(min=SMALL)
                named[name].add_(torch.randn_like(named[name]) * size)
        after = measured()
        for name, values in kept.items():
            named[name].copy_(values)
        return abs(after - before) > MOVED * abs(before)

    def measured() -> float:
        with seeded(seed):
            return float(_loss(subject, model, batch))

    before = measured()
    if not names or not moves(names):
        return ()
    return tuple(name for name in names[:MOST] if moves([name]))


def _loss(subject: Subject, model: nn.Module, batch: Batch) -> torch.Tensor:
    assert subject.loss is not None
    quiet(model, batch.size)
    return subject.loss(model(*batch.args, **batch.kwargs), batch.target)


def _size(parameter: torch.Tensor) -> torch.Tensor:
    """Return the root of the mean square, up to a bound; that of small ones for zeros."""
    size = parameter.abs().square().mean().sqrt().clamp(max=LARGE)
    return torch.where(size > 0, size, SMALL)
