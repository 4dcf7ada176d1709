"""Steps far from a thousandth of the weights they change, layer by layer.

What it does
------------
Trains a copy for a few steps with the declared optimiser, from fresh weights and from those of the
checkpoint, and measures by what fraction of its norm each step moves each weight: for the model as
a whole, and layer by layer.

Why it matters
--------------
Steps of a tenth of the weights overwrite in a few dozen steps what was learnt, steps of a millionth
go nowhere in affordable time, and both look like "the model does not learn". One layer far from the
others, through its initialisation or its own gradient, learns at a pace that the learning rate was
not chosen for.

How it is measured
------------------
A learning rate is only large or small relative to weights and gradients. The ratio is |Δw| / |w| by
2-norms, for tensors of two or more dimensions that do not start at zero: of those that do (LoRA's
second factor, the last layer of a residual branch; biases too) any step is endlessly long; and from
fresh weights what such a zero holds back takes no part. About 1e-3 is healthy; a decade and a half
around it, 3.2e-5 to 3.2e-2, is what the checkpoint's weights are judged by. The first six steps are
left out, since an optimiser without a history behaves differently (from the checkpoint its moments
are used where they are saved, as the plot says). From fresh weights steps are longer by nature, up
to 0.035 in healthy models, so that the upper limit there is 0.1; and their opening is judged as
well, as steps that are too long blow the weights up, and |w| in the denominator then hides it (with
Adam the ratio ends near 1/t for any learning rate above 1e-2). Too short is judged from fresh
weights alone: a converged checkpoint has small gradients, as it should.

The model is judged by its median tensor, each tensor by itself, and each by its distance in decades
from the median of the others, step by step. Intervals are Student's, of the logarithms; a verdict
wants the whole of one at 99 %, shared out among the tensors, to lie beyond a limit. Tables of
embeddings, of which a batch uses few rows, are not judged to be too slow.

Two things are told, not judged. A tensor that moves too far from fresh weights alone, while the
model does not, stands near the others and moves within the limits at the checkpoint: it began
small, beside what it came to, as behind thousands of inputs. And steps of the whole model from
fresh weights that are long enough to warn, not to fail, where range tests (see `learning-rate-off`)
recommend rates up to the declared one and beyond: the loss falls best with such steps.

The learning rate that would bring a tensor to 1e-3 is the declared one times 1e-3 over its ratio.
The step, weight decay included, is proportional to the rate in SGD, Adam and their kin; the other
weights then move at another pace too, so that it is a first guess.

When it misleads
----------------
Steps follow one another, so the interval is somewhat too narrow. The declared learning rate may be
the peak of a schedule, or the end of one. Fine-tuning uses short steps on purpose, and a last layer
that is made small on purpose opens fast. Where memory suffices for a part of each batch only (the
summary says so) the gradient is noisier than in training.

What to do
----------
Scale the learning rate by 1e-3 over the ratio found, as the advice does; a layer that stands apart
wants its usual initialisation, or a group of its own in the optimiser.

Source
------
Karpathy, CS231n notes, "Neural Networks Part 3", ratio of weights to updates: "somewhere around
1e-3"; You, Gitman, Ginsburg 2017 (LARS), section 4, ratios over layers.
"""

from dataclasses import replace

import numpy as np

from auditor.core import snippets
from auditor.core.advice import step
from auditor.core.check import Limits, Seen, check
from auditor.core.figure import Lines, Series
from auditor.core.finding import Judgement, Limit, Metric, Place
from auditor.core.text import clean_text, counted, listed
from auditor.core.verdict import SEVERITY, Verdict, worst
from auditor.observations.pace import Pace, WeightPace, pace_of
from auditor.observations.pace_advice import advice_on_pace
from auditor.observations.pace_figures import figures_of_pace
from auditor.observations.pace_verdicts import (
    STARTS,
    TARGET,
    Judged,
    long_steps,
    settled,
    verdicts_on,
    without,
)
from auditor.observations.rate_trials import RateTrials, RateTrialsOver
from auditor.observations.rate_verdicts import rates_of
from auditor.observations.updates import UpdateRatios, UpdateRatiosFrom

CHECKPOINT = UpdateRatiosFrom(start="checkpoint")
FRESH = UpdateRatiosFrom(start="fresh")
TRIALS = RateTrialsOver(start="fresh")

HIGH = (
    "two decades above the 1e-3 of the CS231n notes: at 1e-3 Adam opens with up to 0.04 on layers "
    "of 1,024 units without harm, at 0.1 with 0.3 and more, which replaces them in three steps"
)
TRAINED = (
    "1.5 decades above the 1e-3 of the CS231n notes; healthy checkpoints of eleven kinds show 0.01 "
    "at most"
)
LOW = (
    "1.5 and 3 decades below the 1e-3 of the CS231n notes: at 1e-6 a million steps move the "
    "weights by their own size at most"
)
APART = (
    "1.5 decades; between the tensors of healthy models of fifteen kinds there is 1.1 at most, and "
    "LARS, section 4, sees layers a decade apart"
)


GREW = 10.0
"""Times the first loss above which a loss has grown before it broke."""


@check(
    title="Updates have a healthy size",
    failure_title="Updates are far too large or too small",
    needs=(CHECKPOINT,),
    wants=(FRESH, TRIALS),
    limits={
        "ratio_high": Limit(warn=0.1, fail=0.3, source=HIGH),
        "trained_ratio_high": Limit(warn=0.032, fail=0.3, source=TRAINED),
        "ratio_low": Limit(warn=3.2e-5, fail=1e-6, bad="below", source=LOW),
        "decades_apart": Limit(warn=1.5, source=APART),
    },
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge the median tensor, each tensor, and the distance of each from the others."""
    answers = [answer for answer in (seen.get(FRESH), seen[CHECKPOINT]) if answer is not None]
    lost = [answer for answer in answers if not np.isfinite(answer.losses).all()]
    if lost:
        return _diverged(lost[0])
    paces = [pace for answer in answers if (pace := pace_of(answer)) is not None]
    if not paces:
        return Judgement(
            Verdict.NOT_APPLICABLE, "No step was measured of a weight matrix that starts off zero."
        )
    both = [verdicts_on(pace, limits) for pace in paces]
    summary = [_moved(one) for one in both]
    excused: list[str] = []
    if len(both) > 1:
        begun = settled(both[0], both[1], limits["decades_apart"])
        both[0] = without(both[0], begun)
        excused += _begun(begun)
    if both[0].too_long and (suits := _suits(both[0], seen.get(TRIALS))):
        long = long_steps(both[0], limits["decades_apart"])
        both[0] = replace(without(both[0], long), whole=Verdict.PASS)
        excused.append(suits)
    top = max(both, key=lambda one: SEVERITY[one.verdict])
    still = _still(paces)
    verdict = worst((*(one.verdict for one in both), Verdict.WARN if still else Verdict.PASS))
    if excused and verdict is Verdict.PASS:
        verdict = Verdict.INFO
    if seen.get(FRESH) is None:
        why = f"which takes fresh weights: {seen.missing(FRESH) or 'not asked for'}"
        summary.append(f"Whether steps are too short was not judged, {why}.")
    pace = top.pace
    opened = pace.opening > 2 * pace.ratio.value and _beyond(pace.opening, top.limits[:1])
    if opened and top.whole is not Verdict.PASS:
        first = f"Its first steps moved it by {pace.opening:.2g} each"
        summary.append(f"{first}, which made the weights larger and the later ratios smaller.")
    summary += [_off(one) for one in both if one.off and one.whole is Verdict.PASS]
    summary += excused
    if still:
        summary.append(f"{counted(len(still), 'weight')} did not move at all: {listed(still, 3)}.")
    return Judgement(
        verdict,
        " ".join(summary),
        metrics=(
            *(metric for one in both for metric in _metrics(one)),
            *(metric for one in both for metric in _counts(one)),
        ),
        where=_where(both, still),
        advice=() if verdict in (Verdict.PASS, Verdict.INFO) else advice_on_pace(top, both, still),
        figures=figures_of_pace(both),
    )


def _begun(weights: tuple[WeightPace, ...]) -> list[str]:
    """Return a sentence on tensors that only begin fast, where there are any."""
    if not weights:
        return []
    first = max(weights, key=lambda weight: weight.ratio.value)
    others = [weight.name for weight in weights if weight is not first]
    more = f"; so do {listed(others, 3)}" if others else ""
    return [
        f"`{first.name}` moves by {first.ratio.value:.2g} a step from fresh weights, which are "
        f"small, and within the limits once trained{more}."
    ]


def _suits(one: Judged, trials: RateTrials | None) -> str:
    """Return a sentence where range tests recommend the declared rate all the same, or ""."""
    if one.pace.seen.start != "fresh" or trials is None or trials.instead:
        return ""
    rates = rates_of(trials, None)
    if not (rates.known and trials.declared <= rates.high):
        return ""
    longest = max(one.pace.opening, one.pace.ratio.value)
    return (
        f"Steps of {longest:.2g} from fresh weights are long, but range tests recommend rates up "
        f"to {rates.high:.2g} there, and the declared one is {trials.declared:g}."
    )


def _moved(one: Judged) -> str:
    pace = one.pace
    note = f" From {one.start} {clean_text(pace.seen.note)}." if pace.seen.note else ""
    optimizer = clean_text(pace.seen.optimizer)
    if pace.ratio.value == 0:
        return f"From {one.start} {optimizer} does not move the median weight at all.{note}"
    interval = f"95 % interval {pace.ratio.low:.2g} to {pace.ratio.high:.2g}"
    moves = f"moves the median weight by {pace.ratio.value:.2g} of its norm ({interval})"
    unsure = ""
    if one.whole is Verdict.PASS and _beyond(pace.ratio.value, one.limits):
        unsure = " That is beyond a limit, but not surely so: the deep profile makes more steps."
    return f"From {one.start} a step of {optimizer} {moves}.{note}{unsure}"


def _off(one: Judged) -> str:
    """Return the sentence on tensors that are off while the median one is not."""
    first = one.off[0]
    note = dict(zip((w.name for w in one.pace.weights), one.notes, strict=True))[first.name]
    others = [w.name for w in one.off[1:]]
    more = f"; so do {listed(others, 3)}" if others else ""
    return f"Not so `{first.name}`: it {note}{more}."


def _metrics(one: Judged) -> tuple[Metric, ...]:
    """Return the ratio with the limit that it is beyond, if any, and that of the opening."""
    ratio = one.pace.ratio
    limit = next((own for own in one.limits if _beyond(ratio.value, (own,))), one.limits[-1])
    first = one.limits[0] if one.pace.seen.start == "fresh" else None
    name = f"update ratio of the first steps from {one.start}"
    return (
        Metric(f"update ratio from {one.start}", ratio.value, "", ratio.low, ratio.high, limit),
        Metric(name, one.pace.opening, limit=first),
    )


def _counts(one: Judged) -> tuple[Metric, ...]:
    """Return how many tensors are off, and how far the farthest surely is from the others."""
    far = max((abs(w.apart) for w in one.pace.weights), default=0.0)
    return (
        Metric(f"weights off from {one.start}", len(one.off), f"of {len(one.pace.weights):,}"),
        Metric(f"farthest from the other weights, from {one.start}", far, "decades"),
    )


def _beyond(ratio: float, limits: tuple[Limit, ...]) -> bool:
    return any(limit.verdict(ratio) is not Verdict.PASS for limit in limits)


def _still(paces: list[Pace]) -> list[str]:
    """Return the tensors that did not move from a start from which others did."""
    moving = [pace for pace in paces if any(w.ratio.value for w in pace.weights)]
    return sorted({w.name for pace in moving for w in pace.weights if w.ratio.value == 0})


def _where(both: list[Judged], still: list[str]) -> tuple[Place, ...]:
    """Return the tensors that did not move and those that are off, farthest from 1e-3 first.

    Where none stands out it is the rate that moves all of them too far or too little.
    """
    found = sorted(
        (-abs(np.log(weight.ratio.value / TARGET)), weight.name, note)
        for one in both
        for weight, verdict, note in zip(one.pace.weights, one.verdicts, one.notes, strict=True)
        if verdict in (Verdict.WARN, Verdict.FAIL)
    )
    rows = [(name, "did not move") for name in still] + [row[1:] for row in found]
    loud = [one for one in both if one.whole in (Verdict.WARN, Verdict.FAIL)]
    if not rows and loud:
        seen, ratio = loud[0].pace.seen, loud[0].pace.ratio.value
        note = f"{seen.learning_rate:g} moves the median weight by {ratio:.2g} of its norm a step"
        return (Place("setting", "training.optimizer.lr", note),)
    return tuple(Place("parameter", name, note) for name, note in rows)


def _diverged(answer: UpdateRatios) -> Judgement:
    broke = int(np.argmin(np.isfinite(answer.losses)))
    start, rate = STARTS[answer.start], answer.learning_rate
    where: tuple[Place, ...] = ()
    summary = f"With {start} the loss is not finite before any step is made."
    advice = (
        "The learning rate has no part in this: look for NaN or infinity in the weights, inputs "
        "and targets, then for a logarithm or division in the loss."
    )
    if broke:
        when = f"step {broke + 1} of {len(answer.losses):,} with {clean_text(answer.optimizer)}"
        summary = f"From {start} the loss was no longer finite at {when}."
        advice = step(
            f"Try a learning rate of `{rate / 10:.2g}`, then `{rate / 100:.2g}`.",
            snippets.rebuilt(answer.optimizer, rate / 10),
        )
        where = (Place("setting", "training.optimizer.lr", f"{rate:g}"),)
        spoilt = _spoilt(answer, broke)
        if spoilt:
            summary += (
                f" The step before made NaN of {listed(spoilt, 3)} though the loss was finite: the "
                "gradient was not finite, whatever the learning rate."
            )
            advice = (
                "Look at exploding-gradients and non-finite-values for where NaN begins: no "
                "learning rate mends it."
            )
            where = tuple(Place("parameter", name, "made NaN by a step") for name in spoilt)
    return Judgement(
        Verdict.FAIL,
        summary,
        metrics=(Metric("steps made before the loss broke", broke),),
        where=where,
        advice=(advice,),
        figures=_course(answer, broke) if broke else (),
    )


def _course(answer: UpdateRatios, step: int) -> tuple[Lines, ...]:
    """Return the loss up to the step at which it broke."""
    losses = np.asarray(answer.losses, float)[:step]
    return (
        Lines(
            title="Loss until it broke",
            caption=f"Step by step from {STARTS[answer.start]}; at step {step + 1} the loss was no "
            "longer finite.",
            x_label="step",
            y_label="loss",
            series=(Series("loss", tuple(range(1, step + 1)), tuple(losses.tolist())),),
            y_log=bool((losses > 0).all()),
        ),
    )


def _spoilt(answer: UpdateRatios, step: int) -> list[str]:
    """Return the weights that were made NaN in the step before, at a loss that had not grown."""
    losses = np.asarray(answer.losses, float)[:step]
    if losses.max() > GREW * max(abs(losses[0]), 1.0):
        return []
    made = np.isnan(np.asarray(answer.ratios, float)[step - 1])
    return [
        clean_text(name)
        for name, nan, dimensions in zip(answer.parameters, made, answer.dimensions, strict=True)
        if nan and dimensions > 1
    ]
