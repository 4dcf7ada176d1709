"""A fresh model whose loss is not that of guessing.

What it does
------------
Builds the model anew with several seeds and compares its loss, before any training, with the loss
of a model that knows nothing.

Why it matters
--------------
A fresh model should be unsure. One that starts far above chance is sure of nonsense, and spends its
first epochs unlearning it: inputs, targets or the initialisation have the wrong scale, or the loss
is not what it seems. One that starts below chance knows something that it can't know yet.

How it is measured
------------------
Chance is ln C for cross-entropy over C classes (2.3026 for ten, 0.6931 for two), ln 2 for binary
cross-entropy, the variance of the targets for squared error and their mean absolute deviation about
the median for absolute error. The excess is (loss - chance) / chance, of the geometric mean over
seeds, with Student's interval of the logarithms (over the batches where there is but one seed).
Logits of variance s² cost about s²/2 nats over chance, so twice the chance of ten classes means
logits of deviation 2.1. Regression is given more room, since outputs of unit variance for
standardised targets alone double the loss.

When it misleads
----------------
A loss with class weights, label smoothing, several terms or a sum for its reduction has another
chance level: where the audit can tell, or the loss is a function of your own, it is not judged.
Some designs start far from chance on purpose (pretrained parts inside the factory, a last bias set
to the class frequencies).

What to do
----------
Standardise inputs and regression targets; initialise the last layer with small weights and zero
bias, or a bias at the logarithm of the class frequencies.

Source
------
Karpathy, CS231n notes, "Neural Networks Part 3", sanity checks: "Look for correct loss at chance
performance"; Karpathy 2019, "A Recipe for Training Neural Networks" ("verify loss @ init", "init
well").
"""

import math

import numpy as np

from auditor.core.check import Limits, Seen, check
from auditor.core.figure import Bars, Guide
from auditor.core.finding import Judgement, Limit, Metric, Place
from auditor.core.statistics import examples_to_settle, geometric_interval, mean_interval
from auditor.core.text import clean_text, counted
from auditor.core.values import Array
from auditor.core.verdict import Verdict
from auditor.observations.initial_loss import FreshLosses, FreshLossesOver

FRESH = FreshLossesOver()

CATEGORICAL = ("cross_entropy", "nll_loss")
BINARY = ("binary_cross_entropy", "binary_cross_entropy_with_logits")
NUMERIC = ("mse_loss", "l1_loss")


@check(
    title="A fresh model starts at chance",
    failure_title="A fresh model does not start at chance",
    needs=(FRESH,),
    limits={
        "excess": Limit(
            warn=1.0,
            fail=2.0,
            source="CS231n notes, loss at chance; twice chance over ten classes takes logits of "
            "deviation 2.1, which a He-initialised ResNet-20, though it trains well, comes near",
        ),
        "excess_regression": Limit(
            warn=2.0,
            fail=9.0,
            source="outputs of unit variance for standardised targets give 1; targets whose mean "
            "is three deviations from zero give 9",
        ),
        "shortfall": Limit(
            warn=-0.2,
            bad="below",
            source="CS231n notes, loss at chance; no fresh model can know a fifth of the answer",
        ),
    },
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge how far the loss of fresh models is from chance."""
    fresh = seen[FRESH]
    losses = np.atleast_2d(np.asarray(fresh.losses, float))
    if not losses.size:
        return Judgement(Verdict.NOT_APPLICABLE, "No loss of a fresh model was measured.")
    if not np.isfinite(losses).all():
        return _not_finite(losses)
    if fresh.loss == "cross_entropy" and fresh.outputs == 1:
        return _single_output()
    chance, words = _chance(fresh)
    if not chance > 0:
        return Judgement(Verdict.NOT_APPLICABLE, words)
    numeric = fresh.loss in NUMERIC
    limit = limits["excess_regression" if numeric else "excess"]
    means = losses.mean(axis=1)
    loss, low, high = _typical(means if len(means) > 1 else losses)
    excess = loss / chance - 1
    bounds = low / chance - 1, high / chance - 1
    verdict = limit.verdict(excess, *bounds)
    short = limits["shortfall"].verdict(excess, *bounds)
    over = "" if len(means) > 1 else "over its batches "
    summary = (
        f"{_models(len(means))} at a loss of {loss:.4g} (95 % interval {over}{low:.4g} to "
        f"{high:.4g}); "
        f"{words} is {chance:.4g}."
    )
    advice: tuple[str, ...] = ()
    where: tuple[Place, ...] = ()
    if verdict is Verdict.WARN and limit.warn is not None and bounds[0] <= limit.warn:
        needed = examples_to_settle(len(means), excess, *bounds, limit.warn)
        settle = f"; {needed:,} seeds would settle it" if needed else ""
        summary += f" That is {excess:.0%} above chance, but not certainly too much{settle}."
    if verdict is not Verdict.PASS:
        place, cause, line = _culprit(fresh, chance)
        summary += f" Likely cause: {cause}."
        advice, where = (line,), (place,)
    elif short is not Verdict.PASS:
        verdict = short
        advice, where = _too_low(fresh)
        summary += " No model without training can be this good."
    best = _best_constant(fresh, chance)
    metrics = [
        Metric("excess over chance", excess, "of chance", *bounds, limit),
        Metric("loss of fresh models", loss, "", low, high),
        Metric("loss at chance", chance),
        Metric("loss of the checkpoint on the same batches", fresh.checkpoint_loss),
    ]
    if best is not None:
        metrics.append(Metric("saved by setting the last bias", chance - best, "nats"))
        if advice and chance - best > 0.1 * chance:
            advice += (
                "Set the last bias to the logarithm of the class frequencies: the model then "
                f"starts at {best:.3g} instead of {chance:.3g}.",
            )
    if fresh.checkpoint_loss > 0.98 * chance:
        summary += f" The checkpoint's own loss, {fresh.checkpoint_loss:.4g}, is no better."
    return Judgement(
        verdict,
        summary,
        metrics=tuple(metrics),
        where=where,
        advice=advice,
        figures=(_figure(losses, chance, fresh.checkpoint_loss, limit),),
    )


def _typical(losses: Array) -> tuple[float, float, float]:
    """Return the geometric mean with its interval, or the plain mean where a loss is negative."""
    if (losses > 0).all():
        return geometric_interval(losses)
    return (float(losses.mean()), *mean_interval(losses))


def _models(count: int) -> str:
    return "A fresh model starts" if count == 1 else f"{count:,} fresh models start"


def _chance(fresh: FreshLosses) -> tuple[float, str]:
    """Return the loss of knowing nothing and its name, or zero and why it is not known."""
    if fresh.loss in CATEGORICAL:
        if fresh.outputs is None or fresh.outputs < 2:
            return 0.0, "How many classes the model tells apart is not known, so neither is chance."
        return math.log(fresh.outputs), f"chance among {fresh.outputs:,} classes"
    if fresh.loss in BINARY:
        return math.log(2), "chance between two classes"
    if fresh.loss in NUMERIC:
        squared = fresh.loss == "mse_loss"
        facts = fresh.targets
        spread = facts.variance if squared else facts.mean_absolute_deviation
        name = "the variance" if squared else "the mean absolute deviation"
        chance = float(np.mean(spread)) if spread else 0.0
        if not (math.isfinite(chance) and chance > 0):
            return 0.0, "The targets do not vary, or are not numbers, so there is no chance level."
        return chance, f"{name} of the targets, which is what the best constant gets,"
    if fresh.loss:
        return 0.0, f"For `{clean_text(fresh.loss)}` the loss at chance is not known."
    return 0.0, (
        "The loss is one of your own, or weighted, smoothed or summed, so what it is at chance is "
        "not known."
    )


def _best_constant(fresh: FreshLosses, chance: float) -> float | None:
    """Return the entropy of the labels: the least loss without looking at the input."""
    facts = fresh.targets
    if fresh.loss not in (*CATEGORICAL, *BINARY) or not facts.counts:
        return None
    labels = fresh.loss in BINARY
    groups: dict[int, list[int]] = {}
    for index, count in zip(facts.classes, facts.counts, strict=True):
        groups.setdefault(index // 2 if labels else 0, []).append(count)
    shares = [np.asarray(group, float) / max(sum(group), 1) for group in groups.values()]
    entropies = [float(-(share[share > 0] * np.log(share[share > 0])).sum()) for share in shares]
    return min(chance, float(np.mean(entropies)))


def _culprit(fresh: FreshLosses, chance: float) -> tuple[Place, str, str]:
    """Return where the likely cause is, what it is, and what to do about it."""
    mean, deviation = fresh.input_mean, fresh.input_deviation
    if abs(mean) > 3 or deviation > 3:
        return (
            Place("setting", "data", f"inputs of mean {mean:.3g} and deviation {deviation:.3g}"),
            f"the inputs are not normalised (mean {mean:.3g}, deviation {deviation:.3g})",
            f"Normalise the inputs: subtract {mean:.3g} and divide by {deviation:.3g}, or better "
            "each channel or feature by its own.",
        )
    facts, spread = fresh.targets, float(np.mean(fresh.output_deviation))
    means = np.asarray(facts.mean or (0.0,), float)
    centre = float(np.sqrt(np.mean(np.square(means))))
    width = float(np.sqrt(np.mean(facts.variance))) if facts.variance else 1.0
    if fresh.loss in NUMERIC and centre > width:
        one = len(means) == 1
        level = f"mean {means[0]:.3g}" if one else f"means of size {centre:.3g}"
        how = (
            f"subtract {means[0]:.3g} and divide by {width:.3g}"
            if one
            else "subtract each output's own mean and divide by its own deviation"
        )
        return (
            Place("setting", "data", f"targets of {level} and deviation {width:.3g}"),
            f"the targets are not standardised ({level}, deviation {width:.3g})",
            f"Standardise the targets: {how}, and undo that when predicting; or start the last "
            "bias at the mean.",
        )
    return (
        Place("setting", "model.factory", f"outputs of deviation {spread:.3g}"),
        f"the outputs of a fresh model are too large (deviation {spread:.3g})",
        f"Initialise the last layer smaller, by a factor of about {max(spread, 1):.2g}, with zero "
        "bias, and make sure that the loss averages over examples and outputs.",
    )


def _too_low(fresh: FreshLosses) -> tuple[tuple[str, ...], tuple[Place, ...]]:
    if fresh.loss == "nll_loss":
        return (
            (
                "`nll_loss` wants log-probabilities: end the model in `log_softmax`, or use "
                "`cross_entropy` on its logits.",
            ),
            (Place("setting", "loss", "is given something other than log-probabilities"),),
        )
    return (
        (
            "Look whether the factory hands out weights that know the task already: it loads a "
            "checkpoint, or starts from a pretrained model with its head.",
            "Look whether the targets can be read off the inputs: a label among the features, or "
            "the loader gives the target as input.",
        ),
        (Place("setting", "model.factory", "starts better than chance"),),
    )


def _not_finite(losses: Array) -> Judgement:
    bad = int((~np.isfinite(losses)).sum())
    return Judgement(
        Verdict.FAIL,
        f"{bad:,} of {counted(losses.size, 'loss', 'losses')} of fresh models are not finite.",
        metrics=(Metric("losses not finite", bad, f"of {losses.size}"),),
        where=(Place("setting", "loss", f"not finite in {bad:,} of {losses.size:,}"),),
        advice=(
            "Look for NaN in the inputs and targets first, then for a logarithm or division in the "
            "loss that meets zero; use the version of the loss that takes logits.",
        ),
    )


def _single_output() -> Judgement:
    return Judgement(
        Verdict.FAIL,
        "Cross-entropy over a single output is 0 whatever the model does, so nothing is learnt.",
        metrics=(Metric("outputs", 1),),
        where=(Place("setting", "loss", "cross_entropy over one output"),),
        advice=(
            "Use `binary_cross_entropy_with_logits` with the one output, or give the model one "
            "output for each class.",
        ),
    )


def _figure(losses: Array, chance: float, checkpoint: float, limit: Limit) -> Bars:
    beyond = tuple(
        Guide(
            chance * (1 + guide.value),
            f"{guide.severity}: {guide.value:+g} of chance",
            guide.severity,
        )
        for guide in limit.guides()
    )
    own = (Guide(checkpoint, "the checkpoint"),) if math.isfinite(checkpoint) else ()
    return Bars(
        title="Loss before training",
        caption="Mean loss of a fresh model for each seed; the bracket spans its batches.",
        label="loss",
        labels=tuple(f"seed {number}" for number in range(len(losses))),
        values=tuple(losses.mean(axis=1)),
        low=tuple(losses.min(axis=1)),
        high=tuple(losses.max(axis=1)),
        guides=(Guide(chance, "chance"), *own, *beyond),
    )
