"""Trials of learning rates made by hand."""

from typing import Any

import numpy as np

from auditor.observations.rate_trials import Arm, RateRange, RateTrials

RATES = np.geomspace(1e-4, 1.0, 13)


def arm(kind: str, rate: float, end: float, spread: float = 0.001, **more: Any) -> Arm:
    """Return three runs that end at a loss, each probe a little off it; `peak` is on the way."""
    probes = end + spread * np.linspace(-1, 1, 12).reshape(3, 4)
    curve = np.linspace(more.get("first", 1.0), end, 7)
    curve[2] = more.get("peak", curve[2])
    return Arm(kind, rate, np.tile(curve, (3, 1)), probes)  # type: ignore[arg-type]


def curve_to(edge: float, start: float = 1.0, fall: float = 0.5) -> RateRange:
    """Return a range test whose loss falls up to a rate and grows beyond it."""
    place = int(np.argmin(np.abs(np.log(RATES / edge))))
    row = np.full(RATES.size, float(start))
    row[: place + 1] -= fall * np.linspace(0, 1, place + 1) ** 4
    row[place + 1] = row[place]
    row[place + 2 :] = start * np.geomspace(4, 50, RATES.size - place - 2)
    return RateRange(RATES, np.tile(row, (3, 1)), np.full(3, start), ("loss", "loss", "end"))


def trials(start: str, level: float, *arms: Arm, **more: Any) -> RateTrials:
    usual = next((one for one in arms if one.kind == "declared"), None)
    settings: dict[str, Any] = {
        "optimizer": "SGD(lr=0.01)",
        "declared": usual.rate if usual is not None else 0.01,
        "instead": "",
        "groups": 1,
        "adaptive": False,
        "momentum": 0.9,
        "restored": False,
        "range": curve_to(0.1, level),
        "before": np.full((3, 4), float(level)),
        "steps": 7,
    }
    return RateTrials(start=start, arms=arms, **{**settings, **more})  # type: ignore[arg-type]
