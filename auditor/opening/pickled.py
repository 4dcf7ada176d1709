"""Reading a pickle without importing, calling or making anything that it names.

Every name in it is a class of inert stand-ins, which keep what the pickle would have made of them;
`meaning` then tells what tensors and plain values that comes to.
"""

import pickle
from collections.abc import Callable
from typing import Any, BinaryIO

from auditor.core.errors import InputError
from auditor.core.text import clean_text
from auditor.opening.foreign import foreign_pickle

LONGEST_NAME = 1_000
"""Characters of the longest dotted name of a class."""


class StandIn:
    """What stands in for an object: it keeps what it would have been made of, and does nothing.

    `made_of` are the arguments, `state` what the object would have been given then; `members` and
    `pairs` are what would have been put into it as into a list or a mapping.
    """

    name = ""
    made_of: tuple[Any, ...]
    state: Any
    members: list[Any]
    pairs: list[tuple[Any, Any]]

    def __new__(cls, *made_of: Any, **named: Any) -> "StandIn":
        """Keep what the pickle would make the object of."""
        made = super().__new__(cls)
        made.made_of = made_of
        made.state = None
        made.members = []
        made.pairs = list(named.items())
        return made

    def __init__(self, *made_of: Any, **named: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def append(self, member: Any) -> None:
        """Keep what would be put into a list."""
        self.members.append(member)

    def extend(self, members: Any) -> None:
        """Keep what would be put into a list."""
        self.members.extend(members)

    def add(self, member: Any) -> None:
        """Keep what would be put into a set."""
        self.members.append(member)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.pairs.append((key, value))


class _Reader(pickle.Unpickler):
    def __init__(
        self, file: BinaryIO, storage: Callable[[Any], Any], known: frozenset[str] | None
    ) -> None:
        super().__init__(file, encoding="utf-8", errors="surrogateescape")
        self._storage = storage
        self._known = known
        self._classes: dict[str, type[StandIn]] = {}

    def find_class(self, module: str, name: str) -> Any:
        dotted = f"{module}.{name}"
        if len(dotted) > LONGEST_NAME:
            raise InputError(f"its pickle asks for {clean_text(dotted, 80)}")
        if self._known is not None and dotted not in self._known:
            raise InputError(
                f"its pickle asks for {clean_text(dotted, 80)}, which no file of its kind needs; "
                "nothing of it was run"
            )
        if dotted not in self._classes:
            self._classes[dotted] = type("StandIn", (StandIn,), {"name": dotted})
        return self._classes[dotted]

    def persistent_load(self, pid: Any) -> Any:
        return self._storage(pid)


def read_pickle(
    file: BinaryIO, storage: Callable[[Any], Any], known: frozenset[str] | None = None
) -> Any:
    """Return what the pickle at the file's place holds, made of stand-ins and plain values.

    `storage` is what a persistent id stands for: the storage of a tensor. `known` are the dotted
    names that it may ask for, where only some make sense.

    Raises:
        InputError: it is damaged, no pickle, one of something else, or asks for what is not known.
    """
    start = file.tell()
    kind = foreign_pickle(file.read(64))
    file.seek(start)
    if kind is not None:
        raise InputError(str(kind))
    try:
        return _Reader(file, storage, known).load()
    except (InputError, MemoryError):
        raise
    except Exception as error:
        raise InputError(
            f"not a checkpoint, or a damaged one: its pickle can't be read ({type(error).__name__})"
        ) from error
