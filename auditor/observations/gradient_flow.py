"""What gradient norms tell of depth: the profile, the rate per layer, and the steps in between."""

import itertools
from dataclasses import dataclass

import numpy as np

from auditor.core.by_depth import Curve, by_depth
from auditor.core.figure import Guide, Lines
from auditor.core.statistics import (
    column_quantiles,
    first_over_last,
    geometric_interval,
    mean_interval,
)
from auditor.core.values import Array
from auditor.observations.gradients import GradientNorms

MOST_POINTS = 120
"""Layers, evenly chosen, whose pairs a rate is fitted to: 7,140 slopes a batch."""

MOST_STEPS = 20
"""Sudden steps that are looked at one by one; the largest come first."""

LEAST = 0.5
"""Decades below which no step is a jump."""

SHARP = 0.5
"""The share of a change, in decades, from which on a single step makes it a jump."""


@dataclass(frozen=True)
class Flow:
    """Norms by layer, from the first to the last: `outputs` and `weights` are [batches, layers].

    `outputs` is the norm of the gradient at the layer's output. `weights` is that of the layer's
    weight tensors over their own norm, NaN for a layer without any. `depth` counts layers from
    the input along the longest path, so that parallel branches stand beside one another.
    """

    names: tuple[str, ...]
    depth: Array
    outputs: Array
    weights: Array


@dataclass(frozen=True)
class Rate:
    """By what factor a layer multiplies the gradient that it hands on towards the input.

    [low, high] is the 95 % interval over batches; `layers` is the depth that was fitted to.
    """

    factor: float
    low: float
    high: float
    layers: int


@dataclass(frozen=True)
class Step:
    """The gradient at the output of `before` is `factor` times that at the output of `layer`.

    [low, high] is the 95 % interval over batches. `all_of_it` tells that no layer keeps clear of
    the change: whatever does not come after `layer` has changed by half as much or more, in
    decades. Else it is that of a branch.
    """

    before: str
    layer: str
    factor: float
    low: float = np.nan
    high: float = np.nan
    all_of_it: bool = False


def flow_of(norms: GradientNorms) -> Flow:
    """Return the norms of the layers that have weights; of all, where fewer than two have any."""
    table = _positive(norms)
    known = ~np.isnan(table).all(axis=0) if len(table) else np.zeros(len(norms.layers), bool)
    weighted = np.asarray(norms.weighted or (True,) * len(norms.layers), bool)
    chosen = known & weighted if (known & weighted).sum() >= 2 else known
    places = np.flatnonzero(chosen)
    depths = np.asarray(norms.depths, float) if norms.depths else _in_line(weighted)
    if len(np.unique(depths[places])) < 2:
        depths = np.arange(len(norms.layers), dtype=float)
    places = places[np.argsort(depths[places], kind="stable")]
    names = tuple(norms.layers[place] for place in places)
    return Flow(names, depths[places], table[:, places], _of_weights(norms, names))


def _positive(norms: GradientNorms) -> Array:
    """Return the norms at the layers' outputs, NaN where there is none; a batch that is fitted
    without error has none.
    """
    table = np.asarray(norms.activation_norms, float)
    return np.where(table > 0, table, np.nan)


def _in_line(weighted: Array) -> Array:
    return np.cumsum(weighted).astype(float)


def _of_weights(norms: GradientNorms, names: tuple[str, ...]) -> Array:
    column = {name: place for place, name in enumerate(names)}
    shape = (len(norms.parameter_norms), len(names))
    squares, sizes, met = np.zeros(shape), np.zeros(len(names)), np.zeros(len(names), bool)
    table = np.asarray(norms.parameter_norms, float)
    largest = np.nanmax(table, initial=0.0) if np.isfinite(table).any() else 0.0
    unit = largest if 0 < largest < np.inf else 1.0
    for place, (home, dimensions) in enumerate(zip(norms.homes, norms.dimensions, strict=False)):
        if home in column and dimensions >= 2 and norms.weight_norms[place] > 0:
            squares[:, column[home]] += np.nan_to_num(table[:, place] / unit) ** 2
            sizes[column[home]] += float(norms.weight_norms[place]) ** 2
            met[column[home]] = True
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.sqrt(squares / sizes) * unit
    relative[:, ~met] = np.nan
    return relative


def change(flow: Flow) -> tuple[float, float, float]:
    """Return how many times the first layers' gradient is the last layers', with its interval.

    Medians of up to five layers at each end, geometric mean over batches, 95 %.
    """
    return geometric_interval(first_over_last(flow.outputs))


def rate_of(values: Array, depth: Array) -> Rate | None:
    """Return the rate fitted to `values` [batches, layers], None where there is nothing to fit.

    The logarithm is taken to change in proportion to depth; the slope of each batch is the median
    over all pairs of layers of different depth (Theil 1950; Sen 1968), which a layer or two out of
    line do not move. The rate is the median batch's, its interval Student's over the batches.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(np.asarray(values, float))
    logs[~np.isfinite(logs)] = np.nan
    known = np.flatnonzero(~np.isnan(logs).all(axis=0)) if len(logs) else np.zeros(0, int)
    stride = max(1, -(-len(known) // MOST_POINTS))
    known = known[::stride]
    first, second = np.triu_indices(len(known), 1)
    run = depth[known][second] - depth[known][first]
    first, second, run = first[run != 0], second[run != 0], run[run != 0]
    if not run.size:
        return None
    slopes = (logs[:, known[first]] - logs[:, known[second]]) / run
    typical = column_quantiles(slopes.T, (0.5,))[0]
    typical = typical[np.isfinite(typical)]
    if not typical.size:
        return None
    low, high = mean_interval(typical)
    value = float(np.median(typical))
    span = int(depth[known].max() - depth[known].min())
    return Rate(_exp(value), _exp(min(low, value)), _exp(max(high, value)), span)


def fitted(flow: Flow) -> tuple[Curve, ...]:
    """Return the line of the rate, through the median of the layers; none where none was fitted."""
    rate = rate_of(flow.outputs, flow.depth)
    if rate is None or rate.layers < 2:
        return ()
    slope = -np.log(max(rate.factor, 1e-300))
    with np.errstate(divide="ignore"):
        logs = np.log(column_quantiles(flow.outputs, (0.5,))[0]) - slope * flow.depth
    line = np.exp(np.median(logs[np.isfinite(logs)]) + slope * flow.depth)
    return (Curve(f"fitted: times {rate.factor:.3g} a layer", line[None], fitted=True),)


def _exp(value: float) -> float:
    return float(np.exp(min(value, 700.0)))


def steps_of(norms: GradientNorms) -> list[Step]:
    """Return how the gradient changes from each layer to the one before it.

    Where several layers follow, the gradient came through the one at which it is largest.
    """
    table = _positive(norms)
    typical = dict(zip(norms.layers, column_quantiles(table, (0.5,))[0], strict=True))
    known = [name for name in norms.layers if np.isfinite(typical[name])]
    edges = norms.edges or tuple(itertools.pairwise(known))
    through: dict[str, str] = {}
    for before, layer in edges:
        found = typical.get(layer, np.nan)
        if np.isfinite(found) and not found <= typical.get(through.get(before, ""), 0.0):
            through[before] = layer
    return [
        Step(before, layer, float(typical[before] / typical[layer]))
        for before, layer in through.items()
        if np.isfinite(typical.get(before, np.nan))
    ]


def sudden(norms: GradientNorms, steps: list[Step], least: float) -> list[Step]:
    """Return the steps by a factor of `least` or more, either way, with what is known of each."""
    table = _positive(norms)
    column = {name: place for place, name in enumerate(norms.layers)}
    typical = column_quantiles(table, (0.5,))[0]
    following: dict[str, list[str]] = {}
    for before, layer in norms.edges or tuple(
        zip(norms.layers[:-1], norms.layers[1:], strict=True)
    ):
        following.setdefault(before, []).append(layer)
    found = [s for s in steps if s.factor > 0 and abs(np.log10(s.factor)) >= np.log10(least)]
    found.sort(key=lambda step: -abs(np.log10(step.factor)))
    known = []
    for step in found[:MOST_STEPS]:
        after = _after(step.layer, following)
        rest = [typical[place] for name, place in column.items() if name not in after]
        rest = [value for value in rest if np.isfinite(value) and value > 0]
        end = typical[column[step.layer]]
        nearest = max(rest) / end if step.factor < 1 else min(rest) / end
        share = np.log10(nearest) / np.log10(step.factor) if nearest > 0 else 1.0
        ratio = table[:, column[step.before]] / table[:, column[step.layer]]
        factor, low, high = geometric_interval(ratio)
        known.append(Step(step.before, step.layer, factor, low, high, bool(share >= SHARP)))
    return known


def _after(start: str, following: dict[str, list[str]]) -> set[str]:
    met, waiting = {start}, [start]
    while waiting:
        fresh = [name for name in following.get(waiting.pop(), ()) if name not in met]
        met.update(fresh)
        waiting += fresh
    return met


def jump(steps: list[Step], factor: float) -> Step | None:
    """Return the one step that makes up most of a change by `factor`, None where none does."""
    if not steps or not 0 < factor < np.inf or factor == 1:
        return None
    pick = min if factor < 1 else max
    found = pick((step for step in steps if step.factor > 0), key=lambda s: s.factor, default=None)
    if found is None:
        return None
    change = np.log10(found.factor)
    return found if abs(change) >= LEAST and change / np.log10(factor) >= SHARP else None


def lost_on_the_way(steps: list[Step], start: str, factor: float) -> Step | None:
    """Return the step between `start` and the loss that explains a shortfall by `factor`."""
    following = {step.before: step for step in steps}
    path, name = [], start
    while name in following:
        path.append(following.pop(name))
        name = path[-1].layer
    return jump(path, 1 / factor) if factor > 1 else None


def in_words(rate: Rate | None, verb: str) -> str:
    """Return "keeps 0.62 of itself per layer (95 % interval 0.58 to 0.66) over 30 layers"."""
    if rate is None or rate.layers < 2:
        return ""
    interval = f" (95 % interval {rate.low:.3g} to {rate.high:.3g})" if rate.high > rate.low else ""
    many = f"{rate.layers:,} layers"
    if verb == "shrinks":
        return f": it keeps {rate.factor:.3g} of itself per layer{interval} over {many}"
    return f": it is multiplied by {rate.factor:.3g} per layer{interval} over {many}"


def plot_of(flow: Flow, guides: tuple[Guide, ...], caption: str) -> Lines | None:
    """Return the gradients of outputs and weights by depth with the fitted line, if it shows."""
    return by_depth(
        "Gradients by depth",
        "gradient",
        flow.names,
        (
            Curve("at the layers' outputs", flow.outputs),
            Curve("of the weights, relative to them", flow.weights),
            *fitted(flow),
        ),
        guides,
        caption,
    )
