"""Copies before and after further training, in pictures."""

import numpy as np

from auditor.core.figure import Bars, Figure, Guide, Lines, Series
from auditor.core.statistics import mean_interval
from auditor.core.values import Array
from auditor.observations.continued import FREED, Continued, Way

WAYS: dict[Way, str] = {
    "declared": "as declared",
    "freed": "freed",
    "faster": "at a higher rate",
}


def figures_of(found: Continued, ways: list[Way], how: str) -> tuple[Figure, ...]:
    """Return the scores before and after, and the curves of the runs; `how` is as declared."""
    if not ways:
        return ()
    bars: list[tuple[str, float, float, float]] = []
    for split, progress in (("training", found.train), ("validation", found.val)):
        rows = [("before", np.asarray(progress.before, float))]
        rows += [(WAYS[way], progress.after(way).mean(axis=0)) for way in ways]
        for name, values in rows:
            scale = progress.scale if found.unit != "loss" else 1.0
            low, high = mean_interval(values)
            bars.append((f"{split}, {name}", values.mean() / scale, low / scale, high / scale))
    unit = "loss" if found.unit == "loss" else f"{found.unit} over a constant's"
    curves_of: dict[Way, Array] = {
        "declared": found.declared_losses,
        "freed": found.freed_losses,
        "faster": found.faster_losses,
    }
    curves = [
        Series(
            f"as declared, copy {number + 1}" if way == "declared" else WAYS[way],
            tuple(float(step) for step in range(len(row))),
            tuple(float(value) for value in row),
        )
        for way, table in curves_of.items()
        for number, row in enumerate(np.asarray(table, float))
    ]
    freed = f" Freed: {FREED}." if np.asarray(found.freed_losses).size else ""
    if np.asarray(found.faster_losses).size:
        freed += f" The higher rate: {found.faster_rate:g}."
    return (
        Bars(
            title="Before and after further training",
            caption=f"Mean over the same examples in evaluation mode with its 95 % interval, "
            f"before and after {found.steps} more steps: a model trained to the end stays where it "
            "was.",
            label=unit,
            labels=tuple(bar[0] for bar in bars),
            values=tuple(float(bar[1]) for bar in bars),
            low=tuple(float(bar[2]) for bar in bars),
            high=tuple(float(bar[3]) for bar in bars),
            guides=() if found.unit == "loss" else (Guide(1.0, "constant answer"),),
        ),
        Lines(
            title="The loss while training goes on",
            caption="Of each training batch before the step on it, in training mode; each copy "
            f"goes on with other batches. As declared: {how}.{freed}",
            x_label="further steps",
            y_label="training loss",
            series=tuple(curves),
        ),
    )
