"""The page as one HTML text, for a screen or for paper."""

from dataclasses import dataclass
from functools import partial
from typing import Any

from markupsafe import Markup

from auditor.core.record import AuditRecord
from auditor.report.plots.draw import draw
from auditor.report.policy import policy
from auditor.report.templating import rendered, style_of, text_of
from auditor.report.theme import Theme
from auditor.report.view import view_page


@dataclass(frozen=True)
class Medium:
    """What a page is made for: its colours (values, and a sheet), its styles, and its folds."""

    theme: Theme
    colours: str
    styles: tuple[str, ...]
    folds: bool


def render_page(record: AuditRecord, medium: Medium) -> str:
    """Return a whole page that needs nothing but itself."""
    style = style_of(medium.colours, *medium.styles)
    values: dict[str, Any] = {
        "page": view_page(record),
        "ink": medium.theme,
        "folds": medium.folds,
        "style": Markup(style),
        "draw": partial(draw, theme=medium.theme),
    }
    if medium.folds:
        script = text_of("page.js")
        values |= {"script": Markup(script), "policy": policy(style, script)}
    return rendered("report.html.j2", values)
