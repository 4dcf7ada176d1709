"""Looks at the schedule of the learning rate: the spec, the saved state, and logs of training."""

import inspect
import math
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from auditor.core.request import Unavailable
from auditor.intake.declared import flat, kind_of_schedule
from auditor.intake.optimizer import rate_of
from auditor.intake.subject import Subject
from auditor.observations.schedule import Schedule, ScheduleOf, Unit
from auditor.observations.settings import Settings, SettingsOf
from auditor.observations.training_log import TrainingLog
from auditor.observers.settings import settings

LONGEST = 20_000
"""Steps of a schedule that are computed one by one."""
POINTS = 400
"""Points that are kept of a course."""
PER_UPDATE = ("OneCycleLR", "CyclicLR")
"""Schedules that PyTorch's documentation steps once an update."""
PER_EPOCH = 1.5
"""Times the epochs up to which a count of steps is one of epochs."""


def schedule(request: ScheduleOf, subject: Subject) -> Schedule:
    """Return what is known of the schedule of the learning rate."""
    known = settings(SettingsOf(), subject)
    declared = subject.training.schedule
    values: Mapping[str, Any] = known.schedule_state or {}
    source = known.source("schedule_state") or known.source("schedule")
    name = known.schedule
    if isinstance(declared, Mapping):
        # What the state of the same schedule says it did goes before what is declared of it.
        values = {**flat(declared), **values}
        values.pop("name", None)
    if values and known.schedule_state and not name:
        name = kind_of_schedule(values)
    taken, unit = _taken(name, values, known)
    horizon = _horizon(name, values)
    first, last = _rates(known, values)
    group = known.groups[0].values if known.groups else {}
    x, rates = _course(name, {**_one_cycle(name, group), **values}, first, taken, horizon)
    logged_x, logged, log_source = _logged(subject)
    return Schedule(
        name=name,
        source=source,
        values={key: value for key, value in values.items() if not key.startswith("_schedule_p")},
        taken=taken,
        horizon=horizon,
        unit=unit,
        x=x,
        rates=rates,
        first=first,
        last=last,
        logged_x=logged_x,
        logged=logged,
        log_source=log_source,
    )


def _taken(name: str, values: Mapping[str, Any], known: Settings) -> tuple[float | None, Unit]:
    """Return how many steps a schedule made, and what one step is: an epoch or an update."""
    epochs, updates = known.epochs, known.updates
    made = values.get("last_epoch")
    if isinstance(made, int | float) and known.schedule_state:
        made = float(made)
        if epochs is None or not made:
            return made, "steps"
        return made, "epochs" if made <= max(epochs * PER_EPOCH, epochs + 1) else "updates"
    if not name or name == "none":
        return None, ""
    horizon = _horizon(name, values)
    if values.get("interval") in ("step", "epoch"):
        unit: Unit = "updates" if values["interval"] == "step" else "epochs"
    elif name in PER_UPDATE:
        unit = "updates"
    elif horizon and epochs and updates and updates > epochs:
        nearer = abs(math.log(horizon / updates)) < abs(math.log(horizon / epochs))
        unit = "updates" if nearer else "epochs"
    else:
        unit = "epochs"
    return (updates if unit == "updates" else epochs), unit


def _horizon(name: str, values: Mapping[str, Any]) -> float | None:
    """Return how many steps a schedule is laid out for: to its end, or to its last change."""
    milestones = values.get("milestones") or values.get("_milestones")
    if isinstance(milestones, tuple) and milestones:
        return float(max(milestones))
    if name == "OneCycleLR" and values.get("total_steps") is None:
        epochs, each = values.get("epochs"), values.get("steps_per_epoch")
        if isinstance(epochs, int) and isinstance(each, int):
            return float(epochs * each)
    for key in ("T_max", "total_steps", "step_size", "total_iters", "T_0"):
        value = values.get(key)
        if isinstance(value, int | float) and value > 0:
            return float(value)
    return None


def _rates(known: Settings, values: Mapping[str, Any]) -> tuple[float, float]:
    """Return the rates at the start and at the end, of the first group."""
    group = known.groups[0].values if known.groups else {}
    first, last = rate_of(group), math.nan
    if isinstance(group.get("initial_lr"), int | float):
        last = float(group["lr"])  # type: ignore[arg-type]
    kept = values.get("_last_lr")
    if isinstance(kept, tuple) and kept:
        last = kept[0]
    base = values.get("base_lrs")
    if isinstance(base, tuple) and base and known.schedule_state:
        first = base[0]
    return first if first > 0 else math.nan, last


def _one_cycle(name: str, group: Mapping[str, Any]) -> dict[str, float]:
    """Return what OneCycleLR keeps in the optimizer's groups instead of its own state."""
    top, first, least = (group.get(key) for key in ("max_lr", "initial_lr", "min_lr"))
    if name != "OneCycleLR" or not all(isinstance(v, float) and v > 0 for v in (top, first, least)):
        return {}
    assert isinstance(top, float)
    assert isinstance(first, float)
    assert isinstance(least, float)
    return {"max_lr": top, "div_factor": top / first, "final_div_factor": first / least}


def _course(
    name: str, values: Mapping[str, Any], first: float, taken: float | None, horizon: float | None
) -> tuple[Any, Any]:
    """Return steps and rates by the formula of a schedule of torch, none where it has no other."""
    nothing = np.zeros(0), np.zeros(0)
    kind = getattr(torch.optim.lr_scheduler, name, None) if name.isidentifier() else None
    if not isinstance(kind, type) or kind in (torch.optim.lr_scheduler.ReduceLROnPlateau,):
        return nothing
    accepted = inspect.signature(kind).parameters
    arguments = {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in values.items()
        if key in accepted and key not in ("optimizer", "last_epoch", "verbose")
    }
    if "milestones" in arguments:
        arguments["milestones"] = [int(one) for one in arguments["milestones"]]
    ends = [end for end in (taken, horizon if name not in ("StepLR",) else None) if end]
    count = int(min(LONGEST, max(ends, default=0)))
    if not count or not first > 0:
        return nothing
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=first, momentum=0.9)
    rates = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made: Any = kind(optimizer, **arguments)
            for _ in range(count):
                rates.append(float(optimizer.param_groups[0]["lr"]))
                optimizer.step()
                made.step()
    except Exception:  # noqa: BLE001 - a class of torch that wants other arguments, or has an end
        if not rates:
            return nothing
    rates.append(float(optimizer.param_groups[0]["lr"]))
    places = np.unique(np.linspace(0, len(rates) - 1, POINTS).round().astype(int))
    if taken is not None and int(taken) < len(rates):
        places = np.unique(np.append(places, [max(int(taken) - 1, 0), int(taken)]))
    return places.astype(float), np.asarray(rates)[places]


def _logged(subject: Subject) -> tuple[Any, Any, str]:
    """Return steps and rates of the log of training, and where it lies."""
    log = subject.log
    rates = log.named("lr") if isinstance(log, TrainingLog) else None
    if rates is None or isinstance(log, Unavailable):
        return np.zeros(0), np.zeros(0), ""
    known = rates.finite
    return known.x, known.values, f"the log of training, {log.source}"
