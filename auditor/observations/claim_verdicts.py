"""Holding a claim against what was measured: how precisely it was stated, how far it is missed."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

import numpy as np

from auditor.core.text import clean_text
from auditor.observations.claimed import Evidence, measured
from auditor.observations.claims import KNOWN, Quantity, quantity
from auditor.observations.resampled import Measured

SURE = 0.99
"""That a claim does not hold, over all claims together."""

COARSEST = 0.005
"""What the rounding of a share may come to at most: a claim of 0.9 is one of 0.90."""

COARSEST_PART = 0.025
"""The same of any other number, as a part of it."""

TINY = 1e-9

Origin = Literal["spec", "checkpoint"]


@dataclass(frozen=True)
class Unheld:
    """A claim that can't be judged; `reason` is the end of a sentence that begins with its name."""

    name: str
    reason: str


@dataclass(frozen=True)
class Held:
    """A claim beside its measurement.

    `claim` is in the units of the measurement, known to `rounding`. `origin` tells who claims it.
    """

    name: str
    origin: Origin
    claim: float
    rounding: float
    what: Quantity
    seen: Measured

    @property
    def bound(self) -> float:
        """Return the least favourable number that the claim, rounded as it is, may stand for."""
        return self.claim + (-self.rounding if self.what.higher_is_better else self.rounding)

    @property
    def shortfall(self) -> float:
        """Return which part of the claim is missed for sure, not above zero where none is."""
        least, most = self.seen.sure
        gap = self.bound - most if self.what.higher_is_better else least - self.bound
        return gap / max(abs(self.claim), TINY)

    @property
    def stale(self) -> bool:
        """Tell whether the model is surely better than is claimed."""
        least, most = self.seen.sure
        if self.what.higher_is_better:
            return least > self.claim + self.rounding
        return most < self.claim - self.rounding

    def off(self, value: float) -> float:
        """Return a measured value less the claim, as a part of the claim."""
        return (value - self.claim) / max(abs(self.claim), TINY)


def held(
    declared: Mapping[str, float],
    recorded: Mapping[str, float],
    seen: Evidence,
    rng: np.random.Generator,
) -> tuple[Held | Unheld, ...]:
    """Return each claim of the spec, and what the checkpoint records, beside what was measured."""
    claims: list[tuple[Origin, str, float]] = [("spec", *one) for one in declared.items()]
    claims += [("checkpoint", *one) for one in recorded.items()]
    tests = sum(_meant(origin, name) is not None for origin, name, _ in claims)
    confidence = 1 - (1 - SURE) / max(1, tests)
    return tuple(_held(*claim, seen, confidence, rng) for claim in claims)


def _meant(origin: Origin, name: str) -> Quantity | None:
    """Return what a claim is of; a checkpoint's key may stand in others."""
    return quantity(name.rpartition(".")[2] if origin == "checkpoint" else name)


def _held(
    origin: Origin,
    name: str,
    value: float,
    seen: Evidence,
    confidence: float,
    rng: np.random.Generator,
) -> Held | Unheld:
    what, shown = _meant(origin, name), clean_text(name, 60)
    if what is None:
        near = difflib.get_close_matches(name.lower(), KNOWN, n=1)
        hint = f" (nearest: `{near[0]}`)" if near else ""
        return Unheld(shown, f"is no metric that can be measured here{hint}")
    found = measured(what, seen, confidence, rng)
    if isinstance(found, str):
        return Unheld(shown, f"can't be measured: {found}")
    return Held(shown, origin, *stated(value, what), what, found)


def stated(value: float, what: Quantity) -> tuple[float, float]:
    """Return a claim as a share or number, and what it may be off by as it was rounded.

    A share above one is in per cent.
    """
    exponent = Decimal(repr(float(value))).normalize().as_tuple().exponent
    unit = 10.0 ** (exponent if isinstance(exponent, int) else 0) / 2
    if what.share and value > 1:
        value, unit = value / 100, min(unit, 0.5) / 100
    return value, min(unit, COARSEST if what.share else COARSEST_PART * abs(value))
