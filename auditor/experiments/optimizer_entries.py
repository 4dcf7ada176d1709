"""Who races: the declared optimizer, as it is, mended or at other rates, and its rivals."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import nn

from auditor.experiments.declared_optimizer import Declared
from auditor.observations.optimizer_race import Heat, Kind
from auditor.observations.optimizer_rule import ADAM
from auditor.observations.optimizer_rules import mended

MOMENTUM = 0.9
SGD_REACH = (0.05, 0.5, 5.0)
"""Rates of SGD, each divided by 1 - momentum."""

RATES: Mapping[str, tuple[float, ...]] = {
    **dict.fromkeys((*ADAM, "Adamax", "Adafactor", "SparseAdam"), (5e-4, 3e-3, 2e-2)),
    "RMSprop": (1e-4, 1e-3, 1e-2),
    "Rprop": (1e-4, 1e-3, 1e-2),
    "Adagrad": (5e-3, 3e-2, 2e-1),
    "Adadelta": (0.1, 1.0, 10.0),
}
FACTORS = (0.1, 10.0, 100.0)
"""What the own rate of an optimizer of another kind is multiplied by."""

Build = Callable[[nn.Module, float], torch.optim.Optimizer]


@dataclass(frozen=True)
class Entry:
    """One that wants to race: `rates` are tried, the first one where only one is given."""

    kind: Kind
    name: str
    build: Build
    rates: tuple[float, ...]


def entries_of(own: Declared | None, *, half: bool) -> list[Entry]:
    """Return all that race: the declared optimizer, mended where it needs be, and others.

    `half` tells whether there are weights in float16, in which AdamW's usual eps is 0.
    """
    entries = []
    twins: set[str] = set()
    if own is not None:
        change = mended(own.hits)
        odd_rate = any(h.rule.setting == "lr" and h.rule.level != "info" for h in own.hits)
        usual = _rates_of(own)
        if change or odd_rate:
            entries.append(Entry("declared", own.name, own.build, (own.rate,)))
            rates = usual if odd_rate else (own.rate,)
            entries.append(Entry("mended", own.changed(change), own.mended(change), rates))
        else:
            rates = tuple(dict.fromkeys((own.rate, *usual)))
            entries.append(Entry("declared", own.name, own.build, rates))
            twins = _twins(own)
    if "SGD" not in twins:
        rates = tuple(reach * (1 - MOMENTUM) for reach in SGD_REACH)
        entries.append(Entry("SGD", "SGD with Nesterov momentum 0.9", _sgd, rates))
    if "AdamW" not in twins:
        build = _adamw_half if half else _adamw
        entries.append(Entry("AdamW", "AdamW", build, RATES["AdamW"]))
    return entries


def _rates_of(own: Declared) -> tuple[float, ...]:
    if own.kind in ("SGD", "ASGD"):
        momentum = own.momentum if 0 <= own.momentum < 1 else 0.0
        return tuple(round(reach * (1 - momentum), 12) for reach in SGD_REACH)
    return RATES.get(own.kind, tuple(own.rate * factor for factor in FACTORS))


def _twins(own: Declared) -> set[str]:
    """Return the rivals that the declared optimizer is itself, but for its rate."""
    if own.kind in ADAM:
        return {"AdamW"}
    return {"SGD"} if own.kind == "SGD" and 0.8 <= own.momentum < 0.99 else set()


def finalists(chosen: list[tuple[Entry, float]], heats: list[Heat]) -> list[tuple[Entry, float]]:
    """Return those that race, three at most, so that all get the same number of steps.

    The declared optimizer is there as it is, and mended or at the best of its rates; beside both
    there is room for the better of the others only.
    """
    own = [one for one in chosen if one[0].kind == "declared"]
    second = [one for one in chosen if one[0].kind == "mended"]
    for entry, rate in own:
        if rate != entry.rates[0]:
            own, second = [(entry, entry.rates[0])], [(replace(entry, kind="retuned"), rate)]
    rivals = [
        (math.inf if math.isnan(loss := heat.losses[heat.chosen]) else loss, place)
        for place, heat in enumerate(heats)
        if heat.kind in ("SGD", "AdamW")
    ]
    rivals = sorted(rivals)[: 1 if own and second else None]
    return [*own, *second, *(chosen[place] for _, place in sorted(rivals, key=lambda r: r[1]))]


def _sgd(model: nn.Module, rate: float) -> torch.optim.Optimizer:
    return torch.optim.SGD(_trained(model), lr=rate, momentum=MOMENTUM, nesterov=True)


def _adamw(model: nn.Module, rate: float) -> torch.optim.Optimizer:
    return torch.optim.AdamW(_trained(model), lr=rate)


def _adamw_half(model: nn.Module, rate: float) -> torch.optim.Optimizer:
    return torch.optim.AdamW(_trained(model), lr=rate, eps=1e-4)


def _trained(model: nn.Module) -> list[nn.Parameter]:
    return [p for p in model.parameters() if p.requires_grad]
