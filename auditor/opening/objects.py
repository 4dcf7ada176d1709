"""What everyday objects mean: paths, dates, settings, collections, and objects of any class."""

import datetime
from pathlib import PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any

from auditor.core.text import clean_text
from auditor.opening.arrays import raw_bytes
from auditor.opening.contents import Opaque
from auditor.opening.pickled import StandIn

if TYPE_CHECKING:
    from auditor.opening.meaning import Meaning

MOST_PARTS = 256

OWN = frozenset({"_metadata"})
SHADOWED = frozenset(dir(dict))
"""Attributes that no mapping has of its own, for they are how one looks into it."""


def held(meaning: "Meaning", value: StandIn) -> Any:
    """Return the plain values in an object of an unknown class.

    They are what was put into it, else its attributes, else what it was made of: one value, such
    as that of a member of an enumeration, or a list.
    """
    if value.pairs:
        if not SHADOWED.isdisjoint(attributes_of(value)):
            raise meaning.refusal("a mapping whose attributes hide what stands in it")
        return meaning.mapping(value.pairs)
    if value.members:
        return [meaning.of(member) for member in value.members]
    attributes = attributes_of(value)
    if attributes:
        return meaning.mapping(
            (key, inner) for key, inner in attributes.items() if isinstance(key, str)
        )
    if value.state is not None and not isinstance(value.state, dict):
        return meaning.of(value.state)
    if len(value.made_of) == 1:
        return meaning.of(value.made_of[0])
    return [meaning.of(part) for part in value.made_of] or None


def attributes_of(value: StandIn) -> dict[Any, Any]:
    """Return the attributes that an object would have been given, those of slots too."""
    parts = value.state if isinstance(value.state, tuple) else (value.state,)
    found: dict[Any, Any] = {}
    for part in parts[:2]:
        if isinstance(part, dict):
            found.update(part)
    return found


def _mapping(meaning: "Meaning", value: StandIn) -> Any:
    """Return an `OrderedDict`, a `Counter`, a `defaultdict` or a `dict`.

    Those of state dicts have one attribute, `_metadata`. Others could hide what stands in it.
    """
    if value.state is not None and not (
        isinstance(value.state, dict) and value.state.keys() <= OWN
    ):
        raise meaning.refusal("a mapping with attributes of its own")
    first: Any = ()
    for part in value.made_of:
        if isinstance(part, dict):
            first = part.items()
        elif isinstance(part, list | tuple):
            first = part
    return meaning.mapping([*((key, inner) for key, inner in first), *value.pairs])


def _sequence(meaning: "Meaning", value: StandIn) -> Any:
    first = value.made_of[0] if value.made_of else ()
    if not isinstance(first, list | tuple | set | frozenset):
        return Opaque(value.name)
    return [meaning.of(member) for member in (*first, *value.members)]


def _text(meaning: "Meaning", value: StandIn) -> Any:
    return meaning.of(str(value.made_of[0]) if value.made_of else "")


def _bytes(meaning: "Meaning", value: StandIn) -> Opaque:
    return Opaque("bytes")


def _number(meaning: "Meaning", value: StandIn) -> Any:
    """Return an `int`, a `float` or a `bool` of a class of its own."""
    return meaning.of(value.made_of[0]) if value.made_of else 0


def _complex(meaning: "Meaning", value: StandIn) -> str:
    real, imaginary = (*value.made_of, 0.0)[:2]
    return str(complex(float(real), float(imaginary)))


def _device(meaning: "Meaning", value: StandIn) -> str:
    return clean_text(":".join(str(part) for part in value.made_of[:2]), 40)


def _path(meaning: "Meaning", value: StandIn) -> Any:
    kind = PureWindowsPath if "Windows" in value.name else PurePosixPath
    parts = value.made_of[:MOST_PARTS]
    return meaning.of(str(kind(*(part for part in parts if isinstance(part, str)))))


def _moment(meaning: "Meaning", value: StandIn) -> Any:
    """Return a date, a time or both as ISO text."""
    made = value.made_of
    if made and not isinstance(made[0], int):
        data = raw_bytes(made[0])
        made = {
            4: lambda: (data[0] << 8 | data[1], *data[2:]),
            6: lambda: (*data[:3], int.from_bytes(data[3:])),
            10: lambda: (data[0] << 8 | data[1], *data[2:7], int.from_bytes(data[7:])),
        }[len(data)]()
    numbers = [part for part in made if type(part) is int]
    kind = getattr(datetime, value.name.rpartition(".")[2])
    numbers[0 if kind is datetime.time else 1] %= 128  # the bit above marks the hour told twice
    return str(kind(*numbers).isoformat())


def _span(meaning: "Meaning", value: StandIn) -> Any:
    if value.name.endswith("timedelta") and all(type(n) is int for n in value.made_of):
        return str(datetime.timedelta(*value.made_of[:3]))
    return Opaque(value.name, [meaning.of(part) for part in value.made_of])


def _config(meaning: "Meaning", value: StandIn) -> Any:
    """Return what a mapping, a list or a node of OmegaConf holds, without what it hangs on."""
    meaning.reading.classes[value.name] = None
    attributes = attributes_of(value)
    return meaning.of(attributes.get("_content", attributes.get("_val")))


MAKERS = {
    **dict.fromkeys(
        (
            "collections.OrderedDict",
            "collections.Counter",
            "collections.defaultdict",
            "builtins.dict",
        ),
        _mapping,
    ),
    **dict.fromkeys(
        (
            "collections.deque",
            "torch.Size",
            *(f"builtins.{name}" for name in ("list", "tuple", "set", "frozenset")),
        ),
        _sequence,
    ),
    **dict.fromkeys(("builtins.str", "torch.torch_version.TorchVersion"), _text),
    **dict.fromkeys(("builtins.bytes", "builtins.bytearray", "_codecs.encode"), _bytes),
    **dict.fromkeys(("builtins.int", "builtins.float", "builtins.bool"), _number),
    "builtins.complex": _complex,
    "torch.device": _device,
    **dict.fromkeys(
        (
            f"{module}.{pure}{kind}Path"
            for module in ("pathlib", "pathlib._local")
            for pure in ("", "Pure")
            for kind in ("", "Posix", "Windows")
        ),
        _path,
    ),
    **dict.fromkeys((f"datetime.{name}" for name in ("date", "time", "datetime")), _moment),
    **dict.fromkeys(("datetime.timedelta", "datetime.timezone"), _span),
    **dict.fromkeys(
        (
            "omegaconf.dictconfig.DictConfig",
            "omegaconf.listconfig.ListConfig",
            *(
                f"omegaconf.nodes.{name}Node"
                for name in ("Any", "String", "Integer", "Float", "Boolean", "Enum", "Path")
            ),
            *(f"omegaconf.nodes.{name}" for name in ("BytesNode", "UnionNode", "ValueNode")),
        ),
        _config,
    ),
}
"""What tells the meaning of everyday classes, by their dotted names."""
