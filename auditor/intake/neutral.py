"""An output that knows nothing: which one a loss takes for it, and which way the loss pulls it."""

import math

import torch
from torch.nn import functional

from auditor.core.errors import InputError
from auditor.core.spec import Task
from auditor.intake.losses import (
    CLASS_TASKS,
    Loss,
    as_classes,
    by_label,
    main_output,
    matched,
    picks_class,
)
from auditor.intake.seeding import rng_kept

WIDEST = 4_000_000
"""Values of output at most that are added to a batch for all classes to be in it."""

ALIKE = 1.01
"""Ratio of weights up to which they are one."""


def undecided(
    loss: Loss, task: str, outputs: torch.Tensor, target: torch.Tensor
) -> tuple[float, str]:
    """Return the number that, for every output, says nothing, and how to call such an output."""
    if task in CLASS_TASKS:
        scores, _ = matched(outputs, target, "cross_entropy")
        if scores.ndim > 1 and scores.shape[1] > 1:
            scores, width = scores.double(), scores.shape[1]
            one = torch.ones((), dtype=scores.dtype, device=scores.device)
            shares = bool((scores >= 0).all()) and torch.allclose(scores.sum(1), one, atol=1e-3)
            logs = torch.allclose(scores.exp().sum(1), one, atol=1e-3)
            if loss.known == "nll_loss" or (logs and loss.known != "cross_entropy"):
                return -math.log(width), "an output of equal log-probabilities"
            if shares and loss.known != "cross_entropy":
                return 1 / width, "an output of equal probabilities"
    if task in ("binary", "multilabel"):
        inside = bool(((outputs >= 0) & (outputs <= 1)).all())
        if loss.known == "binary_cross_entropy" or (not loss.known and inside):
            return 0.5, "an output of one half"
    return 0.0, "an all-zero output"


def class_weights(
    loss: Loss, task: Task | None, outputs: object, target: object
) -> tuple[float, ...]:
    """Return how much each class counts in the loss, the least 1; of labels, a one against a zero.

    It is measured by the gradient at an output that knows nothing, on a batch to which examples of
    every class were added. (1,) where all count alike, empty where it can't be measured.
    """
    main = main_output(outputs)
    if not isinstance(main, torch.Tensor) or not isinstance(target, torch.Tensor):
        return ()
    if not (loss.known or isinstance(outputs, torch.Tensor)) or not main.is_floating_point():
        return ()
    exclusive = picks_class(loss, task, main, target)
    try:
        if exclusive:
            pulls = _by_class(loss, task or "", main, target)
        elif task in ("binary", "multilabel"):
            pulls = _by_label(loss, task, main, target)
        else:
            return ()
    except (InputError, RuntimeError):
        return ()
    if pulls is None or not pulls.isfinite().all() or not (pulls > 0).any():
        return ()
    unit = float(pulls[pulls > 0].min()) if exclusive else 1.0
    weights = tuple(float(f"{weight:.4g}") for weight in (pulls / unit).tolist())
    alike = all(1 / ALIKE < weight < ALIKE for weight in weights)
    return (1.0,) if alike else weights


def _by_class(
    loss: Loss, task: str, main: torch.Tensor, target: torch.Tensor
) -> torch.Tensor | None:
    """Return the mean size of the gradient on the outputs of a target of each class."""
    scores, labels = as_classes(main, target)
    classes, places = scores.shape[1], labels[0].numel()
    more = -(-classes // places)
    if more * main[0].numel() > WIDEST:
        return None
    turn = torch.arange(more * places, device=labels.device).remainder(classes)
    added = turn.reshape(more, *labels.shape[1:])
    if target.is_floating_point():
        shares = functional.one_hot(added, classes).movedim(-1, 1)
        given = torch.cat([target, shares.to(target.dtype)])
    else:
        given = torch.cat([target, added.reshape(more, *target.shape[1:]).to(target.dtype)])
    pull, _ = matched(_pull(loss, task, main, target, given), given, "cross_entropy")
    kinds, size = torch.cat([labels, added]).reshape(-1), pull.norm(dim=1).reshape(-1).double()
    known = (kinds >= 0) & (kinds < classes)
    kinds, size = kinds[known].long(), size[known]
    return torch.bincount(kinds, size, classes) / torch.bincount(kinds, minlength=classes)


def _by_label(loss: Loss, task: str, main: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the mean size of the gradient on a one of each label, in that on a zero."""
    given = torch.cat([target, torch.zeros_like(target[:1]), torch.ones_like(target[:1])])
    size = _pull(loss, task, main, target, given).abs().double()
    size, kinds = by_label(size), by_label(given)
    means = [(size * (kinds == k)).sum(0) / (kinds == k).sum(0) for k in (0, 1)]
    return means[1] / means[0]


def _pull(
    loss: Loss, task: str, main: torch.Tensor, target: torch.Tensor, given: torch.Tensor
) -> torch.Tensor:
    """Return the gradient of the loss on outputs that know nothing, beside these targets."""
    value, _ = undecided(loss, task, main, target)
    with torch.enable_grad(), rng_kept():
        at = main.new_full((len(given), *main.shape[1:]), value, dtype=torch.float32)
        at.requires_grad_()
        (pull,) = torch.autograd.grad(loss(at, given), at)
    return pull
