"""A fresh model whose loss is not what chance predicts.

What it does
------------
Builds the model anew with several seeds and compares its loss, before any training, with the loss
of a model that knows nothing.

Why it matters
--------------
A fresh model should be unsure: one that starts far above chance is sure of nonsense and spends its
first epochs unlearning it, for inputs, targets or the initialisation have the wrong scale, or the
loss is not what it seems. One that starts below chance knows something that it can't know yet.

How it is measured
------------------
Dropout is off, and so are terms of the loss whose names say that they regularise. Chance is ln C
for cross-entropy over C classes (2.3026 for ten, 0.6931 for two), ln 2 for each label of binary
cross-entropy, the variance of the targets for squared error and their mean absolute deviation about
the median for absolute error. For any other loss it is what the loss itself gives for an output
that knows nothing: all zeros, equal probabilities, or the best constant for numbers; so weighted,
smoothed and summed losses are judged too. The excess is (loss - chance) / chance, of the geometric
mean over seeds, with Student's interval of the logarithms (over the batches where there is but one
seed). Below chance only a bias can be, so a shortfall is measured from the best constant on the
same batches, and wants 99 %. Logits of variance s² cost about s²/2 nats over chance, so twice the
chance of ten classes means logits of deviation 2.1. Regression is given more room, since outputs of
unit variance for standardised targets alone double the loss; and it is told, not judged, where the
trained model leaves surely (99 %) less than a tenth of a constant's error on validation data: the
scale of numbers is soon learnt, and was. Where the loss is off, the same models
are measured again with each remedy: inputs or targets standardised, the last bias at zero,
PyTorch's own initialisation, a smaller last layer; where none mends it alone, with two at once. A
loss that doubles with the batch is a sum over it.

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

from auditor.core import probes, snippets
from auditor.core.advice import step
from auditor.core.check import Limits, Seen, check
from auditor.core.figure import Bars, Figure, Guide
from auditor.core.finding import Judgement, Limit, Metric, Place
from auditor.core.statistics import examples_to_settle, geometric_interval, mean_interval
from auditor.core.text import counted, listed, percent
from auditor.core.values import Array
from auditor.core.verdict import Verdict
from auditor.observations.initial_causes import causes_of, together, typical
from auditor.observations.initial_loss import (
    BINARY,
    FreshLosses,
    FreshLossesOver,
    best_constant,
    chance_of,
)
from auditor.observations.performance import Performance, PerformanceOver
from auditor.observations.targets import best_constant_score

FRESH = FreshLossesOver()
VAL = PerformanceOver(split="val")

SUMMED = 0.9
"""Power of the batch's size from which the loss is a sum over it."""

OVERCOME = 0.1
"""Share of a constant's error left on validation data below which an odd start did no harm."""
FEWEST = 10
"""Validation examples below which that is not told."""

MOST_SEEDS = 1000
"""Seeds beyond which it is idle to say how many would settle a question."""


@check(
    title="A fresh model starts at chance",
    failure_title="A fresh model does not start at chance",
    needs=(FRESH,),
    wants=(VAL,),
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
            source="CS231n notes, loss at chance; no fresh model can know a fifth of the answer, "
            "that is be a fifth better than the best constant",
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
    loss, low, high = typical(means if len(means) > 1 else losses)
    excess = loss / chance - 1
    bounds = low / chance - 1, high / chance - 1
    verdict = limit.verdict(excess, *bounds)
    floor = _floor(fresh, chance)
    short = _shortfall(means if len(means) > 1 else losses, floor, limits["shortfall"])
    over = "" if len(means) > 1 else "over its batches "
    summary = (
        f"{_models(len(means))} at a loss of {loss:.4g} (95 % interval {over}{low:.4g} to "
        f"{high:.4g}); {words}."
    )
    if fresh.left_out:
        summary += f" {listed(list(fresh.left_out))} of the loss was left out, as it regularises."
    advice: tuple[str, ...] = ()
    where: tuple[Place, ...] = ()
    if limit.warn is not None and bounds[0] <= limit.warn < bounds[1] and len(means) > 1:
        needed = examples_to_settle(len(means), excess, *bounds, limit.warn)
        settle = f"; {needed:,} seeds would settle it" if needed and needed <= MOST_SEEDS else ""
        summary += f" Whether that is too far above chance is not certain{settle}."
    if not fresh.loss and fresh.task == "custom":
        verdict = short = Verdict.INFO
        summary += " For a loss of your own this need not be chance, so it is not judged."
    elif verdict is not Verdict.PASS:
        causes, said = causes_of(fresh, excess, limit, chance)
        summary += f" {said}"
        advice, where = tuple(c.cure for c in causes), tuple(c.place for c in causes)
        left = _left(seen.get(VAL)) if fresh.numeric else math.nan
        if left < OVERCOME:
            verdict = Verdict.INFO
            summary += (
                f" It did no lasting harm: on validation data the checkpoint leaves at most "
                f"{percent(left)} % of a constant's error (99 % confidence)."
            )
    elif short is not Verdict.PASS and _handed_on(fresh, losses, limits["shortfall"]):
        summary += (
            f" The inputs themselves cost {fresh.handed_on_loss:.4g} in the place of the output, "
            "so that a shortcut from input to output, which needs no training, accounts for it."
        )
    elif short is not Verdict.PASS:
        verdict = short
        advice, where = _too_low(fresh)
        least = f": the best constant costs {floor:.4g} on these batches" if floor < chance else ""
        summary += f" No model without training can be this good{least}."
    elif limits["shortfall"].verdict(excess) is not Verdict.PASS and floor < chance:
        summary += (
            f" The best constant costs {floor:.4g} on these batches, so the last bias may account "
            "for it: it knows how often each answer comes."
        )
    times = _summed(fresh)
    if times:
        verdict = max(verdict, Verdict.WARN, key=_SEVERITY.index)
        summary += (
            f" That is {times:,.0f} times what one target costs: it is summed over the batch."
        )
        where += (Place("setting", "loss", f"summed: {times:,.0f} times the mean"),)
        advice += (
            step(
                "Average the loss over the batch (`reduction='mean'`), or divide the learning rate "
                f"by {times:,.0f}: gradients grow with the batch as the loss does.",
                snippets.averaged(fresh.loss),
            ),
        )
    best = best_constant(fresh, chance)
    metrics = [
        Metric("excess over chance", excess, "of chance", *bounds, limit),
        Metric("loss of fresh models", loss, "", low, high),
        Metric("loss at chance", chance),
        Metric("loss of the checkpoint on the same batches", fresh.checkpoint_loss),
    ]
    if best is not None:
        unit = "nats" if fresh.loss else ""
        metrics.append(Metric("loss of the best constant", best, unit))
        metrics.append(Metric("saved by setting the last bias", chance - best, unit))
        if advice and chance - best > 0.1 * chance:
            labels = fresh.task == "multilabel" or fresh.loss in BINARY
            level = "the log-odds of each label" if labels else "the logarithm of the class shares"
            weighted = "" if fresh.loss else ", weighted as the loss weights them"
            advice += (
                step(
                    f"Set the last bias to {level}{weighted}: the model then starts at {best:.3g} "
                    f"instead of {chance:.3g}. With `head` for the last layer:",
                    _biased(fresh, labels=labels),
                ),
            )
    if fresh.checkpoint_loss > 0.98 * chance and verdict is not Verdict.INFO:
        summary += f" The checkpoint's own loss, {fresh.checkpoint_loss:.4g}, is no better."
    figures: tuple[Figure, ...] = (_figure(losses, chance, fresh.checkpoint_loss, best, limit),)
    if len(fresh.remedies):
        figures += (_tried(fresh, losses, limit),)
    return Judgement(verdict, summary, tuple(metrics), where, advice, figures)


def _biased(fresh: FreshLosses, *, labels: bool) -> str:
    """Return code that starts the last bias at what is known of the targets without inputs."""
    counts = np.asarray(fresh.targets.counts, float)
    if not labels and 1 < len(counts) <= 20 and counts.min() > 0 and len(counts) == fresh.outputs:
        shares = snippets.tensor((counts / counts.sum()).tolist())
        return f"with torch.no_grad():\n    head.bias.copy_({shares}.log())"
    if labels:
        return (
            "shares = labels.float().mean(0).clamp(1e-4, 1 - 1e-4)\n"
            "with torch.no_grad():\n"
            "    head.bias.copy_(torch.logit(shares))"
        )
    return ""


_SEVERITY = (Verdict.INFO, Verdict.PASS, Verdict.WARN, Verdict.FAIL)


def _left(val: Performance | None) -> float:
    """Return what is left of the best constant's error at most, NaN where that is not known."""
    if val is None or val.metric == "accuracy" or val.examples < FEWEST:
        return math.nan
    constant = best_constant_score(val)
    return mean_interval(val.scores, 0.99)[1] / constant if constant > 0 else math.nan


def _models(count: int) -> str:
    return "A fresh model starts" if count == 1 else f"{count:,} fresh models start"


def _summed(fresh: FreshLosses) -> float:
    """Return over how many targets the loss is summed, about; 0 where it is a mean."""
    if not fresh.growth > SUMMED or fresh.task == "custom":
        return 0.0
    if fresh.task in ("multiclass", "segmentation", "language_model") and (fresh.outputs or 0) > 1:
        return fresh.neutral_loss / math.log(fresh.outputs or 2)
    return float(fresh.examples)


def _floor(fresh: FreshLosses, chance: float) -> float:
    """Return what the best constant costs on the batches that the fresh models saw."""
    known = math.isfinite(fresh.constant_loss) and fresh.constant_loss > 0
    return min(chance, fresh.constant_loss) if known else chance


def _shortfall(losses: Array, floor: float, limit: Limit) -> Verdict:
    """Return the verdict on losses below all that a constant can have, sure at 99 %."""
    if (losses > 0).all():
        level, _, high = geometric_interval(losses, 0.99)
    else:
        level, high = float(losses.mean()), mean_interval(losses, 0.99)[1]
    return limit.verdict(max(level, high if math.isfinite(high) else level) / floor - 1)


def _handed_on(fresh: FreshLosses, losses: Array, limit: Limit) -> bool:
    """Tell whether the fresh models are no better than their inputs handed on as they are."""
    means = losses.mean(axis=1)
    own, cost = means if len(means) > 1 else losses, fresh.handed_on_loss
    return math.isfinite(cost) and (cost <= 0 or _shortfall(own, cost, limit) is Verdict.PASS)


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
            step(
                "Look for NaN in the inputs and targets first, then for a logarithm or division in "
                "the loss that meets zero; use the version of the loss that takes logits.",
                probes.NOT_FINITE,
            ),
        ),
        figures=(
            Bars(
                title="Losses before training that are not finite",
                caption="Of each fresh model, over its batches.",
                label="share of batches",
                labels=tuple(f"seed {number}" for number in range(len(losses))),
                values=tuple((~np.isfinite(losses)).mean(axis=1).tolist()),
                marked=tuple(not np.isfinite(row).all() for row in losses),
            ),
        ),
    )


def _single_output() -> Judgement:
    return Judgement(
        Verdict.FAIL,
        "Cross-entropy over a single output is 0 whatever the model does, so nothing is learnt.",
        metrics=(Metric("outputs", 1),),
        where=(Place("setting", "loss", "cross_entropy over one output"),),
        advice=(
            step(
                "Use `binary_cross_entropy_with_logits` with the one output, or give the model one "
                "output for each class.",
                "loss = torch.nn.functional.binary_cross_entropy_with_logits(\n"
                "    model(inputs).squeeze(1), targets.float()\n"
                ")",
            ),
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
        caption="The same fresh models, as they are and with one or two things changed, as a "
        "multiple of what knowing nothing costs; the bracket spans the seeds.",
        label="times chance",
        labels=("as they are", *(together(done) for done in fresh.remedies)),
        values=tuple(typical(row)[0] for row in ratios),
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
