"""Which of the things in a checkpoint are the model's weights."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from auditor.core.errors import InputError
from auditor.core.text import clean_text, listed
from auditor.opening.contents import Opaque, SparseAt, Tensor

WEIGHT_KEYS = (
    "state_dict",
    "model_state_dict",
    "model",
    "model_state",
    "net",
    "network",
    "module",
    "weights",
    "params",
)
"""Where training scripts put the weights, in the order they are looked for."""

OPTIMIZER_KEYS = ("optimizer", "optimizer_state_dict", "optim", "optimizer_states")

BESIDES = frozenset({*OPTIMIZER_KEYS, "scheduler", "lr_scheduler", "lr_schedulers", "scaler"})
"""Keys under which tensors stand that are no weights; so do those that hold the words of `RNG`."""

RNG = "rng"

AVERAGED = frozenset({"ema", "swa", "averaged", "shadow"})
"""Words in the keys of weights that were averaged over training."""

DEEPEST = 4
MOST = 64
"""State dicts that are listed at most."""


@dataclass(frozen=True)
class StateDict:
    """A dict of named tensors: the dotted key that it stands under, "" where it is the whole.

    `averaged` tells whether its key speaks of an average of the weights over training.
    """

    key: str
    tensors: int
    averaged: bool = False


def state_dicts_in(tree: Any) -> tuple[StateDict, ...]:
    """Return every state dict in a checkpoint's tree, those that are looked for first in front."""
    found: list[StateDict] = []

    def walk(value: Any, key: str, depth: int) -> None:
        held = _held(value)
        if not isinstance(held, Mapping) or len(found) >= MOST:
            return
        if tensors := _named_tensors(held):
            found.append(StateDict(key, tensors, _averaged(key)))
        elif depth < DEEPEST and not _is_optimizer(held):
            for name in sorted(held, key=_order):
                if isinstance(name, str) and name.lower() not in BESIDES and not _random(name):
                    walk(held[name], f"{key}.{name}" if key else name, depth + 1)

    walk(tree, "", 0)
    return tuple(found)


def state_dict_of(
    tree: Any, key: str | None, classes: tuple[str, ...] = ()
) -> tuple[StateDict, tuple[StateDict, ...]]:
    """Return the state dict to audit, and the others beside it.

    It is the one under `key`; without one, the only one that is no average, or the only one under
    the first of `WEIGHT_KEYS` that there is.

    `classes` are what the checkpoint asks for, which may be why there is none.

    Raises:
        InputError: there is none, or several and none of them is named; or its tensors are sparse.
    """
    everything = state_dicts_in(tree)
    if key is not None:
        held = _held(part_of(tree, key))
        tensors = _named_tensors(held) if isinstance(held, Mapping) else 0
        if not tensors:
            raise InputError(f"model.key: {clean_text(key, 60)!r} holds no state dict")
        named = StateDict(key, tensors, _averaged(key))
    elif not everything:
        asked = f"\n  It asks for classes, which are not made: {listed(list(classes))}"
        raise InputError(
            f"no state dict (a dict of named tensors) in it; it {_what(tree)}"
            f"{asked if classes else ''}"
        )
    else:
        named = _picked(everything)
    for name, value in _held(part_of(tree, named.key)).items():
        if isinstance(value, SparseAt):
            raise InputError(
                f"{clean_text(name, 120)} is sparse ({value.layout}), and weights are audited "
                "dense; save `tensor.to_dense()` of it"
            )
    return named, tuple(other for other in everything if other.key != named.key)


def part_of(held: Any, key: str) -> Any:
    """Return what stands under a dotted key; stand-ins are looked through.

    Raises:
        InputError: there is nothing; it names the nearest key.
    """
    rest = key
    while rest:
        inner = _held(held)
        known = [str(name) for name in inner] if isinstance(inner, Mapping) else []
        fits = [name for name in known if rest == name or rest.startswith(f"{name}.")]
        if not fits:
            first = rest.partition(".")[0]
            near = difflib.get_close_matches(first, known, n=1)
            hint = f"it has {listed(known) or 'no keys'} there"
            if near:
                hint = f"did you mean {clean_text(near[0], 60)!r}?"
            asked = "" if first == key else f" of {clean_text(key, 60)!r}"
            raise InputError(
                f"model.key: no {clean_text(first, 60)!r}{asked} in the checkpoint; {hint}"
            )
        longest = max(fits, key=len)
        held = inner[longest] if longest in inner else inner[int(longest)]
        rest = rest[len(longest) + 1 :]
    return held


def _picked(everything: tuple[StateDict, ...]) -> StateDict:
    """Return the state dict that can only be meant.

    Raises:
        InputError: there are several.
    """
    raw = [one for one in everything if not one.averaged] or list(everything)
    first = raw[0]
    if len(raw) == 1 or _order(first.key.rpartition(".")[2]) < _order(
        raw[1].key.rpartition(".")[2]
    ):
        return first
    keys = [one.key for one in raw]
    raise InputError(
        f"several state dicts: {listed(keys)}; say which with `--key {clean_text(keys[0], 40)}`, "
        f"or in a spec with `model: {{key: {clean_text(keys[0], 40)}}}`"
    )


def _held(value: Any) -> Any:
    return value.held if isinstance(value, Opaque) else value


def _named_tensors(held: Mapping[Any, Any]) -> int:
    """Return how many tensors a state dict has, 0 for what is none.

    Modules may keep what is no tensor under `_extra_state`; some libraries write a bias that a
    layer lacks as None.
    """
    tensors = 0
    for name, value in held.items():
        if isinstance(value, Tensor) and isinstance(name, str):
            tensors += 1
        elif not isinstance(name, str) or not (
            name.endswith("_extra_state") or (value is None and "." in name)
        ):
            return 0
    return tensors


def _is_optimizer(held: Mapping[Any, Any]) -> bool:
    return "param_groups" in held and "state" in held


def _averaged(key: str) -> bool:
    words = key.lower().replace(".", "_").split("_")
    return not AVERAGED.isdisjoint(words)


def _random(name: str) -> bool:
    return RNG in name.lower().split("_")


def _order(name: Any) -> int:
    return WEIGHT_KEYS.index(name) if name in WEIGHT_KEYS else len(WEIGHT_KEYS)


def _what(tree: Any) -> str:
    held = _held(tree)
    if not isinstance(held, Mapping):
        return f"holds {_kind(tree)}"
    there = listed([str(key) for key in held])
    return f"has {there}" if there else "is empty"


def _kind(tree: Any) -> str:
    match tree:
        case Opaque(name):
            return f"an object of {clean_text(name, 80)}"
        case list():
            return "a list"
    return "a tensor" if isinstance(tree, Tensor) else f"a {type(tree).__name__}"
