"""Examples that stand in both splits, by content and by index."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
)

from auditor.experiments.shared_examples import shared_examples
from auditor.observations.shared_examples import SharedExamples, SharedExamplesOver
from tests.awkward import TABLE, Awkward, subject_of

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(120, 5, generator=GENERATOR)
Y = torch.randint(3, (120,), generator=GENERATOR)


def found(train: Any, val: Any) -> SharedExamples:
    given = subject_of(nn.Linear(5, 3), val, "cross_entropy", train=train)
    return shared_examples(SharedExamplesOver(), given)


def batches(rows: slice) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return list(zip(X[rows].split(16), Y[rows].split(16), strict=True))


def test_copies_are_found_with_their_places() -> None:
    told = found(batches(slice(0, 80)), batches(slice(60, 120)))
    np.testing.assert_array_equal(told.shared, [*range(60, 80), *[-1] * 40])
    assert told.share == pytest.approx(1 / 3)
    assert told.whole
    assert not told.repeated.any()
    assert told.varies == "no"
    assert (told.indices, told.of_indices) == (-1, -1)
    assert told.val_sizes.tolist() == [16, 16, 16, 12]


def test_the_same_input_with_another_target_is_another_example() -> None:
    changed = [(x, (y + 1) % 3) for x, y in batches(slice(60, 120))]
    assert found(batches(slice(0, 120)), changed).share == 0.0


def test_rounding_does_not_hide_a_copy() -> None:
    rounded = [(x * (1 + 1e-8) + 1e-12, y) for x, y in batches(slice(0, 32))]
    assert found(batches(slice(0, 120)), rounded).share == 1.0


def test_repetitions_within_training_are_counted() -> None:
    doubled = batches(slice(0, 60)) + batches(slice(0, 30))
    told = found(doubled, batches(slice(0, 30)))
    assert told.repeated.sum() == 60
    assert told.share == pytest.approx(1 - 60 / 90)
    low, high = told.interval(0.95)
    assert low < told.share < high


def test_one_loader() -> None:
    loader = batches(slice(0, 60))
    assert found(loader, loader).same_loader
    assert found(loader, loader).interval() == (1.0, 1.0)
    assert not found(loader, batches(slice(0, 60))).same_loader


class Augmented(Dataset[Any]):
    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        return X[index] + 0.1 * torch.randn(5), Y[index]


def test_indices_tell_what_augmentation_hides() -> None:
    whole = Augmented()
    val = DataLoader(Subset(whole, range(90, 120)), 10)
    told = found(DataLoader(Subset(whole, range(100)), 10, shuffle=True), val)
    assert (told.indices, told.of_indices) == (10, 30)
    assert (told.shared == -1).all()
    assert told.varies == "yes"
    assert told.interval()[0] == pytest.approx(1 / 3)
    apart = found(DataLoader(Subset(whole, range(90)), 10, shuffle=True), val)
    assert (apart.indices, apart.share) == (0, 0.0)


def test_subsets_of_subsets_and_samplers_of_subsets() -> None:
    whole = TensorDataset(X, Y)
    inner = Subset(Subset(whole, range(50, 100)), range(10))
    sampled = DataLoader(whole, 10, sampler=SubsetRandomSampler(range(55, 120)))
    told = found(sampled, DataLoader(inner, 5))
    assert (told.indices, told.of_indices) == (5, 10)
    np.testing.assert_array_equal(told.shared >= 0, [False] * 5 + [True] * 5)
    other = found(sampled, DataLoader(TensorDataset(X, Y), 5))
    assert (other.indices, other.of_indices) == (-1, -1)


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        yield from zip(X, Y, strict=True)


def test_a_stream_is_known_by_its_content_alone() -> None:
    told = found(DataLoader(Stream(), 10), DataLoader(Stream(), 10))
    assert told.indices == -1
    assert told.share == 1.0


def test_of_a_long_split_only_so_much_is_read() -> None:
    long = list(zip(X.repeat(40, 1).split(4), Y.repeat(40).split(4), strict=True))
    given = subject_of(nn.Linear(5, 3), batches(slice(0, 60)), "cross_entropy", train=long)
    wide = replace(
        given.facts,
        data={**given.facts.data, "train": replace(given.facts.data["train"], batches=9)},
    )
    told = shared_examples(SharedExamplesOver(batches=2), replace(given, facts=wide))
    assert len(told.repeated) == 36
    assert not told.whole


@pytest.mark.parametrize("case", TABLE, ids=str)
def test_awkward_inputs_are_known_again(case: Awkward) -> None:
    told = shared_examples(SharedExamplesOver(), case.subject())
    assert told.share in (0.0, 1.0)
    assert told.share == 1.0 or not len(told.shared)
