"""Gradients that grow over depth, at one layer, back through time, or from batch to batch.

What it does
------------
Follows the gradient of the loss from the last layer to the first, fits the rate at which it changes
per layer, looks for gradients that are not finite, and compares the batches with one another.
Through recurrent layers it follows the gradient back in time.

Why it matters
--------------
Where each layer multiplies the gradient by more than one, depth makes it astronomic: the first
layers are thrown far away by a single step, the loss leaps or turns NaN, and only a learning rate
too small for the other layers keeps it together.

How it is measured
------------------
Everything is relative, so the scale of the loss has no say. The growth is the gradient's norm at
the outputs of the first layers with weights over that at the last ones (medians of up to five
layers, geometric mean over batches with its interval). Depth is counted along the longest path from
the input, so that parallel branches stand beside one another. The rate per layer is the median
slope of the logarithm over all pairs of layers; the growth counts only where this rate points the
same way, or where one step makes up half of it or more, which is then named; a single step counts
by itself too where no layer keeps clear of it. Through time the
gradient of the loss by what a recurrent layer takes in is read step by step, on a copy without
dropout, and the first quarter of the steps is compared with the last. A leap is the largest batch's
gradient over the median batch's, divided by the same ratio of their losses: a batch that is merely
hard has a large loss as well. A gradient that is not finite fails.

When it misleads
----------------
Small activations (an embedding before layer normalisation) make the gradients at their place large,
by a factor of up to 100, without harm. Adaptive optimisers and clipping hide the effect in
training. Where every step of a sequence has a loss of its own, early steps get a larger gradient
by nature, by as many times as there are steps.

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

from auditor.core import probes, snippets
from auditor.core.advice import step
from auditor.core.check import Limits, Seen, check
from auditor.core.figure import Bars, Lines
from auditor.core.finding import Judgement, Limit, Metric, Place
from auditor.core.foremost import foremost, how_many
from auditor.core.text import clean_text, counted, interval, listed
from auditor.core.values import Array
from auditor.core.verdict import Verdict, worst
from auditor.observations.gradient_flow import (
    Flow,
    Rate,
    Step,
    change,
    flow_of,
    in_words,
    jump,
    plot_of,
    rate_of,
    steps_of,
    sudden,
)
from auditor.observations.gradients import GradientNorms, GradientNormsOver
from auditor.observations.through_time import ThroughTimeOver
from auditor.observations.time_course import growing

GRADIENTS = GradientNormsOver()
TIME = ThroughTimeOver()

FEWEST_BATCHES = 3
"""Batches from which on one of them can be told from the typical one."""


@check(
    title="Gradients keep their scale over depth",
    failure_title="Gradients explode",
    needs=(GRADIENTS,),
    wants=(TIME,),
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
    """Judge the growth over depth and time, the leaps between batches, and what is not finite."""
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
    shown = flow_of(norms)
    growth, low, high = change(shown)
    steps = steps_of(norms)
    rate, sharp = rate_of(shown.outputs, shown.depth), jump(steps, growth)
    rises = [
        s for s in sudden(norms, steps, float(limits["growth"].warn or np.inf)) if s.factor > 1
    ]
    rises = [step for step in rises if step.all_of_it]
    rising = growth > 1 and (sharp is not None or (rate is not None and rate.factor > 1))
    leap, batch = _leap(whole, np.asarray(norms.losses, float))
    time = growing(seen.get(TIME), limits["growth"])
    verdict_growth = verdict_leap = Verdict.PASS
    if rising:
        verdict_growth = limits["growth"].verdict(growth, low, high)
    if rises and verdict_growth is Verdict.PASS:
        sharp = rises[0]
        verdict_growth = limits["growth"].verdict(sharp.factor, sharp.low, sharp.high)
        growth, low, high = sharp.factor, sharp.low, sharp.high
    if leap is not None:
        verdict_leap = limits["leap"].verdict(leap)
    if not np.isfinite(growth) and leap is None and not time.metrics:
        return Judgement(
            Verdict.NOT_APPLICABLE,
            f"One layer and {counted(len(whole), 'batch', 'batches')} leave nothing to compare.",
        )
    usual = float(np.median(whole[whole > 0]))
    parts = []
    if np.isfinite(growth):
        found = verdict_growth is not Verdict.PASS
        place = in_words(rate, "grows")
        if found and sharp:
            place = f", most of it at `{clean_text(sharp.layer)}`"
        parts.append(
            f"On the way from the last layers to the first the gradient "
            f"{'grows until it is' if found else 'is'} {growth:.2g} times "
            f"what it was{interval(low, high)}{place}."
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
    verdict = worst((verdict_growth, verdict_leap, time.verdict))
    grows = verdict_growth is not Verdict.PASS
    first = shown.names[0] if grows and not sharp else ""
    return Judgement(
        verdict,
        " ".join([*parts, *time.sentences]),
        metrics=(
            *_metrics(growth, low, high, rate, limits),
            Metric(
                "largest leap between batches beyond the loss's",
                leap,
                "times",
                limit=limits["leap"],
            ),
            Metric("median norm of the whole gradient", usual),
            *time.metrics,
        ),
        where=(
            *([_rise(sharp)] if grows and sharp else []),
            *([Place("layer", clean_text(first), f"{growth:.2g} times the last")] if first else []),
            *time.where,
        ),
        advice=(
            *(
                _advice(usual, sharp)
                if worst((verdict_growth, verdict_leap)) is not Verdict.PASS
                else ()
            ),
            *time.advice,
        ),
        figures=(*_figures(shown, limits), *time.figures),
    )


def _metrics(
    growth: float, low: float, high: float, rate: Rate | None, limits: Limits
) -> tuple[Metric, ...]:
    if not np.isfinite(growth):
        return ()
    whole = Metric("growth from last to first layers", growth, "times", low, high, limits["growth"])
    if rate is None:
        return (whole,)
    return (
        whole,
        Metric("growth per layer towards the input", rate.factor, "times", rate.low, rate.high),
    )


def _figures(flow: Flow, limits: Limits) -> tuple[Lines, ...]:
    plot = plot_of(
        flow,
        limits["growth"].guides(),
        "A line that rises towards the left grows on its way from the loss to the input.",
    )
    return (plot,) if plot else ()


def _rise(step: Step) -> Place:
    note = f"steepest growth: {step.factor:.2g} times its gradient reaches"
    return Place("layer", clean_text(step.layer), f"{note} `{clean_text(step.before)}`")


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
        figures=_broken(norms, counts, len(table)),
        metrics=(Metric("batches with gradients not finite", int(batches.sum())),),
        where=(
            *(
                Place(
                    "layer", clean_text(norms.layers[column]), "gradient not finite at its output"
                )
                for column in np.flatnonzero(np.isinf(flow).any(axis=0))[-1:]
            ),
            *(Place("parameter", name, "gradient not finite") for name in names[:40]),
        ),
        advice=(
            step(
                f"Run such a batch, number {int(batches.argmax()) + 1} in the loader's order, "
                "with anomaly detection: it names the operation whose gradient is NaN or infinite.",
                probes.anomaly(int(batches.argmax())),
            ),
            step(
                "Clipping does not help here: the norm of a gradient with NaN is NaN, and clipping "
                "by it spoils every weight. Skip the step instead.",
                "norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)\n"
                "if torch.isfinite(norm):\n"
                "    optimizer.step()\n"
                "optimizer.zero_grad()",
            ),
        ),
    )


def _broken(norms: GradientNorms, counts: Array, batches: int) -> tuple[Bars, ...]:
    """Return in how many batches each parameter's gradient is not finite."""
    if not counts.any():
        return ()
    shown = foremost(counts.tolist())
    return (
        Bars(
            title="Batches with gradients that are not finite",
            caption=f"Of {batches:,}, by parameter in the model's order; the first from the output "
            f"is where it begins.{how_many(len(shown), len(counts), 'parameters')}",
            label="batches",
            labels=tuple(clean_text(norms.parameters[place]) for place in shown),
            values=tuple(float(counts[place]) for place in shown),
            marked=tuple(bool(counts[place]) for place in shown),
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


def _advice(usual: float, sharp: Step | None) -> tuple[str, ...]:
    place = f"around `{clean_text(sharp.layer)}`" if sharp else "between the layers"
    return (
        step(
            f"Clip the gradient before each step at {3 * usual:.2g}, three times the median norm "
            "seen here:",
            snippets.clipped(snippets.digits(3 * usual)),
        ),
        f"Put normalisation or a residual connection {place}, or initialise its weights with a "
        "smaller gain.",
    )
