"""Which validation examples are training examples: by their content, and by their indices.

Targets count as content: a graph that is shown whole to both splits has other nodes to answer for.
"""

from dataclasses import replace
from typing import Any, Literal

import numpy as np
from torch.utils.data import (
    BatchSampler,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
)

from auditor.core.request import Split
from auditor.experiments.repeats import keys_of
from auditor.intake.batches import Batch, tensors_in
from auditor.intake.loaders import Batches
from auditor.intake.subject import Subject
from auditor.observations.shared_examples import SharedExamples, SharedExamplesOver

READ = 16_384
"""Examples of a split that are read at most, unless the batches asked for hold more."""
READ_VALUES = 50_000_000
"""The same in input values: about a second of hashing."""
AGAIN = 16
"""Batches of training that are read once more, with other random numbers."""
EXPECTED = 20
"""Examples that both passes should have in common for their absence to mean anything."""
MOST_INDICES = 2_000_000
"""Indices beyond which two splits of one dataset are not compared by them."""


def shared_examples(request: SharedExamplesOver, subject: Subject) -> SharedExamples:
    """Return which validation examples stand in training, as far as both are read."""
    train, val = (subject.data[split] for split in ("train", "val"))
    many = {split: bearable(subject, split, request.batches) for split in ("train", "val")}
    keys, _ = _keys(train, many["train"], subject)
    others, sizes = _keys(val, many["val"], subject)
    place = {key: number for number, key in reversed(list(enumerate(keys)))}
    _, inverse, counts = np.unique(
        np.asarray([int.from_bytes(key[:8]) for key in keys], np.uint64),
        return_inverse=True,
        return_counts=True,
    )
    facts = subject.facts.data["train"]
    whole = facts.complete and facts.batches_read <= many["train"]
    common, of = _by_index(train.loader, val.loader)
    return SharedExamples(
        shared=np.asarray([place.get(key, -1) for key in others], np.int64),
        repeated=counts[inverse] > 1 if len(keys) else np.zeros(0, bool),
        val_sizes=np.asarray(sizes, np.int64),
        whole=whole,
        same_loader=train.loader is val.loader,
        indices=common,
        of_indices=of,
        varies=_varies(train, keys, many["train"], subject),
    )


def bearable(subject: Subject, split: Split, least: int) -> int:
    """Return how many batches of a split are read."""
    facts = subject.facts.data[split]
    first = next(subject.data[split].first(1))
    values = max(1, sum(tensor.numel() for tensor in tensors_in((first.args, first.kwargs))))
    more = min(READ // max(1, facts.batch_size), READ_VALUES // values)
    return min(facts.batches, max(1, least if more < least else more))


def _keys(data: Batches, most: int, subject: Subject) -> tuple[list[bytes], list[int]]:
    """Return what the examples of some batches are known by, and how many each batch holds."""
    keys: list[bytes] = []
    sizes: list[int] = []
    for batch in data.first(most):
        rows = batch.padded()
        found = keys_of(Batch((rows.args, rows.target), rows.kwargs, rows.target), subject.model)
        if not found:
            return [], []
        keys += found
        sizes.append(batch.size)
    return keys, sizes


def _varies(
    data: Batches, keys: list[bytes], most: int, subject: Subject
) -> Literal["yes", "no", ""]:
    """Tell whether a pass with other random numbers gives examples that the first one lacked."""
    facts = subject.facts.data["train"]
    again, _ = _keys(replace(data, seed=data.seed + 1), min(AGAIN, most), subject)
    if not again or not keys:
        return ""
    known = set(keys)
    common = sum(key in known for key in again)
    if facts.complete and facts.batches_read <= most:
        return "no" if common == len(again) else "yes"
    expected = len(again) * len(keys) / max(1, facts.batches * facts.batch_size)
    if expected < EXPECTED:
        return "no" if common == len(again) else ""
    return "yes" if common < expected / 2 else "no"


def _by_index(train: Any, val: Any) -> tuple[int, int]:
    """Return how many validation indices are training's, and of how many; -1 where not known."""
    own, other = _indices(train), _indices(val)
    if own is None or other is None or own[0] is not other[0]:
        return -1, -1
    return len(own[1] & other[1]), len(other[1])


def _indices(loader: Any) -> tuple[Any, set[int]] | None:
    """Return the dataset at the bottom and which of its examples a loader gives, if known."""
    dataset, sampler = getattr(loader, "dataset", None), getattr(loader, "sampler", None)
    ordinary = type(getattr(loader, "batch_sampler", None)) is BatchSampler
    if dataset is None or isinstance(dataset, IterableDataset) or not ordinary:
        return None
    try:
        size = len(dataset)
    except (TypeError, NotImplementedError):
        return None
    chosen: list[int]
    if type(sampler) in (SequentialSampler, RandomSampler) and size <= MOST_INDICES:
        chosen = list(range(size))
    elif type(sampler) is SubsetRandomSampler and len(sampler.indices) <= MOST_INDICES:
        chosen = [int(index) for index in sampler.indices]
    else:
        return None
    while type(dataset) is Subset:
        chosen = [int(dataset.indices[index]) for index in chosen]
        dataset = dataset.dataset
    return dataset, set(chosen)
