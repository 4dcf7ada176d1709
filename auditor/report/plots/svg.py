"""A small writer of SVG: paths, text and pictures in the colours of a theme.

Looks are presentation attributes, never a `style` attribute, which the page's
content-security policy would refuse. There are no ids. Equal drawings give equal bytes.
"""

import base64
from collections.abc import Iterable
from html import escape
from typing import Literal

from auditor.report.plots.letters import SMALL, fitted, text_width
from auditor.report.theme import Theme

WIDTH = 720.0
"""Width of every plot, in units that are CSS pixels where there is room."""
EDGE = 2.0
"""Text keeps this far from the sides."""
RISE = 0.36
"""From the middle of a line of text down to its base, in parts of its size."""

Anchor = Literal["start", "middle", "end"]
Point = tuple[float, float]
Label = tuple[float, float, str]
_BEFORE: dict[Anchor, float] = {"start": 0.0, "middle": 0.5, "end": 1.0}


class Canvas:
    """A drawing as it grows; what comes later covers what came before.

    A colour is the name of a role, or is written as "#rrggbb".
    """

    def __init__(self, height: float, theme: Theme) -> None:
        self.height = height
        self._theme = theme
        self._parts: list[str] = []

    def fill(self, shape: str, colour: str, opacity: float = 1.0) -> None:
        """Fill a path."""
        if shape:
            self._parts.append(f'<path d="{shape}"{self._painted("fill", colour, opacity)}/>')

    def stroke(
        self,
        shape: str,
        colour: str,
        width: float = 1.0,
        *,
        dashes: str = "",
        opacity: float = 1.0,
        cap: Literal["butt", "round"] = "butt",
        fill: str = "none",
    ) -> None:
        """Draw along a path, and fill it where `fill` is a colour."""
        if not shape:
            return
        look = self._painted("fill", fill) + self._painted("stroke", colour, opacity)
        look += f' stroke-width="{short(width)}"' if width != 1 else ""
        look += f' stroke-dasharray="{dashes}"' if dashes else ""
        look += f' stroke-linecap="{cap}"' if cap != "butt" else ""
        self._parts.append(f'<path d="{shape}"{look}/>')

    def text(
        self,
        x: float,
        y: float,
        words: str,
        colour: str = "muted",
        anchor: Anchor = "start",
        *,
        bold: bool = False,
        turn: float = 0.0,
    ) -> None:
        """Write a line of text whose middle is at the height `y`, turned by degrees about there."""
        self.texts([(x, y, words)], colour, anchor, bold=bold, turn=turn)

    def texts(
        self,
        labels: Iterable[Label],
        colour: str = "muted",
        anchor: Anchor = "start",
        *,
        bold: bool = False,
        turn: float = 0.0,
    ) -> None:
        """Write lines of text that look the same; level ones are kept within the sides."""
        look = "" if colour == "muted" else self._painted("fill", colour)
        look += "" if anchor == "start" else f' text-anchor="{anchor}"'
        look += ' font-weight="bold"' if bold else ""
        written = [self._line(label, anchor, bold, turn) for label in labels if label[2]]
        if len(written) == 1:
            self._parts.append(f"<text{look}{written[0]}")
        elif written:
            lines = "".join(f"<text{line}" for line in written)
            self._parts.append(f"<g{look}>{lines}</g>")

    def picture(self, x: float, y: float, width: float, height: float, png: bytes) -> None:
        """Place a picture whose pixels become sharp cells."""
        data = base64.b64encode(png).decode("ascii")
        place = _attributes(x=x, y=y, width=width, height=height)
        self._parts.append(
            f'<image{place} preserveAspectRatio="none" image-rendering="pixelated" '
            f'href="data:image/png;base64,{data}"/>'
        )

    def svg(self, label: str) -> str:
        """Return the whole drawing, `label` its text for those who can't see it."""
        font = f' font-family="{escape(self._theme.font)}"' if self._theme.font else ""
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="plot" '
            f'viewBox="0 0 {short(WIDTH)} {short(self.height)}" role="img" '
            f'aria-label="{escape(label)}"{font} font-size="{short(SMALL)}" '
            f'stroke-linejoin="round"{self._painted("fill", "muted")}>{"".join(self._parts)}</svg>'
        )

    def _line(self, label: Label, anchor: Anchor, bold: bool, turn: float) -> str:
        x, y, words = label
        middle = y
        if not turn:
            words = fitted(words, WIDTH - 2 * EDGE, bold=bold)
            long = text_width(words, bold=bold)
            before = _BEFORE[anchor] * long
            x = min(max(x, EDGE + before), WIDTH - EDGE - long + before)
        place = _attributes(x=x, y=y + RISE * SMALL)
        if turn:
            place += f' transform="rotate({short(turn)} {short(x)} {short(middle)})"'
        return f"{place}>{escape(words, quote=False)}</text>"

    def _painted(self, how: str, colour: str, opacity: float = 1.0) -> str:
        value = colour if colour == "none" or colour.startswith("#") else self._theme[colour]
        clear = f' {how}-opacity="{short(opacity, 2)}"' if opacity < 1 else ""
        return f' {how}="{value}"{clear}'


def _attributes(**values: float) -> str:
    return "".join(f' {name}="{short(value)}"' for name, value in values.items())


def short(value: float, digits: int = 1) -> str:
    """Return a number with at most so many decimals, and no more of them than it needs."""
    text = f"{value:.{digits}f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def joined(points: Iterable[Point]) -> str:
    """Return the path from point to point; a single one is a dot where caps are round."""
    places = [f"{short(x)} {short(y)}" for x, y in points]
    return f"M{' '.join(places)}{'h0' if len(places) == 1 else ''}" if places else ""


def segment(x: float, y: float, to_x: float, to_y: float) -> str:
    """Return the path of a straight line."""
    return joined(((x, y), (to_x, to_y)))


def outline(points: Iterable[Point]) -> str:
    """Return the path around an area."""
    shape = joined(points)
    return f"{shape}z" if shape else ""


def block(x: float, y: float, width: float, height: float) -> str:
    """Return the path of a rectangle."""
    wide, tall = short(width), short(height)
    return f"M{short(x)} {short(y)}h{wide}v{tall}h{short(-width)}z"


def cross(x: float, y: float, reach: float = 3.0) -> str:
    """Return the path of a ×."""
    return segment(x - reach, y - reach, x + reach, y + reach) + segment(
        x - reach, y + reach, x + reach, y - reach
    )
