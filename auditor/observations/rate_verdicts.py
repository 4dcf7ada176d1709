"""What trials of learning rates come to: one interval, and what harm the declared rate does."""

import math
from dataclasses import dataclass

from auditor.observations.curvature import Curvature
from auditor.observations.rate_trials import Arm, Gain, RateTrials
from auditor.observations.schedule import Schedule

FAR = 10.0
"""Times below the interval from which on a rate is far too small."""
BELOW_EDGE, WIDTH = 3.0, 33.0
"""The interval ends at a third of the edge, and is a decade and a half wide."""
TRIED = 10.0
"""Times below the edge at which the rate lies that is tried: fastai's advice."""
OF_LEVEL = 0.1
"""Share of its loss that a checkpoint has to gain for the gain to matter."""
OF_START = 0.02
"""Share of the loss of fresh weights that it has to gain: healthy models of fifteen kinds gain up
to 0.012 at a tenth of a rate that they were trained well with."""
LEARNT = 0.9
"""Share of the loss of fresh weights above which a checkpoint has learnt next to nothing."""
FASTER = 5.0
"""Times by which the recommended rate has to lower a loss faster than one that is too low."""
ALONE = 0.25
"""Share of its loss that it has to gain where that of fresh weights is not known."""


@dataclass(frozen=True)
class Rates:
    """The recommended interval, the rate within it that is tried, and the edge; NaN if not known.

    `start` tells what they are for: training from fresh weights, or going on from the checkpoint.
    """

    low: float
    best: float
    high: float
    edge: float
    start: str

    @property
    def known(self) -> bool:
        """Tell whether there is an interval."""
        return math.isfinite(self.low)


def rates_of(fresh: RateTrials | None, trained: RateTrials | None) -> Rates:
    """Return the one interval that is recommended: from fresh weights where there are such.

    Its upper end is a third of the rate at which the loss of a range test is least (Smith 2017
    takes the range up to there for a rate that cycles; fastai a tenth for one that does not).
    """
    source = fresh if fresh is not None else trained
    if source is None or not source.range.falls:
        edge = source.range.edge if source is not None else math.nan
        return Rates(math.nan, math.nan, math.nan, edge, source.start if source else "")
    edge = source.range.edge
    high = edge / BELOW_EDGE
    return Rates(high / WIDTH, edge / TRIED, high, edge, source.start)


def material(gain: Gain | None, trained: RateTrials, fresh: RateTrials | None) -> bool:
    """Tell whether a checkpoint surely gains so much that it matters."""
    if gain is None or not gain.sure:
        return False
    share = gain.value / abs(trained.level) if trained.level else 0.0
    if fresh is None or not math.isfinite(fresh.level):
        return share > ALONE
    return share > OF_LEVEL and gain.value > OF_START * abs(fresh.level)


def starved(trained: RateTrials, fresh: RateTrials | None) -> Gain | None:
    """Return what the recommended rate gains over a far lower one at a checkpoint, if it matters.

    It has to gain 2 % of what fresh weights lose in those few steps, and five times what the
    declared rate gains. A checkpoint that is good has no such sum left to gain.
    """
    usual, other = trained.arm("declared"), trained.arm("recommended")
    if usual is None or other is None:
        return None
    over, own = trained.gain(other, usual), trained.gain(usual)
    level = abs(fresh.level) if fresh is not None else 2 * abs(trained.level)
    if over is None or own is None or not over.sure:
        return None
    return over if over.value > max(OF_START * level, (FASTER - 1) * own.value) else None


@dataclass(frozen=True)
class Floor:
    """A loss that `rate` keeps up, and that falls by `gain` at a tenth of it."""

    rate: float
    gain: Gain
    level: float
    steps: int


def floor_of(trained: RateTrials | None, fresh: RateTrials | None) -> Floor | None:
    """Return the floor that the rate's own noise holds the loss at, None where none is shown.

    Copies that go on at a tenth of the rate have to end surely and materially below the checkpoint
    and below those at the rate itself. Where these fall as well, it has to be by less than that.
    """
    if trained is None or (fresh is not None and trained.level > LEARNT * fresh.level):
        return None
    usual, tenth = trained.arm("declared"), trained.arm("tenth")
    if usual is None or tenth is None:
        return None
    gain, held = trained.gain(tenth), trained.gain(usual)
    over = trained.gain(tenth, usual)
    if gain is None or held is None or over is None:
        return None
    if not material(gain, trained, fresh) or not material(over, trained, fresh):
        return None
    if held.sure and held.value >= over.value:
        return None
    return Floor(usual.rate, gain, trained.level, trained.steps)


def lost_or_worse(trials: RateTrials, arm: Arm) -> bool:
    """Tell whether copies surely end above where they began, or lose their loss."""
    if arm.lost:
        return True
    gain = trials.gain(arm)
    return gain is not None and gain.loss


def outdone(fresh: RateTrials, trained: RateTrials | None, rates: Rates) -> bool:
    """Tell whether a race contradicts the range test about a declared rate near its edge.

    Fresh models then surely end lower at it than at the rate that is recommended, and the
    checkpoint has nothing of note to gain at a tenth of it: that copies do worse there is the shock
    of beginning anew.
    """
    usual, other = fresh.arm("declared"), fresh.arm("recommended")
    tenth = trained.arm("tenth") if trained is not None else None
    if usual is None or other is None or fresh.declared > BELOW_EDGE * rates.edge:
        return False
    over = fresh.gain(usual, other)
    if over is None or not over.sure:
        return False
    if trained is None or tenth is None:
        return True
    return not material(trained.gain(tenth), trained, fresh)


def bounds_of(curvature: Curvature | None, momentum: float) -> tuple[float, float]:
    """Return 2/λ and (2 + 2β)/λ, the rates from which gradient descent leaves a minimum.

    λ is the largest eigenvalue of the Hessian, β the momentum (Polyak 1964; Goh 2017). NaN where
    it is not known or not positive.
    """
    largest = curvature.largest if curvature is not None else math.nan
    if not largest > 0 or math.isinf(largest):
        return math.nan, math.nan
    return 2 / largest, (2 + 2 * momentum) / largest


def warms_up(schedule: Schedule | None) -> bool:
    """Tell whether a schedule begins with a smaller rate than it comes to."""
    if schedule is None:
        return False
    course = schedule.course
    if course.size > 1 and course[0] < 0.5 * course.max():
        return True
    name = schedule.name.lower()
    words = ("warm", "onecycle")
    told = any(word in name for word in words) and "restart" not in name
    return told or any("warmup" in key.lower() and bool(v) for key, v in schedule.values.items())


def decays(schedule: Schedule | None) -> bool:
    """Tell whether a schedule is known by which the rate came down."""
    if schedule is None or schedule.name in ("", "none"):
        share = schedule.share if schedule is not None else math.nan
        return share < 0.5
    return not schedule.share >= 0.5 and schedule.taken != 0
