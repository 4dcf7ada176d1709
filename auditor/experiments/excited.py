"""Units of the last hidden layer that tell examples apart, and the examples that excite them."""

import numpy as np
import torch

from auditor.core.values import Array
from auditor.experiments.examples import by_turns
from auditor.experiments.explained import Explained
from auditor.intake.subject import Subject
from auditor.observations.activation_pictures import EXCITED, ExcitedUnit

FEWEST_OF_A_CLASS = 3


def excited_units(
    subject: Subject,
    what: Explained | None,
    parts: list[torch.Tensor],
    places: list[torch.Tensor],
) -> tuple[tuple[ExcitedUnit, ...], list[int]]:
    """Return the most selective units with their most exciting examples, and these examples.

    A unit is selective by how many of its standard deviations lie between the mean of the class
    that it prefers and the mean of the rest; without classes, between its largest value and its
    mean. The units of different classes take turns.
    """
    if not parts or len({part.shape[1] for part in parts}) > 1:
        return (), []
    values = torch.cat(parts).double().cpu().numpy()
    where = torch.cat(places).cpu().numpy()
    spread = values.std(axis=0)
    if len(values) < EXCITED or not np.isfinite(values).all() or not (spread > 0).any():
        return (), []
    labels = _labels(subject, what, len(values))
    apart, prefers = _selective(values, spread, labels)
    order = [int(unit) for unit in np.argsort(-apart, kind="stable") if spread[unit] > 0]
    units = by_turns(prefers, order, EXCITED)
    made, numbers = [], dict[int, int]()
    for unit in units:
        top = [int(row) for row in np.argsort(-values[:, unit], kind="stable")[:EXCITED]]
        made.append(
            ExcitedUnit(
                unit,
                prefers[unit],
                float(apart[unit]),
                tuple(numbers.setdefault(row, len(numbers)) for row in top),
                tuple(float(values[row, unit]) for row in top),
                tuple(int(where[row, unit]) for row in top),
            )
        )
    return tuple(made), list(numbers)


def _labels(subject: Subject, what: Explained | None, count: int) -> list[str]:
    """Return the class of each example; empty where there are none, or too many for so few."""
    if what is None or subject.facts.task not in ("multiclass", "binary"):
        return []
    labels = list(what.truths if len(what.truths) == count else what.names)
    common = [one for one in set(labels) if labels.count(one) >= FEWEST_OF_A_CLASS]
    return labels if len(labels) == count and len(common) > 1 else []


def _selective(values: Array, spread: Array, labels: list[str]) -> tuple[Array, list[str]]:
    safe = np.where(spread > 0, spread, 1.0)
    if not labels:
        return (values.max(axis=0) - values.mean(axis=0)) / safe, [""] * values.shape[1]
    best = np.full(values.shape[1], -np.inf)
    prefers = [""] * values.shape[1]
    own = np.asarray(labels)
    for label in sorted(set(labels)):
        rows = own == label
        if rows.sum() < FEWEST_OF_A_CLASS or rows.all():
            continue
        apart = (values[rows].mean(axis=0) - values[~rows].mean(axis=0)) / safe
        for unit in np.flatnonzero(apart > best):
            best[unit], prefers[int(unit)] = apart[unit], label
    return best, prefers
