from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from auditor.experiments.labels import label_evidence
from auditor.experiments.repeats import near_misses, read, whole_labels
from auditor.intake.batches import Batch
from auditor.observations.labels import LabelEvidence, LabelEvidenceOver
from tests.awkward import mlp, subject_of, vectors


def told(*arguments: Any, **settings: Any) -> LabelEvidence:
    answer = label_evidence(LabelEvidenceOver(steps=60), subject_of(*arguments, **settings))
    assert isinstance(answer, LabelEvidence)
    return answer


def test_repetitions_are_found_across_and_within_splits() -> None:
    val = vectors()
    (first, label), *rest = vectors()
    train = [
        (first + 1, label),
        (first[:2] * (1 + 1e-9), label[:2] + 1),
        *[(x - 9, y) for x, y in rest],
    ]
    answer = told(mlp(), val, "cross_entropy", train=train)
    rows = list(
        zip(answer.repeated_split, answer.repeated_example, answer.repeated_group, strict=True)
    )
    assert sorted(rows) == [(0, 6, 0), (0, 7, 1), (1, 0, 0), (1, 1, 1)]
    by_group = {int(g): [] for g in answer.repeated_group}  # type: ignore[var-annotated]
    for group, value in zip(answer.repeated_group, answer.repeated_label, strict=True):
        by_group[int(group)].append(int(value))
    assert all(len(set(values)) == 2 for values in by_group.values())


def test_near_misses_are_those_of_a_naive_count() -> None:
    table = np.random.default_rng(0).integers(0, 4, (60, 4)).astype(float)
    apart = (table[:, None] != table[None]).sum(axis=2)
    assert near_misses(table, 0) == int((apart == 1).any(axis=1).sum())


def many(batches: int, seed: int = 0) -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(batches * 4, 8, generator=generator)
    return [(rows, torch.arange(4) % 3) for rows in inputs.split(4)]


def test_both_splits_are_read_whole_and_drawn_from_evenly() -> None:
    train = many(600)
    val = [*many(20, 1), train[500]]
    subject = subject_of(mlp(), val, "cross_entropy", train=train)
    whole = read(subject, "train", 64)
    assert len(whole.hashes) == 2400
    assert whole.whole
    starts = [start for start, _ in whole.kept]
    assert len(starts) == 256
    assert (starts[0], starts[-1]) == (0, 2396)
    assert max(np.diff(starts)) <= 12
    for start, batch in whole.kept[::50]:
        torch.testing.assert_close(batch.args[0], train[start // 4][0])
    answer = told(mlp(), val, "cross_entropy", train=train)
    assert sorted(answer.repeated_example) == [80, 81, 82, 83, 2000, 2001, 2002, 2003]
    assert [split.examples for split in answer.splits] == [2400, 84]


def test_what_is_too_much_to_read_is_not_called_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auditor.experiments.repeats.READ", 1600)
    train = many(150)
    part = read(subject_of(mlp(), vectors(), "cross_entropy", train=train), "train", 64)
    assert len(part.hashes) == 400
    assert not part.whole
    assert part.kept[-1][0] == 396


class Mean(nn.Module):
    """A classifier by the mean of the tokens that are no padding."""

    def __init__(self, padding: int) -> None:
        super().__init__()
        self.table = nn.Embedding(50, 8, padding_idx=padding)
        self.head = nn.Linear(8, 3)

    def forward(self, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return self.head((self.table(tokens) * mask.unsqueeze(2)).mean(1))


@pytest.mark.parametrize("padding", [0, 1])
def test_sequences_are_the_same_however_far_they_are_padded(padding: int) -> None:
    generator = torch.Generator().manual_seed(0)
    rows = [torch.randint(2, 50, (4 + n % 9,), generator=generator) for n in range(48)]

    def padded(order: list[int]) -> list[tuple[tuple[torch.Tensor, torch.Tensor], torch.Tensor]]:
        batches = []
        for first in range(0, len(order), 6):
            some = [rows[n] for n in order[first : first + 6]]
            tokens = nn.utils.rnn.pad_sequence(some, batch_first=True, padding_value=padding)
            ones = [torch.ones_like(row) for row in some]
            mask = nn.utils.rnn.pad_sequence(ones, batch_first=True)
            batches.append(((tokens, mask), torch.arange(6) % 3))
        return batches

    train, val = padded(list(range(24, 48)) + list(range(24))), padded(list(range(0, 48, 2)))

    subject = subject_of(Mean(padding), val, "cross_entropy", train=train)
    found = {key: number for number, key in enumerate(read(subject, "train", 64).hashes)}
    assert len(found) == 48, "other sequences are other examples"
    assert [found[key] for key in read(subject, "val", 64).hashes] == [
        (n + 24) % 48 for n in range(0, 48, 2)
    ]


def test_zeros_at_the_end_of_inputs_of_one_shape_still_tell_them_apart() -> None:
    inputs = torch.tensor([[1.0, 0, 0], [1, 0, 1], [1, 1, 0], [0, 0, 0], [0, 0, 1], [1, 0, 0]])
    val = [(inputs, torch.arange(6) % 3)]
    keys = read(subject_of(nn.Linear(3, 3), val, "cross_entropy"), "val", 64).hashes
    assert len(set(keys)) == 5
    assert keys[0] == keys[5]


def test_of_copies_the_first_counts() -> None:
    inputs = torch.tensor([[1.0], [2], [1], [1], [2]])
    val = [(inputs, torch.tensor([0, 1, 0, 2, 1]))]
    found = read(subject_of(nn.Linear(1, 3), val, "cross_entropy"), "val", 64)
    assert found.copies.tolist() == [False, False, True, False, True]


def test_labels_are_numbers_that_equal_targets_share() -> None:
    def labels(target: torch.Tensor, task: str) -> list[int]:
        return whole_labels(Batch((torch.zeros(3, 2),), {}, target), task)

    one_hot = torch.tensor([[0.0, 1, 0], [0, 0, 1], [0.5, 0.5, 0]])
    assert labels(torch.tensor([2, 0, -100]), "multiclass") == [2, 0, -100]
    assert labels(one_hot, "multiclass") == [1, 2, -1]
    assert labels(torch.tensor([[1.0], [0], [1]]), "binary") == [1, 0, 1]
    several = labels(torch.tensor([[1.0, 1], [1, 0], [1, 1]]), "multilabel")
    assert several[0] == several[2] != several[1]
    assert labels(torch.randn(3), "regression") == [-1, -1, -1]


def test_copies_are_counted_where_input_and_target_agree() -> None:
    train = many(30)
    twice = told(mlp(), many(6, 1), "cross_entropy", train=[*train, *train]).copies
    assert (twice.examples, twice.different, twice.factor) == (240, 120, 2)
    assert twice.share == 0.5
    once = told(mlp(), many(6, 1), "cross_entropy", train=train).copies
    assert (once.different, once.factor, once.share) == (120, 1, 0.0)
    generator = torch.Generator().manual_seed(0)
    answers = torch.randn(60, 4, 1, generator=generator)
    inputs = [x for x, _ in train]
    head = nn.Linear(8, 1)
    numbers = list(zip([*inputs, *inputs], answers, strict=True))
    other = told(head, numbers[:6], "mse_loss", train=numbers, task="regression").copies
    assert other.different == 240
    same = list(zip([*inputs, *inputs], [*answers[:30], *answers[:30]], strict=True))
    assert told(head, same[:6], "mse_loss", train=same, task="regression").copies.factor == 2


def test_a_class_drawn_more_often_is_left_aside() -> None:
    generator = torch.Generator().manual_seed(0)
    common, rare = torch.randn(150, 8, generator=generator), torch.randn(15, 8, generator=generator)
    inputs = torch.cat([common, *[rare] * 10])
    labels = torch.cat([torch.zeros(150), torch.ones(150)]).long()
    train = list(zip(inputs.split(4), labels.split(4), strict=True))
    seen = told(mlp(), many(6, 1), "cross_entropy", train=train).copies
    assert (seen.different, seen.share, seen.factor) == (165, 0.0, 1)
