"""TensorBoard's event files, read by the library itself (extra `tensorboard`)."""

import contextlib
import io
import struct
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from auditor.core.text import clean_text
from auditor.intake.training_logs.table import (
    LONGEST_NAME,
    MOST_ROWS,
    LogTable,
    UnreadableLogError,
    tabled,
)

FORMAT = "TensorBoard events"
WANTED = "`pip install 'auditor[tensorboard]'` reads it"
LARGEST_RECORD = 256_000_000
"""Bytes that the first record may claim to have; others are read up to the end of the file."""


def is_events(head: bytes) -> bool:
    """Tell whether a file begins like TensorBoard's: a record of the format's version."""
    return b"brain.Event:" in head[:64]


def read_events(path: Path) -> LogTable:
    """Return the scalars of an event file, those of one step as one row.

    Raises:
        UnreadableLogError: TensorBoard is not installed, or can't read the file.
    """
    _whole_records(path)
    rows: dict[int, dict[str, Any]] = {}
    for step, tag, value in _scalars(path):
        if len(rows) > MOST_ROWS:
            break
        rows.setdefault(step, {"step": step})[tag[:LONGEST_NAME]] = value
    if not rows:
        raise UnreadableLogError("it is an event file of TensorBoard without scalars")
    return tabled(FORMAT, rows.values())


def _scalars(path: Path) -> Iterator[tuple[int, str, float]]:
    try:
        loader = import_module("tensorboard.backend.event_processing.event_file_loader")
        arrays = import_module("tensorboard.util.tensor_util")
    except ImportError as error:
        raise UnreadableLogError(f"it is an event file of TensorBoard; {WANTED}") from error
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            for event in loader.EventFileLoader(str(path)).Load():
                for value in event.summary.value:
                    kind = value.metadata.plugin_data.plugin_name
                    if value.HasField("simple_value"):
                        yield event.step, value.tag, value.simple_value
                    elif value.HasField("tensor") and kind == "scalars":
                        yield event.step, value.tag, float(arrays.make_ndarray(value.tensor))
    except Exception as error:
        said = clean_text(f"{type(error).__name__}: {error}", 120)
        raise UnreadableLogError(f"TensorBoard can't read it: {said}") from error


def _whole_records(path: Path) -> None:
    """Refuse a file whose lengths lead nowhere, before anything makes room for what they claim.

    A last record that was cut off, as of a run that was killed, is no fault.
    """
    with path.open("rb") as file:
        while len(head := file.read(12)) == 12:
            (length,) = struct.unpack("<Q", head[:8])
            if length > LARGEST_RECORD:
                raise UnreadableLogError(
                    "it begins like an event file of TensorBoard, and is a damaged one"
                )
            file.seek(length + 4, io.SEEK_CUR)
