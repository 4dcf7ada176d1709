"""The fonts of the PDF: they come with the package, and no other one is looked at."""

import re
from functools import cache
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
    """Return JSON in which letters that no font has are written as Python writes them.

    A page then looks the same wherever it is made, and says what it can't show.
    """
    return _beyond().sub(_written, text)


@cache
def _beyond() -> re.Pattern[str]:
    """Return what finds a letter that no font has; control characters are JSON's own affair."""
    held = (FOLDER / "letters.txt").read_text(encoding="ascii")
    ranges = re.findall("(.+)-(.+)", held)
    kept = "".join(f"{_letter(first)}-{_letter(last)}" for first, last in ranges)
    return re.compile(f"[^\x00-\x1f{kept}]")


def _letter(code: str) -> str:
    return re.escape(chr(int(code, 16)))


def _written(found: re.Match[str]) -> str:
    """Return a letter as it is written within a string of JSON."""
    return "\\" + found[0].encode("unicode_escape").decode("ascii")
