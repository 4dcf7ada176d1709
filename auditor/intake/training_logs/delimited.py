"""Tables of text: commas, semicolons, tabs, bars or spaces between the values."""

import csv
from collections.abc import Iterator

from auditor.core.text import clean_text, counted
from auditor.intake.training_logs.table import (
    MOST_COLUMNS,
    LogTable,
    UnreadableLogError,
    number_of,
    tabled,
)

DELIMITERS = (",", ";", "\t", "|")
LOOKED_AT = 40
"""Lines by which the delimiter is told."""


def read_delimited(text: str) -> LogTable:
    """Return the rows of a table with a line of names above it.

    Lightning's `metrics.csv` and Keras' `CSVLogger` write such tables. Lines that begin with `#`
    are comments. A cell that holds no number is empty; surplus cells are left out.

    Raises:
        UnreadableLogError: there is no line of names, or nothing below it.
    """
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if not lines:
        raise UnreadableLogError("it is empty")
    delimiter = _delimiter(lines[:LOOKED_AT])
    split = _split_by(delimiter, lines)
    try:
        return _table_of(split, next(split), delimiter == ";" and _has_commas(lines))
    except csv.Error as error:
        raise UnreadableLogError(f"it is no CSV: {clean_text(error, 80)}") from error


def _table_of(split: Iterator[list[str]], head: list[str], comma: bool) -> LogTable:
    if sum(number_of(name) is not None for name in head) * 2 > len(head):
        raise UnreadableLogError(
            "its first line holds numbers, where the names of the columns are expected "
            "(`step,train_loss,val_loss`)"
        )
    names = [name.strip() or f"column {place}" for place, name in enumerate(head[:MOST_COLUMNS])]
    ragged = 0

    def rows() -> Iterator[dict[str, str]]:
        nonlocal ragged
        for cells in split:
            if cells[: len(names)] == head[: len(names)]:
                continue  # the header once more, as a resumed run writes it
            ragged += len(cells) != len(head)
            yield {
                name: cell.replace(",", ".") if comma else cell
                for name, cell in zip(names, cells, strict=False)
            }

    table = tabled("a table (CSV)", rows())
    if not table.rows:
        raise UnreadableLogError("it has a line of names, and no row of numbers below it")
    if not ragged:
        return table
    said = f"{counted(ragged, 'row')} of another length than the line of names."
    return LogTable(table.format, table.rows, (*table.notes, said))


def _delimiter(lines: list[str]) -> str:
    """Return what stands most often in the line of names, if it stands in the others as well."""
    for one in sorted(DELIMITERS, key=lambda d: -lines[0].count(d)):
        if one in lines[0] and (len(lines) == 1 or any(one in line for line in lines[1:])):
            return one
    return " " if len(lines[0].split()) > 1 else ","


def _has_commas(lines: list[str]) -> bool:
    """Tell whether decimals stand behind commas, as spreadsheets write them in many countries."""
    return not any("." in line for line in lines[1:LOOKED_AT])


def _split_by(delimiter: str, lines: list[str]) -> Iterator[list[str]]:
    if delimiter == " ":
        return (line.split() for line in lines)
    return csv.reader(lines, delimiter=delimiter)
