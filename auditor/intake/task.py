"""What a model is for, as its loss, an output and a target show."""

from typing import Any

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from auditor.core.errors import InputError
from auditor.core.spec import Task
from auditor.intake.batches import changed, tensors_in
from auditor.intake.losses import (
    LABEL_LOSSES,
    NUMBER_LOSSES,
    SUMS_TO_ONE,
    Loss,
    gives_shares,
    main_output,
    matched,
)

CERTAIN = 5.0
"""Logits of answers that are certain, in nats: a probability of 0.993."""


ALIKE = 1e-3
"""Share of a loss that rounding stays below."""


def inferred_task(loss: Loss, outputs: Any, target: Any) -> Task:
    """Return the task that the loss, an output and a target show.

    A loss of torch's tells by its name. One of the user's own is asked: shapes alone can't tell
    logits from embeddings, or predicted numbers from logits. It judges classes where the right
    ones cost otherwise than others (of targets that give each class a share, if outputs are
    log-probabilities or have a softmax to come), labels where certain logits of the right sign
    cost least, and numbers where the targets cost less than what lies above, below, farther apart
    or closer together, or, for a loss whose sign is wrong, more.
    """
    main = main_output(outputs)
    if not isinstance(main, torch.Tensor) or not isinstance(target, torch.Tensor):
        return "custom"
    if not loss.known and _aligns(loss, outputs, target):
        return "custom"
    if loss.known in LABEL_LOSSES:
        return "binary" if main.ndim == 1 or main.shape[1:].numel() == 1 else "multilabel"
    if loss.known in NUMBER_LOSSES:
        return "regression"
    whole = not target.is_floating_point()
    classes = whole and main.ndim == target.ndim + 1
    if classes and (loss.known or _judges_classes(loss, outputs, main, target)):
        return _of_classes(main)
    shares = main.shape == target.shape and gives_shares(target)
    if shares and (loss.known == "cross_entropy" or _judges_shares(loss, outputs, main, target)):
        return _of_classes(main)
    if not loss.known and _without_ones(main) == _without_ones(target):
        return _of_numbers(loss, outputs, main, target)
    return "custom"


class _Aligning(TorchFunctionMode):
    """Notes whether a loss finds out by itself which steps belong to which targets (CTC)."""

    found: bool = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.found = self.found or getattr(func, "__name__", "") == "ctc_loss"
        return func(*args, **(kwargs or {}))


def _aligns(loss: Loss, outputs: Any, target: Any) -> bool:
    """Tell whether targets belong to no step of the outputs, whatever the shapes of the two."""
    with _Aligning() as watched, torch.no_grad():
        try:
            loss(outputs, target)
        except InputError:
            return False
    return bool(watched.found)


def _judges_classes(loss: Loss, outputs: Any, main: torch.Tensor, target: torch.Tensor) -> bool:
    """Tell whether the right classes cost otherwise than those that follow them."""
    scores, labels = matched(main, target, "cross_entropy")
    if scores.ndim != labels.ndim + 1 or scores[:, 0].shape != labels.shape:
        return False

    chances = gives_shares(scores)

    def certain(shift: int) -> torch.Tensor:
        classes = scores.shape[1]
        sure = CERTAIN * functional.one_hot((labels + shift) % classes, classes).to(main.dtype)
        # Of a chance of 0 the logarithm is infinite, and 0 times that no number.
        sure = sure.softmax(-1) if chances else sure
        return sure.movedim(-1, 1) if scores is main else sure

    right, wrong = (_cost(loss, outputs, main, certain(shift), target) for shift in (0, 1))
    if right is None or wrong is None:
        return True
    return abs(right - wrong) > ALIKE * max(abs(right), abs(wrong))


def _judges_shares(loss: Loss, outputs: Any, main: torch.Tensor, target: torch.Tensor) -> bool:
    """Tell whether the loss weighs classes against each other by the shares that targets give."""
    sure = CERTAIN * target.to(main.dtype)
    level = torch.arange(len(main), dtype=main.dtype, device=main.device)
    lifted = main + 1 + level.remainder(3).reshape(-1, *[1] * (main.ndim - 1))
    costs = [_cost(loss, outputs, main, o, target) for o in (main, lifted, sure, sure.roll(1, 1))]
    if None in costs:
        return False
    now, beside, right, wrong = (cost for cost in costs if cost is not None)
    total = main.float().logsumexp(dim=1)
    logs = bool((total.abs() < SUMS_TO_ONE).all())
    softmax = abs(now - beside) <= ALIKE * max(abs(now), abs(beside))
    return (logs or softmax) and abs(right - wrong) > ALIKE * max(abs(right), abs(wrong))


def _without_ones(tensor: torch.Tensor) -> list[int]:
    return [size for size in tensor.shape if size != 1]


def _of_classes(main: torch.Tensor) -> Task:
    if main.ndim == 2:
        return "multiclass"
    return "segmentation" if main.ndim >= 4 else "language_model"


def _of_numbers(loss: Loss, outputs: Any, main: torch.Tensor, target: torch.Tensor) -> Task:
    """Return the task of a loss that sets outputs and targets of one shape side by side.

    The loss may see to it itself that they are of one type and shape, as `y.float().view(-1, 1)`.
    """
    wanted = target.to(main.dtype).reshape(main.shape)
    least = _cost(loss, outputs, main, wanted, target)
    if least is None:
        return "regression"
    if bool(((wanted == 0) | (wanted == 1)).all()):
        sure = CERTAIN * (2 * wanted - 1)
        right, wrong = (_cost(loss, outputs, main, s, target) for s in (sure, -sure))
        if right is not None and wrong is not None and right < min(least, wrong):
            return "binary" if main.ndim == 1 or main.shape[1:].numel() == 1 else "multilabel"
    spread = float(wanted.float().std()) if wanted.numel() > 1 else 0.0
    step = spread if spread > 0 else 1.0
    others = [wanted + step, wanted - step]
    if spread > 0:
        others += [wanted.mean() + scale * (wanted - wanted.mean()) for scale in (1.5, 0.5)]
    beside = [_cost(loss, outputs, main, other, target) for other in others]
    known = [cost for cost in beside if cost is not None]
    extreme = all(least < cost for cost in known) or all(least > cost for cost in known)
    return "regression" if extreme else "custom"


def _cost(
    loss: Loss, outputs: Any, main: torch.Tensor, other: torch.Tensor, target: Any
) -> float | None:
    """Return the loss with `other` in the place of the main output, None where it takes none."""
    put = changed(outputs, lambda tensor: other if tensor is main else tensor)
    if not any(tensor is other for tensor in tensors_in(put)):
        return None
    try:
        return float(loss(put, target))
    except InputError:
        return None
