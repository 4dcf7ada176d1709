"""Reading a pickle without importing, calling or making anything that it names.

Every name in it is a class of inert stand-ins, which keep what the pickle would have made of them;
`meaning` then tells what tensors and plain values that comes to. The interpreter of the pickle's
own language is Python's: what it can reach from here are these classes, and nothing else that can
be called.
"""

import pickle
import struct
from collections.abc import Callable
from typing import Any, BinaryIO, ClassVar

from auditor.core.errors import InputError
from auditor.core.text import clean_text, listed
from auditor.opening.foreign import foreign_pickle
from auditor.opening.names import NAME, is_forbidden, is_plain, spelt

LONGEST_NAME = 1_000
"""Characters of the longest dotted name of a class."""

MOST_NAMES = 10_000
"""Names that one pickle may ask for: each costs a class."""


class StandIn:
    """What stands in for an object: it keeps what it would have been made of, and does nothing.

    `made_of` are the arguments, `state` what the object would have been given then; `members` and
    `pairs` are what would have been put into it as into a list or a mapping.
    """

    __slots__ = ("made_of", "members", "pairs", "state")

    module: ClassVar[str] = ""
    qualname: ClassVar[str] = ""
    name: ClassVar[str] = ""
    called: ClassVar[bool] = False

    made_of: tuple[Any, ...]
    state: Any
    members: list[Any]
    pairs: list[tuple[Any, Any]]

    def __new__(cls, *made_of: Any, **named: Any) -> "StandIn":
        """Keep what the pickle would make the object of."""
        cls.called = True
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


_InPython: Any = pickle._Unpickler


class _Reader(_InPython):  # type: ignore[misc]
    """Python's reader of pickles, the one that is written in Python: it lets itself be watched.

    It is hardly slower here, where the making of stand-ins takes longest.
    """

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = dict(_InPython.dispatch)

    def __init__(
        self, file: BinaryIO, storage: Callable[[Any], Any], known: frozenset[str] | None
    ) -> None:
        super().__init__(file, encoding="utf-8", errors="surrogateescape")
        self._storage = storage
        self._known = known
        self._classes: dict[tuple[str, str], type[StandIn]] = {}

    def find_class(self, module: str, name: str) -> Any:
        module, name = spelt(module, name)
        if (module, name) not in self._classes:
            dotted = f"{module}.{name}"
            if len(dotted) > LONGEST_NAME or not NAME.fullmatch(dotted):
                raise InputError(f"its pickle asks for what is no name: {clean_text(dotted, 80)}")
            if len(self._classes) >= MOST_NAMES:
                raise InputError(f"its pickle asks for more than {MOST_NAMES:,} classes")
            if self._known is not None and dotted not in self._known:
                raise InputError(
                    f"its pickle asks for {clean_text(dotted, 80)}, which no file of its kind "
                    "needs; nothing of it was run"
                )
            own: dict[str, Any] = {
                "__slots__": (),
                "module": module,
                "qualname": name,
                "name": dotted,
            }
            if dotted in ("copyreg._reconstructor", "copyreg.__newobj__"):
                own["__new__"] = _made_anew
            if dotted == "builtins.getattr":
                own["__new__"] = self._attribute
            if dotted == "builtins.type":
                own["__new__"] = _type_of
            self._classes[module, name] = type("StandIn", (StandIn,), own)
        return self._classes[module, name]

    def persistent_load(self, pid: Any) -> Any:
        return self._storage(pid)

    def load_setitem(self) -> None:
        self._put(self.stack[-3], self.stack[-2:-1], super().load_setitem)

    def load_setitems(self) -> None:
        self._put(self.metastack[-1][-1], self.stack[::2], super().load_setitems)

    def load_dict(self) -> None:
        keys = self.stack[::2]
        super().load_dict()
        _check_all_new(self.stack[-1], 0, keys)

    dispatch[pickle.SETITEM[0]] = load_setitem
    dispatch[pickle.SETITEMS[0]] = load_setitems
    dispatch[pickle.DICT[0]] = load_dict

    def _put(self, mapping: Any, keys: list[Any], put: Callable[[], None]) -> None:
        """Put items into a mapping, of which none may stand there already."""
        before = len(mapping) if isinstance(mapping, dict) else 0
        put()
        if isinstance(mapping, dict):
            _check_all_new(mapping, before, keys)

    def _attribute(self, cls: type[StandIn], owner: Any, name: Any) -> Any:
        """Return what stands in for a name within a class, or for the method of an object.

        Pickles of old protocols write classes within classes so.
        """
        asked = owner if isinstance(owner, type) else type(owner)
        if not issubclass(asked, StandIn) or not isinstance(name, str):
            raise InputError("its pickle looks up a name in what is no class")
        return self.find_class(asked.module, f"{asked.qualname}.{name}")

    def names(self) -> list[str]:
        """Return the dotted names asked for, beside those that plain tensors need."""
        return [one.name for one in self._classes.values() if not is_plain(one.name)]

    def forbidden(self) -> list[str]:
        """Return the dotted names asked for that no checkpoint needs."""
        return [
            one.name
            for one in self._classes.values()
            if is_forbidden(one.module, one.qualname, one.called)
        ]


def _check_all_new(mapping: dict[Any, Any], before: int, keys: list[Any]) -> None:
    if len(mapping) != before + len(keys):
        shown = listed([clean_text(key, 80) for key in keys], 3)
        raise InputError(f"it holds the same key twice, of {shown}; which is meant can't be told")


def _made_anew(cls: type[StandIn], made: Any, *made_of: Any) -> StandIn:
    """Return what stands in for an object that is made by way of a function of Python's."""
    if not isinstance(made, type) or not issubclass(made, StandIn):
        raise InputError("its pickle makes an object of what is no class")
    if cls.name == "copyreg._reconstructor":
        made_of = made_of[1:] if made_of[1:] != (None,) else ()
    return made.__new__(made, *made_of)


def _type_of(cls: type[StandIn], *made_of: Any) -> StandIn:
    """Return what stands in for the type of None; no other type is written as a call."""
    acts = cls.called or made_of != (None,)
    made = StandIn.__new__(cls, *made_of)
    cls.called = acts
    return made


def read_pickle(
    file: BinaryIO,
    storage: Callable[[Any], Any],
    known: frozenset[str] | None = None,
    asked: dict[str, None] | None = None,
) -> Any:
    """Return what the pickle at the file's place holds, made of stand-ins and plain values.

    `storage` is what a persistent id stands for: the storage of a tensor. `known` are the dotted
    names that it may ask for, where only some make sense. The names that it asks for, beyond those
    that plain tensors need, are put into `asked`.

    Raises:
        InputError: it is damaged, no pickle, one of something else, or asks for what no checkpoint
            needs.
    """
    start = file.tell()
    kind = foreign_pickle(file.read(64))
    file.seek(start)
    if kind is not None:
        raise InputError(str(kind))
    reader = _Reader(file, storage, known)
    try:
        held = reader.load()
    except (InputError, MemoryError):
        _refuse(reader.forbidden())
        raise
    except Exception as error:
        _refuse(reader.forbidden())
        cut = isinstance(error, EOFError | struct.error) or "truncated" in str(error)
        raise InputError(
            "damaged or truncated: its pickle ends too early"
            if cut
            else "not a checkpoint, or a damaged one: its pickle can't be read "
            f"({type(error).__name__})"
        ) from error
    _refuse(reader.forbidden())
    if asked is not None:
        asked.update(dict.fromkeys(reader.names()))
    return held


def nothing(pid: Any) -> Any:
    """Refuse a persistent id where none has a meaning."""
    raise InputError("its pickle asks for something that is no storage")


def _refuse(forbidden: list[str]) -> None:
    if forbidden:
        raise InputError(
            f"its pickle asks for {listed([clean_text(n, 120) for n in forbidden])}, which no "
            "checkpoint needs and which could do anything; nothing of it was run.\n"
            "  Ask whoever made it for the weights alone: torch.save(model.state_dict(), path), or "
            "safetensors.\n"
            "  Last resort: --allow-pickle sha256:... runs it, and it can do all that you can do."
        )
