"""Which losses of numbers contradict the outputs and the targets."""

from collections.abc import Iterator
from typing import Literal

import numpy as np

from auditor.core.statistics import mean_interval
from auditor.core.text import clean_text
from auditor.core.values import Array
from auditor.observations.loss_fit import Cure, Misfit, Reach, Rows, unreachable
from auditor.observations.loss_probe import LossProbe
from auditor.observations.loss_task import CONFIDENCE

UNREACHABLE = 0.01
"""Share of the targets' variance out of reach from which a bound is called one that cuts off."""


def model_name(probe: LossProbe) -> str:
    """Return how the model is called in a sentence."""
    return f"`{clean_text(probe.factory, 80)}`" if probe.factory else "the model"


def number_loss(name: str, probe: LossProbe, rows: Rows) -> Iterator[Misfit]:
    """Yield how a loss of numbers contradicts itself."""
    end = f"the end of {model_name(probe)}"
    truth = rows.task.truth
    if rows.form in ("one", "nought") and float(np.ptp(rows.targets)) > 0:
        yield one_unit(f"`{name}`", rows, end)
        return
    if truth == "labels" and rows.task.sure == "certain" and rows.form == "probabilities":
        yield Misfit(
            "softmax for labels",
            True,
            f"The outputs of all {len(rows.outputs):,} rows sum to one, as a softmax makes them, "
            f"though {rows.task.words}: one label can only be likely at the cost of the others.",
            f"Remove the softmax at {end} and use `binary_cross_entropy_with_logits` in place of "
            f"`{name}`.",
            "model.factory",
            "ends in a softmax",
            Cure("bare", "bce_logits"),
        )
    elif truth in ("exclusive", "binary") and rows.task.sure == "certain":
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
    binary, softmax = rows.task.truth == "binary", rows.form == "probabilities"
    signs = abs(rows.reach.low + 1) < 1e-3 and abs(rows.reach.high - 1) < 1e-3
    bounded = softmax or rows.reach.within_one or signs
    outputs: Literal["as they are", "log", "logit", "atanh"] = (
        "log" if softmax else "logit" if rows.reach.within_one else "as they are"
    )
    if signs:
        outputs = "atanh"
    better = (
        "`binary_cross_entropy_with_logits` on targets of 0 and 1"
        if binary
        else "`cross_entropy` on class indices (`target.argmax(1)`)"
    )
    without = f", without the activation at {end}" if bounded else ""
    note = (
        " Over probabilities it is the Brier score, which works but whose gradient vanishes where "
        "the model is surely wrong."
        if bounded and not signs
        else " Least squares can tell classes apart, but it punishes answers that are right by far."
    )
    return Misfit(
        "numbers for classes",
        False,
        f"`{name}` is used on classes: {rows.task.words}.{note}",
        f"Use {better}{without}.",
        "loss",
        f"{name} on classes",
        Cure(outputs, "bce_logits" if binary else "cross_entropy"),
    )


def one_unit(called: str, rows: Rows, end: str) -> Misfit:
    """Return what a softmax over one unit does to a loss."""
    ever, softmax = ("1", "softmax") if rows.form == "one" else ("0", "log-softmax")
    binary = rows.task.truth == "binary"
    return Misfit(
        "softmax over one unit",
        True,
        f"The one output is {ever} in all {len(rows.outputs):,} rows, and stays {ever} however the "
        f"weights are changed: a {softmax} over one unit is always {ever}. {called} has no "
        "gradient, and nothing is learnt.",
        f"Remove the {softmax} at {end}"
        + (
            " and use `binary_cross_entropy_with_logits`."
            if binary
            else "; a regression ends in a linear layer."
        ),
        "model.factory",
        f"ends in a {softmax} over one unit",
        Cure("bare", "bce_logits" if binary else "own"),
    )


def _out_of_reach(name: str, rows: Rows, end: str) -> Iterator[Misfit]:
    """Yield bounds that cut targets off: those of all outputs, else those of single ones."""
    columns = [(reach, rows.targets[:, [at]]) for at, reach in enumerate(rows.reaches)]
    confidence = 1 - (1 - CONFIDENCE) / (1 + len(columns))
    found = [(rows.reach, rows.targets, "the outputs are")]
    if not _short(*found[0][:2], confidence):
        found = [
            (reach, targets, f"output {at} of {rows.width}, counted from 0, is")
            for at, (reach, targets) in enumerate(columns)
        ]
    said = [
        (low, f"{who} {_cut_off(reach, targets)}", f"{who} {reach.words}")
        for reach, targets, who in found
        if (low := _short(reach, targets, confidence))
    ]
    if said:
        yield Misfit(
            "out of reach",
            max(low for low, _, _ in said) > 5 * UNREACHABLE,
            f"In {len(rows.outputs):,} rows and in copies with weights blown up: "
            + "; ".join(words for _, words, _ in said)
            + ".",
            f"Remove the activation at {end}, or scale the targets into what it can reach.",
            "model.factory",
            said[0][2],
            Cure("bare"),
        )


def _short(reach: Reach, targets: Array, confidence: float) -> float:
    """Return at least what share of the variance is out of reach; 0 where it may be none."""
    if not reach.proven:
        return 0.0
    low, _ = mean_interval(unreachable(targets, reach), confidence)
    return low if low > UNREACHABLE else 0.0


def _cut_off(reach: Reach, targets: Array) -> str:
    short = unreachable(targets, reach)
    return (
        f"{reach.words}, but {(short > 0).mean():.0%} of the targets lie beyond (they go from "
        f"{targets.min():.3g} to {targets.max():.3g}): at least {short.mean():.0%} of their "
        "variance is out of reach"
    )
