"""Which losses contradict the outputs and the targets, from numbers alone."""

import math
from collections.abc import Iterator

import numpy as np

from auditor.observations.loss_batch import pairing, reduction
from auditor.observations.loss_direction import astray
from auditor.observations.loss_fit import (
    CLASS_LOSSES,
    LABEL_LOSSES,
    LOG_SUM,
    NUMBER_LOSSES,
    Cure,
    Misfit,
    Rows,
    log_sums,
)
from auditor.observations.loss_numbers import model_name, number_loss, one_unit
from auditor.observations.loss_probe import SIGMOID, SOFTMAX, LossProbe
from auditor.observations.loss_task import beyond_labels

SQUEEZED = 0.1
"""Least loss within the bounds, of chance, from which logits are called squeezed."""

RANKED = 100
"""Labels above which a softmax over several may be meant to rank them (Liang et al. 2018)."""


def misfits(probe: LossProbe, rows: Rows) -> tuple[Misfit, ...]:
    """Return all that contradicts itself, the worst first."""
    found = [*reduction(probe), *pairing(probe, rows)]
    found += [_unstable()] if probe.unstable else []
    if probe.direction is not None and rows.form == "free":
        found += astray(probe.direction, probe.loss, SOFTMAX in probe.acts_like)
    if probe.over_batch:
        found += [_over_batch(probe)]
    elif len(rows.outputs) > 1:
        for name in dict.fromkeys(probe.acts_like):
            if name in CLASS_LOSSES:
                found += _class_loss(name, probe, rows)
            elif name in LABEL_LOSSES:
                found += _label_loss(name, probe, rows)
            elif name in NUMBER_LOSSES:
                found += number_loss(name, probe, rows)
    return tuple(sorted(found, key=lambda one: not one.severe))


def _unstable() -> Misfit:
    return Misfit(
        "unstable",
        False,
        "An answer that is sure and wrong has no finite loss: the logarithm is taken of a "
        "probability that rounds to 0. One such example spoils every weight.",
        "Let torch take softmax and logarithm at once: give logits to "
        "`torch.nn.functional.cross_entropy`, or, of labels, to "
        "`binary_cross_entropy_with_logits`; or use `log_softmax` and `logsigmoid` in your own.",
        "loss",
        "not finite for a sure and wrong answer",
    )


def _over_batch(probe: LossProbe) -> Misfit:
    cures = {"cross_entropy": Cure("bare"), "nll_loss": Cure("log_softmax")}
    return Misfit(
        "softmax over the batch",
        True,
        "In every batch each output sums to one over the examples, by itself or by its "
        "exponential, and the outputs of an example do not: the softmax is taken over the batch, "
        "so that examples compete and an answer depends on what else is in its batch.",
        f"Take the softmax at the end of {model_name(probe)} over the classes, `dim=1` instead of "
        "`dim=0`, or remove it where the loss wants logits.",
        "model.factory",
        "takes its softmax over the batch",
        next((cures[name] for name in probe.acts_like if name in cures), None),
    )


def _called(name: str, probe: LossProbe) -> str:
    return f"`{probe.loss if name in (SOFTMAX, SIGMOID) else name}`"


def _class_loss(name: str, probe: LossProbe, rows: Rows) -> Iterator[Misfit]:
    end, rounds = f"the end of {model_name(probe)}", f"{len(rows.outputs):,} rows"
    called, takes_logits = _called(name, probe), name in ("cross_entropy", SOFTMAX)
    if rows.width == 1 and (takes_logits or rows.form == "nought"):
        yield Misfit(
            "one class",
            True,
            "Cross-entropy over a single output is 0 whatever the model does: its softmax over one "
            "unit is always 1, so nothing is learnt.",
            "Use `binary_cross_entropy_with_logits` with the one output, or give the model one "
            "output for each class.",
            "loss",
            "cross_entropy over one output",
            Cure("as they are" if takes_logits else "bare", "bce_logits")
            if rows.task.truth == "binary"
            else None,
        )
    elif rows.task.truth == "labels" and rows.task.sure == "certain":
        yield _softmax_for_labels(name, probe, rows, end)
    elif takes_logits and rows.form == "probabilities":
        floor = _floor(rows.width, 0.0, 1.0)
        proof = (
            ""
            if name == "cross_entropy"
            else " (it stays what it is when a constant is added to an example's outputs)"
        )
        yield Misfit(
            "softmax twice",
            True,
            f"The outputs are probabilities already: in all {rounds} they lie within 0 to 1 and "
            f"sum to one, which logits never do, and {called} takes the softmax a second "
            f"time{proof}. However sure the model is, "
            + (
                f"its loss can't fall below {floor:.3g}."
                if name == "cross_entropy"
                else f"no class can get more than {math.exp(-floor):.3g} of the probability."
            ),
            f"Remove the softmax at {end}, or use `nll_loss` on the logarithm of its outputs.",
            "loss",
            "softmax is applied twice",
            Cure("log"),
        )
    elif takes_logits:
        yield from _squeezed(name, probe, rows, end, rows.width)
    elif rows.form == "probabilities":
        yield Misfit(
            "no logarithm",
            True,
            f"`{name}` is given probabilities: in all {rounds} the outputs lie within 0 to 1 and "
            "sum to one, so their logarithm is missing and the loss is negative.",
            f"Replace the softmax at {end} by `log_softmax`, or remove it and use `cross_entropy`.",
            "loss",
            "is given probabilities instead of log-probabilities",
            Cure("log"),
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
                Cure("log_softmax"),
            )


def _softmax_for_labels(name: str, probe: LossProbe, rows: Rows, end: str) -> Misfit:
    """Return what a loss of exclusive classes does to targets that hold several."""
    called, free = _called(name, probe), rows.form == "free"
    ranked = (
        " With so many labels this may be meant: it ranks them, and can't tell how many apply."
        if rows.width > RANKED
        else ""
    )
    return Misfit(
        "softmax for labels",
        rows.width <= RANKED,
        f"{called} is used on several labels: {rows.task.words}, and its probabilities sum to one, "
        "so one label is likely only at the cost of the others, and a row without any teaches "
        f"nothing.{ranked}",
        "Use `binary_cross_entropy_with_logits`, which asks for each label by itself"
        + ("." if free else f", and remove the softmax at {end}."),
        "loss",
        f"{called.strip('`')} on several labels",
        Cure("as they are" if free else "bare", "bce_logits"),
    )


def _label_loss(name: str, probe: LossProbe, rows: Rows) -> Iterator[Misfit]:
    end, called = f"the end of {model_name(probe)}", _called(name, probe)
    with_logits = name != "binary_cross_entropy"
    truth, count = rows.task.truth, f"{len(rows.outputs):,}"
    labels = truth == "labels" and rows.task.sure == "certain"
    if (beyond := _beyond_labels(called, rows)) is not None:
        yield beyond
        return
    if rows.form in ("one", "nought"):
        yield one_unit(called, rows, end)
        return
    if rows.form == "probabilities" and (labels or with_logits):
        several = (
            ""
            if not labels
            else (f", though {rows.task.words}: one label is likely only at the cost of the others")
        )
        twice = f" {called} then takes the sigmoid of them."
        yield Misfit(
            "softmax for labels" if labels else "softmax before sigmoid",
            True,
            f"The outputs of all {count} rows lie within 0 to 1 and sum to one, as a softmax makes "
            f"them{several}.{twice if with_logits else ''}",
            f"Remove the softmax at {end} and use `binary_cross_entropy_with_logits`."
            if labels
            else f"Remove the softmax at {end} and use `cross_entropy` on class indices.",
            "model.factory",
            "ends in a softmax",
            Cure("log", "cross_entropy")
            if truth == "exclusive"
            else Cure("bare", "bce_logits" if labels else "own"),
        )
    elif with_logits and rows.reach.within_one:
        yield Misfit(
            "sigmoid twice",
            True,
            f"The outputs of all {count} rows, and those of copies with weights blown up, "
            f"lie within 0 to 1: a sigmoid ends the model, and {called} takes it a second time. "
            "No probability below 0.5 or above 0.73 can come out.",
            f"Remove the sigmoid at {end}, or use `binary_cross_entropy`.",
            "loss",
            "sigmoid is applied twice",
            Cure("logit"),
        )
    elif with_logits:
        yield from _squeezed(name, probe, rows, end, 2)
    # The two probabilities of a softmax over two are a sigmoid's and its complement.
    competing = rows.width == 2 and rows.form == "probabilities"
    exclusive = truth == "exclusive" and rows.task.sure == "certain"
    if exclusive and not competing and not (with_logits and rows.reach.proven):
        yield Misfit(
            "labels for classes",
            False,
            f"The {rows.width} labels are exclusive classes: {rows.task.words}. {called} judges "
            "each for itself and never asks them to compete; this works, but the probabilities of "
            "a row need not sum to one and most of the gradient goes into saying no.",
            "Use `cross_entropy` with class indices (`target.argmax(1)`) on the model's outputs"
            + ("." if with_logits else f", without the activation at {end}."),
            "loss",
            f"{called.strip('`')} on exclusive classes",
            Cure(
                "as they are"
                if with_logits
                else "log"
                if rows.form == "probabilities"
                else "logit",
                "cross_entropy",
            ),
        )


def _beyond_labels(called: str, rows: Rows) -> Misfit | None:
    """Return what is wrong with targets that are no probabilities, None where all are."""
    beyond = beyond_labels(rows.targets)
    if beyond is None:
        return None
    reach, made = beyond
    return Misfit(
        "targets beyond labels",
        True,
        f"The targets reach from {reach}, where {called} wants 0 and 1 or what lies between: "
        "beyond, it has no least value, and falls without end as the logits grow.",
        f"Bring the targets to 0 and 1, for instance `{made}`; of numbers without bounds take "
        "`mse_loss`.",
        "loss",
        f"wants 0 to 1, is given {reach}",
    )


def _squeezed(name: str, probe: LossProbe, rows: Rows, end: str, classes: int) -> Iterator[Misfit]:
    """Yield what logits within bounds can't say."""
    reach, called = rows.reach, _called(name, probe)
    if not reach.proven or classes < 2 or rows.form == "log-probabilities":
        return
    if math.isfinite(reach.low) and math.isfinite(reach.high):
        floor = _floor(classes, reach.low, reach.high)
        if floor < SQUEEZED * math.log(classes):
            return
        what = "a sigmoid" if reach.within_one else "an activation"
        yield Misfit(
            "squeezed logits",
            True,
            f"{called} wants logits, but the outputs are {reach.words}, in "
            f"{len(rows.outputs):,} rows and in copies with weights blown up: {what} ends "
            f"the model. However sure it is, its cross-entropy can't fall below {floor:.3g} "
            f"(chance: {math.log(classes):.3g}).",
            f"Remove the activation at {end}: {called} takes care of it itself.",
            "loss",
            f"is given outputs {reach.words}",
            Cure("bare"),
        )
    elif abs(reach.low) < 1e-3:
        zero = rows.outputs <= 1e-6
        dead = int(zero.all(axis=0).sum())
        labels = name in LABEL_LOSSES
        never = f" {dead} of {rows.width} classes have a logit of 0 in every row." if dead else ""
        yes = " No probability below 0.5 can come out." if labels else ""
        yield Misfit(
            "clipped logits",
            labels or bool(dead),
            f"{called} wants logits, but the outputs are {reach.words}: a ReLU or the like ends "
            f"the model, and {zero.mean():.0%} of the outputs are 0, where no gradient passes."
            f"{yes}{never}",
            f"Remove the ReLU at {end}, so that logits can be negative.",
            "loss",
            f"is given outputs {reach.words}",
            Cure("bare"),
        )


def _floor(classes: int, low: float, high: float) -> float:
    """Return the least cross-entropy of logits within bounds: ln(1 + (C - 1) e^(low - high))."""
    return math.log1p((classes - 1) * math.exp(low - high))
