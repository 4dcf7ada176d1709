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
Dropout is off, and so are terms of the loss whose names say that they regularise. Chance is ln C
for cross-entropy over C classes (2.3026 for ten, 0.6931 for two), ln 2 for each label of binary
cross-entropy, the variance of the targets for squared error and their mean absolute deviation about
the median for absolute error. For any other loss it is what the loss itself gives for an output
that knows nothing: all zeros, equal probabilities, or the best constant for numbers; so weighted,
smoothed and summed losses are judged too. The excess is (loss - chance) / chance, of the geometric
mean over seeds, with Student's interval of the logarithms (over the batches where there is but one
seed). Logits of variance s² cost about s²/2 nats over chance, so twice the chance of ten classes
means logits of deviation 2.1. Regression is given more room, since outputs of unit variance for
standardised targets alone double the loss. Where the loss is off, the same models are measured
again with each remedy: inputs or targets standardised, the last bias at zero, PyTorch's own
initialisation, a smaller last layer. A loss that doubles with the batch is a sum over it.

When it misleads
----------------
A loss of your own whose task can't be told may be least at no output of zeros; it is told, not
judged. A regularising term within a single function of your own can't be told apart. Some designs
start far from chance on purpose (pretrained parts inside the factory, a last bias set to the class
frequencies).

What to do
----------
Standardise inputs and regression targets; initialise the last layer with small weights and zero
bias, or a bias at the logarithm of the class frequencies; average the loss over the batch.

Source
------
Karpathy, CS231n notes, "Neural Networks Part 3", sanity checks: "Look for correct loss at chance
performance"; Karpathy 2019, "A Recipe for Training Neural Networks" ("verify loss @ init", "init
well").
"""

import math

import numpy as np

from auditor.core.check import Limits, Seen, check
from auditor.core.figure import Bars, Figure, Guide
from auditor.core.finding import Judgement, Limit, Metric, Place
from auditor.core.statistics import examples_to_settle, geometric_interval, mean_interval
from auditor.core.text import counted, listed
from auditor.core.values import Array
from auditor.core.verdict import Verdict
from auditor.observations.initial_loss import (
    FreshLosses,
    FreshLossesOver,
    Remedy,
    best_constant,
    chance_of,
)

FRESH = FreshLossesOver()

SUMMED = 0.9
"""Power of the batch's size from which the loss is a sum over it."""

REMEDIES: dict[Remedy, str] = {
    "inputs": "inputs standardised",
    "targets": "targets standardised",
    "bias": "last bias at zero",
    "reset": "PyTorch's own initialisation",
    "head": "last layer smaller",
}
"""What is tried, the most specific cause first."""

Cause = tuple[Place, str, str]
"""Where the cause is, what it is, and what to do about it."""


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
    chance, words = chance_of(fresh)
    if not chance > 0:
        return Judgement(Verdict.NOT_APPLICABLE, words)
    limit = limits["excess_regression" if fresh.numeric else "excess"]
    means = losses.mean(axis=1)
    loss, low, high = _typical(means if len(means) > 1 else losses)
    excess = loss / chance - 1
    bounds = low / chance - 1, high / chance - 1
    verdict = limit.verdict(excess, *bounds)
    short = limits["shortfall"].verdict(excess, *bounds)
    over = "" if len(means) > 1 else "over its batches "
    summary = (
        f"{_models(len(means))} at a loss of {loss:.4g} (95 % interval {over}{low:.4g} to "
        f"{high:.4g}); {words}."
    )
    if fresh.left_out:
        summary += f" {listed(list(fresh.left_out))} of the loss was left out, as it regularises."
    advice: tuple[str, ...] = ()
    where: tuple[Place, ...] = ()
    if verdict is Verdict.WARN and limit.warn is not None and bounds[0] <= limit.warn:
        needed = examples_to_settle(len(means), excess, *bounds, limit.warn)
        settle = f"; {needed:,} seeds would settle it" if needed else ""
        summary += f" That is {excess:.0%} above chance, but not certainly too much{settle}."
    if not fresh.loss and fresh.task == "custom":
        verdict = short = Verdict.INFO
        summary += " For a loss of your own this need not be chance, so it is not judged."
    elif verdict is not Verdict.PASS:
        (place, cause, line), proof = _cause(fresh, excess, limit, chance)
        summary += f" {'Cause' if proof else 'Likely cause'}: {cause}.{proof}"
        advice, where = (line,), (place,)
    elif short is not Verdict.PASS:
        verdict = short
        advice, where = _too_low(fresh)
        summary += " No model without training can be this good."
    times = _summed(fresh)
    if times:
        verdict = max(verdict, Verdict.WARN, key=_SEVERITY.index)
        summary += (
            f" That is {times:,.0f} times what one target costs: it is summed over the batch."
        )
        where += (Place("setting", "loss", f"summed: {times:,.0f} times the mean"),)
        advice += (
            "Average the loss over the batch (`reduction='mean'`), or divide the learning rate by "
            f"{times:,.0f}: gradients grow with the batch as the loss does.",
        )
    best = best_constant(fresh, chance)
    metrics = [
        Metric("excess over chance", excess, "of chance", *bounds, limit),
        Metric("loss of fresh models", loss, "", low, high),
        Metric("loss at chance", chance),
        Metric("loss of the checkpoint on the same batches", fresh.checkpoint_loss),
    ]
    if best is not None:
        metrics.append(Metric("loss of the best constant", best, "nats"))
        metrics.append(Metric("saved by setting the last bias", chance - best, "nats"))
        if advice and chance - best > 0.1 * chance:
            advice += (
                "Set the last bias to the logarithm of the class frequencies: the model then "
                f"starts at {best:.3g} instead of {chance:.3g}.",
            )
    if fresh.checkpoint_loss > 0.98 * chance and verdict is not Verdict.INFO:
        summary += f" The checkpoint's own loss, {fresh.checkpoint_loss:.4g}, is no better."
    figures: tuple[Figure, ...] = (_figure(losses, chance, fresh.checkpoint_loss, best, limit),)
    if len(fresh.remedies):
        figures += (_tried(fresh, losses, limit),)
    return Judgement(verdict, summary, tuple(metrics), where, advice, figures)


_SEVERITY = (Verdict.INFO, Verdict.PASS, Verdict.WARN, Verdict.FAIL)


def _typical(losses: Array) -> tuple[float, float, float]:
    """Return the geometric mean with its interval, or the plain mean where a loss is negative."""
    if (losses > 0).all():
        return geometric_interval(losses)
    return (float(losses.mean()), *mean_interval(losses))


def _models(count: int) -> str:
    return "A fresh model starts" if count == 1 else f"{count:,} fresh models start"


def _summed(fresh: FreshLosses) -> float:
    """Return over how many targets the loss is summed, about; 0 where it is a mean."""
    if not fresh.growth > SUMMED or fresh.task == "custom":
        return 0.0
    if fresh.task in ("multiclass", "segmentation", "language_model") and (fresh.outputs or 0) > 1:
        return fresh.neutral_loss / math.log(fresh.outputs or 2)
    return float(fresh.examples)


def _cause(fresh: FreshLosses, excess: float, limit: Limit, chance: float) -> tuple[Cause, str]:
    """Return the cause, and in a sentence what proved it; empty where it is only likely."""
    for remedy in REMEDIES:
        if remedy not in fresh.remedies:
            continue
        ratios = np.asarray(fresh.remedied, float)[fresh.remedies.index(remedy)]
        left = _typical(ratios)[0] - 1
        if left <= min(0.25 * excess, float(limit.warn or 0.0)):
            start = f"{(1 + left) * chance:.4g}"
            if remedy == "targets":
                start = f"{1 + left:.3g} times chance"
            how = f"with {REMEDIES[remedy]} the same models start at {start}"
            return _of(remedy, fresh), f" Tried: {how}."
    return _culprit(fresh), ""


def _of(remedy: Remedy, fresh: FreshLosses) -> Cause:
    match remedy:
        case "inputs":
            return _inputs(fresh)
        case "targets":
            return _targets(fresh)
        case "bias":
            return (
                Place("setting", "model.factory", "last bias"),
                "the last layer's bias starts far from zero",
                "Start the last bias at zero, or at the logarithm of the class frequencies.",
            )
        case "reset":
            return (
                Place("setting", "model.factory", "initialisation"),
                f"the model's own initialisation is too large (outputs of deviation "
                f"{float(np.mean(fresh.output_deviation)):.3g})",
                "Leave the weights as PyTorch's layers draw them, or scale yours by fan-in: "
                "`nn.init.kaiming_normal_(layer.weight)` and `nn.init.zeros_(layer.bias)`.",
            )
        case "head":
            return _outputs(fresh)


def _culprit(fresh: FreshLosses) -> Cause:
    """Return the likely cause, as the scale of inputs, targets and outputs shows it."""
    if abs(fresh.input_mean) > 3 or fresh.input_deviation > 3:
        return _inputs(fresh)
    facts = fresh.targets
    centre = float(np.sqrt(np.mean(np.square(facts.mean or (0.0,)))))
    if fresh.numeric and facts.variance and centre > np.sqrt(np.mean(facts.variance)):
        return _targets(fresh)
    return _outputs(fresh)


def _inputs(fresh: FreshLosses) -> Cause:
    mean, deviation = fresh.input_mean, fresh.input_deviation
    return (
        Place("setting", "data", f"inputs of mean {mean:.3g} and deviation {deviation:.3g}"),
        f"the inputs are not normalised (mean {mean:.3g}, deviation {deviation:.3g})",
        f"Normalise the inputs: subtract {mean:.3g} and divide by {deviation:.3g}, or better "
        "each channel or feature by its own.",
    )


def _targets(fresh: FreshLosses) -> Cause:
    means = np.asarray(fresh.targets.mean or (0.0,), float)
    centre = float(np.sqrt(np.mean(np.square(means))))
    variance = fresh.targets.variance
    width = float(np.sqrt(np.mean(variance))) if variance else 1.0
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


def _outputs(fresh: FreshLosses) -> Cause:
    spread = float(np.mean(fresh.output_deviation))
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


def _figure(
    losses: Array, chance: float, checkpoint: float, best: float | None, limit: Limit
) -> Bars:
    beyond = tuple(
        Guide(
            chance * (1 + guide.value),
            f"{guide.severity}: {guide.value:+g} of chance",
            guide.severity,
        )
        for guide in limit.guides()
    )
    own = (Guide(checkpoint, "the checkpoint"),) if math.isfinite(checkpoint) else ()
    constant = (Guide(best, "best constant"),) if best is not None and best < 0.9 * chance else ()
    return Bars(
        title="Loss before training",
        caption="Mean loss of a fresh model for each seed; the bracket spans its batches.",
        label="loss",
        labels=tuple(f"seed {number}" for number in range(len(losses))),
        values=tuple(losses.mean(axis=1)),
        low=tuple(losses.min(axis=1)),
        high=tuple(losses.max(axis=1)),
        guides=(Guide(chance, "chance"), *constant, *own, *beyond),
    )


def _tried(fresh: FreshLosses, losses: Array, limit: Limit) -> Bars:
    now = losses.mean(axis=1) / fresh.neutral_loss
    ratios = np.vstack([now, np.asarray(fresh.remedied, float)])
    return Bars(
        title="Loss before training with each remedy",
        caption="The same fresh models, as they are and with one thing changed, as a multiple of "
        "what knowing nothing costs; the bracket spans the seeds.",
        label="times chance",
        labels=("as they are", *(REMEDIES[name] for name in fresh.remedies)),
        values=tuple(_typical(row)[0] for row in ratios),
        low=tuple(ratios.min(axis=1)),
        high=tuple(ratios.max(axis=1)),
        marked=(True, *[False] * len(fresh.remedies)),
        guides=(
            Guide(1.0, "chance"),
            *(
                Guide(1 + g.value, f"{g.severity}: {1 + g.value:g}", g.severity)
                for g in limit.guides()
            ),
        ),
        log=bool((ratios > 0).all()),
    )
