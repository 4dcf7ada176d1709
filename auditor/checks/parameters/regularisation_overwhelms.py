"""Weight decay and penalties, named or hidden, that pull harder than the data.

What it does
------------
Weighs what regularisation pays for against what the data pay for: the weight decay of each of the
optimizer's groups, and penalties on the weights inside the loss, whether they are terms with a name
or hidden in a function. Values, gradient norms by parameter, and what copies gain that are freed.

Why it matters
--------------
With the decay ten or a thousand times too high, or a forgotten penalty in the loss, the weights
shrink instead of learning: a network answers much the same whatever it is given, and the printed
loss still falls, for the penalty is most of it. More layers or longer training change nothing.

How it is measured
------------------
Decay in SGD, and in Adam as L2, is the penalty λ/2 |w|²; in AdamW it acts beside the gradient, as
w - lr λ w. A penalty inside the loss is what is left of the loss's gradient when the outputs are
cut off from the weights, and outputs that are the same number for every batch.

How heavily it weighs is told on a fresh network: its penalty over its data loss, since at 1 a
network gains more by shrinking to nothing than by all that it can learn (of a decoupled decay: the
root mean square of λ w in full steps of the optimizer; at 1 the decay shrinks the weights as fast
as steps can move them, for AdamW's weights stay below 1/λ). Weights whose scale changes nothing, as
before batch norm, are left out. At the checkpoint decay and data pull equally where training has
converged: that is no fault.

Where that is 0.1 or more it is put to the proof. Two copies make the same steps on the same
batches, one with regularisation and one without, and validation examples are scored on the line
from the one to the other and beyond it, which stands for longer training. It warns where the loss
falls by 5 % or more on that line, at 99 % (paired by example, shared among the points), or where a
decay of 2 or more has left less than half of the weights' fresh size. It fails where the loss falls
by half, or where the network has learnt nothing, its weights being shrunk.

The slope of the data loss alone is checked by differences, regularisation off, as CS231n advises.

When it misleads
----------------
Without a factory there is no fresh network: then the copies alone decide. A penalty bound to
another module, or on activations, counts as data. Too little regularisation is not judged here: the
gap between training and validation, which is told, is judged by `overfitted`.

What to do
----------
Lower the decay to what is advised and look at the validation loss of values half a decade apart.
Leave biases and normalisation out of the decay.

Source
------
Krogh & Hertz 1992, "A Simple Weight Decay Can Improve Generalization" (NIPS); Loshchilov & Hutter
2019, "Decoupled Weight Decay Regularization" (ICLR); Xie & Li 2024, "Implicit Bias of AdamW:
l-infinity Norm Constrained Optimization" (ICML), for the bound 1/λ; van Laarhoven 2017, "L2
Regularization versus Batch and Weight Normalization"; Stanford CS231n, notes on gradient checks
("don't let the regularization overwhelm the data").
"""

import math
from dataclasses import replace

import numpy as np

from auditor.core import snippets
from auditor.core.advice import step
from auditor.core.check import Limits, Seen, check
from auditor.core.finding import Judgement, Limit, Metric, Place
from auditor.core.text import counted, listed
from auditor.core.values import Array
from auditor.core.verdict import Verdict
from auditor.observations.constant_loss import constant_loss
from auditor.observations.performance import Performance, PerformanceOver
from auditor.observations.regularisation import Regularisation, RegularisationOver
from auditor.observations.regularisation_figures import figures_of
from auditor.observations.regularisation_gain import Gain, gain_of
from auditor.observations.settings import Settings, SettingsOf
from auditor.observations.settings_code import optimizer_code, own_settings

PULLS = RegularisationOver()
SETTINGS = SettingsOf()
TRAIN = PerformanceOver(split="train")
VAL = PerformanceOver(split="val")

USUAL = 0.01
"""Weight of regularisation that is advised; the sample models and usual recipes have 0.001 to 0.02.
"""

HALF = 0.5
"""Share of a fresh network's size below which weights count as shrunk, and of the loss that copies
are freed of from which it fails."""

HEAVY = 2.0
"""Weight from which shrunken weights are enough."""

NOTHING = 0.9
"""Share of the loss of a network that knows nothing from which this one has learnt nothing."""

NAMED = 8
"""Parameters that are named as places."""


@check(
    title="Regularisation leaves the data in charge",
    failure_title="Regularisation overwhelms the data",
    needs=(PULLS, SETTINGS),
    wants=(TRAIN, VAL),
    limits={
        "weight": Limit(
            warn=0.1,
            source="at 1 a fresh network's penalty is worth all its data loss; usual recipes have "
            "0.001 to 0.02",
        ),
        "gain": Limit(
            warn=0.05,
            fail=HALF,
            source="share of the validation loss that goes when regularisation does; healthy "
            "models show up to 0.02",
        ),
    },
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge by what copies gain that are freed, where regularisation weighs at all."""
    found = _known(seen[PULLS], seen[SETTINGS])
    gain = gain_of(found.released, seen.rng) if found.released is not None else None
    metrics = (*_metrics(found, gain, limits), *_gap(seen.get(TRAIN), seen.get(VAL)))
    figures = figures_of(found)
    nothing = _learnt_nothing(found, seen.get(TRAIN), seen.get(VAL))
    if not found.penalised.any():
        verdict, said, where, advice = _without(found, nothing)
        said += _gap_said(seen.get(TRAIN), seen.get(VAL)) + _slope_said(found)
        return Judgement(verdict, said, metrics, where, advice, figures)
    verdict, said = _verdict(found, gain, nothing, limits)
    loud = verdict in (Verdict.WARN, Verdict.FAIL)
    if not loud:
        said += _gap_said(seen.get(TRAIN), seen.get(VAL))
    return Judgement(
        verdict,
        said + _slope_said(found),
        metrics,
        _places(found) if loud else (),
        _advice(found, seen[SETTINGS]) if loud else (),
        figures,
    )


def _known(found: Regularisation, settings: Settings) -> Regularisation:
    """Return what was seen, with decays that only the settings tell of."""
    if not settings.groups or not np.isnan(found.decays).all():
        return found
    values = {group.number("weight_decay") for group in settings.groups}
    if len(values) == 1:
        return replace(found, decays=np.full(len(found.parameters), values.pop()), unknown="")
    held = {n: g.number("weight_decay") for g in settings.groups for n in g.parameters}
    if not held:
        return found
    return replace(found, decays=np.asarray([held.get(n, 0.0) for n in found.parameters]))


def _verdict(
    found: Regularisation, gain: Gain | None, nothing: bool, limits: Limits
) -> tuple[Verdict, str]:
    weight, least = found.weight, limits["weight"].warn
    heavy = math.isnan(weight) or least is None or weight >= least
    what = _what(found)
    said = f"{what[0].upper()}{what[1:]} {_weighs(found)}."
    if not heavy:
        return Verdict.PASS, f"{said} That leaves the data in charge."
    shrunk = found.shrunk < HALF
    if nothing and shrunk:
        return Verdict.FAIL, (
            f"{said} The network has learnt nothing, its loss on training data being that of a "
            f"network that knows nothing, and its weights have shrunk to {found.shrunk:.2g} of a "
            f"fresh network's, which nothing else does.{_freed(gain)}"
        )
    if gain is not None and gain.sure:
        judged = limits["gain"].verdict(gain.share, gain.low, gain.high)
        if judged is not Verdict.PASS:
            return judged, said + _freed(gain)
    if weight >= HEAVY and shrunk:
        return Verdict.WARN, (
            f"{said} The weights are held at {found.shrunk:.2g} of a fresh network's.{_freed(gain)}"
        )
    if gain is None:
        why = f" Copies could not be freed of it: {found.no_release}."
        return Verdict.INFO, f"{said} That is more than is usual; no harm is proven.{why}"
    if math.isnan(weight):
        return Verdict.PASS, f"{said}{_freed(gain)}"
    return Verdict.INFO, f"{said} That is more than is usual, but no harm is proven.{_freed(gain)}"


def _what(found: Regularisation) -> str:
    """Return what regularises: "weight decay of 0.1 (AdamW) and a penalty in `l2`"."""
    parts = []
    decays = np.unique(found.decays[np.nan_to_num(found.decays) > 0])
    if len(decays):
        shown = f"{decays[-1]:g}" if len(decays) == 1 else f"up to {decays[-1]:g}"
        how = "beside the gradient" if found.decoupled else "through the gradient"
        parts.append(f"weight decay of {shown}, {how},")
    if found.terms:
        kind = {"square": "squared weights", "absolute": "absolute weights"}.get(found.form, "")
        of = f" on {kind}" if kind else " on the weights"
        decay = np.nanmax(found.alike) if found.form == "square" else math.nan
        like = f", like a weight decay of {decay:.2g}," if decay == decay else ""
        parts.append(f"a penalty{of} inside the loss (`{listed(list(found.terms))}`){like}")
    return " and ".join(parts)


def _weighs(found: Regularisation) -> str:
    if math.isnan(found.weight):
        return "can't be weighed without a fresh network"
    if found.decoupled and not found.terms:
        return f"shrinks a fresh network's weights by {found.weight:.2g} of what full steps move"
    return f"is worth {found.weight:.2g} of a fresh network's data loss"


def _freed(gain: Gain | None) -> str:
    if gain is None:
        return ""
    whose = "Fresh copies" if gain.start == "fresh" else "Copies of the checkpoint"
    begun = f" {whose} made {counted(gain.steps, 'step')} of {gain.optimizer} with and without it: "
    if not gain.sure:
        return f"{begun}without it validation {gain.measure} is not lower beyond doubt (99 %)."
    beyond = f", {gain.time:g} times as far as they were apart," if gain.time > 1 else ""
    accuracy = ""
    if gain.before == gain.before:
        accuracy = f" and accuracy goes from {gain.before:.3f} to {gain.after:.3f}"
    return (
        f"{begun}towards the one without{beyond} validation {gain.measure} falls by "
        f"{gain.share:.1%} (99 % interval {gain.low:.1%} to {gain.high:.1%}){accuracy}."
    )


def _without(
    found: Regularisation, nothing: bool
) -> tuple[Verdict, str, tuple[Place, ...], tuple[str, ...]]:
    looked = (
        f" Whether the loss holds a penalty could not be told: {found.untold}."
        if found.untold
        else " The loss holds no penalty on the weights."
    )
    if np.isnan(found.decays).all():
        said = f"No weight decay is known: {found.unknown or 'nothing tells of it'}.{looked}"
        if nothing and found.shrunk < 0.2 * HALF:
            return (
                Verdict.WARN,
                f"{said} But the weights have shrunk to {found.shrunk:.2g} of a fresh network's "
                "and the network has learnt nothing, as far too much weight decay does it.",
                (Place("setting", "training.optimizer.weight_decay", "not known"),),
                (
                    "Look up the weight decay of the training script; declare it under `training: "
                    "optimizer`, and this check weighs it.",
                ),
            )
        return Verdict.INFO, said, (), ()
    if found.untold:
        return Verdict.INFO, f"The optimizer has no weight decay.{looked}", (), ()
    return Verdict.PASS, f"The optimizer has no weight decay.{looked}", (), ()


def _learnt_nothing(
    found: Regularisation, train: Performance | None, val: Performance | None
) -> bool:
    """Tell whether the loss is that of a network that knows nothing, fresh or constant."""
    bound = found.fresh_loss
    for seen in (train, val):
        constant = constant_loss(seen)
        if constant == constant:
            bound = min(bound, constant) if bound == bound else constant
            break
    return bool(found.data_loss >= NOTHING * bound > 0)


def _metrics(found: Regularisation, gain: Gain | None, limits: Limits) -> tuple[Metric, ...]:
    weight = None if math.isnan(found.weight) else found.weight
    metrics = [Metric("data loss", found.data_loss)]
    if not math.isnan(found.decay_worth):
        metrics.append(Metric("weight decay as a penalty, λ/2 |w|²", found.decay_worth))
    if found.terms:
        metrics.append(Metric("penalty inside the loss", found.worth))
    if found.penalised.any():
        metrics.append(Metric("weight of regularisation", weight, limit=limits["weight"]))
    if gain is not None and gain.share == gain.share:
        metrics.append(
            Metric(
                "loss that copies lose without it",
                gain.share,
                "of the loss",
                *gain.usual,
                limits["gain"],
            )
        )
    if found.shrunk == found.shrunk:
        metrics.append(Metric("size of the weights", found.shrunk, "times a fresh network's"))
    if found.slope.error == found.slope.error:
        metrics.append(Metric("error of the data loss's slope", found.slope.error, "relative"))
    return tuple(metrics)


def _gap(train: Performance | None, val: Performance | None) -> tuple[Metric, ...]:
    named = (("training", train), ("validation", val))
    return tuple(
        Metric(f"{seen.metric}, {name}", seen.score) for name, seen in named if seen is not None
    )


def _gap_said(train: Performance | None, val: Performance | None) -> str:
    if train is None or val is None or train.metric != val.metric:
        return ""
    return (
        f" Too little of it would show in the gap between training and validation "
        f"({train.metric} {train.score:.3g} and {val.score:.3g}), which `overfitted` judges."
    )


def _slope_said(found: Regularisation) -> str:
    error = found.slope.error
    if error != error or error < 1e-2:
        return ""
    return (
        f" The slope of the data loss alone is off by {error:.1%} from its differences: see "
        "`wrong-gradients`."
    )


def _parts(found: Regularisation) -> list[tuple[float, str]]:
    """Return the weight of the decay and of the loss's penalty, the heavier first.

    One that is usual beside another that is not is left out.
    """
    nothing = np.zeros(len(found.parameters))
    parts = []
    if (np.nan_to_num(found.decays) > 0).any():
        alone = replace(found, hidden=nothing, alike=nothing, form="", terms=(), worth=0.0)
        parts.append((alone.weight, "decay"))
    if found.terms:
        parts.append((replace(found, decays=nothing).weight, "loss"))
    parts.sort(key=lambda part: -np.nan_to_num(part[0], nan=np.inf))
    return parts[:1] + [part for part in parts[1:] if not part[0] < USUAL]


def _places(found: Regularisation) -> tuple[Place, ...]:
    places = []
    for weight, what in _parts(found):
        share = f"weighs {weight:.2g} on a fresh network" if weight == weight else "not weighed"
        if what == "decay":
            highest = float(np.nanmax(found.decays))
            note = f"{highest:g}, {share}"
            places.append(Place("setting", "training.optimizer.weight_decay", note))
        else:
            several = [Place("setting", f"loss.{term}", f"a penalty, {share}") for term in
                       found.terms]  # fmt: skip
            places += several
    pulls = found.pulls(fresh=found.has_factory)
    return (*places, *_worst(found, pulls))


def _worst(found: Regularisation, pulls: Array) -> tuple[Place, ...]:
    unit = "of a full step" if found.decoupled and not found.terms else "times the data's gradient"
    ranked = [i for i in np.argsort(-np.nan_to_num(pulls, nan=-1.0)) if not found.free[i]]
    return tuple(
        Place("parameter", found.parameters[i], f"pulled by {_short(pulls[i])} {unit}")
        for i in ranked[:NAMED]
        if pulls[i] > 0
    )


def _short(value: float) -> str:
    """Return a number of two digits that count."""
    return f"{float(f'{value:.2g}'):,g}"


def _advice(found: Regularisation, settings: Settings) -> tuple[str, ...]:
    weight = found.weight
    factor = USUAL / weight if weight == weight and weight > 0 else 0.01
    steps = []
    for _, what in _parts(found):
        if what == "decay":
            decay = float(np.nanmax(found.decays))
            value = decay * factor
            steps.append(
                step(
                    f"Lower `weight_decay` from {decay:g} to about {value:.1g}, and compare "
                    f"validation losses between {value / 3:.1g} and {3 * value:.1g}:",
                    optimizer_code(settings, weight_decay=float(f"{value:.1g}")),
                )
            )
        else:
            steps.append(
                f"Multiply the penalty in `{listed(list(found.terms))}` by about {factor:.1g}, or "
                "take it out and leave regularisation to `weight_decay`, where it can be seen."
            )
    decayed = any(what == "decay" for _, what in _parts(found))
    small = [
        name
        for name, held in zip(found.parameters, np.nan_to_num(found.decays) > 0, strict=True)
        if held and name.endswith(("bias", "norm.weight"))
    ]
    if small and decayed:
        steps.append(
            step(
                "Leave biases and normalisation out of the decay, by groups for the optimizer. Now "
                f"it holds {listed(small, 3)} too.",
                snippets.decayed(
                    float(f"{float(np.nanmax(found.decays)) * factor:.1g}"),
                    settings.optimizer,
                    own_settings(settings, weight_decay=0.0) or {},
                ),
            )
        )
    steps.append(
        "Train anew from a fresh network: weights that have shrunk this far hold little to go on "
        "from."
        if found.shrunk < HALF
        else "Then train on from here, and print the data loss and the penalty apart."
    )
    return tuple(steps)
