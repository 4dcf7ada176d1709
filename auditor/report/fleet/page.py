"""A fleet as one HTML file: a line for each model, and nothing that asks a server or runs."""

from os.path import relpath
from pathlib import Path
from urllib.parse import quote

from markupsafe import Markup

from auditor.report.fleet.view import FleetView, ModelView
from auditor.report.policy import policy
from auditor.report.templating import rendered, style_of
from auditor.report.theme import SCREEN, screen_colours


def render_fleet(view: FleetView, folder: Path) -> str:
    """Return the page of a fleet that is to lie in `folder`, from where it links the reports."""
    style = style_of(screen_colours(), "tokens.css", "fleet.css")
    return rendered(
        "fleet.html.j2",
        {
            "fleet": view,
            "ink": SCREEN,
            "style": Markup(style),
            "policy": policy(style),
            "links": [_link(model, folder) for model in view.models],
        },
    )


def _link(model: ModelView, folder: Path) -> str:
    """Return the address of a model's report beside the page; empty where there is none."""
    if model.report is None:
        return ""
    path = Path(relpath(model.report, folder)).as_posix()
    return f"./{quote(path, errors='surrogateescape')}"
