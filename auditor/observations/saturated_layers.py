"""How much of each squashing or recurrent layer is at an end of its range, and how bad it is."""

from dataclasses import dataclass, replace

import numpy as np

from auditor.core.check import Limits
from auditor.core.finding import Limit
from auditor.core.statistics import clopper_pearson
from auditor.core.text import clean_text
from auditor.core.values import Array
from auditor.core.verdict import Verdict, worst
from auditor.observations.saturation import Saturation, SquashedLayer

STUCK = 0.99
"""Share of a unit's values at one end, or of a head's queries, that counts as always."""

FEWEST_STUCK_TO_WARN, FEWEST_STUCK_TO_FAIL = 2, 4
"""Stuck units of a layer from which on their share can warn, and fail."""

NEARLY_ALL = 0.9
"""Share of a layer's units from which on a gate at its end is no longer what some have learnt."""


@dataclass(frozen=True)
class Layer:
    """A squashing layer, or a recurrent one with its gates, and how it is at its ends."""

    name: str
    kind: str
    parts: tuple[SquashedLayer, ...]
    stuck: Array
    saturated: float
    low: float
    high: float

    @property
    def share(self) -> float:
        """Return the share of units that are stuck."""
        return float(np.mean(self.stuck))


def layers_of(found: Saturation) -> list[Layer]:
    """Return what is squashed inside the model, the gates of one recurrent layer together."""
    grouped: dict[tuple[str, str, int], list[SquashedLayer]] = {}
    for part in found.squashed:
        if part.count and part.units and not part.output:
            grouped.setdefault((part.layer, part.cell, part.units), []).append(part)
    layers = []
    for (name, cell, _), parts in grouped.items():
        share = float(np.mean([(p.low + p.high).mean() / p.count for p in parts]))
        trials = min(found.examples, parts[0].count)
        low, high = clopper_pearson(min(trials, round(share * trials)), trials)
        stuck = _blocked(parts) if cell else stuck_low(parts[0]) | stuck_high(parts[0])
        layers.append(
            Layer(
                clean_text(name),
                clean_text(cell or parts[0].kind),
                tuple(parts),
                stuck,
                share,
                min(low, share),
                max(high, share),
            )
        )
    return layers


def stuck_low(part: SquashedLayer) -> Array:
    """Tell of each unit whether it always is at the lower end of its range."""
    return np.asarray(part.low / part.count > STUCK)


def stuck_high(part: SquashedLayer) -> Array:
    """Tell of each unit whether it always is at the upper end of its range."""
    return np.asarray(part.high / part.count > STUCK)


def _blocked(parts: list[SquashedLayer]) -> Array:
    """Return the units of a recurrent layer that their gates cut off."""
    gates = {part.gate: part for part in parts}
    shut = np.logical_and.reduce([stuck_low(part) | stuck_high(part) for part in parts])
    for gate in ("output", "input"):
        if gate in gates:
            shut = shut | stuck_low(gates[gate])
    if "update" in gates:
        shut = shut | stuck_high(gates["update"])
    for gate in ("forget", "update", "cell", "new"):
        if gate in gates:
            held = stuck_low(gates[gate])
            held = held | stuck_high(gates[gate]) if gates[gate].kind == "tanh" else held
            shut = shut | (held & (held.mean() >= NEARLY_ALL))
    return np.asarray(shut)


def limit_on_values(layer: Layer, limits: Limits) -> Limit:
    """Return the limit for saturated values; hard ends are there to be used, and warn at most."""
    if layer.parts[0].cell:
        return limits["saturated_gates"]
    limit = limits["saturated_share"]
    hard = any(part.kind.startswith(("hard", "relu")) for part in layer.parts)
    return replace(limit, warn=limit.fail, fail=None) if hard else limit


def verdict_on(layer: Layer, limits: Limits) -> Verdict:
    """Judge a layer by its saturated values and by its stuck units."""
    limit, count = limit_on_values(layer, limits), min(p.count for p in layer.parts)
    trials = max(1, count // max(1, len(layer.parts)))
    low, high = clopper_pearson(round(layer.saturated * trials), trials, 0.99)
    full = limit.verdict(layer.saturated, low, high)
    if full is Verdict.WARN and limit.warn is not None and low <= limit.warn:
        full = Verdict.PASS
    stuck = int(np.count_nonzero(layer.stuck))
    always = limits["stuck_share"].verdict(layer.share)
    if stuck < FEWEST_STUCK_TO_WARN:
        always = Verdict.PASS
    elif stuck < FEWEST_STUCK_TO_FAIL and always is Verdict.FAIL:
        always = Verdict.WARN
    return worst((full, always))
