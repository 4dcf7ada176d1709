"""Folders of a model: one file of weights or several shards, and the states of its trainer."""

from typing import Any

from auditor.core.errors import InputError
from auditor.core.text import clean_text, counted, listed
from auditor.opening.contents import Opaque, Tensor
from auditor.opening.folders import layout_of
from auditor.opening.listing import listing_of
from auditor.opening.readers.one_file import read_part
from auditor.opening.reading import Reading
from auditor.opening.shards import index_of, together

Tree = dict[str, Any]


def read(reading: Reading) -> tuple[str, Any]:
    """Return the weights in a folder, and the states that lie beside them."""
    layout = layout_of(listing_of(reading.path))
    reading.notes += layout.notes
    if layout.weights.endswith(".json"):
        container, tree = _sharded(reading, layout.weights)
    else:
        container, tree = read_part(reading, layout.weights)
    states = {key: _state(reading, name) for key, name in layout.states}
    return f"{layout.what} ({container})", _beside(tree, states) if states else tree


def _sharded(reading: Reading, index: str) -> tuple[str, Tree]:
    places = index_of(reading, index)
    names = sorted(set(places.values()))
    missing = [name for name in names if not (reading.path / name).is_file()]
    if missing:
        raise InputError(
            f"{clean_text(index, 120)} names {counted(len(missing), 'shard')} that "
            f"{'is' if len(missing) == 1 else 'are'} missing: {listed(missing)}"
        )
    read = {name: read_part(reading, name) for name in names}
    weights, notes = together(
        places, {name: _named(name, tree) for name, (_, tree) in read.items()}
    )
    reading.notes += notes
    metadata: Tree = {}
    for _, tree in read.values():
        metadata |= {key: text for key, text in tree.items() if isinstance(text, str)}
    container = read[names[0]][0]
    return f"{container}, {counted(len(names), 'shard')}", {**metadata, "state_dict": weights}


def _named(shard: str, tree: Any) -> Tree:
    """Return the weights of one shard by name."""
    held = tree.get("state_dict", tree) if isinstance(tree, dict) else None
    if not isinstance(held, dict) or not _is_weights(held):
        raise InputError(f"the shard {clean_text(shard, 120)} holds no weights by name")
    return held


def _state(reading: Reading, name: str) -> Any:
    tree = read_part(reading, name)[1]
    return tree.held if isinstance(tree, Opaque) else tree


def _beside(tree: Any, states: Tree) -> Tree:
    """Return weights and states in one mapping, as training scripts save them."""
    if not isinstance(tree, dict):
        return {"model": tree, **states}
    return {"state_dict": tree, **states} if _is_weights(tree) else {**states, **tree}


def _is_weights(tree: Tree) -> bool:
    return any(isinstance(one, Tensor) for one in tree.values())
