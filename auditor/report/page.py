"""The page as one HTML text, for a screen or for paper."""

import base64
from dataclasses import dataclass
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from auditor.core.record import AuditRecord
from auditor.report.draw import Drawing, draw
from auditor.report.svg import drawing_style
from auditor.report.theme import Theme
from auditor.report.view import PageView, view_page
from auditor.report.view_finding import FindingView


@dataclass(frozen=True)
class Medium:
    """What a page is made for: its colours, its style sheets, and whether it can fold."""

    theme: Theme
    styles: tuple[str, ...]
    folds: bool


def render_page(record: AuditRecord, medium: Medium) -> str:
    """Return a whole page that needs nothing but itself."""
    view = view_page(record)
    values: dict[str, Any] = {
        "page": view,
        "ink": medium.theme,
        "folds": medium.folds,
        "style": Markup("\n".join(map(_template_text, medium.styles))),
        "drawings": _drawings(view, medium.theme),
    }
    return _environment().get_template("report.html.j2").render(values)


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


def _template_text(name: str) -> str:
    return (resources.files("auditor.report") / "templates" / name).read_text(encoding="utf-8")


def _drawings(view: PageView, theme: Theme) -> dict[str, Drawing]:
    with drawing_style():
        return {
            figure.id: draw(figure.plot, figure.id, theme)
            for finding in _findings(view)
            for figure in finding.figures
            if figure.plot is not None
        }


def _findings(view: PageView) -> tuple[FindingView, ...]:
    return tuple(
        finding
        for part in view.sections
        for group in (part.open, part.waived, part.notes, part.passed, part.skipped)
        for finding in group
    )
