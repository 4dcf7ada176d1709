"""What the targets say the task is, read off their numbers."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from auditor.core.statistics import clopper_pearson, rule_of_three
from auditor.core.values import Array

CONFIDENCE = 0.99
"""Of what is called a misfit: a report holds some 25 checks."""

SUMS_TO_ONE = 5e-3
"""How far from 1 the sum of a row of probabilities may be: half precision, a thousand classes."""

MOST_CLASSES = 64
"""Distinct whole numbers up to which a single target may be a class index."""

OTHERS = 0.1
"""Share of rows not seen so far that may break the rule of all rows seen."""

ENOUGH = math.ceil(math.log(1 - CONFIDENCE) / math.log(1 - OTHERS))
"""Rows of one kind after which at most `OTHERS` of all are of another, at `CONFIDENCE`."""

SEVERAL = 0.01
"""Share of rows with several 1s above which labels are no exclusive classes with errors in them."""

Truth = Literal[
    "classes", "exclusive", "labels", "binary", "whole numbers", "shares", "numbers", "unknown"
]
Sure = Literal["certain", "likely", "open"]


@dataclass(frozen=True)
class Task:
    """What the targets are: `truth`, with how sure that is and why, in words."""

    truth: Truth
    sure: Sure
    words: str
    width: int = 0


def task_of(targets: Array, classes: bool) -> Task:
    """Return what the targets say the task is, from their numbers alone."""
    values = np.asarray(targets, float)
    rows = len(values)
    if not values.size or not np.isfinite(values).all():
        return Task("unknown", "open", "the targets can't be read")
    if classes:
        seen = len(np.unique(values))
        return Task("classes", "certain", f"each target is one whole number, {seen:,} of them seen")
    table = values.reshape(rows, -1)
    width = table.shape[1]
    distinct = np.unique(table)
    whole = np.array_equal(distinct, np.round(distinct))
    if width > 1 and np.isin(distinct, (0.0, 1.0)).all():
        return _labels(table)
    if width > 1 and (table >= 0).all() and np.abs(table.sum(axis=1) - 1).max() <= SUMS_TO_ONE:
        return Task("shares", "certain", "each row of targets sums to one", width)
    if width == 1 and whole and len(distinct) == 2:
        low, high = distinct
        sure: Sure = "certain" if rows >= ENOUGH else "likely"
        return Task("binary", sure, f"every target is {low:g} or {high:g}", 1)
    if width == 1 and np.isin(distinct, (0.0, 1.0)).all():
        return Task("binary", "open", f"every target is {distinct[0]:g}", 1)
    if width == 1 and whole and len(distinct) > 2:
        return _whole_numbers(table[:, 0], distinct)
    return Task("numbers", "certain", f"the targets take {len(distinct):,} values", width)


def beyond_labels(targets: Array) -> tuple[str, str] | None:
    """Return "-1 to 1" where targets leave 0 to 1, and the code that brings them there, else None.

    Two values become 0 and 1; of others what is above 0 becomes 1.
    """
    known = np.asarray(targets, float)
    known = known[np.isfinite(known)]
    if not known.size or (known.min() >= 0 and known.max() <= 1):
        return None
    two = np.unique(known)
    least = two[0] if len(two) == 2 else 0.0
    return f"{known.min():.3g} to {known.max():.3g}", f"(target > {least:g}).float()"


def _labels(table: Array) -> Task:
    """Return whether rows of 0s and 1s are exclusive classes or several labels."""
    ones, (rows, width) = table.sum(axis=1), table.shape
    if (ones == 1).all():
        words = (
            f"each of {rows:,} rows holds exactly one 1, so fewer than {rule_of_three(rows):.2g} "
            "of all rows can hold another number of them (at 95 %)"
        )
        return Task("exclusive", "certain" if rows >= ENOUGH else "likely", words, width)
    several = int((ones > 1).sum())
    if not several:
        words = f"no row holds more than one 1, and {(ones == 0).mean():.0%} hold none"
        return Task("labels", "open", words, width)
    low, _ = clopper_pearson(several, rows, CONFIDENCE)
    words = f"{several / rows:.0%} of the rows hold several 1s"
    return Task("labels", "certain" if low > SEVERAL else "open", words, width)


def _whole_numbers(values: Array, distinct: Array) -> Task:
    """Return whether whole numbers may be classes: from 0 or 1 on, none of them rare.

    Counts thin out towards their largest value; classes that were collected to be told apart do
    not. Where they start at 0 and are about equally frequent that is likely, never certain.
    """
    first, count = int(distinct[0]), len(distinct)
    if count > MOST_CLASSES or first not in (0, 1) or distinct[-1] != first + count - 1:
        return Task("numbers", "certain", f"the targets take {count:,} whole values", 1)
    shares = np.bincount(values.astype(int) - first) / len(values)
    words = f"the targets are the whole numbers {first} to {first + count - 1}"
    if shares.min() >= 0.5 / count and len(values) >= 10 * count and first == 0:
        return Task("whole numbers", "likely", f"{words}, about equally often", 1)
    if shares.min() >= 0.1 / count:
        return Task("whole numbers", "open", words, 1)
    return Task("numbers", "certain", f"{words} and thin out, as counts do", 1)
