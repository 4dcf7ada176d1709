"""Untrusted text made safe to show anywhere: pages, terminals, logs, files."""

import hashlib
import math
import unicodedata

LONGEST = 300
"""Characters shown of any one piece of untrusted text."""

_UNSAFE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def clean_text(text: object, longest: int = LONGEST) -> str:
    """Return `text` on one line with controls, bidirectional marks and surrogates made visible.

    Text longer than `longest` characters is cut and marked with the first digits of its
    SHA-256, so that two long names that differ stay different.
    """
    whole = _text(text)
    shown = "".join(map(_visible, whole[:longest]))
    if len(whole) <= longest:
        return shown
    digest = hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{shown}… ({len(whole):,} characters, sha256 {digest})"


def _text(value: object) -> str:
    try:
        return str(value)
    except ValueError:  # a whole number too long to be written out
        return f"a {kind_of(value).partition(' ')[2]} too long to be shown"


def _visible(character: str) -> str:
    if unicodedata.category(character) in _UNSAFE_CATEGORIES:
        return character.encode("unicode_escape", "surrogatepass").decode("ascii")
    return character


def listed(names: list[str], most: int = 5) -> str:
    """Return "a, b, c and 4 more" with every name made safe to show."""
    shown = ", ".join(clean_text(name) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most:,} more"


def kind_of(value: object) -> str:
    """Return "a list", "an int"."""
    name = clean_text(type(value).__name__, 60)
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """Return "1 layer", "2 layers"."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def bounded(count: int, *, at_most: bool) -> str:
    """Return "1,200", or "≤ 1,200" where the count is a bound; nothing at all is no bound."""
    return f"≤ {count:,}" if at_most and count else f"{count:,}"


def percent(share: float) -> str:
    """Return "25" or "2.5": a share in per cent, to two digits below ten."""
    hundredths = 100 * share
    return f"{hundredths:.0f}" if abs(hundredths) >= 10 else f"{hundredths:.2g}"


def interval(low: float, high: float, confidence: str = "95 %") -> str:
    """Return " (95 % interval 1.2 to 3)" of a positive number, nothing where it is not bounded."""
    known = low > 0 and high < math.inf
    return f" ({confidence} interval {low:.2g} to {high:.2g})" if known else ""
