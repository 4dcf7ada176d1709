"""Saliency maps that stay the same when the weights are shuffled.

What it does
------------
Compares the saliency maps of the checkpoint, and Grad-CAM where it can be had, with those of the
same network after its weights were shuffled. A map that does not change shows nothing of what was
learnt.

Why it matters
--------------
Such a map is made by the architecture alone, by a mask or a scale built into the network or by a
path to the output around all trained layers, and whoever looks at it to understand the model is
fooled. Where it is such a path, the training did nothing for the answer either.

How it is measured
------------------
The values within each parameter are shuffled, five times anew; batch norm then takes its
statistics from the data. Maps of up to 24 validation examples are compared by Spearman's rank
correlation, example by example: |gradient| alone, as it does not have the input as a factor.
Places whose input is the same in every example are left out, and so is padding, which no map
marks: they correlate by themselves. Maps of numbers are also compared after multiplying them by
each place's deviation over the examples, and the lower correlation counts: a scale that the data
have, and that the model undoes or lacks, makes one of the two agree. How much correlation the
architecture makes by itself shows between different shuffles (a recurrent network, say, looks at
its last steps whatever its weights). The check warns where the correlation of the model's maps
with shuffled ones is beyond the limit, with its whole interval at 99 % over examples and shuffles
(halved for two methods), and where these maps are not clearly farther from the shuffled ones, by
0.05, than those are from one another. Where the maps at the input of the first layer with weights
do change, the cause lies before it. The cascade shuffles from the output down, as Adebayo et al.
do; it is shown, not judged: the last layers of a sound network may leave its maps much as they
are.

When it misleads
----------------
Weights that are no parameters (buffers, quantised weights) are not shuffled and count as built in.
A mask that is meant to be there, such as a fixed region of interest, is found as well. A model
that was never trained passes: its maps do change. Where the answer is a picture of numbers, and one
place of it is explained, a map that stays is no sign of anything; then it is not judged.

What to do
----------
Find what carries the input to the output without weights: a product with a fixed mask, a sum with
the input, a scale. Until then trust no saliency map of this model.

Source
------
Adebayo et al. 2018, "Sanity Checks for Saliency Maps" (NeurIPS), the model parameter randomisation
test; they draw the weights anew, here they are shuffled, which needs no factory and keeps each
layer's scale.
"""

import math

import numpy as np

from auditor.core.check import Limits, Seen, check
from auditor.core.figure import Bars, Figure, Lines, Series
from auditor.core.finding import Judgement, Limit, Metric, Place
from auditor.core.layer import MODEL
from auditor.core.statistics import mean_interval
from auditor.core.text import clean_text, counted
from auditor.core.verdict import Verdict
from auditor.observations.attributions import (
    FEWEST,
    FEWEST_EXAMPLES,
    Attributions,
    AttributionsOver,
    MapChange,
)

ATTRIBUTIONS = AttributionsOver()

SURE = 0.995
"""Confidence of an interval that decides: 99 % for two methods together."""
APART = 0.05
"""By how much the model's maps have to be farther from shuffled ones than these from one another
to be called its own."""
STILL = 0.05
"""Share of the spread of the outputs within which they count as unmoved by shuffling."""

SOURCE = (
    "Our own: of 15 healthy models of six families none keeps more than 0.6, models with a fixed "
    "mask or a way around their layers keep 0.85 to 1; Adebayo et al. 2018 compare such "
    "correlations and set no limit"
)


@check(
    title="Saliency maps hang on the weights",
    failure_title="Saliency maps hardly hang on the weights",
    needs=(ATTRIBUTIONS,),
    limits={"map_correlation": Limit(warn=0.8, source=SOURCE)},
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge the rank correlation of maps with those of shuffled weights."""
    told, limit = seen[ATTRIBUTIONS], limits["map_correlation"]
    if told.why_unchanged:
        return Judgement(Verdict.NOT_APPLICABLE, f"Not looked at: {told.why_unchanged}.")
    methods = _methods(told)
    if not methods:
        return Judgement(
            Verdict.NOT_APPLICABLE,
            f"Fewer than half of the {counted(told.examples, 'map')} could be ranked: a map needs "
            f"{FEWEST} places of different size where inputs differ, and a gradient that is not "
            "zero.",
        )
    if told.examples < FEWEST_EXAMPLES:
        return Judgement(
            Verdict.NOT_APPLICABLE,
            f"Only {counted(told.examples, 'example')} could be compared; "
            f"{FEWEST_EXAMPLES} are needed.",
        )
    same = [m for m in methods if _same(m, limit)]
    near = [m for m in methods if m not in same and _beyond(m, limit)]
    names = {m.method: m.interval()[0] for m in methods}
    said = ", ".join(f"{name} {value:.2f}" for name, value in names.items())
    text = (
        f"With shuffled weights the maps of {counted(told.examples, 'example')} keep a rank "
        f"correlation of {said} with the model's own"
    )
    first = methods[0].between()[0]
    alone = f"; two shuffles agree {first:.2f}, which the architecture makes by itself"
    metrics = tuple(
        Metric(f"rank correlation of {m.method} with shuffled weights", *_ordered(m), limit)
        for m in methods
    )
    if not same:
        verdict = Verdict.INFO if any(not _own(m) for m in near) else Verdict.PASS
        open_ = ", which is too uncertain to judge; more examples may settle it"
        return Judgement(
            verdict,
            text
            + (alone if first == first else "")
            + (open_ if verdict is Verdict.INFO else "")
            + ".",
            metrics=metrics,
            figures=_figures(told, methods, limit),
        )
    if told.one_place and told.score_change >= STILL:
        return Judgement(
            Verdict.NOT_APPLICABLE,
            f"{text}. But what is explained is one place of an output picture or sequence, and the "
            "map of one place lies around it whatever the weights, by small kernels and shortcuts, "
            "so that nothing can be told from it.",
            metrics=metrics,
            figures=_figures(told, methods, limit),
        )
    cause, where, advice = _blamed(told, same, limit)
    return Judgement(
        Verdict.WARN,
        f"{text}: they show the architecture, not what was learnt. {cause}",
        metrics=metrics,
        where=where,
        advice=advice,
        figures=_figures(told, methods, limit),
    )


def _methods(told: Attributions) -> list[MapChange]:
    """Return what is judged: saliency in the scale in which it changes more, and Grad-CAM."""
    gradients = [c for c in told.changes if c.method.startswith("saliency") and c.known()]
    others = [c for c in told.changes if not c.method.startswith("saliency") and c.known()]
    least = [min(gradients, key=lambda change: change.interval()[0])] if gradients else []
    return [MapChange("saliency", c.trained, c.among) for c in least] + others


def _ordered(change: MapChange) -> tuple[float, str, float, float]:
    value, low, high = change.interval()
    known = math.isfinite(low) and math.isfinite(high)
    return (value, "", low, high) if known else (value, "", value, value)


def _beyond(change: MapChange, limit: Limit) -> bool:
    return limit.warn is not None and change.interval()[0] > limit.warn


def _own(change: MapChange) -> bool:
    return change.own(SURE) > APART


def _same(change: MapChange, limit: Limit) -> bool:
    low = change.interval(SURE)[1]
    return limit.warn is not None and low > limit.warn and not _own(change)


def _blamed(
    told: Attributions, same: list[MapChange], limit: Limit
) -> tuple[str, tuple[Place, ...], tuple[str, ...]]:
    first, last = (clean_text(name or MODEL) for name in (told.first, told.stage_names[0]))
    which = " and ".join(change.method for change in same)
    factory = Place("setting", "model.factory", f"what makes {which} is built in")
    inner = told.inner
    if told.score_change < STILL:
        return (
            f"Nor do the outputs: they move by {told.score_change:.2g} of their spread, so that "
            f"next to nothing of them comes through the {counted(told.layers, 'layer')} with "
            "weights.",
            (
                factory,
                Place("layer", first, "its weights make no difference to the output"),
                *(
                    (Place("layer", last, "its weights make no difference to the output"),)
                    if last != first
                    else ()
                ),
            ),
            (
                "Walk through `forward` and find the path from the input to the output that goes "
                f"around the layers from `{first}` to `{last}`: a sum with the input, a fixed "
                "projection, a branch that is taken always.",
                "Print the size of both summands where that path comes in. Where the trained one "
                "is far smaller, look for a scale, a gate or a weight near zero on it.",
                "Audit again: the outputs have to change with the weights before anything else of "
                "this report says much.",
            ),
        )
    before = inner is not None and inner.known() and not _beyond(inner, limit)
    if before and inner is not None:
        return (
            f"At the input of `{first}` the gradients do change ({inner.interval()[0]:.2f}), so "
            "what makes the maps lies between the model's input and that layer.",
            (Place("layer", first, "what its input goes through makes the maps"), factory),
            (
                f"Look at what happens to the input before `{first}`: a product with a fixed mask, "
                "a window or a scale that differs strongly from place to place.",
                "Print that factor: where it is far smaller, the model hardly sees the input. If "
                "it is to make up for the scale of the data, normalise in the data loader instead.",
                f"To explain this model, take gradients at the input of `{first}`.",
            ),
        )
    return (
        "The outputs do change, so a fixed mask, weighting or choice of places makes the maps.",
        (factory, Place("layer", first, "maps at its input do not change either")),
        (
            "Find what weighs places of the input, or of the first layers' outputs, without "
            "weights: a fixed attention mask, positional weights, a pooling over few places, an "
            "activation with a backward pass of its own.",
            f"Compare the gradients behind each layer from `{first}` on, with two sets of weights; "
            "the first that differ stand behind the cause.",
        ),
    )


def _figures(told: Attributions, methods: list[MapChange], limit: Limit) -> tuple[Figure, ...]:
    bars = []
    for change in methods:
        bars.append((f"{change.method}, model and shuffled", *change.interval()))
        if change.among.size:
            bars.append((f"{change.method}, two shuffles", *change.between()))
    bars = [bar for bar in bars if math.isfinite(bar[1])]
    spans = all(math.isfinite(low) and math.isfinite(high) for _, _, low, high in bars)
    figures: list[Figure] = [
        Bars(
            title="How much of the maps stays",
            caption="Mean rank correlation over examples with 95 % intervals: the model's maps "
            "with those of shuffled weights, and two shuffles with each other; near 0 nothing of a "
            "map stays.",
            label="rank correlation",
            labels=tuple(name for name, *_ in bars),
            values=tuple(value for _, value, _, _ in bars),
            low=tuple(min(low, value) for _, value, low, _ in bars) if spans else (),
            high=tuple(max(high, value) for _, value, _, high in bars) if spans else (),
            guides=limit.guides(),
        )
    ]
    table = np.asarray(told.cascade, float)
    known = [row for row in range(len(table)) if np.isfinite(table[row]).sum() > 1]
    if len(known) > 1:
        rows = [table[row][np.isfinite(table[row])] for row in known]
        spans_ = [mean_interval(row) for row in rows]
        figures.append(
            Lines(
                title="Saliency as weights are shuffled from the output down",
                caption=f"Mean rank correlation over examples, band: 95 %. Shuffled are the layers "
                f"from the output down to the one named, at the right all {told.layers}; a map "
                "that shows what was learnt falls.",
                x_label="shuffled from the output down to",
                y_label="rank correlation with the model's own",
                series=(
                    Series(
                        "saliency",
                        tuple(float(place) for place in range(len(known))),
                        tuple(float(row.mean()) for row in rows),
                        tuple(low for low, _ in spans_),
                        tuple(high for _, high in spans_),
                    ),
                ),
                guides=limit.guides(),
                x_names=tuple(
                    f"{clean_text(told.stage_names[row], 40)} ({told.stage_layers[row]})"
                    for row in known
                ),
            )
        )
    return tuple(figures)
