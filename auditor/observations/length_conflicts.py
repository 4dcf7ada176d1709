"""What the places that tell how long training went on say of one another, and of its batches."""

import math
from collections.abc import Iterator

from auditor.core.finding import Limit
from auditor.core.verdict import Verdict
from auditor.observations.setting_conflicts import Compared, differ, sure
from auditor.observations.setting_match import alike, numbers, shown, times
from auditor.observations.setting_sources import SettingSources, Stated

OFF_BY_ONE = 1.0
"""Epochs by which counts differ that begin at 0, or are kept before the last epoch is counted."""


def length_compared(sources: SettingSources, epochs: Limit, steps: Limit) -> Iterator[Compared]:
    """Yield what is said of epochs, steps, and the size of the batch."""
    yield from _epochs(sources, epochs)
    yield from _batches(sources)
    compared = _steps(sources, steps)
    if compared is not None:
        yield compared


def _epochs(sources: SettingSources, limit: Limit) -> Iterator[Compared]:
    """Hold declared epochs against those made, and against those that were planned."""
    declared = next(iter(sources.of("epochs", "declared")), None)
    made = sources.of("epochs", "state")
    planned = sources.of("epochs", "called")
    if declared is None:
        return
    own, plans = numbers((declared,))[0], numbers(planned)
    if not made:
        for told in planned:
            value = numbers((told,))[0]
            if _near(own, value):
                yield Compared("epochs", declared, told, Verdict.PASS)
            elif own < value:
                said = (
                    "Training was planned for more epochs than are declared: "
                    f"{differ(declared, told)}"
                )
                yield Compared("epochs", declared, told, Verdict.INFO, f"{said}.")
            else:
                verdict = limit.verdict(times(own, value))
                if verdict is Verdict.FAIL and not sure(told):
                    verdict = Verdict.WARN
                said = f"More epochs are declared than were planned: {differ(declared, told)}"
                yield Compared("epochs", declared, told, verdict, f"{said}.", times(own, value))
        return
    for told in made[:1]:
        value = numbers((told,))[0]
        apart = times(own, max(value, 1.0))
        if _near(own, value) or any(_near(own, other) for other in numbers(made[1:])):
            yield Compared("epochs", declared, told, Verdict.PASS)
            continue
        fits = any(_near(own, plan) for plan in plans)
        said = f"The epochs are {differ(declared, told)}"
        if value < own and fits:
            said = (
                f"The checkpoint is of epoch {value:g} of the {own:g} that are declared and were "
                "planned: training was stopped, or an earlier checkpoint was kept"
            )
            yield Compared("epochs", declared, told, Verdict.INFO, f"{said}.", apart)
            continue
        if value < own and not plans and sources.picked:
            said = (
                f"The checkpoint is of epoch {value:g} of the {own:g} that are declared: the best "
                f"one, as {sources.picked} suggests"
            )
            yield Compared("epochs", declared, told, Verdict.INFO, f"{said}.", apart)
            continue
        verdict = limit.verdict(apart)
        if verdict is Verdict.FAIL and ((value < own and not plans) or fits or not sure(told)):
            verdict = Verdict.WARN
        if value < own and not plans:
            said += "; an earlier checkpoint than the last one would explain it"
        yield Compared("epochs", declared, told, verdict, f"{said}.", apart)


def _near(one: float, other: float) -> bool:
    return abs(one - other) <= max(OFF_BY_ONE, 0.01 * max(one, other)) + 1e-6


def _batches(sources: SettingSources) -> Iterator[Compared]:
    """Hold the declared size of the batch against recorded ones."""
    declared = next(iter(sources.of("batch_size", "declared")), None)
    told = sources.of("batch_size", "called")
    if declared is None:
        return
    own = numbers((declared,))[0]
    for other in told:
        value = numbers((other,))[0]
        factor = own / value
        if alike(own, value):
            yield Compared("batch_size", declared, other, Verdict.PASS)
        elif factor > 1 and math.isclose(factor, round(factor)):
            said = (
                f"The batch is {differ(declared, other)}: {factor:.0f} of these make one step, by "
                "accumulated gradients or on as many devices"
            )
            yield Compared("batch_size", declared, other, Verdict.INFO, f"{said}.")
        else:
            said = f"The batch size is {differ(declared, other)}"
            apart = times(own, value)
            yield Compared("batch_size", declared, other, Verdict.WARN, f"{said}.", apart)


def _steps(sources: SettingSources, limit: Limit) -> Compared | None:
    """Hold the updates that were counted against what epochs and batches come to.

    Fewer are made where gradients are accumulated or devices share the work; more are not.
    """
    own = sources.of("steps", "state")
    counted = own or sources.of("counted_steps", "state")
    epochs = sources.of("epochs", "state") or sources.of("epochs", "declared")
    sizes = sources.of("batch_size", "declared") or sources.of("batch_size", "called")
    if not (counted and epochs and sources.batches and sizes):
        return None
    size = max(numbers(sizes))
    if sources.examples and size != sources.batch_size:
        batches = math.ceil(sources.examples / size)
    else:
        batches = sources.batches
    made = numbers(epochs)[0]
    steps = numbers(counted[:1])[0]
    most = (math.ceil(made) + OFF_BY_ONE) * batches
    expected = made * batches
    other = Stated(
        "steps",
        float(round(expected)),
        epochs[0].kind,
        f"{shown(made)} epochs of {batches:,} batches of {size:g}",
        epochs[0].file,
    )
    apart = times(steps, expected)
    if steps > most:
        # A script's own count may be one of smaller batches, several of which make an update.
        verdict = limit.verdict(steps / most) if own else Verdict.PASS
        said = (
            f"{steps:,.0f} updates were counted ({counted[0].where}), and {made:g} epochs of "
            f"{batches:,} batches of {size:g} make {expected:,.0f}"
        )
        if verdict is Verdict.PASS:
            return Compared("steps", other, counted[0], Verdict.INFO, f"{said}.", apart)
        said += ": smaller batches, more data or an earlier training would explain it"
        return Compared("steps", other, counted[0], Verdict.WARN, f"{said}.", steps / most)
    least = max(math.floor(made) - OFF_BY_ONE, 0.0) * max(batches - 1, 1)
    if steps >= least or steps >= expected * 0.9:
        return Compared("steps", other, counted[0], Verdict.PASS)
    said = (
        f"{steps:,.0f} updates were counted where {made:g} epochs of {batches:,} batches make "
        f"{expected:,.0f}: about {expected / steps:.2g} batches to an update, as where gradients "
        "are accumulated or devices share the work"
    )
    return Compared("steps", other, counted[0], Verdict.INFO, f"{said}.", apart)
