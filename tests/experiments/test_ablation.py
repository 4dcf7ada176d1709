from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from auditor.core.request import Unavailable
from auditor.experiments.ablation import ablations
from auditor.experiments.blocks import blocks
from auditor.experiments.outputs import MeanOutput, substituted
from auditor.observations.ablation import MOST, Ablations, AblationsOver
from tests.awkward import BY_NAME, TABLE, Awkward, mlp, subject_of, vectors
from tests.zoo import Attentive, UNet, residual_network

REQUEST = AblationsOver()


def told(model: nn.Module, data: Any = None, loss: Any = "cross_entropy") -> Ablations:
    answer = ablations(REQUEST, subject_of(model.eval(), data or vectors(), loss))
    assert isinstance(answer, Ablations)
    return answer


def entropies(outputs: torch.Tensor, target: torch.Tensor) -> np.ndarray[Any, Any]:
    return functional.cross_entropy(outputs, target, reduction="none").detach().numpy()


def test_a_mean_in_place_of_a_layer_is_what_a_naive_computation_gives() -> None:
    model = mlp().eval()
    batches = vectors()
    inputs, target = (torch.cat(column) for column in zip(*batches, strict=True))
    answer = told(model)
    assert answer.blocks == ("0", "3", "5")
    assert answer.ways == ("mean", "mean", "mean")
    np.testing.assert_allclose(answer.entropies, entropies(model(inputs), target), rtol=1e-5)
    for row, place in enumerate((0, 3, 5)):
        hidden = inputs
        for number, layer in enumerate(model):  # type: ignore[arg-type]
            hidden = layer(hidden)
            if number == place:
                hidden = hidden.mean(0, keepdim=True).expand_as(hidden)
        expected = entropies(hidden, target)
        np.testing.assert_allclose(answer.without_entropies[row], expected, rtol=1e-4)


def test_a_block_of_equal_shapes_is_passed_by() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3))
    inputs, target = (torch.cat(column) for column in zip(*vectors(), strict=True))
    answer = told(model)
    assert answer.ways == ("identity", "identity", "mean")
    expected = entropies(model[4](model[3](model[1](model[0](inputs)))), target)
    np.testing.assert_allclose(answer.without_entropies[1], expected, rtol=1e-4)


@pytest.mark.parametrize("case", TABLE, ids=str)
def test_no_model_is_too_awkward(case: Awkward) -> None:
    subject = case.subject()
    assert subject.model is not None
    before = {name: value.clone() for name, value in subject.model.named_parameters()}
    answer = ablations(REQUEST, subject)
    for name, value in subject.model.named_parameters():
        assert torch.equal(value, before[name])
    if isinstance(answer, Unavailable):
        assert answer.reason
        return
    assert answer.without_scores.shape == (len(answer.blocks), answer.examples)
    assert len(answer.blocks) >= 2


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (residual_network(), ["0", "1", "2", "3", "4", "5"]),
        (Attentive(), ["enter", "encoder.layers.0", "encoder.layers.1", "head"]),
        (UNet(), ["down", "deep", "up.0", "up.2"]),
        (nn.Sequential(nn.Sequential(mlp())), ["0.0.0", "0.0.3", "0.0.5"]),
        (BY_NAME["shared-block"].model(), ["first", "head"]),
    ],
)
def test_blocks_are_the_coarsest_parts_that_a_list_holds(
    model: nn.Module, expected: list[str]
) -> None:
    assert list(blocks(model)) == expected


def test_of_many_blocks_some_are_chosen_evenly() -> None:
    layers = [nn.Linear(8, 8) for _ in range(40)]
    answer = told(nn.Sequential(*layers, nn.Linear(8, 3)))
    assert len(answer.blocks) == MOST
    assert answer.skipped == 41 - MOST
    assert answer.blocks[0] == "0"
    assert answer.blocks[-1] == "40"


def reasons(model: nn.Module, data: Any = None) -> dict[str, str]:
    return {block.name: block.reason for block in told(model, data).inert}


class Places(nn.Module):
    """Adds a learnt vector of each position, and one for all, whatever the input is."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places, self.kinds = (
            nn.Embedding(11, 6),
            nn.Embedding(5, 6),
            nn.Embedding(2, 6),
        )
        self.head = nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        places = self.places(torch.arange(x.shape[1])) + self.kinds(torch.zeros_like(x))
        return self.head(torch.tanh(self.words(x) + places).mean(1))


def test_what_depends_on_the_position_alone_is_not_inert() -> None:
    data = BY_NAME["lstm"].batches()
    assert reasons(Places(), data) == {}


def test_parts_that_run_in_training_or_lend_their_weights_are_not_unused() -> None:
    assert reasons(BY_NAME["never-called"].model()) == {"unused": "unused", "unused_bn": "unused"}
    subject = BY_NAME["train-only"].subject()
    answer = ablations(REQUEST, subject)
    assert isinstance(answer, Ablations)
    assert answer.inert == ()


def test_the_mean_of_outputs_of_several_lengths_is_that_over_positions_too() -> None:
    mean = MeanOutput()
    first, second = torch.randn(4, 5, 3), torch.randn(2, 7, 3)
    mean.see((first, None), 4, 0)
    mean.see((second, None), 2, 0)
    (made,) = mean.tensors(0)
    expected = (first.mean((0, 1)) * 4 + second.mean((0, 1)) * 2) / 6
    torch.testing.assert_close(made.reshape(-1), expected)
    put = substituted((second, None), mean.tensors(0))
    torch.testing.assert_close(put[0], expected.expand(2, 7, 3))
    assert put[1] is None
