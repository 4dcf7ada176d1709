"""Write what the documents say of the checks anew: `python scripts/make_docs.py [--check]`.

The README's table of checks stands between two markers, and comes from the checks themselves.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from auditor.checks import catalogue
from auditor.core.check import SECTIONS

ROOT = Path(__file__).resolve().parents[1]

START, END = "<!-- checks:start -->", "<!-- checks:end -->"


def checks_table() -> str:
    """Return every check by section, with what it finds."""
    return "\n".join(["| section | check | finds |", "|---|---|---|", *_rows()])


def _rows() -> Iterator[str]:
    for section, title in SECTIONS.items():
        lead = f"| {title} |"
        for check in (check for check in catalogue() if check.section == section):
            yield f"{lead} `{check.id}` | {check.finds} |"
            lead = "| |"


def with_table(text: str) -> str:
    """Return a document with the table between its markers as it has to be.

    Raises:
        ValueError: the document lacks the markers.
    """
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not (start and end):
        raise ValueError(f"the document has no {START} and {END}")
    return f"{before}{START}\n\n{checks_table()}\n\n{END}{after}"


def main() -> None:
    """Write the README, or with `--check` say whether it is stale and end with 1."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if it is stale")
    parser.add_argument("--readme", type=Path, default=ROOT / "README.md", help=argparse.SUPPRESS)
    given = parser.parse_args()
    old = given.readme.read_text(encoding="utf-8")
    new = with_table(old)
    if new == old:
        return
    if given.check:
        sys.exit(f"{given.readme}: the table of checks is stale; run `python scripts/make_docs.py`")
    given.readme.write_text(new, encoding="utf-8")
    print(given.readme)


if __name__ == "__main__":
    main()
