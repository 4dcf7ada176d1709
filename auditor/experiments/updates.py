"""Some steps of the declared optimizer on a copy, and how far each parameter moves."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from auditor.core.request import Unavailable
from auditor.core.text import clean_text
from auditor.experiments.lab import cycled, halving, private_copy
from auditor.intake import optimizer as optimizers
from auditor.intake.moments import SHAPED, entries_at_hand, entries_of, known_of, matched, spoilt
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

    try:
        ratios, note = halving(attempt)
    except RuntimeError as error:
        if "sparse" not in str(error).lower():
            raise
        return Unavailable(
            f"the optimizer can't take this model's gradients: {clean_text(error, 160)}"
        )
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
    restored = request.start == "checkpoint" and go_on(optimizer, named, subject)
    model.train()
    rows, losses, idle, whole = [], [], [], []
    for batch in cycled(subject, "train", request.steps, fraction):
        optimizer.zero_grad()
        loss = subject.loss(model(*batch.args, **batch.kwargs), batch.target)
        if not loss.requires_grad:
            return Unavailable("no gradient comes from the loss, so that no step is made")
        loss.backward()
        gradients = [p.grad for p in parameters if p.grad is not None]
        whole.append(torch.linalg.vector_norm(norms(gradients)))
        if subject.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(parameters, subject.clip_norm)
        idle.append(torch.stack([_no_gradient(p) for p in parameters]))
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
        tables=tables(model, named),
        gradient_norms=torch.stack([one.cpu() for one in whole]).numpy(),
        waits=tuple((idle[0] & ~torch.stack(idle).all(dim=0)).tolist()),
    )


def _no_gradient(parameter: nn.Parameter) -> torch.Tensor:
    """Tell whether a parameter got no gradient, or nothing but zeros."""
    gradient = parameter.grad
    if gradient is None:
        return torch.ones((), dtype=torch.bool, device=parameter.device)
    values = gradient.coalesce().values() if gradient.layout is torch.sparse_coo else gradient
    return ~(values != 0).any()


def tables(model: nn.Module, named: Sequence[tuple[str, nn.Parameter]]) -> tuple[bool, ...]:
    """Tell of each parameter whether it is a table, of which a batch uses few rows."""
    kinds = (nn.Embedding, nn.EmbeddingBag)
    found = {id(m.weight) for m in model.modules() if isinstance(m, kinds)}
    return tuple(id(p) in found for _, p in named)


def go_on(
    optimizer: torch.optim.Optimizer,
    named: Sequence[tuple[str, nn.Parameter]],
    subject: Subject,
) -> bool:
    """Give a new optimizer over `named` what an earlier one kept of them; its settings stay.

    It does so only where all that this kind of optimizer keeps is there, in the right shapes.
    """
    kept = _kept(subject)
    wanted = _slots(optimizer)
    states: dict[int, Any] = {}
    for place, (name, parameter) in enumerate(named):
        state = kept.get(name, {})
        shaped = [state[key] for key in SHAPED if isinstance(state.get(key), torch.Tensor)]
        fits = all(value.shape == parameter.shape for value in shaped)
        if wanted and wanted <= set(state) and fits and not spoilt(state):
            # A copy: the optimizer goes on writing into the tensors that it is given.
            states[place] = copy.deepcopy(dict(state))
    if not states:
        return False
    groups = optimizer.state_dict()["param_groups"]
    try:
        optimizer.load_state_dict({"state": states, "param_groups": groups})
    except Exception:  # noqa: BLE001 - a file may hold anything; without it the moments start at zero
        return False
    return True


def _kept(subject: Subject) -> dict[str, Mapping[str, Any]]:
    """Return what the optimizer at hand, or the only one in the checkpoint, kept by parameter."""
    assert subject.model is not None
    if subject.live_optimizer is not None:
        at_hand = entries_at_hand(subject.live_optimizer)
        return {entry.name: entry.state for entry in at_hand if entry.name}
    checkpoint = subject.checkpoint
    if checkpoint is None:
        return {}
    only = list(checkpoint.optimizers.values())
    saved = checkpoint.optimizer or (only[0] if len(only) == 1 else None)
    if saved is None:
        return {}
    entries = entries_of(saved)
    names = matched(entries, known_of(subject.model)).names
    return {name: e.state for name, e in zip(names, entries, strict=True) if name and e.state}


def _slots(optimizer: torch.optim.Optimizer) -> set[str]:
    """Return the names of what this kind of optimizer keeps of a parameter."""
    trial = nn.Parameter(torch.ones(2, 2))
    trial.grad = torch.ones(2, 2)
    settings = {k: v for k, v in optimizer.param_groups[0].items() if k in optimizer.defaults}
    kind: Callable[..., torch.optim.Optimizer] = type(optimizer)
    probe = kind([trial])
    probe.param_groups[0].update(settings)
    probe.step()
    return {str(key) for key in probe.state[trial]}
