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
on every batch fails. One that gets none at all though its module ran is cut off from the loss:
that fails where it runs before every weight that does learn, since the model then rests on what it
was born with, and warns elsewhere, as one that is not used at all does.

When it misleads
----------------
Adaptive optimisers such as Adam divide the scale of the gradient out, so that a moderate fade costs
them little. Tables of which a batch uses few rows, and the queries and keys of attention, have
smaller gradients by nature, though not by a factor of 1,000. Experts or heads that these batches do
not use look dead, and a part whose result the loss leaves out on purpose looks cut off.

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
from auditor.core.statistics import column_quantiles, first_over_last, geometric_interval, theil_sen
from auditor.core.text import clean_text, counted, listed
from auditor.core.values import Array
from auditor.core.verdict import SEVERITY, Verdict, worst
from auditor.observations.gradients import GradientNorms, GradientNormsOver

GRADIENTS = GradientNormsOver()

SMALLEST = "smallest relative gradient, below the median"

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
        return _not_applicable(
            "Every trainable weight of two or more dimensions is zero or not finite, so no "
            "gradient can be compared with its weights."
            if any(dimensions >= 2 for dimensions in norms.dimensions)
            else "The model has no trainable weight of two or more dimensions."
        )
    if not rows.any():
        return _not_applicable("No batch gave finite gradients, so none could be compared.")
    absent = np.isnan(table).all(axis=0)
    zero = ~absent & (np.nan_to_num(table) == 0).all(axis=0)
    live = ~(absent | zero)
    stop, drop = _stop(norms.layers, flow), _drop(norms.layers, flow)
    if not live.any():
        return _nothing(norms, names, absent, stop)
    ran = np.asarray(norms.used, bool)[columns] if norms.used else np.zeros(len(names), bool)
    dead, severed, unused, alive = (
        [names[place] for place in np.flatnonzero(kind)]
        for kind in (zero, absent & ran, absent & ~ran, live)
    )
    tensors = _compared(alive, table[:, live] / np.asarray(norms.weight_norms)[columns][live])
    factor, low, high = geometric_interval(first_over_last(flow[:, ::-1]))
    known = bool(np.isfinite(factor))
    fade = limits["fade"].verdict(factor, low, high) if known else Verdict.PASS
    limit = limits["below_median"]
    verdicts = {t.name: limit.verdict(t.below, t.low, t.high) for t in tensors}
    tensors.sort(key=lambda t: (SEVERITY[verdicts[t.name]], t.below), reverse=True)
    top, below = tensors[0], [t for t in tensors if verdicts[t.name] is not Verdict.PASS]
    fading = worst((fade, verdicts[top.name]))
    rootless = bool(severed) and np.argmax(absent & ran) < np.argmax(live)
    lost = Verdict.WARN if severed or unused else Verdict.PASS
    lost = Verdict.FAIL if dead or rootless else lost
    parts = _without(dead, severed, unused, stop)
    if fade is not Verdict.PASS:
        place = f", most of it at `{drop}`" if drop else ""
        parts.append(
            f"On the way from the last layers to the first the gradient shrinks by a factor of "
            f"{factor:.2g} (95 % interval {low:.2g} to {high:.2g}){place}."
        )
    if below:
        parts.append(
            f"Relative to its weights the gradient of `{top.name}` is {top.below:.2g} times "
            "smaller than the median weight's."
        )
    if not parts:
        reach = f"The gradient reaches {counted(len(tensors), 'weight')} of {len(names):,}"
        if known:
            reach += f" and fades by a factor of {factor:.2g} from the last layers to the first"
        parts.append(
            f"{reach}; relative to its weights the smallest, of `{top.name}`, is {top.below:.2g} "
            "times below the median weight's."
        )
    slope, least, most = theil_sen(*_profile(flow))
    metrics = (
        Metric("fade from last to first layers", factor, "times", low, high, limits["fade"]),
        Metric("fade per layer towards the input", slope, "decades", least, most),
        Metric(SMALLEST, top.below, "times", top.low, top.high, limit),
        Metric("weights with a gradient of exactly zero", len(dead), f"of {len(names)}"),
        Metric("weights without a gradient", int(absent.sum()), f"of {len(names)}"),
    )
    return Judgement(
        worst((fading, lost)),
        " ".join(parts),
        metrics=tuple(m for m in metrics if m.value is not None and np.isfinite(m.value)),
        where=(
            *([Place("layer", stop, "the gradient gets no further")] if stop and dead else []),
            *(Place("parameter", name, "gradient exactly zero") for name in dead),
            *(Place("parameter", name, "ran, but gets no gradient at all") for name in severed),
            *(Place("parameter", t.name, f"{t.below:.2g} times below median") for t in below),
            *([Place("layer", drop, "steepest drop")] if drop and fade is not Verdict.PASS else []),
            *(Place("parameter", name, "no gradient at all") for name in unused),
        ),
        advice=(
            *([_look_at(f"`{stop}`" if stop else f"what uses `{dead[0]}`")] if dead else []),
            *_advice(severed, unused, "" if dead or fading is Verdict.PASS else drop or top.name),
        ),
        figures=_figures(norms, flow, tensors, limits),
    )


def _without(dead: list[str], severed: list[str], unused: list[str], stop: str) -> list[str]:
    """Return a sentence for each kind of weight that is without a gradient."""
    place = f", as the gradient stops at `{stop}`" if stop else ""
    kinds = (
        (dead, f"a gradient of exactly zero in all batches{place}"),
        (severed, "no gradient at all, though used in the forward pass"),
        (unused, "no gradient at all"),
    )
    return [
        f"{counted(len(names), 'weight')} {'gets' if len(names) == 1 else 'get'} {what}: "
        f"{listed(names, 3)}."
        for names, what in kinds
        if names
    ]


def _not_applicable(reason: str) -> Judgement:
    return Judgement(Verdict.NOT_APPLICABLE, reason)


def _nothing(norms: GradientNorms, names: list[str], absent: Array, stop: str) -> Judgement:
    if not absent.all() and (np.asarray(norms.losses) == 0).all():
        return _not_applicable("The loss is exactly 0 on every batch, so no gradient is left.")
    loss = float(np.median(norms.losses))
    how = "gets no gradient at all" if absent.all() else "gets no gradient other than zero"
    return Judgement(
        Verdict.FAIL,
        f"Every one of {counted(len(names), 'weight')} {how}, though the loss is {loss:.3g}"
        + (f": the gradient stops at `{stop}`." if stop else "."),
        metrics=(Metric("weights with a gradient", 0, f"of {len(names)}"), Metric("loss", loss)),
        where=(
            *([Place("layer", stop, "the gradient gets no further")] if stop else []),
            *(Place("parameter", name, how) for name in names),
        ),
        advice=(_look_at(f"`{stop}`"),)
        if stop
        else (
            "Look between the model's output and the loss for `detach()`, `.data`, `.item()`, "
            "`argmax`, rounding or `torch.no_grad()`.",
            "Look at the last layer: a softmax over one output, or a rectifier whose units are all "
            "dead, gives a constant, which has no slope.",
        ),
    )


def _compared(names: list[str], relative: Array) -> list[Tensor]:
    """Return each tensor's relative gradient against the median tensor's, batch by batch."""
    given = np.where(relative > 0, relative, np.nan)
    below = column_quantiles(given.T, (0.5,)).T / given
    return [Tensor(n, *geometric_interval(b)) for n, b in zip(names, below.T, strict=True)]


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


def _look_at(place: str) -> str:
    return (
        f"Look at {place}: dead rectifiers, `detach()`, `.data`, `argmax` or rounding let no "
        "gradient through."
    )


def _advice(severed: list[str], unused: list[str], drop: str) -> list[str]:
    lines = []
    if severed:
        lines.append(
            f"Look in `forward` at what follows `{severed[0]}`: `detach()`, `torch.no_grad()`, "
            "`.data` or `argmax` cuts it off from the loss. If that is on purpose, set "
            "`requires_grad_(False)`."
        )
    if drop:
        lines += [
            f"Look at `{drop}` and what follows it: replace sigmoid or tanh by ReLU or GELU, and "
            "put normalisation or a residual connection around it.",
            "Initialise for the activation: `torch.nn.init.kaiming_normal_` before ReLU, "
            "`torch.nn.init.xavier_uniform_` before tanh.",
        ]
    if unused:
        lines.append(
            f"Use `{unused[0]}` in `forward`, or remove it or set `requires_grad_(False)`: it is "
            "saved and counted but never trained."
        )
    return lines


def _figures(
    norms: GradientNorms, flow: Array, tensors: list[Tensor], limits: Limits
) -> tuple[Figure, ...]:
    shown = tensors[:40]
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
    fade = ((g.severity, 1 / g.value) for g in limits["fade"].guides() if g.value > 0)
    guides = tuple(Guide(value, f"{side} below {value:g}", side) for side, value in fade)
    plot = by_depth(flow, norms.layers, "gradient", guides)
    return (plot, bars) if plot else (bars,)
