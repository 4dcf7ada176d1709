"""Figures of a run, as its log tells it."""

import math
from collections.abc import Iterable, Sequence

import numpy as np

from auditor.core.figure import Figure, Guide, Lines, Series, Stretch
from auditor.core.text import clean_text
from auditor.observations.training_log import LoggedSeries, TrainingLog

POINTS = 160
"""Stretches of a curve that the lowest and the highest reading are drawn of."""
WIDE = 30.0
"""Times from the lowest loss to the highest from which on its axis is logarithmic."""

Mark = tuple[str, float]
Region = tuple[str, float, float]

NAMES = {"train_loss": "training loss", "val_loss": "validation loss"}


def run_figure(
    log: TrainingLog, marks: Sequence[Mark] = (), regions: Sequence[Region] = ()
) -> tuple[Figure, ...]:
    """Return the course of the losses, with places marked and stretches shaded."""
    curves = [log.named(name) for name in NAMES]
    return _figure(
        log,
        [(NAMES[one.name], one) for one in curves if one is not None],
        "The run as it was logged",
        f"Losses in {clean_text(log.source, 80)}; of dense curves the lowest and the highest "
        f"reading of each stretch. {' '.join(log.notes[:4])}".strip(),
        "loss",
        marks,
        regions,
    )


def rate_figure(log: TrainingLog, regions: Sequence[Region] = ()) -> tuple[Figure, ...]:
    """Return the course of the learning rate."""
    rate = log.named("lr")
    curves = [("learning rate", rate)] if rate is not None else []
    caption = f"The learning rate in {clean_text(log.source, 80)}."
    return _figure(log, curves, "The learning rate as it was logged", caption, "rate", (), regions)


def norm_figure(
    log: TrainingLog, marks: Sequence[Mark] = (), guides: Sequence[Guide] = ()
) -> tuple[Figure, ...]:
    """Return the course of the gradient's norm."""
    norm = log.named("grad_norm")
    curves = [("gradient norm", norm)] if norm is not None else []
    caption = (
        f"The gradient's norm in {clean_text(log.source, 80)}; of a dense curve the lowest and the "
        "highest reading of each stretch."
    )
    title = "The gradient's norm as it was logged"
    return _figure(log, curves, title, caption, "norm", marks, (), guides)


def _figure(
    log: TrainingLog,
    curves: list[tuple[str, LoggedSeries]],
    title: str,
    caption: str,
    label: str,
    marks: Iterable[Mark],
    regions: Iterable[Region],
    guides: Sequence[Guide] = (),
) -> tuple[Figure, ...]:
    curves = [(name, one) for name, one in curves if len(one.finite.x) > 1]
    if not curves:
        return ()
    known = np.concatenate([one.finite.values for _, one in curves])
    low, high = float(known.min()), float(known.max())
    shaded = [Stretch(*region) for region in regions]
    marked = [Stretch(name, at, at) for name, at in marks if math.isfinite(at)]
    return (
        Lines(
            title=title,
            caption=caption,
            x_label={"steps": "step", "epochs": "epoch", "rows": "row of the log"}[log.unit],
            y_label=label,
            series=tuple(_thinned(name, one) for name, one in curves),
            guides=tuple(guides),
            y_log=low > 0 and high > WIDE * low,
            stretches=(*shaded, *marked),
        ),
    )


def _thinned(name: str, series: LoggedSeries) -> Series:
    """Return a curve with the extremes of each stretch, and all that is not finite."""
    values = np.asarray(series.values, float)
    places = np.arange(len(values))
    if len(values) > 2 * POINTS:
        kept: set[int] = {0, len(values) - 1, *np.flatnonzero(~np.isfinite(values))[:POINTS]}
        for part in np.array_split(places, POINTS):
            inside = part[np.isfinite(values[part])]
            if len(inside):
                kept |= {int(inside[values[inside].argmin()]), int(inside[values[inside].argmax()])}
        places = np.asarray(sorted(kept), int)
    x, y = np.asarray(series.x, float)[places], values[places]
    return Series(name, tuple(map(_short, x.tolist())), tuple(map(_short, y.tolist())))


def _short(value: float) -> float:
    return float(f"{value:.5g}") if abs(value) < 1e5 else value
