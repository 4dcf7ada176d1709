"""The page as one HTML text, for a screen or for paper."""

from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from auditor.core.record import AuditRecord
from auditor.report.draw import Drawing, draw
from auditor.report.policy import policy
from auditor.report.templating import rendered, text_of
from auditor.report.theme import Theme
from auditor.report.view import PageView, view_page
from auditor.report.view_finding import FindingView


@dataclass(frozen=True)
class Medium:
    """What a page is made for: its colours (values, and a sheet), its styles, and its folds."""

    theme: Theme
    colours: str
    styles: tuple[str, ...]
    folds: bool


def render_page(record: AuditRecord, medium: Medium) -> str:
    """Return a whole page that needs nothing but itself."""
    view = view_page(record)
    style = "\n".join((medium.colours, *map(text_of, medium.styles)))
    script = text_of("page.js")
    values: dict[str, Any] = {
        "page": view,
        "ink": medium.theme,
        "folds": medium.folds,
        "style": Markup(style),
        "script": Markup(script),
        "policy": policy(style, script),
        "drawings": _drawings(view, medium.theme),
    }
    return rendered("report.html.j2", values)


def _drawings(view: PageView, theme: Theme) -> dict[str, Drawing]:
    return {
        figure.id: draw(figure.plot, theme)
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
