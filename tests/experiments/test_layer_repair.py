import copy

import numpy as np
import pytest
import torch

from auditor.core.request import Unavailable
from auditor.experiments.layer_repair import layer_repairs, layers_of
from auditor.observations.layer_repair import LayerRepairs, LayerRepairsOver
from tests.awkward import TABLE, Awkward

ASKED = LayerRepairsOver(split="train", steps=8)


@pytest.mark.parametrize("case", TABLE, ids=str)
def test_every_awkward_model_is_answered_and_left_as_it_was(case: Awkward) -> None:
    subject = case.subject()
    before = copy.deepcopy(subject.model.state_dict())
    seen = layer_repairs(ASKED, subject)
    for name, value in subject.model.state_dict().items():
        assert torch.equal(value, before[name])
    assert all(p.grad is None for p in subject.model.parameters())
    if isinstance(seen, Unavailable):
        assert seen.reason
        return
    assert isinstance(seen, LayerRepairs)
    assert seen.after.shape == (len(seen.layers), len(seen.before))
    if seen.layers:
        assert len(seen.fresh) == len(seen.before)
        assert seen.layers == tuple(layer.name for layer in layers_of(subject.model))


def test_it_is_the_same_every_time() -> None:
    one, other = (layer_repairs(ASKED, TABLE[0].subject()) for _ in range(2))
    assert isinstance(one, LayerRepairs)
    np.testing.assert_array_equal(one.before, other.before)
    np.testing.assert_array_equal(one.after, other.after)


def test_layers_are_those_with_a_matrix_of_their_own_each_once() -> None:
    tied = torch.nn.Linear(4, 4)
    model = torch.nn.Sequential(tied, torch.nn.LayerNorm(4), tied, torch.nn.GRU(4, 4))
    model.places = torch.nn.Parameter(torch.zeros(3, 4))
    found = layers_of(model)
    assert [layer.name for layer in found] == ["(model)", "0", "3"]
    assert found[0].parameters == ("places",)
    assert found[1].parameters == ("0.weight", "0.bias")
