"""Rectified units that give zero for every example.

What it does
------------
Counts, in each rectifying layer (ReLU and its kin), the units that stay at zero for every example
looked at. A unit is one feature, or one channel of a convolution over all its positions.

Why it matters
--------------
A rectifier at zero passes no gradient. A unit that is at zero for every example never changes
again: its weights cost memory and time and do nothing. Where a whole layer is dead, nothing
reaches the layers before it either.

How it is measured
------------------
The model runs in evaluation mode, and a unit counts as alive once it gives anything but zero. A
unit that never fired over n examples may still fire for up to about 3/n of all examples (95 %),
so where there is one at least 100 examples are asked for. The share is a count of all of a layer's
units, not a sample of them; but one dead unit of three is no sign of anything, so a layer warns
only from 2 dead units on and fails only from 4. A layer with no unit alive fails whatever its
size, from 20 examples on.

When it misleads
----------------
Units that wait for something rare (a class that validation data lacks, an expert of a mixture) look
dead. A pruned model is dead on purpose. Networks trained long with weight decay may switch whole
channels off, which costs nothing but their weights. Activations called as functions
(`torch.nn.functional.relu`) are seen only where the tap can see them.

What to do
----------
Train anew with a lower learning rate or a warm-up, with He initialisation and inputs of mean 0 and
deviation 1; look for large negative biases; put normalisation before the rectifier, or use one with
a slope below zero (`LeakyReLU`, `GELU`). Dead units of a model that is otherwise good can be cut
away without changing its outputs.

Source
------
Karpathy, CS231n notes, "Neural Networks Part 1": with a learning rate too high, "as much as 40% of
your network can be dead". Lu, Shin, Su, Karniadakis 2019, "Dying ReLU and Initialization".
"""

from auditor.core.check import Limits, Seen, check
from auditor.core.figure import Bars
from auditor.core.finding import Judgement, Limit, Metric, Place
from auditor.core.statistics import rule_of_three, trials_to_bound
from auditor.core.text import clean_text, counted
from auditor.core.verdict import SEVERITY, Verdict, worst
from auditor.observations.activity import LayerActivity, UnitActivityOver

ACTIVITY = UnitActivityOver(split="val")

FEWEST = 100
"""Examples from which on a unit that never fired fires for less than 3 % of all examples."""
FEWEST_FOR_A_LAYER = 20
"""Examples from which on a layer that never fired is silent for more than 86 % of all examples."""

FEWEST_DEAD_TO_WARN, FEWEST_DEAD_TO_FAIL = 2, 4
"""Dead units of a layer, or of the model, from which on their share can warn, and fail."""

SOURCE = (
    "CS231n notes: 40 % dead is what a far too high learning rate does; healthy networks of three "
    "layers on small images show up to 10 %, and 19 % in one layer"
)


@check(
    title="Rectified units fire",
    failure_title="Rectified units are dead",
    needs=(ACTIVITY,),
    limits={
        "dead_share": Limit(warn=0.2, fail=0.4, source=SOURCE),
        "worst_dead_share": Limit(warn=0.25, fail=0.4, source=f"{SOURCE}; here of a single layer"),
    },
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge the share of units that never fired, in each layer and in all."""
    activity = seen[ACTIVITY]
    layers = [layer for layer in activity.layers if layer.fired.size]
    if not layers:
        return Judgement(
            Verdict.NOT_APPLICABLE,
            "No rectifying layer (ReLU and its kin) was seen in the model, so no unit could die.",
        )
    units = sum(layer.fired.size for layer in layers)
    dead = sum(layer.dead for layer in layers)
    silent = [clean_text(layer.layer) for layer in layers if layer.dead == layer.fired.size]
    bound = rule_of_three(activity.examples)
    fewest = FEWEST_FOR_A_LAYER if silent else FEWEST if dead else 1
    if activity.examples < fewest:
        return Judgement(
            Verdict.INFO,
            f"{dead:,} of {counted(units, 'rectified unit')} never fired, but over "
            f"{counted(activity.examples, 'example')} that says little: a unit could still fire "
            f"for {100 * bound:.2g} % of all examples. At least {trials_to_bound(0.03)} are "
            "needed.",
        )
    ranked = sorted(layers, key=lambda layer: _rank(layer, limits), reverse=True)
    top = ranked[0]
    overall = _judged(dead, units, limits["dead_share"])
    verdict = Verdict.FAIL if silent else worst((overall, _verdict(top, limits)))
    beyond = [layer for layer in ranked if _beyond(layer, limits)]
    if dead:
        summary = (
            f"{dead:,} of {counted(units, 'rectified unit')} ({100 * dead / units:.3g} %) gave "
            f"zero for every one of {activity.examples:,} examples; worst is "
            f"`{clean_text(top.layer)}` with {top.dead:,} of {top.fired.size:,}."
        )
    else:
        summary = (
            f"Each of the {counted(units, 'rectified unit')} in {counted(len(layers), 'layer')} "
            f"fired for at least one of {activity.examples:,} examples."
        )
    if silent:
        summary += (
            f" No unit of `{silent[0]}` fires at all, so neither signal nor gradient gets through."
        )
    return Judgement(
        verdict,
        summary,
        metrics=(
            Metric("dead units", dead / units, "share", limit=limits["dead_share"]),
            Metric(
                "dead units in the worst layer",
                top.dead / top.fired.size,
                "share",
                limit=limits["worst_dead_share"],
            ),
            Metric("examples for which a dead unit may still fire, at most", bound, "share"),
        ),
        where=tuple(
            Place("layer", clean_text(layer.layer), f"{layer.dead:,} of {layer.fired.size:,} units")
            for layer in (ranked if overall is not Verdict.PASS and not beyond else beyond)
            if layer.dead
        ),
        advice=_advice(layers, top) if verdict in (Verdict.WARN, Verdict.FAIL) else (),
        figures=(_figure(layers, limits),),
    )


def _verdict(layer: LayerActivity, limits: Limits) -> Verdict:
    return _judged(layer.dead, layer.fired.size, limits["worst_dead_share"])


def _beyond(layer: LayerActivity, limits: Limits) -> bool:
    return layer.dead == layer.fired.size or _verdict(layer, limits) is not Verdict.PASS


def _judged(dead: int, units: int, limit: Limit) -> Verdict:
    if dead < FEWEST_DEAD_TO_WARN:
        return Verdict.PASS
    verdict = limit.verdict(dead / units)
    return Verdict.WARN if verdict is Verdict.FAIL and dead < FEWEST_DEAD_TO_FAIL else verdict


def _rank(layer: LayerActivity, limits: Limits) -> tuple[bool, int, float]:
    share = layer.dead / layer.fired.size
    return share == 1, SEVERITY[_verdict(layer, limits)], share


def _advice(layers: list[LayerActivity], top: LayerActivity) -> tuple[str, ...]:
    name = clean_text(top.layer)
    place = "the inputs" if top is layers[0] else "the layer before it"
    return (
        f"Look at what feeds `{name}`: its weights and biases, and the scale of {place}. "
        "A large negative bias, or inputs that are not centred, keep units at zero.",
        "Train anew with a learning rate 3 to 10 times lower, or with a warm-up over the first "
        "few hundred steps, and watch this share from the first step on.",
        f"Put normalisation before `{name}`, or replace its `{clean_text(top.kind)}` by "
        "`torch.nn.LeakyReLU(0.01)` or `torch.nn.GELU()`, which pass gradient below zero too.",
    )


def _figure(layers: list[LayerActivity], limits: Limits) -> Bars:
    return Bars(
        title="Dead units by layer",
        caption="Share of each layer's units that never fired, layers in the order of execution.",
        label="share of units that never fired",
        labels=tuple(clean_text(layer.layer) for layer in layers),
        values=tuple(layer.dead / layer.fired.size for layer in layers),
        marked=tuple(_beyond(layer, limits) for layer in layers),
        guides=limits["worst_dead_share"].guides(),
    )
