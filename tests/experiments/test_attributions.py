"""Attributions against closed forms and plain autograd, over awkward models too."""

import copy

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn
from torch.nn import functional

from auditor.core.request import Unavailable
from auditor.experiments.attributions import attributions
from auditor.experiments.maps import maps_of, path_of
from auditor.experiments.scenes import scene_of
from auditor.experiments.shuffled import shuffled
from auditor.intake.subject import Subject
from auditor.observations.attributions import COMPARED, PICTURED, Attributions, AttributionsOver
from tests.awkward import BY_NAME, Awkward, images, next_tokens, numbers, subject_of, vectors

ASKED = AttributionsOver()


def told(subject: Subject) -> Attributions:
    found = attributions(ASKED, subject)
    assert isinstance(found, Attributions), found
    return found


ODD = (
    "no-parameters", "scalar-output", "tied", "dict-output", "inplace-relu",
    "functional-conv", "lstm", "attention", "encoder", "remembers",
    "spectral-norm", "train-only", "float64", "bfloat16", "dict-inputs",
    "multilabel", "regression", "fourier", "sparse", "time-first", "segmentation",
)  # fmt: skip


@pytest.fixture
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take few steps however far the sum is off: untrained models need many."""
    monkeypatch.setattr("auditor.experiments.maps.STEPS", (8,))


@pytest.mark.usefixtures("few_steps")
@pytest.mark.parametrize("case", [BY_NAME[name] for name in ODD], ids=str)
def test_awkward_models_are_explained_and_left_as_they_were(case: Awkward) -> None:
    model = case.model()
    before = copy.deepcopy(model.state_dict())
    found = attributions(ASKED, case.subject(model))
    after = model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    if case.name == "scalar-output":
        assert isinstance(found, Unavailable)
        return
    assert isinstance(found, Attributions), found
    assert len(found.pictured) == PICTURED
    for one in found.pictured:
        assert one.saliency.size
        assert np.isfinite(one.integrated).all()
    assert bool(found.why_unchanged) == (case.name == "no-parameters")
    size = sum(array.nbytes for one in found.pictured for array in vars(one).values()
               if isinstance(array, np.ndarray))  # fmt: skip
    assert size < 600_000


def test_a_linear_model_is_explained_in_closed_form() -> None:
    torch.manual_seed(0)
    model = nn.Linear(8, 3)
    found = told(subject_of(model, vectors(), "cross_entropy"))
    x = torch.cat([batch for batch, _ in vectors()])
    for one in found.pictured:
        weights = model.weight[int(one.explained.split()[1])].detach()
        np.testing.assert_allclose(one.saliency, weights.abs().numpy(), rtol=1e-5)
        own = ((x[one.example] - x.mean(dim=0)) * weights).numpy()
        np.testing.assert_allclose(one.integrated, own, atol=1e-5)
        assert one.attributed == pytest.approx(one.total, rel=1e-4)
        assert one.score == pytest.approx(float(model(x[one.example]).detach().max()), rel=1e-5)
    assert found.features.shape == (21, 8)
    assert found.baseline == "the mean example"


class Convolved(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 5, 3)
        self.head = nn.Linear(5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        states = functional.relu_(self.b(functional.relu_(self.a(x))))
        return self.head(states.mean(dim=(2, 3)))


def test_maps_of_a_network_of_convolutions_are_those_of_plain_autograd() -> None:
    torch.manual_seed(0)
    model = Convolved()
    subject = subject_of(model, images(), "cross_entropy")
    found = told(subject)
    assert found.cam_layer == "b"
    x = torch.cat([batch for batch, _ in images()])
    for one in found.pictured:
        leaf = x[one.example][None].requires_grad_()
        layer = model.b(model.a(leaf).relu())
        layer.retain_grad()
        model.head(layer.relu().mean(dim=(2, 3)))[0].max().backward()
        assert leaf.grad is not None
        assert layer.grad is not None
        saliency = leaf.grad[0].abs().amax(dim=0)
        np.testing.assert_allclose(one.saliency, saliency / saliency.max(), atol=1e-3)
        slope = layer.grad.mean(dim=(2, 3), keepdim=True)
        cam = (slope * layer).sum(dim=1)[0].relu().detach()
        np.testing.assert_allclose(one.cam, cam / cam.max().clamp(min=1e-12), atol=1e-3)


def test_tokens_are_explained_by_their_vectors_at_the_last_place_that_counts() -> None:
    torch.manual_seed(0)
    embedding, head = nn.Embedding(11, 6), nn.Linear(6, 11)

    class Sums(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding, self.head = embedding, head

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(torch.tanh(self.embedding(x)).cumsum(dim=1))

    data = [(x, y.clone()) for x, y in next_tokens()]
    for _, y in data:
        y[:, 4] = -100
    found = told(subject_of(Sums(), data, "cross_entropy"))
    x = torch.cat([batch for batch, _ in data])
    assert found.kind == "tokens"
    for one in found.pictured:
        vectors_ = embedding(x[one.example]).detach().requires_grad_()
        head(torch.tanh(vectors_).cumsum(dim=0))[3].max().backward()
        assert vectors_.grad is not None
        assert one.shown.tolist() == x[one.example].tolist()
        np.testing.assert_allclose(one.saliency, vectors_.grad.norm(dim=-1), rtol=1e-5, atol=1e-9)
        assert one.saliency[4] == 0
        assert one.gap < 0.05


def test_correlations_are_those_of_scipy() -> None:
    torch.manual_seed(0)
    subject = subject_of(nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3)),
                         vectors(), "cross_entropy")  # fmt: skip
    found = told(subject)
    saliency = next(change for change in found.changes if change.method == "saliency")
    assert saliency.trained.shape == (5, min(21, COMPARED))
    assert saliency.among.shape == (10, 21)
    for place, one in enumerate(found.pictured):
        expected = spearmanr(one.saliency, one.shuffled_saliency).statistic
        assert saliency.trained[0, place] == pytest.approx(expected, abs=1e-6)


def test_steps_are_added_until_the_sum_comes_out() -> None:
    class Steep(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.sigmoid(40 * (x - 0.9)).sum(dim=1, keepdim=True)

    x = torch.ones(6, 3) * torch.linspace(0.95, 1.05, 6)[:, None]
    subject = subject_of(Steep(), [(x, torch.zeros(6, 1))], "mse_loss")
    scene = scene_of(subject, subject.model, next(subject.batches("val", 1)), "val", 1.0)
    assert not isinstance(scene, str)
    batch, what = scene.at(range(6))
    source = type(scene.source)(scene.source.place, tokens=False)
    rough = path_of(scene.model, batch, source, what, 16, 1.0)
    fine = path_of(scene.model, batch, source, what, 256, 1e-4)
    assert rough is not None
    assert fine is not None
    assert fine.steps > rough.steps == 16
    assert np.abs(fine.attributed - fine.total).max() < np.abs(rough.attributed - rough.total).max()


def test_the_same_again() -> None:
    subject = subject_of(Convolved(), images(), "cross_entropy")
    first, second = told(subject), told(subject)
    for one, other in zip(first.changes, second.changes, strict=True):
        np.testing.assert_array_equal(one.trained, other.trained)
    np.testing.assert_array_equal(first.cascade, second.cascade)


def test_shuffling_keeps_the_values() -> None:
    generator = torch.Generator().manual_seed(0)
    for shape in ((5,), (3, 4, 2), (1500, 800)):
        values = torch.randn(shape)
        mixed = shuffled(values, generator)
        assert mixed.shape == values.shape
        assert not torch.equal(mixed, values)
        assert torch.equal(mixed.flatten().sort().values, values.flatten().sort().values)


class Floors(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head((x.detach() > 0).float())


def test_a_model_that_lets_no_gradient_through_is_not_explained() -> None:
    found = attributions(ASKED, subject_of(Floors(), vectors(), "cross_entropy"))
    assert isinstance(found, Unavailable)
    assert "gradient" in found.reason


def test_bytes_that_a_model_takes_as_fractions_too_are_explained() -> None:
    class Bytes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(192, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(x.float().flatten(1) / 255)

    data = [((50 * x + 100).clamp(0, 255).to(torch.uint8), y) for x, y in images()]
    found = told(subject_of(Bytes(), data, "cross_entropy"))
    assert found.kind == "picture"
    assert found.pictured[0].shown.shape == (8, 8, 3)


def test_one_example_is_explained_and_not_compared() -> None:
    found = told(subject_of(nn.Linear(8, 3), [(torch.randn(1, 8), torch.tensor([1]))],
                            "cross_entropy"))  # fmt: skip
    assert len(found.pictured) == 1
    assert "examples could be compared" in found.why_unchanged


@pytest.mark.usefixtures("few_steps")
def test_targets_that_are_no_single_outputs_are_not_shown() -> None:
    def pinball(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        share = torch.tensor([0.1, 0.5, 0.9])
        over = target - outputs
        return torch.maximum(share * over, (share - 1) * over).mean()

    found = told(subject_of(nn.Linear(8, 3), numbers(1), pinball))
    assert {one.truth for one in found.pictured} == {""}


def test_weights_that_are_not_finite_are_told() -> None:
    model = nn.Linear(8, 3)
    with torch.no_grad():
        model.weight[0, 0] = torch.nan
    found = attributions(ASKED, subject_of(model, vectors(), "cross_entropy"))
    assert isinstance(found, Unavailable)
    assert "not finite" in found.reason


def test_maps_are_none_where_nothing_is_derived() -> None:
    subject = subject_of(nn.Linear(8, 3), vectors(), "cross_entropy")
    scene = scene_of(subject, subject.model, next(subject.batches("val", 1)), "val", 1.0)
    assert not isinstance(scene, str)
    batch, what = scene.at(range(3))
    assert maps_of(scene.model, batch, scene.source, what) is not None
    assert maps_of(Floors(), batch, scene.source, what) is None


def test_a_network_that_runs_on_two_pictures_is_explained_by_the_first() -> None:
    class Siamese(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2))
            self.head = nn.Linear(36, 5)

        def forward(self, a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return tuple(self.head(self.body(one).flatten(1)) for one in (a, b))

    def distance(outputs: tuple[torch.Tensor, ...], same: torch.Tensor) -> torch.Tensor:
        return (functional.pairwise_distance(*outputs) * (same - 0.5)).mean()

    torch.manual_seed(0)
    pairs = [((x, x.flip(0)), torch.ones(len(x))) for x, _ in images()]
    found = told(subject_of(Siamese(), pairs, distance))
    assert found.cam_layer == "body.0"
    assert not found.pictured[0].truth
    assert np.abs(found.pictured[0].saliency).max() > 0
    assert found.pictured[0].cam.size


def test_outputs_without_a_truth_to_set_beside_them_are_explained() -> None:
    """The loss is computed inside; the task is the model's own."""

    class Inside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(8, 3)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            scores = self.head(x)
            return scores, scores.square().mean()

    found = told(subject_of(Inside(), vectors(), lambda outputs, target: outputs[1]))
    assert {one.truth for one in found.pictured} == {""}
