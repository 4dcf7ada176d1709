"""What the state of a saved optimizer tells: no step made, no gradient ever seen."""

import math

from auditor.core.advice import step as step_of_advice
from auditor.core.finding import Place
from auditor.core.text import clean_text, counted, listed
from auditor.core.verdict import Verdict
from auditor.observations.optimizer_state import OptimizerHeld, OptimizersHeld
from auditor.observations.said import Said

MOMENTS = ("exp_avg", "exp_avg_sq", "momentum_buffer", "square_avg", "sum", "exp_inf")
"""What is zero only before the first gradient, or where all gradients are."""


RESTART = (
    "Go on from an earlier checkpoint, or from these weights with an optimizer made anew and a "
    "warm-up: its first step from this state would spoil the weights."
)


def said_of_optimizer(optimizer: OptimizerHeld, held: OptimizersHeld) -> list[Said]:
    """Return what the saved optimizer tells: no step made, no gradient ever seen."""
    live = set(held.trainable)
    own = [h for h in optimizer.held if not h.name or h.name in live]
    kept = [h for h in own if h.kept]
    file = f"`{optimizer.where}`"
    epochs = f", though {held.epochs:g} epochs are declared" if held.epochs else ""
    place = (Place("file", optimizer.where, "state of the optimizer"),)
    advice = step_of_advice(
        "Save the state of the optimizer that trained the model, after the last step. If it is "
        "that one, `optimizer.step()` never ran.",
        'torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, path)',
    )
    if not kept:
        if not optimizer.remembers:
            return []
        text = f"The optimizer saved under {file} has never made a step: it keeps no moments"
        return [Said(Verdict.WARN, f"{text}{epochs}.", place, advice)]
    steps = [h.step for h in kept if not math.isnan(h.step)]
    if steps and max(steps) == 0:
        text = f"The optimizer saved under {file} counts 0 steps{epochs}."
        return [Said(Verdict.FAIL, text, place, advice)]
    still = [
        h
        for h in kept
        if any(m in MOMENTS for m in h.moments)
        and all(m in h.zero for m in h.moments if m in MOMENTS)
    ]
    if still and len(still) == len([h for h in kept if h.moments]):
        text = f"All moments of the optimizer saved under {file} are zero{epochs}."
        return [Said(Verdict.FAIL, text, place, advice)]
    found = []
    spoilt = [h for h in kept if h.spoilt]
    if spoilt:
        names = [clean_text(h.name) for h in spoilt if h.name]
        slots = listed(list(dict.fromkeys(f"`{slot}`" for h in spoilt for slot in h.spoilt)))
        text = (
            f"The optimizer saved under {file} holds values that no step can go on from, not "
            f"finite or below zero where they can't be, for {counted(len(spoilt), 'parameter')}"
            f"{f' ({listed(names, 4)})' if names else ''}, in {slots}."
        )
        where = tuple(
            Place("parameter", clean_text(h.name), f"{listed(list(h.spoilt))} not usable")
            for h in spoilt
            if h.name
        )
        found.append(Said(Verdict.WARN, text, where or place, RESTART))
    if still:
        names = [clean_text(h.name) for h in still if h.name]
        text = (
            f"The optimizer saved under {file} has moments of zero for "
            f"{counted(len(still), 'parameter')}: every gradient in training was zero"
            f"{f' ({listed(names, 4)})' if names else ''}."
        )
        where = tuple(Place("parameter", name, "moments of zero") for name in names) or place
        found.append(
            Said(Verdict.WARN, text, where, "See `disconnected-parameters` for what cuts it off.")
        )
    if steps:
        expected = (held.epochs or 0) * held.batches
        told = f", {held.epochs:g} epochs would be about {expected:,.0f}" if expected else ""
        found.append(
            Said(Verdict.INFO, f"The saved optimizer counts {max(steps):,.0f} steps{told}.")
        )
    return found
