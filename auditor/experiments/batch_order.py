"""How targets are dealt to the batches of training: measured on targets alone, no model is run."""

from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from torch.nn import functional
from torch.utils.data import BatchSampler, IterableDataset, SequentialSampler

from auditor.core.values import Array
from auditor.experiments.shared_examples import bearable
from auditor.intake.batches import Batch, tensors_in
from auditor.intake.losses import CLASS_TASKS, gives_shares
from auditor.intake.seeding import derived_seed
from auditor.intake.subject import Subject
from auditor.observations.batch_order import SURE, BatchOrder, BatchOrderOver, unordered

COLUMNS = 64
"""Numbers that each example's target is told by, at most."""

SMALLEST = 16
"""Examples of a batch from which on its mean says something; smaller ones are taken together."""

SHUFFLES = 499
"""Random orders that the real one is compared with."""

SHUFFLED_VALUES = 150_000_000
"""Numbers that all of them may move together: about a second."""

Kind = Literal["classes", "shares", "labels", "numbers"]


def batch_order(request: BatchOrderOver, subject: Subject) -> BatchOrder:
    """Return how far the targets of one pass differ from batch to batch."""
    data = subject.data["train"]
    facts = subject.facts.data["train"]
    most = bearable(subject, "train", request.batches)
    found = [target_rows(batch, subject) for batch in data.first(most)]
    kept = [one for one in found if one is not None]
    if len(kept) < len(found) or not kept:
        return unordered("The targets have no row for each example.")
    kinds, shapes = ({one[0] for one in kept}, {one[1].shape[1:] for one in kept})
    if len(shapes) > 1 or (not kinds <= {"classes", "shares"} and len(kinds) > 1):
        return unordered("The targets of some batches are of another kind than those of others.")
    kind: Kind = "shares" if kinds == {"classes", "shares"} else kept[0][0]
    table = np.concatenate([rows for _, rows, _ in kept])
    largest = max(number for *_, number in kept)
    whole = facts.complete and most >= facts.batches
    sizes = _together([len(rows) for _, rows, _ in kept])
    if len(sizes) < 2:
        return unordered("All that was read fits in one batch, which has no order.", len(table))
    if not np.isfinite(table).all():
        return unordered("Some targets are not finite.", len(table))
    varied = np.ptp(table, axis=0) > 0
    if not varied.any():
        alone = largest if kind == "classes" else -1
        return unordered("All targets that were read are the same.", len(table), alone, whole)
    table = ranks(table[:, varied]) if kind == "numbers" else table[:, varied]
    again = [target_rows(batch, subject) for batch in replace(data, seed=data.seed + 1).first(most)]
    starts = np.cumsum([0, *sizes[:-1]])
    rng = np.random.default_rng(derived_seed(subject.seed, request.key))
    times = max(100, min(SHUFFLES, SHUFFLED_VALUES // table.size))
    shuffled = [_between(rng.permutation(table), starts) for _ in range(times)]
    several = kind in ("classes", "shares") and largest >= COLUMNS
    return BatchOrder(
        between=_between(table, starts),
        chance=float(np.quantile(shuffled, SURE, method="higher")),
        means=np.add.reduceat(table, starts) / np.asarray(sizes)[:, None],
        labels=np.full(table.shape[1], -1) if several else np.flatnonzero(varied),
        per_batch=len(table) / len(sizes),
        examples=len(table),
        kind=kind,
        whole=whole,
        repeated=len(again) == len(kept)
        and all(
            two is not None and one[1].shape == two[1].shape and np.array_equal(one[1], two[1])
            for one, two in zip(kept, again, strict=True)
        ),
        in_order=_in_order(data.loader),
    )


def target_rows(batch: Batch, subject: Subject) -> tuple[Kind, Array, int] | None:
    """Return the rows [examples, columns] of a batch's target, their kind and the largest class."""
    target = next(tensors_in(batch.target), None)
    axis = None if target is None else batch.axis(target)
    if target is None or axis is None or target.is_complex():
        return None
    values = target.detach().cpu().movedim(axis, 0)
    task = subject.facts.task
    named = task in CLASS_TASKS or task == "binary"
    if gives_shares(values) and named:
        means = values.double().flatten(2).mean(2) if values.ndim > 2 else values.double()
        return "shares", _narrowed(means).numpy(), values.shape[1] - 1
    whole = not values.is_floating_point() or (named and bool((values == values.round()).all()))
    if task == "multilabel":
        labels = values.double().reshape(*values.shape[:2], -1).mean(2) if values.ndim > 1 else None
        rows = values.double()[:, None] if labels is None else labels
        return "labels", _narrowed(rows).numpy(), 0
    if task != "regression" and whole:
        return _classes(values.reshape(len(values), -1).long())
    return "numbers", _narrowed(values.double().reshape(len(values), -1)).numpy(), 0


def _classes(values: torch.Tensor) -> tuple[Kind, Array, int]:
    """Return the share of each class, of those that are no label left out, in each row."""
    rows = torch.zeros(len(values), COLUMNS, dtype=torch.float64)
    counts = (values >= 0).double()
    rows.scatter_add_(1, values.remainder(COLUMNS), counts)
    rows /= counts.sum(1, keepdim=True).clamp_min(1)
    kind: Kind = "classes" if values.shape[1] == 1 else "shares"
    return kind, rows.numpy(), int(values.max()) if values.numel() else 0


def _narrowed(rows: torch.Tensor) -> torch.Tensor:
    """Return rows of at most `COLUMNS` columns, each the mean of neighbours."""
    if rows.shape[1] <= COLUMNS:
        return rows
    return functional.adaptive_avg_pool1d(rows[:, None], COLUMNS)[:, 0]


def ranks(table: Array) -> Array:
    """Return the ranks of each column from 0 to 1, ties alike, so that no outlier decides."""
    ranked = []
    for column in np.asarray(table, float).T:
        _, place, counts = np.unique(column, return_inverse=True, return_counts=True)
        middle = np.cumsum(counts) - (counts + 1) / 2
        ranked.append(middle[place] / max(1, len(column) - 1))
    return np.stack(ranked, axis=1)


def _together(sizes: list[int]) -> list[int]:
    """Return the sizes of batches, small ones taken together with those that follow."""
    made: list[int] = []
    filling = 0
    for size in sizes:
        filling += size
        if filling >= SMALLEST:
            made.append(filling)
            filling = 0
    if filling and made:
        made[-1] += filling
    return made


def _between(table: Array, starts: Array) -> float:
    """Return the share of the variance between batches, adjusted for chance."""
    total = float(((table - table.mean(axis=0)) ** 2).sum())
    sizes = np.diff([*starts, len(table)])
    sums = np.add.reduceat(table, starts)
    within = float((table**2).sum() - (sums**2 / sizes[:, None]).sum())
    count, batches = len(table), len(starts)
    return 1 - (within / (count - batches)) / (total / (count - 1))


def _in_order(loader: object) -> bool:
    """Tell whether a loader is one of torch that gives its data set from first to last."""
    ordinary = type(getattr(loader, "batch_sampler", None)) is BatchSampler
    dataset = getattr(loader, "dataset", None)
    sampler = getattr(loader, "sampler", None)
    return (
        ordinary and type(sampler) is SequentialSampler and not isinstance(dataset, IterableDataset)
    )
