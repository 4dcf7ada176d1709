"""What shows the scale of activations: its course over depth and a table of all layers."""

import numpy as np

from auditor.core.figure import Figure, Lines, Series, Table
from auditor.core.foremost import MOST, reading_order
from auditor.core.statistics import column_quantiles
from auditor.core.text import clean_text
from auditor.core.values import Array
from auditor.observations.activation_scale import ActivationScale
from auditor.observations.scale_headroom import LARGEST_HALF, largest_of
from auditor.observations.scale_modes import Ratio
from auditor.observations.scale_sizes import differing_of, sizes_of


def figures_of_scale(
    scale: ActivationScale,
    size: Array,
    deviation: Array,
    ratios: list[Ratio],
    training: ActivationScale | None,
) -> tuple[Figure, ...]:
    """Return deviation by depth, in both modes where known, and a table of all layers."""
    names = tuple(clean_text(kind.layer) for kind in scale.layers)
    series = [_series("evaluation", deviation, names, names)]
    if training is not None:
        theirs = tuple(clean_text(kind.layer) for kind in training.layers)
        series.append(_series("training", sizes_of(training)[1], theirs, names))
    drawn = tuple(line for line in series if len(line.x) > 1)
    ratio = {name: value for name, value, *_ in ratios}
    with np.errstate(all="ignore"):
        tails = scale.of("fourth") / scale.of("variance") ** 2 - 3
        bits = np.log2(LARGEST_HALF / largest_of(scale))
    groups = np.array_split(np.arange(len(names)), max(1, min(MOST, len(names))))
    drawn = tuple(_grouped(line, groups) for line in drawn)
    columns = [_typical(v) for v in (scale.of("mean"), deviation, tails, size)]
    low, high = (f.reduce(scale.of(s), axis=0) for f, s in ((np.fmin, "low"), (np.fmax, "high")))
    varies = differing_of(scale.of("across"))
    with np.errstate(all="ignore"):
        off = np.abs(np.log(columns[1] / np.nanmedian(columns[1])))
        order, worst_first = reading_order(np.fmax(off, -np.log(varies)).tolist())
    rows = tuple(
        (
            names[p],
            _cell(columns[0][p]),
            _cell(columns[1][p]),
            _cell(low[p]),
            _cell(high[p]),
            _cell(columns[2][p]),
            _cell(varies[p]),
            _cell(ratio.get(names[p], np.nan)),
            _cell(bits[p]),
        )
        for p in order
    )
    table = Table(
        title="Activations of each layer",
        caption="Medians over batches; tails are excess kurtosis (0 for a normal distribution), "
        "between examples is the deviation relative to the size, the last column the headroom."
        + worst_first,
        columns=(
            "layer",
            "mean",
            "deviation",
            "least",
            "largest",
            "tails",
            "between examples",
            "train / eval",
            "float16 bits",
        ),
        rows=rows,
    )
    if not drawn:
        return (table,)
    folded = len(groups) < len(names)
    band = (
        f"the median of each of {len(groups)} groups of neighbours among {len(names):,} layers; "
        "the band reaches from the lowest to the highest layer of a group"
        if folded
        else "median over batches; the band holds four batches in five"
    )
    return (
        Lines(
            title="Deviation by depth",
            caption=f"Deviation of each layer's output, {band}, and a healthy model stays within a "
            "few decades.",
            x_label="layer, in the order of execution" + (", first of each group" * folded),
            y_label="deviation",
            series=drawn,
            x_names=tuple(names[group[0]] for group in groups),
            y_log=True,
        ),
        table,
    )


def _series(
    label: str, deviation: Array, theirs: tuple[str, ...], names: tuple[str, ...]
) -> Series:
    low, typical, high = column_quantiles(np.where(deviation > 0, deviation, np.nan))
    place = {name: index for index, name in enumerate(names)}
    kept = [c for c, name in enumerate(theirs) if name in place and np.isfinite(typical[c])]
    return Series(
        label,
        tuple(float(place[theirs[c]]) for c in kept),
        tuple(float(typical[c]) for c in kept),
        tuple(float(low[c]) for c in kept),
        tuple(float(high[c]) for c in kept),
    )


def _grouped(line: Series, groups: list[Array]) -> Series:
    """Return a line over groups of neighbouring layers; the same where each is one layer."""
    at = dict(zip(line.x, line.y, strict=True))
    if all(len(group) == 1 for group in groups):
        return line
    held = [[at[place] for place in map(float, group) if place in at] for group in groups]
    kept = [(float(number), values) for number, values in enumerate(held) if values]
    return Series(
        line.name,
        tuple(number for number, _ in kept),
        tuple(float(np.median(values)) for _, values in kept),
        tuple(min(values) for _, values in kept),
        tuple(max(values) for _, values in kept),
    )


def _typical(values: Array) -> Array:
    typical: Array = column_quantiles(np.where(np.isfinite(values), values, np.nan), (0.5,))[0]
    return typical


def _cell(value: float) -> float | None:
    return float(f"{value:.3g}") if np.isfinite(value) else None
