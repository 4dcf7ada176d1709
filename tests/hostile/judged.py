"""Whether what became of a case is what must: no payload ran, nothing broke, the message is fit."""

import unicodedata
from pathlib import Path

from auditor.core.text import clean_text
from tests.hostile.cases import Bait, Case, Read, Refused

MOST_LINES = 5
LONGEST_LINE = 2_000


def assert_fit(message: str) -> None:
    """Assert that a message is one that may stand in a terminal and a log."""
    lines = message.rstrip("\n").split("\n")
    assert 1 <= len(lines) <= MOST_LINES, message
    assert all(0 < len(line) <= LONGEST_LINE for line in lines), message
    unsafe = {unicodedata.category(letter) for line in lines for letter in line}
    assert not unsafe & {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}, ascii(message)
    lowered = message.lower()
    for advice in ("weights_only", "traceback", "trust the source"):
        assert advice not in lowered, message


def assert_what_must(case: Case, path: Path, refusal: str | None) -> None:
    """Assert that a case was refused with a fit message, or read, whichever must be.

    What the message says of the reason is looked for beside the path, which has words of its own.
    """
    if refusal is not None:
        assert not isinstance(case.must, Read), f"refused: {refusal}"
        assert_fit(refusal)
    match case.must:
        case Refused(says):
            assert refusal is not None, "it was read"
            reason = refusal.replace(clean_text(path), "").lower()
            assert any(word.lower() in reason for word in says), refusal


def assert_untouched(bait: Bait, before: dict[str, tuple[int, int]]) -> None:
    """Assert that no payload ran and that nothing was written beside the file."""
    assert not bait.marker.exists(), "the payload ran"
    assert looked_at(bait.folder) == before


def looked_at(folder: Path) -> dict[str, tuple[int, int]]:
    """Return size and time of the last change of whatever lies in a folder."""
    facts = {str(path): path.lstat() for path in sorted(folder.rglob("*"))}
    return {name: (told.st_size, told.st_mtime_ns) for name, told in facts.items()}
