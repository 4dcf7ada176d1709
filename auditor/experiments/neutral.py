"""What a loss is worth to a model that knows nothing, computed with the loss itself."""

import math
from typing import Any, Literal

import numpy as np
import torch

from auditor.core.errors import InputError
from auditor.core.spec import Task
from auditor.core.subject import TargetFacts
from auditor.intake.batches import Batch
from auditor.intake.losses import Loss, main_output, matched, picks_class
from auditor.intake.neutral import class_weights, undecided

QUANTILES = 21
"""Constants tried between the least and the largest target before the search narrows."""

HALVINGS = 30

UNSEEN = 1e-3
"""Examples that a class counts as of which there is none."""


def stand_in(loss: Loss, outputs: Any, *, whole: bool) -> torch.Tensor | None:
    """Return the tensor that the loss takes for outputs, None where it does not take one alone.

    Unless the `whole` is wanted it is one of the same shape and type that needs no memory.
    """
    main = main_output(outputs)
    alone = isinstance(outputs, torch.Tensor) or bool(loss.known)
    if not alone or not isinstance(main, torch.Tensor) or not main.is_floating_point():
        return None
    return main.detach() if whole else main.new_zeros(()).expand(main.shape)


@torch.no_grad()
def knows_nothing(
    loss: Loss, task: str, outputs: list[torch.Tensor | None], batches: list[Batch]
) -> tuple[float, str]:
    """Return the mean loss over batches of an output that knows nothing, and which that is.

    It is uniform over classes, undecided on labels, and the best constant for numbers; all zeros
    where the task is none of these. NaN where the outputs are no tensor or the loss can't take it.
    """
    mains = [out for out in outputs if out is not None]
    if len(mains) < len(batches):
        return math.nan, ""
    try:
        if task == "regression":
            return _best_constant(loss, mains, batches), "the best constant output"
        value, words = undecided(loss, task, mains[0], batches[0].target)
        costs = [
            loss(torch.full_like(m, value), b.target) for m, b in zip(mains, batches, strict=True)
        ]
    except InputError:
        return math.nan, ""
    return float(torch.stack(costs).double().nanmean()), words


@torch.no_grad()
def constant_cost(
    loss: Loss,
    task: Task | Literal[""],
    outputs: list[torch.Tensor | None],
    batches: list[Batch],
    facts: TargetFacts,
    leans: tuple[float, ...] = (1.0,),
) -> float:
    """Return the mean loss over batches of the constant output that suits targets of such shares.

    Of classes it is the logarithm of their counts, of labels that of ones to zeros, both weighted
    as the loss weights them, times the best of `leans`. NaN of numbers, and where the loss can't
    take it.
    """
    first = outputs[0]
    if first is None or not facts.counts:
        return math.nan
    target = batches[0].target
    weights = np.asarray(loss.weights or class_weights(loss, task or None, first, target) or (1.0,))
    counts = np.full(max(facts.classes) + 1, UNSEEN)
    counts[list(facts.classes)] = np.maximum(facts.counts, UNSEEN)
    try:
        form = undecided(loss, task, first, target)[0]
        exclusive = picks_class(loss, task or None, first, target)
        if exclusive:
            scores, _ = matched(first, target, "cross_entropy")
            counts = np.append(counts, np.full(scores.shape[1] - len(counts), UNSEEN))
            constant = torch.as_tensor(np.log(counts * np.maximum(weights, UNSEEN)))
            places = [1] * first.ndim
            places[1 if scores is first else -1] = -1
        else:
            pairs = counts.reshape(-1, 2)
            constant = torch.as_tensor(np.log(pairs[:, 1] / pairs[:, 0] * weights))
            places = [1, *first.shape[1:]]
        costs = []
        for lean in leans:
            row = constant * lean
            if form:  # Other than zero: the outputs are probabilities, or their logarithms.
                row = (
                    row.log_softmax(0)
                    if form < 0
                    else row.softmax(0)
                    if exclusive
                    else row.sigmoid()
                )
            costs.append(_mean_cost(loss, row.reshape(places).to(first), outputs, batches))
    except (InputError, RuntimeError, ValueError):
        return math.nan
    return min(costs)


def _mean_cost(
    loss: Loss, row: torch.Tensor, outputs: list[torch.Tensor | None], batches: list[Batch]
) -> float:
    values = [
        loss(row.expand(out.shape), batch.target)
        for out, batch in zip(outputs, batches, strict=True)
        if out is not None
    ]
    return float(torch.stack(values).double().nanmean())


def _best_constant(loss: Loss, outputs: list[torch.Tensor], batches: list[Batch]) -> float:
    """Return the least mean loss of a constant, the same quantile of each output's targets.

    A grid of quantiles, the mean beside them, then golden sections around the best.
    """
    targets = [matched(o, b.target, "mse_loss")[1] for o, b in zip(outputs, batches, strict=True)]
    rows = torch.cat([target.reshape(len(target), -1) for target in targets]).double()

    def cost(constant: torch.Tensor) -> float:
        values = [
            loss(constant.to(out).expand(len(out), -1).reshape(out.shape), batch.target)
            for out, batch in zip(outputs, batches, strict=True)
        ]
        return float(torch.stack(values).double().mean())

    levels = np.linspace(0, 1, QUANTILES)
    tried = [cost(_quantile(rows, level)) for level in levels]
    best = int(np.nanargmin(tried)) if np.isfinite(tried).any() else 0
    low, high = levels[max(best - 1, 0)], levels[min(best + 1, QUANTILES - 1)]
    golden = (math.sqrt(5) - 1) / 2
    for _ in range(HALVINGS):
        left, right = high - golden * (high - low), low + golden * (high - low)
        if cost(_quantile(rows, left)) < cost(_quantile(rows, right)):
            high = right
        else:
            low = left
    return min(tried[best], cost(rows.mean(0)), cost(_quantile(rows, (low + high) / 2)))


def _quantile(rows: torch.Tensor, level: float) -> torch.Tensor:
    ordered = rows.sort(dim=0).values
    place = level * (len(rows) - 1)
    low = int(place)
    high = min(low + 1, len(rows) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


@torch.no_grad()
def growth(
    loss: Loss, task: str, outputs: list[torch.Tensor | None], batches: list[Batch]
) -> float:
    """Return the power of the batch's size by which the loss grows: 0 for a mean, 1 for a sum.

    From the loss of a wrong output on the first batch, and on that batch twice over, of which any
    mean is the same. NaN where that can't be measured.
    """
    main, batch = outputs[0], batches[0]
    if main is None or main.shape[:1] != (batch.size,):
        return math.nan
    try:
        if task == "regression":
            wrong = matched(main, batch.target, "mse_loss")[1].to(main).reshape(main.shape) + 1
        else:
            wrong = torch.full_like(main, undecided(loss, task, main, batch.target)[0])
        once = float(loss(wrong, batch.target))
        again = batch.rows(torch.arange(batch.size).repeat(2))
        twice = float(loss(torch.cat([wrong, wrong]), again.target))
    except InputError:
        return math.nan
    if not (once * twice > 0 and math.isfinite(once * twice)):
        return math.nan
    return math.log2(twice / once)
