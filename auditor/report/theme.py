"""The colours of pages and figures, by role: as CSS variables on a screen, plain on paper."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from auditor.core.verdict import Verdict

SERIES = 7
"""Lines that can be told apart by colour, also by readers who lack a kind of cone; further ones
differ by their dashes."""

_LIGHT = {
    "ink": "#1c2430",
    "muted": "#566070",
    "rule": "#b9c0c9",
    "grid": "#e6e9ed",
    "paper": "#ffffff",
    "bar": "#5b86b5",
    "mark": "#bc5217",
    "pass": "#1f7a58",
    "warn": "#9a6200",
    "fail": "#b3302b",
    "info": "#2f66a5",
    "error": "#75469c",
    "faint": "#6b7482",
    "s0": "#0b51b5",
    "s1": "#c5461c",
    "s2": "#12996b",
    "s3": "#8a3a86",
    "s4": "#c98500",
    "s5": "#4f94e2",
    "s6": "#585f68",
    "page": "#f6f7f8",
    "wash": "#f1f3f5",
    "link": "#22598f",
}
_DARK = {
    "ink": "#e4e8ed",
    "muted": "#a2acb9",
    "rule": "#454e5a",
    "grid": "#2a313a",
    "paper": "#181c22",
    "bar": "#6791c0",
    "mark": "#ee8a4a",
    "pass": "#52b78f",
    "warn": "#dca545",
    "fail": "#f27d75",
    "info": "#78abe6",
    "error": "#bb90e0",
    "faint": "#8f99a6",
    "s0": "#5c9dff",
    "s1": "#ee7d3c",
    "s2": "#2fbd8a",
    "s3": "#bb68b8",
    "s4": "#e6cc3c",
    "s5": "#a5ece6",
    "s6": "#8d96a3",
    "page": "#101318",
    "wash": "#20252d",
    "link": "#8dbdf0",
}

ROLES = tuple(_LIGHT)


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
PRINT = Theme(MappingProxyType(_LIGHT), font="Inter, JetBrains Mono NL")
DARK = Theme(MappingProxyType(_DARK))


def declared(theme: Theme) -> str:
    """Return the colours of a theme as declarations of CSS variables."""
    return " ".join(f"--{role}: {colour};" for role, colour in theme.colours.items())


def screen_colours() -> str:
    """Return the style sheet that sets the colours: light or dark as the reader's system is.

    `data-theme` on the root element, which the page's switch sets, comes before the system; what
    a browser prints is light.
    """
    light, dark = declared(PRINT), declared(DARK)
    return (
        f":root {{ color-scheme: light; {light} }}\n"
        "@media screen and (prefers-color-scheme: dark) {\n"
        f'  :root:not([data-theme="light"]) {{ color-scheme: dark; {dark} }}\n'
        "}\n"
        f'@media screen {{ :root[data-theme="dark"] {{ color-scheme: dark; {dark} }} }}\n'
    )


def paper_colours() -> str:
    """Return the style sheet that sets the colours on paper."""
    return f":root {{ {declared(PRINT)} }}\n"
