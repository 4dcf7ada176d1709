"""What changes of the weights do to the loss, against what is known of small models."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from auditor.core.request import Unavailable
from auditor.experiments.knowing_nothing import KnowsNothing
from auditor.experiments.landscape import Landscape
from auditor.experiments.relative_moves import filtered
from auditor.experiments.sharpness import sharpness
from auditor.observations.sharpness import LENGTHS, LINE, PLANE, RADII, Sharpness, SharpnessOver
from tests.awkward import TABLE, Awkward, subject_of
from tests.experiments.test_curvature import clouds, net

REQUEST = SharpnessOver(split="train")


def measured(model: nn.Module, batches: Any, loss: Any, request: Any = REQUEST) -> Sharpness:
    found = sharpness(request, subject_of(model, batches, loss))
    assert isinstance(found, Sharpness)
    return found


def numbers(count: int = 8, size: int = 64) -> tuple[nn.Module, list[Any]]:
    """Return a linear regression that is nearly right, and its batches."""
    torch.manual_seed(0)
    model = nn.Linear(6, 1)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[3.0, -2.0, 1.0, 0.5, 0.1, 4.0]]))
        points = torch.randn(count * size, 6)
        target = model(points) + 0.3 * torch.randn(count * size, 1)
    return model, list(zip(points.split(size), target.split(size), strict=True))


def test_noise_raises_a_quadratic_by_its_curvature() -> None:
    """E |Σ r z w x|² = r² Σ w² E x² + r² b², for any r."""
    model, batches = numbers(66)
    found = measured(model, batches, "mse_loss", SharpnessOver(batches=64, split="train"))
    rise = (found.noisy - found.losses).mean(axis=1)
    size = sum(float(p.detach().square().sum()) for p in model.parameters())
    for radius, risen in zip(RADII[1:], rise[1:], strict=True):
        assert risen == pytest.approx(radius**2 * size, rel=0.35)


def test_no_direction_that_is_tried_at_random_rises_as_much_as_the_worst() -> None:
    model, batches = numbers()
    found = measured(model, batches, "mse_loss")
    weights = torch.cat([model.weight.detach().reshape(-1), model.bias.detach()])
    torch.manual_seed(1)
    best = 0.0
    for _ in range(300):
        step = torch.randn(7)
        moved = weights * (1 + LENGTHS[-1] * step / step.norm())
        losses = [functional.mse_loss(x @ moved[:6, None] + moved[6], y) for x, y in batches[:6]]
        best = max(best, float(torch.stack(losses).mean()) - float(found.losses.mean()))
    assert best <= float((found.worst[-1] - found.losses).mean())
    assert found.climbed.sum() == pytest.approx(1.0)
    assert found.owners == ("weight", "bias")


def test_rescaling_a_unit_changes_none_of_it() -> None:
    """Dinh et al. 2017, unit by unit: each has its own factor."""
    torch.manual_seed(0)
    one = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    other, factors = copy.deepcopy(one), torch.logspace(-3, 3, 8)
    with torch.no_grad():
        other[0].weight *= factors[:, None]
        other[0].bias *= factors
        other[2].weight /= factors
    first, second = (measured(m, clouds(8), "cross_entropy") for m in (one, other))
    for name in ("losses", "noisy", "worst"):
        assert getattr(first, name) == pytest.approx(getattr(second, name), rel=1e-3), name


def test_slices_move_each_filter_by_its_own_norm_and_leave_vectors() -> None:
    model = net()
    (batch,) = subject_of(model, clouds(1), "cross_entropy").batches("train", 1)
    subject = subject_of(model, clouds(8), "cross_entropy")
    landscape = Landscape(subject, batch, 0, training=False)
    steps = filtered(landscape, [torch.randn_like(w) for w in landscape.weights])
    for w, step in zip(landscape.weights, steps, strict=True):
        if w.ndim > 1:
            assert torch.allclose(step.norm(dim=1), w.norm(dim=1), rtol=1e-4)
        else:
            assert not step.any()
    found = measured(model, clouds(8), "cross_entropy")
    assert found.line.shape == (2, len(LINE))
    assert found.plane.shape == (len(PLANE), len(PLANE))
    for centre in (*found.line[:, len(LINE) // 2], found.plane[len(PLANE) // 2, len(PLANE) // 2]):
        assert centre == pytest.approx(found.losses[0], rel=1e-5)


def test_the_layer_that_bears_noise_least_is_found_among_very_many() -> None:
    torch.manual_seed(0)
    layers = [nn.Linear(6, 6) for _ in range(60)]
    for layer in layers:
        nn.init.eye_(layer.weight)
        nn.init.zeros_(layer.bias)
    with torch.no_grad():
        layers[41].bias += 1000.0
        layers[42].bias -= 1000.0
    batches = clouds(8)
    shown = [(x, x) for x, _ in batches]
    found = measured(nn.Sequential(*layers), shown, "mse_loss")
    worst = np.argsort(-found.alone)[:2]
    assert {found.layers[place] for place in worst} == {"41", "42"}
    assert len(found.layers) < 30


@pytest.mark.parametrize(
    ("loss", "outputs", "target", "expected"),
    [
        (
            "cross_entropy",
            torch.randn(8, 2),
            torch.tensor([0, 0, 0, 0, 0, 0, 1, 1]),
            -(6.5 / 9 * 0.75 / (6.5 / 9)) * np.log(6.5 / 9) - 0.25 * np.log(2.5 / 9),
        ),
        ("mse_loss", torch.randn(4, 1), torch.tensor([[1.0], [3.0], [1.0], [3.0]]), 1.0),
        (
            "binary_cross_entropy_with_logits",
            torch.randn(4, 1),
            torch.tensor([[1.0], [0.0], [0.0], [0.0]]),
            -0.25 * np.log(0.25) - 0.75 * np.log(0.75),
        ),
        (
            "binary_cross_entropy",
            torch.rand(4, 1),
            torch.tensor([[1.0], [0.0], [0.0], [0.0]]),
            -0.25 * np.log(0.25) - 0.75 * np.log(0.75),
        ),
    ],
)
def test_knowing_nothing_is_the_best_constant(
    loss: str, outputs: torch.Tensor, target: torch.Tensor, expected: float
) -> None:
    model = nn.Sequential(nn.Linear(6, outputs.shape[1]))
    if loss == "binary_cross_entropy":
        model.append(nn.Sigmoid())
    subject = subject_of(model, [(torch.randn(len(target), 6), target)], loss)
    (batch,) = subject.batches("train", 1)
    nothing = KnowsNothing(subject)
    nothing.add(outputs, batch)
    (value,), said = nothing.losses(lambda out, batch: subject.loss(out, batch.target))
    assert float(value) == pytest.approx(expected, rel=1e-4)
    assert "dealt" not in said


def test_of_a_loss_of_ones_own_other_examples_answers_know_nothing() -> None:
    def distance(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return (outputs - target).abs().pow(1.5).mean()

    model, batches = numbers()
    found = measured(model, batches, distance)
    assert "dealt out" in found.baseline
    assert (found.chance > 5 * found.losses).all()


def test_a_loader_of_one_batch_is_taken_apart_and_a_custom_one_is_not() -> None:
    model, batches = numbers(1, 128)
    found = measured(model, batches, "mse_loss")
    assert len(found.losses) == 6
    assert "1 batch of train data were taken apart into 8" in found.note

    def own(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return (outputs - target).square().mean()

    assert len(measured(model, batches, own).losses) in (1, 6)


@pytest.mark.parametrize("case", TABLE, ids=str)
def test_awkward_models_are_measured_and_stay_what_they_are(case: Awkward) -> None:
    subject = case.subject()
    assert subject.model is not None
    before = copy.deepcopy(subject.model.state_dict())
    request = SharpnessOver(batches=2, split="train")
    found = sharpness(request, subject)
    if isinstance(found, Sharpness):
        assert found.noisy.shape == (len(RADII), len(found.losses))
        assert found.worst.shape == (len(LENGTHS), len(found.losses))
        assert len(found.layers) == len(found.alone) > 0
        lost = found.lost(found.noisy, found.noisy_scores)
        assert (lost <= 1).all()
    else:
        assert "no trainable parameters" in found.reason
    for name, value in subject.model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_the_same_is_measured_again() -> None:
    first, second = (str(measured(net(), clouds(8), "cross_entropy")) for _ in range(2))
    assert first == second


def test_a_loss_that_is_not_finite_is_not_measured() -> None:
    spoilt = net()
    with torch.no_grad():
        spoilt[0].weight[0, 0] = torch.nan
    found = sharpness(REQUEST, subject_of(spoilt, clouds(), "cross_entropy"))
    assert isinstance(found, Unavailable)
    assert "not a finite number" in found.reason
