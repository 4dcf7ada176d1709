"""Pictures of the weights that meet the input."""

import math
from dataclasses import dataclass

import numpy as np

from auditor.core.figure import Figure, Heatmap, Histogram, Image, Images
from auditor.core.foremost import MOST, foremost, how_many
from auditor.core.png import colour, diverging
from auditor.core.text import clean_text
from auditor.core.values import Array
from auditor.observations.structure import FirstWeights

SIDE = 64
"""Pixels that the longer side of an enlarged filter has at least."""
SHUFFLES = 200
MOST_SHUFFLED = 20_000
"""Weights that are shuffled to learn what filters without structure look like."""
QUANTILE = 2.576
"""Standard deviations that hold 99 % of a normal distribution."""
MOST_UNITS = 32
SQUARE = 8
"""Side of the smallest square that a flat input is taken for."""


@dataclass(frozen=True)
class Smoothness:
    """Correlation of neighbouring weights, and where 99 % of shuffled filters' lie."""

    value: float
    low: float
    high: float


def pictured(first: FirstWeights) -> Figure | None:
    """Return the picture of the first layer's weights, None where they have none to show."""
    values = np.nan_to_num(first.values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    if first.kind.startswith("embedding"):
        return _norms(first, values)
    if values.ndim > 2 and max(values.shape[2:]) > 1:
        return _filters(first, values)
    return _by_feature(first, np.abs(values.reshape(len(values), -1)))


def smoothness(values: Array, rng: np.random.Generator) -> Smoothness | None:
    """Return how alike neighbouring weights of filters [units, channels, height, width] are.

    It is the mean product of neighbours, along height and width, over the mean square. Filters
    that picked up edges or blobs are smooth; the band is that of the same weights with each
    filter's values shuffled. None for filters of fewer than 3 x 3 weights.
    """
    if values.ndim != 4 or min(values.shape[2:]) < 3 or not np.isfinite(values).all():
        return None
    maps = values.reshape(-1, *values.shape[2:]).astype(np.float64)
    maps = maps[:: max(1, math.ceil(maps.size / MOST_SHUFFLED))]
    if not np.any(maps):
        return None
    flat = maps.reshape(len(maps), -1)
    drawn = [_alike(rng.permuted(flat, axis=1).reshape(maps.shape)) for _ in range(SHUFFLES)]
    middle, spread = float(np.mean(drawn)), QUANTILE * float(np.std(drawn))
    return Smoothness(_alike(maps), middle - spread, middle + spread)


def _alike(maps: Array) -> float:
    down, across = maps[:, 1:] * maps[:, :-1], maps[:, :, 1:] * maps[:, :, :-1]
    pairs = down.size + across.size
    return float((down.sum() + across.sum()) / pairs / np.mean(maps**2))


def _filters(first: FirstWeights, values: Array) -> Images:
    colours = values.ndim == 4 and values.shape[1] == 3
    images = tuple(
        Image(f"filter {unit}", _filter(one, colours))
        for unit, one in zip(first.units, values, strict=True)
    )
    said = (
        "Edges, blobs and colours are filters that have learnt; noise without any pattern has not."
    )
    if colours:
        said += " Each has its own range, from black to white."
    else:
        said += " Blue is negative, white zero, red positive, each in its own range"
        channels = values.shape[1]
        said += "." if channels == 1 or values.ndim == 3 else f", mean of {channels:,} channels."
    if len(images) < first.total:
        said += f" Shown are the {len(images)} of the largest norm, of {first.total:,}."
    return Images(f"Filters of {clean_text(first.layer, 80)}", said, images, columns=8)


def _filter(one: Array, colours: bool) -> str:
    """Return the picture of a filter [channels, ...]."""
    if colours:
        low, high = float(one.min()), float(one.max())
        scaled = (one - low) / (high - low) if high > low else np.full_like(one, 0.5)
        return colour(np.moveaxis(scaled, 0, -1), _times(one.shape[1:]))
    if one.ndim == 2:
        return diverging(one, _times(one.shape))
    if one.ndim == 4:
        one = one.mean(axis=1)
    flat = one.mean(axis=0)
    return diverging(flat, _times(flat.shape))


def _times(shape: tuple[int, ...]) -> int:
    return max(1, math.ceil(SIDE / max(shape)))


def _by_feature(first: FirstWeights, sizes: Array) -> Figure | None:
    features = sizes.shape[1]
    if features < 2:
        return None
    layer = clean_text(first.layer, 80)
    norms = np.sqrt((sizes**2).sum(axis=0))
    side = _picture_shape(first.input_shape, features)
    if side:
        grid = norms.reshape(-1, *side)
        return Heatmap(
            title=f"What {layer} looks at",
            caption="The 2-norm of the weights by place in the input, feature 0 at the top left: "
            "bright places count most, an even field with sharp specks is noise learnt by heart.",
            x_label="column",
            y_label="row",
            label="norm of the weights",
            values=_rows(np.sqrt((grid**2).sum(axis=0))),
        )
    shown = foremost(list(norms))
    units = list(np.sort(np.argsort(-sizes.max(axis=1), kind="stable")[:MOST_UNITS]))
    return Heatmap(
        title=f"What {layer} looks at",
        caption="Absolute weight by unit and feature of the input: a column that is dark throughout"
        " is a feature without use, a bright one decides much."
        + how_many(len(shown), features, "features").replace("worst", "largest"),
        x_label="feature",
        y_label="unit",
        label="absolute weight",
        values=_rows(sizes[units][:, shown]),
        x_names=tuple(map(str, shown)) if len(shown) <= MOST else (),
        y_names=tuple(str(first.units[unit]) for unit in units),
    )


def _picture_shape(shape: tuple[int, ...], features: int) -> tuple[int, int] | None:
    if len(shape) >= 2 and math.prod(shape) == features and min(shape[-2:]) >= 4:
        return shape[-2], shape[-1]
    side = math.isqrt(features)
    flat = shape == (features,) and side * side == features and side >= SQUARE
    return (side, side) if flat else None


def _rows(values: Array) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(value) for value in row) for row in values)


def _norms(first: FirstWeights, norms: Array) -> Histogram | None:
    if norms.size < 2:
        return None
    counts, edges = np.histogram(norms, bins=min(30, max(5, int(math.sqrt(norms.size)))))
    return Histogram(
        title=f"Norms of the entries of {clean_text(first.layer, 80)}",
        caption="Entries far left of the rest were hardly ever trained, far right dominate.",
        label="2-norm",
        edges=tuple(map(float, edges)),
        counts=tuple(map(float, counts)),
    )
