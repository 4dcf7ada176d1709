"""The page of one check, and the page that lists them all, as Markdown."""

import re
from collections.abc import Iterable, Iterator

from auditor.checks import catalogue
from auditor.commands.explain import behind, command, settings, shown_by
from auditor.core.check import HEADINGS, SECTIONS, Check
from auditor.diagnosis.rule import Rule

CHECKS = frozenset(check.id for check in catalogue())

EMPHASIS_OR_SIGN = re.compile(r"(?<!\w)\*(\w[^*]*\w)\*(?!\w)|[\\_\[\]*]")
"""Words between stars, which are emphasis, or a sign that Markdown would read."""


def check_page(check: Check) -> str:
    """Return a check's page: its docstring, limits, settings and causes."""
    return "\n\n".join(_parts(check)) + "\n"


def index_page() -> str:
    """Return the list of all checks, by section, with links to their pages."""
    parts = ["# All checks", f"{len(CHECKS)} checks, in the order of the report."]
    for section, title in SECTIONS.items():
        rows = [
            _row((f"[`{check.id}`]({check.id}.md)", marked(check.finds)))
            for check in catalogue()
            if check.section == section
        ]
        parts += [f"## {title}", "\n".join(["| check | finds |", "|---|---|", *rows])]
    return "\n\n".join(parts) + "\n"


def marked(text: str) -> str:
    """Return a docstring's plain text as Markdown that shows it as it stands.

    Each paragraph becomes one line, so that nothing at the start of a line is taken for a list or a
    quotation. Code in back-ticks stays code, and links where it is the id of a check.
    """
    paragraphs = (" ".join(paragraph.split()) for paragraph in text.split("\n\n"))
    return "\n\n".join(
        "".join(_marked(part) for part in re.split(r"(`[^`]+`)", paragraph))
        for paragraph in paragraphs
    )


def _marked(part: str) -> str:
    if part.startswith("`") and part.endswith("`") and len(part) > 2:
        name = part[1:-1]
        return f"[{part}]({name}.md)" if name in CHECKS else part
    escaped = part.replace("&", "&amp;").replace("<", "&lt;")
    return EMPHASIS_OR_SIGN.sub(lambda m: m[0] if m[1] else f"\\{m[0]}", escaped)


def _parts(check: Check) -> Iterator[str]:
    yield f"# {check.id}"
    yield marked(check.page.splitlines()[0])
    cells = (SECTIONS[check.section], marked(check.title), marked(check.failure_title))
    yield f"| section | title where it passes | where it does not |\n|---|---|---|\n{_row(cells)}"
    for heading in HEADINGS:
        yield f"## {heading}"
        yield marked(check.heading(heading))
    if check.limits:
        yield "## Limits"
        yield _limits(check)
    yield "## Run it alone"
    yield f"```sh\n{command(check)}\n```"
    yield "## Set its limits, or waive it" if check.limits else "## Waive it"
    yield _said_of_settings(check)
    yield f"```yaml\n{settings(check)}\n```"
    yield from _causes(check)


def _limits(check: Check) -> str:
    rows = ["| limit | warns | fails | source |", "|---|---|---|---|"]
    for name, limit in check.limits.items():
        warn, fail = (
            "" if value is None else f'<span class="bound">{limit.bad} {value:g}</span>'
            for value in (limit.warn, limit.fail)
        )
        rows.append(_row((f"`{name}`", warn, fail, marked(limit.source))))
    return "\n".join(rows)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"


def _said_of_settings(check: Check) -> str:
    waiver = (
        "A waiver accepts a finding in the places that `where` covers, until that day; it stays in "
        "the report, with the reason, and no longer counts."
    )
    return f"The limits shown are the check's own. {waiver}" if check.limits else waiver


def _causes(check: Check) -> Iterator[str]:
    shown, others = shown_by(check), behind(check)
    if shown or others:
        yield "## Root causes"
    if shown:
        yield "A finding of this check shows:"
        yield "\n".join(f"- {marked(rule.plain)}" for rule in shown)
    if others:
        yield "It may come of causes that other checks see:"
        yield "\n".join(f"- {marked(rule.plain)} ({_seen_in(rule)})" for rule in others)


def _seen_in(rule: Rule) -> str:
    return ", ".join(f"[`{name}`]({name}.md)" for name in sorted(rule.checks))
