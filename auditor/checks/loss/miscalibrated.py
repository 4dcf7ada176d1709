"""Confidence that is not earned, and the temperature that cures it.

What it does
------------
Sets the probabilities that the model states on validation data beside how often they come true, and
fits the temperature that would mend them.

Why it matters
--------------
Whoever acts on a probability (a threshold, a cost, a second opinion for the unsure) relies on 80 %
meaning 80 %. A model can be right as often as ever and still be sure of every mistake: its accuracy
shows nothing, its loss is large, and no threshold separates right from wrong.

How it is measured
------------------
Outputs are read as the loss reads them: through softmax or sigmoid, or as they are where they are
probabilities or their logarithms already; what class weights of the loss, or other shares of
classes in the training loader, add to them is taken out. Of several classes the probability of the
likeliest is looked at, of two that of the second, labels are taken together. The expected
calibration error (ECE) is the mean gap between stated and observed, over 15 bins of equal mass
(fewer below 300 examples). Chance alone opens gaps, so what it adds is taken off, and the interval
comes from a bootstrap over whole examples, since the pixels or positions of one example are not
independent. The best temperature T is that of least cross-entropy of softmax(logits / T), with a
sandwich interval: T above 1 tells of overconfidence. It sees what the ECE can't, for the ECE of an
overconfident model is no larger than its error rate. A low T counts only where the ECE is above
0.1, more than label smoothing costs; where loss or targets are known to smooth labels, the ECE is
allowed as much more. For the cure, T is fitted on one half of the examples and the ECE measured on
the other. Verdicts use 99 % intervals.

When it misleads
----------------
A loss of the authors' own may give outputs another meaning than logits, and one of torch's may be
given probabilities where it wants logits: unless loss and numbers agree on the reading, nothing
worse than `info` is said. Weights and samplers that can't be seen, label smoothing, mixup and focal
loss shift the probabilities on purpose, and validation data of another distribution makes any model
look overconfident. Gaps of opposite sign within a bin cancel.

What to do
----------
Divide the logits by the temperature, fitted on validation data: accuracy does not change. For
training: stop earlier, more weight decay, label smoothing; and look for a factor on the logits.

Source
------
Guo et al. 2017, "On Calibration of Modern Neural Networks"; Naeini et al. 2015 (ECE); Bröcker &
Smith 2007, "Increasing the Reliability of Reliability Diagrams" (consistency bars); Kumar et al.
2019, "Verified Uncertainty Calibration" (bias of the plug-in error); Cox 1958 (calibration slope).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from auditor.core import snippets
from auditor.core.advice import step
from auditor.core.check import Limits, Seen, check
from auditor.core.figure import Bars, Lines, Series
from auditor.core.finding import Judgement, Limit, Metric, Place
from auditor.core.statistics import examples_to_settle
from auditor.core.text import counted
from auditor.core.verdict import Verdict
from auditor.observations.calibration import Reliability, overconfidence, reliability
from auditor.observations.predictions import PredictionsOver
from auditor.observations.probabilities import (
    Probabilities,
    Temperature,
    emphasis,
    fitted_temperature,
    read,
)
from auditor.observations.targets import TargetsOf, TargetsSeen

PREDICTIONS = PredictionsOver(split="val")
TARGETS = TargetsOf()

FEWEST = 200
"""Examples below which even a calibrated model shows an ECE of several points by chance: ten bins
of 20 have a standard deviation of 0.11 each at a probability of one half."""

FEWEST_WRONG = 3
"""Wrong answers without which nothing bounds a temperature from above one."""

SMOOTHED = 0.1
"""ECE that label smoothing of 0.1 costs a model that is always right, and is meant to."""

SURE, TOLD = 2.576, 1.960
"""Standard errors of the intervals of 99 % and of 95 %."""


@dataclass(frozen=True)
class Mended:
    """The ECE on one half of the examples before and after the temperature of the other half."""

    temperature: float
    before: float
    after: float


@check(
    title="Probabilities come true as often as stated",
    failure_title="Probabilities do not come true as often as stated",
    needs=(PREDICTIONS,),
    wants=(TARGETS,),
    limits={
        "calibration_error": Limit(
            warn=0.2,
            fail=0.35,
            source="networks as commonly trained have up to 0.17 (Guo et al. 2017, table 1, "
            "ResNet-110 on CIFAR-100), so only more tells of a fault; at 0.35 a stated "
            "85 % is a coin toss",
        ),
        "temperature": Limit(
            warn=3.5,
            fail=10.0,
            source="networks as commonly trained want 1 to 3.4 (Mukhoti et al. 2020, table 1); at "
            "10 a stated 99.99 % is 72 %",
        ),
    },
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge the debiased calibration error and the temperature by their 99 % intervals."""
    predictions = seen[PREDICTIONS]
    stated = read(predictions)
    if isinstance(stated, str):
        return Judgement(Verdict.NOT_APPLICABLE, f"Not looked at: {stated}.")
    examples = len(np.unique(stated.decisions.example))
    if examples < FEWEST:
        return Judgement(
            Verdict.INFO,
            f"Only {counted(examples, 'validation example')} were seen; at least {FEWEST} are "
            "needed to tell miscalibration from chance.",
        )
    stated, resampled = _resampling_undone(stated, seen.get(TARGETS))
    found = reliability(stated, seen.rng)
    best = fitted_temperature(stated)
    wrong = len(np.unique(stated.decisions.example[stated.decisions.right == 0]))
    error_limit, heat_limit = limits["calibration_error"], limits["temperature"]
    smoothed = float(predictions.smoothing)
    by_error = _beyond(error_limit, found.interval(0.99)[0] - smoothed)
    hot = best.interval(SURE)[0] if best is not None and wrong >= FEWEST_WRONG else 0.0
    verdict = max(by_error, _beyond(heat_limit, hot), key=_SEVERITY.index)
    if verdict is Verdict.PASS and _cold(found, best, heat_limit, smoothed):
        verdict = Verdict.WARN
    mended = _mended(stated, seen.rng)
    lean = float(overconfidence(stated).mean())
    summary = _summary(found, lean, examples, best) + resampled
    advice: tuple[str, ...] = ()
    where: tuple[Place, ...] = ()
    if verdict is not Verdict.PASS:
        unmended = mended is not None and mended.after > 0.5 * mended.before
        leaning = by_error is not Verdict.PASS and unmended
        wrong_way = _wrong_way(stated, lean, best, leaning)
        summary += f" {wrong_way.sentence}"
        advice = _advice(wrong_way, best, mended)
        where = (Place("setting", "the outputs", wrong_way.note),)
        verdict = verdict if stated.sure else Verdict.INFO
    else:
        summary += _unsettled("ECE", found.debiased, found.interval(0.99), error_limit, examples)
        if best is not None and wrong >= FEWEST_WRONG:
            bounds = best.interval(SURE)
            summary += _unsettled("temperature", best.value, bounds, heat_limit, examples)
    if not stated.sure:
        summary += _doubt(predictions.loss)
    if mended is not None:
        summary += (
            f" A temperature of {mended.temperature:.3g} fitted on half of the examples takes the "
            f"ECE of the other half from {mended.before:.1%} to {mended.after:.1%}."
        )
    return Judgement(
        verdict,
        summary,
        metrics=_metrics(found, lean, best, stated, error_limit, heat_limit),
        where=where,
        advice=advice,
        figures=(_diagram(found, stated), _gaps(found, stated)),
    )


_SEVERITY = (Verdict.PASS, Verdict.WARN, Verdict.FAIL)


def _beyond(limit: Limit, low: float) -> Verdict:
    """Return the verdict on the least value that is not ruled out."""
    for bound, verdict in ((limit.fail, Verdict.FAIL), (limit.warn, Verdict.WARN)):
        if bound is not None and low > bound:
            return verdict
    return Verdict.PASS


def _unsettled(
    name: str, value: float, bounds: tuple[float, float], limit: Limit, examples: int
) -> str:
    """Return a sentence where it is open whether a value is beyond a limit; else nothing."""
    if limit.warn is None or not bounds[0] <= limit.warn < bounds[1]:
        return ""
    needed = examples_to_settle(examples, value, *bounds, limit.warn)
    within = needed is not None and needed <= 100 * examples
    settle = f"; about {needed:,} examples would settle it" if within else ""
    return f" Whether the {name} is more than {limit.warn:g} is not certain{settle}."


def _cold(found: Reliability, best: Temperature | None, limit: Limit, smoothed: float) -> bool:
    """Tell whether logits are too small by more than the limit and smoothing would make them."""
    if best is None or limit.warn is None:
        return False
    least = SMOOTHED + smoothed
    return best.interval(SURE)[1] < 1 / limit.warn and found.interval(0.99)[0] > least


def _doubt(loss: str) -> str:
    if not loss:
        return " But the loss is one of your own, so that these outputs are logits is a guess."
    return (
        f" But `{loss}` does not take these probabilities for what they are, so training steered "
        "others: give it what it wants first, then audit again."
    )


def _mended(stated: Probabilities, rng: np.random.Generator) -> Mended | None:
    """Return what a temperature fitted on half of the examples does to the other half's ECE."""
    _, place = np.unique(stated.decisions.example, return_inverse=True)
    half = (rng.permutation(int(place.max()) + 1) % 2 == 0)[place]
    best, other = fitted_temperature(stated.where(half)), stated.where(~half)
    if best is None:
        return None
    before, after = reliability(other, rng), reliability(other.warmed(best.value), rng)
    return Mended(best.value, before.debiased, after.debiased)


def _summary(found: Reliability, lean: float, examples: int, best: Temperature | None) -> str:
    low, high = found.interval(0.95)
    side = "more" if lean > 0 else "less"
    heat = ""
    if best is not None:
        heat = f", and the best temperature is {best.value:.3g} ({_range(best)})"
    return (
        f"On {counted(examples, 'validation example')} the probabilities are off by "
        f"{found.debiased:.1%} on average (ECE, 95 % interval {low:.1%} to {high:.1%}; chance "
        f"taken off). The model is {abs(lean):.1%} {side} sure of its answers than they are "
        f"right{heat}."
    )


def _range(best: Temperature) -> str:
    low, high = best.interval(TOLD)
    return f"95 % interval {low:.3g} to {high:.3g}"


def _resampling_undone(
    stated: Probabilities, training: TargetsSeen | None
) -> tuple[Probabilities, str]:
    """Return the probabilities without what a sampler put into them, and a sentence about it."""
    if training is None or training.split != "train":
        return stated, ""
    added = emphasis(stated, training.targets)
    if not added.size:
        return stated, ""
    most = int(added.argmax())
    taught = dict(zip(training.targets.classes, training.targets.counts, strict=True))
    shown = taught.get(most, 0) / sum(taught.values())
    here = float((stated.decisions.truth == most).mean())
    return stated.without(added), (
        f" The training loader yields other shares of classes than validation data (class {most}: "
        f"{shown:.1%} against {here:.1%}); what that adds to the probabilities has been taken out."
    )


@dataclass(frozen=True)
class WrongWay:
    """In which way probabilities are off: in a sentence and in a few words."""

    way: Literal["over", "under", "leaning"]
    sentence: str
    note: str


def _wrong_way(
    stated: Probabilities, lean: float, best: Temperature | None, leaning: bool
) -> WrongWay:
    if best is None:
        way: Literal["over", "under"] = "over" if lean > 0 else "under"
        return WrongWay(way, f"It is {way}confident.", f"{way}confident")
    factor = max(best.value, 1 / best.value)
    if leaning:
        said = np.exp(stated.logs).mean(axis=0)
        came = np.bincount(stated.decisions.truth, minlength=len(said)) / len(stated.logs)
        most = int(np.abs(said - came).argmax())
        told = f"class {most} is given {said[most]:.1%} on average and is right {came[most]:.1%}"
        return WrongWay(
            "leaning",
            f"No temperature mends that: the probabilities lean, {told} of the time.",
            f"leaning: {told}",
        )
    if best.value < 1:
        size = f"logits about {factor:.2g} times too small"
        return WrongWay("under", f"It is underconfident: {size}.", f"underconfident: {size}")
    size = f"logits about {factor:.2g} times too large"
    sure = ", which shows on its mistakes: it is as sure of them as of the rest"
    told = f"It is overconfident: {size}{sure if lean < 0.1 else ''}."
    return WrongWay("over", told, f"overconfident: {size}")


def _advice(wrong: WrongWay, best: Temperature | None, mended: Mended | None) -> tuple[str, ...]:
    if wrong.way == "leaning":
        return (
            step(
                "Look for class weights or a sampler in training that validation does not share, "
                "`weight` [classes]: take their logarithm off the logits.",
                "logits = model(inputs) - torch.log(weight)",
            ),
            "If there is none, the classes come in other shares here than in training: measure on "
            "data like that of use, or fit a bias for each class on validation data.",
        )
    advice = []
    if best is not None:
        cured = ""
        if mended is not None:
            cured = f"; measured on examples it was not fitted on, that leaves {mended.after:.1%}"
        advice.append(
            step(
                f"Divide the logits by {best.value:.3g} before the softmax or sigmoid. Accuracy "
                f"stays as it is{cured}.",
                f"logits = model(inputs) / {snippets.digits(best.value, 3)}",
            )
        )
    else:
        advice.append(
            "No temperature mends it, since the answers are all right, or no better than their "
            "opposite: look at the order of the classes and at the weights that were loaded."
        )
    if wrong.way == "over":
        return (
            *advice,
            "Look for a factor on the logits: a scale in the last layer, a division by a small "
            "temperature, or a factor that was meant for training.",
            step(
                "If there is none the model is overfitted: stop at the epoch of the least "
                "validation loss, not of the best accuracy, use more weight decay, or label "
                "smoothing of 0.1.",
                "loss_fn = torch.nn.CrossEntropyLoss(label_smoothing=0.1)",
            ),
        )
    return (
        *advice,
        "Look for what shrinks the logits: a softmax or sigmoid before a loss that has its own, a "
        "large temperature, a tiny last layer, or strong label smoothing.",
    )


def _metrics(
    found: Reliability,
    lean: float,
    best: Temperature | None,
    stated: Probabilities,
    error_limit: Limit,
    heat_limit: Limit,
) -> tuple[Metric, ...]:
    right = stated.decisions.right.mean()
    metrics = [
        Metric(
            "expected calibration error",
            found.debiased,
            "share",
            *found.interval(0.95),
            error_limit,
        ),
        Metric("the same, chance not taken off", found.error, "share"),
        Metric("what a calibrated model would show of it", found.by_chance, "share"),
        Metric("stated less observed", lean, "share"),
        Metric("accuracy", float(right), "share"),
    ]
    if best is not None:
        bounds = best.interval(TOLD)
        metrics.insert(1, Metric("best temperature", best.value, "", *bounds, heat_limit))
    return tuple(metrics)


def _axes(stated: Probabilities) -> tuple[str, str]:
    if stated.logs.shape[1] == 2:
        return "stated probability of class 1", "share of class 1"
    return "stated probability", "share that was right"


def _diagram(found: Reliability, stated: Probabilities) -> Lines:
    x_label, y_label = _axes(stated)
    line = tuple(found.stated.tolist())
    reach = TOLD * found.sway
    return Lines(
        title="Reliability",
        caption=f"{counted(len(line), 'bin')} of about {int(found.rows.mean()):,} targets. Below "
        "the diagonal the model is too sure, above it not sure enough; the band is where 95 % of a "
        "calibrated model's bins would lie.",
        x_label=x_label,
        y_label=y_label,
        series=(
            Series("observed", line, tuple(found.observed.tolist())),
            Series(
                "calibrated",
                line,
                line,
                tuple(np.clip(found.stated - reach, 0, 1).tolist()),
                tuple(np.clip(found.stated + reach, 0, 1).tolist()),
            ),
        ),
    )


def _gaps(found: Reliability, stated: Probabilities) -> Bars:
    gaps = found.observed - found.stated
    outside = np.abs(gaps) > TOLD * found.sway
    return Bars(
        title="Gap in each bin",
        caption="Observed less stated: negative where the model is too sure. Marked bins lie "
        "outside what chance explains.",
        label=f"{_axes(stated)[1]}, less stated",
        labels=tuple(f"at {value:.3f}" for value in found.stated),
        values=tuple(gaps.tolist()),
        low=tuple((gaps - TOLD * found.sway).tolist()),
        high=tuple((gaps + TOLD * found.sway).tolist()),
        marked=tuple(bool(value) for value in outside),
    )
