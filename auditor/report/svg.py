"""From matplotlib's SVG to one that can stand in a page beside others, in either theme."""

import io
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from auditor.report.theme import ROLES, Theme

WIDTH = 720
"""Width of every plot, in units that are CSS pixels where there is room."""
FONT = 11.5
SMALL = 10.5

_STAND_INS = {role: f"#0a00{index:02x}" for index, role in enumerate(ROLES)}
_ROLE_OF = {stand_in: role for role, stand_in in _STAND_INS.items()}
_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "auditor",
    "text.parse_math": False,
    "text.usetex": False,
    "font.family": ["DejaVu Sans"],
    "font.size": FONT,
    "axes.unicode_minus": False,
    "axes.formatter.use_mathtext": False,
    "hatch.linewidth": 0.8,
}
_KEPT = frozenset({"backend", "backend_fallback", "toolbar", "timezone", "webagg.port"})


def stand_in(role: str) -> str:
    """Return the colour that stands for a role until the drawing is finished."""
    return _STAND_INS[role]


@contextmanager
def drawing_style() -> Iterator[None]:
    """Draw with our settings whatever those of the user are."""
    default: dict[Any, Any] = {
        key: value
        for key, value in mpl.rcParamsDefault.items()
        if key not in _KEPT and not key.startswith(("webagg", "tk.", "keymap", "animation"))
    }
    with mpl.rc_context(default | _STYLE):
        yield


def canvas(height: float, width: float = WIDTH) -> Figure:
    """Return an empty transparent figure, its units CSS pixels."""
    figure = Figure(figsize=(width / 72, height / 72), dpi=72)
    figure.patch.set_visible(False)
    FigureCanvasSVG(figure)
    return figure


def written(figure: Figure) -> str:
    """Return matplotlib's SVG of a figure, in the colours that stand for roles."""
    with io.StringIO() as buffer:
        nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
        text = buffer.getvalue()
    return text[text.index("<svg") :]


def finished(text: str, prefix: str, label: str, theme: Theme) -> str:
    """Return a written SVG for a page: ids begin with `prefix`, colours are those of the theme."""
    root = ET.fromstring(text)
    used = set(re.findall(r'(?:href="#|url\(#)([A-Za-z0-9_.-]+)', text))
    _clean(root, prefix, theme, used)
    box = root.get("viewBox", "")
    root.attrib.clear()
    root.attrib |= {
        "xmlns": "http://www.w3.org/2000/svg",
        "viewBox": box,
        "class": "plot",
        "role": "img",
        "aria-label": label,
    }
    if theme.font:
        root.set("font-family", theme.font)
        _spread_styles(root)
    return ET.tostring(root, encoding="unicode")


def _clean(element: ET.Element, prefix: str, theme: Theme, used: set[str]) -> None:
    element.tag = element.tag.rpartition("}")[2]
    if element.tag != "text":
        element.text = None
    element.tail = None
    attributes = {}
    for key, value in element.attrib.items():
        name = key.rpartition("}")[2]
        if name == "id" and value not in used:
            continue
        attributes[name] = _attribute(name, value, prefix, theme)
    if attributes.get("transform", "").startswith(("rotate(-0 ", "rotate(0 ")):
        del attributes["transform"]
    element.attrib.clear()
    element.attrib.update(attributes)
    for child in list(element):
        if child.tag.endswith(("}style", "}metadata")):
            element.remove(child)
            continue
        _clean(child, prefix, theme, used)
        if child.tag in {"g", "defs"} and len(child) == 0:
            element.remove(child)


def _spread_styles(root: ET.Element) -> None:
    """Write styles as attributes, which WeasyPrint reads without parsing CSS."""
    for element in root.iter():
        for declaration in element.attrib.pop("style", "").split(";"):
            name, colon, value = declaration.partition(":")
            if colon:
                element.set(name.strip(), value.strip())


def _attribute(name: str, value: str, prefix: str, theme: Theme) -> str:
    if name == "id":
        return f"{prefix}-{value}"
    if name == "href" and value.startswith("#"):
        return f"#{prefix}-{value[1:]}"
    if name == "href":
        return "".join(value.split())
    if name == "clip-path":
        return value.replace("url(#", f"url(#{prefix}-")
    if name == "d":
        return " ".join(value.split())
    if name == "style":
        value = re.sub(r"font-family:[^;]*(; ?|$)", "", value)
        value = re.sub(r"#0a00[0-9a-f]{2}", lambda found: theme[_ROLE_OF[found[0]]], value)
        return " ".join(value.split())
    return value
