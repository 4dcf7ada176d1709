"""Why fresh models do not start at chance, by what mends it."""

from dataclasses import dataclass

import numpy as np

from auditor.core import snippets
from auditor.core.advice import step
from auditor.core.finding import Limit, Place
from auditor.core.statistics import geometric_interval, mean_interval
from auditor.core.values import Array
from auditor.observations.initial_loss import LEFT, FreshLosses, Remedy

REMEDIES: dict[Remedy, str] = {
    "inputs": "inputs standardised",
    "targets": "targets standardised",
    "bias": "last bias at zero",
    "reset": "PyTorch's own initialisation",
    "head": "last layer smaller",
}
"""What is tried, the most specific cause first."""


@dataclass(frozen=True)
class Cause:
    """Where the cause is, what it is, and what to do about it."""

    place: Place
    what: str
    cure: str


def typical(losses: Array) -> tuple[float, float, float]:
    """Return the geometric mean with its interval, or the plain mean where a loss is negative."""
    if (losses > 0).all():
        return geometric_interval(losses)
    return (float(losses.mean()), *mean_interval(losses))


def causes_of(
    fresh: FreshLosses, excess: float, limit: Limit, chance: float
) -> tuple[tuple[Cause, ...], str]:
    """Return the causes, and sentences that say what they are and what proved it.

    The most specific remedy that mends the loss tells the cause, one alone before two at once.
    """
    left = {
        remedies: typical(np.asarray(row, float))[0] - 1
        for remedies, row in zip(fresh.remedies, fresh.remedied, strict=True)
    }
    enough = min(LEFT * excess, float(limit.warn or 0.0))
    ordered = sorted(left, key=lambda done: (len(done), [list(REMEDIES).index(r) for r in done]))
    done = next((done for done in ordered if left[done] <= enough), None)
    if done is not None:
        causes = tuple(_of(remedy, fresh) for remedy in done)
        named = " and ".join(cause.what for cause in causes)
        kind = "Cause" if len(causes) == 1 else "Two causes at once"
        return causes, f"{kind}: {named}. Tried: {_started(done, left[done], chance)}."
    most = min((d for d in ordered if len(d) == 1), key=lambda d: left[d], default=())
    if most and left[most] < 0.5 * excess:
        cause = _of(most[0], fresh)
        part = _started(most, left[most], chance)
        return (cause,), f"Likely cause: {cause.what}; that is not all of it, for {part}."
    cause = _culprit(fresh)
    return (cause,), f"Likely cause: {cause.what}."


def together(done: tuple[Remedy, ...]) -> str:
    """Return remedies that were applied at once, in words."""
    return " and ".join(REMEDIES[remedy] for remedy in done)


def _started(done: tuple[Remedy, ...], left: float, chance: float) -> str:
    level = f"{(1 + left) * chance:.4g}"
    if "targets" in done:
        level = f"{1 + left:.3g} times chance"
    return f"with {together(done)} the same models start at {level}"


def _of(remedy: Remedy, fresh: FreshLosses) -> Cause:
    match remedy:
        case "inputs":
            return _inputs(fresh)
        case "targets":
            return _targets(fresh)
        case "bias":
            return Cause(
                Place("setting", "model.factory", "last bias"),
                "the last layer's bias starts far from zero",
                step(
                    "Start the last bias at zero, or at the logarithm of the class frequencies, "
                    "with `head` for the last layer:",
                    "torch.nn.init.zeros_(head.bias)",
                ),
            )
        case "reset":
            return Cause(
                Place("setting", "model.factory", "initialisation"),
                f"the model's own initialisation is too large (outputs of deviation "
                f"{float(np.mean(fresh.output_deviation)):.3g})",
                step(
                    "Leave the weights as PyTorch's layers draw them, or scale yours by fan-in:",
                    snippets.ALL_INITIALISED,
                ),
            )
        case "head":
            return _outputs(fresh)


def _culprit(fresh: FreshLosses) -> Cause:
    """Return the likely cause, as the scale of inputs, targets and outputs shows it."""
    if abs(fresh.input_mean) > 3 or fresh.input_deviation > 3:
        return _inputs(fresh)
    facts = fresh.targets
    if fresh.numeric and facts.variance and _centre(fresh) > np.sqrt(np.mean(facts.variance)):
        return _targets(fresh)
    return _outputs(fresh)


def _centre(fresh: FreshLosses) -> float:
    """Return the size of the targets' means: the root of their mean square."""
    return float(np.sqrt(np.mean(np.square(fresh.targets.mean or (0.0,)))))


def _inputs(fresh: FreshLosses) -> Cause:
    mean, deviation = fresh.input_mean, fresh.input_deviation
    return Cause(
        Place("setting", "data", f"inputs of mean {mean:.3g} and deviation {deviation:.3g}"),
        f"the inputs are not normalised (mean {mean:.3g}, deviation {deviation:.3g})",
        step(
            f"Normalise the inputs: subtract {mean:.3g} and divide by {deviation:.3g}, or better "
            "each channel or feature by its own.",
            f"inputs = (inputs - {snippets.digits(mean, 3)}) / {snippets.digits(deviation, 3)}"
            if deviation > 0
            else "",
        ),
    )


def _targets(fresh: FreshLosses) -> Cause:
    means = np.asarray(fresh.targets.mean or (0.0,), float)
    variance = fresh.targets.variance
    width = float(np.sqrt(np.mean(variance))) if variance else 1.0
    one = len(means) == 1
    level = f"mean {means[0]:.3g}" if one else f"means of size {_centre(fresh):.3g}"
    how = (
        f"subtract {means[0]:.3g} and divide by {width:.3g}"
        if one
        else "subtract each output's own mean and divide by its own deviation"
    )
    return Cause(
        Place("setting", "data", f"targets of {level} and deviation {width:.3g}"),
        f"the targets are not standardised ({level}, deviation {width:.3g})",
        step(
            f"Standardise the targets: {how}, and undo that when predicting; or start the last "
            "bias at the mean.",
            f"targets = (targets - {snippets.digits(means[0], 3)}) / {snippets.digits(width, 3)}\n"
            f"predictions = {snippets.digits(width, 3)} * model(inputs) + "
            f"{snippets.digits(means[0], 3)}"
            if one and width > 0
            else "",
        ),
    )


def _outputs(fresh: FreshLosses) -> Cause:
    spread = float(np.mean(fresh.output_deviation))
    if spread == 0:
        return Cause(
            Place("setting", "model.factory", "outputs of deviation 0"),
            "fresh models give one answer to everything",
            "Find what makes the output constant: look at how the model ends (a softmax over a "
            "single output is always 1), and let `nn.Linear` end it.",
        )
    return Cause(
        Place("setting", "model.factory", f"outputs of deviation {spread:.3g}"),
        f"the outputs of a fresh model are too large (deviation {spread:.3g})",
        step(
            f"Initialise the last layer smaller, by a factor of about {max(spread, 1):.2g}, with "
            "zero bias, and make sure that the loss averages over examples and outputs. With "
            "`head` for the last layer, in the model's `__init__`:",
            "with torch.no_grad():\n"
            f"    head.weight.div_({snippets.digits(max(spread, 1))})\n"
            "    head.bias.zero_()",
        ),
    )
