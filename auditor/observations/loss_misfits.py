"""Which losses contradict the outputs and the targets, from numbers alone."""

import math
from collections.abc import Iterator

import numpy as np

from auditor.core.statistics import mean_interval
from auditor.core.text import clean_text
from auditor.observations.loss_batch import pairing, reduction
from auditor.observations.loss_fit import (
    CLASS_LOSSES,
    CONFIDENCE,
    LOG_SUM,
    NUMBER_LOSSES,
    Misfit,
    Rows,
    log_sums,
    unreachable,
)
from auditor.observations.loss_probe import LossProbe

UNREACHABLE = 0.01
"""Share of the targets' variance out of reach from which a bound is called one that cuts off."""

SQUEEZED = 0.1
"""Least loss within the bounds, of chance, from which logits are called squeezed."""


def misfits(probe: LossProbe, rows: Rows) -> tuple[Misfit, ...]:
    """Return all that contradicts itself, the worst first."""
    found = [*reduction(probe), *pairing(probe, rows)]
    if len(rows.outputs) > 1:
        for name in dict.fromkeys(probe.acts_like):
            if name in CLASS_LOSSES:
                found += _class_loss(name, probe, rows)
            elif name.startswith("binary"):
                found += _label_loss(name, probe, rows)
            elif name in NUMBER_LOSSES:
                found += _number_loss(name, probe, rows)
    return tuple(sorted(found, key=lambda one: not one.severe))


def model_name(probe: LossProbe) -> str:
    """Return how the model is called in a sentence."""
    return f"`{clean_text(probe.factory, 80)}`" if probe.factory else "the model"


def _class_loss(name: str, probe: LossProbe, rows: Rows) -> Iterator[Misfit]:
    end, rounds = f"the end of {model_name(probe)}", f"{len(rows.outputs):,} rows"
    if name == "cross_entropy" and rows.width == 1:
        yield Misfit(
            "one class",
            True,
            "Cross-entropy over a single output is 0 whatever the model does: its softmax over one "
            "unit is always 1, so nothing is learnt.",
            "Use `binary_cross_entropy_with_logits` with the one output, or give the model one "
            "output for each class.",
            "loss",
            "cross_entropy over one output",
        )
    elif name == "cross_entropy" and rows.form == "probabilities":
        floor = _floor(rows.width, 0.0, 1.0)
        yield Misfit(
            "softmax twice",
            True,
            f"The outputs are probabilities already: in all {rounds} they lie within 0 to 1 and "
            "sum to one, which logits never do, and `cross_entropy` takes the softmax a second "
            f"time. However sure the model is, its loss can't fall below {floor:.3g}.",
            f"Remove the softmax at {end}, or use `nll_loss` on the logarithm of its outputs.",
            "loss",
            "softmax is applied twice",
            "log",
        )
    elif name == "cross_entropy":
        yield from _squeezed(name, rows, end, rows.width)
    elif rows.form == "probabilities":
        yield Misfit(
            "no logarithm",
            True,
            f"`{name}` is given probabilities: in all {rounds} the outputs lie within 0 to 1 and "
            "sum to one, so their logarithm is missing and the loss is negative.",
            f"Replace the softmax at {end} by `log_softmax`, or remove it and use `cross_entropy`.",
            "loss",
            "is given probabilities instead of log-probabilities",
            "log" if name == "nll_loss" else "",
        )
    elif rows.width > 1 and rows.form != "log-probabilities":
        sums = log_sums(rows.outputs[np.isfinite(rows.outputs).all(axis=1)])
        middle = float(np.median(sums)) if sums.size else 0.0
        if abs(middle) > 2 * LOG_SUM:
            typical = f"{math.exp(middle):.3g}" if abs(middle) < 50 else f"e^{middle:.3g}"
            yield Misfit(
                "no log-softmax",
                True,
                f"`{name}` is given outputs that are no log-probabilities: the exponentials of a "
                f"row sum to {typical} instead of 1 (median), so the loss can fall without limit "
                "and tells nothing.",
                f"Put a `log_softmax` at {end}, or use `cross_entropy` on its outputs.",
                "loss",
                "is given logits instead of log-probabilities",
                "cross_entropy" if name == "nll_loss" else "",
            )


def _label_loss(name: str, probe: LossProbe, rows: Rows) -> Iterator[Misfit]:
    end = f"the end of {model_name(probe)}"
    with_logits = name.endswith("logits")
    truth, count = rows.task.truth, f"{len(rows.outputs):,}"
    if rows.form == "one":
        yield _one_unit(name, rows, end)
        return
    if rows.form == "probabilities" and (truth == "labels" or with_logits):
        several = (
            ""
            if truth != "labels"
            else (f", though {rows.task.words}: one label is likely only at the cost of the others")
        )
        twice = " `binary_cross_entropy_with_logits` then takes the sigmoid of them."
        yield Misfit(
            "softmax for labels" if truth == "labels" else "softmax before sigmoid",
            True,
            f"The outputs of all {count} rows lie within 0 to 1 and sum to one, as a softmax makes "
            f"them{several}.{twice if with_logits else ''}",
            f"Remove the softmax at {end} and use `binary_cross_entropy_with_logits`."
            if truth == "labels"
            else f"Remove the softmax at {end} and use `cross_entropy` on class indices.",
            "model.factory",
            "ends in a softmax",
            "log" if truth == "exclusive" else "",
        )
    elif with_logits and rows.reach.within_one:
        yield Misfit(
            "sigmoid twice",
            True,
            f"The outputs of all {count} rows, and those of copies with weights blown up, "
            "lie within 0 to 1: a sigmoid ends the model, and "
            "`binary_cross_entropy_with_logits` takes it a second time. No probability below 0.5 "
            "or above 0.73 can come out.",
            f"Remove the sigmoid at {end}, or use `binary_cross_entropy`.",
            "loss",
            "sigmoid is applied twice",
            "bce",
        )
    elif with_logits:
        yield from _squeezed(name, rows, end, 2)
    if truth == "exclusive" and rows.width > 2 and not (with_logits and rows.reach.proven):
        yield Misfit(
            "labels for classes",
            False,
            f"The {rows.width} labels are exclusive classes: {rows.task.words}. `{name}` judges "
            "each for itself and never asks them to compete; this works, but the probabilities of "
            "a row need not sum to one and most of the gradient goes into saying no.",
            "Use `cross_entropy` with class indices (`target.argmax(1)`) on the model's outputs"
            + ("." if with_logits else f", without the activation at {end}."),
            "loss",
            f"{name} on exclusive classes",
            "cross_entropy" if with_logits else "log" if rows.form == "probabilities" else "logit",
        )


def _number_loss(name: str, probe: LossProbe, rows: Rows) -> Iterator[Misfit]:
    end = f"the end of {model_name(probe)}"
    truth = rows.task.truth
    if rows.form == "one" and float(np.ptp(rows.targets)) > 0:
        yield _one_unit(name, rows, end)
        return
    if truth == "labels" and rows.form == "probabilities":
        yield Misfit(
            "softmax for labels",
            True,
            f"The outputs of all {len(rows.outputs):,} rows sum to one, as a softmax makes them, "
            f"though {rows.task.words}: one label can only be likely at the cost of the others.",
            f"Remove the softmax at {end} and use `binary_cross_entropy_with_logits` in place of "
            f"`{name}`.",
            "model.factory",
            "ends in a softmax",
        )
    elif truth in ("exclusive", "binary") and rows.task.sure != "open":
        yield _categories(name, rows, end)
    elif truth == "whole numbers" and rows.task.sure == "likely":
        count = int(rows.targets.max()) + 1
        yield Misfit(
            "numbers for classes",
            False,
            f"`{name}` is used where {rows.task.words}, which class indices are and counts or "
            f"grades seldom. If they are {count} classes, the loss calls class 0 more like class 1 "
            f"than like class {count - 1}; this is likely, not certain.",
            f"If the targets are classes, give the model {count} outputs and use `cross_entropy`; "
            "if their order means something, keep the loss and waive this finding.",
            "loss",
            f"{name} on class indices",
        )
    elif truth in ("numbers", "labels", "whole numbers"):
        yield from _out_of_reach(name, rows, end)


def _categories(name: str, rows: Rows, end: str) -> Misfit:
    binary = rows.task.truth == "binary"
    bounded = rows.form == "probabilities" or rows.reach.within_one
    if binary:
        cure, better = "bce" if bounded else "bce_logits", "`binary_cross_entropy_with_logits`"
    else:
        softmax = rows.form == "probabilities"
        cure = "log" if softmax else "logit" if rows.reach.within_one else "cross_entropy"
        better = "`cross_entropy` on class indices (`target.argmax(1)`)"
    without = f", without the activation at {end}" if bounded else ""
    note = (
        " Over probabilities it is the Brier score, which works but whose gradient vanishes where "
        "the model is surely wrong."
        if bounded
        else " Least squares can tell classes apart, but it punishes answers that are right by far."
    )
    return Misfit(
        "numbers for classes",
        False,
        f"`{name}` is used on classes: {rows.task.words}.{note}",
        f"Use {better}{without}.",
        "loss",
        f"{name} on classes",
        cure,
    )


def _one_unit(name: str, rows: Rows, end: str) -> Misfit:
    return Misfit(
        "softmax over one unit",
        True,
        f"The one output is 1 in all {len(rows.outputs):,} rows, and stays 1 however the weights "
        f"are changed: a softmax over one unit is always 1. `{name}` has no gradient, and nothing "
        "is learnt.",
        f"Remove the softmax at {end}"
        + (
            " and use `binary_cross_entropy_with_logits`."
            if rows.task.truth == "binary"
            else "; a regression ends in a linear layer."
        ),
        "model.factory",
        "ends in a softmax over one unit",
    )


def _squeezed(name: str, rows: Rows, end: str, classes: int) -> Iterator[Misfit]:
    """Yield what logits within bounds can't say."""
    reach = rows.reach
    if not reach.proven or classes < 2 or rows.form == "log-probabilities":
        return
    if math.isfinite(reach.low) and math.isfinite(reach.high):
        floor = _floor(classes, reach.low, reach.high)
        if floor < SQUEEZED * math.log(classes):
            return
        what = "a sigmoid" if reach.within_one else "an activation"
        inverse = {0.0: "logit", -1.0: "atanh"}.get(round(reach.low, 2), "")
        fits = abs(reach.high - 1) < 1e-3 and name == "cross_entropy"
        yield Misfit(
            "squeezed logits",
            True,
            f"`{name}` wants logits, but the outputs are {reach.words}, in "
            f"{len(rows.outputs):,} rows and in copies with weights blown up: {what} ends "
            f"the model. However sure it is, its loss can't fall below {floor:.3g} "
            f"(chance: {math.log(classes):.3g}).",
            f"Remove the activation at {end}: `{name}` takes care of it itself.",
            "loss",
            f"is given outputs {reach.words}",
            inverse if fits else "",
        )
    elif abs(reach.low) < 1e-3:
        zero = rows.outputs <= 1e-6
        dead = int(zero.all(axis=0).sum())
        labels = name != "cross_entropy"
        never = f" {dead} of {rows.width} classes have a logit of 0 in every row." if dead else ""
        yes = " No probability below 0.5 can come out." if labels else ""
        yield Misfit(
            "clipped logits",
            labels or bool(dead),
            f"`{name}` wants logits, but the outputs are {reach.words}: a ReLU or the like ends "
            f"the model, and {zero.mean():.0%} of the outputs are 0, where no gradient passes."
            f"{yes}{never}",
            f"Remove the ReLU at {end}, so that logits can be negative.",
            "loss",
            f"is given outputs {reach.words}",
        )


def _out_of_reach(name: str, rows: Rows, end: str) -> Iterator[Misfit]:
    short = unreachable(rows.targets, rows.reach)
    low, _ = mean_interval(short, CONFIDENCE)
    if not rows.reach.proven or not low > UNREACHABLE:
        return
    share = float((short > 0).mean())
    yield Misfit(
        "out of reach",
        low > 5 * UNREACHABLE,
        f"The outputs are {rows.reach.words}, in {len(rows.outputs):,} rows and in copies with "
        f"weights blown up, but {share:.0%} of the targets lie beyond (they go from "
        f"{rows.targets.min():.3g} to {rows.targets.max():.3g}). At least {short.mean():.0%} of "
        "the targets' variance is out of reach.",
        f"Remove the activation at {end}, or scale the targets into what it can reach.",
        "model.factory",
        f"its outputs are {rows.reach.words}",
    )


def _floor(classes: int, low: float, high: float) -> float:
    """Return the least cross-entropy of logits within bounds: ln(1 + (C - 1) e^(low - high))."""
    return math.log1p((classes - 1) * math.exp(low - high))
