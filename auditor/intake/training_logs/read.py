"""Reading one file as a log of training, whatever its format and name."""

from pathlib import Path

from auditor.core.text import clean_text
from auditor.intake.training_logs.delimited import read_delimited
from auditor.intake.training_logs.events import is_events, read_events
from auditor.intake.training_logs.json_text import read_json
from auditor.intake.training_logs.shape import log_of_table
from auditor.intake.training_logs.table import LogTable, UnreadableLogError
from auditor.observations.training_log import TrainingLog

LARGEST = 32_000_000
"""Bytes of the largest text that is read; at some 100 bytes a row it has 300,000 of them."""
LARGEST_EVENTS = 256_000_000
"""Bytes of the largest event file, which may hold pictures as well."""

EXPECTED = (
    "expected a CSV table, JSON or JSON lines, a trainer's `trainer_state.json`, Lightning's "
    "`metrics.csv`, event files of TensorBoard, or the Recorder's `*.audit.jsonl`"
)

MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8-sig"}
"""Byte-order marks; spreadsheets and PowerShell write them."""


def read_log(path: Path, source: str) -> TrainingLog:
    """Return the run that a file tells of; `source` names it for people.

    Raises:
        UnreadableLogError: it is no log of training.
    """
    return log_of_table(read_table(path), source)


def read_table(path: Path) -> LogTable:
    """Return the rows of a file.

    Raises:
        UnreadableLogError: it can't be read, is too large, or is no log of training.
    """
    try:
        if not path.is_file():
            raise UnreadableLogError("it is no regular file")
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(64)
        events = is_events(head)
        if size > (LARGEST_EVENTS if events else LARGEST):
            raise UnreadableLogError(f"it is too large to be read ({size:,} bytes)")
        if events:
            return read_events(path)
        return read_text(path.read_bytes())
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or str(error)
        raise UnreadableLogError(f"it can't be read: {clean_text(said, 120)}") from error


def read_text(data: bytes) -> LogTable:
    """Return the rows of a text, by what it begins with.

    Raises:
        UnreadableLogError: it is no text, or no log of training.
    """
    encoding = next((name for mark, name in MARKS.items() if data.startswith(mark)), "utf-8")
    if encoding == "utf-8" and b"\x00" in data[:4096]:
        raise UnreadableLogError("it holds bytes that are no text")
    text = data.decode(encoding, errors="replace")
    if not text.strip():
        raise UnreadableLogError("it is empty")
    return read_json(text) if text.lstrip()[0] in "{[" else read_delimited(text)
