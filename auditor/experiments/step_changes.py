"""A few steps of the declared optimizer on a copy, and which values they change."""

import math
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from auditor.core.request import Unavailable
from auditor.core.text import clean_text
from auditor.experiments.lab import affordable, cycled, halving, private_copy
from auditor.experiments.updates import go_on
from auditor.intake import optimizer as optimizers
from auditor.intake.moments import entries_at_hand, entries_of, known_of, matched
from auditor.intake.seeding import derived_seed, seeded
from auditor.intake.subject import ABSENT, Subject
from auditor.observations.step_changes import Gradient, StepChange, StepChanges, StepChangesOver

Named = list[tuple[str, nn.Parameter]]


def step_changes(request: StepChangesOver, subject: Subject) -> StepChanges | Unavailable:
    """Make some steps from the weights of the checkpoint; return what changed."""
    assert subject.model is not None
    if not any(p.requires_grad for p in subject.model.parameters()):
        return Unavailable("the model has no trainable parameters")
    if subject.optimizer is None and subject.live_optimizer is None:
        return Unavailable(ABSENT["optimizer"])

    def attempt(fraction: float) -> StepChanges | Unavailable:
        with seeded(derived_seed(subject.seed, request.key)), torch.enable_grad():
            return _made(request, subject, fraction)

    made, note = halving(attempt)
    return replace(made, note=note) if isinstance(made, StepChanges) else made


def _made(request: StepChangesOver, subject: Subject, fraction: float) -> StepChanges | Unavailable:
    assert subject.loss is not None
    model = private_copy(subject)
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    rates = _rates(subject, named)
    built = _optimizer(subject, model, named, rates)
    if isinstance(built, Unavailable):
        return built
    optimizer, restored = built
    model.train()
    changed = [torch.zeros_like(p, dtype=torch.bool) for _, p in named]
    given = [torch.zeros_like(p, dtype=torch.bool) for _, p in named]
    squares = [torch.zeros((), device=p.device) for _, p in named]
    best: list[Gradient] = ["none"] * len(named)
    losses = []
    size = max(1, subject.facts.data["train"].batch_size)
    for batch in cycled(subject, "train", affordable(subject, request.steps, size), fraction):
        model.zero_grad(set_to_none=True)
        loss = subject.loss(model(*batch.args, **batch.kwargs), batch.target)
        losses.append(loss.detach())
        if loss.requires_grad:
            loss.backward()
        if subject.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_([p for _, p in named], subject.clip_norm)
        best = [_better(old, p.grad) for old, (_, p) in zip(best, named, strict=True)]
        for mask, (_, p) in zip(given, named, strict=True):
            if p.grad is not None and p.grad.layout is torch.strided:
                mask |= p.grad != 0
        before = [p.detach().clone() for _, p in named]
        if optimizer is not None:
            try:
                optimizer.step()
            except Exception as error:
                if subject.live_optimizer is None:
                    raise
                return Unavailable(f"a copy of the optimizer can't step: {clean_text(error, 120)}")
        for mask, square, old, (_, p) in zip(changed, squares, before, named, strict=True):
            new = p.detach()
            mask |= (new != old) & ~(new.isnan() & old.isnan())
            square += (new - old).abs().float().square().mean()
    if not losses:
        return Unavailable("no batch could be trained on")
    shares = [
        (mask.float().mean(), (~mask & got).sum() / got.sum(), (square / len(losses)).sqrt())
        for mask, got, square in zip(changed, given, squares, strict=True)
    ]
    numbers = torch.stack([torch.stack(three) for three in shares]).double().cpu().tolist()
    kind = type(subject.live_optimizer.optimizer).__name__ if subject.live_optimizer else ""
    return StepChanges(
        tuple(
            StepChange(
                name,
                p.numel(),
                p.ndim,
                str(p.dtype).removeprefix("torch."),
                gradient,
                share if p.numel() else 1.0,
                lost,
                not math.isnan(rates[name]),
                rates[name],
                length,
            )
            for (name, p), gradient, (share, lost, length) in zip(named, best, numbers, strict=True)
        ),
        torch.stack(losses).double().cpu().numpy(),
        str(subject.optimizer) if subject.optimizer else kind,
        restored,
    )


def _rates(subject: Subject, named: Named) -> dict[str, float]:
    """Return each parameter's learning rate, NaN where the optimizer does not hold it."""
    assert subject.model is not None
    if subject.live_optimizer is not None:
        at_hand = entries_at_hand(subject.live_optimizer)
        rates = {entry.name: entry.rate for entry in at_hand if entry.name}
        return {name: rates.get(name, math.nan) for name, _ in named}
    assert subject.optimizer is not None
    rates = {name: subject.optimizer.lr for name, _ in named}
    saved = subject.checkpoint.optimizer if subject.checkpoint else None
    if saved is not None:
        entries = entries_of(saved)
        match = matched(entries, known_of(subject.model))
        rates |= {name: math.nan for name in match.missing if name in rates}
        still = [n for n, e in zip(match.names, entries, strict=True) if n and e.rate == 0]
        rates |= {name: 0.0 for name in still if name in rates}
    return rates


def _optimizer(
    subject: Subject, model: nn.Module, named: Named, rates: dict[str, float]
) -> tuple[torch.optim.Optimizer | None, bool] | Unavailable:
    """Return the optimizer of the copy, None where it holds nothing, and whether it goes on."""
    if subject.live_optimizer is not None:
        try:
            made = subject.live_optimizer.twin(model)
        except Exception as error:  # noqa: BLE001 - an optimizer of the user's own may do anything
            return Unavailable(f"the optimizer can't be copied: {clean_text(error, 120)}")
        if isinstance(made, torch.optim.LBFGS):
            return Unavailable("LBFGS goes through the model several times a step")
        return made, bool(made.state)
    assert subject.optimizer is not None
    held = [(name, p) for name, p in named if rates[name] > 0]
    if not held:
        return None, False
    made = optimizers.build(subject.optimizer, [p for _, p in held])
    if isinstance(made, torch.optim.LBFGS):
        return Unavailable("LBFGS goes through the model several times a step")
    return made, go_on(made, held, subject)


def _better(old: Gradient, gradient: Any) -> Gradient:
    """Return the best of what a parameter got so far and gets now."""
    if old == "finite" or gradient is None:
        return old
    values = gradient.coalesce().values() if gradient.layout is torch.sparse_coo else gradient
    if not bool(torch.isfinite(values).all()):
        return "not finite"
    return "finite" if bool((values != 0).any()) else ("zero" if old == "none" else old)
