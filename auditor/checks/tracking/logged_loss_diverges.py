"""A logged loss that became NaN or infinite, or rose again and stayed up.

What it does
------------
Reads the log of training and tells whether a loss stopped being a number, and whether the training
loss lost again what it had gained.

Why it matters
--------------
After a loss has become NaN or has run away, all that follows trains nothing, and the checkpoint
that is saved at the end is worth less than an earlier one.

How it is measured
------------------
By the log alone. A loss of training or validation that is NaN or infinite to the end of the log
fails; one that comes back warns. Of a validation loss that goes on as a number after the training
loss has ended in NaN the latter is taken for empty cells. Otherwise the level of the last tenth of
the training loss, or of its last ten readings or more where each is above all of a tenth before
them, is set against the lowest level of any tenth: what was lost again, as a share of what had been
gained since the first reading, at the lower bound of 99 % over all tenths together. A run that
gained less than a twentieth of the first reading has none to lose; it diverges where it rose from
there, by more than a quarter of itself and the scatter that one reading may be off. Errors grow
with the correlation of neighbouring readings. `non-finite-values` looks at the weights themselves.

When it misleads
----------------
A loss to which a term is added or turned up while training goes on rises by design; so does one
over ever harder examples. A spike that came back is none (see `logged-gradient-spikes`). A rising
validation loss alone is overfitting (see `logged-overfitting`).

What to do
----------
Take the checkpoint from before the rise. Then a lower rate, a warm-up, or clipped gradients; with
half precision, a loss scaler.

Source
------
Goodfellow, Bengio, Courville 2016, "Deep Learning", 8.2.4 (cliffs and exploding gradients) and
11.4.1 (the learning rate); Chowdhery et al. 2022, "PaLM", section 5.1 (loss spikes and restarts).
"""

import math
from dataclasses import dataclass

import numpy as np

from auditor.core import snippets
from auditor.core.advice import step
from auditor.core.check import Limits, Seen, check
from auditor.core.finding import Judgement, Limit, Metric, Place
from auditor.core.text import clean_text
from auditor.core.values import Array
from auditor.core.verdict import Verdict
from auditor.observations.log_course import (
    Gap,
    fallen,
    first_reading,
    level,
    noise_of,
    of_gain,
    reach,
    stays_above,
    too_few,
)
from auditor.observations.log_figures import NAMES, norm_figure, rate_figure, run_figure
from auditor.observations.training_log import LoggedSeries, TrainingLog, TrainingLogOf

LOG = TrainingLogOf()

NEEDED = 12
STRETCHES = 10
SMALLEST = 3
"""Readings of the shortest stretch whose level is taken."""
APART = 10
"""Readings at the end that, all above a tenth before them, are no chance: of 20 it is 1 in 10^5."""
GAIN = 0.05
"""Share of the first level that a gain counts for at least."""


@dataclass(frozen=True)
class Lost:
    """Readings of a loss that are no numbers: the first, how many, and whether to the end."""

    name: str
    at: float
    count: int
    readings: int
    for_good: bool


@check(
    title="The logged loss stayed finite and kept what it gained",
    failure_title="The logged loss diverges",
    needs=(LOG,),
    limits={
        "lost": Limit(
            warn=0.5,
            fail=1.0,
            source="share of what the training loss had gained: half of it lost again is more than "
            "noise or a change of schedule brings, and all of it is a run that would better not "
            "have been made",
        ),
    },
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge whether a loss is no number, or the training loss rose again and stayed up."""
    log = seen[LOG]
    lost = _lost(log)
    if lost is not None:
        return _not_finite(log, lost)
    series = log.named("train_loss")
    if series is None or len(series.finite.x) < NEEDED:
        return Judgement(Verdict.NOT_APPLICABLE, too_few(log, NEEDED, "train_loss"))
    known = series.finite
    x, y = np.asarray(known.x, float), np.asarray(known.values, float)
    length = max(SMALLEST, len(y) // STRETCHES)
    starts = range(0, len(y) - length + 1, length)
    begins = min(starts, key=lambda at: level(y[at : at + length]))
    lowest, last = y[begins : begins + length], _last(y, length)
    first = first_reading(y)
    noise, z = noise_of(y), reach(len(starts))
    rise = fallen(last, lowest, noise)
    floor = max(GAIN * abs(first), 1e-12)
    gain = first - level(lowest)
    at = float(x[begins + length // 2])
    if gain <= floor:
        at = float(x[0])
        rise = Gap(level(last) - first, rise.error) if stays_above(first, last) else Gap(0.0, 0.0)
    share, sure = (max(v, 0.0) / max(gain, floor) for v in (rise.value, rise.low(z)))
    verdict = limits["lost"].verdict(sure)
    metrics = (_metric(rise, max(gain, floor), limits["lost"]),)
    bottom = level(lowest)
    if verdict is Verdict.PASS:
        kept = (
            f"ends at {level(last):.4g}, having been at {bottom:.4g} at its lowest"
            if share > 0.05
            else f"ends at its lowest level, {level(last):.4g}"
        )
        return Judgement(
            Verdict.PASS,
            f"No logged loss is NaN or infinite, and that of training {kept}.",
            metrics,
            figures=run_figure(log),
        )
    said = f"The training loss came down to {bottom:.4g} at {log.at(at)} and ends at "
    if gain > floor:
        said += f"{level(last):.4g}: {of_gain(share)} is lost again."
    else:
        said = f"The training loss rose from {first:.4g} to {level(last):.4g} and stayed up."
    return Judgement(
        verdict,
        said,
        metrics,
        where=(Place("file", clean_text(log.source), f"rises from {log.at(at)} on"),),
        advice=_advice(log, at),
        figures=(
            *run_figure(log, [(f"lowest, {log.at(at)}", at)], [("risen", at, float(x[-1]))]),
            *rate_figure(log),
            *norm_figure(log),
        ),
    )


def _last(values: Array, length: int) -> Array:
    """Return the last readings: fewer than `length` where a run left its course just at the end."""
    for count in range(APART, length):
        if values[-count:].min() > values[-count - length : -count].max():
            return values[-count:]
    return values[-length:]


def _lost(log: TrainingLog) -> Lost | None:
    """Return the first of the losses whose readings are no numbers, one for good before others."""
    held = [one for name in NAMES if (one := log.named(name)) is not None]
    found = [lost for one in held if (lost := _lost_in(one, held)) is not None]
    return min(found, key=lambda lost: (not lost.for_good, lost.at), default=None)


def _lost_in(series: LoggedSeries, held: list[LoggedSeries]) -> Lost | None:
    bad = ~np.isfinite(np.asarray(series.values, float))
    if not bad.any():
        return None
    good = np.flatnonzero(~bad)
    after = int(good[-1]) + 1 if len(good) else 0
    for_good = after < len(bad)
    at = float(series.x[after] if for_good else series.x[np.argmax(bad)])
    if for_good and series.name == "train_loss" and np.isnan(series.values[after:]).all():
        others = (one.finite.x for one in held if one is not series)
        if any(len(x) and float(x[-1]) > at for x in others):
            return None  # empty cells of a table that was written with NaN for them
    return Lost(NAMES[series.name], at, int(bad.sum()), len(bad), for_good)


def _not_finite(log: TrainingLog, lost: Lost) -> Judgement:
    where = log.at(lost.at)
    if lost.for_good:
        said = f"The {lost.name} is NaN or infinite from {where} to the end of the log."
    else:
        said = (
            f"The {lost.name} was NaN or infinite at {lost.count:,} of {lost.readings:,} readings, "
            f"the first time at {where}, and came back."
        )
    return Judgement(
        Verdict.FAIL if lost.for_good else Verdict.WARN,
        said,
        metrics=(Metric("readings that are no numbers", lost.count, f"of {lost.readings:,}"),),
        where=(Place("file", clean_text(log.source), f"not finite from {where} on"),),
        advice=_advice(log, lost.at),
        figures=(
            *run_figure(log, [(f"no number, {where}", lost.at)]),
            *rate_figure(log),
            *norm_figure(log),
        ),
    )


def _advice(log: TrainingLog, at: float) -> tuple[str, ...]:
    rate = log.named("lr")
    lines = [f"Take a checkpoint from before {log.at(at)}: what was trained later is lost."]
    if rate is not None and len(rate.finite.values):
        then = float(np.interp(at, rate.finite.x, rate.finite.values))
        if then > 0:
            lower = snippets.digits(then / 10)
            lines.append(step(f"Train again at a tenth of the rate of then, {then:.2g}:",
                              snippets.rate_set(float(lower))))  # fmt: skip
    else:
        lines.append("Train again at a tenth of the rate, and log the rate as well.")
    lines.append(step("Clip the gradient, so that one batch can't undo it all:",
                      snippets.clipped("1.0")))  # fmt: skip
    return tuple(lines)


def _metric(rise: Gap, gain: float, limit: Limit) -> Metric:
    z = reach(1, 0.95)
    low, high = (bound / gain if math.isfinite(bound) else bound for bound in
                 (rise.low(z), rise.high(z)))  # fmt: skip
    return Metric("share of the gain lost again", rise.value / gain, "", low, high, limit)
