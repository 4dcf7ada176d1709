"""What a loss of the user's own does with outputs, tried on other outputs."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch.nn import functional

from auditor.core.errors import InputError
from auditor.intake.batches import changed, tensors_in
from auditor.intake.losses import CLASS_LOSSES, Loss, gives_shares, main_output, matched
from auditor.observations.loss_probe import SIGMOID, SOFTMAX

AGREES = 1e-4
"""Relative difference up to which two losses are one, in single precision."""

SURE = 200.0
"""A difference of logits whose probability is 0 in single precision, where e^-104 is."""

COMMON = 3
"""Labels, the most frequent ones, of which it is tried whether a loss leaves them out."""

Value = Callable[[torch.Tensor], float]


def terms_of(loss: Loss, outputs: Any, target: Any) -> Iterator[Value]:
    """Yield each term as a function of what stands in the place of the main output.

    Its value is NaN where the term takes no such outputs.
    """
    main = main_output(outputs)

    def value(term: Loss, other: torch.Tensor) -> float:
        put = changed(outputs, lambda tensor: other if tensor is main else tensor)
        if not any(tensor is other for tensor in tensors_in(put)):
            return math.nan
        try:
            return float(term(put, target))
        except InputError:
            return math.nan

    for name, function in loss.terms.items():
        yield partial(value, replace(loss, terms={name: function}))


def acts_like(
    name: str, value: Value, given: torch.Tensor, main: torch.Tensor, target: Any, ignored: int
) -> bool:
    """Tell whether a term, which has `given` as its value here, behaves like a known loss."""
    if name == SOFTMAX:
        return _takes_softmax(value, main, target)
    if name == SIGMOID:
        return _takes_sigmoid(value, main, target)
    if name == "binary_cross_entropy" and not ((main >= 0) & (main <= 1)).all():
        return False
    settings = {}
    for reduction in ("mean", "sum"):
        try:
            outputs, targets = matched(main, target, name)
            if name in CLASS_LOSSES and not targets.is_floating_point():
                settings = {"ignore_index": ignored}
            other = getattr(functional, name)(outputs, targets, reduction=reduction, **settings)
        except Exception:  # noqa: BLE001 - a loss that can't take them is not this one
            return False
        if torch.isclose(given.double(), other.double(), rtol=AGREES, atol=1e-7):
            return True
    return False


def _noise(main: torch.Tensor, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(main.shape, generator=generator).to(main)


def _alike(a: float, b: float, rough: float = AGREES) -> bool:
    return abs(a - b) <= rough * max(abs(a), abs(b))


def _takes_softmax(value: Value, main: torch.Tensor, target: torch.Tensor) -> bool:
    """Tell whether a constant added to a row changes nothing, though all else does.

    A hinge between classes does the same, but no longer changes once the right class is ahead.
    """
    sure, axis = main, 1
    if main.ndim < 2 or main.shape[1] < 2:
        return False
    if not target.is_floating_point():
        scores, labels = matched(main, target, "cross_entropy")
        if scores.ndim != labels.ndim + 1:
            return False
        axis = 1 if scores is main else -1
        classes = scores.shape[1]
        hot = functional.one_hot(labels.clamp(0, classes - 1), classes)
        sure = (hot.movedim(-1, 1) if scores is main else hot).to(main.dtype)
    elif main.ndim == 2 and main.shape == target.shape:
        sure = functional.one_hot(target.argmax(dim=1), main.shape[1]).to(main.dtype)
    else:
        return False
    noise = _noise(main, 0)
    shift = 3 * _noise(main.narrow(axis, 0, 1), 1)
    here = value(noise)
    return (
        _alike(here, value(noise + shift))
        and not _alike(here, value(_noise(main, 2)), 10 * AGREES)
        and not _alike(value(3 * sure), value(6 * sure), 10 * AGREES)
    )


def _takes_sigmoid(value: Value, main: torch.Tensor, target: torch.Tensor) -> bool:
    """Tell whether it pays, less and less, to go beyond 1 for a label and below 0 for none."""
    try:
        _, labels = matched(main, target, "mse_loss")
    except InputError:
        return False
    yes = labels == 1
    if not (yes | (labels == 0)).all() or yes.all() or not yes.any():
        return False
    for side in (yes.to(main.dtype), -(~yes).to(main.dtype)):
        near, far, farther = (value(score * side) for score in (1.5, 3.0, 6.0))
        if not (near - far > AGREES * abs(near) and near - far > far - farther > 0):
            return False
    return True


def unstable(value: Value, main: torch.Tensor, target: torch.Tensor) -> bool:
    """Tell whether a term is finite of an answer that leans to the wrong side, not of a sure one.

    So is the logarithm of a softmax or sigmoid that was computed before it: a probability below the
    least number of its type is 0. Probabilities are tried as 0 and 1, logits as 0 and `SURE`.
    """
    scores, labels = matched(main, target, "cross_entropy")
    if not target.is_floating_point() and scores.ndim == labels.ndim + 1 > 1:
        classes, chances = scores.shape[1], gives_shares(scores)
        wrong = functional.one_hot((labels + 1) % classes, classes).to(main.dtype)
        far, near = (wrong, wrong.softmax(-1)) if chances else (SURE * wrong, wrong)
        if scores is main:
            far, near = far.movedim(-1, 1), near.movedim(-1, 1)
    elif main.shape == target.shape and bool(((target == 0) | (target == 1)).all()):
        single = not gives_shares(target)
        wrong = (1 - target if single else target.roll(1, 1)).to(main.dtype)
        far, near = (SURE * (2 * wrong - 1), 2 * wrong - 1)
        if bool(((main >= 0) & (main <= 1)).all()):
            far, near = wrong, 0.25 + wrong / 2 if single else wrong.softmax(1)
    else:
        return False
    return math.isfinite(value(near)) and not math.isfinite(value(far))


def left_out(value: Value, main: torch.Tensor, target: torch.Tensor) -> int | None:
    """Return the most frequent label whose outputs do not matter to a loss, None where all do.

    Tried on noise, since outputs that are right by far may not matter either.
    """
    scores, labels = matched(main, target, "cross_entropy")
    if scores.ndim != labels.ndim + 1 or scores.ndim < 2:
        return None
    noise, other = _noise(main, 3), _noise(main, 4)
    here = value(noise)
    seen, counts = labels.unique(return_counts=True)
    for label in seen[counts.argsort(descending=True, stable=True)][:COMMON].tolist():
        of_label = (labels == label).unsqueeze(1 if scores is main else -1)
        if of_label.all() or not math.isfinite(here):
            continue
        elsewhere = value(torch.where(of_label, noise, other))
        if value(torch.where(of_label, other, noise)) == here and elsewhere != here:
            return int(label)
    return None
