"""Cut the fonts of the PDF out of their packages, into `auditor/report/fonts`.

Needs fontTools with brotli, which WeasyPrint brings, and two packages from npm, unpacked:
inter-ui 4.1.1 and jetbrains-mono 1.0.6 (`npm pack`). Run it when a font is to be renewed:

    python scripts/cut_fonts.py INTER_UI JETBRAINS_MONO

Kept are letters of Latin, Greek and Cyrillic script, punctuation, numbers, arrows and symbols, and
of the fonts' features those that move or join marks and set digits in columns. Ligatures go, since
code to paste has to look like what it is, and so does hinting, which paper has no use for. Which
letters the fonts hold between them is written to `letters.txt`, as ranges of code points.
"""

import sys
from pathlib import Path

from fontTools import subset

FONTS = Path(__file__).parents[1] / "auditor" / "report" / "fonts"
FEATURES = ["ccmp", "kern", "mark", "mkmk", "tnum"]
KEPT = (
    (0x0000, 0x0530),
    (0x1E00, 0x1F00),
    (0x2000, 0x2C00),
    (0xFFFD, 0xFFFE),
)
"""Code points that are kept where a font has them: from, and up to."""


def main() -> None:
    """Write the fonts and say how large they are."""
    inter, mono = map(Path, sys.argv[1:])
    held: set[int] = set()
    for source in (
        inter / "web" / "Inter-Regular.woff2",
        inter / "web" / "Inter-SemiBold.woff2",
        mono / "fonts" / "webfonts" / "JetBrainsMonoNL-Regular.woff2",
    ):
        target = FONTS / f"{source.stem}.ttf"
        held |= cut(source, target)
        print(f"{target}: {target.stat().st_size:,} bytes")
    (FONTS / "letters.txt").write_text(ranges(held), encoding="ascii")


def cut(source: Path, target: Path) -> set[int]:
    """Write what is kept of one font, and return its code points."""
    options = subset.Options(
        layout_features=FEATURES, hinting=False, name_IDs=["*"], notdef_outline=True
    )
    font = subset.load_font(str(source), options)
    letters = [
        letter for letter in font.getBestCmap() if any(first <= letter < end for first, end in KEPT)
    ]
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=letters)
    subsetter.subset(font)
    font.flavor = None
    font.recalcTimestamp = False
    font.save(target)
    return set(letters)


def ranges(held: set[int]) -> str:
    """Return code points as ranges, first and last in hexadecimal, one a line."""
    firsts = sorted(letter for letter in held if letter - 1 not in held)
    lasts = sorted(letter for letter in held if letter + 1 not in held)
    return "".join(f"{a:x}-{b:x}\n" for a, b in zip(firsts, lasts, strict=True))


if __name__ == "__main__":
    main()
