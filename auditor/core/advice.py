"""A step of advice: a sentence and, where code helps, a block of it to paste.

In a record a step is a string: the sentence, then the code between fences as in Markdown.

    Lower the rate to 0.003:
    ```python
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
    ```
"""

import re
from dataclasses import dataclass
from typing import Literal

Language = Literal["python", "yaml", "text"]

MOST_LINES = 12
"""Lines of code in one step; more is no advice but a program."""

LONGEST_LINE = 160
"""Characters of one line of code."""

_FENCED = re.compile(
    r"(?P<text>[^\n]+)\n(?P<fence>`{3,})(?P<language>python|yaml|text)\n(?P<code>.*)\n(?P=fence)",
    re.DOTALL,
)
_TICKS = re.compile("`+")


@dataclass(frozen=True)
class Parts:
    """A step of advice taken apart; `code` is empty where it has none."""

    text: str
    code: str = ""
    language: Language = "python"


class Step(str):
    """A step with code, as `step` makes it: no other string of advice may have more than a line."""

    __slots__ = ()


def step(text: str, code: str, language: Language = "python") -> str:
    """Return a step of advice with code to paste.

    Names in the code have to be `quoted`. Code that has too many or too long lines, as a name of
    unusual length makes it, is left out: cut short it would say something else.
    """
    lines = [line.rstrip() for line in code.strip("\n").split("\n")]
    said = " ".join(text.split())
    if not code.strip():
        return said
    if len(lines) > MOST_LINES or max(map(len, lines)) > LONGEST_LINE:
        return said.removesuffix(":") + "." if said.endswith(":") else said
    marks = fence(code)
    return Step("\n".join((said, marks + language, *lines, marks)))


def one_line(advice: str) -> str:
    """Return advice as a record keeps it: a string that `step` did not make can't bring code."""
    return str(advice) if isinstance(advice, Step) else " ".join(advice.split("\n"))


def parts(advice: str) -> Parts:
    """Return the sentence and the code of a step as a record has it."""
    found = _FENCED.fullmatch(advice)
    if found is None:
        return Parts(advice)
    language: Language = found["language"]  # type: ignore[assignment]
    return Parts(found["text"], found["code"], language)


def fence(code: str) -> str:
    """Return back-ticks that no run of them in the code can end."""
    return "`" * max(3, 1 + max(map(len, _TICKS.findall(code)), default=0))


def quoted(name: object) -> str:
    """Return a literal for a text: one and the same in Python and in YAML, on one line.

    Whatever a checkpoint calls its layers, pasted code only names them. No tag opens in it, where a
    reader of Markdown overlooks that it is code.
    """
    return f'"{"".join(map(_escaped, str(name)))}"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    if character.isprintable() and character != "<":
        return character
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
