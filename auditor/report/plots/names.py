"""Positions of a horizontal axis that have names: level where there is room, else tilted."""

import math

from auditor.report.plots.frame import GAP, TICKS, Box, draw_x_label
from auditor.report.plots.letters import fitted, text_width
from auditor.report.plots.svg import EDGE, WIDTH, Canvas, segment
from auditor.report.wording import common_start

MOST = 14
LONGEST = 140.0
"""Pixels of the longest name."""
TILT = 32.0
_COS, _SIN = math.cos(math.radians(TILT)), math.sin(math.radians(TILT))


class Names:
    """The names 0, 1, 2 ... of an axis about `width` pixels long, of which some are shown."""

    def __init__(self, names: tuple[str, ...], width: float) -> None:
        self.start = common_start(names)
        self._count = len(names)
        self._stride = math.ceil(len(names) / MOST)
        self._shown = [
            (place, fitted(names[place][len(self.start) :], LONGEST))
            for place in range(0, len(names), self._stride)
        ]
        self._widest = max(text_width(name) for _, name in self._shown)
        self._tilted = self._widest > width / len(self._shown) - GAP

    @property
    def height(self) -> float:
        """Return the room that the names need below the axis."""
        return 14.0 + self._widest * _SIN if self._tilted else 22.0

    @property
    def notes(self) -> tuple[str, ...]:
        """Return the note on names that are not shown."""
        if self._stride == 1:
            return ()
        return (f"Every {_ordinal(self._stride)} of {self._count:,} positions is named.",)

    def left(self, right: float) -> float:
        """Return the least margin at the left with which no name is cut; `right` is the other."""
        if not self._tilted:
            return 0.0
        return max(
            (text_width(name) * _COS + EDGE + 4 - share * (WIDTH - right)) / (1 - share)
            for share, name in ((self._share(place), name) for place, name in self._shown)
        )

    def draw(self, canvas: Canvas, box: Box, label: str) -> None:
        """Draw the axis with its names and its label."""
        canvas.stroke(segment(box.left, box.bottom, box.right, box.bottom), "rule")
        marks = [(box.across(self._share(place)), name) for place, name in self._shown]
        if self._tilted:
            labels = [(x + 2, box.bottom + 11, name) for x, name in marks]
            canvas.texts(labels, anchor="end", turn=-TILT)
        else:
            canvas.texts([(x, box.bottom + TICKS, name) for x, name in marks], anchor="middle")
        draw_x_label(canvas, box, box.bottom + self.height + 11, label)

    def _share(self, place: int) -> float:
        return (place + 0.5) / self._count


def _ordinal(count: int) -> str:
    if count % 100 in {11, 12, 13}:
        return f"{count}th"
    return f"{count}{({1: 'st', 2: 'nd', 3: 'rd'}).get(count % 10, 'th')}"
