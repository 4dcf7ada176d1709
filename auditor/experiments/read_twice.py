"""The first batches of training, read twice from the same start."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from auditor.core.errors import InputError
from auditor.core.text import clean_text
from auditor.experiments.hidden import Kept, outside, seeding
from auditor.intake.batches import Batch, tensors_in
from auditor.intake.seeding import derived_seed, seeded
from auditor.intake.subject import Subject
from auditor.observations.trained_twice import ReadTwice

SMALL = 1 << 26
"""Bytes of training data up to which its loader is built anew in any case."""

BEARABLE = 1 << 30
"""The same where two passes differ, or hang on a generator that does not tell its seed."""

MOST_NAMED = 10
"""Generators that are named."""


def read_twice(subject: Subject, most: int) -> ReadTwice:
    """Return whether two passes over training that start alike give the same first batches.

    The loader's own generators are put back before each pass: to go on from pass to pass is what
    they are for. Whether they start alike in another run is told by their seeds, or by the loader
    built anew.
    """
    loader = subject.data["train"].loader
    kept = Kept(loader)
    one = _prints(subject, loader, most)
    used, counted = kept.used(), kept.counted()
    kept.put_back()
    two = _prints(subject, loader, most)
    kept.put_back()
    unseeded = [path for path, generator in used.items() if seeding(generator) == "unseeded"]
    doubted = [path for path, generator in used.items() if seeding(generator) == "unknown"]
    if getattr(loader, "num_workers", 0):
        # Workers draw from copies, which leaves no trace here.
        doubted += [p for p, one in kept.generators.items() if seeding(one) == "unseeded"]
    told = ReadTwice(
        verdict="alike",
        batches=len(one),
        first=_first(one, two),
        generators=_named(list(dict.fromkeys([*used, *doubted]))),
        unseeded=_named(unseeded),
    )
    clean = told.first < 0 and not unseeded and not doubted
    build = subject.loader_of.get("train")
    if build is not None and _bytes(subject) <= (SMALL if clean else BEARABLE):
        return _anew(subject, build, most, told, kept)
    if unseeded or (told.first >= 0 and not counted):
        return replace(told, verdict="differs")
    if told.first >= 0:
        # An epoch that is counted may well be meant to change the order.
        return replace(told, verdict="unknown", generators=_named([*used, *counted]))
    return replace(told, verdict="unknown" if doubted else "alike")


def _anew(
    subject: Subject, build: Callable[[], Any], most: int, told: ReadTwice, kept: Kept
) -> ReadTwice:
    """Return what two loaders show that were built with the same seeds.

    Generators that they share are put back: another run begins with them anew.
    """
    shared = Kept(outside(subject.code["data.train"]))
    seed = derived_seed(subject.seed, "a loader built anew")

    def prints() -> list[str]:
        shared.put_back()
        kept.put_back()
        with seeded(seed):
            loader = build()
        return _prints(subject, loader, most)

    try:
        first = _first(prints(), prints())
    except InputError as error:
        return replace(told, verdict="unknown", missing=clean_text(error))
    finally:
        shared.put_back()
        kept.put_back()
    return replace(told, verdict="alike" if first < 0 else "differs", first=first, anew=True)


def _prints(subject: Subject, loader: Any, most: int) -> list[str]:
    """Return a hash of each of the first batches."""
    batches = replace(subject.data["train"], loader=loader)
    return [_print(batch) for batch in batches.first(most)]


def _print(batch: Batch) -> str:
    made = hashlib.blake2b(digest_size=16)
    for tensor in tensors_in((batch.args, batch.kwargs, batch.target)):
        here = tensor.detach()
        if here.layout is not torch.strided:
            here = here.to_dense()
        made.update(f"{tuple(here.shape)}{here.dtype}".encode())
        made.update(here.contiguous().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return made.hexdigest()


def _first(one: list[str], other: list[str]) -> int:
    """Return the first place at which two lists differ, -1 where they do not."""
    pairs = enumerate(zip(one, other, strict=False))
    place = next((place for place, (a, b) in pairs if a != b), -1)
    return min(len(one), len(other)) if place < 0 and len(one) != len(other) else place


def _bytes(subject: Subject) -> int:
    """Return about how many bytes all training examples have."""
    facts = subject.facts.data["train"]
    batch = next(iter(subject.data["train"].first(1)))
    tensors = tensors_in((batch.args, batch.kwargs, batch.target))
    return facts.batches * sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _named(paths: list[str]) -> tuple[str, ...]:
    return tuple(clean_text(path, 100) for path in paths[:MOST_NAMED])
