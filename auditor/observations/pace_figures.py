"""What shows the pace: over steps, and weight by weight."""

import numpy as np

from auditor.core.figure import Bars, Figure, Guide, Lines, Series, Table
from auditor.core.foremost import foremost, how_many, reading_order
from auditor.observations.pace_advice import rate_for
from auditor.observations.pace_verdicts import TARGET, Judged


def figures_of_pace(both: list[Judged]) -> tuple[Figure, ...]:
    """Return the ratio over steps, and of each start bars and a table of all weights."""
    guides = [
        (Guide(TARGET, "healthy: 1e-3"), *(line for own in one.limits for line in own.guides()))
        for one in both
    ]
    moments = " The optimiser's moments from the checkpoint were used."
    restored = moments if any(one.pace.seen.restored for one in both) else ""
    over_steps = Lines(
        title="Update ratio over steps",
        caption=f"Median over weights of |Δw| / |w|, step by step.{restored}",
        x_label="step",
        y_label="|Δw| / |w|",
        series=tuple(
            Series(
                f"from {one.start}",
                tuple(np.arange(1.0, len(one.pace.steps) + 1)),
                tuple(one.pace.steps),
            )
            for one in both
        ),
        guides=max(guides, key=len),
        y_log=True,
    )
    bars = [
        _bars(one, lines)
        for one, lines in zip(both, guides, strict=True)
        if any(weight.ratio.value > 0 for weight in one.pace.weights)
    ]
    return (over_steps, *bars, *(_table(one) for one in both))


def _bars(one: Judged, guides: tuple[Guide, ...]) -> Bars:
    every = one.pace.weights
    shown = [every[place] for place in foremost(_badness(one))]
    off = {w.name for w in one.off}
    return Bars(
        title=f"Update ratio of each weight from {one.start}",
        caption="Median over steps after the opening of |Δw| / |w|, in the model's own order, with "
        f"95 % intervals.{how_many(len(shown), len(every), 'weights')}",
        label="|Δw| / |w|",
        labels=tuple(w.name for w in shown),
        values=tuple(w.ratio.value for w in shown),
        low=tuple(w.ratio.low for w in shown),
        high=tuple(w.ratio.high for w in shown),
        marked=tuple(w.name in off or w.ratio.value == 0 for w in shown),
        guides=guides,
        log=True,
    )


def _badness(one: Judged) -> list[float]:
    """Return how far each weight's pace lies from the middle one's."""
    middle = one.pace.ratio.value or TARGET
    ratios = [weight.ratio.value for weight in one.pace.weights]
    return [abs(float(np.log(value / middle))) if value > 0 else np.inf for value in ratios]


def _table(one: Judged) -> Table:
    rate = one.pace.seen.learning_rate
    order, worst_first = reading_order(_badness(one))
    weights = [one.pace.weights[place] for place in order]
    return Table(
        title=f"Pace of each weight from {one.start}",
        caption="|Δw| / |w| after the opening with its 95 % interval, in the opening, and the "
        f"learning rate that would make it 1e-3; the declared one is {rate:g}.{worst_first}",
        columns=("weight", "|Δw| / |w|", "low", "high", "opening", "learning rate for 1e-3"),
        rows=tuple(
            (w.name, w.ratio.value, w.ratio.low, w.ratio.high, w.opening, rate_for(one.pace, w))
            for w in weights
        ),
    )
