"""The least loss that any model can have on some examples."""

import math
from collections import Counter, defaultdict
from dataclasses import dataclass

import torch

from auditor.intake.batches import Batch, tensors_in
from auditor.intake.losses import CLASS_LOSSES, LABEL_LOSSES
from auditor.intake.subject import Subject

NEAR_CLASSES = 0.05
"""Share of the loss at chance: with ten classes the right one then has a probability of 0.89."""
NEAR_SQUARED = 0.01
NEAR_ABSOLUTE = 0.1
"""Share of the targets' mean absolute deviation; its square is that of the variance."""


UNKNOWN = "not known for this loss"


@dataclass(frozen=True)
class Floor:
    """The least loss, what counts as near it, and the loss of the best constant answer.

    `near` is NaN where the least loss is not known, `constant` where that of a constant is not.
    `best_accuracy` is the largest possible share of targets right. `words` says what was taken.
    """

    value: float
    near: float
    constant: float
    best_accuracy: float
    words: str


def floor_of(subject: Subject, batch: Batch) -> Floor:
    """Return what the declared loss comes down to on a batch when all of it is known by heart."""
    target = batch.target
    loss = subject.loss
    assert loss is not None
    own = Floor(0.0, math.nan, math.nan, 1.0, UNKNOWN)
    if not isinstance(target, torch.Tensor) or target.is_complex():
        return own
    function = next(iter(loss.terms.values()))
    smoothing = float(getattr(function, "label_smoothing", 0.0) or 0.0)
    weighted = any(getattr(function, name, None) is not None for name in ("weight", "pos_weight"))
    classes = subject.facts.outputs
    if loss.known in CLASS_LOSSES and classes and classes > 1:
        if (smoothing or target.is_floating_point()) and weighted:
            return own
        return _of_classes(subject, batch, target, classes, smoothing, weighted)
    if loss.known in LABEL_LOSSES:
        values = target.double().reshape(len(target), -1)
        floor = 0.0 if weighted else float(_binary(values).mean())
        constant = math.nan if weighted else float(_binary(values.mean(0)).mean())
        words = "0 for labels of 0 and 1" if floor < 1e-9 else f"{floor:.4g} for soft labels"
        return Floor(floor, floor + NEAR_CLASSES * math.log(2), constant, 1.0, words)
    if loss.known in ("mse_loss", "l1_loss"):
        return _of_numbers(target, loss.known == "mse_loss")
    return own


def _of_classes(
    subject: Subject,
    batch: Batch,
    target: torch.Tensor,
    classes: int,
    smoothing: float,
    weighted: bool,
) -> Floor:
    assert subject.loss is not None
    span = NEAR_CLASSES * math.log(classes)
    if target.is_floating_point():
        rows = target.double().movedim(1, -1).reshape(-1, target.shape[1])
        rows = (1 - smoothing) * rows + smoothing / classes
        floor, constant = float(_entropy(rows).mean()), float(_entropy(rows.mean(0)))
        words = f"{floor:.4g}, the entropy of the target probabilities"
        return Floor(floor, floor + span, constant, 1.0, words)
    counted = target[target != subject.loss.ignored].long()
    shares = torch.bincount(counted, minlength=classes).double() / max(counted.numel(), 1)
    smoothed = (1 - smoothing) * shares + smoothing / classes
    constant = math.nan if weighted else float(_entropy(smoothed))
    if smoothing:
        one = torch.full((classes,), smoothing / classes, dtype=torch.float64)
        one[0] += 1 - smoothing
        floor = float(_entropy(one))
        words = f"{floor:.4g}, the entropy of labels smoothed by {smoothing:g}"
        return Floor(floor, floor + span, constant, 1.0, words)
    floor, best = _of_prefixes(batch, target, subject.loss.ignored)
    words = (
        f"{floor:.4g}, what equal beginnings leave open" if floor > 1e-9 else "0 for class labels"
    )
    return Floor(floor, floor + span, constant, best, words)


def _of_numbers(target: torch.Tensor, squared: bool) -> Floor:
    values = target.double().reshape(len(target), -1)
    if squared:
        constant, near = float(values.var(0, correction=0).mean()), NEAR_SQUARED
        words = f"0, near it being {near:.0%} of the targets' variance"
    else:
        gaps = (values - values.median(0).values).abs()
        constant, near = float(gaps.mean()), NEAR_ABSOLUTE
        words = f"0, near it being {near:.0%} of the targets' mean absolute deviation"
    return Floor(0.0, near * (constant or 1.0), constant or math.nan, math.nan, words)


def _of_prefixes(batch: Batch, target: torch.Tensor, ignored: int) -> tuple[float, float]:
    """Return the loss and accuracy of knowing every sequence by what precedes each position.

    Sequences that begin alike and go on differently can't be told apart by a model that reads
    from left to right: what follows is then as uncertain as it is frequent.
    """
    tokens = next(tensors_in((batch.args, batch.kwargs)), None)
    sequences = tokens is not None and tokens.shape == target.shape and target.ndim == 2
    if tokens is None or not sequences or tokens.is_floating_point():
        return 0.0, 1.0
    followers: dict[bytes, Counter[int]] = defaultdict(Counter)
    for row, wanted in zip(tokens.cpu().long().numpy(), target.cpu().tolist(), strict=True):
        for place, answer in enumerate(wanted):
            if answer != ignored:
                followers[row[: place + 1].tobytes()][answer] += 1
    total = max(1, sum(group.total() for group in followers.values()))
    lost = sum(
        -count * math.log(count / group.total())
        for group in followers.values()
        for count in group.values()
    )
    return lost / total, sum(max(group.values()) for group in followers.values()) / total


def _entropy(shares: torch.Tensor) -> torch.Tensor:
    """Return the entropy in nats over the last dimension."""
    each: torch.Tensor = torch.special.entr(shares)
    return each.sum(-1)


def _binary(shares: torch.Tensor) -> torch.Tensor:
    """Return the entropy in nats of each label."""
    return _entropy(torch.stack([shares, 1 - shares], dim=-1))
