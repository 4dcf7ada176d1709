"""The landscape around the weights, drawn."""

import math

import numpy as np

from auditor.core.figure import Bars, Figure, Heatmap, Lines, Series
from auditor.core.statistics import mean_interval
from auditor.core.values import Array
from auditor.observations.curvature import Curvature
from auditor.observations.sharpness import LENGTHS, LINE, PLANE, RADII, Sharpness

GONE = 0.5
"""Share of what was learnt, half, whose loss is called ruin."""


def figures_of_sharpness(seen: Sharpness, curved: Curvature | None) -> tuple[Figure, ...]:
    """Return the figures: what changes lose, layer by layer, slices, and how Lanczos converged."""
    figures: list[Figure] = [_lost(seen)]
    if len(seen.layers) > 1:
        figures.append(_alone(seen))
    if seen.line.size:
        figures += [_line(seen), _plane(seen)]
    if curved is not None:
        figures.append(_ritz(curved))
    return tuple(figures)


def _lost(seen: Sharpness) -> Lines:
    spread = 1 / math.sqrt(max(seen.parameters, 1))
    noisy = _series("random", RADII, seen.lost(seen.noisy, seen.noisy_scores))
    uphill = tuple(length * spread for length in LENGTHS)
    worst = _series("in the worst direction", uphill, seen.lost(seen.worst, seen.worst_scores))
    return Lines(
        title="What changes of the weights cost",
        caption="Share lost of what was learnt, mean over batches with its 95 % interval; half of "
        "it lost at a change of 0.01 is ruin.",
        x_label="change of each weight, as a share of it (root mean square)",
        y_label="share lost",
        series=(noisy, worst),
        x_log=True,
    )


def _series(name: str, x: tuple[float, ...], lost: Array) -> Series:
    ends = [mean_interval(row) for row in lost]
    means = [float(row.mean()) for row in lost]
    if not all(math.isfinite(end) for pair in ends for end in pair):
        return Series(name, x, tuple(means))
    low, high = zip(*((max(a, -0.25), min(b, 1.0)) for a, b in ends), strict=True)
    return Series(name, x, tuple(means), low, high)


def _alone(seen: Sharpness) -> Bars:
    lost = seen.lost_alone
    return Bars(
        title="Which layer bears it least",
        caption=f"Share of the gain in loss that a random change of one layer alone, by "
        f"{seen.alone_at * 100:g} %, loses on one batch; 1 is all of it or more.",
        label="share lost",
        labels=seen.layers,
        values=tuple(float(value) for value in np.maximum(lost, 0)),
        marked=tuple(bool(value >= GONE) for value in lost),
    )


def _line(seen: Sharpness) -> Lines:
    places = tuple(float(place) for place in LINE)
    names = ("a random direction", "the worst direction")
    return Lines(
        title="The loss along two lines through the weights",
        caption="Each filter's step is as long as the filter at ±1 (filter normalisation), so that "
        "networks can be compared; a needle in the middle is sharp.",
        x_label="step, as a share of each filter's norm",
        y_label=f"loss of a batch of {seen.split} data",
        series=tuple(
            Series(name, places, tuple(float(loss) for loss in row))
            for name, row in zip(names, seen.line, strict=True)
        ),
        y_log=bool((seen.line > 0).all()),
    )


def _plane(seen: Sharpness) -> Heatmap:
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log10(seen.plane)
    names = tuple(f"{place:.2g}" for place in PLANE)
    return Heatmap(
        title="The loss over a plane through the weights",
        caption="Two random directions with filter normalisation; the checkpoint is in the middle.",
        x_label="step in one direction",
        y_label="step in another",
        label="log10 of the loss",
        values=tuple(tuple(float(value) for value in row) for row in logs),
        x_names=names,
        y_names=names[::-1],
    )


def _ritz(curved: Curvature) -> Lines:
    steps = tuple(float(step) for step in range(1, len(curved.ritz) + 1))
    values = tuple(float(value) for value in curved.ritz)
    low, high = curved.ritz - curved.residuals, curved.ritz + curved.residuals
    return Lines(
        title="How the largest eigenvalue was found",
        caption="Lanczos' estimate by iteration, more or less its residual: an eigenvalue lies in "
        "the band.",
        x_label="iteration",
        y_label="eigenvalue",
        series=(Series("largest Ritz value", steps, values, tuple(low), tuple(high)),),
    )
