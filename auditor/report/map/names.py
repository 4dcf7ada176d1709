"""Names on the map: several layers in one name, and the stages that a deep network is made of."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from auditor.report.plots.letters import text_width

DEEPEST = 12
"""Parts of a dotted name that are looked at."""


@dataclass(frozen=True)
class Stage:
    """Neighbouring layers, `first` to `last` by place, under one name."""

    first: int
    last: int
    name: str


def span_name(first: str, last: str) -> str:
    """Return "blocks.10–23" for what reaches from `blocks.10.fc` to `blocks.23.act`."""
    if first == last:
        return first
    one, other = first.split("."), last.split(".")
    same = next(
        (i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b),
        min(len(one), len(other)),
    )
    if same == min(len(one), len(other)):
        return ".".join(one[:same])
    if one[same].isdigit() and other[same].isdigit():
        return ".".join([*one[:same], f"{one[same]}–{other[same]}"])
    return f"{first} … {'.'.join(other[same:])}"


def stages_of(names: Sequence[str], most: int) -> tuple[Stage, ...]:
    """Return stages by the dotted starts that neighbours share, `most` at most.

    They go as deep as there is room for. What is long even so, as a plain row of numbered layers,
    is cut into bands of about equal size.
    """
    parts = [name.split(".") for name in names]
    depth, runs = 0, [(0, len(names) - 1)]
    for deeper in range(1, DEEPEST):
        found = _runs(parts, deeper, 0, len(names) - 1)
        if len(found) > most:
            break
        depth, runs = deeper, found
    stages = []
    for first, last in runs:
        inner = _runs(parts, depth + 1, first, last)
        many = max(1, min(len(inner), (last + 1 - first) * most // (2 * len(names))))
        deep = depth + (many > 1)
        for band in np.array_split(np.asarray(inner), many):
            one, other = int(band[0][0]), int(band[-1][1])
            name = span_name(".".join(parts[one][:deep]), ".".join(parts[other][:deep]))
            stages.append(Stage(one, other, name))
    return tuple(stages)


def _runs(
    parts: Sequence[Sequence[str]], depth: int, first: int, last: int
) -> list[tuple[int, int]]:
    """Return first and last place of each run of equal starts between two places."""
    cuts = [
        place
        for place in range(first + 1, last + 1)
        if parts[place][:depth] != parts[place - 1][:depth]
    ]
    return list(zip([first, *cuts], [*(cut - 1 for cut in cuts), last], strict=True))


def ending(text: str, width: float, size: float) -> str:
    """Return a text cut at its start to what stands in `width` in letters of `size` pixels."""
    shown = text
    while len(shown) > 2 and text_width(shown, size=size) > width:
        shown = f"…{shown.removeprefix('…')[1:]}"
    return shown
