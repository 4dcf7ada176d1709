"""The colours of figures, by role: as CSS variables on a screen, as plain colours on paper."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from auditor.core.verdict import Verdict

SERIES = 7
"""Lines that can be told apart by colour; further ones differ by their dashes."""

_PAPER = {
    "ink": "#1c2430",
    "muted": "#566070",
    "rule": "#b9c0c9",
    "grid": "#e6e9ed",
    "paper": "#ffffff",
    "bar": "#5b86b5",
    "mark": "#c2571a",
    "pass": "#1f7a58",
    "warn": "#9a6200",
    "fail": "#b3302b",
    "info": "#2f66a5",
    "error": "#75469c",
    "faint": "#6b7482",
    "s0": "#0067a5",
    "s1": "#c8541a",
    "s2": "#008a64",
    "s3": "#a3498f",
    "s4": "#b98a00",
    "s5": "#3f9ccc",
    "s6": "#5c6470",
}

ROLES = tuple(_PAPER)


@dataclass(frozen=True)
class Theme:
    """A colour for every role, and the font of the text in figures (empty: the page's)."""

    colours: Mapping[str, str]
    font: str = ""

    def __getitem__(self, role: str) -> str:
        """Return the colour of a role, as it is written in SVG."""
        return self.colours[role]

    def of(self, verdict: Verdict) -> str:
        """Return the colour of a verdict."""
        return self.colours[VERDICT_ROLES[verdict]]


VERDICT_ROLES: Mapping[Verdict, str] = MappingProxyType(
    {
        Verdict.PASS: "pass",
        Verdict.WARN: "warn",
        Verdict.FAIL: "fail",
        Verdict.INFO: "info",
        Verdict.NOT_APPLICABLE: "faint",
        Verdict.ERROR: "error",
        Verdict.INCOMPLETE: "error",
    }
)

SCREEN = Theme(MappingProxyType({role: f"var(--{role})" for role in ROLES}))
PRINT = Theme(MappingProxyType(_PAPER), font="Liberation Sans, Arial, DejaVu Sans, sans-serif")
