"""How templates become text: one environment for every page, in which texts are escaped."""

import base64
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup


def rendered(template: str, values: dict[str, Any]) -> str:
    """Return the text of a template of this package."""
    return _environment().get_template(template).render(values)


def text_of(name: str) -> str:
    """Return a style sheet or script of this package."""
    return (resources.files("auditor.report") / "templates" / name).read_text(encoding="utf-8")


def style_of(colours: str, *names: str) -> str:
    """Return one style sheet: the colours, then sheets of this package."""
    return "\n".join((colours, *map(text_of, names)))


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("auditor.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["svg"] = Markup
    environment.filters["address"] = _address
    return environment


def _address(svg: str) -> str:
    """Return an SVG as a data address; style sheets then need not look at its elements."""
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode('utf-8')).decode('ascii')}"
