"""Take the pictures of the documents anew: `python scripts/make_screenshots.py [--records FOLDER]`.

Two sample models are audited, unless FOLDER holds their records (FOLDER/digits_cnn/record.json and
FOLDER/digits_cnn_broken/record.json), and their reports are drawn and photographed: in light and
dark by Chromium, paper by pdftoppm, the terminal as SVG. Equal records give equal pictures.
"""

import argparse
import io
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, FloatRect, Page, ViewportSize, sync_playwright
from rich.console import Console
from rich.terminal_theme import DIMMED_MONOKAI

from auditor.core.record import AuditRecord, read_record
from auditor.report.files import write_reports
from auditor.report.terminal import summary_table

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs/images"

BROKEN, HEALTHY = "digits_cnn_broken", "digits_cnn"

SCREEN: ViewportSize = {"width": 1440, "height": 960}

FREQUENT = 128
"""Colours of a picture that its palette of 256 keeps exactly."""

MOST = 1_000_000
"""Bytes of all pictures together."""


@dataclass(frozen=True)
class Shot:
    """A picture of the page: its name, and the element that it shows; the first screen without one.

    What is taller than `tallest` is cut there.
    """

    name: str
    element: str = ""
    tallest: int = 2000


SHOTS = (
    Shot("report"),
    Shot("finding", "#finding-dead-units"),
    Shot("map", "#map", tallest=612),
)


def main() -> None:
    """Write the pictures, or say what is missing and end with 2."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--records", type=Path, help="folder of records, in place of audits")
    parser.add_argument("--out", type=Path, default=IMAGES, help=argparse.SUPPRESS)
    given = parser.parse_args()
    chromium = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
    if chromium is None or shutil.which("pdftoppm") is None:
        parser.error("chromium and pdftoppm are needed: apt-get install chromium poppler-utils")
    with tempfile.TemporaryDirectory() as scratch:
        broken, healthy = (
            read_record(given.records / name / "record.json")
            if given.records
            else audited(name, Path(scratch))
            for name in (BROKEN, HEALTHY)
        )
        pictures = dict(taken(broken, healthy, Path(scratch), chromium))
    total = sum(map(len, pictures.values()))
    if total > MOST:
        parser.error(f"{total:,} bytes of pictures, more than {MOST:,}; nothing was written")
    given.out.mkdir(parents=True, exist_ok=True)
    for name, data in pictures.items():
        (given.out / name).write_bytes(data)
        print(f"{given.out / name}  {len(data):,} bytes")
    print(f"{total:,} bytes together")


def audited(name: str, scratch: Path) -> AuditRecord:
    """Audit a copy of a sample model from its own folder, so that no path of this machine shows."""
    print(f"auditing {name}", file=sys.stderr)
    home = shutil.copytree(ROOT / "sample_models" / name, scratch / name)
    run = [sys.executable, "-m", "auditor.cli", "run", "audit.yaml", "--quiet"]
    run += ["--format", "json", "--fail-on", "never"]
    subprocess.run(run, cwd=home, check=True)
    return read_record(home / "audit-report/record.json")


def taken(
    broken: AuditRecord, healthy: AuditRecord, scratch: Path, chromium: str
) -> Iterator[tuple[str, bytes]]:
    """Yield every picture by its file's name."""
    drawn = scratch / "drawn"
    written = write_reports(broken, drawn, ["html", "pdf"])
    if written.problems:
        raise SystemExit("; ".join(written.problems))
    with sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        )
        for scheme in ("light", "dark"):
            for name, picture in on_screen(browser, drawn / "report.html", scheme):
                yield f"{name}-{scheme}.png", small(picture)
        browser.close()
    yield "paper.png", small(on_paper(drawn / "report.pdf"))
    yield "terminal.svg", in_terminal(healthy)


def on_screen(
    browser: Browser, report: Path, scheme: Literal["light", "dark"]
) -> Iterator[tuple[str, bytes]]:
    """Yield what the screen shows of a report, by the shot's name."""
    page = browser.new_page(viewport=SCREEN, color_scheme=scheme, reduced_motion="reduce")
    page.goto(report.as_uri(), wait_until="load")
    for shot in SHOTS:
        yield shot.name, page.screenshot(full_page=True, clip=framed(page, shot))
    page.close()


def framed(page: Page, shot: Shot) -> FloatRect:
    """Return the part of the page that a shot shows, with a margin."""
    if not shot.element:
        return {"x": 0, "y": 0, **SCREEN}
    found = page.locator(shot.element)
    box = found.bounding_box() if found.count() else None
    if box is None:
        raise SystemExit(f"the report shows no {shot.element}")
    return {
        "x": max(box["x"] - 16, 0),
        "y": max(box["y"] - 16, 0),
        "width": box["width"] + 32,
        "height": min(box["height"] + 32, shot.tallest),
    }


def on_paper(report: Path) -> bytes:
    """Return the first two pages of a PDF, side by side."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            ["pdftoppm", "-r", "75", "-l", "2", "-png", report, Path(folder) / "page"], check=True
        )
        pages = [Image.open(path).convert("RGB") for path in sorted(Path(folder).iterdir())]
        gap = 16
        width = sum(page.width for page in pages) + gap * (len(pages) + 1)
        sheet = Image.new("RGB", (width, pages[0].height + 2 * gap), "#8b919c")
        for place, page in enumerate(pages):
            sheet.paste(page, (gap + place * (page.width + gap), gap))
    return png(sheet)


def in_terminal(record: AuditRecord) -> bytes:
    """Return what the command line prints at the end, as an SVG that asks for no font."""
    console = Console(record=True, width=80, file=io.StringIO(), force_terminal=True)
    console.print(summary_table(record))
    drawn = console.export_svg(title="audit run", theme=DIMMED_MONOKAI, unique_id="audit")
    drawn = re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL)
    return drawn.replace("Fira Code,", "").replace("Fira Code", "monospace").encode()


def small(picture: bytes) -> bytes:
    """Return a PNG with a palette: its most frequent colours exactly, and what covers the rest."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    red, green, blue = np.moveaxis(np.asarray(image).astype(np.int32), 2, 0)
    shades: NDArray[np.int32] = red << 16 | green << 8 | blue
    colours, places, counts = np.unique(shades, return_inverse=True, return_counts=True)
    frequent = rgb(colours[np.argsort(-counts, kind="stable")[:FREQUENT]])
    covering = image.quantize(256 - FREQUENT, Image.Quantize.MAXCOVERAGE).getpalette() or []
    palette = np.vstack([frequent, np.reshape(covering, (-1, 3))])
    nearest = np.abs(rgb(colours)[:, None] - palette).sum(2).argmin(1).astype(np.uint8)
    drawn = Image.fromarray(nearest[places.reshape(shades.shape)], "P")
    drawn.putpalette(palette.astype(np.uint8).tobytes())
    return png(drawn)


def rgb(colours: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return red, green and blue of colours that are one number each."""
    return np.stack([colours >> 16, colours >> 8 & 255, colours & 255], axis=1)


def png(image: Image.Image) -> bytes:
    """Return an image as the bytes of a PNG file."""
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return file.getvalue()


if __name__ == "__main__":
    main()
