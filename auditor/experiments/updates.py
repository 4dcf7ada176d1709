"""Some steps of the declared optimizer on a copy, and how far each parameter moves."""

import copy
from dataclasses import replace

import torch
from torch import nn

from auditor.core.request import Unavailable
from auditor.experiments.lab import cycled, halving, private_copy
from auditor.intake import optimizer as optimizers
from auditor.intake.norms import norms
from auditor.intake.seeding import derived_seed, seeded
from auditor.intake.subject import Subject
from auditor.observations.updates import UpdateRatios, UpdateRatiosFrom


def update_ratios(request: UpdateRatiosFrom, subject: Subject) -> UpdateRatios | Unavailable:
    """Train a copy for some steps; return |Δw| / |w| of each trainable parameter and step."""
    assert subject.model is not None
    if not any(p.requires_grad for p in subject.model.parameters()):
        return Unavailable("the model has no trainable parameters")

    def attempt(fraction: float) -> UpdateRatios | Unavailable:
        seed = derived_seed(subject.seed, request.key)
        with seeded(seed), torch.enable_grad():
            fresh = request.start == "fresh"
            model = subject.fresh(seed) if fresh else private_copy(subject)
            return _trained(request, subject, model, fraction)

    ratios, note = halving(attempt)
    return replace(ratios, note=note) if isinstance(ratios, UpdateRatios) else ratios


def _trained(
    request: UpdateRatiosFrom, subject: Subject, model: nn.Module, fraction: float
) -> UpdateRatios | Unavailable:
    assert subject.loss is not None
    assert subject.optimizer is not None
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    parameters = [p for _, p in named]
    optimizer = optimizers.build(subject.optimizer, parameters)
    if isinstance(optimizer, torch.optim.LBFGS):
        return Unavailable("LBFGS goes through the model several times a step")
    restored = request.start == "checkpoint" and _restored(optimizer, subject)
    model.train()
    rows, losses = [], []
    for batch in cycled(subject, "train", request.steps, fraction):
        optimizer.zero_grad()
        loss = subject.loss(model(*batch.args, **batch.kwargs), batch.target)
        loss.backward()
        if subject.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(parameters, subject.clip_norm)
        before = [p.detach().clone() for p in parameters]
        optimizer.step()
        moved = torch._foreach_sub([p.detach() for p in parameters], before)
        rows.append(norms(moved) / norms(before))
        losses.append(loss.detach())
    if not rows:
        return Unavailable("no batch could be trained on")
    return UpdateRatios(
        parameters=tuple(name for name, _ in named),
        dimensions=tuple(p.ndim for p in parameters),
        ratios=torch.stack(rows).double().cpu().numpy(),
        losses=torch.stack(losses).double().cpu().numpy(),
        optimizer=str(subject.optimizer),
        learning_rate=subject.optimizer.lr,
        start=request.start,
        restored=restored,
    )


def _restored(optimizer: torch.optim.Optimizer, subject: Subject) -> bool:
    """Give a new optimizer the checkpoint's moments, its learning rate staying as declared."""
    state = subject.checkpoint.optimizer if subject.checkpoint else None
    if state is None or subject.optimizer is None:
        return False
    try:
        # A copy: the optimizer goes on writing into the tensors that it is given.
        optimizer.load_state_dict(copy.deepcopy(state))
    except (ValueError, KeyError, TypeError):
        return False
    for group in optimizer.param_groups:
        group["lr"] = subject.optimizer.lr
    return True
