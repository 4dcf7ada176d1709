"""From stand-ins to tensors and plain values: what a pickle means, without having made it.

`Meaning` walks through what `read_pickle` returned. What it finds of known names is told by
`tensors`, `arrays` and `objects`, a function for each name; modules by `modules`; anything else is
an `Opaque`.
"""

import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from auditor.core.errors import InputError
from auditor.core.text import clean_text
from auditor.opening import arrays, modules, objects, tensors
from auditor.opening.contents import Opaque, SparseAt, TensorAt
from auditor.opening.names import is_plain
from auditor.opening.pickled import StandIn
from auditor.opening.reading import Reading
from auditor.opening.tensors import Dense, Storage, dtype_of_storage

__all__ = ["Meaning", "Storage", "dtype_of_storage"]

DEEPEST = 64
MOST_VALUES = 1_000_000
LONGEST_TEXT = 65_536
LONGEST_KEY = 4_096

KNOWN = {**tensors.MAKERS, **arrays.MAKERS, **objects.MAKERS}
"""What tells the meaning of a stand-in, by its name."""

UNFIT = (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, struct.error)
"""What telling a meaning raises where a stand-in was made of what its name does not take."""


class Meaning:
    """Turns what `read_pickle` returned into a tree of `Contents`."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self._left = MOST_VALUES
        self._open: set[int] = set()
        self._keys: list[str] = []
        self._in_objects = 0
        self._told: set[int] = set()

    def of(self, value: Any) -> Any:
        """Return the tree of a value.

        Raises:
            InputError: it is nested too deeply, in itself, too large, or a tensor in it lies.
        """
        self.count()
        if value is None or isinstance(value, bool | float):
            return value
        if isinstance(value, int):
            return value if -(2**63) <= value < 2**64 else clean_text(value, 40)
        if isinstance(value, str):
            return value if len(value) <= LONGEST_TEXT else clean_text(value, LONGEST_TEXT)
        within_itself, deep = id(value) in self._open, len(self._open) >= DEEPEST
        if within_itself or deep:
            if self._in_objects:  # objects point to their owners: what was told is not told again
                return Opaque(_name(value))
            raise self.refusal(
                "a value that stands within itself"
                if within_itself
                else f"values nested more than {DEEPEST} deep"
            )
        self._open.add(id(value))
        try:
            return self._composed(value)
        finally:
            self._open.discard(id(value))

    def mapping(self, items: Iterable[tuple[Any, Any]]) -> Any:
        """Return a mapping whose keys are texts or whole numbers.

        Other plain keys are written out, long ones cut, and a mapping with keys of other kinds is
        opaque: none of these may have tensors under them.
        """
        made: dict[str | int, Any] = {}
        odd = opaque = False
        for key, inner in items:
            name = key
            if isinstance(key, bool) or not isinstance(key, str | int):
                odd, opaque = True, opaque or not _is_plain_key(key)
                name = clean_text(key, 200) if _is_plain_key(key) else f"key {len(made)}"
            elif isinstance(key, int):
                odd = odd or not -(2**63) <= key < 2**64
                name = clean_text(key, 40) if odd else key
            elif len(key) > LONGEST_KEY:
                odd, name = True, clean_text(key, 200)
            with self.under(name):
                if name in made:
                    raise self.refusal("the same key twice")
                made[name] = self.of(inner)
        if len({str(name) for name in made}) != len(made):
            raise self.refusal("keys that are the same when written out")
        tensors_in = any(isinstance(inner, TensorAt | SparseAt) for inner in made.values())
        if odd and tensors_in and not self._in_objects:
            raise self.refusal("tensors under keys that are no texts of a usual length")
        return Opaque("dict") if opaque else made

    def count(self) -> None:
        """Take down that one more value was met.

        Raises:
            InputError: they are too many.
        """
        self._left -= 1
        if self._left < 0:
            raise InputError(f"it holds more than {MOST_VALUES:,} values")

    @contextmanager
    def under(self, key: object) -> Iterator[None]:
        """Take down that what follows stands under a key."""
        self._keys.append(str(key)[:80])
        yield
        self._keys.pop()

    def refusal(self, what: str) -> InputError:
        """Return the error that names the place of something that is refused."""
        place = ".".join(self._keys[:16])
        return InputError(f"it holds {what}" + (f" (at {clean_text(place, 200)})" if place else ""))

    def called(self, name: str, made_of: tuple[Any, ...]) -> Any:
        """Return the meaning of calling a known name.

        Raises:
            InputError: the name is not known.
        """
        if name not in KNOWN:
            raise self.refusal(f"a tensor rebuilt by {clean_text(name, 80)}")
        known = type("StandIn", (StandIn,), {"__slots__": (), "name": name})
        return KNOWN[name](self, known(*made_of))

    def _composed(self, value: Any) -> Any:
        if isinstance(value, dict):
            return self.mapping(value.items())
        if isinstance(value, Storage):
            return Opaque("torch.Storage")
        if isinstance(value, Dense):
            return tensors.placed(self, *value)
        if isinstance(value, list | tuple | set | frozenset):
            return [self.of(inner) for inner in value]
        if isinstance(value, StandIn):
            return self._object(value)
        if isinstance(value, type) and issubclass(value, StandIn):
            return self._named(value.name)
        return Opaque(type(value).__name__)

    def _object(self, value: StandIn) -> Any:
        maker = KNOWN.get(value.name)
        if maker is not None:
            try:
                return maker(self, value)
            except UNFIT as error:
                raise self.refusal(f"a {clean_text(value.name, 80)} that is none") from error
        self.reading.classes[value.name] = None
        if (parts := modules.parts_of(value)) is not None:
            return Opaque(value.name, modules.state_dict(self, parts))
        if value.state is not None or value.pairs or value.members:
            if id(value) in self._told and self._in_objects:
                return Opaque(value.name)
            self._told.add(id(value))
        self._in_objects += 1
        try:
            return Opaque(value.name, objects.held(self, value))
        finally:
            self._in_objects -= 1

    def _named(self, name: str) -> Any:
        if is_plain(name):
            return name
        self.reading.classes[name] = None
        return Opaque(name)


def _is_plain_key(key: Any) -> bool:
    """Tell whether a key is a number, nothing, or a short tuple of plain keys."""
    if isinstance(key, tuple):
        return len(key) <= 8 and all(isinstance(part, str | int | float | None) for part in key)
    return key is None or isinstance(key, bool | float)


def _name(value: Any) -> str:
    return value.name if isinstance(value, StandIn) else type(value).__name__
