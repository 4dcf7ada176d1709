"""What holds the tensors: no dict, not quite a dict, deep, cyclic, colliding, beyond measure."""

from pathlib import Path
from typing import Any

from tests.hostile.cases import Bait, Either, Read, Refused, Shelf
from tests.hostile.opcodes import Raw, built, called, fetched, named, ops, pairs, pickled, stored
from tests.hostile.torch_files import legacy, old_storage, ordered, state, tensor, torch_zip

SHELF = Shelf("structures")

NO_STATE_DICT = Refused(("state dict",))

NOT_A_DICT: dict[str, Any] = {
    "a-number": 7,
    "a-text": "weights",
    "none": None,
    "true": True,
    "a-float": 1.5,
    "a-list": [1, 2],
    "a-list-of-tensors": [tensor(), tensor()],
    "a-tuple": (tensor(),),
    "a-tensor": tensor(),
    "a-set": Raw(b"\x8f(K\x01\x90"),
    "an-empty-dict": {},
    "an-empty-list": [],
    "a-class": named("nobody", "Net"),
    "a-dict-of-numbers": {"a": 1},
    "a-dict-of-empty-dicts": {"state_dict": {}},
    "bytes": b"weights",
}
for _id, _held in NOT_A_DICT.items():
    SHELF.add(
        f"top-is-{_id}",
        NO_STATE_DICT,
        lambda bait, held=_held: torch_zip(bait.file(), pickled(held, 4)),
    )

WEIGHT = tensor()

KEYS: dict[str, tuple[Raw, Refused | Either]] = {
    "bytes": (pairs([(b"a", WEIGHT)]), Refused(("key", "state dict"))),
    "none": (pairs([(None, WEIGHT)]), Refused(("key", "state dict"))),
    "tuple": (pairs([(("a", "b"), WEIGHT)]), Refused(("key", "state dict"))),
    "float": (pairs([(1.5, WEIGHT)]), Refused(("key", "state dict"))),
    "not-a-number": (pairs([(float("nan"), WEIGHT)]), Refused(("key", "state dict"))),
    "true": (pairs([(True, WEIGHT)]), Refused(("key", "state dict"))),
    "whole-number": (pairs([(1, WEIGHT)]), Refused(("key", "state dict"))),
    "whole-number-and-text": (pairs([("1", WEIGHT), (1, WEIGHT)]), Refused(("key", "state dict"))),
    "one-and-true": (pairs([(1, WEIGHT), (True, WEIGHT)]), Refused(("key", "state dict"))),
    "class": (pairs([(named("nobody", "Key"), WEIGHT)]), Refused(("key", "state dict"))),
    "object": (
        pairs([(called(named("nobody", "Key")), WEIGHT)]),
        Refused(("key", "state dict")),
    ),
    "tensor": (pairs([(tensor(), WEIGHT)]), Refused(("key", "state dict"))),
    "list": (pairs([([], WEIGHT)]), Refused(("key", "state dict", "pickle"))),
    "text-of-a-class": (
        pairs([(called(named("nobody", "Str"), "a"), WEIGHT)]),
        Refused(("key", "state dict")),
    ),
    "empty-text": (pairs([("", WEIGHT)]), Either()),
    "huge-number": (pairs([(10**400, WEIGHT)]), Refused(("key", "state dict"))),
}
for _id, (_held, _must) in KEYS.items():
    SHELF.add(f"key-is-{_id}", _must, lambda bait, held=_held: torch_zip(bait.file(), held))


@SHELF.refused("twice")
def same_key_twice(bait: Bait) -> Path:
    """Which weight is meant depends on who reads."""
    return torch_zip(bait.file(), pairs([("a", WEIGHT), ("a", tensor((4,)))]))


@SHELF.refused("twice")
def same_key_twice_set_one_by_one(bait: Bait) -> Path:
    held = Raw(b"}" + ops("a") + WEIGHT + b"s" + ops("a") + tensor((4,)) + b"s")
    return torch_zip(bait.file(), held)


@SHELF.refused("twice")
def same_key_twice_in_an_ordered_dict(bait: Bait) -> Path:
    return torch_zip(bait.file(), ordered(("a", WEIGHT), ("a", tensor((4,)))))


@SHELF.refused("twice")
def same_key_twice_by_arguments_and_items(bait: Bait) -> Path:
    first = called(named("collections", "OrderedDict"), [("a", WEIGHT)])
    return torch_zip(bait.file(), Raw(first + ops("a") + tensor((4,)) + b"s"))


@SHELF.read()
def equal_looking_keys(bait: Bait) -> Path:
    """One is composed and the other not; one has a letter of another alphabet."""
    keys = ("w\u00e9", "we\u0301", "weight", "w\u0435ight", "weight\u200b", "Weight")
    return torch_zip(bait.file(), dict.fromkeys(keys, WEIGHT))


@SHELF.read()
def ordered_with_metadata(bait: Bait) -> Path:
    """As every state_dict() of torch is."""
    metadata = ordered(("", {"version": 1}), ("layer", {"version": 2}))
    return torch_zip(bait.file(), built(ordered(("a", WEIGHT)), {"_metadata": metadata}))


@SHELF.refused("attribute")
def ordered_that_shadows_items(bait: Bait) -> Path:
    held = built(ordered(("a", WEIGHT)), {"items": named("nobody", "items")})
    return torch_zip(bait.file(), held)


@SHELF.refused("attribute")
def ordered_with_other_attributes(bait: Bait) -> Path:
    held = built(ordered(("a", WEIGHT)), {"_metadata": {}, "__class__": "x"})
    return torch_zip(bait.file(), held)


@SHELF.refused("attribute", "state", "dict")
def ordered_whose_state_is_no_dict(bait: Bait) -> Path:
    return torch_zip(bait.file(), built(ordered(("a", WEIGHT)), [1, 2]))


@SHELF.refused("pickle", "attribute")
def dict_with_attributes(bait: Bait) -> Path:
    """A plain dict has none: BUILD on one is an error or an attack."""
    return torch_zip(bait.file(), built(ops({"a": WEIGHT}), {"items": 1}))


@SHELF.refused("hide")
def dict_of_a_class(bait: Bait) -> Path:
    made = called(named("nobody", "Dict"))
    held = built(Raw(made + b"(" + ops("a") + WEIGHT + b"u"), {"items": named("nobody", "items")})
    return torch_zip(bait.file(), held)


@SHELF.read()
def default_dict(bait: Bait) -> Path:
    """An optimizer's state is one."""
    made = called(named("collections", "defaultdict"), named("builtins", "dict"))
    return torch_zip(bait.file(), state(beside=Raw(made + b"(" + ops("a") + ops(1) + b"u")))


def _cyclic(kind: str) -> Raw:
    """Return opcodes for a container that holds itself."""
    if kind == "list":
        return Raw(stored(9, Raw(b"]")) + fetched(9) + b"a")
    if kind == "dict":
        return Raw(stored(9, Raw(b"}")) + ops("me") + fetched(9) + b"s")
    if kind == "tuple":
        return Raw(stored(9, Raw(b"]")) + b"(" + fetched(9) + b"ta")
    if kind == "ordered":
        return Raw(stored(9, ordered()) + ops("me") + fetched(9) + b"s")
    if kind == "object":
        return built(Raw(stored(9, called(named("nobody", "Thing")))), {"me": fetched(9)})
    return built(Raw(stored(9, Raw(named("argparse", "Namespace") + b")\x81"))), {"me": fetched(9)})


for _kind in ("list", "dict", "tuple", "ordered", "object", "namespace"):
    # Objects point to one another in every trainer; what was told of one is not told again.
    SHELF.add(
        f"cyclic-{_kind}",
        Refused(("itself", "deep")) if _kind not in ("object", "namespace") else Read(),
        lambda bait, kind=_kind: torch_zip(bait.file(), state(beside=_cyclic(kind))),
    )


@SHELF.refused("itself", "deep")
def cyclic_state_dict(bait: Bait) -> Path:
    held = Raw(stored(9, Raw(b"}")) + b"(" + ops("a") + WEIGHT + ops("b") + fetched(9) + b"u")
    return torch_zip(bait.file(), held)


DEEP = Refused(("deep",))

for _depth in (1_000, 100_000):
    SHELF.add(
        f"lists-{_depth}-deep",
        DEEP,
        lambda bait, depth=_depth: torch_zip(
            bait.file(), state(beside=Raw(b"]" * depth + b"a" * (depth - 1)))
        ),
    )
    SHELF.add(
        f"dicts-{_depth}-deep",
        DEEP,
        lambda bait, depth=_depth: torch_zip(
            bait.file(),
            state(beside=Raw((b"}" + ops("a")) * (depth - 1) + b"}" + b"s" * (depth - 1))),
        ),
    )
    SHELF.add(
        f"tuples-{_depth}-deep",
        DEEP,
        lambda bait, depth=_depth: torch_zip(
            bait.file(), state(beside=Raw(b")" + b"\x85" * depth))
        ),
    )
    SHELF.add(
        f"objects-{_depth}-deep",
        Either(),
        lambda bait, depth=_depth: torch_zip(
            bait.file(),
            state(beside=Raw(named("nobody", "Thing") * depth + b")" + b"R\x85" * depth)),
        ),
    )
    SHELF.add(
        f"states-{_depth}-deep",
        Either(),
        lambda bait, depth=_depth: torch_zip(
            bait.file(),
            state(beside=Raw((named("nobody", "Thing") + b")\x81") * depth + b"N" + b"b" * depth)),
        ),
    )
    SHELF.add(
        f"parameters-{_depth}-deep",
        DEEP,
        lambda bait, depth=_depth: torch_zip(
            bait.file(),
            {
                "layer.weight": Raw(
                    (named("torch._utils", "_rebuild_parameter")) * depth
                    + tensor()
                    + (b"\x88" + ordered() + b"\x87R") * depth
                )
            },
        ),
    )


@SHELF.read(slow=True)
def a_hundred_thousand_entries(bait: Bait) -> Path:
    held = {f"layer.{number}.weight": fetched(3) for number in range(100_000)}
    opened = Raw(b"}(" + ops("first") + stored(3, tensor()))
    body = b"".join(ops(key) + value for key, value in held.items())
    return torch_zip(bait.file(), Raw(opened + body + b"u"))


@SHELF.refused("values", "memory", "longer", "ended", slow=True)
def ten_million_entries(bait: Bait) -> Path:
    return torch_zip(bait.file(), state(beside=Raw(b"](" + b"N" * 10_000_000 + b"e")))


def _laughs(levels: int, kind: str) -> Raw:
    """Return opcodes for a list of ten of a list of ten of ...: bytes few, values many."""
    made = ops(["ha"] * 10)
    for level in range(levels):
        ten = stored(level, made) + fetched(level) * 9
        made = Raw(b"(" + ten + b"t") if kind == "tuple" else Raw(b"](" + ten + b"e")
    return made


for _kind in ("list", "tuple"):
    for _levels in (8, 50):
        SHELF.add(
            f"laughs-of-{_kind}s-{_levels}-deep",
            Refused(("values", "deep")),
            lambda bait, kind=_kind, levels=_levels: torch_zip(
                bait.file(), state(beside=_laughs(levels, kind))
            ),
        )


@SHELF.either(slow=True)
def laughs_of_shared_text(bait: Bait) -> Path:
    """A text of a megabyte, twenty thousand times."""
    long = stored(1, "x" * (1 << 20))
    return torch_zip(bait.file(), state(beside=Raw(b"](" + long + fetched(1) * 20_000 + b"e")))


@SHELF.refused("longer", "ended", slow=True)
def laughs_of_tuples_as_a_key(bait: Bait) -> Path:
    """A key's hash is worked out over all that is in it."""
    made: Raw = ops(("ha",) * 10)
    for level in range(12):
        made = Raw(b"(" + stored(level, made) + fetched(level) * 9 + b"t")
    return torch_zip(bait.file(), state(beside=Raw(b"}" + made + ops(1) + b"s")))


@SHELF.refused("longer", "values", "deep", "memory", "pickle")
def laughs_of_frozen_sets(bait: Bait) -> Path:
    made = Raw(b"(" + ops(1) + b"\x91")
    for level in range(40):
        two = stored(level, made) + b"(" + fetched(level) + b"t"
        made = Raw(b"(" + two + b"\x91")
    return torch_zip(bait.file(), pickled(state(beside=made), 4))


@SHELF.either(slow=True)
def keys_that_collide(bait: Bait) -> Path:
    """Whole numbers that all have the same hash: a dict of them takes time in the square."""
    prime = (1 << 61) - 1
    keys = [(number * prime, 1) for number in range(1, 20_000)]
    return torch_zip(bait.file(), state(beside=pairs(keys)))


NUMBERS = {
    "of-100000-digits": ops(10**100_000),
    "of-ten-million-bits": ops(1 << 10_000_000),
    "negative-of-100000-digits": ops(-(10**100_000)),
}
for _id, _held in NUMBERS.items():
    SHELF.add(
        f"number-{_id}",
        Read(),
        lambda bait, held=_held: torch_zip(bait.file(), state(beside=held)),
    )


@SHELF.either()
def number_of_100000_digits_by_text(bait: Bait) -> Path:
    digits = b"L" + b"9" * 100_000 + b"L\n"
    return torch_zip(bait.file(), state(beside=Raw(digits)))


@SHELF.either()
def number_of_ten_million_digits_by_text(bait: Bait) -> Path:
    digits = b"L" + b"9" * 10_000_000 + b"L\n"
    return torch_zip(bait.file(), state(beside=Raw(digits)))


@SHELF.read()
def numbers_that_are_none(bait: Bait) -> Path:
    odd = [float("nan"), float("inf"), -float("inf"), -0.0, 5e-324, 2**63, -(2**63) - 1]
    return torch_zip(bait.file(), state(beside=odd, loss=float("nan"), epoch=10**30))


@SHELF.read()
def text_of_ten_megabytes(bait: Bait) -> Path:
    return torch_zip(bait.file(), state(beside="x" * 10_000_000))


@SHELF.read()
def bytes_of_ten_megabytes(bait: Bait) -> Path:
    return torch_zip(bait.file(), pickled(state(beside=b"x" * 10_000_000), 4))


@SHELF.either()
def memo_of_a_million(bait: Bait) -> Path:
    filled = b"".join(b"r" + number.to_bytes(4, "little") for number in range(1_000_000))
    return torch_zip(bait.file(), state(beside=Raw(b"N" + filled)))


@SHELF.either()
def memo_with_one_far_away(bait: Bait) -> Path:
    """Python's fast reader makes room for all numbers up to the one that is named."""
    return torch_zip(bait.file(), state(beside=Raw(b"Nr\xff\xff\xff\x7f")))


@SHELF.either()
def classes_by_the_thousand(bait: Bait) -> Path:
    """Twenty thousand different classes, of each an object."""
    held = [called(named("nobody", f"Thing{number}")) for number in range(20_000)]
    return torch_zip(bait.file(), state(beside=held))


@SHELF.refused("class", "values", "memory", "longer", "ended", slow=True)
def classes_by_the_million(bait: Bait) -> Path:
    named_ones = b"".join(named("nobody", f"T{number}") for number in range(1_000_000))
    return torch_zip(bait.file(), state(beside=Raw(b"](" + named_ones + b"e")))


@SHELF.refused("pickle")
def two_values_on_the_stack(bait: Bait) -> Path:
    """STOP takes the last of them."""
    whole = b"\x80\x02" + ops(state()) + b"0" * 9 + b"."
    return torch_zip(bait.file(), whole)


@SHELF.refused("pickle", "after")
def bytes_after_the_pickle(bait: Bait) -> Path:
    whole = pickled(state()) + pickled(called(named("os", "system"), bait.command))
    return torch_zip(bait.file(), whole)


@SHELF.refused("deep", "pickle")
def legacy_100000_deep(bait: Bait) -> Path:
    held = {"a": tensor(of=old_storage()), "b": Raw(b"]" * 100_000 + b"a" * 99_999)}
    return legacy(bait.file(), held)


@SHELF.refused("state dict")
def two_state_dicts(bait: Bait) -> Path:
    """It has to be said which of them is meant."""
    return torch_zip(bait.file(), {"one": {"a": tensor()}, "other": {"a": tensor()}})
