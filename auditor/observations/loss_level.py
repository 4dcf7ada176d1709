"""The loss of a model beside that of answers which do not look at the input."""

from dataclasses import dataclass, field

import numpy as np

from auditor.core.values import Array
from auditor.observations.predictions import Predictions
from auditor.observations.probabilities import (
    Agreement,
    Probabilities,
    agreement,
    blocks,
    draws_of,
    read,
)

REFITTED = 20
"""Rows a class from which on a constant is refitted to each draw, so that no constant gains in any;
with fewer their frequencies are chance, and each row's constant is fitted to the other rows alone
(with half a row for every class, Krichevsky & Trofimov 1981)."""

WIDEST = 64
"""Outputs of a regression whose mean is refitted to each draw."""

HUBER = ("smooth_l1_loss", "huber_loss")

ERRORS = {"mse_loss": "squared error", "l1_loss": "absolute error"} | dict.fromkeys(
    HUBER, "Huber error"
)


@dataclass(frozen=True)
class Level:
    """The loss of each row, recomputed from outputs and targets, and that of the best constant.

    `unit` names it. `own` and `constant` are [rows]: the model, and the constant that suits these
    rows best. `weight` and `balanced` [rows] hold, where there are classes, what makes a mean over
    rows one over classes, and what a constant then pays; `keys` number class and label. `agrees`
    tells how the subject's loss comes from `own`; `stated` is there where outputs are
    probabilities, and `sure` tells whether there is no doubt that this is what they are for.
    `values` [rows, width] are the targets of a squared error, if few enough to refit their mean.
    `among` [rows] is what the model pays once it is told, as a constant of the frequencies is,
    which classes occur; empty where all do, or where the constant knows no more than the model.
    """

    unit: str
    own: Array
    constant: Array
    weight: Array
    balanced: Array
    keys: Array
    example: Array
    agrees: Agreement
    sure: bool
    values: Array
    stated: Probabilities | None = None
    among: Array = field(default_factory=lambda: np.zeros(0))


@dataclass(frozen=True)
class Drawn:
    """Bootstrapped over whole examples, [draws]: what the model saves of a constant's loss.

    `gain` is 1 - loss / loss of the best constant, `balanced` the same with every class counting
    alike, `among` that of a model which is told which classes occur. `excess` is the cross-entropy
    in units of the one that an answer as often right would have if it were equally sure of all its
    answers; empty where there are no classes.
    """

    loss: Array
    gain: Array
    balanced: Array
    excess: Array
    among: Array


def level(seen: Predictions) -> Level | str:
    """Return the recomputed loss, or why it can't be recomputed, as the end of a sentence."""
    if seen.kind == "numbers":
        return _of_numbers(seen)
    stated = read(seen, as_loss=True)
    if isinstance(stated, str):
        return stated
    truth, label = (
        np.asarray(v, np.int64) for v in (stated.decisions.truth, stated.decisions.label)
    )
    keys = label * stated.logs.shape[1] + truth
    present, place, counts = np.unique(keys, return_inverse=True, return_counts=True)
    of_label = present // stated.logs.shape[1]
    rows_of = np.bincount(of_label, counts)[of_label]
    kinds_of = np.bincount(of_label)[of_label]
    share, even = counts / rows_of, kinds_of
    among = np.zeros(0)
    if REFITTED * len(present) > len(keys):
        classes = stated.logs.shape[1]
        share = (counts - 0.5) / (rows_of - 1 + 0.5 * classes)
        even = np.full(len(present), classes)
    elif len(present) < len(np.unique(label)) * stated.logs.shape[1]:
        among = _among(stated, label, present)
    return Level(
        unit="cross-entropy",
        own=stated.surprise,
        constant=-np.log(share)[place],
        weight=(rows_of / (kinds_of * counts))[place],
        balanced=np.log(even)[place],
        keys=keys,
        example=stated.decisions.example,
        agrees=stated.agrees,
        sure=stated.sure,
        values=np.zeros(0),
        stated=stated,
        among=among,
    )


def _among(stated: Probabilities, label: Array, present: Array) -> Array:
    """Return the cost of each row with the probability of classes that never occur given back.

    -ln(p(truth) / sum of p over the classes that occur), by the label that a row is of.
    """
    classes = stated.logs.shape[1]
    occurs = np.zeros((int(label.max()) + 1, classes), bool)
    occurs[present // classes, present % classes] = True
    kept = np.where(occurs[label], stated.logs, -np.inf)
    mass = np.logaddexp.reduce(kept, axis=1)
    return np.asarray(stated.surprise + np.where(np.isfinite(mass), np.minimum(mass, 0), 0))


def _of_numbers(seen: Predictions) -> Level | str:
    outputs, targets = np.asarray(seen.outputs, float), np.asarray(seen.targets, float)
    for name, unit in ERRORS.items():
        if seen.loss not in ("", name):
            continue
        own = _errors(name, outputs - targets).mean(axis=1)
        agrees = agreement(seen, own)
        if agrees or seen.loss == name:
            candidates = targets.mean(axis=0), np.median(targets, axis=0)
            constants = [_errors(name, targets - centre).mean(axis=1) for centre in candidates]
            best = min(constants, key=lambda constant: float(constant.sum()))
            none = np.zeros(0)
            kept = targets if name == "mse_loss" and targets.shape[1] <= WIDEST else none
            example = np.asarray(seen.example)
            return Level(unit, own, best, none, none, none, example, agrees, True, kept)
    named = f"`{seen.loss}`" if seen.loss else "the loss, one of your own,"
    return f"{named} is none of squared, absolute and Huber error, so a constant's is not known"


def _errors(name: str, difference: Array) -> Array:
    if name == "mse_loss":
        return np.square(difference)
    size = np.abs(difference)
    if name == "l1_loss":
        return size
    return np.where(size < 1, 0.5 * np.square(size), size - 0.5)


def drawn(found: Level, rng: np.random.Generator) -> Drawn:
    """Return the bootstrap of a level's comparisons, the plain estimates first."""
    block = blocks(found.example, rng)
    drawing = draws_of(int(block.max()) + 1, rng)

    def totals(*columns: Array) -> Array:
        """Return the sums of columns of rows over each draw, [draws, columns]."""
        return drawing @ np.stack([np.bincount(block, column) for column in columns], axis=1)

    own, constant, rows = totals(found.own, found.constant, np.ones(len(found.own))).T
    none = np.zeros(0)
    if found.stated is None:
        if found.values.size:
            first = totals(*found.values.T)
            square = totals(np.square(found.values).sum(axis=1))[:, 0]
            spread = square - np.square(first).sum(axis=1) / rows
            constant = spread / found.values.shape[1]
        return Drawn(own / rows, _gain(own, constant), none, none, none)
    top = found.stated.logs.argmax(axis=1)
    right = np.asarray(top == found.stated.decisions.truth, float)
    accuracy = (totals(right)[:, 0] + 0.5) / (rows + 1)
    even, even_constant = totals(found.weight * found.own, found.weight * found.balanced).T
    kinds, place = np.unique(found.keys, return_inverse=True)
    if REFITTED * len(kinds) <= len(found.keys):
        held, paid = (
            drawing @ _cells(block, place, len(kinds), values)
            for values in (np.ones(len(place)), found.own)
        )
        _, first = np.unique(kinds // found.stated.logs.shape[1], return_index=True)
        label = np.add.reduceat(held, first, axis=1)
        seen = np.add.reduceat(held > 0, first, axis=1, dtype=int)
        constant = _n_log_n(label).sum(axis=1) - _n_log_n(held).sum(axis=1)
        even_constant = (label * np.log(np.maximum(seen, 1))).sum(axis=1)
        each = np.add.reduceat(paid / np.maximum(held, 1), first, axis=1)
        even = (label * each / np.maximum(seen, 1)).sum(axis=1)
    allowed = equally_sure(accuracy, found.stated.logs.shape[1])
    loss = own / rows
    among = _gain(totals(found.among)[:, 0], constant) if found.among.size else none
    return Drawn(loss, _gain(own, constant), _gain(even, even_constant), loss / allowed, among)


def _gain(loss: Array, constant: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(1 - loss / constant)


def _cells(block: Array, place: Array, kinds: int, values: Array) -> Array:
    """Return the sums of values of rows, [blocks, kinds]."""
    blocks_held = int(block.max()) + 1
    sums = np.bincount(block * kinds + place, values, blocks_held * kinds)
    return np.asarray(sums.reshape(-1, kinds))


def _n_log_n(counts: Array) -> Array:
    return np.asarray(counts * np.log(np.maximum(counts, 1)))


def equally_sure(accuracy: Array, classes: int) -> Array:
    """Return the cross-entropy of answers that are all given the probability that they are right.

    H(a) + (1 - a) ln(C - 1): the rest is spread evenly over the other classes.
    """
    miss = 1 - accuracy
    return np.asarray(
        -accuracy * np.log(accuracy) - miss * np.log(miss) + miss * np.log(max(classes - 1, 1))
    )
