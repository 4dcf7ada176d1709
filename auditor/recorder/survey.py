"""A look at the data that training begins with, by the code that audits look with.

The loader is left as it was: generators, random state and plain attributes are put back, and what a
look would use up, such as a stream, is not looked at.
"""

import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset

from auditor.core.errors import InputError
from auditor.core.request import Split
from auditor.core.text import clean_text
from auditor.intake.batch_reading import understood
from auditor.intake.loaders import Survey, opened, surveyed
from auditor.intake.losses import IGNORED
from auditor.intake.seeding import derived_seed
from auditor.recorder.processes import together

SEED = 0
"""The seed of an audit by default: with it, the same batches are looked at."""

PATIENCE = 20.0
"""Seconds after which a loader is too slow to be looked through."""

MOST_CLASSES = 1000
"""Classes above which their counts are left out."""

DEEPEST = 4
MOST_OBJECTS = 2000

Adapter = Callable[[Any], tuple[Any, Any]]


def data_facts(
    loader: Any, split: str, most: int, adapter: Adapter | None = None
) -> dict[str, Any]:
    """Return the facts of a split by the names of the record's, or why it was not looked at."""
    whole: dict[str, Any] = {}
    try:
        whole["batches"] = len(loader)
    except Exception:  # noqa: BLE001 - a loader without a length
        whole = {}
    if most < 1:
        return {**whole, "not_read": "no fingerprint was asked for"}
    found = _shown(loader)
    if isinstance(found, str):
        return {**whole, "not_read": found}
    name: Split = "train" if split == "train" else "val"
    try:
        with undisturbed(found):
            survey = surveyed(
                opened(found, name, patient(adapter, name), derived_seed(SEED, f"data.{name}")),
                most,
            )
    except InputError as error:
        return {**whole, "not_read": clean_text(error, 300)}
    return _facts(survey)


def _facts(survey: Survey) -> dict[str, Any]:
    numbers = survey.target_shape.startswith(("float", "bfloat", "complex"))
    targets = survey.targets.facts(None if numbers else "multiclass", IGNORED)
    few = len(targets.counts) <= MOST_CLASSES
    known = {key: value for key, value in asdict(targets).items() if value not in ((), None)}
    return {
        "batches": survey.batches,
        "batches_read": survey.batches_read,
        "examples": survey.examples,
        "batch_size": survey.batch_size,
        "complete": survey.complete,
        "input_shapes": list(survey.input_shapes),
        "target_shape": survey.target_shape,
        "targets": known if few else {"kind": targets.kind, "values": targets.values},
        "fingerprint": survey.fingerprint,
    }


def _shown(loader: Any) -> Any:
    """Return a loader that can be looked through without harm, or in words why there is none.

    Of several processes each loads its own share, and loaders of trainers wait for one another:
    then a plain loader over the same data is looked through.
    """
    if isinstance(loader, list | tuple):
        return loader
    if not isinstance(loader, DataLoader):
        return "only a DataLoader, a list or a tuple is looked through"
    if isinstance(loader.dataset, IterableDataset):
        return "its dataset is a stream, of which a look could take examples away"
    if type(loader) is DataLoader and together() == 1:
        return loader
    size = loader.batch_size or getattr(loader.batch_sampler, "batch_size", None)
    if not isinstance(size, int):
        return "its batches are put together by a sampler of its own"
    return DataLoader(loader.dataset, batch_size=size, collate_fn=loader.collate_fn)


def patient(adapter: Adapter | None, split: Literal["train", "val"]) -> Adapter:
    """Return an adapter that gives a loader up which is too slow."""
    ends = time.monotonic() + PATIENCE

    def adapt(raw: Any) -> tuple[Any, Any]:
        if time.monotonic() > ends:
            raise TimeoutError(f"the loader is slow: a look took more than {PATIENCE:.0f} s")
        batch = understood(raw, adapter, split)
        return batch.kwargs or batch.args, batch.target

    return adapt


@contextmanager
def undisturbed(loader: Any) -> Iterator[None]:
    """Put back the plain attributes and generators of a loader and of what it holds."""
    kept = [(held, dict(vars(held))) for held in _objects(loader)]
    values = [value for _, attributes in kept for value in attributes.values()]
    put_back = [way for value in values if (way := _generator(value)) is not None]
    try:
        yield
    finally:
        for held, attributes in kept:
            now = vars(held)
            for name in now.keys() - attributes.keys():
                del now[name]
            now.update(attributes)
        for restore in put_back:
            restore()


def _objects(loader: Any) -> list[Any]:
    """Return a loader and the objects that its attributes hold, some levels deep."""
    found: dict[int, Any] = {}
    level = [loader]
    for _ in range(DEEPEST):
        below: list[Any] = []
        for value in level:
            if isinstance(value, list | tuple) and len(value) <= 100:
                below.extend(value)
            elif id(value) not in found and len(found) < MOST_OBJECTS and _own(value):
                found[id(value)] = value
                below.extend(vars(value).values())
        level = below
    return list(found.values())


def _own(value: Any) -> bool:
    """Tell whether an object has attributes of its own that a pass may change."""
    kinds = (type, torch.Tensor, np.ndarray, torch.nn.Module, Mapping)
    module = type(value).__module__
    plain = not isinstance(value, kinds) and not callable(getattr(value, "__code__", None))
    return (
        plain
        and module not in ("builtins", "multiprocessing.context")
        and hasattr(value, "__dict__")
    )


def _generator(value: Any) -> Callable[[], object] | None:
    """Return what puts a random generator back, None where a value is none."""
    if isinstance(value, torch.Generator):
        return partial(value.set_state, value.get_state())
    if isinstance(value, np.random.Generator):
        return partial(setattr, value.bit_generator, "state", value.bit_generator.state)
    if isinstance(value, np.random.RandomState):
        return partial(value.set_state, value.get_state())
    if isinstance(value, random.Random):
        return partial(value.setstate, value.getstate())
    return None
