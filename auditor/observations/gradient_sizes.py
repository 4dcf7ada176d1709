"""Norms of the whole gradient, batch by batch, in the phases of training that were looked at."""

from dataclasses import dataclass

import numpy as np

from auditor.core.statistics import clopper_pearson
from auditor.core.text import counted
from auditor.core.values import Array
from auditor.observations.gradients import GradientNorms
from auditor.observations.updates import UpdateRatios

AROUND = 6
"""Steps before and after one that tell what is usual there."""

LEAST_AROUND = 2
"""Steps that there have to be on either side."""

ADAPTIVE = ("Adam", "AdamW", "Adamax", "NAdam", "RAdam", "SparseAdam", "Adagrad", "Adadelta",
            "RMSprop", "Rprop", "Adafactor", "Lion", "LAMB")  # fmt: skip
"""Optimizers whose steps do not grow with the gradient's scale."""


@dataclass(frozen=True)
class Phase:
    """2-norms of the whole gradient before clipping, [batches], with the losses there.

    `early` tells a run of the declared optimizer from fresh weights from batches at the weights of
    the checkpoint. Norms that are not finite are left out and counted in `lost`.
    """

    early: bool
    norms: Array
    losses: Array
    lost: int = 0

    @property
    def name(self) -> str:
        """Return where this is, for the middle of a sentence."""
        return "in a run from fresh weights" if self.early else "at the checkpoint"

    @property
    def what(self) -> str:
        """Return what each of the norms is of."""
        return "step" if self.early else "batch"

    @property
    def count(self) -> str:
        """Return how many norms there are: "24 steps"."""
        return counted(len(self.norms), self.what, "steps" if self.early else "batches")

    @property
    def median(self) -> float:
        """Return the median norm."""
        return float(np.median(self.norms))

    def clipped(self, norm: float) -> int:
        """Return how many of the norms are above `norm`."""
        return int((self.norms > norm).sum())

    def share(self, norm: float, confidence: float = 0.95) -> tuple[float, float, float]:
        """Return the share of norms above `norm` with Clopper and Pearson's interval."""
        count = len(self.norms)
        hit = self.clipped(norm)
        return (hit / count, *clopper_pearson(hit, count, confidence))


def in_words(times: float) -> str:
    """Return a factor with two digits, or in full from 10 on."""
    return f"{times:,.0f}" if times >= 10 else f"{times:.2g}"


def late_of(seen: GradientNorms) -> Phase | None:
    """Return the norms at the checkpoint; None where no batch gave a finite gradient but 0."""
    table = np.asarray(seen.parameter_norms, float)
    largest = np.fmax.reduce(table, axis=1, initial=np.finfo(float).tiny)[:, None]
    with np.errstate(invalid="ignore"):
        whole = (largest * np.sqrt(np.nansum((table / largest) ** 2, axis=1, keepdims=True)))[:, 0]
    whole[np.isinf(table).any(axis=1)] = np.inf
    return _phase(False, whole, np.asarray(seen.losses, float))


def early_of(seen: UpdateRatios | None) -> Phase | None:
    """Return the norms along a run from fresh weights; None where there are none."""
    if seen is None or not len(seen.gradient_norms):
        return None
    return _phase(True, np.asarray(seen.gradient_norms, float), np.asarray(seen.losses, float))


def _phase(early: bool, norms: Array, losses: Array) -> Phase | None:
    fine = np.isfinite(norms)
    if not (norms[fine] > 0).any():
        return None
    return Phase(early, norms[fine], losses[fine], int((~fine).sum()))


@dataclass(frozen=True)
class Outlier:
    """The largest gradient of a phase: `times` what is usual, at the batch numbered `place`.

    `before` and `after` are the median losses of the steps around it, NaN at a checkpoint.
    """

    phase: Phase
    place: int
    times: float
    before: float = float("nan")
    after: float = float("nan")

    @property
    def jumped(self) -> bool:
        """Tell whether the loss doubled over the step."""
        return self.after > 2 * self.before > 0


def leaps(early: Phase | None, late: Phase | None) -> list[Outlier]:
    """Return the largest gradient of each phase against what is usual, the worst first.

    In a run it is held against the medians of the steps before and after it, so that a trend is no
    leap. At the checkpoint it is held against the median there, or of the run where that is larger:
    near a minimum most gradients are tiny, and a batch that is merely harder stands out. Without a
    run it is divided by what the batch's loss explains.
    """
    found = []
    if early is not None:
        found += _in_run(early)
    if late is not None:
        place = int(late.norms.argmax())
        usual = max(late.median, early.median if early else 0.0, np.finfo(float).tiny)
        times = float(late.norms[place]) / usual
        if early is None:
            losses = np.abs(late.losses)
            middle = float(np.median(losses))
            harder = float(losses[place]) / middle if middle > 0 else np.inf
            times /= max(1.0, harder) if np.isfinite(harder) else times
        found.append(Outlier(late, place, times))
    return sorted(found, key=lambda one: -one.times)


def _in_run(early: Phase) -> list[Outlier]:
    norms, losses = early.norms, early.losses
    best: Outlier | None = None
    for place in range(LEAST_AROUND, len(norms) - LEAST_AROUND):
        before = slice(max(0, place - AROUND), place)
        after = slice(place + 1, place + 1 + AROUND)
        usual = max(float(np.median(norms[before])), float(np.median(norms[after])))
        times = float(norms[place]) / usual if usual > 0 else 0.0
        if best is None or times > best.times:
            sides = [float(np.median(losses[side])) for side in (before, after)]
            best = Outlier(early, place, times, *sides)
    return [best] if best is not None else []
