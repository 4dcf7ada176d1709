"""Rectified units that never fire, and the bias that holds them down.

What it does
------------
Counts, in each rectifying layer (ReLU and its kin) and in all, the units that stay at zero for
every example looked at, says what holds them there, and which of them fire in training. A unit is
one feature, or one channel of a convolution over all its positions.

Why it matters
--------------
A rectifier at zero passes no gradient, so that a unit that is at zero for every example never
changes again: its weights cost memory and time and do nothing. Where a whole layer is dead, nothing
reaches the layers before it either.

How it is measured
------------------
The model runs in evaluation mode, and a unit counts as alive once it gives anything but zero. GELU,
SiLU, ELU and the like are never at zero; there a unit counts as alive once its input rises to where
the slope is a hundredth, and LeakyReLU, which always has a slope, is not counted. A unit that never
fired over n examples may still fire for up to about 3/n of all examples (95 %), so where there is
one at least 100 examples are asked for. The share is a count of all of a layer's units, not a
sample of them; but one dead unit of three is no sign of anything, so a layer warns only from 2
dead units on and fails only from 4. A layer with no unit alive fails whatever its size, from 20
examples on.

The cause is read from what a dead unit was given. Its input is its bias and what its weights add;
where the most that the weights ever added would have made it fire, the bias alone holds it down.
Where the weights add exactly nothing, they are zero or nothing reaches them. Behind batch
normalisation, inputs that are all on one side of the running mean tell that this mean is not
theirs. Training data is looked at in the same way: units that are silent in validation but fire in
training are told apart, and do not fail a layer, unless they are all it has.

Behind inputs that are never negative (a ReLU, a picture) a unit whose weights are mostly negative
is dead from the first step on: of 64 units behind 256 features 8 to 19 were in fresh models, and up
to 28 after training to 95 % accuracy. A layer of its own therefore fails from half its units on.
Where a tenth of a layer is silent, three fresh models are shown the same examples. What is not
surely (99 %, shared out among the layers) more than in the most silent of them need not be
training's doing: it warns where it would fail and is told where it would warn, unless a whole layer
is silent.

When it misleads
----------------
Units that wait for something rare (a class that validation data lacks, an expert of a mixture) look
dead. A pruned model is dead on purpose. Networks trained long with weight decay may switch whole
channels off, which costs nothing but their weights. A cause is named only where the rectifier
stands right behind the layer with the bias.

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

from dataclasses import dataclass

import numpy as np

from auditor.core import snippets
from auditor.core.advice import step
from auditor.core.check import Limits, Seen, check
from auditor.core.figure import Bars
from auditor.core.finding import Judgement, Limit, Metric, Place
from auditor.core.foremost import foremost, how_many
from auditor.core.layer import MODEL
from auditor.core.statistics import rule_of_three, trials_to_bound
from auditor.core.text import clean_text, counted
from auditor.core.verdict import SEVERITY, Verdict, worst
from auditor.observations.activity import LayerActivity, UnitActivity, UnitActivityOver
from auditor.observations.fresh_activity import FreshActivity, FreshActivityOver, as_usual

ACTIVITY = UnitActivityOver(split="val")
TRAINING = UnitActivityOver(split="train")
FRESH = FreshActivityOver()

FEWEST = 100
"""Examples from which on a unit that never fired fires for less than 3 % of all examples."""
FEWEST_FOR_A_LAYER = 20
"""Examples from which on a layer that never fired is silent for more than 86 % of all examples."""

FEWEST_DEAD_TO_WARN, FEWEST_DEAD_TO_FAIL = 2, 4
"""Dead units of a layer, or of the model, from which on their share can warn, and fail."""

CLEARLY = 0.01
"""Distance from a running mean, in deviations times the scale, that is no rounding."""

MOST = 40
"""Layers that are told one by one, worst first."""

NOTHING = 1e-6
"""What weights add, relative to the bias, that is no more than rounding in float32."""

SOURCE = (
    "CS231n notes: 40 % dead is what a far too high learning rate does; healthy networks of three "
    "layers on small images show up to 10 %, and 19 % in one layer"
)

SINGLE = (
    "here of a single layer, of which PyTorch's own initialisation leaves up to 30 % dead behind "
    "inputs that are never negative, and training that ends well up to 44 % (LeNets on digits)"
)


@dataclass(frozen=True)
class Layer:
    """A rectifier on validation data: how many of its `dead` units fire in training, and the
    number of those that fire in validation but not in training.

    `fresh` is the number of dead units in each of some fresh models, and `usual` tells that this
    one has no more.
    """

    seen: LayerActivity
    asleep: int = 0
    woken: int = 0
    fresh: tuple[int, ...] = ()
    usual: bool = False

    @property
    def name(self) -> str:
        """Return the layer's name, made safe."""
        return clean_text(self.seen.layer)

    @property
    def units(self) -> int:
        """Return the number of units."""
        return int(self.seen.fired.size)

    @property
    def silent(self) -> bool:
        """Tell whether no unit fires."""
        return self.seen.dead == self.units


@check(
    title="Rectified units fire",
    failure_title="Rectified units are dead",
    needs=(ACTIVITY,),
    wants=(TRAINING, FRESH),
    limits={
        "dead_share": Limit(warn=0.2, fail=0.4, source=SOURCE),
        "worst_dead_share": Limit(warn=0.25, fail=0.5, source=f"{SOURCE}; {SINGLE}"),
    },
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge the share of units that never fired, in each layer and in all."""
    activity, training = seen[ACTIVITY], seen.get(TRAINING)
    fresh = seen.get(FRESH) or FreshActivity(())
    layers = _layers(activity, training, fresh)
    if not layers:
        return Judgement(
            Verdict.NOT_APPLICABLE,
            "No rectifying layer (ReLU and its kin) was seen in the model, so no unit could die.",
        )
    units = sum(layer.units for layer in layers)
    dead = sum(layer.seen.dead for layer in layers)
    asleep = sum(layer.asleep for layer in layers)
    silent = [layer.name for layer in layers if layer.silent]
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
    overall = _judged(dead, asleep, units, limits["dead_share"])
    built = _milder(overall, as_usual(dead, units, fresh.dead_in_all(), 1))
    verdict = Verdict.FAIL if silent else worst((built, _verdict(top, limits)))
    beyond = [layer for layer in ranked if _beyond(layer, limits)]
    born = [layer for layer in ranked if layer.usual and _plain(layer, limits) is not Verdict.PASS]
    if verdict is Verdict.PASS and (born or built is not overall):
        verdict = Verdict.INFO
    told = ranked if built is not Verdict.PASS and not beyond else beyond
    told = [layer for layer in told if layer.seen.dead]
    causes = {layer.name: _cause(layer) for layer in told}
    if dead:
        gave = "stayed in their flat part" if top.seen.smooth else "gave zero"
        summary = (
            f"{dead:,} of {counted(units, 'rectified unit')} ({100 * dead / units:.3g} %) gave "
            f"zero for every one of {activity.examples:,} examples; worst is "
            f"`{top.name}` with {top.seen.dead:,} of {top.units:,}."
        ).replace("gave zero", gave)
    else:
        summary = (
            f"Each of the {counted(units, 'rectified unit')} in {counted(len(layers), 'layer')} "
            f"fired for at least one of {activity.examples:,} examples."
        )
    if silent:
        summary += (
            f" No unit of `{silent[0]}` fires at all, so neither signal nor gradient gets through."
        )
    if asleep and verdict is not Verdict.PASS:
        summary += (
            f" {asleep:,} of the {counted(dead, 'unit')} "
            f"{'fires' if asleep == 1 else 'fire'} in training."
        )
    if told and causes[told[0].name]:
        summary += f" {causes[told[0].name]}"
    if born or built is not overall:
        summary += f" {_built_so(born[0] if born else top)}"
    return Judgement(
        verdict,
        summary,
        metrics=(
            Metric("dead units", dead / units, "share", limit=limits["dead_share"]),
            Metric(
                "dead units in the worst layer",
                top.seen.dead / top.units,
                "share",
                limit=limits["worst_dead_share"],
            ),
            Metric("examples for which a dead unit may still fire, at most", bound, "share"),
            *(
                (
                    Metric("units silent in validation that fire in training", asleep),
                    Metric(
                        "units that fire in validation but never in training",
                        sum(layer.woken for layer in layers),
                    ),
                )
                if training is not None
                else ()
            ),
        ),
        where=(
            *(
                Place("layer", layer.name, f"{layer.seen.dead:,} of {layer.units:,} units")
                for layer in told[:MOST]
            ),
            *(
                Place("parameter", _bias(layer.seen), f"holds {held:,} units at zero")
                for layer in told[:MOST]
                if (held := _held_down(layer.seen))
            ),
        ),
        advice=_advice(layers, top) if verdict in (Verdict.WARN, Verdict.FAIL) else (),
        figures=(_figure(layers, limits),),
    )


def _layers(
    activity: UnitActivity, training: UnitActivity | None, fresh: FreshActivity
) -> list[Layer]:
    """Return every layer that has units, with what they do in training and in fresh models."""
    trained = {
        (layer.layer, layer.fired.size): layer for layer in (training.layers if training else ())
    }
    layers = []
    for layer in activity.layers:
        other = trained.get((layer.layer, layer.fired.size))
        if layer.fired.size:
            asleep = np.count_nonzero(other.fired & ~layer.fired) if other else 0
            woken = np.count_nonzero(layer.fired & ~other.fired) if other else 0
            silent = fresh.dead(layer.layer, layer.fired.size)
            usual = as_usual(layer.dead, layer.fired.size, silent, len(activity.layers))
            layers.append(Layer(layer, int(asleep), int(woken), silent, usual))
    return layers


def _verdict(layer: Layer, limits: Limits) -> Verdict:
    return _milder(_plain(layer, limits), layer.usual)


def _plain(layer: Layer, limits: Limits) -> Verdict:
    """Judge a layer without regard to fresh models."""
    return _judged(layer.seen.dead, layer.asleep, layer.units, limits["worst_dead_share"])


def _milder(verdict: Verdict, usual: bool) -> Verdict:
    """Return what is left of a verdict where fresh models have as many dead units."""
    if not usual or verdict is Verdict.PASS:
        return verdict
    return Verdict.WARN if verdict is Verdict.FAIL else Verdict.PASS


def _built_so(layer: Layer) -> str:
    """Return a sentence on a layer that fresh models have no other way."""
    if not layer.fresh:
        return "Fresh models have as many, so it was not training that killed them."
    least, most = min(layer.fresh), max(layer.fresh)
    many = f"{least:,}" if least == most else f"{least:,} to {most:,}"
    told = (
        "it is built so, and training did not kill them"
        if layer.seen.dead <= most
        else "not surely fewer, so that whether training killed any is not certain"
    )
    return f"Fresh models have {many} of {layer.units:,} such units in `{layer.name}`: {told}."


def _beyond(layer: Layer, limits: Limits) -> bool:
    return layer.silent or _verdict(layer, limits) is not Verdict.PASS


def _judged(dead: int, asleep: int, units: int, limit: Limit) -> Verdict:
    """Judge a number of dead units; only those that are dead in training too can fail."""
    if dead < FEWEST_DEAD_TO_WARN:
        return Verdict.PASS
    lost = dead - asleep
    fails = lost >= FEWEST_DEAD_TO_FAIL and limit.verdict(lost / units) is Verdict.FAIL
    verdict = limit.verdict(dead / units)
    return Verdict.WARN if verdict is Verdict.FAIL and not fails else verdict


def _rank(layer: Layer, limits: Limits) -> tuple[bool, int, float]:
    return layer.silent, SEVERITY[_verdict(layer, limits)], layer.seen.dead / layer.units


def _bias(layer: LayerActivity) -> str:
    return clean_text("bias" if layer.producer == MODEL else f"{layer.producer}.bias")


def _held_down(layer: LayerActivity) -> int:
    """Return how many dead units would have fired, had their bias been zero."""
    negative = np.asarray(layer.bias)[~np.asarray(layer.fired, bool)] < 0 if layer.bias.size else 0
    return int(np.count_nonzero((layer.lifts > layer.level) & negative))


def _starved(layer: LayerActivity) -> int:
    """Return how many dead units were never given anything but their bias."""
    if not layer.drops.size:
        return 0
    rounding = NOTHING * np.abs(layer.bias[~np.asarray(layer.fired, bool)])
    return int(np.count_nonzero(np.maximum(np.abs(layer.lifts), np.abs(layer.drops)) <= rounding))


def _outdated(layer: LayerActivity) -> bool:
    """Tell whether a running mean is beyond all that most dead units were ever given.

    Of the data that a mean is taken of, some lies on either side.
    """
    return layer.normed and 2 * int(np.count_nonzero(layer.lifts < -CLEARLY)) > layer.dead


def _cause(layer: Layer) -> str:
    """Return a sentence on what holds most of a layer's dead units at zero, "" if unknown."""
    seen = layer.seen
    if not seen.lifts.size:
        return ""
    held, starved = _held_down(seen), _starved(seen)
    if _outdated(seen):
        return (
            f"The cause in `{layer.name}` is `{clean_text(seen.producer)}`: what it is given never "
            "comes past its running mean, which does not fit the data (see `stale-batch-norm`)."
        )
    if 2 * held > seen.dead:
        biases = seen.bias[~np.asarray(seen.fired, bool)]
        return (
            f"The cause in `{layer.name}` is the bias: `{_bias(seen)}` is "
            f"{float(np.median(biases)):.3g} (median of its dead units), their weights add "
            f"{float(np.median(seen.lifts)):.3g} at most, and without it "
            f"{'all' if held == seen.dead else f'{held:,} of the'} {seen.dead:,} would fire."
        )
    if 2 * starved > seen.dead:
        return (
            f"`{clean_text(seen.producer)}` adds exactly nothing to its bias for {starved:,} of "
            f"the dead units of `{layer.name}`: its weights are zero there, or what it is given."
        )
    return (
        f"In `{layer.name}` it is the weights of `{clean_text(seen.producer)}` that never lift "
        f"{counted(seen.dead - held - starved, 'dead unit')} above zero, not the bias. A "
        "learning rate too high leaves units so; where all that they are given is of one sign, as "
        "behind another rectifier, many start so."
    )


def _advice(layers: list[Layer], top: Layer) -> tuple[str, ...]:
    name, seen = top.name, top.seen
    place = "the inputs" if top is layers[0] else "the layer before it"
    first = (
        f"Look at what feeds `{name}`: its weights and biases, and the scale of {place}. "
        "A large negative bias, or inputs that are not centred, keep units at zero."
    )
    if _outdated(seen):
        first = step(
            f"Renew the running statistics of `{clean_text(seen.producer)}` from training data:",
            snippets.STATISTICS_ANEW,
        )
    elif seen.lifts.size and 2 * _held_down(seen) > seen.dead:
        first = step(
            f"Start `{_bias(seen)}` at zero, and take it out of weight decay and of any rule that "
            f"drives it down; setting it to zero now revives {_held_down(seen):,} units, which "
            "then want some training.",
            f"torch.nn.init.zeros_({snippets.layer(seen.producer)}.bias)",
        )
    elif 2 * top.asleep > seen.dead:
        first = (
            f"Prepare validation data as training data: {top.asleep:,} of the units of `{name}` "
            "that are silent there fire in training."
        )
    module = seen.kind[:1].isupper()
    return (
        first,
        "Train anew with a learning rate 3 to 10 times lower, or with a warm-up over the first "
        "few hundred steps, and watch this share from the first step on: what is dead before it "
        "was built so, and wants the next point.",
        step(
            f"Put normalisation before `{name}`, or replace its `{clean_text(seen.kind)}` by "
            "`torch.nn.LeakyReLU(0.01)` or `torch.nn.GELU()`, which pass gradient below zero too, "
            "and train anew.",
            snippets.replaced(seen.layer, "torch.nn.LeakyReLU(0.01)") if module else "",
        ),
    )


def _figure(layers: list[Layer], limits: Limits) -> Bars:
    shown = [layers[i] for i in foremost([layer.seen.dead / layer.units for layer in layers])]
    return Bars(
        title="Dead units by layer",
        caption="Share of each layer's units that never fired, layers in the order of execution."
        + how_many(len(shown), len(layers)),
        label="share of units that never fired",
        labels=tuple(layer.name for layer in shown),
        values=tuple(layer.seen.dead / layer.units for layer in shown),
        marked=tuple(_beyond(layer, limits) for layer in shown),
        guides=limits["worst_dead_share"].guides(),
    )
