"""Simpler models: how they read batches, how they are fitted and how they are scored."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from auditor.core.request import Unavailable
from auditor.experiments.baselines import gathered, simple_models, tuned
from auditor.experiments.lab import scored
from auditor.experiments.simple_models import Designs, designed
from auditor.intake.batches import Batch
from auditor.intake.subject import Subject
from auditor.observations.baselines import SimpleModels, SimpleModelsOver
from auditor.observations.performance import Performance
from tests.awkward import TABLE, Awkward, mlp, subject_of

OVER = SimpleModelsOver(batches=16)


def linear_data(count: int = 400, noise: float = 0.1) -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    x = 200 + 40 * torch.randn(count, 8, generator=generator)
    weights = torch.randn(8, 1, generator=generator)
    y = x @ weights + noise * torch.randn(count, 1, generator=generator)
    return [(x[i : i + 32], y[i : i + 32]) for i in range(0, count, 32)]


def answered(subject: Subject) -> SimpleModels:
    found = simple_models(OVER, subject)
    assert isinstance(found, SimpleModels), found
    return found


def built(subject: Subject) -> Designs | Unavailable:
    batch = next(subject.batches("train", 1))
    assert subject.model is not None
    subject.model.eval()
    with torch.no_grad():
        return designed(subject, batch, subject.model(*batch.args, **batch.kwargs))


def test_the_linear_model_is_that_of_least_squares() -> None:
    train = linear_data()
    subject = subject_of(nn.Linear(8, 1), train, "mse_loss")
    found = answered(subject)
    x, y = torch.cat([x for x, _ in train]).double(), torch.cat([y for _, y in train]).double()
    wide = torch.cat([x, torch.ones(len(x), 1)], 1)
    best = (wide @ torch.linalg.lstsq(wide, y).solution - y).square().mean()
    linear = found.models[0]
    assert linear.parameters == 9
    assert linear.scores.mean() < 1.5 * float(best) + 1e-3 * float(y.var())
    assert found.fitted + found.held == 400
    assert linear.rate == linear.rates[int(np.argmin(linear.held_out))]


def test_scores_are_paired_with_those_of_the_model() -> None:
    subject = subject_of(nn.Linear(8, 1), linear_data(), "mse_loss")
    found = answered(subject)
    assert subject.model is not None
    seen = scored(subject, subject.model, subject.batches("val", 16), "val")
    assert isinstance(seen, Performance)
    for model in found.models:
        assert len(model.scores) == len(model.train_scores) == seen.examples


def test_the_same_seed_gives_the_same_models() -> None:
    first, second = (answered(subject_of(mlp(), bands(), "cross_entropy")) for _ in range(2))
    for one, other in zip(first.models, second.models, strict=True):
        assert one.held_out == other.held_out
        np.testing.assert_array_equal(one.scores, other.scores)


def bands(count: int = 300) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return three classes by the distance from the middle, which no linear model can tell."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(count, 8, generator=generator)
    y = torch.bucketize(x[:, 0].abs(), torch.tensor([0.4, 1.0]))
    return [(x[i : i + 30], y[i : i + 30]) for i in range(0, count, 30)]


def test_a_hidden_layer_sees_what_a_linear_model_can_not() -> None:
    big = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 3))
    linear, hidden = answered(subject_of(big, bands(3000), "cross_entropy")).models
    assert hidden.scores.mean() > linear.scores.mean() + 0.2
    assert hidden.parameters <= sum(p.numel() for p in big.parameters()) / 2


@pytest.mark.parametrize("case", TABLE, ids=str)
def test_awkward_models_get_an_answer(case: Awkward) -> None:
    subject = case.subject()
    designs = built(subject)
    if isinstance(designs, Unavailable):
        assert case.name in ("scalar-output",), designs.reason
        return
    assert subject.model is not None
    assert subject.loss is not None
    blocks = gathered(subject, designs, 100)
    for build in (designs.linear, designs.hidden):
        model, runs = tuned(subject, build, blocks, blocks, (1e-2,), 25)
        assert np.isfinite(runs[0].loss)
        for batch in subject.batches("val", 4):
            loss = subject.loss(model(*batch.args, **batch.kwargs), batch.target)
            assert loss.isfinite()


class Takes(nn.Module):
    """Whatever it is given, it puts out zeros of a shape, through an ending."""

    def __init__(self, *shape: int, words: int = 0, ending: Any = None) -> None:
        super().__init__()
        self.shape, self.ending = shape, ending
        self.weight = nn.Parameter(torch.zeros(()))
        if words:
            self.embed = nn.Embedding(words, 2)

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        out = self.weight + torch.zeros(len(inputs[0]), *self.shape)
        return out if self.ending is None else self.ending(out)


def designs_of(model: nn.Module, inputs: Any, target: Any, loss: Any) -> tuple[Subject, Designs]:
    subject = subject_of(model, [(inputs, target)] * 2, loss)
    designs = built(subject)
    assert isinstance(designs, Designs), designs
    return subject, designs


def shapes(subject: Subject, designs: Designs) -> list[tuple[int, ...]]:
    blocks = gathered(subject, designs, 100)
    batch = next(subject.batches("train", 1))
    return [
        tuple(tuned(subject, build, blocks, blocks, (1e-2,), 25)[0](*batch.args).shape)
        for build in (designs.linear, designs.hidden)
    ]


def test_large_images_are_averaged_until_they_fit() -> None:
    subject, designs = designs_of(
        Takes(1000), torch.randn(6, 3, 64, 64), torch.randint(1000, (6,)), "cross_entropy"
    )
    features = designs.read((torch.ones(6, 3, 64, 64),), {})
    assert 32 <= features.shape[1] <= 400
    assert torch.allclose(features, torch.ones(()))
    assert shapes(subject, designs) == [(6, 1000)] * 2


def test_tokens_are_counted() -> None:
    _, designs = designs_of(
        Takes(3, words=5),
        torch.tensor([[1, 1, 4], [0, 2, 2]]),
        torch.tensor([0, 2]),
        "cross_entropy",
    )
    counts = designs.read((torch.tensor([[1, 1, 4], [0, 2, 2]]),), {})
    assert counts.tolist() == [[0, 2, 0, 0, 1], [1, 0, 2, 0, 0]]
    assert "5 counts of tokens" in designs.words[0]


def test_whole_numbers_are_numbers_where_nothing_is_embedded() -> None:
    _, designs = designs_of(
        Takes(3), torch.tensor([[170, 60], [180, 90]]), torch.tensor([0, 2]), "cross_entropy"
    )
    assert designs.read((torch.tensor([[170, 60]]),), {}).tolist() == [[170.0, 60.0]]


def test_positions_are_read_from_their_tokens_and_those_before() -> None:
    subject, designs = designs_of(
        Takes(7, 9, words=9), torch.randint(9, (6, 7)), torch.randint(9, (6, 7)), "cross_entropy"
    )
    assert shapes(subject, designs) == [(6, 7, 9)] * 2
    x = torch.randint(9, (6, 7))
    changed = x.clone()
    changed[:, 5] = (changed[:, 5] + 1) % 9
    for build in (designs.linear, designs.hidden):
        model = build(x, x).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.normal_()
            same = (model(x) == model(changed)).all(-1).all(0)
        assert same[:5].all()
        assert not same[5]


def test_pixels_are_read_from_their_surroundings() -> None:
    subject, designs = designs_of(
        Takes(2, 8, 8), torch.randn(6, 3, 8, 8), torch.randint(2, (6, 8, 8)), "cross_entropy"
    )
    assert shapes(subject, designs) == [(6, 2, 8, 8)] * 2


def test_classes_last_stay_last_for_a_loss_of_ones_own() -> None:
    def own(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(outputs.flatten(0, 1), target.flatten())

    subject, designs = designs_of(Takes(5, 4), torch.randn(6, 5, 3), torch.randint(4, (6, 5)), own)
    assert shapes(subject, designs) == [(6, 5, 4)] * 2


@pytest.mark.parametrize(
    ("ending", "loss", "total"),
    [
        (lambda x: x.softmax(1), None, 1.0),
        (lambda x: x.log_softmax(1).exp(), None, 1.0),
        (lambda x: x.log_softmax(1), "nll_loss", None),
    ],
)
def test_answers_end_as_the_models_do(ending: Any, loss: Any, total: float | None) -> None:
    def own(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return -outputs.gather(1, target[:, None]).log().mean()

    subject, designs = designs_of(
        Takes(4, ending=ending), torch.randn(20, 3), torch.randint(4, (20,)), loss or own
    )
    blocks = gathered(subject, designs, 100)
    model, _ = tuned(subject, designs.linear, blocks, blocks, (1e-2,), 25)
    outputs = model(*next(subject.batches("train", 1)).args)
    shares = outputs if total else outputs.exp()
    torch.testing.assert_close(shares.sum(1), torch.ones(20))


def test_raw_targets_and_raw_inputs_cripple_nothing() -> None:
    found = answered(subject_of(nn.Linear(8, 1), linear_data(noise=40.0), "mse_loss"))
    variance = float(torch.cat([y for _, y in linear_data(noise=40.0)]).var())
    assert found.models[0].scores.mean() < 0.5 * variance


def reason(model: nn.Module, inputs: Any, target: Any, loss: Any) -> str:
    found = simple_models(OVER, subject_of(model, [(inputs, target)] * 8, loss))
    assert isinstance(found, Unavailable)
    return found.reason


def test_autoencoders_are_left_out() -> None:
    x = torch.randn(20, 6)
    assert "repeat the inputs" in reason(nn.Linear(6, 6), x, x, "mse_loss")
    images = torch.randn(20, 1, 8, 8)
    clean = images + torch.randn_like(images)
    assert "repeat the inputs" in reason(nn.Conv2d(1, 1, 3, padding=1), images, clean, "mse_loss")


def test_a_curve_of_one_number_is_no_autoencoder() -> None:
    x = torch.linspace(-1, 1, 40)[:, None]
    assert answered(subject_of(nn.Linear(1, 1), [(x, x.sin())], "mse_loss"))


def test_what_can_not_be_trained_on_says_why() -> None:
    lost = torch.randn(20, 6)
    lost[3, 2] = float("nan")
    model = Takes(3)
    assert "not finite" in reason(model, lost, torch.randint(3, (20,)), "cross_entropy")
    few = [(torch.randn(3, 6), torch.randint(3, (3,)))]
    found = simple_models(OVER, subject_of(model, few, "cross_entropy"))
    assert found == Unavailable("3 training examples are too few to fit a simpler model to")

    def picky(outputs: Any, target: Any) -> torch.Tensor:
        if not hasattr(outputs, "mine"):
            raise ValueError("not mine")
        return outputs.sum()

    class Mine(Takes):
        def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
            out = super().forward(*inputs)
            out.mine = True  # type: ignore[attr-defined]
            return out

    said = reason(Mine(3), torch.randn(20, 6), torch.randint(3, (20,)), picky)
    assert "no simpler model could be trained" in said


def test_batches_of_different_lengths_are_kept_apart() -> None:
    generator = torch.Generator().manual_seed(0)
    data = [
        (torch.randint(9, (10, n), generator=generator), torch.randint(9, (10, n)))
        for n in (5, 5, 7, 8, 5, 6, 7, 7)
    ]

    class Any9(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(9, 9)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.embed(x)

    found = answered(subject_of(Any9(), data, "cross_entropy"))
    assert len(found.models[0].scores) == 80


def test_time_first_inputs_are_read_example_by_example() -> None:
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(3, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(x[-1])

    subject, designs = designs_of(
        Last(), torch.randn(5, 6, 3), torch.randint(2, (6,)), "cross_entropy"
    )
    x = torch.randn(5, 6, 3)
    assert torch.equal(designs.read((x,), {}), x.movedim(1, 0).flatten(1))
    assert isinstance(next(subject.batches("train", 1)), Batch)
