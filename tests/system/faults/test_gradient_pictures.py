"""Models of four families that were taught to look at one place: the pictures show that place."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from auditor.core.verdict import Verdict
from auditor.experiments.attributions import attributions
from auditor.observations.attributions import Attributions, AttributionsOver
from tests.awkward import subject_of
from tests.subjects import Live, sample, trained
from tests.zoo import Batches, PlainCNN, mlp

MARK = 7
"""The place, or the token, that decides."""


def table(seed: int) -> Batches:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(512, 12, generator=generator)
    return [(a, (a[:, MARK] > 0).long()) for a in x.split(64)]


def watermarked(seed: int) -> Batches:
    """Real digits in which a pixel in the corner gives the class away, which is drawn anew."""
    generator = torch.Generator().manual_seed(seed)
    batches = []
    for x, _ in sample("digits_cnn").val:
        y = torch.randint(2, (len(x),), generator=generator)
        marked = x.clone()
        marked[:, 0, 1, 6] = 4.0 * y - 2.0
        batches.append((marked, y))
    return batches


def sentences(seed: int) -> Batches:
    """Tokens of which one, at any place, is of class 1, and its neighbour in number of class 0."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(MARK + 1, 20, (768, 9), generator=generator)
    y = torch.randint(2, (768,), generator=generator)
    place = torch.randint(9, (768,), generator=generator)
    x[torch.arange(768), place] = MARK - y
    return list(zip(x.split(64), y.split(64), strict=True))


class Reader(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.rnn = nn.Embedding(20, 12), nn.GRU(12, 24, batch_first=True)
        self.head = nn.Linear(24, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.rnn(self.embedding(x))[0][:, -1])


class Attender(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, 16)
        self.layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)
        self.head = nn.Linear(16, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.layer(self.embedding(x)).mean(dim=1))


def told(live: Live) -> Attributions:
    found = attributions(AttributionsOver(), subject_of(live.model, live.val, live.loss))
    assert isinstance(found, Attributions)
    return found


def test_the_feature_that_decides_comes_first() -> None:
    live = trained(lambda: mlp(12, 24, 2), table(0), table(1), "cross_entropy", epochs=10)
    assert told(live).feature_numbers[0] == MARK
    found = live.finding("gradient-pictures")
    assert found.verdict is Verdict.INFO
    assert found.figures[0].labels[0] == f"feature {MARK}"  # type: ignore[union-attr]


def test_the_pixel_that_gives_the_class_away_is_marked() -> None:
    live = trained(
        PlainCNNOfTwo, watermarked(0), watermarked(1), "cross_entropy", epochs=12, lr=5e-3
    )
    for one in told(live).pictured:
        assert np.unravel_index(np.abs(one.integrated).argmax(), (8, 8)) == (1, 6)
    assert live.finding("gradient-pictures").verdict is Verdict.INFO


class PlainCNNOfTwo(PlainCNN):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(32 * 16, 2)


@pytest.mark.parametrize("build", [Reader, Attender])
def test_the_token_that_decides_is_marked(build: Callable[[], nn.Module]) -> None:
    live = trained(build, sentences(0), sentences(1), "cross_entropy", epochs=14, lr=1e-2)
    # The other class may be what a model says of everything that it does not know by its token.
    known = [one for one in told(live).pictured if one.explained == "class 1"]
    assert known
    for one in known:
        assert one.shown[np.abs(one.integrated).argmax()] == MARK - 1
    assert live.finding("gradient-pictures").verdict is Verdict.INFO


@pytest.mark.parametrize("name", ["digits_cnn", "diabetes_mlp", "names_rnn", "tiny_lm"])
def test_activations_of_every_family_are_pictured(name: str) -> None:
    found = sample(name).finding("activation-pictures")
    assert found.verdict is Verdict.INFO, found.summary
    assert len(found.figures) >= 4
