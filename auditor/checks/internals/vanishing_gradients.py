"""Gradients that are lost on their way from the loss to the first layers.

What it does
------------
Follows the gradient of the loss from the last layer to the first, and compares the gradients of all
weights with one another.

Why it matters
--------------
A weight without a gradient does not learn. With one learning rate for all, a layer whose gradient
is a thousand times smaller than the others' learns a thousand times slower: the model then rests on
random features, however long it is trained.

How it is measured
------------------
Everything is relative, so the scale of the loss has no say. The fade is the gradient's norm at the
outputs of the last layers over that at the first ones (medians of up to five layers, geometric
mean over batches with its interval). Each weight tensor's gradient, relative to the norm of the
weights, is compared with that of the median tensor. Only tensors of two or more dimensions count: a
bias before batch normalisation has no gradient by nature. A tensor whose gradient is exactly zero
on every batch fails; one that gets none at all (it is not in the graph) warns.

When it misleads
----------------
Adaptive optimisers such as Adam divide the scale of the gradient out, so that a moderate fade costs
them little. Tables of which a batch uses few rows, and the queries and keys of attention, have
smaller gradients by nature, though not by a factor of 1,000. Experts or heads that these batches do
not use look dead.

What to do
----------
Replace saturating activations (sigmoid, tanh) in deep stacks by ReLU or GELU, add residual
connections or normalisation, and initialise for the activation used (He, Glorot). Where the
gradient stops dead, look for `detach()`, `.data`, `argmax`, rounding, or a dead layer.

Source
------
Bengio, Simard, Frasconi 1994, "Learning long-term dependencies with gradient descent is difficult";
Glorot & Bengio 2010, "Understanding the difficulty of training deep feedforward neural networks".
"""

from dataclasses import dataclass

import numpy as np

from auditor.core.by_depth import by_depth
from auditor.core.check import Limits, Seen, check
from auditor.core.figure import Bars, Figure, Guide
from auditor.core.finding import Judgement, Limit, Metric, Place
from auditor.core.statistics import (
    column_quantiles,
    first_over_last,
    geometric_interval,
    theil_sen,
)
from auditor.core.text import clean_text, counted, listed
from auditor.core.values import Array
from auditor.core.verdict import SEVERITY, Verdict, worst
from auditor.observations.gradients import GradientNorms, GradientNormsOver

GRADIENTS = GradientNormsOver()

SOURCE = (
    "Glorot & Bengio 2010 saw five layers learn slowly at a far smaller fade; at 1e3 one learning "
    "rate can't serve both ends, at 1e5 the first layers stay where they started"
)


@dataclass(frozen=True)
class Tensor:
    """A weight: by what factor its relative gradient is below the median tensor's."""

    name: str
    below: float
    low: float
    high: float


@check(
    title="Gradients reach every layer",
    failure_title="Gradients vanish",
    needs=(GRADIENTS,),
    limits={
        "fade": Limit(warn=1e3, fail=1e5, source=SOURCE),
        "below_median": Limit(warn=1e3, fail=1e5, source=f"{SOURCE}; here of a single tensor"),
    },
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge the fade over depth, and each weight's gradient against the median weight's."""
    norms = seen[GRADIENTS]
    columns = [
        column
        for column, dimensions in enumerate(norms.dimensions)
        if dimensions >= 2 and 0 < norms.weight_norms[column] < np.inf
    ]
    names = [clean_text(norms.parameters[column]) for column in columns]
    table = np.asarray(norms.parameter_norms, float)[:, columns]
    rows = ~np.isinf(table).any(axis=1)
    table, flow = table[rows], np.asarray(norms.activation_norms, float)[rows]
    if not names:
        return _not_applicable("The model has no trainable weight of two or more dimensions.")
    if not rows.any():
        return _not_applicable("No batch gave finite gradients, so none could be compared.")
    absent = np.isnan(table).all(axis=0)
    zero = ~absent & (np.nan_to_num(table) == 0).all(axis=0)
    if (absent | zero).all():
        return _nothing(norms, names, bool(absent.all()), _stop(norms.layers, flow))
    live = ~(absent | zero)
    tensors = _compared(
        [name for name, alive in zip(names, live, strict=True) if alive],
        table[:, live] / np.asarray(norms.weight_norms, float)[columns][live],
    )
    factor, low, high = geometric_interval(1 / _positive(first_over_last(flow)))
    fade = Verdict.PASS
    if np.isfinite(factor):
        fade = limits["fade"].verdict(factor, low, high)
    verdicts = [limits["below_median"].verdict(t.below, t.low, t.high) for t in tensors]
    order = sorted(
        range(len(tensors)), key=lambda i: (SEVERITY[verdicts[i]], tensors[i].below), reverse=True
    )
    top = tensors[order[0]]
    dead = [name for name, hit in zip(names, zero, strict=True) if hit]
    unused = [name for name, hit in zip(names, absent, strict=True) if hit]
    verdict = worst(
        (
            fade,
            *verdicts,
            *([Verdict.FAIL] if dead else []),
            *([Verdict.WARN] if unused else []),
        )
    )
    stop, drop = _stop(norms.layers, flow), _drop(norms.layers, flow)
    parts = []
    if dead:
        place = f", as the gradient stops at `{stop}`" if stop else ""
        parts.append(
            f"The gradient of {counted(len(dead), 'weight')} is exactly zero in all "
            f"{counted(len(table), 'batch', 'batches')}{place}: {listed(dead, 3)}."
        )
    if fade is not Verdict.PASS:
        place = f", most of it at `{drop}`" if drop else ""
        parts.append(
            f"On the way from the last layers to the first the gradient shrinks by a factor of "
            f"{factor:.2g} (95 % interval {low:.2g} to {high:.2g}){place}."
        )
    if verdicts[order[0]] is not Verdict.PASS:
        parts.append(
            f"Relative to its weights the gradient of `{top.name}` is {top.below:.2g} times "
            "smaller than the median weight's."
        )
    if unused:
        parts.append(
            f"{counted(len(unused), 'weight')} "
            f"{'gets' if len(unused) == 1 else 'get'} no gradient at all: {listed(unused, 3)}."
        )
    if not parts:
        reach = f"The gradient reaches {counted(len(tensors), 'weight')} of {len(names):,}"
        if np.isfinite(factor):
            reach += f" and fades by a factor of {factor:.2g} from the last layers to the first"
        parts.append(
            f"{reach}; relative to its weights the smallest, of `{top.name}`, is {top.below:.2g} "
            "times below the median weight's."
        )
    slope = theil_sen(*_profile(flow))
    return Judgement(
        verdict,
        " ".join(parts),
        metrics=(
            Metric("fade from last to first layers", factor, "times", low, high, limits["fade"]),
            Metric("fade per layer towards the input", slope[0], "decades", *slope[1:]),
            Metric(
                "smallest relative gradient, below the median",
                top.below,
                "times",
                top.low,
                top.high,
                limits["below_median"],
            ),
            Metric("weights with a gradient of exactly zero", len(dead), f"of {len(names)}"),
            Metric("weights without a gradient", len(unused), f"of {len(names)}"),
        ),
        where=(
            *([Place("layer", stop, "the gradient gets no further")] if stop and dead else []),
            *(Place("parameter", name, "gradient exactly zero") for name in dead),
            *(
                Place("parameter", tensors[i].name, f"{tensors[i].below:.2g} times below median")
                for i in order
                if verdicts[i] is not Verdict.PASS
            ),
            *([Place("layer", drop, "steepest drop")] if drop and fade is not Verdict.PASS else []),
            *(Place("parameter", name, "no gradient at all") for name in unused),
        ),
        advice=_advice(dead, unused, stop, drop or top.name, verdict),
        figures=_figures(norms, flow, tensors, order, limits),
    )


def _not_applicable(reason: str) -> Judgement:
    return Judgement(Verdict.NOT_APPLICABLE, reason)


def _nothing(norms: GradientNorms, names: list[str], detached: bool, stop: str) -> Judgement:
    if not detached and (np.asarray(norms.losses) == 0).all():
        return _not_applicable("The loss is exactly 0 on every batch, so no gradient is left.")
    loss = float(np.median(norms.losses))
    how = "gets no gradient at all" if detached else "has a gradient of exactly zero"
    return Judgement(
        Verdict.FAIL,
        f"Every one of {counted(len(names), 'weight')} {how}, though the loss is {loss:.3g}"
        + (f": the gradient stops at `{stop}`." if stop else "."),
        metrics=(Metric("weights with a gradient", 0, f"of {len(names)}"), Metric("loss", loss)),
        where=(
            *([Place("layer", stop, "the gradient gets no further")] if stop else []),
            *(Place("parameter", name, how) for name in names),
        ),
        advice=_advice(names, [], stop, "", Verdict.FAIL)
        if stop
        else (
            "Look between the model's output and the loss for `detach()`, `.data`, `.item()`, "
            "`argmax`, rounding or `torch.no_grad()`.",
            "Look at the last layer: a softmax over one output, or a rectifier whose units are all "
            "dead, gives a constant, which has no slope.",
        ),
    )


def _positive(values: Array) -> Array:
    return np.asarray(values[np.isfinite(values) & (values > 0)])


def _compared(names: list[str], relative: Array) -> list[Tensor]:
    """Return each tensor's relative gradient against the median tensor's, batch by batch."""
    given = np.where(relative > 0, relative, np.nan)
    below = column_quantiles(given.T, (0.5,)).T / given
    return [
        Tensor(name, *geometric_interval(below[:, column])) for column, name in enumerate(names)
    ]


def _profile(flow: Array) -> tuple[Array, Array]:
    """Return depth and log10 of the median norm of the layers that have any gradient."""
    typical = column_quantiles(flow, (0.5,))[0]
    depth = np.flatnonzero(np.isfinite(typical) & (typical > 0))
    return depth.astype(float), np.log10(typical[depth])


def _stop(layers: tuple[str, ...], flow: Array) -> str:
    """Return the layer that gets a gradient while no layer before it does."""
    reached = np.flatnonzero((np.nan_to_num(flow) != 0).any(axis=0))
    return clean_text(layers[reached[0]]) if len(reached) and reached[0] > 0 else ""


def _drop(layers: tuple[str, ...], flow: Array) -> str:
    """Return the layer across which the gradient falls most, coming from the output."""
    depth, logs = _profile(flow)
    if len(depth) < 2 or np.diff(logs).max() < 0.5:
        return ""
    return clean_text(layers[int(depth[int(np.diff(logs).argmax()) + 1])])


def _advice(
    dead: list[str], unused: list[str], stop: str, drop: str, verdict: Verdict
) -> tuple[str, ...]:
    lines = []
    if dead:
        place = f"`{stop}`" if stop else f"the layers that use `{dead[0]}`"
        lines.append(
            f"Look at {place}: dead rectifiers, `detach()`, `.data`, `argmax` or rounding let no "
            "gradient through."
        )
    elif verdict is Verdict.FAIL or (verdict is Verdict.WARN and not unused):
        lines.append(
            f"Look at `{drop}` and what follows it: replace sigmoid or tanh by ReLU or GELU, and "
            "put normalisation or a residual connection around it."
        )
        lines.append(
            "Initialise for the activation: `torch.nn.init.kaiming_normal_` before ReLU, "
            "`torch.nn.init.xavier_uniform_` before tanh."
        )
    if unused:
        lines.append(
            f"Use `{unused[0]}` in `forward`, or remove it or set `requires_grad_(False)`: it is "
            "saved and counted but never trained."
        )
    return tuple(lines)


def _figures(
    norms: GradientNorms, flow: Array, tensors: list[Tensor], order: list[int], limits: Limits
) -> tuple[Figure, ...]:
    shown = [tensors[i] for i in order[:40]]
    bars = Bars(
        title="Gradient of each weight, below the median weight's",
        caption="How many times smaller a weight's gradient, relative to its weights, is than the "
        f"median's; the {len(shown)} smallest of {len(tensors)}.",
        label="times below the median",
        labels=tuple(tensor.name for tensor in shown),
        values=tuple(tensor.below for tensor in shown),
        low=tuple(tensor.low for tensor in shown),
        high=tuple(tensor.high for tensor in shown),
        guides=limits["below_median"].guides(),
        log=True,
    )
    plot = by_depth(
        flow,
        norms.layers,
        "gradient",
        tuple(
            Guide(1 / g.value, f"{g.severity} below {1 / g.value:g}", g.severity)
            for g in limits["fade"].guides()
            if g.value > 0
        ),
    )
    return (plot, bars) if plot else (bars,)
