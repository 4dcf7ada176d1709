"""A record in a notebook: what the page says first, small enough for the output of a cell."""

from markupsafe import Markup

from auditor.core.record import AuditRecord
from auditor.report.templating import rendered, text_of
from auditor.report.theme import DARK, PRINT, SCREEN, declared
from auditor.report.view import view_page
from auditor.report.wording import cropped, plain

_LIGHT_SIDES = ('[data-jp-theme-light="true"]', ".vscode-light", 'html[theme="light"]')
_DARK_SIDES = ('[data-jp-theme-light="false"]', ".vscode-dark", 'html[theme="dark"]')
"""How JupyterLab, VS Code and Colab say which theme a notebook has."""


def render_notebook(record: AuditRecord) -> str:
    """Return a piece of HTML, of less than 60 kB, whose styles touch nothing else on the page."""
    page = view_page(record)
    return rendered(
        "notebook.html.j2",
        {
            "page": page,
            "passed": sum(len(section.passed) for section in page.sections),
            "ink": SCREEN,
            "folds": True,
            "style": Markup(_colours() + text_of("notebook.css")),
            "cropped": cropped,
            "plain": plain,
        },
    )


def _colours() -> str:
    """Return the colours: those of the notebook's theme, or else of the reader's system."""
    light, dark = declared(PRINT), declared(DARK)
    rules = (
        (".auditor-record", light),
        ("@media screen and (prefers-color-scheme: dark) { .auditor-record", f"{dark} }}"),
        (_sides(_LIGHT_SIDES), light),
        (_sides(_DARK_SIDES), dark),
    )
    return "".join(f"{selector} {{ {colours} }}\n" for selector, colours in rules)


def _sides(selectors: tuple[str, ...]) -> str:
    return ", ".join(f"{selector} .auditor-record" for selector in selectors)
