"""The whole corpus, shelf by shelf."""

from tests.hostile.cases import Case
from tests.hostile.faults import (
    calls,
    folders,
    gadgets,
    headers,
    places,
    polyglots,
    sound,
    sparse,
    structures,
    tensors,
    texts,
    zips,
)

SHELVES = (
    calls.SHELF,
    gadgets.SHELF,
    polyglots.SHELF,
    zips.SHELF,
    places.SHELF,
    tensors.SHELF,
    sparse.SHELF,
    structures.SHELF,
    texts.SHELF,
    headers.SHELF,
    folders.SHELF,
    sound.SHELF,
)

CORPUS: tuple[Case, ...] = tuple(case for shelf in SHELVES for case in shelf.cases)
