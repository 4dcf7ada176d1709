"""Figures as plain data, from a closed set; drawing them is the report's job."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from auditor.core.values import Number

Cell = str | int | Number | None


@dataclass(frozen=True)
class Guide:
    """A limit or reference value drawn across a plot."""

    value: Number
    label: str
    severity: Literal["warn", "fail", "reference"] = "reference"


@dataclass(frozen=True)
class Series:
    """One line: `y` over `x`, with an optional band from `low` to `high`."""

    name: str
    x: tuple[Number, ...]
    y: tuple[Number, ...]
    low: tuple[Number, ...] = ()
    high: tuple[Number, ...] = ()


@dataclass(frozen=True)
class Stretch:
    """A part of the x axis that is shaded; a line across it where it ends where it starts."""

    name: str
    start: Number
    end: Number


@dataclass(frozen=True)
class Table:
    """Rows under named columns; numbers stay numbers, so that the report can align them."""

    title: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    kind: Literal["table"] = "table"


@dataclass(frozen=True)
class Lines:
    """Curves on common axes; `x_names` names the positions 0, 1, 2 ... on the x axis."""

    title: str
    caption: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    guides: tuple[Guide, ...] = ()
    x_names: tuple[str, ...] = ()
    x_log: bool = False
    y_log: bool = False
    stretches: tuple[Stretch, ...] = ()
    kind: Literal["lines"] = "lines"


@dataclass(frozen=True)
class Bars:
    """One bar a label, in the order given, with optional intervals; marked ones stand out."""

    title: str
    caption: str
    label: str
    labels: tuple[str, ...]
    values: tuple[Number, ...]
    low: tuple[Number, ...] = ()
    high: tuple[Number, ...] = ()
    marked: tuple[bool, ...] = ()
    guides: tuple[Guide, ...] = ()
    log: bool = False
    kind: Literal["bars"] = "bars"


@dataclass(frozen=True)
class Histogram:
    """`len(counts) + 1` edges around the counts."""

    title: str
    caption: str
    label: str
    edges: tuple[Number, ...]
    counts: tuple[Number, ...]
    guides: tuple[Guide, ...] = ()
    log: bool = False
    kind: Literal["histogram"] = "histogram"


@dataclass(frozen=True)
class Heatmap:
    """A grid of values, row by row from the top."""

    title: str
    caption: str
    x_label: str
    y_label: str
    label: str
    values: tuple[tuple[Number, ...], ...]
    x_names: tuple[str, ...] = ()
    y_names: tuple[str, ...] = ()
    kind: Literal["heatmap"] = "heatmap"


@dataclass(frozen=True)
class Image:
    """A PNG file as base64, with the line that stands below it."""

    caption: str
    png: str


@dataclass(frozen=True)
class Images:
    """A gallery in rows of `columns`."""

    title: str
    caption: str
    images: tuple[Image, ...]
    columns: int = 4
    kind: Literal["images"] = "images"


@dataclass(frozen=True)
class Node:
    """A box of a graph: a name, a note below it, and one at the end of its first line.

    A marked one stands out; an end is where something enters or leaves.
    """

    name: str
    note: str = ""
    aside: str = ""
    marked: bool = False
    end: bool = False


@dataclass(frozen=True)
class Repeat:
    """A run of nodes, from the place `first` to `last`, that stands for `times` alike."""

    first: int
    last: int
    times: int
    label: str = ""


@dataclass(frozen=True)
class Graph:
    """Boxes in the order in which they run, and arrows from place to place; drawn in layers.

    An arrow that leads back to an earlier box, or to its own, is not drawn.
    """

    title: str
    caption: str
    nodes: tuple[Node, ...]
    edges: tuple[tuple[int, int], ...]
    repeats: tuple[Repeat, ...] = ()
    kind: Literal["graph"] = "graph"


Figure = Annotated[
    Table | Lines | Bars | Histogram | Heatmap | Images | Graph, Field(discriminator="kind")
]
