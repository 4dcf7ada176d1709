"""Sigmoids, tanhs and gates stuck at an end of their range; attention on one key, or on all alike.

What it does
------------
Counts the units of sigmoid, tanh, ReLU6 and the like that sit at one end of their range for every
example, looks in the same way into the gates of LSTM and GRU, and tells how many attention heads
give everything to one key, or the same to all.

Why it matters
--------------
At the end of its range a squashing function is flat: it passes no gradient, what goes in no longer
matters, and a gate that is always shut cuts its unit off. A softmax that has collapsed to one key
can't be taught to look elsewhere; one that is uniform looks at nothing in particular.

How it is measured
------------------
The model runs in evaluation mode. A value is saturated within 1 % of the range from its end. A unit
is stuck where more than 99 % of its values are, all at the same end; units that go from end to end
carry information and are not stuck, but where most values of a layer are saturated hardly any
gradient passes, and that is judged as well, less strictly where the ends are hard (hardtanh,
hardsigmoid, ReLU6), as those are made to be used there. Of ReLU6 only the upper end counts: at the
lower it is dead, not saturated.

Gates are computed anew from weights, inputs and states, for 16 sequences of each of the first 4
batches and up to 64 steps. A gate that is always open, or always shut, is often what a network has
learnt. A unit counts as blocked only where that cuts it off: an LSTM's output or input gate always
shut, a GRU's update gate always at 1 so that the state never changes, or all of its gates stuck;
and where nine units in ten of a layer keep nothing of their state from one step to the next, or
always write the same (cell and new gates at one end).

Attention is computed anew from queries and keys for some queries of the same batches. Its entropy
is divided by the logarithm of the number of visible keys: below 0.01 one key has all, above 0.9999
all keys have the same. Sharp and even heads are common in good models; a layer is judged only where
nearly all of its heads are so for 99 % of their queries. What the model itself puts out is
confidence and is left out.

When it misleads
----------------
Networks with binary codes, or a gate meant to stay open, are saturated on purpose. A trained
transformer may let a layer attend to the first token and so do nothing, but seldom with all of its
heads to the last 1 %. A layer that was never trained and starts near zero attends evenly. Functions
called on tensors (`torch.clamp`) are not seen.

What to do
----------
Bring the inputs to mean 0 and deviation 1, initialise with Glorot's gain for the function, lower
the learning rate, and put normalisation before the function. In attention divide scores by the
root of the width, and normalise queries and keys.

Source
------
Glorot & Bengio 2010, "Understanding the difficulty of training deep feedforward neural networks"
(saturation of sigmoid and tanh by layer); Karpathy, Johnson, Li 2015, "Visualizing and
Understanding Recurrent Networks" (left- and right-saturated gates); Zhai et al. 2023, "Stabilizing
Transformer Training by Preventing Attention Entropy Collapse".
"""

import numpy as np

from auditor.core.check import Limits, Seen, check
from auditor.core.finding import Judgement, Limit, Metric, Place
from auditor.core.text import clean_text, counted
from auditor.core.verdict import SEVERITY, Verdict, worst
from auditor.observations.attention_focus import (
    advice_on_heads,
    collapsed_share,
    said_of_heads,
    unfocused,
    uniform_share,
)
from auditor.observations.saturated_layers import Layer, layers_of, limit_on_values, verdict_on
from auditor.observations.saturation import AttentionLayer, SaturationOver
from auditor.observations.saturation_causes import advice_on_layer, note_on, said_of_layer
from auditor.observations.saturation_figures import figures_of_saturation

SATURATION = SaturationOver(split="val")

FEWEST = 20
"""Examples from which on anything is said of units."""

MOST = 40
"""Places of a kind that are told one by one."""

SOURCE = (
    "Glorot & Bengio 2010 saw sigmoid networks stall once a layer was saturated; healthy layers "
    "here have no stuck units"
)


@check(
    title="Squashing units, gates and attention stay within their range",
    failure_title="Units are saturated",
    needs=(SATURATION,),
    limits={
        "stuck_share": Limit(warn=0.25, fail=0.5, source=f"{SOURCE}; here of a layer's units"),
        "saturated_share": Limit(
            warn=0.75,
            fail=0.95,
            source=f"{SOURCE}, and up to 71 % saturated values after training at large steps",
        ),
        "saturated_gates": Limit(
            warn=0.5,
            fail=0.95,
            source=f"{SOURCE}, and up to 39 % saturated values in the gates of a recurrent layer",
        ),
        "heads": Limit(
            warn=0.9,
            source="share of a layer's heads that attend to one key, or to all alike, for 99 % of "
            "queries; Zhai et al. 2023 see training fail as entropy falls to zero",
        ),
    },
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge stuck and saturated units, blocked gates, and collapsed or uniform attention."""
    found = seen[SATURATION]
    layers = layers_of(found)
    heads = [a for a in found.attention if not a.output and a.queries and a.heads]
    if not layers and not heads:
        return Judgement(
            Verdict.NOT_APPLICABLE,
            "No sigmoid, tanh, gate or attention was seen inside the model, so nothing could "
            "saturate.",
        )
    if found.examples < FEWEST:
        return Judgement(
            Verdict.INFO,
            f"{counted(found.examples, 'example')} "
            f"{'says' if found.examples == 1 else 'say'} little of what is always saturated; at "
            f"least {FEWEST} are needed.",
        )
    verdicts = [verdict_on(layer, limits) for layer in layers]
    faults = sorted(
        (pair for pair in zip(verdicts, layers, strict=True) if pair[0] is not Verdict.PASS),
        key=lambda pair: (SEVERITY[pair[0]], pair[1].share, pair[1].saturated),
        reverse=True,
    )
    attention, lost = unfocused(heads, limits)
    verdict = worst([*(v for v, _ in faults), attention])
    parts = [said_of_layer(layer) for _, layer in faults[:2]]
    if lost:
        parts.append(said_of_heads(lost, heads))
    where = (
        *(Place("layer", layer.name, note_on(layer)) for _, layer in faults[:MOST]),
        *(Place("layer", clean_text(a.layer), f"attends to {how}") for a, how in lost[:MOST]),
    )
    if not parts:
        parts.append(_all_well(layers, heads))
    doubtful = [
        (layer, warn)
        for layer in layers
        if (warn := limit_on_values(layer, limits).warn) is not None and layer.saturated > warn
    ]
    if verdict is Verdict.PASS and doubtful:
        layer, warn = doubtful[0]
        verdict = Verdict.INFO
        parts.append(
            f"{counted(found.examples, 'example')} do not settle whether more than "
            f"{100 * warn:g} % of the values of `{layer.name}` are saturated; four times as many "
            "would halve the interval."
        )
    advice = [line for _, layer in faults[:2] for line in advice_on_layer(layer)]
    if lost:
        advice += advice_on_heads(lost)
    top = max(layers, key=lambda layer: layer.share, default=None)
    full = max(layers, key=lambda layer: layer.saturated, default=None)
    metrics = []
    if top is not None and full is not None:
        metrics += [
            Metric(
                "stuck units in the worst layer", top.share, "share", limit=limits["stuck_share"]
            ),
            Metric(
                "saturated values in the worst layer",
                full.saturated,
                "share",
                full.low,
                full.high,
                limit_on_values(full, limits),
            ),
        ]
    if heads:
        everyone = [value for a in heads for value in a.entropy / a.queries]
        metrics += [
            Metric("least entropy of a head, of 1", float(np.min(everyone))),
            Metric(
                "heads collapsed or uniform in the worst layer",
                max(max(collapsed_share(a), uniform_share(a)) for a in heads),
                "share",
                limit=limits["heads"],
            ),
        ]
    return Judgement(
        verdict,
        " ".join(parts),
        metrics=tuple(metrics),
        where=where,
        advice=tuple(dict.fromkeys(advice)),
        figures=figures_of_saturation(layers, heads, limits),
    )


def _all_well(layers: list[Layer], heads: list[AttentionLayer]) -> str:
    said = []
    if layers:
        top = max(layers, key=lambda layer: layer.saturated)
        said.append(
            f"Of {counted(len(layers), 'squashing or recurrent layer')} `{top.name}` has most "
            f"values at an end of their range, {100 * top.saturated:.2g} %"
        )
    if heads:
        entropy = [value for a in heads for value in a.entropy / a.queries]
        said.append(
            f"{'the' if said else 'The'} {counted(len(entropy), 'head')} of "
            f"{counted(len(heads), 'attention')} spread with an entropy of {min(entropy):.2g} to "
            f"{max(entropy):.2g}, of 1"
        )
    return "; ".join(said) + "."
