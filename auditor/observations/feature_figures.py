"""What a report shows of the features, layer by layer."""

import math

import numpy as np

from auditor.core.figure import Figure, Guide, Heatmap, Lines, Series, Table
from auditor.core.text import clean_text
from auditor.core.values import Array
from auditor.observations.class_separation import LostPair
from auditor.observations.feature_depths import FEWEST_ASKED, Depth
from auditor.observations.features import Features, LayerFeatures, linear_cka


def figures_of(told: Features, depths: list[Depth], lost: list[LostPair]) -> tuple[Figure, ...]:
    """Return ranks by depth, likeness of layers, and the tables behind them."""
    names = tuple(clean_text(d.of.layer) for d in depths)
    left_out = f" {told.left_out:,} more layers were left out." if told.left_out else ""
    asked = max(d.asked for d in depths)
    figures: list[Figure] = []
    if len(depths) > 1:
        x = tuple(float(place) for place in range(len(depths)))
        figures.append(
            Lines(
                title="Effective rank by depth",
                caption="In how many directions the examples' features vary; a drop that lasts to "
                f"the end is a collapse.{left_out}",
                x_label="layer, in the order of execution",
                y_label="effective rank",
                series=(Series("effective rank", x, tuple(d.rank for d in depths)),),
                guides=(Guide(asked, f"asked for: {asked}"),) if asked >= FEWEST_ASKED else (),
                x_names=names,
            )
        )
    weighted = [d.of for d in depths if d.of.weighted] or [d.of for d in depths]
    if len(weighted) > 2:
        figures.append(_heatmap(weighted))
    figures.append(_table(depths))
    if lost:
        figures.append(
            Table(
                title="Classes lost",
                caption="Distance of two classes, in deviations within a class, where it is "
                "largest and at the end.",
                columns=("classes", "best in", "apart there", "lost in", "apart at the end"),
                rows=tuple(
                    (
                        f"{p.classes[0]} and {p.classes[1]}",
                        clean_text(p.best),
                        p.before.value,
                        clean_text(p.since),
                        p.after.value,
                    )
                    for p in lost
                ),
            )
        )
    return tuple(figures)


def _heatmap(layers: list[LayerFeatures]) -> Heatmap:
    names = tuple(clean_text(layer.layer, 40) for layer in layers)
    return Heatmap(
        title="Layers alike",
        caption="Linear CKA of the features of layers with weights: 1 where they are the same but "
        "for a rotation and a scale.",
        x_label="layer",
        y_label="layer",
        label="linear CKA",
        values=tuple(tuple(round(float(v), 3) for v in row) for row in _likeness(layers)),
        x_names=names,
        y_names=names,
    )


def _likeness(layers: list[LayerFeatures]) -> Array:
    """Return linear CKA between all layers, of at most half as many columns: it is only drawn."""
    tables = []
    for layer in layers:
        table = np.asarray(layer.features, np.float32)
        half = table.shape[1] // 2
        if half > 32:
            table = table[:, :half] + table[:, half : 2 * half]
        table = table - table.mean(axis=0)
        tables.append(table / max(float(np.abs(table).max()), 1e-30))
    edges = np.cumsum([0, *(table.shape[1] for table in tables)])[:-1]
    whole = np.concatenate(tables, axis=1)
    squares = np.square((whole.T @ whole).astype(float))
    crossed = np.add.reduceat(np.add.reduceat(squares, edges, axis=0), edges, axis=1)
    own = np.sqrt(np.maximum(np.diag(crossed), 1e-300))
    return np.asarray(crossed / np.outer(own, own))


def _table(depths: list[Depth]) -> Table:
    def row(place: int) -> tuple[str | int | float | None, ...]:
        depth = depths[place]
        cka = linear_cka(depths[place - 1].of.features, depth.of.features) if place else math.nan
        return (
            clean_text(depth.of.layer),
            clean_text(depth.of.kind),
            depth.of.units,
            depth.rank,
            None if math.isnan(depth.filled) else depth.filled,
            None if math.isnan(cka) else round(cka, 3),
            "constant" if depth.of.still else "same at all steps" if depth.of.uniform else "",
        )

    return Table(
        title="Features by layer",
        caption="Effective rank, the share filled of the directions asked for, and linear CKA with "
        "the layer before.",
        columns=("layer", "kind", "units", "effective rank", "filled", "CKA", "notes"),
        rows=tuple(row(place) for place in range(len(depths))),
    )
