"""Which of very many layers a figure shows: the worst ones, in the model's own order."""

from collections.abc import Sequence

import numpy as np

MOST = 40
"""Layers that a plot can show with readable names."""


def foremost(badness: Sequence[float], most: int = MOST) -> list[int]:
    """Return the places of the `most` worst, in ascending order; NaN counts as the worst of all."""
    ranks = np.nan_to_num(np.asarray(badness, float), nan=np.inf)
    return sorted(int(place) for place in np.argsort(-ranks, kind="stable")[:most])


def reading_order(badness: Sequence[float]) -> tuple[list[int], str]:
    """Return the places of all rows of a table, and what its caption says of their order.

    It is the model's own; of more rows than stand on a page the worst come first.
    """
    if len(badness) <= MOST:
        return list(range(len(badness))), ""
    ranks = np.nan_to_num(np.asarray(badness, float), nan=np.inf)
    return [int(place) for place in np.argsort(-ranks, kind="stable")], " Worst first."


def how_many(shown: int, total: int, what: str = "layers") -> str:
    """Return the sentence of a caption that says what was left out; empty where nothing was."""
    return "" if shown >= total else f" Shown are the {shown:,} worst of {total:,} {what}."
