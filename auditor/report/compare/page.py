"""A comparison as one HTML file that asks nothing of any server and runs nothing."""

from markupsafe import Markup

from auditor.report.compare.view import CompareView
from auditor.report.policy import policy
from auditor.report.templating import rendered, style_of
from auditor.report.theme import SCREEN, screen_colours


def render_compare(view: CompareView) -> str:
    """Return the page of a comparison."""
    style = style_of(screen_colours(), "tokens.css", "compare.css")
    return rendered(
        "compare.html.j2",
        {"view": view, "ink": SCREEN, "style": Markup(style), "policy": policy(style)},
    )
