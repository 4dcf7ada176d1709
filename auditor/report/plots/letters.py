"""How wide text is, before any font is at hand."""

from auditor.core.text import clean_text

SMALL = 10.5
"""Size of the text in plots."""
BOLD = 1.14
"""How much wider bold letters are."""
WIDEST = 1.1

_GROUPS = {
    0.30: "ijlI'",
    0.34: " .,:;|",
    0.40: "/\\ft()[]!r",
    0.50: '-*`"_',
    0.56: "szcJ?",
    0.60: "xyvkL",
    0.64: "abdeghnopqu0123456789{}FT$",
    0.69: "ABEKPSVXYZ",
    0.78: "CDGHNOQRU&",
    0.84: "w#+<=>^~×±−≤≥–",
    1.00: "mMW%…@←→↑↓",
}
_WIDTHS = {letter: width for width, letters in _GROUPS.items() for letter in letters}
"""Advances in parts of the size: the largest in Inter, Liberation Sans (as wide as Arial and
Helvetica) and DejaVu Sans, rounded up. A letter that is not here counts as `WIDEST`."""


def text_width(text: str, *, bold: bool = False, size: float = SMALL) -> float:
    """Return how much room `text` needs on a line, in the unit of `size`, rather too much."""
    return sum(_WIDTHS.get(letter, WIDEST) for letter in text) * size * (BOLD if bold else 1.0)


def fitted(text: object, room: float, *, bold: bool = False, size: float = SMALL) -> str:
    """Return a name made safe, cut in its middle to fit `room` pixels; its end tells the most."""
    whole = clean_text(text)
    shown, kept = whole, len(whole)
    while kept > 1 and (wide := text_width(shown, bold=bold, size=size)) > room:
        kept = max(min(kept - 1, int(kept * room / wide) + 1), 1)
        head = (kept - 1) * 2 // 5
        shown = f"{whole[:head]}…{whole[len(whole) - (kept - 1 - head) :]}"
    return shown
