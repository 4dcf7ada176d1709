"""The child process that reads a checkpoint, held to limits of its own.

`python -m auditor.opening.child ROOM` finds its order in the folder ROOM and leaves there what it
found, or why it refuses. The checkpoint is its standard input, where it is a file.
"""

import contextlib
import gc
import importlib
import json
import os
import resource
import sys
from pathlib import Path

from auditor.core.errors import InputError
from auditor.core.text import clean_text
from auditor.opening.contents import Contents, contents_to_json
from auditor.opening.origin import with_origin
from auditor.opening.reading import Reading

ORDER = "order.json"
FOUND = "found.json"
SPILLED = "spill"

MEMORY = 1 << 30
"""Bytes of address space: structure and small values alone are read into memory."""

MOST_CLASSES = 1_000
"""Names of classes that are told."""


def main(room: Path) -> None:
    """Read one checkpoint, and end the process; none of its memory is worth tidying up."""
    order = json.loads((room / ORDER).read_text(encoding="utf-8"))
    gc.disable()  # It ends soon, and much of what it makes stays to the end.
    _hold_to(order["computing"], order["largest"])
    try:
        told = contents_to_json(_contents(room, order))
        text = json.dumps(told)
    except InputError as error:
        text = json.dumps({"refused": str(error)})
    except MemoryError:
        text = json.dumps({"refused": f"reading it takes more than {MEMORY >> 20:,} MB of memory"})
    except RecursionError:
        text = json.dumps({"refused": "its values are nested too deeply"})
    except OSError as error:
        text = json.dumps({"refused": f"can't be read: {clean_text(error.strerror)}"})
    except Exception as error:  # noqa: BLE001 - a broken file raises whatever it likes
        text = json.dumps({"refused": f"damaged: {type(error).__name__}: {clean_text(error, 120)}"})
    (room / FOUND).write_text(text, encoding="utf-8")
    os._exit(0)


def _contents(room: Path, order: dict[str, object]) -> Contents:
    path = Path(str(order["path"]))
    first = os.fdopen(os.dup(0), "rb") if order["file"] else None
    if first is not None:
        first.seek(0)
    allow = order["allow"]
    with (room / SPILLED).open("wb") as spill:
        reading = Reading(path, first, spill, frozenset(allow if isinstance(allow, list) else ()))
        reader = importlib.import_module(str(order["reader"]))
        container, tree = reader.read(reading)
    return Contents(
        container=with_origin(container, tree),
        tree=tree,
        files=reading.files(),
        blocks=tuple(reading.blocks),
        classes=tuple(reading.classes)[:MOST_CLASSES],
        notes=tuple(reading.notes),
    )


def _hold_to(seconds: int, largest: int) -> None:
    for limit, most in (
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, largest),
        (resource.RLIMIT_CORE, 0),
    ):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(limit, (most, most))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
