"""How verdicts and paragraphs look on a terminal: a sign and a word always, colour beside them."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.text import Text

from auditor.core.verdict import Verdict

SIGNS: Mapping[Verdict, str] = MappingProxyType(
    {
        Verdict.PASS: "✓",
        Verdict.WARN: "!",
        Verdict.FAIL: "✗",
        Verdict.INFO: "i",
        Verdict.NOT_APPLICABLE: "–",
        Verdict.ERROR: "?",
        Verdict.INCOMPLETE: "?",
    }
)
STYLES: Mapping[Verdict, str] = MappingProxyType(
    {
        Verdict.PASS: "green",
        Verdict.WARN: "yellow",
        Verdict.FAIL: "bold red",
        Verdict.INFO: "blue",
        Verdict.NOT_APPLICABLE: "dim",
        Verdict.ERROR: "magenta",
        Verdict.INCOMPLETE: "magenta",
    }
)
_NARROWEST = 16


@dataclass(frozen=True)
class Hung:
    """A paragraph beside its mark: further lines begin where the first one does.

    No line ends in blanks, so that what is sent to a file stays as short as what is read.
    """

    mark: Text
    body: Text
    indent: int

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = max(options.max_width - self.indent, _NARROWEST)
        for place, line in enumerate(self.body.wrap(console, width)):
            head = Text(" " * self.indent)
            if place == 0:
                head = self.mark.copy()
                head.pad_right(max(self.indent - head.cell_len, 0))
            line.rstrip()
            yield Text.assemble(head, line)


@dataclass(frozen=True)
class Either:
    """What is shown where there is room for it, and what is shown where there is not."""

    wide: RenderableType
    narrow: RenderableType

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        needed = Measurement.get(console, options.update(width=1000), self.wide).maximum
        yield self.wide if needed <= options.max_width else self.narrow


def paragraph(text: str, style: str = "") -> Hung:
    """Return a paragraph of its own."""
    return Hung(Text(), Text(text, style=style), 0)


def verdict_mark(verdict: Verdict, word: str) -> Text:
    """Return the sign and the word of a verdict."""
    return Text(f"{SIGNS[verdict]} {word}", style=STYLES[verdict])
