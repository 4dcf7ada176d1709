"""What targets and outputs are, read off their numbers, and which losses they contradict."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from auditor.core.statistics import rule_of_three
from auditor.core.values import Array
from auditor.observations.loss_probe import LossProbe

CONFIDENCE = 0.99
"""Of what is called a misfit: a report holds some 25 checks."""

SUMS_TO_ONE = 5e-3
"""How far from 1 the sum of a row of probabilities may be: half precision, a thousand classes."""

LOG_SUM = 0.05
"""How far from 0 the logarithm of the sum of a row's exponentials may be, for log-probabilities."""

AT_BOUND = 1e-3
"""Distance from a bound, as a share of what lies between the bounds, that counts as being there."""

HELD = 0.05
"""Share of a blown-up copy's outputs that stand at a bound which holds them. Of free outputs, no
two are alike."""

MOST_CLASSES = 64
"""Distinct whole numbers up to which a single target may be a class index."""

CLASS_LOSSES = ("cross_entropy", "nll_loss", "kl_div")
NUMBER_LOSSES = ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")

Truth = Literal[
    "classes", "exclusive", "labels", "binary", "whole numbers", "shares", "numbers", "unknown"
]
Form = Literal["probabilities", "log-probabilities", "one", "free"]


@dataclass(frozen=True)
class Task:
    """What the targets are: `truth`, with how sure that is and why, in words."""

    truth: Truth
    sure: Literal["certain", "likely", "open"]
    words: str
    width: int = 0


@dataclass(frozen=True)
class Reach:
    """Bounds that hold the outputs whatever the weights; infinite where there is none."""

    low: float = -math.inf
    high: float = math.inf
    proven: bool = False

    @property
    def within_one(self) -> bool:
        """Tell whether these are the bounds of a sigmoid."""
        return abs(self.low) < 1e-3 and abs(self.high - 1) < 1e-3

    @property
    def words(self) -> str:
        """Return the bounds in words."""
        if math.isinf(self.high):
            return f"never below {self.low + 0.0:.3g}"
        if math.isinf(self.low):
            return f"never above {self.high + 0.0:.3g}"
        return f"never outside {self.low + 0.0:.3g} to {self.high + 0.0:.3g}"


@dataclass(frozen=True)
class Misfit:
    """One way in which loss, outputs and targets do not go together.

    `cure` names what may be tried on a copy (see `experiments.loss_cure`), empty for nothing.
    """

    kind: str
    severe: bool
    evidence: str
    advice: str
    place: str
    note: str
    cure: str = ""


def task_of(targets: Array, classes: bool) -> Task:
    """Return what the targets say the task is, from their numbers alone."""
    values = np.asarray(targets, float)
    rows = len(values)
    if not values.size or not np.isfinite(values).all():
        return Task("unknown", "open", "the targets can't be read")
    if classes:
        seen = len(np.unique(values))
        return Task("classes", "certain", f"each target is one whole number, {seen:,} of them seen")
    table = values.reshape(rows, -1)
    width = table.shape[1]
    if np.isin(table, (0.0, 1.0)).all():
        if width == 1:
            sure: Literal["certain", "open"] = "certain" if len(np.unique(table)) == 2 else "open"
            return Task("binary", sure, "every target is 0 or 1", 1)
        ones = table.sum(axis=1)
        if (ones == 1).all():
            bound = rule_of_three(rows)
            words = (
                f"each of {rows:,} rows holds exactly one 1, so fewer than {bound:.2g} of all rows "
                "can hold another number of them (at 95 %)"
            )
            return Task("exclusive", "certain" if rows >= 30 else "likely", words, width)
        several = float((ones > 1).mean())
        return Task("labels", "certain", f"{several:.0%} of the rows hold several 1s", width)
    if width > 1 and (table >= 0).all() and np.abs(table.sum(axis=1) - 1).max() <= SUMS_TO_ONE:
        return Task("shares", "certain", "each row of targets sums to one", width)
    distinct = np.unique(table)
    if width == 1 and np.array_equal(distinct, np.round(distinct)) and len(distinct) > 2:
        return _whole_numbers(table[:, 0], distinct)
    return Task("numbers", "certain", f"the targets take {len(distinct):,} values", width)


def _whole_numbers(values: Array, distinct: Array) -> Task:
    """Return whether whole numbers are likely classes: 0 to C - 1, none of them rare.

    Counts thin out towards their largest value and grades mostly start at 1; classes that were
    collected to be told apart do neither. That is likely, never certain.
    """
    count = len(distinct)
    if count > MOST_CLASSES or distinct[0] != 0 or distinct[-1] != count - 1:
        return Task("numbers", "certain", f"the targets take {count:,} whole values", 1)
    shares = np.bincount(values.astype(int)) / len(values)
    even = shares.min() >= 0.5 / count and len(values) >= 10 * count
    words = f"the targets are the whole numbers 0 to {count - 1}"
    if even:
        return Task("whole numbers", "likely", f"{words}, about equally often", 1)
    return Task("whole numbers", "open", words, 1)


def form_of(outputs: Array, shaken: Array) -> Form:
    """Return what the outputs are, as far as each row for itself shows."""
    tables = [np.asarray(t, float) for t in (outputs, shaken) if np.asarray(t).size]
    if not tables or len(tables[0]) < 2:
        return "free"
    tables = [t[np.isfinite(t).all(axis=1)] for t in tables]
    if not len(tables[0]):
        return "free"
    if tables[0].shape[1] == 1:
        return "one" if all((np.abs(t - 1) < 1e-6).all() for t in tables) else "free"
    if all(_sums_to_one(t) for t in tables):
        return "probabilities"
    # Only as they are: logarithms of a blown-up copy's probabilities overflow.
    return "log-probabilities" if (np.abs(log_sums(tables[0])) < LOG_SUM).all() else "free"


def _sums_to_one(table: Array) -> bool:
    return bool((table >= -1e-6).all() and (np.abs(table.sum(axis=1) - 1) <= SUMS_TO_ONE).all())


def log_sums(table: Array) -> Array:
    """Return the logarithm of the sum of each row's exponentials."""
    top = table.max(axis=1, keepdims=True)
    return np.asarray(np.log(np.exp(table - top).sum(axis=1)) + top[:, 0])


def reach_of(probe: LossProbe, outputs: Array) -> Reach:
    """Return the bounds that hold the outputs.

    A bound is proven where copies blown up by two factors or more pile up at the same value, none
    goes beyond it, and the outputs themselves do not either. Copies whose outputs do not vary
    tell nothing and are left out.
    """
    values = np.asarray(outputs, float)
    values = values[np.isfinite(values)]
    shaken = np.asarray(probe.shaken, float)
    if not shaken.size or not values.size:
        return Reach()
    draws = []
    for number in np.unique(probe.shaken_draw):
        mine = np.asarray(probe.shaken_draw) == number
        table = shaken[mine]
        table = table[np.isfinite(table).all(axis=1)]
        if len(table) > 1 and float(np.ptp(table, axis=0).max()) > 0:
            draws.append((float(np.asarray(probe.shaken_by)[mine][0]), table.ravel()))
    if len(draws) < 3 or len({factor for factor, _ in draws}) < 2:
        return Reach()
    pooled = np.concatenate([table for _, table in draws])
    span = max(float(np.ptp(pooled)), 1e-12)
    found = []
    for bound, sign in ((float(pooled.min()), 1.0), (float(pooled.max()), -1.0)):
        near = AT_BOUND * min(span, max(abs(bound), 1.0))
        held = {f for f, table in draws if (sign * (table - bound) <= near).mean() >= HELD}
        beyond = (sign * (values - bound) < -near).any()
        found.append(bound if len(held) > 1 and not beyond else -sign * math.inf)
    low, high = found
    return Reach(low, high, math.isfinite(low) or math.isfinite(high))


def unreachable(targets: Array, reach: Reach) -> Array:
    """Return, for each target, the square of how far beyond the bounds it lies, in variances."""
    values = np.asarray(targets, float).ravel()
    variance = float(values.var()) if values.size else 0.0
    short = np.maximum(0.0, np.maximum(values - reach.high, reach.low - values))
    return short**2 / variance if variance > 0 else short * 0


@dataclass(frozen=True)
class Rows:
    """What misfits are looked for in; outputs and targets as in `LossProbe`."""

    outputs: Array
    targets: Array
    task: Task
    form: Form
    reach: Reach

    @property
    def width(self) -> int:
        """Return the number of outputs of a row."""
        return int(self.outputs.shape[1]) if np.ndim(self.outputs) == 2 else 0


def rows_of(probe: LossProbe, outputs: Array | None = None, targets: Array | None = None) -> Rows:
    """Return the rows of a probe, or others of the same width in place of its own."""
    outputs = np.asarray(probe.outputs if outputs is None else outputs, float)
    targets = np.asarray(probe.targets if targets is None else targets, float)
    classes = probe.classes
    if classes and outputs.shape[1:] == (1,) and not set(probe.acts_like) & {*CLASS_LOSSES}:
        # Whole numbers beside a single output: no index of one class.
        classes, targets = False, targets.reshape(-1, 1)
    return Rows(
        outputs,
        targets,
        task_of(targets, classes),
        form_of(outputs, probe.shaken),
        reach_of(probe, outputs),
    )
