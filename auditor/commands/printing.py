"""What is laid out for a terminal, printed or made text: 80 columns where there is no terminal."""

import sys
from pathlib import Path
from typing import TextIO

import typer
from rich.console import Console, RenderableType

from auditor.core.text import clean_text

COLUMNS = 80


def print_shown(shown: RenderableType) -> None:
    """Print to standard output, in colour where it is a terminal that wants it."""
    Console(width=None if sys.stdout.isatty() else COLUMNS).print(shown)


def print_path(path: Path) -> None:
    """Print a path on a line of its own."""
    typer.echo(clean_text(path, 4096))


def write_shown(shown: RenderableType, file: TextIO) -> None:
    """Write plain text to a file."""
    Console(file=file, width=COLUMNS, color_system=None, force_terminal=False).print(shown)
