"""What a check is, in words: for `audit list` and `audit explain`, the README and the site."""

import textwrap
from collections.abc import Iterator

from auditor.checks import catalogue
from auditor.core.check import HEADINGS, SECTIONS, Check
from auditor.core.finding import Limit
from auditor.diagnosis.rule import Rule
from auditor.diagnosis.rules import RULES

WIDTH = 80

UNTIL = "2030-01-01"
"""The day on which a waiver ends that the pages show to be copied."""


def listed(section: str | None = None) -> str:
    """Return the checks of one section, or of all: their ids and what they find."""
    lines: list[str] = []
    for known, title in SECTIONS.items():
        if section in (None, known):
            lines += [*([""] if lines else []), f"{title} ({known})"]
            lines += [_item(c.id, c.finds) for c in catalogue() if c.section == known]
    return "\n".join(lines)


def explained(check: Check) -> str:
    """Return the whole page of a check for a terminal."""
    head = f"{check.id}\n{'=' * len(check.id)}\n"
    return "\n".join([head + _wrapped(check.page.splitlines()[0]), *_parts(check)])


def bounds(limit: Limit) -> str:
    """Return where a limit warns and fails: `warns above 0.2, fails above 0.4`."""
    sides = (("warns", limit.warn), ("fails", limit.fail))
    return ", ".join(f"{said} {limit.bad} {value:g}" for said, value in sides if value is not None)


def shown_by(check: Check) -> list[Rule]:
    """Return the root causes that are seen in a finding of this check."""
    return [rule for rule in RULES if check.id in rule.checks]


def behind(check: Check) -> list[Rule]:
    """Return the root causes that are seen elsewhere, and may bring about a finding of this one."""
    return [rule for rule in RULES if check.id in rule.known - rule.checks]


def command(check: Check) -> str:
    """Return the command that runs this check alone."""
    return f"audit run audit.yaml --only {check.id}"


def settings(check: Check) -> str:
    """Return the lines of a spec that set the check's limits, as they are, and waive it."""
    lines = ["audit:"]
    if check.limits:
        lines += ["  limits:", f"    {check.id}:"]
    for name, limit in check.limits.items():
        sides = (("warn", limit.warn), ("fail", limit.fail))
        values = ", ".join(f"{side}: {value:g}" for side, value in sides if value is not None)
        lines.append(f"      {name}: {{{values}}}")
    lines += ["  waive:", f"    - check: {check.id}", '      where: "*"']
    return "\n".join([*lines, '      reason: "why it is accepted"', f"      until: {UNTIL}"])


def _parts(check: Check) -> Iterator[str]:
    yield from (_part(name, _wrapped(check.heading(name))) for name in HEADINGS)
    if check.limits:
        yield _part("Limits", "\n".join(map(_limit, check.limits, check.limits.values())))
    causes = ("It shows", shown_by(check)), ("It may come of", behind(check))
    told = [_rules(lead, rules) for lead, rules in causes if rules]
    if told:
        yield _part("Root causes", "\n\n".join(told))
    yield _part("Run it alone", command(check))
    yield _part("Set its limits, or waive it" if check.limits else "Waive it", settings(check))


def _part(name: str, text: str) -> str:
    return f"\n{name}\n{'-' * len(name)}\n{text}"


def _limit(name: str, limit: Limit) -> str:
    return f"{name}: {bounds(limit)}\n{_wrapped(limit.source, '    ')}"


def _rules(lead: str, rules: list[Rule]) -> str:
    return "\n".join([f"{lead}:", *(_wrapped(rule.plain, "  - ", "    ") for rule in rules)])


def _item(name: str, text: str) -> str:
    return _wrapped(text, f"  {name:<28} ", " " * 31)


def _wrapped(text: str, first: str = "", rest: str | None = None) -> str:
    """Fill each paragraph to the width of a terminal."""
    return "\n\n".join(
        textwrap.fill(
            paragraph,
            WIDTH,
            initial_indent=first,
            subsequent_indent=first if rest is None else rest,
            break_long_words=False,
            break_on_hyphens=False,
        )
        for paragraph in text.split("\n\n")
    )
