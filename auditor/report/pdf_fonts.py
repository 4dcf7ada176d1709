"""The fonts of the PDF: they come with the package, and no other one is looked at."""

import re
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from xml.sax.saxutils import escape

FOLDER = Path(str(resources.files("auditor.report") / "fonts"))


def font_settings(cache: Path) -> str:
    """Return a configuration of fontconfig that knows the fonts of the package alone."""
    return (
        '<?xml version="1.0"?>\n<!DOCTYPE fontconfig SYSTEM "fonts.dtd">\n<fontconfig>'
        f"<dir>{escape(str(FOLDER))}</dir><cachedir>{escape(str(cache))}</cachedir>"
        "</fontconfig>\n"
    )


def drawable(text: str) -> str:
    """Return a text in which letters that no font has are written as Python writes them.

    A page then looks the same wherever it is made, and says what it can't show.
    """
    return _beyond(letters()).sub(_written, text)


def letters() -> frozenset[int]:
    """Return the code points that at least one of the fonts has."""
    from fontTools.ttLib import TTFont

    return frozenset(
        letter
        for path in sorted(FOLDER.glob("*.ttf"))
        for letter in TTFont(path, lazy=True).getBestCmap()
    )


def _beyond(known: Iterable[int]) -> re.Pattern[str]:
    kept = "".join(re.escape(chr(letter)) for letter in sorted(known) if letter > 0x7E)
    return re.compile(f"[^\x00-\x7e{kept}]")


def _written(found: re.Match[str]) -> str:
    """Return a letter as it is written within a string of JSON."""
    return "\\" + found[0].encode("unicode_escape").decode("ascii")
