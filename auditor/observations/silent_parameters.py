"""What keeps the gradient from parameters that get none, in kinds and in words."""

from collections.abc import Sequence

import numpy as np

from auditor.core.statistics import rule_of_three
from auditor.core.text import clean_text, counted, listed
from auditor.core.verdict import Verdict
from auditor.observations.reach import ParameterReach, SilenceCauses

KINDS = {
    "cut off": Verdict.FAIL,
    "zero": Verdict.FAIL,
    "unused": Verdict.WARN,
    "no effect": Verdict.INFO,
    "waiting": Verdict.INFO,
    "frozen": Verdict.INFO,
}
"""What is said of each kind of parameter that gets no gradient."""

NOTES = {
    "cut off": "the loss hangs on it, but sends no gradient back",
    "zero": "gradient exactly zero on every batch",
    "unused": "no gradient, and the loss does not hang on it",
    "no effect": "gradient exactly zero, as a change of it changes nothing",
    "waiting": "gradient zero only because other weights are exactly zero",
    "frozen": "frozen",
}
"""What each kind means, in words."""


def kinds_of_silence(reach: ParameterReach, causes: SilenceCauses | None) -> dict[int, str]:
    """Return what keeps the gradient from each parameter that gets none, by its place."""
    none, zero, _ = np.asarray(reach.counts).T
    found: dict[int, str] = {}
    for place, name in enumerate(reach.parameters):
        if not reach.trainable[place]:
            found[place] = "frozen"
            continue
        if none[place] + zero[place] < reach.batches or not reach.sizes[place]:
            continue
        known = causes is not None and name in causes.silent
        if known and causes is not None and name in causes.cut_off:
            found[place] = "cut off"
        elif zero[place] and known and causes is not None and name in causes.waiting:
            found[place] = "waiting"
        elif zero[place]:
            vector = reach.dimensions[place] < 2
            told = known and causes is not None and name in causes.tried
            found[place] = "no effect" if vector and told else "zero"
        else:
            found[place] = "unused"
    if "zero" in found.values():
        # Beside weights that get nothing, a vector without effect most likely shares their fate.
        found = {place: "zero" if kind == "no effect" else kind for place, kind in found.items()}
    return found


def idle_modules(reach: ParameterReach, kinds: dict[int, str]) -> list[tuple[str, bool]]:
    """Return the modules that never ran and whose parameters nothing else uses."""
    gone = {reach.parameters[place] for place, kind in kinds.items() if kind == "unused"}
    result = []
    for name, sibling in zip(reach.idle, reach.siblings, strict=True):
        inside = [p for p in reach.parameters if p.startswith(f"{name}.")]
        if inside and all(p in gone for p in inside):
            result.append((name, sibling))
    return result


def count_live(reach: ParameterReach) -> int:
    """Return how many trainable parameters get a gradient."""
    none, zero, _ = np.asarray(reach.counts).T
    silent = none + zero >= reach.batches
    return int((np.asarray(reach.trainable) & ~silent).sum())


def said_of_silence(
    groups: dict[str, list[int]],
    names: Sequence[str],
    reach: ParameterReach,
    idle: list[tuple[str, bool]],
) -> list[str]:
    """Return sentences on the parameters of each kind, and on modules that never run."""
    every = counted(reach.batches, "batch", "batches")
    said = {
        "cut off": "are used, since the loss follows a change of them, but get no gradient",
        "zero": f"get a gradient of exactly zero on all of {every}",
        "unused": "get no gradient and the loss does not hang on them",
    }
    parts = []
    total = sum(reach.trainable)
    for kind, what in said.items():
        places = groups[kind]
        if places:
            share = sum(reach.sizes[p] for p in places)
            parts.append(
                f"{len(places):,} of {counted(total, 'trainable parameter')} "
                f"({counted(share, 'value')}) {what}: {listed([names[p] for p in places], 4)}."
            )
    if idle:
        shown = listed([f"`{clean_text(name)}`" for name, _ in idle], 4)
        never = "never runs" if len(idle) == 1 else "never run"
        parts.append(f"{shown} {never}.")
        if any(sibling for _, sibling in idle):
            bound = rule_of_three(reach.batches)
            parts.append(
                "Others of its list do: if data choose among them, it is chosen for at most "
                f"{bound:.0%} of batches (95 %)."
            )
    if not parts:
        parts.append(f"All of {counted(total, 'trainable parameter')} get a gradient.")
        if count_live(reach) < total:
            parts = [
                f"The gradient reaches {count_live(reach):,} of {total:,} trainable parameters."
            ]
    if groups["waiting"]:
        waiting = listed([names[p] for p in groups["waiting"]], 3)
        parts.append(
            f"{waiting}: no gradient as yet, only because other weights are exactly zero; it comes "
            "as soon as these move."
        )
    if groups["no effect"]:
        parts.append(f"Without any effect: {listed([names[p] for p in groups['no effect']], 3)}.")
    if groups["frozen"]:
        frozen = [names[p] for p in groups["frozen"]]
        parts.append(f"Frozen: {counted(len(frozen), 'parameter')} ({listed(frozen, 3)}).")
    return parts
