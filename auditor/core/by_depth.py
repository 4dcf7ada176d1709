"""The figure and the table that show a quantity layer by layer, from the first to the last."""

from dataclasses import dataclass

import numpy as np

from auditor.core.figure import Guide, Lines, Series, Table
from auditor.core.foremost import MOST, foremost, how_many
from auditor.core.statistics import column_quantiles
from auditor.core.text import clean_text
from auditor.core.values import Array


@dataclass(frozen=True)
class Curve:
    """A quantity by layer, `values` [batches, layers] in any unit: it is shown relative to the
    last layers. One that is `fitted` to the first curve shares its unit, and has no band.
    """

    name: str
    values: Array
    fitted: bool = False


def by_depth(
    title: str,
    quantity: str,
    layers: tuple[str, ...],
    curves: tuple[Curve, ...],
    guides: tuple[Guide, ...],
    look_for: str,
) -> Lines | None:
    """Return the curves over the layers, each relative to its own last layers.

    Lines are medians over batches, bands hold four batches in five. Very many layers are drawn in
    groups of neighbours; the band then reaches from the lowest to the highest layer of a group.
    None where no curve has two positive values.
    """
    groups = np.array_split(np.arange(len(layers)), max(1, min(MOST, len(layers))))
    own = _last(curves[0]) if curves else None
    series = [
        made
        for curve in curves
        if (made := _series(curve, groups, own if curve.fitted else _last(curve))) is not None
    ]
    if not series:
        return None
    folded = len(groups) < len(layers)
    band = (
        f"{len(layers):,} layers in {len(groups)} groups of neighbours: median of each group, the "
        "band from its lowest to its highest layer."
        if folded
        else "Median over batches; the band holds four batches in five."
    )
    return Lines(
        title=title,
        caption=f"{look_for} {band}",
        x_label="layer, from the input to the output" + (", first of each group" if folded else ""),
        y_label=f"{quantity}, relative to the last layers",
        series=tuple(series),
        guides=guides,
        x_names=tuple(clean_text(layers[group[0]]) for group in groups),
        y_log=True,
    )


def _last(curve: Curve) -> float | None:
    """Return the value of the last layers, None where fewer than two have any."""
    typical = column_quantiles(curve.values, (0.5,))[0]
    known = typical[np.isfinite(typical) & (typical > 0)]
    ends = max(1, min(5, len(known) // 4))
    return float(np.median(known[-ends:])) if len(known) >= 2 else None


def _series(curve: Curve, groups: list[Array], last: float | None) -> Series | None:
    low, typical, high = column_quantiles(curve.values)
    known = np.isfinite(typical) & (typical > 0)
    if last is None or not known.any():
        return None
    rows = []
    for place, group in enumerate(groups):
        inside = group[known[group]]
        if not len(inside):
            continue
        middle = float(np.median(typical[inside]))
        bounds = (low[inside[0]], high[inside[0]])
        if len(inside) > 1:
            bounds = (typical[inside].min(), typical[inside].max())
        rows.append((float(place), middle / last, bounds[0] / last, bounds[1] / last))
    x, y, lowest, highest = (tuple(map(float, column)) for column in zip(*rows, strict=True))
    return Series(curve.name, x, y, *(() if curve.fitted else (lowest, highest)))


def table_by_depth(
    title: str,
    caption: str,
    columns: tuple[str, ...],
    rows: list[tuple[str | float | None, ...]],
    badness: list[float],
    what: str = "layers",
) -> Table:
    """Return a row for each, worst first; of more than `MOST` the worst alone."""
    kept = foremost(badness, MOST)
    order = sorted(kept, key=lambda place: -np.nan_to_num(badness[place], nan=np.inf))
    return Table(
        title=title,
        caption=caption + how_many(len(kept), len(rows), what),
        columns=columns,
        rows=tuple(rows[place] for place in order),
    )
