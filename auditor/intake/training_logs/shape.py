"""From the rows of a log to the series of a run."""

import math
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from auditor.core.text import clean_text, listed
from auditor.core.values import Array
from auditor.intake.training_logs.axis import Axis, axis_of
from auditor.intake.training_logs.names import Meaning, meaning_of
from auditor.intake.training_logs.table import LogTable, Row
from auditor.observations.training_log import LoggedSeries, TrainingLog

MOST_POINTS = 20_000
"""Values kept of one series."""
MOST_SERIES = 16
LARGEST = 1e30
"""Size of a value from which on it counts as infinite."""
FIRST = ("train_loss", "val_loss", "lr", "grad_norm")
"""Series that are kept before any other."""


def log_of_table(table: LogTable, source: str) -> TrainingLog:
    """Return the run that a table of rows tells of."""
    columns = _columns(_without_blanks(table.rows))
    axis = axis_of(table.rows, tuple(columns))
    notes = [*table.notes, *axis.notes]
    read = [
        (meaning, series)
        for name, (places, values) in columns.items()
        if name not in axis.columns
        and (meaning := meaning_of(name)) is not None
        and (series := _series(name, np.asarray(places), np.asarray(values), axis, notes))
    ]
    chosen, left = _chosen(read)
    chosen = [one for one in chosen if one.name.startswith(("train_", "val_")) or one.name in FIRST]
    if left:
        notes.append(f"Not used, for others tell the same: {listed(left, 4)}.")
    ordered = sorted(chosen, key=lambda s: FIRST.index(s.name) if s.name in FIRST else len(FIRST))
    return TrainingLog(
        source=source,
        format=table.format,
        unit=axis.unit,
        series=tuple(ordered[:MOST_SERIES]),
        columns=tuple(clean_text(name, 60) for name in list(columns)[:MOST_SERIES]),
        notes=tuple(dict.fromkeys(notes)),
    )


def _without_blanks(rows: tuple[Row, ...]) -> tuple[Row, ...]:
    """Return rows of which the last has no NaN beside a loss that it tells.

    It is of an evaluation at the end of training, of other data: weights that were lost would have
    made that one NaN as well.
    """
    *before, last = rows or ({},)
    losses = {name for name in last if (m := meaning_of(name)) is not None and m.quantity == "loss"}
    if not any(math.isfinite(last[name]) for name in losses):
        return rows
    told = {k: v for k, v in last.items() if not (k in losses and math.isnan(v))}
    return (*before, told)


def _columns(rows: tuple[Row, ...]) -> dict[str, tuple[list[int], list[float]]]:
    """Return of each column the rows that have it, and their values."""
    found: dict[str, tuple[list[int], list[float]]] = {}
    for place, row in enumerate(rows):
        for name, value in row.items():
            places, values = found.setdefault(name, ([], []))
            places.append(place)
            values.append(value)
    return found


def _series(
    column: str, places: Array, values: Array, axis: Axis, notes: list[str]
) -> LoggedSeries | None:
    x, epochs = axis.x[places], axis.epochs[places]
    kept = np.isfinite(x)
    values = np.where(values > LARGEST, np.inf, np.where(values < -LARGEST, -np.inf, values))
    if _is_empty_cell(values):
        kept &= ~np.isnan(values)
        notes.append(f"NaN in {clean_text(column, 60)!r} comes and goes: taken for empty cells.")
    kept &= ~(np.isnan(values) & (np.isin(x, x[np.isfinite(values)]) | _not_yet(values)))
    x, values, epochs = x[kept], values[kept], epochs[kept]
    if axis.unit == "epochs":
        x = _within_epochs(x)
    order = _newest(x)
    if len(order) < len(x):
        said = f"Told more than once, as by a run that was resumed: {clean_text(column, 60)!r}; "
        notes.append(said + "the last telling counts.")
    x, values, epochs = x[order], values[order], epochs[order]
    if len(x) > MOST_POINTS:
        places_kept = np.unique(np.linspace(0, len(x) - 1, MOST_POINTS).round().astype(int))
        x, values, epochs = x[places_kept], values[places_kept], epochs[places_kept]
        notes.append(f"Of longer series {MOST_POINTS:,} values are kept, evenly spread.")
    if not len(x):
        return None
    return LoggedSeries("", clean_text(column, 80), x, values, epochs)


def _is_empty_cell(values: Array) -> bool:
    """Tell whether NaN stands for an empty cell, as where a table is written with them.

    A loss that has become NaN stays so, or comes back once; an empty cell comes again and again,
    or at a place of which the value is told elsewhere.
    """
    unknown = np.isnan(values)
    return int((unknown[:-1] & ~unknown[1:]).sum()) > 1


def _not_yet(values: Array) -> Array:
    """Tell which NaN stand before the first number: nothing had been measured by then.

    A loss that is NaN at the first step stays so.
    """
    known = ~np.isnan(values)
    none: Array = np.cumsum(known) == 0
    return none & known.any()


def _within_epochs(x: Array) -> Array:
    """Spread values of one epoch, where a log tells several in a row, evenly over it."""
    starts = np.flatnonzero(np.r_[True, x[1:] != x[:-1]]) if len(x) else np.zeros(0, int)
    lengths = np.diff(np.r_[starts, len(x)])
    if not len(starts) or float(np.median(lengths)) < 2:
        return x
    run = np.repeat(np.arange(len(starts)), lengths)
    spread: Array = x + (np.arange(len(x)) - starts[run]) / lengths[run]
    return spread


def _newest(x: Array) -> list[int]:
    """Return the places of values to keep: where a log goes back, what it tells anew counts."""
    kept: list[int] = []
    for place, at in enumerate(x.tolist()):
        while kept and x[kept[-1]] >= at:
            kept.pop()
        kept.append(place)
    return kept


def _chosen(read: Iterable[tuple[Meaning, LoggedSeries]]) -> tuple[list[LoggedSeries], list[str]]:
    """Give each series its canonical name; of several for one name the one with most values wins.

    A test split stands for validation where there is none. Of quantities without a split the loss
    is that of training, and a metric too where validation has it.
    """
    found = list(read)
    splits = {meaning.split for meaning, _ in found}
    if "val" not in splits and "test" in splits:
        found = [(replace(m, split="val") if m.split == "test" else m, s) for m, s in found]
    of_val = {m.quantity for m, _ in found if m.split == "val"}
    ranked: dict[str, list[tuple[tuple[float, ...], LoggedSeries]]] = {}
    for place, (meaning, series) in enumerate(found):
        name = _canonical(meaning, of_val)
        rank = (not meaning.whole, -len(series.x), meaning.tail != "epoch", place)
        ranked.setdefault(name, []).append((rank, series))
    chosen, left = [], []
    for name, rivals in ranked.items():
        rivals.sort(key=lambda rival: rival[0])
        whole = not rivals[0][0][0]
        if name.endswith("_loss") and not whole and len(rivals) > 1:
            left += [series.column for _, series in rivals]  # terms, and no sum of them
            continue
        chosen.append(replace(rivals[0][1], name=name))
        left += [series.column for _, series in rivals[1:]]
    return chosen, left


def _canonical(meaning: Meaning, of_val: set[str]) -> str:
    if meaning.quantity in ("lr", "grad_norm"):
        return meaning.quantity
    split = meaning.split
    if not split and (meaning.quantity == "loss" or meaning.quantity in of_val):
        split = "train"
    return f"{split}_{meaning.quantity}" if split else meaning.quantity


def last_place(log: TrainingLog) -> float:
    """Return how far a log goes, NaN where it tells nothing."""
    return max((float(one.x[-1]) for one in log.series if len(one.x)), default=math.nan)


def first_place(log: TrainingLog) -> float:
    """Return where a log begins, NaN where it tells nothing."""
    return min((float(one.x[0]) for one in log.series if len(one.x)), default=math.nan)
