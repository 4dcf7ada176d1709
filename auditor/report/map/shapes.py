"""What a drawing of the map is made of, and how wide its parts are on each page."""

from dataclasses import dataclass
from typing import Literal

from auditor.core.verdict import Verdict

Anchor = Literal["start", "middle", "end"]


@dataclass(frozen=True)
class Text:
    """Words, from their baseline."""

    x: float
    y: float
    text: str
    size: float
    role: str = "ink"
    anchor: Anchor = "start"
    bold: bool = False


@dataclass(frozen=True)
class Path:
    """A line or, with `filled`, an area, in the colour of a role."""

    d: str
    role: str
    width: float = 1.0
    opacity: float = 1.0
    dashes: str = ""
    filled: bool = False


@dataclass(frozen=True)
class Icon:
    """The sign of a verdict, from its upper left corner."""

    x: float
    y: float
    size: float
    verdict: Verdict


@dataclass(frozen=True)
class Link:
    """A box that leads to a finding."""

    x: float
    y: float
    width: float
    height: float
    target: str
    title: str


@dataclass(frozen=True)
class Drawing:
    """A drawing, or a piece of one that would not stand on a page, from back to front."""

    width: float
    height: float
    paths: tuple[Path, ...]
    icons: tuple[Icon, ...]
    texts: tuple[Text, ...]
    links: tuple[Link, ...]


@dataclass(frozen=True)
class Shape:
    """Room for the parts of a map, in the units of its drawing.

    A column of no width is left out. With `words` verdicts are written out, and layers that are
    called out are named. `piece` is the most layers that stand under one another on a page, `body`
    the height of all layers where these are too many to be named.
    """

    width: float
    row: float
    piece: int
    body: float
    names: float
    kinds: float
    outputs: float
    verdicts: float
    stages: float
    callouts: float
    gap: float
    size: float
    words: bool


WIDE = Shape(
    width=880, row=21, piece=60, body=1100, names=160, kinds=116, outputs=82, verdicts=134,
    stages=150, callouts=300, gap=16, size=12, words=True,
)  # fmt: skip
NARROW = Shape(
    width=352, row=21, piece=60, body=1100, names=108, kinds=0, outputs=0, verdicts=48,
    stages=66, callouts=58, gap=8, size=11, words=False,
)  # fmt: skip
PAPER = Shape(
    width=720, row=18, piece=44, body=840, names=132, kinds=96, outputs=70, verdicts=112,
    stages=116, callouts=250, gap=13, size=11, words=True,
)  # fmt: skip


class Canvas:
    """Collects the parts of a drawing."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.paths: list[Path] = []
        self.icons: list[Icon] = []
        self.texts: list[Text] = []
        self.links: list[Link] = []

    def finished(self, height: float) -> Drawing:
        """Return the drawing."""
        return Drawing(
            self.shape.width,
            round(height, 1),
            tuple(path for path in self.paths if path.d),
            tuple(self.icons),
            tuple(self.texts),
            tuple(self.links),
        )


def units(value: float) -> str:
    """Return a length as it is written in SVG: to a hundredth, without idle zeros."""
    return f"{value:.2f}".rstrip("0").rstrip(".")
