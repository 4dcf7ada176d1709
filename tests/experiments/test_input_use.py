"""Exchanged inputs, against doing it by hand."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from auditor.core.request import Unavailable
from auditor.experiments.input_use import input_use
from auditor.observations.input_use import InputUse, InputUseOver
from tests.awkward import BY_NAME, TABLE, Awkward, numbers, subject_of, vectors

ASKED = InputUseOver(batches=4, permutations=3)


def test_losses_are_those_of_every_example_on_another_s_inputs() -> None:
    torch.manual_seed(0)
    model = nn.Linear(8, 3)
    found = input_use(ASKED, subject_of(model, vectors(), "cross_entropy"))
    assert isinstance(found, InputUse)
    x, y = (torch.cat(part) for part in zip(*vectors(), strict=True))
    with torch.no_grad():
        own = functional.cross_entropy(model(x), y, reduction="none").numpy()
        table = torch.stack([functional.cross_entropy(model(x), y[i].expand(21), reduction="none")
                             for i in range(21)]).numpy()  # fmt: skip
    np.testing.assert_allclose(found.own, own, rtol=1e-5)
    assert found.others.shape == (3, 21)
    for row in found.others:
        taken = [int(np.abs(table[i] - row[i]).argmin()) for i in range(21)]
        assert sorted(taken) == list(range(21))
        assert all(donor != i for i, donor in enumerate(taken))
    assert found.wrong.tolist() == (model(x).argmax(1) != y).double().tolist()
    assert (found.examples, found.targets, found.inputs) == (21, 3, 21)


def test_numbers_are_compared_by_their_error() -> None:
    model = nn.Linear(8, 1)
    found = input_use(ASKED, subject_of(model, numbers(1), "mse_loss"))
    y = torch.cat([target for _, target in numbers(1)])
    assert found.metric == "squared error"
    assert found.constant == pytest.approx(float(y.var(correction=0)), rel=1e-4)


def test_sorted_batches_are_mixed() -> None:
    y = torch.arange(24) // 6
    data = [(torch.randn(6, 8), y[i : i + 6]) for i in range(0, 24, 6)]
    assert input_use(ASKED, subject_of(nn.Linear(8, 4), data, "cross_entropy")).targets == 4


def test_batches_of_one_are_gathered() -> None:
    data = [(torch.randn(1, 8), torch.tensor([i % 3])) for i in range(8)]
    found = input_use(InputUseOver(batches=8), subject_of(nn.Linear(8, 3), data, "cross_entropy"))
    assert found.examples == 8
    one = input_use(ASKED, subject_of(nn.Linear(8, 3), data[:1], "cross_entropy"))
    assert isinstance(one, Unavailable)


def test_a_constant_model_does_not_move() -> None:
    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bias = nn.Parameter(torch.zeros(3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.bias.repeat(len(x), 1)

    found = input_use(ASKED, subject_of(Constant(), vectors(), "cross_entropy"))
    np.testing.assert_array_equal(found.others, np.tile(found.own, (3, 1)))


@pytest.mark.parametrize("case", TABLE, ids=str)
def test_awkward_models_are_measured(case: Awkward) -> None:
    found = input_use(ASKED, case.subject())
    assert isinstance(found, InputUse)
    assert found.others.shape == (3, len(found.own))
    assert BY_NAME[case.name] is case
