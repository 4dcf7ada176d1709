"""A file of a folder, read by whatever reader its content wants."""

import importlib
from typing import Any

from auditor.core.errors import InputError
from auditor.core.text import clean_text
from auditor.opening.kinds import reader_of_file
from auditor.opening.reading import Reading


def read_part(reading: Reading, name: str) -> tuple[str, Any]:
    """Return what a file of a folder is, and what stands in it.

    Raises:
        InputError: it is refused; the message names the file.
    """
    part = reading.part(name)
    try:
        reader = reader_of_file(part.first, name)
        container, tree = importlib.import_module(f"auditor.opening.readers.{reader}").read(part)
    except InputError as error:
        raise InputError(f"{clean_text(name, 120)}: {error}") from error
    return container, tree
