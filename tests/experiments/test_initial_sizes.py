"""How large fresh weights are, on models that were initialised in known ways."""

import pytest
import torch
from torch import nn

from auditor.experiments.initial_sizes import _sizes, drawn_anew


def model() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(32, 16), nn.Linear(16, 4)
    )


def sizes(made: nn.Module) -> dict[str, bool]:
    return {tensor.name: tensor.odd for tensor in _sizes(made)}


@pytest.mark.parametrize(
    "start",
    [
        lambda weight: weight,
        nn.init.kaiming_normal_,
        nn.init.xavier_uniform_,
        nn.init.orthogonal_,
    ],
)
def test_usual_initialisations_are_not_odd(start) -> None:
    torch.manual_seed(0)
    made = model()
    for module in (made[0], made[3], made[4]):
        start(module.weight)
    assert sizes(made) == {"0.weight": False, "3.weight": False, "4.weight": False}


@pytest.mark.parametrize(
    "start",
    [nn.init.zeros_, nn.init.ones_, lambda w: nn.init.normal_(w), lambda w: w.data.mul_(0.01)],
)
def test_odd_ones_are_told_by_name(start) -> None:
    torch.manual_seed(0)
    made = model()
    start(made[3].weight)
    assert sizes(made) == {"0.weight": False, "3.weight": True, "4.weight": False}


def test_embeddings_frozen_and_parametrised_layers_are_left_out() -> None:
    frozen = nn.Linear(8, 8).requires_grad_(False)
    weighed = nn.utils.parametrizations.weight_norm(nn.Linear(8, 8))
    table = nn.Embedding(30, 8)
    nn.init.normal_(table.weight, std=0.001)
    made = nn.ModuleList([frozen, weighed, table])
    was = {name: value.clone() for name, value in made.state_dict().items()}
    assert not sizes(made)
    with drawn_anew(made):
        assert all(torch.equal(value, was[name]) for name, value in made.state_dict().items())


def test_recurrent_weights_are_seen_and_drawn_anew() -> None:
    rnn = nn.GRU(8, 8)
    nn.init.constant_(rnn.weight_hh_l0, 0.1)
    assert sizes(nn.ModuleDict({"rnn": rnn})) == {
        "rnn.weight_ih_l0": False,
        "rnn.weight_hh_l0": True,
    }
    nn.init.constant_(rnn.weight_hh_l0, 0.1)
    with drawn_anew(rnn):
        assert rnn.weight_hh_l0.std() > 0.01
