"""A split: its loader, read again and again in the same order, and what a look through it told."""

import time
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch.utils.data import Dataset, IterableDataset

from auditor.core.errors import InputError
from auditor.core.request import Split
from auditor.core.text import kind_of
from auditor.core.values import Array
from auditor.intake.batch_reading import Adapter, understood
from auditor.intake.batches import Batch, described, tensors_in
from auditor.intake.features import FeatureSurvey
from auditor.intake.fingerprint import MODULUS, digests, shortened, summed
from auditor.intake.reference import blame
from auditor.intake.seeding import RandomState, loader_state_kept, rng_kept
from auditor.intake.targets import TargetSurvey
from auditor.observations.example_scores import MOST

ENDLESS = 10_000
"""Batches after which a loader that does not know its length is taken to have no end."""


@dataclass(frozen=True)
class Batches:
    """The batches of one split; every pass starts from the same seed and yields the same."""

    split: Split
    loader: Iterable[Any]
    adapter: Adapter | None
    seed: int

    def first(self, most: int) -> Generator[Batch]:
        """Yield the first `most` batches, on the CPU.

        The loader draws from random generators of its own, so that what happens between two
        batches changes nothing in them.
        """
        random_state = RandomState(self.seed)
        with loader_state_kept(self.loader):
            with random_state:
                iterator = self.started()
            for _ in range(most):
                with random_state:
                    raw = self.following(iterator)
                if raw is END:
                    return
                # Copies, since a model may write to what it is given, and the loader may keep it.
                batch = understood(raw, self.adapter, self.split)
                yield batch.with_inputs(lambda tensor: tensor.detach().clone())

    def started(self) -> Iterator[Any]:
        """Return a new iterator over what the loader yields.

        Raises:
            InputError: the loader raised.
        """
        try:
            return iter(self.loader)
        except (Exception, SystemExit) as error:
            raise InputError(f"data.{self.split}: the loader {blame(error)}") from error

    def following(self, iterator: Iterator[Any]) -> Any:
        """Return what the loader yields next, `END` at its end.

        Raises:
            InputError: the loader raised.
        """
        try:
            return next(iterator, END)
        except (Exception, SystemExit) as error:
            raise InputError(f"data.{self.split}: the loader {blame(error)}") from error


PATIENCE = 20.0
"""Seconds for which the end of a loader that does not know its length is looked for."""

END = object()
"""What stands for a batch after the last one."""


@dataclass(frozen=True)
class Survey:
    """What a look through a split told; its targets are settled once the task is known.

    `hashes` is what the first examples are known by, in the loader's order; empty where another
    pass yields others.
    """

    batches: int
    batches_read: int
    examples: int
    batch_size: int
    complete: bool
    input_shapes: tuple[str, ...]
    target_shape: str
    targets: TargetSurvey
    fingerprint: str
    features: FeatureSurvey
    hashes: Array


def opened(loader: Any, split: Split, adapter: Adapter | None, seed: int) -> Batches:
    """Return a loader as batches that can be read again and again.

    Raises:
        InputError: it can't be iterated, or only once, or it never ends.
    """
    key = f"data.{split}"
    if isinstance(loader, Iterator):
        raise InputError(
            f"{key}: {kind_of(loader)} can be read only once; return a DataLoader, a "
            "list, or an object whose __iter__ starts anew"
        )
    if isinstance(loader, Dataset) and not isinstance(loader, IterableDataset):
        raise InputError(
            f"{key}: {kind_of(loader)} yields single examples; return a "
            "torch.utils.data.DataLoader over it (with batch_size=None where its items are batches)"
        )
    try:
        with rng_kept(), loader_state_kept(loader):
            iter(loader)
    except TypeError as error:
        raise InputError(
            f"{key}: {kind_of(loader)} can't be iterated; expected a DataLoader or any "
            "re-iterable of batches"
        ) from error
    except Exception as error:
        raise InputError(f"{key}: the loader {blame(error)}") from error
    return Batches(split, loader, adapter, seed)


def first_raw(split: Split, loader: Any, seed: int) -> Any:
    """Return what a loader yields first, as it yields it.

    Raises:
        InputError: it can't be iterated, or is empty.
    """
    batches = opened(loader, split, None, seed)
    with loader_state_kept(loader), RandomState(seed):
        raw = batches.following(batches.started())
    if raw is END:
        raise InputError(f"data.{split}: the loader is empty: it yields no batch")
    return raw


def surveyed(batches: Batches, most: int) -> Survey:
    """Return what the first `most` batches of a split hold.

    Raises:
        InputError: there is no batch, no end, or a second pass yields nothing.
    """
    key = f"data.{batches.split}"
    length = _length(batches.loader, key)
    targets, features = TargetSurvey(), FeatureSurvey()
    examples, largest, count = 0, 0, 0
    total, hashes = 0, np.zeros(0, np.uint64)
    shapes: tuple[str, ...] = ()
    target_shape = ""
    for batch in batches.first(most):
        if batch.size == 0:
            raise InputError(f"{key}: batch {count} holds no examples: {described(batch.args)}")
        if count == 0:
            shapes = tuple(described(tensor) for tensor in tensors_in((batch.args, batch.kwargs)))
            target_shape = described(batch.target)
        targets.add(batch.target, count)
        features.add(batch)
        known = digests(batch)
        total = (total + summed(known)) % MODULUS
        if len(hashes) < MOST:
            hashes = np.concatenate([hashes, shortened(known)])
        examples += batch.size
        largest = max(largest, batch.size)
        count += 1
    if count == 0:
        raise InputError(f"{key}: the loader is empty: it yields no batch")
    again = next(batches.first(1), None)
    if again is None:
        raise InputError(
            f"{key}: the loader can be read only once: a second pass yields no batch; return a "
            "DataLoader, a list, or an object whose __iter__ starts anew"
        )
    first = shortened(digests(again))
    repeats = np.array_equal(first, hashes[: len(first)])
    walked = length if length is not None else _walked(batches, key)
    return Survey(
        batches=walked if walked is not None else count,
        batches_read=count,
        examples=examples,
        batch_size=largest,
        complete=walked is not None and count >= walked,
        input_shapes=shapes,
        target_shape=target_shape,
        targets=targets,
        fingerprint=f"{total:032x}",
        features=features,
        hashes=hashes if repeats else hashes[:0],
    )


def _length(loader: Any, key: str) -> int | None:
    try:
        return len(loader)
    except (TypeError, NotImplementedError):
        return None
    except Exception as error:
        raise InputError(f"{key}: the length of the loader {blame(error)}") from error


def _walked(batches: Batches, key: str) -> int | None:
    """Return the number of batches, None where their end does not come within `PATIENCE`."""
    count, began = 0, time.monotonic()
    with RandomState(batches.seed), loader_state_kept(batches.loader):
        iterator = batches.started()
        while batches.following(iterator) is not END:
            count += 1
            if time.monotonic() - began > PATIENCE:
                return None
            if count > ENDLESS:
                raise InputError(
                    f"{key}: the loader does not end: it has no length and yielded more than "
                    f"{ENDLESS:,} batches; bound it, for instance with itertools.islice in "
                    "its __iter__"
                )
    return count
