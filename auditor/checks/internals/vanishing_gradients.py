"""Gradients that fade over depth, at one layer, or back through time.

What it does
------------
Follows the gradient of the loss from the last layer to the first, fits the rate at which it changes
per layer, and compares the gradients of all weights with one another. Through recurrent layers it
follows the gradient back in time.

Why it matters
--------------
With one learning rate for all, a layer whose gradient is a thousand times smaller than the others'
learns a thousand times slower: the model then rests on random features, however long it is trained.
A recurrent layer whose gradient dies out on the way back can't learn from what came early.

How it is measured
------------------
Everything is relative, so the scale of the loss has no say. The fade is the gradient's norm at the
outputs of the last layers with weights over that at the first ones (medians of up to five layers,
geometric mean over batches with its interval). Depth is counted along the longest path from the
input, so that parallel branches stand beside one another. The rate per layer is the median slope of
the logarithm over all pairs of layers, which a single odd layer does not move; where one step makes
up half of the fade or more, that layer is named instead. A drop of a thousand times across a single
layer warns wherever it is, unless a branch alone suffers it, which may be by design up to a hundred
thousand times. Each weight tensor's gradient, relative to
the norm of the weights, is compared with that of the median tensor. Only tensors of two or more
dimensions count: a bias before batch normalisation has no gradient by nature. A tensor whose
gradient is exactly zero on every batch fails. One that gets none at all though its module ran is
cut off from the loss: that fails where it runs before every weight that does learn, and warns
elsewhere, as one that is not used at all does. Through time the gradient of the loss by what a
recurrent layer takes in at each step is read on a copy without dropout; the quarter of the steps
where it is smallest is compared with that where it is largest, padding left out. It warns only
where fresh weights show the same: a trained layer may have learnt to look no further.

When it misleads
----------------
Adaptive optimisers such as Adam divide the scale of the gradient out, so that a moderate fade costs
them little. Tables of which a batch uses few rows, and the queries and keys of attention, have
smaller gradients by nature, though not by a factor of 1,000. Experts or heads that these batches do
not use look dead, and a part whose result the loss leaves out on purpose looks cut off. Where every
step has a loss of its own, as in a language model, a fade through time does not show.

What to do
----------
Replace saturating activations (sigmoid, tanh) in deep stacks by ReLU or GELU, add residual
connections or normalisation, and initialise for the activation used (He, Glorot). A plain stack of
more than ten layers wants shortcuts, or fewer layers. Where the gradient stops dead, look for
`detach()`, `.data`, `argmax`, rounding, or a dead layer. Through time, use gates with a forget bias
of 1, shorter sequences, or attention.

Source
------
Bengio, Simard, Frasconi 1994, "Learning long-term dependencies with gradient descent is difficult";
Glorot & Bengio 2010, "Understanding the difficulty of training deep feedforward neural networks";
Pascanu, Mikolov, Bengio 2013, "On the difficulty of training recurrent neural networks";
Srivastava, Greff, Schmidhuber 2015, "Training Very Deep Networks" (depth without shortcuts).
"""

from dataclasses import dataclass

import numpy as np

from auditor.core import probes, snippets
from auditor.core.advice import step
from auditor.core.by_depth import table_by_depth
from auditor.core.check import Limits, Seen, check
from auditor.core.figure import Figure, Guide, Table
from auditor.core.finding import Judgement, Limit, Metric, Place
from auditor.core.statistics import column_quantiles, geometric_interval, reciprocal
from auditor.core.text import clean_text, counted, interval
from auditor.core.verdict import SEVERITY, Verdict, worst
from auditor.observations.gradient_flow import (
    Rate,
    Step,
    change,
    flow_of,
    in_words,
    jump,
    lost_on_the_way,
    plot_of,
    rate_of,
    steps_of,
    sudden,
)
from auditor.observations.gradient_gaps import MOST_PLACES, WORST_FADE, Gaps, gaps_of, look_at
from auditor.observations.gradients import GradientNorms, GradientNormsOver
from auditor.observations.through_time import ThroughTimeOver, pace_of
from auditor.observations.time_course import fading

GRADIENTS = GradientNormsOver()
TIME, FRESH_TIME = ThroughTimeOver(), ThroughTimeOver("fresh")

GROWS = 10.0
"""Growth of a gradient through time from which on a layer's is no measure of the others'."""

MOST_PLAIN = 10
"""Layers in a row that train well without shortcuts or normalisation (Srivastava, Greff &
Schmidhuber 2015, "Training Very Deep Networks": plain ones get worse from there on)."""

SMALLEST = "smallest relative gradient, below the median"

SOURCE = (
    "Glorot & Bengio 2010 saw five layers learn slowly at a far smaller fade; at 1e3 one learning "
    "rate can't serve both ends, at 1e5 the first layers stay where they started"
)


@dataclass(frozen=True)
class Tensor:
    """A weight: by what factor its relative gradient is below the median tensor's."""

    name: str
    home: str
    below: float
    low: float
    high: float


@check(
    title="Gradients reach every layer",
    failure_title="Gradients vanish",
    needs=(GRADIENTS,),
    wants=(TIME, FRESH_TIME),
    limits={
        "fade": Limit(warn=1e3, fail=1e5, source=SOURCE),
        "step": Limit(warn=1e3, fail=1e5, source=f"{SOURCE}; here across a single layer"),
        "below_median": Limit(warn=1e3, fail=1e5, source=f"{SOURCE}; here of a single tensor"),
        "time_fade": Limit(
            warn=1e6,
            source="a share of 1e-6 is lost when float32, of 24 bits (IEEE 754), adds it to the "
            "rest of a weight's gradient: those steps teach nothing (Pascanu et al. 2013)",
        ),
    },
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge the fade over depth and time, and each weight's gradient against the median's."""
    norms = seen[GRADIENTS]
    columns = [
        column
        for column, dimensions in enumerate(norms.dimensions)
        if dimensions >= 2 and 0 < norms.weight_norms[column] < np.inf
    ]
    names = [clean_text(norms.parameters[column]) for column in columns]
    rows = ~np.isinf(np.asarray(norms.parameter_norms, float)[:, columns]).any(axis=1)
    if not names:
        return _not_applicable(
            "Every trainable weight of two or more dimensions is zero or not finite, so no "
            "gradient can be compared with its weights."
            if any(dimensions >= 2 for dimensions in norms.dimensions)
            else "The model has no trainable weight of two or more dimensions."
        )
    if not rows.any():
        return _not_applicable("No batch gave finite gradients, so none could be compared.")
    norms = norms.over(rows)
    table = np.nan_to_num(np.asarray(norms.parameter_norms, float)[:, columns])
    live, gaps = (table > 0).any(axis=0), gaps_of(norms, columns)
    if not live.any() and not gaps.waiting:
        return _nothing(norms, names, gaps)
    if not live.any():
        return Judgement(Verdict.INFO, " ".join(gaps.sentences()))
    growing = {
        reach.layer
        for reach in (seen[TIME].reaches if seen.get(TIME) else ())
        if not reach.both_ways and pace_of(reach).growth[0] > GROWS
    }
    tensors = _compared(norms, [columns[place] for place in np.flatnonzero(live)], growing)
    flow, steps = flow_of(norms), steps_of(norms)
    growth = change(flow)
    factor, high, low = (1 / value if value > 0 else np.inf for value in growth)
    known = bool(np.isfinite(factor))
    fade = limits["fade"].verdict(factor, low, high) if known else Verdict.PASS
    rate, sharp = rate_of(flow.outputs, flow.depth), jump(steps, growth[0])
    limit = limits["below_median"]
    verdicts = {t.name: limit.verdict(t.below, t.low, t.high) for t in tensors}
    tensors.sort(key=lambda t: (SEVERITY[verdicts[t.name]], t.below), reverse=True)
    top, below = tensors[0], [t for t in tensors if verdicts[t.name] is not Verdict.PASS]
    if sharp is None and below:
        sharp = lost_on_the_way(steps, top.home, top.below)
    step_limit = limits["step"]
    drops = [
        (verdict, step)
        for step in sudden(norms, steps, least=float(step_limit.warn or np.inf))
        if step.factor < 1 and (verdict := _of_step(step, step_limit)) is not Verdict.PASS
    ]
    lost = Verdict.WARN if gaps.severed or gaps.unused else Verdict.PASS
    lost = Verdict.FAIL if gaps.dead or gaps.rootless else lost
    time = fading(seen.get(TIME), seen.get(FRESH_TIME), limits["time_fade"])
    verdict = worst((fade, verdicts[top.name], lost, time.verdict, *(v for v, _ in drops)))
    if verdict is Verdict.PASS and (gaps.waiting or gaps.doubtful or time.undecided):
        verdict = Verdict.INFO
    parts = gaps.sentences()
    if fade is not Verdict.PASS:
        parts.append(
            f"On the way from the last layers to the first the gradient shrinks by a factor of "
            f"{factor:.2g}{interval(low, high)}"
            + (
                f", most of it at `{clean_text(sharp.layer)}`"
                if sharp
                else in_words(rate, "shrinks")
            )
            + "."
        )
    if below:
        place = f", lost at `{clean_text(sharp.layer)}`" if sharp and fade is Verdict.PASS else ""
        parts.append(
            f"Relative to its weights the gradient of `{top.name}` is {top.below:.2g} times "
            f"smaller than the median weight's{place}."
        )
    if drops and fade is Verdict.PASS and not below:
        sharp = drops[0][1]
        whose = "of the gradient" if sharp.all_of_it else "of a branch's gradient"
        parts.append(
            f"At `{clean_text(sharp.layer)}` all but {sharp.factor:.2g}"
            f"{interval(sharp.low, sharp.high)} {whose} is lost."
        )
    if not parts:
        reach = f"The gradient reaches {counted(len(tensors), 'weight')} of {len(names):,}"
        if known:
            way = f"fades by a factor of {factor:.2g}"
            way = way if factor >= 1 else f"grows by a factor of {growth[0]:.2g}"
            reach += f" and {way} from the last layers to the first"
        parts.append(
            f"{reach}; relative to its weights the smallest, of `{top.name}`, is {top.below:.2g} "
            "times below the median weight's."
        )
    troubled = fade is not Verdict.PASS or bool(below) or bool(drops)
    first = flow.names[0] if fade is not Verdict.PASS and not sharp else ""
    deep = rate if rate is not None and rate.layers > MOST_PLAIN else None
    metrics = (
        Metric("fade from last to first layers", factor, "times", low, high, limits["fade"]),
        *(
            [Metric("gradient kept per layer", rate.factor, "times", rate.low, rate.high)]
            if rate
            else []
        ),
        Metric(SMALLEST, top.below, "times", top.low, top.high, limit),
        Metric("weights with a gradient of exactly zero", len(gaps.dead), f"of {len(names):,}"),
        Metric(
            "weights without a gradient", len(gaps.severed) + len(gaps.unused), f"of {len(names):,}"
        ),
        *time.metrics,
    )
    return Judgement(
        verdict,
        " ".join([*parts, *time.sentences]),
        metrics=tuple(m for m in metrics if m.value is not None and np.isfinite(m.value)),
        where=(
            *gaps.first_places(),
            *([_drop(sharp)] if sharp and troubled else []),
            *(_drop(step) for _, step in drops if sharp is None or step.layer != sharp.layer),
            *(
                [
                    Place(
                        "layer",
                        clean_text(first),
                        f"{factor:.2g} times below the last"
                        + (f", over {deep.layers:,} layers" if deep else ""),
                    )
                ]
                if first
                else []
            ),
            *(
                Place("parameter", t.name, f"{t.below:.2g} times below median")
                for t in below[:MOST_PLACES]
            ),
            *gaps.last_places(),
            *time.where,
        ),
        advice=(
            *gaps.first_advice(),
            *([_too_deep(deep)] if first and deep else []),
            *_against(norms, sharp, top if troubled and (gaps.faded or not gaps.dead) else None),
            *gaps.last_advice(),
            *time.advice,
        ),
        figures=(*_figures(norms, tensors, verdicts, limits), *time.figures),
    )


def _drop(step: Step) -> Place:
    note = f"steepest drop: {step.factor:.2g} of its gradient reaches `{clean_text(step.before)}`"
    return Place("layer", clean_text(step.layer), note)


def _not_applicable(reason: str) -> Judgement:
    return Judgement(Verdict.NOT_APPLICABLE, reason)


def _nothing(norms: GradientNorms, names: list[str], gaps: Gaps) -> Judgement:
    absent = not (gaps.dead or gaps.doubtful or gaps.waiting)
    if not absent and (np.asarray(norms.losses) == 0).all():
        return _not_applicable("The loss is exactly 0 on every batch, so no gradient is left.")
    loss = float(np.median(norms.losses))
    if not absent and 0 < abs(loss) < norms.tiny / WORST_FADE:
        return _not_applicable(
            f"At a loss of {loss:.3g} gradients are too small for the precision of this model."
        )
    how = "gets no gradient at all" if absent else "gets no gradient other than zero"
    stop = gaps.stops[0] if gaps.stops else ""
    return Judgement(
        Verdict.FAIL,
        f"Every one of {counted(len(names), 'weight')} {how}, though the loss is {loss:.3g}"
        + (f": the gradient stops at `{stop}`." if stop else "."),
        metrics=(Metric("weights with a gradient", 0, f"of {len(names):,}"), Metric("loss", loss)),
        where=(
            *([Place("layer", stop, "the gradient gets no further")] if stop else []),
            *(Place("parameter", name, how) for name in names[:MOST_PLACES]),
        ),
        figures=(
            Table(
                title="Weights without a gradient",
                caption="The norm of each weight, and the largest norm of its gradient over the "
                "batches; nothing tells that the loss hangs on it.",
                columns=("weight", "norm", "largest gradient"),
                rows=tuple(
                    (
                        clean_text(name),
                        float(norms.weight_norms[column]),
                        float(np.nan_to_num(np.asarray(norms.parameter_norms)[:, column]).max()),
                    )
                    for column, name in list(enumerate(norms.parameters))[:MOST_PLACES]
                ),
            ),
        ),
        advice=(look_at(f"`{stop}`"),)
        if stop
        else (
            step(
                "Look between the model's output and the loss for `detach()`, `.data`, `.item()`, "
                "`argmax`, rounding or `torch.no_grad()`. This names what gets no gradient:",
                probes.gradients_listed(),
            ),
            "Look at the last layer: a softmax over one output, or a rectifier whose units are all "
            "dead, gives a constant, which has no slope.",
        ),
    )


def _compared(norms: GradientNorms, columns: list[int], growing: set[str]) -> list[Tensor]:
    """Return each tensor's relative gradient against the median tensor's, batch by batch.

    Where there are others, layers whose gradient grows through time are no yardstick.
    """
    homes = norms.homes or ("",) * len(norms.parameters)
    steady = np.asarray([homes[column] not in growing for column in columns])
    relative = np.asarray(norms.parameter_norms, float)[:, columns]
    relative = relative / np.asarray(norms.weight_norms, float)[columns]
    given = np.where(relative > 0, relative, np.nan)
    yardstick = given[:, steady] if steady.any() else given
    below = column_quantiles(yardstick.T, (0.5,)).T / given
    return [
        Tensor(
            clean_text(norms.parameters[column]),
            norms.homes[column] if norms.homes else "",
            *geometric_interval(shortfall),
        )
        for column, shortfall in zip(columns, below.T, strict=True)
    ]


def _of_step(step: Step, limit: Limit) -> Verdict:
    """Judge a sudden drop; one that only a branch suffers warns where another would fail."""
    found = limit.verdict(*reciprocal(step.factor, step.low, step.high))
    if step.all_of_it:
        return found
    return Verdict.WARN if found is Verdict.FAIL else Verdict.PASS


def _too_deep(rate: Rate) -> str:
    return (
        f"Put a shortcut around every layer or two (`x + block(x)`), or take layers out: of "
        f"{rate.layers:,} in a row each keeps {rate.factor:.2g} of the gradient, and what a plain "
        f"stack learns gets worse from about {MOST_PLAIN} on."
    )


def _against(norms: GradientNorms, sharp: Step | None, top: Tensor | None) -> list[str]:
    lines = []
    if top and sharp:
        lines.append(
            f"Look at `{clean_text(sharp.layer)}`, and at what `forward` does between "
            f"`{clean_text(sharp.before)}` and it: a scaling by a small constant, weights far "
            f"too small or a saturated activation lets {sharp.factor:.2g} of the gradient through."
        )
    elif top:
        kinds = sorted({kind for kind in norms.kinds if kind in ("Sigmoid", "Tanh", "Softmax")})
        what = " and ".join(f"`{kind}`" for kind in kinds) or "sigmoid or tanh"
        if not kinds and top.home:
            lines.append(
                f"Look in `{clean_text(top.home)}` and right behind it for weights or a scale far "
                f"too small: they decide how much of the gradient `{top.name}` gets."
            )
        lines += [
            f"Replace {what} on the way to `{top.name}` by `nn.ReLU` or `nn.GELU`, and put "
            "normalisation or a residual connection around each block.",
            step(
                "Initialise for the activation before training anew: `kaiming_normal_` before "
                "ReLU, `xavier_uniform_` before tanh.",
                snippets.ALL_INITIALISED,
            ),
        ]
    return lines


def _figures(
    norms: GradientNorms, tensors: list[Tensor], verdicts: dict[str, Verdict], limits: Limits
) -> tuple[Figure, ...]:
    flow = flow_of(norms)
    fade = ((g.severity, 1 / g.value) for g in limits["fade"].guides() if g.value > 0)
    plot = plot_of(
        flow,
        tuple(Guide(value, f"{side} below {value:g}", side) for side, value in fade),
        "A line that falls towards the left fades on its way from the loss to the input.",
    )
    table = table_by_depth(
        "Gradient of each weight, relative to the weight",
        "How many times smaller it is than the median weight's; worst first.",
        ("weight", "times below the median", "low", "high", "verdict"),
        [(t.name, t.below, t.low, t.high, str(verdicts[t.name])) for t in tensors],
        [t.below for t in tensors],
        "weights",
    )
    return (plot, table) if plot else (table,)
