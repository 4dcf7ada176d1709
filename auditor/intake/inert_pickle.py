"""Plain values out of a small pickle, without importing or running anything of it.

Trainers pickle an object of their own that holds what they were called with. Every class and
function that the pickle names is read as an inert stand-in, which only keeps what it is given.
"""

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

from auditor.intake.kept import plain_tree

LARGEST = 32 << 10
"""Bytes of the largest pickle that is read: too few to nest values so deeply that it does harm."""


class Inert:
    """What stands in for an object: it keeps what it was made of, and does nothing."""

    made_of: tuple[Any, ...]

    def __new__(cls, *made_of: Any) -> "Inert":
        """Keep what the pickle would make the object of."""
        made = super().__new__(cls)
        made.made_of = made_of
        return made

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        return type("Inert", (Inert,), {})

    def persistent_load(self, pid: Any) -> Any:
        return None


def plain_values(path: Path) -> dict[str, Any]:
    """Return the plain values of the object in a file that torch.save wrote; nothing if unread."""
    try:
        with zipfile.ZipFile(path) as archive:
            entry = next(e for e in archive.infolist() if e.filename.endswith("data.pkl"))
            if entry.file_size > LARGEST:
                return {}
            held = _Reader(io.BytesIO(archive.read(entry))).load()
    except Exception:  # noqa: BLE001 - a broken pickle raises whatever it likes
        return {}
    state = getattr(held, "state", held)
    if not isinstance(state, dict):
        return {}
    return plain_tree({k: _member(value) for k, value in state.items() if isinstance(k, str)})


def _member(value: Any) -> Any:
    """Return the value that a member of an enumeration is made of; what is plain, as it is."""
    if isinstance(value, Inert):
        return value.made_of[0] if len(value.made_of) == 1 else None
    return value
