"""Plots at their limits, and what can be read back from a drawing."""

import math
import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass

from auditor.core.figure import Bars, Graph, Guide, Heatmap, Histogram, Lines, Node, Repeat, Series
from auditor.report.plots.letters import SMALL, text_width

NAN, INF = math.nan, math.inf
LIMITS = (Guide(0.5, "warns above 0.5", "warn"), Guide(2.0, "fails above 2", "fail"))
LONG = tuple(f"transformer.h.{i}.attention.query_key_value.weight_{i:04d}" for i in range(300))
WIDE = tuple("W" * 80 + str(i) for i in range(7))
SPREAD = tuple(10.0 ** (i - 30) for i in range(61))


def lines(*series, guides=LIMITS, **more):
    """Return curves over 0, 1, 2 ..."""
    curves = tuple(
        Series(f"curve {n}", tuple(map(float, range(len(y)))), tuple(y))
        for n, y in enumerate(series)
    )
    return Lines("t", "c", "step", "loss (nats)", curves, tuple(guides), **more)


def bars(labels, values, guides=LIMITS, **more):
    """Return bars."""
    return Bars("t", "c", "share (%)", tuple(labels), tuple(values), guides=tuple(guides), **more)


FAR = (
    Guide(1e6, "far above", "fail"),
    Guide(-1e6, "far below", "warn"),
    Guide(INF, "endless"),
    Guide(NAN, "nothing", "fail"),
)
NODES = tuple(Node(n, "W" * 60, "1×512×14×14") for n in ("i" * 80, "W" * 80, "short", LONG[0]))
EXTREMES = {
    "no curve": lines(),
    "no point": lines(()),
    "one point": lines((2.0,)),
    "nothing finite": lines((NAN, INF, -INF)),
    "some finite": lines((1.0, NAN, 2.0, INF, 3.0, -INF, 2.0), (1.0,) * 7),
    "sixty decades": lines(SPREAD),
    "sixty decades, log": lines(SPREAD, y_log=True),
    "negative, log": lines([(-1) ** i * (i + 0.5) for i in range(20)], y_log=True, x_log=True),
    "fourteen curves": lines(*([j + math.sin(i / 50 + j) for i in range(500)] for j in range(14))),
    "wide ticks": lines([1e8 + i for i in range(30)], guides=FAR),
    "many names": lines([math.sin(i) for i in range(300)], x_names=LONG),
    "wide names": lines([math.sin(i) for i in range(7)], x_names=WIDE),
    "one wide name": lines((1.0,), x_names=WIDE[:1]),
    "wide limits": lines(
        [0.0, 1.0], guides=[Guide(0.2 * i, w, "warn") for i, w in enumerate(WIDE)]
    ),
    "no bar": bars((), ()),
    "one bar": bars("a", (1.0,)),
    "many bars": bars(LONG, map(math.sin, range(300)), marked=(True, False) * 150),
    "wide bars": bars(WIDE, range(7), guides=[Guide(1.5, w, "warn") for w in WIDE]),
    "bars of sixty decades": bars(LONG[:61], SPREAD),
    "bars of sixty decades, log": bars(LONG[:61], SPREAD, log=True),
    "endless bars": bars(
        "abcde", (-3.0, 2.0, INF, -INF, NAN), FAR, low=(-4.0, 1.0, 1.0, -INF, NAN), high=(INF,) * 5
    ),
    "no bin": Histogram("t", "c", "v", (), ()),
    "ten thousand bins": Histogram(
        "t", "c", "v", tuple(i / 1e4 for i in range(10_001)), (1.0,) * 7776 + (80.0,) * 2224, FAR
    ),
    "no cell": Heatmap("t", "c", "x", "y", "v", ()),
    "unknown cells": Heatmap("t", "c", "x", "y", "v", ((NAN, INF), (NAN, -INF))),
    "huge cells": Heatmap("t", "c", "x", "y", "v", ((1e308, -1e308, INF), (1e-30, 0.0, -INF))),
    "small cells": Heatmap(
        "t", "c", "x", "y", "v", tuple(tuple(1e-5 * i * j for j in range(12)) for i in range(12))
    ),
    "named cells": Heatmap(
        "t", WIDE[0], WIDE[0], WIDE[1], WIDE[2], ((1.0, -2.0) * 20,) * 40, LONG[:40], WIDE * 6
    ),
    "wide boxes": Graph(
        "t", "c", NODES, ((0, 1), (1, 2), (0, 2), (2, 3)), (Repeat(1, 2, 12, "W" * 60),)
    ),
}


@dataclass(frozen=True)
class Text:
    """A text of a drawing, and the corners of the room that it needs."""

    words: str
    corners: tuple[tuple[float, float], ...]


def texts(svg):
    """Return the texts of a drawing, measured by the table of letters."""
    found = []

    def visit(element, anchor, bold):
        anchor = element.get("text-anchor", anchor)
        bold = bold or element.get("font-weight") == "bold"
        if element.tag.endswith("text"):
            found.append(_text(element, anchor, bold))
        for child in element:
            visit(child, anchor, bold)

    visit(ET.fromstring(svg), "start", False)
    return found


def _text(element, anchor, bold):
    words = "".join(element.itertext())
    long = text_width(words, bold=bold)
    start = float(element.get("x")) - {"start": 0, "middle": 0.5, "end": 1}[anchor] * long
    foot = float(element.get("y"))
    corners = [
        (x, y) for x in (start, start + long) for y in (foot - 0.75 * SMALL, foot + 0.22 * SMALL)
    ]
    turned = re.fullmatch(r"rotate\((\S+) (\S+) (\S+)\)", element.get("transform", ""))
    if turned:
        angle, cx, cy = math.radians(float(turned[1])), float(turned[2]), float(turned[3])
        corners = [
            (
                cx + (x - cx) * math.cos(angle) - (y - cy) * math.sin(angle),
                cy + (x - cx) * math.sin(angle) + (y - cy) * math.cos(angle),
            )
            for x, y in corners
        ]
    return Text(words, tuple(corners))


def words(svg):
    """Return all the words of a drawing."""
    return " ".join(text.words for text in texts(svg))


def paths(svg):
    """Return the attributes of the paths of a drawing."""
    return [e.attrib for e in ET.fromstring(svg).iter() if e.tag.endswith("path")]


def points(shape):
    """Return the points of a path of straight lines in absolute coordinates."""
    numbers = [float(n) for n in re.findall(r"-?\d+\.?\d*", shape)]
    return list(zip(numbers[::2], numbers[1::2], strict=True))
