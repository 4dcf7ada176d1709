"""Untrusted text made safe to show anywhere: pages, terminals, logs, files."""

import hashlib
import math
import re
import unicodedata

LONGEST = 300
"""Characters shown of any one piece of untrusted text."""

MOST_LINES = 5
"""Lines shown of a message."""

_UNSAFE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0d\uffa0]"
)
"""Letters and marks that show nothing, and are no controls."""
_FOREIGN = re.compile(
    "[^\x20-\u02ff\u2010-\u2027\u2030-\u205e\u2070-\u20cf\u2100-\u27ff\u2900-\u2bff]"
)
"""Letters beyond Latin, punctuation, arrows and mathematics: none of those marks or hides."""
_MOST_MARKS = 4
"""Marks, such as accents, that may stand on one letter: more of them cover the lines around."""
_LOGIN = re.compile(r"(?<=://)[^/\s?#@]{1,1000}(?:@[^/\s?#@]{1,1000})*@")
"""User and password in an address."""
_ASKED = re.compile(
    r"([?&][\w.-]{0,40}(?:token|signature|sig|key|secret|passw\w*|credential)=)[^&#\s'\"]+", re.I
)
"""What an address hands over by a name that sounds like a secret."""
_MARK = 60
"""Characters that the mark of a cut takes at most."""
_CUT = re.compile(r"… \([\d,]+ characters, sha256 [0-9a-f]{8}\)\Z")


def clean_text(text: object, longest: int = LONGEST) -> str:
    """Return `text` on one line with controls, bidirectional marks and surrogates made visible.

    Addresses lose user, password and tokens. Text that takes more than `longest` characters is cut
    and marked with the first digits of its SHA-256, so that two long names that differ stay
    different; what was cleaned already stays as it is.
    """
    whole = without_login(_text(text))
    head = whole[: longest + _MARK]
    shown = head if is_plain(head) else visible(head)
    if len(whole) <= longest and len(shown) <= longest:
        return shown
    if shown == whole and len(whole) < longest + _MARK and _CUT.search(whole, longest - 1):
        return whole
    digest = hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{shown[: longest - 1]}… ({len(whole):,} characters, sha256 {digest})"


def clean_message(text: object, longest: int = 4 * LONGEST) -> str:
    """Return a message of a few lines, each of them safe to show in a terminal."""
    lines = [clean_text(line, longest) for line in _text(text).split("\n")]
    if len(lines) > MOST_LINES:
        lines[MOST_LINES - 1 :] = [f"and {counted(len(lines) - MOST_LINES + 1, 'more line')}"]
    return "\n".join(lines)


def _text(value: object) -> str:
    try:
        return str(value)
    except ValueError:  # a whole number too long to be written out
        return f"a {kind_of(value).partition(' ')[2]} too long to be shown"


def is_plain(text: str) -> bool:
    """Tell, fast, of most texts that nothing in them has to be made visible."""
    return text.isprintable() and not _FOREIGN.search(text)


def without_login(text: str) -> str:
    """Return text whose addresses have lost user, password and tokens."""
    if "://" not in text:
        return text
    return _ASKED.sub(r"\1(hidden)", _LOGIN.sub("", text))


def visible(text: str) -> str:
    """Return text with what can't be seen, or does something, written as Python writes it."""
    shown: list[str] = []
    marks = 0
    for character in text:
        kind = unicodedata.category(character)
        marks = marks + 1 if kind in ("Mn", "Me") else 0
        if kind in _UNSAFE_CATEGORIES or marks > _MOST_MARKS or _INVISIBLE.match(character):
            character = character.encode("unicode_escape", "surrogatepass").decode("ascii")
        shown.append(character)
    return "".join(shown)


_IN_JSON = re.compile(
    "[\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"
)


def escaped_json(text: str) -> str:
    """Return JSON text of the same meaning in which what acts or hides is written as \\uXXXX."""
    return _IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


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
