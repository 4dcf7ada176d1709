"""Walking through a checkpoint's tree: its mappings and lists, stand-ins looked through."""

from collections.abc import Callable, Iterator
from typing import Any

from auditor.opening.contents import Opaque


def mapped(tree: Any, made: Callable[[Any], Any]) -> Any:
    """Return the same tree with `made` of each of its tensors and plain values in their place."""
    match tree:
        case dict():
            return {key: mapped(inner, made) for key, inner in tree.items()}
        case list():
            return [mapped(inner, made) for inner in tree]
        case Opaque():
            return mapped(tree.held, made)
    return made(tree)


def leaves(tree: Any) -> Iterator[Any]:
    """Yield the tensors and plain values in a tree, in no order to rely on."""
    left = [tree]
    while left:
        match value := left.pop():
            case dict():
                left.extend(value.values())
            case list():
                left.extend(value)
            case Opaque():
                left.append(value.held)
            case _:
                yield value
