"""Which way a loss of the user's own pushes the scores of classes, by its gradient."""

from typing import Any

import torch
from torch.nn import functional

from auditor.core.errors import InputError
from auditor.intake.batches import changed, tensors_in
from auditor.intake.losses import Loss, main_output, matched
from auditor.observations.class_direction import ClassDirection

SURE = 20.0
"""Lead of a wrong class, in nats: a chance of 2e-9 for the right one."""

SLIGHT = 1e-3
"""Share of the largest slope below which one may be rounding."""


def class_direction(loss: Loss, outputs: Any, target: Any, ignored: int) -> ClassDirection | None:
    """Return how a loss pushes the scores of classes; None where it judges none one by one.

    Slopes are taken where all scores are alike, at the level of those that the model gives. Of
    targets with several places, the right class may be that of the place before or after, since
    the losses of language models often shift them.
    """
    main = main_output(outputs)
    level = main.float().mean()
    scores, labels = matched(main, target, "cross_entropy")
    if scores.ndim != labels.ndim + 1 or scores.ndim < 2 or not level.isfinite():
        return None
    classes = scores.shape[1]
    counted = (labels != ignored) & (labels >= 0)
    if classes < 2 or not counted.any() or bool((labels[counted] >= classes).any()):
        return None
    even = torch.full_like(main, float(level))
    slopes = _slopes(loss, outputs, even, target)
    other = labels.where(counted, 0).add(1).remainder(classes)
    lead = SURE * functional.one_hot(other, classes).movedim(-1, 1).to(main.dtype)
    lead = lead if scores is main else lead.movedim(1, -1)
    sure = _slopes(loss, outputs, even + lead, target)
    if slopes is None or sure is None:
        return None
    largest = float(slopes.abs().max())
    if not largest > 0:
        return None
    table = slopes if scores is main else slopes.movedim(-1, 1)
    steps = (0,) if labels.ndim == 1 else (0, 1, -1)
    told = [_against(table, labels.roll(step, 1) if step else labels, counted) for step in steps]
    pushed = (table.abs() > SLIGHT * largest).transpose(0, 1).flatten(1).any(1)
    present = torch.zeros(classes, dtype=torch.bool, device=labels.device)
    present[labels[counted]] = True
    return ClassDirection(
        against=min(told),
        rows=int(counted.sum()),
        unseen=tuple((present & ~pushed).nonzero()[:, 0].tolist()),
        when_sure=float(sure.abs().max()) / largest,
    )


def _against(slopes: torch.Tensor, labels: torch.Tensor, counted: torch.Tensor) -> int:
    """Return in how many rows the right class raises the loss more than all do on average.

    What is added to all classes alike, by a penalty on their size, falls out so.
    """
    known = counted & (labels >= 0) & (labels < slopes.shape[1])
    beside = slopes - slopes.mean(dim=1, keepdim=True)
    right = beside.gather(1, labels.where(known, 0).unsqueeze(1)).squeeze(1)
    return int(((right > SLIGHT * slopes.abs().max()) & known).sum())


def _slopes(loss: Loss, outputs: Any, at: torch.Tensor, target: Any) -> torch.Tensor | None:
    """Return the slope of the loss by each score; None where it has no finite one."""
    main = main_output(outputs)
    with torch.enable_grad():
        other = at.detach().clone().requires_grad_()
        put = changed(outputs, lambda tensor: other if tensor is main else tensor)
        if not any(tensor is other for tensor in tensors_in(put)):
            return None
        try:
            value = loss(put, target)
            if not value.requires_grad:
                return None
            (found,) = torch.autograd.grad(value, other, allow_unused=True)
        except (InputError, RuntimeError):
            return None
    return found.detach() if found is not None and bool(found.isfinite().all()) else None
