"""Pickled modules: their state dict, in the order and by the names that PyTorch gives it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from auditor.opening.contents import SparseAt, TensorAt
from auditor.opening.objects import attributes_of
from auditor.opening.pickled import StandIn

if TYPE_CHECKING:
    from auditor.opening.meaning import Meaning

DEEPEST = 128
"""Modules within modules; PyTorch gives up at Python's own limit, a little later."""

MOST_TENSORS = 200_000


def parts_of(value: StandIn) -> dict[Any, Any] | None:
    """Return the attributes of a pickled module, None of any other object."""
    attributes = attributes_of(value)
    is_module = all(
        _items(attributes.get(name)) is not None for name in ("_parameters", "_buffers", "_modules")
    )
    return attributes if is_module else None


def state_dict(meaning: "Meaning", parts: dict[Any, Any]) -> dict[str, TensorAt | SparseAt]:
    """Return the tensors of a module and of those in it, by name.

    Raises:
        InputError: modules are nested in themselves or too deeply, or hold what is no tensor.
    """
    found: dict[str, TensorAt | SparseAt] = {}
    for name, tensor in _tensors(meaning, parts, "", 0):
        with meaning.under(name):
            made = meaning.of(tensor)
            if not isinstance(made, TensorAt | SparseAt):
                raise meaning.refusal("a module's parameter or buffer that is no tensor")
            if name in found:
                raise meaning.refusal("the same name twice")
            if len(found) >= MOST_TENSORS:
                raise meaning.refusal(f"a module of more than {MOST_TENSORS:,} tensors")
            found[name] = made
    return found


def _tensors(
    meaning: "Meaning", parts: dict[Any, Any], prefix: str, depth: int
) -> Iterator[tuple[str, Any]]:
    meaning.count()
    if depth > DEEPEST:
        raise meaning.refusal(f"modules nested more than {DEEPEST} deep, or in themselves")
    passing = parts.get("_non_persistent_buffers_set")
    if isinstance(passing, StandIn):  # a set, in old protocols
        passing = passing.made_of[0] if passing.made_of else ()
    left_out = list(passing) if isinstance(passing, set | list | tuple) else []
    for name, tensor in _items(parts["_parameters"]) or ():
        if tensor is not None:
            yield f"{prefix}{name}", tensor
    for name, tensor in _items(parts["_buffers"]) or ():
        if tensor is not None and name not in left_out:
            yield f"{prefix}{name}", tensor
    for name, module in _items(parts["_modules"]) or ():
        if module is None:
            continue
        inner = parts_of(module) if isinstance(module, StandIn) else None
        if inner is None:
            raise meaning.refusal(f"a module {prefix}{name!s:.80} that is none")
        meaning.reading.classes[module.name] = None
        yield from _tensors(meaning, inner, f"{prefix}{name}.", depth + 1)


def _items(value: Any) -> list[tuple[str, Any]] | None:
    """Return the entries of a mapping with names for keys; None of anything else."""
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, StandIn) and value.name in ("collections.OrderedDict", "builtins.dict"):
        first = value.made_of[0] if value.made_of else ()
        if isinstance(first, dict):
            first = first.items()
        items = [*first, *value.pairs] if not isinstance(first, StandIn) else []
    else:
        return None
    if not all(isinstance(item, tuple | list) and len(item) == 2 for item in items):
        return None
    return [(name, inner) for name, inner in items] if _named(items) else None


def _named(items: list[Any]) -> bool:
    return all(isinstance(name, str) for name, _ in items)
