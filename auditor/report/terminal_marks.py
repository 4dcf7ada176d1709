"""How verdicts and paragraphs look on a terminal: a sign and a word always, colour beside them."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from rich.console import Console, ConsoleOptions, RenderResult
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


def verdict_mark(verdict: Verdict, word: str) -> Text:
    """Return the sign and the word of a verdict."""
    return Text(f"{SIGNS[verdict]} {word}", style=STYLES[verdict])
