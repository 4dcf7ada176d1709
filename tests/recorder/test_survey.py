"""The look at the data tells what an audit tells, and leaves the loader as it was."""

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, RandomSampler, TensorDataset

from auditor.intake.loaders import opened, surveyed
from auditor.intake.seeding import derived_seed
from auditor.recorder import survey
from auditor.recorder.survey import data_facts
from tests.recorder.runs import data


def test_the_fingerprint_is_that_of_an_audit() -> None:
    for most in (2, 64):
        batches = opened(data(), "train", None, derived_seed(0, "data.train"))
        expected = surveyed(batches, most)
        told = data_facts(data(), "train", most)
        assert told["fingerprint"] == expected.fingerprint
        assert told["examples"] == expected.examples
        assert told["complete"] == expected.complete
        assert told["targets"]["kind"] == "classes"
    other = data(examples=97)
    assert data_facts(other, "train", 64)["fingerprint"] != told["fingerprint"]


def test_numbers_as_targets_are_told_by_their_moments() -> None:
    loader = DataLoader(TensorDataset(torch.randn(20, 3), torch.arange(20.0)), 5)
    targets = data_facts(loader, "val", 64)["targets"]
    assert targets["kind"] == "numbers"
    assert targets["mean"] == (9.5,)


class Drawing(Dataset[Any]):
    """Augments by generators of its own, and counts how often it was asked."""

    def __init__(self) -> None:
        self.numpy = np.random.default_rng(0)
        self.old = np.random.RandomState(0)
        self.python = random.Random(0)
        self.torch = torch.Generator().manual_seed(0)
        self.asked = 0

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        self.asked += 1
        noise = [
            self.numpy.random(),
            self.old.rand(),
            self.python.random(),
            torch.rand(1, generator=self.torch).item(),
            torch.rand(1).item(),
            random.random(),
            np.random.rand(),
        ]
        return torch.tensor(noise), index % 2


class Turning:
    """A sampler that starts each epoch where the last one ended."""

    def __init__(self) -> None:
        self.start = 0

    def __iter__(self) -> Iterator[int]:
        self.start += 1
        return iter([(self.start + index) % 12 for index in range(12)])

    def __len__(self) -> int:
        return 12


@pytest.mark.parametrize(
    "loader_of",
    [
        lambda: DataLoader(Drawing(), 4, shuffle=True),
        lambda: DataLoader(Drawing(), 4, sampler=Turning()),
        lambda: DataLoader(
            Drawing(), 4, sampler=RandomSampler(range(12), generator=torch.Generator())
        ),
        lambda: DataLoader(Drawing(), 4, shuffle=True, num_workers=1, persistent_workers=True),
    ],
)
def test_a_look_changes_no_batch_that_comes_after(loader_of: Any) -> None:
    seen = []
    for look in (False, True):
        random.seed(0)
        np.random.seed(0)
        torch.manual_seed(0)
        loader = loader_of()
        if look:
            assert len(data_facts(loader, "train", 64)["fingerprint"]) == 32
            assert loader.dataset.asked == 0
        batches = [inputs for _ in range(2) for inputs, _ in loader]
        seen.append(torch.cat([*batches, torch.rand(1, 7)]))
        del loader
    assert torch.equal(*seen)


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        raise AssertionError("looked at")


@pytest.mark.parametrize(
    ("loader", "reason"),
    [
        (DataLoader(Stream()), "its dataset is a stream"),
        (iter([1]), "only a DataLoader, a list or a tuple"),
        ((1 for _ in "ab"), "only a DataLoader, a list or a tuple"),
        (DataLoader(TensorDataset(*[torch.zeros(4, 2)] * 3), 2), "can't tell inputs from target"),
        ([], "the loader is empty"),
    ],
)
def test_what_is_not_looked_at_is_told_with_the_reason(loader: Any, reason: str) -> None:
    assert reason in data_facts(loader, "train", 64)["not_read"]


def test_nothing_is_looked_at_where_none_is_asked_for() -> None:
    assert data_facts(data(), "train", 0) == {
        "batches": 6,
        "not_read": "no fingerprint was asked for",
    }


def test_a_slow_loader_is_given_up(monkeypatch: Any) -> None:
    monkeypatch.setattr(survey, "PATIENCE", -1.0)
    assert "the loader is slow" in data_facts(data(), "train", 64)["not_read"]


def test_batches_of_another_shape_are_read_by_an_adapter() -> None:
    loader = DataLoader(TensorDataset(*(torch.arange(8.0) for _ in range(3))), 4)
    told = data_facts(loader, "train", 64, lambda batch: (batch[:2], batch[2]))
    assert len(told["input_shapes"]) == 2


def test_counts_of_many_classes_are_left_out() -> None:
    loader = DataLoader(TensorDataset(torch.zeros(1500, 1), torch.arange(1500)), 500)
    assert data_facts(loader, "train", 64)["targets"] == {"kind": "classes", "values": 1500}
