"""Weights spread over several files, by the index that tells which weight is in which."""

import json
from typing import Any

from auditor.core.errors import InputError
from auditor.core.text import clean_text, counted, listed
from auditor.opening.reading import Reading
from auditor.opening.unique_keys import unique_keys

LARGEST_INDEX = 64 << 20
"""Bytes of the largest index that is read."""
MOST_SHARDS = 500
LONGEST_NAME = 255
"""Characters of the longest name of a shard, as of any file."""


def index_of(reading: Reading, name: str) -> dict[str, str]:
    """Return which shard each weight is in, as the index `name` of a folder says.

    Raises:
        InputError: it is no index, or names a shard outside of the folder.
    """
    _, file = reading.open(name)
    text = file.read(LARGEST_INDEX + 1)
    if len(text) > LARGEST_INDEX:
        raise InputError(f"{clean_text(name, 120)}: an index has at most {LARGEST_INDEX:,} bytes")
    try:
        held = json.loads(text.decode(), object_pairs_hook=unique_keys("the index"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{clean_text(name, 120)}: no JSON: {clean_text(error, 80)}") from error
    places = held.get("weight_map") if isinstance(held, dict) else None
    if not isinstance(places, dict) or not places:
        raise InputError(f"{clean_text(name, 120)}: no index of shards: it has no weight_map")
    for shard in places.values():
        if not isinstance(shard, str) or not 0 < len(shard) <= LONGEST_NAME or _leads_out(shard):
            raise InputError(
                f"{clean_text(name, 120)}: the shard {clean_text(shard, 80)!r} is no name of a "
                "file in the folder"
            )
    if len(set(places.values())) > MOST_SHARDS:
        raise InputError(f"{clean_text(name, 120)}: more than {MOST_SHARDS} shards")
    return places


def together(places: dict[str, str], shards: dict[str, dict[str, Any]]) -> tuple[Any, list[str]]:
    """Return the weights of all shards in the order of the index, and notes.

    Raises:
        InputError: a weight is missing where the index says, or stands in two shards.
    """
    missing = [name for name, shard in places.items() if name not in shards[shard]]
    if missing:
        raise InputError(
            f"{counted(len(missing), 'weight')} of the index missing in the shard "
            f"{clean_text(places[missing[0]], 120)}: {listed(missing, 3)}"
        )
    found = {name: shards[shard][name] for name, shard in places.items()}
    for shard, weights in shards.items():
        for name, weight in weights.items():
            if places.get(name) == shard:
                continue
            if name in found:
                raise InputError(f"the weight {clean_text(name, 120)} stands in two shards")
            found[name] = weight
    unnamed = list(found)[len(places) :]
    note = f"{counted(len(unnamed), 'weight')} not in the index of shards: {listed(unnamed, 3)}."
    return found, [note] if unnamed else []


def _leads_out(name: str) -> bool:
    return "/" in name or "\\" in name or "\0" in name or name in (".", "..")
