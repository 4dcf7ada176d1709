"""Which parameters a few steps on a copy leave as they are, and why."""

from collections.abc import Sequence

from auditor.core import snippets
from auditor.core.advice import step as step_of_advice
from auditor.core.finding import Place
from auditor.core.text import clean_text, counted, listed
from auditor.core.verdict import Verdict
from auditor.observations.at_start import HALVES
from auditor.observations.reach import SilenceCauses
from auditor.observations.said import Said
from auditor.observations.step_changes import StepChange, StepChanges

LOST = 0.5
"""Share of a half-precision model's values with a gradient that no step changes, from which the
weights are too coarse for the steps."""

ZERO = "gradient exactly zero"
NO_EFFECT = "gradient exactly zero, as the loss does not hang on it"
"""Why a parameter stays."""


def why_unchanged(change: StepChange) -> str:
    """Return why a step did not change a parameter."""
    if not change.held:
        return "not in the optimizer"
    if change.rate == 0:
        return "its learning rate is 0"
    if change.gradient == "none":
        return "no gradient"
    if change.gradient == "zero":
        return ZERO
    if change.gradient == "not finite":
        return "gradient not finite"
    return f"steps round to nothing in {change.type}"


AUTOCAST = """\
model.float()
with torch.autocast(inputs.device.type, dtype=torch.bfloat16):
    loss = loss_fn(model(inputs), targets)
loss.backward()
optimizer.step()"""
"""A step with weights in float32 and the forward pass in half precision."""

REMEDIES = {
    "not in the optimizer": "Hand {name} to the optimizer, or freeze it with "
    "`requires_grad_(False)`.",
    "its learning rate is 0": "Give the group of {name} a learning rate above 0, or freeze it with "
    "`requires_grad_(False)`.",
    "no gradient": "Use {name} in `forward`, or find the `detach()` behind it: "
    "`disconnected-parameters` tells which.",
    ZERO: "Find what holds the gradient of {name} at zero: "
    "`disconnected-parameters` and `dead-units` tell.",
    "gradient not finite": "Find where NaN or infinity comes from before {name} is trained on: "
    "`non-finite-values` tells.",
}


def said_of_steps(step: StepChanges, causes: SilenceCauses | None = None) -> list[Said]:
    """Return which parameters a few steps leave as they are, reason by reason."""
    idle = _without_effect(step, causes)
    reasons: dict[str, list[StepChange]] = {}
    converged = all(loss == 0 for loss in step.losses)
    for change in step.parameters:
        if change.changed == 0 and change.size:
            why = NO_EFFECT if change.name in idle else why_unchanged(change)
            reasons.setdefault(why, []).append(change)
    found = []
    for reason, changes in reasons.items():
        names = [clean_text(c.name) for c in changes]
        gone = reason == ZERO and converged
        rounds = reason.startswith("steps round")
        # In float32 a step rounds to nothing only where hardly any gradient is left.
        quiet = gone or reason == NO_EFFECT or (rounds and changes[0].type not in HALVES)
        fixable = reason in ("not in the optimizer", "its learning rate is 0")
        remedy = step_of_advice(
            REMEDIES.get(reason, "").replace("{name}", f"`{names[0]}`"),
            snippets.frozen([c.name for c in changes]) if fixable else "",
        )
        if rounds:
            remedy = step_of_advice(
                f"Keep `{names[0]}` and its likes in float32 while training (mixed precision with "
                "master weights), or raise the learning rate.",
                AUTOCAST,
            )
        text = (
            f"{len(step.losses):,} steps of {clean_text(step.optimizer)} on a copy leave "
            f"{len(names):,} of {counted(len(step.parameters), 'trainable parameter')} unchanged "
            f"({reason}): {listed(names, 4)}."
        )
        all_gone = len(names) == len(step.parameters) and not quiet
        verdict = Verdict.INFO if quiet else Verdict.FAIL if all_gone else Verdict.WARN
        where = tuple(Place("parameter", name, reason) for name in names)
        found.append(Said(verdict, text, () if quiet else where, "" if quiet else remedy))
    coarse = [c for c in step.parameters if c.type in HALVES and c.lost >= 0 and c.changed > 0]
    share = _lost(coarse)
    if coarse and share > LOST:
        worst_ones = sorted(coarse, key=lambda c: -c.lost)[:20]
        found.append(
            Said(
                Verdict.WARN,
                f"In {coarse[0].type}, {share:.0%} of the values that get a gradient are not "
                f"changed by {len(step.losses):,} steps: these round to nothing.",
                tuple(
                    Place("parameter", clean_text(c.name), f"{c.lost:.0%} of its values stay")
                    for c in worst_ones
                    if c.lost > LOST
                ),
                step_of_advice(
                    "Keep the weights in float32 while training and compute in half precision; "
                    "convert when you save.",
                    AUTOCAST,
                ),
            )
        )
    return found


def _without_effect(step: StepChanges, causes: SilenceCauses | None) -> set[str]:
    """Return the vectors whose gradient is zero since the loss does not hang on their values.

    Beside a matrix with a gradient of zero, such a vector most likely shares its fate.
    """
    zero = [c for c in step.parameters if c.changed == 0 and why_unchanged(c) == ZERO]
    if causes is None or any(c.dimensions > 1 for c in zero):
        return set()
    known = set(causes.tried) - set(causes.cut_off) - set(causes.waiting)
    return {c.name for c in zero if c.name in known}


def _lost(changes: Sequence[StepChange]) -> float:
    values = sum(c.size for c in changes)
    return sum(c.lost * c.size for c in changes) / values if values else 0.0
