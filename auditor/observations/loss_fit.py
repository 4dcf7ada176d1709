"""What outputs are, read off their numbers, and how a loss may contradict them."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from auditor.core.values import Array
from auditor.observations.loss_probe import SIGMOID, SOFTMAX, LossProbe
from auditor.observations.loss_task import SUMS_TO_ONE, Task, task_of

LOG_SUM = 0.05
"""How far from 0 the logarithm of the sum of a row's exponentials may be, for log-probabilities."""

AT_BOUND = 1e-3
"""Distance from a bound, as a share of what lies between the bounds, that counts as being there."""

HELD = 0.05
"""Share of a blown-up copy's outputs that stand at a bound which holds them. Of free outputs, no
two are alike."""

COLUMNS = 64
"""Outputs up to which each is asked for bounds of its own."""

CLASS_LOSSES = ("cross_entropy", "nll_loss", "kl_div", SOFTMAX)
LABEL_LOSSES = ("binary_cross_entropy", "binary_cross_entropy_with_logits", SIGMOID)
NUMBER_LOSSES = ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")

Form = Literal["probabilities", "log-probabilities", "one", "nought", "free"]


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
class Cure:
    """What may be tried on a copy: which loss, of what is made of the outputs.

    `bare` outputs are those without the activation that ends the model.
    """

    outputs: Literal["as they are", "log", "logit", "atanh", "log_softmax", "bare"]
    loss: Literal["own", "mean", "paired", "bce_logits", "cross_entropy"] = "own"


@dataclass(frozen=True)
class Misfit:
    """One way in which loss, outputs and targets do not go together."""

    kind: str
    severe: bool
    evidence: str
    advice: str
    place: str
    note: str
    cure: Cure | None = None


def form_of(outputs: Array, shaken: Array) -> Form:
    """Return what the outputs are, as far as each row for itself shows."""
    tables = [np.asarray(t, float) for t in (outputs, shaken) if np.asarray(t).size]
    if not tables or len(tables[0]) < 2:
        return "free"
    tables = [t[np.isfinite(t).all(axis=1)] for t in tables]
    if not len(tables[0]):
        return "free"
    if tables[0].shape[1] == 1:
        if len(tables) > 1 and all((np.abs(t) < 1e-6).all() for t in tables):
            return "nought"
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
    """Return the bounds that hold all outputs.

    A bound is proven where copies blown up by two factors or more pile up at the same value, none
    goes beyond it, and the outputs themselves do not either. Copies whose outputs do not vary
    tell nothing and are left out.
    """
    return _held(_draws(probe), np.asarray(outputs, float))


def reaches_of(probe: LossProbe, outputs: Array) -> tuple[Reach, ...]:
    """Return the bounds that hold each output for itself."""
    draws, table = _draws(probe), np.asarray(outputs, float)
    return tuple(
        _held([(by, rows[:, [column]]) for by, rows in draws], table[:, column])
        for column in range(table.shape[1])
    )


def _draws(probe: LossProbe) -> list[tuple[float, Array]]:
    """Return, for each blown-up copy, by what factor it was, and its finite rows."""
    shaken, numbers = np.asarray(probe.shaken, float), np.asarray(probe.shaken_draw)
    if not shaken.size:
        return []
    draws = []
    for number in np.unique(numbers):
        table = shaken[numbers == number]
        factor = float(np.asarray(probe.shaken_by)[numbers == number][0])
        draws.append((factor, table[np.isfinite(table).all(axis=1)]))
    return draws


def _held(draws: list[tuple[float, Array]], outputs: Array) -> Reach:
    values = outputs[np.isfinite(outputs)]
    told = [(by, t.ravel()) for by, t in draws if len(t) > 1 and np.ptp(t, axis=0).max() > 0]
    if len(told) < 3 or len({factor for factor, _ in told}) < 2 or not values.size:
        return Reach()
    pooled = np.concatenate([table for _, table in told])
    span = max(float(np.ptp(pooled)), 1e-12)
    found = []
    for bound, sign in ((float(pooled.min()), 1.0), (float(pooled.max()), -1.0)):
        near = AT_BOUND * min(span, max(abs(bound), 1.0))
        held = {f for f, table in told if (sign * (table - bound) <= near).mean() >= HELD}
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
    reaches: tuple[Reach, ...] = ()
    """Of each output for itself, where they are few and the loss is one of numbers."""

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
    several = outputs.ndim == targets.ndim == 2 and 1 < outputs.shape[1] <= COLUMNS
    numbers = several and set(probe.acts_like) & {*NUMBER_LOSSES}
    return Rows(
        outputs,
        targets,
        task_of(targets, classes),
        form_of(outputs, probe.shaken),
        reach_of(probe, outputs),
        reaches_of(probe, outputs) if numbers else (),
    )
