"""Gradients that grow on their way from the loss to the first layers, or leap between batches.

What it does
------------
Follows the gradient of the loss from the last layer to the first, looks for gradients that are not
finite, and compares the batches with one another.

Why it matters
--------------
Where each layer multiplies the gradient by more than one, depth makes it astronomic: the first
layers are thrown far away by a single step, the loss leaps or turns NaN, and only a learning rate
too small for the other layers keeps it together.

How it is measured
------------------
Everything is relative, so the scale of the loss has no say. The growth is the gradient's norm at
the outputs of the first layers over that at the last ones (medians of up to five layers, geometric
mean over batches with its interval); it counts only where the trend over all layers (Theil-Sen)
points the same way. A leap is the largest batch's gradient over the median batch's, divided by the
same ratio of their losses: a batch that is merely hard has a large loss as well. A gradient that is
not finite fails.

When it misleads
----------------
Small activations (an embedding before layer normalisation) make the gradients at their place large,
by a factor of up to 100, without harm. Adaptive optimisers and clipping hide the effect in
training. In recurrent networks the growth is over time steps, which the leaps alone show.

What to do
----------
Clip the gradient's norm, add normalisation or residual connections, initialise with a smaller gain,
and cut or gate long recurrences.

Source
------
Pascanu, Mikolov, Bengio 2013, "On the difficulty of training recurrent neural networks" (growth,
cliffs and clipping); Bengio, Simard, Frasconi 1994; Glorot & Bengio 2010.
"""

import numpy as np

from auditor.core.by_depth import by_depth
from auditor.core.check import Limits, Seen, check
from auditor.core.finding import Judgement, Limit, Metric, Place
from auditor.core.statistics import (
    column_quantiles,
    first_over_last,
    geometric_interval,
    theil_sen,
)
from auditor.core.text import clean_text, counted, listed
from auditor.core.values import Array
from auditor.core.verdict import Verdict, worst
from auditor.observations.gradients import GradientNorms, GradientNormsOver

GRADIENTS = GradientNormsOver()

FEWEST_BATCHES = 3
"""Batches from which on one of them can be told from the typical one."""


@check(
    title="Gradients keep their scale over depth",
    failure_title="Gradients explode",
    needs=(GRADIENTS,),
    limits={
        "growth": Limit(
            warn=1e3,
            fail=1e5,
            source="an embedding under layer normalisation accounts for a factor of 100 without "
            "harm; at 1e5 no learning rate serves both ends (Pascanu et al. 2013)",
        ),
        "leap": Limit(
            warn=1e3,
            source="a gradient 1,000 times that of the median batch, for no larger loss, is a "
            "cliff as in Pascanu et al. 2013, section 2.3",
        ),
    },
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge the growth over depth, the leaps between batches, and whether all is finite."""
    norms = seen[GRADIENTS]
    table = np.asarray(norms.parameter_norms, float)
    flow = np.asarray(norms.activation_norms, float)
    if np.isinf(table).any() or np.isinf(flow).any():
        return _not_finite(norms, table, flow)
    largest = np.fmax.reduce(table, axis=1, initial=np.finfo(float).tiny)[:, None]
    whole = (largest * np.sqrt(np.nansum((table / largest) ** 2, axis=1, keepdims=True)))[:, 0]
    if not (whole > 0).any():
        return Judgement(
            Verdict.NOT_APPLICABLE, "No batch gave a gradient, so there is no growth to look at."
        )
    growth, low, high = geometric_interval(first_over_last(flow))
    typical = column_quantiles(flow, (0.5,))[0]
    depth = np.flatnonzero(np.isfinite(typical) & (typical > 0))
    slope, *bounds = theil_sen(depth.astype(float), np.log10(typical[depth]))
    rising, (leap, batch) = slope < 0, _leap(whole, np.asarray(norms.losses, float))
    verdict_growth = verdict_leap = Verdict.PASS
    if rising and np.isfinite(growth):
        verdict_growth = limits["growth"].verdict(growth, low, high)
    if leap is not None:
        verdict_leap = limits["leap"].verdict(leap)
    if not np.isfinite(growth) and leap is None:
        return Judgement(
            Verdict.NOT_APPLICABLE,
            f"One layer and {counted(len(whole), 'batch', 'batches')} leave nothing to compare.",
        )
    usual = float(np.median(whole[whole > 0]))
    steepest = "" if verdict_growth is Verdict.PASS else _steepest(norms.layers, depth, typical)
    parts = []
    if np.isfinite(growth):
        verb = "is" if verdict_growth is Verdict.PASS else "grows until it is"
        where = f", most of it at `{steepest}`" if steepest else ""
        parts.append(
            f"On the way from the last layers to the first the gradient {verb} {growth:.2g} times "
            f"what it was (95 % interval {low:.2g} to {high:.2g}){where}."
        )
    if leap is not None and verdict_leap is not Verdict.PASS:
        parts.append(
            f"Batch {batch} has a gradient {whole[batch] / usual:.2g} times the median batch's, "
            f"{leap:.2g} times more than its loss explains."
        )
    elif leap is not None:
        parts.append(
            f"The largest gradient of a batch is {whole.max() / usual:.2g} times the median "
            "batch's."
        )
    verdict = worst((verdict_growth, verdict_leap))
    plot = by_depth(flow, norms.layers, "gradient", limits["growth"].guides())
    return Judgement(
        verdict,
        " ".join(parts),
        metrics=(
            *(
                (
                    Metric(
                        "growth from last to first layers",
                        growth,
                        "times",
                        low,
                        high,
                        limits["growth"],
                    ),
                    Metric(
                        "growth per layer towards the input",
                        -slope,
                        "decades",
                        -bounds[1],
                        -bounds[0],
                    ),
                )
                if np.isfinite(growth)
                else ()
            ),
            Metric(
                "largest leap between batches beyond the loss's",
                leap,
                "times",
                limit=limits["leap"],
            ),
            Metric("median norm of the whole gradient", usual),
        ),
        where=(Place("layer", steepest, "steepest growth"),) if steepest else (),
        advice=_advice(usual, steepest) if verdict is not Verdict.PASS else (),
        figures=(plot,) if plot else (),
    )


def _not_finite(norms: GradientNorms, table: Array, flow: Array) -> Judgement:
    batches = np.isinf(table).any(axis=1) | np.isinf(flow).any(axis=1)
    counts = np.isinf(table).sum(axis=0)
    names = [
        clean_text(norms.parameters[column])
        for column in np.argsort(-counts, kind="stable")
        if counts[column]
    ]
    return Judgement(
        Verdict.FAIL,
        f"The gradient is not finite in {int(batches.sum()):,} of "
        f"{counted(len(table), 'batch', 'batches')}"
        + (f", at {listed(names, 3)}." if names else "."),
        metrics=(Metric("batches with gradients not finite", int(batches.sum())),),
        where=tuple(Place("parameter", name, "gradient not finite") for name in names),
        advice=(
            "Run one such batch under `torch.autograd.set_detect_anomaly(True)`: it names the "
            "operation whose gradient is NaN or infinite.",
            "Clipping does not help here: the norm of a gradient with NaN is NaN, and clipping by "
            "it spoils every weight. Skip the step instead, as "
            "`torch.nn.utils.clip_grad_norm_(..., error_if_nonfinite=True)` lets you.",
        ),
    )


def _leap(whole: Array, losses: Array) -> tuple[float | None, int]:
    """Return by how much a batch's gradient exceeds the median's more than its loss does, at most.

    With it comes the number of that batch.
    """
    known = np.flatnonzero((whole > 0) & np.isfinite(losses))
    usual = float(np.median(np.abs(losses[known]))) if len(known) else 0.0
    if len(known) < FEWEST_BATCHES or usual == 0:
        return None, 0
    harder = np.maximum(np.abs(losses[known]) / usual, 1)
    leaps = whole[known] / np.median(whole[known]) / harder
    return float(leaps.max()), int(known[leaps.argmax()])


def _steepest(layers: tuple[str, ...], depth: Array, typical: Array) -> str:
    """Return the layer across which the gradient grows most, coming from the output."""
    steps = np.diff(np.log10(typical[depth]))
    return clean_text(layers[int(depth[int(steps.argmin()) + 1])]) if len(steps) else ""


def _advice(usual: float, steepest: str) -> tuple[str, ...]:
    place = f"around `{steepest}`" if steepest else "between the layers"
    return (
        "Clip the gradient before each step: `torch.nn.utils.clip_grad_norm_(model.parameters(), "
        f"{3 * usual:.2g})`, three times the median norm seen here.",
        f"Put normalisation or a residual connection {place}, or initialise its weights with a "
        "smaller gain.",
    )
