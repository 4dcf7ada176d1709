"""How targets are dealt to batches, against a naive computation, whatever the targets are."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset, WeightedRandomSampler

from auditor.experiments.batch_order import batch_order
from auditor.observations.batch_order import BatchOrder, BatchOrderOver
from tests.awkward import TABLE, Awkward, subject_of

N, C = 400, 5
GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(N, 6, generator=GENERATOR)
LABELS = torch.randint(C, (N,), generator=GENERATOR)
NUMBERS = torch.randn(N, 1, generator=GENERATOR).exp()


def loader(target: torch.Tensor, size: int = 32, **options: Any) -> DataLoader[Any]:
    return DataLoader(TensorDataset(X[: len(target)], target), size, **options)


def found(train: Any, loss: Any = "cross_entropy", width: int = C, **options: Any) -> BatchOrder:
    given = subject_of(nn.Linear(6, width), train, loss, train=train, **options)
    return batch_order(BatchOrderOver(), given)


def by_hand(target: torch.Tensor, size: int) -> float:
    """Return ε² of one-hot classes by sums over each class of each batch."""
    batches = target.split(size)
    total = within = 0.0
    for label in range(C):
        total += float(
            ((target == label).double() - (target == label).double().mean()).pow(2).sum()
        )
        for batch in batches:
            hit = (batch == label).double()
            within += float((hit - hit.mean()).pow(2).sum())
    return 1 - within / (len(target) - len(batches)) / (total / (len(target) - 1))


@pytest.mark.parametrize("target", [LABELS, LABELS.sort().values], ids=["random", "sorted"])
@pytest.mark.parametrize("size", [16, 32, 150])
def test_the_share_between_batches_is_that_of_sums_by_hand(target: torch.Tensor, size: int) -> None:
    seen = found(loader(target, size))
    assert seen.between == pytest.approx(by_hand(target, size))
    assert seen.examples == N
    assert seen.whole
    assert seen.kind == "classes"
    assert seen.in_order
    assert seen.repeated
    parts = target.split(size)
    np.testing.assert_allclose(seen.means[:, 2], [(p == 2).double().mean() for p in parts])


def test_sorted_targets_go_beyond_random_orders_of_the_same() -> None:
    seen = found(loader(LABELS.sort().values))
    assert seen.between > 0.8 > 10 * seen.chance
    assert seen.counted < 1.3


def test_random_orders_go_beyond_chance_once_in_a_hundred() -> None:
    beyond = 0
    for seed in range(60):
        order = torch.randperm(N, generator=torch.Generator().manual_seed(seed))
        seen = found(loader(LABELS[order]))
        beyond += seen.between > seen.chance
    assert beyond <= 4


def test_shuffling_is_seen_as_another_order_in_another_pass() -> None:
    seen = found(loader(LABELS.sort().values, shuffle=True))
    assert not seen.repeated
    assert not seen.in_order
    assert abs(seen.between) < 0.1


def test_balanced_samplers_and_balanced_batches_are_no_order() -> None:
    target = LABELS.sort().values
    weights = 1 / LABELS.bincount().double()[target]
    drawn = WeightedRandomSampler(weights, N, generator=torch.Generator().manual_seed(0))
    assert abs(found(loader(target, sampler=drawn)).between) < 0.1
    turn = torch.arange(N) % C
    assert found(loader(turn, 25)).between < 0.0


class Buffered(IterableDataset[Any]):
    """A sorted stream, shuffled within a buffer of some examples."""

    def __init__(self, buffer: int) -> None:
        self.buffer = buffer

    def __iter__(self) -> Iterator[Any]:
        target = LABELS.sort().values
        for rows in torch.arange(N).split(self.buffer):
            for row in rows[torch.randperm(len(rows))].tolist():
                yield X[row], target[row]


def test_a_shuffle_buffer_that_is_too_small_leaves_the_order() -> None:
    small, large = (found(DataLoader(Buffered(size), 32)) for size in (64, N))
    assert small.between > 0.5
    assert not small.repeated
    assert abs(large.between) < 0.1


@pytest.mark.parametrize("size", [1, 2, 5])
def test_small_batches_are_taken_together(size: int) -> None:
    ordered, mixed = (found(loader(t, size)) for t in (LABELS.sort().values, LABELS))
    assert 16 <= ordered.per_batch < 32
    assert ordered.between > 0.8 > mixed.between
    assert ordered.examples == N or size == 1


def test_numbers_count_by_their_ranks() -> None:
    seen = found(loader(NUMBERS.sort(0).values), "mse_loss", 1)
    assert seen.kind == "numbers"
    assert seen.between > 0.9
    ranks = torch.arange(N).double().split(32)
    np.testing.assert_allclose(seen.means[:, 0], [float(r.mean()) / (N - 1) for r in ranks])
    outlier = NUMBERS.clone()
    outlier[3] = 1e9
    assert abs(found(loader(outlier), "mse_loss", 1).between) < 0.1


def test_labels_count_each_for_itself() -> None:
    several = torch.stack([LABELS % 2, LABELS // 3], 1).float()
    loss = "binary_cross_entropy_with_logits"
    assert abs(found(loader(several), loss, 2).between) < 0.1
    ordered = found(loader(several[several[:, 0].argsort()]), loss, 2)
    assert ordered.kind == "labels"
    assert ordered.between > 0.3


def test_sequences_count_by_their_share_of_each_class() -> None:
    tokens = (LABELS.sort().values[:, None] + torch.randint(2, (N, 7))) % C
    model = nn.Sequential(nn.Linear(6, 7 * C), nn.Unflatten(1, (C, 7)))
    given = subject_of(model, loader(tokens), "cross_entropy", task="language_model")
    seen = batch_order(BatchOrderOver(), given)
    assert seen.kind == "shares"
    assert seen.between > 0.5


def test_a_thousand_classes_are_told_by_fewer_columns() -> None:
    many = torch.randperm(1000)[torch.arange(N) // 40]
    seen = found(loader(many), width=1000)
    assert seen.means.shape[1] <= 64
    assert set(seen.labels.tolist()) == {-1}
    assert seen.between > 0.6


@pytest.mark.parametrize(
    ("train", "words"),
    [
        (loader(LABELS[:20], 32), "one batch"),
        (loader(torch.zeros(N, dtype=torch.long)), "are the same"),
    ],
)
def test_it_says_why_nothing_can_be_measured(train: Any, words: str) -> None:
    assert words in found(train).reason


def test_one_class_alone_is_named() -> None:
    seen = found(loader(torch.full((N,), 3)))
    assert (seen.alone, seen.whole, seen.examples) == (3, True, N)


@pytest.mark.parametrize("case", TABLE, ids=str)
def test_any_target_is_measured_or_a_reason_given(case: Awkward) -> None:
    seen = batch_order(BatchOrderOver(), case.subject())
    assert bool(seen.reason) or -1 <= seen.between <= 1
