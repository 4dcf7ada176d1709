"""Figures of trials of learning rates: the range test, and the race."""

import math

import numpy as np

from auditor.core.figure import Figure, Lines, Series, Table
from auditor.core.values import Array
from auditor.observations.rate_trials import Arm, RateTrials
from auditor.observations.rate_verdicts import Rates

STARTS = {"fresh": "fresh weights", "checkpoint": "the checkpoint"}
CEILING = 3.0
"""Times the loss before any step above which curves leave the plot."""


def range_figure(answers: list[RateTrials], rates: Rates, marks: dict[str, float]) -> Lines:
    """Return the range tests, with some rates marked by upright lines."""
    series = []
    for answer in answers:
        found = answer.range
        top = CEILING * max(float(np.mean(found.before)), 1e-12)
        curve = np.minimum(found.smooth, top)
        low, high = _band(np.asarray(found.losses, float), top)
        series.append(
            Series(f"from {STARTS[answer.start]}", _plain(found.rates), _plain(curve), low, high)
        )
    values = [y for one in series for y in one.y if math.isfinite(y)]
    bottom, top = (min(values), max(values)) if values else (0.0, 1.0)
    named = {**marks}
    if rates.known:
        named |= {"recommended, from": rates.low, "recommended, to": rates.high}
    for name, rate in named.items():
        if rate > 0 and math.isfinite(rate):
            series.append(Series(f"{name} {rate:.2g}", (rate, rate), (bottom, top)))
    return Lines(
        title="Range test",
        caption="Loss after a step at each rate while the rate grows; mean over runs and three "
        "neighbours, with the span of the runs, cut off at three times the first loss. Good rates "
        "lie where it falls, below its minimum.",
        x_label="learning rate",
        y_label="loss",
        series=tuple(series),
        x_log=True,
        y_log=bottom > 0 and top > 20 * bottom,
    )


def race_figures(answers: list[RateTrials]) -> tuple[Figure, ...]:
    """Return the curves of each race and one table of how they ended."""
    plots: list[Figure] = []
    rows = []
    for answer in answers:
        if not answer.arms:
            continue
        plots.append(
            Lines(
                title=f"Race from {STARTS[answer.start]}",
                caption="Loss of each batch before its step, the same batches for all; the band "
                "spans the runs.",
                x_label="step",
                y_label="loss",
                series=tuple(_raced(arm, answer) for arm in answer.arms),
            )
        )
        for arm in answer.arms:
            gain = answer.gain(arm)
            rows.append(
                (
                    STARTS[answer.start],
                    name_of(arm),
                    arm.rate,
                    answer.level,
                    float(np.mean(arm.probes)),
                    *((gain.low, gain.high) if gain is not None else (math.nan, math.nan)),
                )
            )
    if rows:
        plots.append(
            Table(
                title="How the copies ended",
                caption="Mean loss of training batches that were not trained on, dropout off, and "
                "the fall with its 95 % interval.",
                columns=("from", "copies at", "rate", "before", "after", "fall, low", "fall, high"),
                rows=tuple(rows),
            )
        )
    return tuple(plots)


def name_of(arm: Arm) -> str:
    """Return what copies were trained at, for people."""
    return {
        "declared": "the declared rate",
        "recommended": "the recommended rate",
        "tenth": "a tenth of the rate",
        "ramp": "a ramp to the rate",
    }[arm.kind]


def _raced(arm: Arm, answer: RateTrials) -> Series:
    table = np.asarray(arm.losses, float)
    top = CEILING * max(abs(answer.level), 1e-12)
    mean = np.minimum(np.where(np.isfinite(table), table, np.inf).mean(axis=0), top)
    low, high = _band(table, top)
    return Series(
        f"{name_of(arm)}, {arm.rate:.2g}", _plain(np.arange(mean.size)), _plain(mean), low, high
    )


def _band(table: Array, top: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if len(table) < 2:
        return (), ()
    held = np.minimum(np.where(np.isfinite(table), table, np.inf), top)
    return _plain(held.min(axis=0)), _plain(held.max(axis=0))


def _plain(values: Array) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
