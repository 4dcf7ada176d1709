"""Update ratios summed up: the pace of the model, and that of each of its weights."""

from dataclasses import dataclass

import numpy as np

from auditor.core.statistics import (
    column_quantiles,
    geometric_interval,
    mean_interval,
)
from auditor.core.text import clean_text
from auditor.core.values import Array
from auditor.observations.updates import UpdateRatios

OPENING = 6
"""Steps that count as the opening of a run; half of them where there are fewer than twelve."""

CONFIDENCE = 0.99
"""What a verdict wants, shared out among the weights."""

PEERS = 2
"""Other weights that one has to be compared with."""


@dataclass(frozen=True)
class Span:
    """A ratio with its 95 % interval [low, high], and [least, most], in which it surely lies."""

    value: float
    low: float
    high: float
    least: float
    most: float


@dataclass(frozen=True)
class WeightPace:
    """One weight: its ratio after the opening, and the geometric mean of its opening.

    `apart` is how many decades it is from the median of the other weights, as far as is sure;
    zero where it is not. `opens_apart` is the same of the opening, as it was measured.
    """

    name: str
    ratio: Span
    opening: float
    apart: float
    opens_apart: float
    table: bool


@dataclass(frozen=True)
class Pace:
    """The updates from one start: `steps` is the median weight's ratio at each step, `opening` the
    geometric mean over the first steps, `ratio` the median over the others.
    """

    seen: UpdateRatios
    steps: Array
    weights: tuple[WeightPace, ...]
    opening: float
    ratio: Span


def pace_of(answer: UpdateRatios) -> Pace | None:
    """Return the pace of the weights that are looked at, None where there is none."""
    columns, ratios, first = _looked_at(answer)
    if not columns.size:
        return None
    late = ratios[first:]
    steps = np.nan_to_num(column_quantiles(ratios.T, (0.5,))[0])
    sure = 1 - (1 - CONFIDENCE) / (len(columns) + 1)
    tables = np.asarray(answer.tables or (False,) * len(answer.dimensions), bool)[columns]
    apart = _apart(ratios, first, tables, sure)
    typical = np.nan_to_num(column_quantiles(late, (0.5,))[0])
    weights = tuple(
        WeightPace(
            clean_text(answer.parameters[place]),
            _span(late[:, column], float(typical[column]), sure),
            float(np.nan_to_num(geometric_interval(ratios[:first, column])[0])),
            *apart[column],
            bool(tables[column]),
        )
        for column, place in enumerate(columns)
    )
    ratio = float(np.median(steps[first:]))
    opening = float(np.nan_to_num(geometric_interval(steps[:first])[0]))
    return Pace(answer, steps, weights, opening, _span(steps[first:], ratio, sure))


def typical_ratios(answer: UpdateRatios) -> dict[str, float]:
    """Return the ratio after the opening of each weight that is looked at, NaN if not finite."""
    columns, ratios, first = _looked_at(answer)
    typical = column_quantiles(ratios[first:], (0.5,))[0]
    return {
        answer.parameters[place]: float(typical[column]) for column, place in enumerate(columns)
    }


def _looked_at(answer: UpdateRatios) -> tuple[Array, Array, int]:
    """Return the places of weights that have two dimensions or more and do not start at zero.

    Nor is one looked at that waits for a zero, unless all do: a residual branch whose last scale
    starts at zero (Goyal et al. 2017) hardly moves before that does. With them come their ratios
    [steps, weights] and how many steps are the opening.
    """
    ratios = np.asarray(answer.ratios, float)
    measured = np.isfinite(ratios[:1]).any(axis=0) & (np.asarray(answer.dimensions) >= 2)
    waits = answer.waits if answer.start == "fresh" and answer.waits else (False,) * len(measured)
    ready = measured & ~np.asarray(waits, bool)
    columns = np.flatnonzero(ready if ready.any() else measured)
    ratios = np.where(np.isfinite(ratios), ratios, np.nan)[:, columns]
    return columns, ratios, min(OPENING, len(ratios) // 2)


def _span(values: Array, typical: float, sure: float) -> Span:
    """Return Student's interval of the logarithms; nothing moves where the median step is none."""
    if not typical > 0:
        return Span(0.0, 0.0, 0.0, 0.0, 0.0)
    _, low, high = geometric_interval(values)
    _, least, most = geometric_interval(values, sure)
    pairs = (min(typical, low), max(typical, high), min(typical, least), max(typical, most))
    return Span(typical, *pairs)


def _apart(ratios: Array, first: int, tables: Array, sure: float) -> list[tuple[float, float]]:
    """Return how far each weight is from the median of the others, late and in the opening.

    Step by step, in decades: what moves all weights alike at a step takes no part.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log10(np.where(ratios > 0, ratios, np.nan))
    found = []
    for column in range(logs.shape[1]):
        peers = [c for c in range(logs.shape[1]) if c != column and not tables[c]]
        known = np.isfinite(logs[:, peers]).any(axis=0).sum() if peers else 0
        if known < PEERS:
            found.append((0.0, 0.0))
            continue
        distance = logs[:, column] - column_quantiles(logs[:, peers].T, (0.5,))[0]
        late, early = distance[first:], distance[:first]
        late, early = late[np.isfinite(late)], early[np.isfinite(early)]
        low, high = mean_interval(late, sure)
        bound = low if low > 0 else high if high < 0 else 0.0
        found.append((float(bound), float(early.mean()) if early.size else 0.0))
    return found
