"""Activations, against running the layers by hand."""

import numpy as np
import pytest
import torch
from torch import nn

from auditor.core.request import Unavailable
from auditor.experiments.activation_pictures import activation_pictures
from auditor.observations.activation_pictures import (
    LEVELS,
    ActivationPictures,
    ActivationPicturesOver,
)
from tests.awkward import TABLE, Awkward, images, subject_of, tokens, vectors
from tests.experiments.test_attributions import Convolved

ASKED = ActivationPicturesOver()


def told(subject: object) -> ActivationPictures:
    found = activation_pictures(ASKED, subject)  # type: ignore[arg-type]
    assert isinstance(found, ActivationPictures), found
    return found


@pytest.mark.parametrize("case", TABLE, ids=str)
def test_awkward_models_are_pictured(case: Awkward) -> None:
    found = activation_pictures(ASKED, case.subject())
    if isinstance(found, Unavailable):
        assert case.name in ("functional-only", "functional-conv", "no-parameters"), found.reason
        return
    assert len(found.layers) == len(found.quantiles) == len(found.zeros)
    assert found.pictured


def test_channels_are_the_most_and_the_least_active() -> None:
    torch.manual_seed(0)
    model = Convolved()
    found = told(subject_of(model, images(), "cross_entropy"))
    x = torch.cat([batch for batch, _ in images()])
    assert [layer.layer for layer in found.maps] == ["a", "b"]
    rows = [one.example for one in found.pictured]
    with torch.no_grad():
        first = model.a(x[rows])
    size = first.abs().mean(dim=(2, 3))
    for row in range(len(rows)):
        order = size[row].argsort(descending=True).tolist()
        assert found.maps[0].channels[row].tolist() == [*order[:2], order[-1]]
    assert found.maps[0].maps.shape == (3, 3, 8, 8)
    assert np.abs(found.maps[0].maps).max() == pytest.approx(1.0, abs=1e-3)


def test_of_many_layers_those_with_channels_are_shown() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(64, 8), nn.Linear(8, 8),
        nn.Linear(8, 3),
    )  # fmt: skip
    found = told(subject_of(model, images(), "cross_entropy"))
    assert [layer.layer for layer in found.maps] == ["0", "1"]


def test_distributions_and_exciting_examples_are_those_of_the_whole() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
    found = told(subject_of(model, vectors(), "cross_entropy"))
    x = torch.cat([batch for batch, _ in vectors()])
    hidden = model[1](model[0](x)).detach().numpy()
    assert found.layers == ("0", "1", "2")
    np.testing.assert_allclose(found.quantiles[1], np.quantile(hidden, LEVELS), atol=1e-5)
    assert found.zeros[1] == pytest.approx((hidden == 0).mean())
    assert found.head == "2"
    assert found.head_units == 16
    for unit in found.excited:
        expected = np.argsort(-hidden[:, unit.unit], kind="stable")[:4]
        assert [found.examples[at].example for at in unit.examples] == expected.tolist()
        np.testing.assert_allclose(unit.values, hidden[expected, unit.unit], rtol=1e-5)
    (by_example,) = found.units
    assert by_example.across == "example"
    np.testing.assert_allclose(
        by_example.values,
        hidden[[int(name.split()[-1]) for name in by_example.columns]].T[by_example.units],
        rtol=1e-5,
    )


def test_sequences_are_shown_by_position() -> None:
    class Reads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding, self.rnn = nn.Embedding(11, 6), nn.GRU(6, 7)
            self.head = nn.Linear(7, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.rnn(self.embedding(x).transpose(0, 1))[0][-1])

    torch.manual_seed(0)
    model = Reads()
    found = told(subject_of(model, tokens(), "cross_entropy"))
    assert [(one.layer, one.across) for one in found.units] == [
        ("embedding", "position"), ("rnn", "position")]  # fmt: skip
    x = torch.cat([batch for batch, _ in tokens()])
    states = model.rnn(model.embedding(x[found.units[1].example]).unsqueeze(1))[0][:, 0]
    np.testing.assert_allclose(found.units[1].values, states.T.detach(), atol=1e-5)
