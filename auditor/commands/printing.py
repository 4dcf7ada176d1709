"""What is laid out for a terminal, printed or made text: 80 columns where there is no terminal."""

import sys
from typing import TextIO

from rich.console import Console, RenderableType

COLUMNS = 80


def print_shown(shown: RenderableType) -> None:
    """Print to standard output, in colour where it is a terminal that wants it."""
    Console(width=None if sys.stdout.isatty() else COLUMNS).print(shown)


def write_shown(shown: RenderableType, file: TextIO) -> None:
    """Write plain text to a file."""
    Console(file=file, width=COLUMNS, color_system=None, force_terminal=False).print(shown)
