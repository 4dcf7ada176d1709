"""What the places that tell the learning rate say of one another.

Schedules change it, scripts scale it with the batch, and groups have rates of their own: a
contradiction is only what none of these explains.
"""

import math
from collections.abc import Iterator

import numpy as np

from auditor.core.finding import Limit
from auditor.core.verdict import Verdict
from auditor.observations.schedule import Schedule
from auditor.observations.schedule_faults import flaws_of
from auditor.observations.setting_conflicts import Compared, differ, sure
from auditor.observations.setting_match import (
    CLOSE,
    any_alike,
    numbers,
    power_of,
    schedule_of,
    shown,
    times,
)
from auditor.observations.setting_sources import SettingSources, Stated
from auditor.observations.settings import Settings

NEAT = (2.0, 3.0, 5.0, 10.0)
"""By powers of these a rate is lowered by hand."""

FAR = 2.0
"""Times by which the end of a schedule may be missed."""


def rates_compared(sources: SettingSources, limit: Limit) -> Iterator[Compared]:
    """Yield what is said of the learning rate."""
    declared = next(iter(sources.of("lr", "declared")), None)
    called = sources.of("lr", "called")
    state = sources.of("first_lr", "state") or sources.of("last_lr", "state")
    if declared is not None and state:
        yield _held_against_state(declared, sources, limit)
    for told in called:
        if declared is not None:
            yield _held_against_record(declared, told, sources, limit)
        if state and (declared is None or any_alike(declared.value, (told,))):
            yield _record_against_state(told, sources)


def _held_against_state(declared: Stated, sources: SettingSources, limit: Limit) -> Compared:
    first, last = sources.of("first_lr", "state"), sources.of("last_lr", "state")
    state = first or last
    same = next((one for one in state if any_alike(declared.value, (one,))), None)
    if same is not None:
        return Compared("lr", declared, same, Verdict.PASS)
    nearest = _nearest(declared, state)
    apart = _times(declared, nearest)
    explained = _explained(declared, sources)
    if explained:
        return Compared("lr", declared, nearest, Verdict.INFO, f"{explained}.", apart)
    verdict = limit.verdict(apart)
    recorded = any_alike(declared.value, sources.of("lr", "called"))
    lower = _value(nearest) < _value(declared)
    by_hand = lower and not first and schedule_of(_schedule(sources)) != "none"
    if verdict is Verdict.FAIL and (recorded or by_hand):
        verdict = Verdict.WARN
    said = f"The learning rate is {differ(declared, nearest)}"
    if by_hand:
        said += "; a schedule set by hand would explain it, but none is declared or recorded"
    else:
        said += ", and no schedule explains it"
    return Compared("lr", declared, nearest, verdict, f"{said}.", apart)


def _explained(declared: Stated, sources: SettingSources) -> str:
    """Return in words what makes the rate of a state differ from the one training began with."""
    rate = _value(declared)
    first, last = sources.of("first_lr", "state"), sources.of("last_lr", "state")
    if _cycled(sources):
        top = sources.of("max_lr", "state")
        upto = f", up to {shown(top[0].value)}" if top else ""
        return (
            f"A cyclic schedule set the rates itself{upto}: {shown(rate)}, as {declared.where}, is "
            "not among them"
        )
    kept = numbers(first or last)
    if kept and min(kept) < rate < max(kept):
        return f"The parameter groups have rates from {min(kept):g} to {max(kept):g}"
    lower = bool(last) and all(value <= rate for value in numbers(last))
    if first or not lower or schedule_of(_schedule(sources)) == "none":
        return ""
    ratio = _times(declared, last[0])
    if _schedule(sources) or sources.of("decay", "called") or sources.of("log"):
        return f"The rate fell from {shown(rate)} to {shown(last[0].value)}, as schedules do"
    neat = not math.isfinite(ratio) or any(power_of(base, ratio) for base in NEAT)
    if neat and any_alike(rate, sources.of("lr", "called")):
        return f"The rate fell from {shown(rate)} to {shown(last[0].value)}, as if by hand"
    return ""


def _held_against_record(
    declared: Stated, told: Stated, sources: SettingSources, limit: Limit
) -> Compared:
    if any_alike(declared.value, (told,)):
        return Compared("lr", declared, told, Verdict.PASS)
    apart = _times(declared, told)
    first, last = sources.of("first_lr", "state"), sources.of("last_lr", "state")
    confirmed = any_alike(declared.value, first or last)
    if confirmed and any_alike(told.value, last):
        said = f"The rate recorded by {told.where} is the last one"
        return Compared("lr", declared, told, Verdict.INFO, f"{said}.", apart)
    if _cycled(sources):
        said = f"A cyclic schedule has a least and a highest rate: {differ(declared, told)}"
        return Compared("lr", declared, told, Verdict.INFO, f"{said}.", apart)
    verdict = limit.verdict(apart)
    scaled = _scaled(_value(declared) / _value(told), sources)
    if confirmed and scaled:
        said = f"The rate was scaled with the batch: {differ(declared, told)}"
        return Compared("lr", declared, told, Verdict.INFO, f"{said}.", apart)
    if verdict is Verdict.FAIL and (confirmed or scaled or not sure(told)):
        verdict = Verdict.WARN
    said = f"The learning rate is {differ(declared, told)}"
    return Compared("lr", declared, told, verdict, f"{said}.", apart)


def _record_against_state(told: Stated, sources: SettingSources) -> Compared:
    """Return what a record says of the rate against the optimizer's state, the spec apart."""
    first, last = sources.of("first_lr", "state"), sources.of("last_lr", "state")
    known = (*first, *last, *sources.of("max_lr", "state"))
    same = next((one for one in known if any_alike(told.value, (one,))), None)
    if same is not None:
        return Compared("lr", told, same, Verdict.PASS)
    nearest = _nearest(told, first or last)
    apart = _times(told, nearest)
    explained = _explained(told, sources)
    if not explained and _scaled(_value(nearest) / _value(told), sources):
        explained = f"The rate was scaled with the batch: {differ(told, nearest)}"
    if explained:
        return Compared("lr", told, nearest, Verdict.INFO, f"{explained}.", apart)
    said = f"The records do not agree on the learning rate: {differ(told, nearest)}"
    return Compared("lr", told, nearest, Verdict.WARN, f"{said}.", apart)


def course_compared(
    sources: SettingSources, schedule: Schedule, settings: Settings
) -> Iterator[Compared]:
    """Yield what the declared schedule comes to against the rate that the optimizer is left with.

    That it was stepped in other units, or never, `schedule-missing-or-off` says.
    """
    declared = next(iter(sources.of("schedule", "declared")), None)
    last = sources.of("last_lr", "state")
    known = declared is not None and len(last) == 1 and schedule.x.size and schedule.first > 0
    if not known or sources.of("schedule", "state") or _cycled(sources):
        return
    if not any_alike(schedule.first, (*sources.of("first_lr", "state"),)):
        return
    if any(flaw.strayed for flaw in flaws_of(schedule, settings)):
        return
    assert declared is not None
    made = numbers(sources.of("epochs", "state"))
    epochs = made + numbers(sources.of("epochs", "declared"))
    counts = [*epochs, *(e * settings.per_epoch for e in epochs), *numbers(sources.of("steps"))]
    x, rates = np.asarray(schedule.x, float), np.asarray(schedule.rates, float)
    slack = 1 + 0.01 * float(x[-1])
    left, least = numbers(last)[0], 1e-6 * schedule.first
    near = [rates[np.abs(x - min(count, x[-1])) <= slack] for count in counts] if made else [rates]
    for part in near:
        if part.size and part.min() / FAR - least <= left <= part.max() * FAR + least:
            yield Compared("schedule", declared, last[0], Verdict.PASS)
            return
    if not counts:
        return
    comes = float(np.interp(counts[0], x, rates))
    said = (
        f"{shown(declared.value)} as declared comes to {comes:.2g} after {counts[0]:g} epochs, and "
        f"the optimizer is left at {left:.2g} ({last[0].where})"
    )
    yield Compared("schedule", declared, last[0], Verdict.WARN, f"{said}.", times(comes, left))


def _scaled(ratio: float, sources: SettingSources) -> bool:
    """Tell whether a rate is another one scaled linearly with the batch, as is common practice."""
    if power_of(2.0, ratio):
        return True
    batches = numbers(sources.of("batch_size"))
    counts = numbers(sources.of("devices", "called"))
    factors = [batch / base for batch in batches for base in (128, 256, 512)]
    factors += [batch * count / 256 for batch in batches for count in counts] + counts
    factors += [math.sqrt(factor) for factor in factors]
    return any(math.isclose(ratio, factor, rel_tol=5e-3) and factor != 1 for factor in factors)


def _cycled(sources: SettingSources) -> bool:
    told = [schedule_of(one.value) for one in sources.of("schedule")]
    return "cycle" in told or any(one.cycled for one in sources.optimizers)


def _schedule(sources: SettingSources) -> str:
    """Return the schedule that is declared, or else recorded, empty where none is known."""
    told = [one.value for one in sources.of("schedule") if one.value]
    return str(told[0]) if told else ""


def _nearest(one: Stated, others: tuple[Stated, ...]) -> Stated:
    return min(others, key=lambda other: _times(one, other))


def _times(one: Stated, other: Stated) -> float:
    apart = times(_value(one), _value(other))
    return 1.0 if apart < 1 + CLOSE else apart


def _value(stated: Stated) -> float:
    found = numbers((stated,))
    return found[0] if found else math.nan
