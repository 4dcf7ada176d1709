"""How a loss weights classes, measured at an output that knows nothing."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from auditor.intake import neutral
from auditor.intake.losses import callable_loss
from auditor.intake.neutral import class_weights

WEIGHTS = torch.tensor([1.0, 0.1, 5.0])
CLASSES = torch.tensor([0, 0, 0, 0, 1, 0])
"""Of the last class there is none."""
LABELS = torch.tensor([[0.0, 1.0], [0.0, 0.0], [0.0, 0.0]])

weighted = partial(functional.cross_entropy, weight=WEIGHTS)


def focal(outputs: Tensor, target: Tensor) -> Tensor:
    surprise = functional.cross_entropy(outputs, target, reduction="none")
    return (WEIGHTS[target] * (1 - surprise.neg().exp()) ** 2 * surprise).mean()


def of_shares(outputs: Tensor, target: Tensor) -> Tensor:
    return -(WEIGHTS[target] * outputs.gather(1, target[:, None]).squeeze(1).log()).mean()


@pytest.mark.parametrize(
    ("loss", "task", "outputs", "target"),
    [
        (weighted, "multiclass", torch.randn(6, 3), CLASSES),
        (lambda o, t: weighted(o, t, reduction="sum"), "multiclass", torch.randn(6, 3), CLASSES),
        (focal, "multiclass", torch.randn(6, 3), CLASSES),
        (of_shares, "multiclass", torch.randn(6, 3).softmax(1), CLASSES),
        (
            partial(functional.nll_loss, weight=WEIGHTS),
            "multiclass",
            torch.randn(6, 3).log_softmax(1),
            CLASSES,
        ),
        (weighted, "multiclass", torch.randn(6, 3), functional.one_hot(CLASSES, 3).float()),
        (weighted, "segmentation", torch.randn(2, 3, 4, 4), torch.zeros(2, 4, 4).long()),
        (
            lambda o, t: weighted(o.movedim(-1, 1), t),
            "language_model",
            torch.randn(2, 5, 3),
            torch.zeros(2, 5).long(),
        ),
    ],
)
def test_the_weight_of_each_class(
    loss: Callable[..., Tensor], task: Any, outputs: Tensor, target: Tensor
) -> None:
    found = class_weights(callable_loss(loss, "own"), task, outputs, target)
    assert found == pytest.approx((10.0, 1.0, 50.0), rel=1e-3)


@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss(label_smoothing=0.1), nn.MultiMarginLoss()])
def test_classes_that_count_alike(loss: nn.Module) -> None:
    own = callable_loss(lambda o, t: loss(o, t), "own")
    assert class_weights(own, "multiclass", torch.randn(6, 3), CLASSES) == (1.0,)


@pytest.mark.parametrize("task", ["multilabel", "binary"])
def test_ones_against_zeros(task: Any) -> None:
    positive = torch.tensor([1.0, 7.0]) if task == "multilabel" else torch.tensor([7.0])
    width = len(positive)
    loss = partial(functional.binary_cross_entropy_with_logits, pos_weight=positive)
    outputs, target = torch.randn(3, width), LABELS[:, :width]
    found = class_weights(callable_loss(loss, "own"), task, outputs, target)
    assert found == pytest.approx(tuple(positive.tolist()))


def test_weights_drawn_from_the_batch_are_those_of_its_targets() -> None:
    def loss(outputs: Tensor, target: Tensor) -> Tensor:
        counts = torch.bincount(target, minlength=3)
        return functional.cross_entropy(outputs, target, weight=1 / counts)

    found = class_weights(callable_loss(loss, "own"), "multiclass", torch.randn(6, 3), CLASSES)
    assert found == pytest.approx((1.0, 3.0, 6.0))


def test_what_can_not_be_measured_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = torch.randn(6, 3)
    own = callable_loss(weighted, "own")
    assert class_weights(own, "regression", outputs, outputs) == ()
    assert class_weights(own, "multiclass", (outputs, outputs), CLASSES) == ()
    blind = callable_loss(lambda o, t: torch.zeros((), requires_grad=True), "own")
    assert class_weights(blind, "multiclass", outputs, CLASSES) == ()
    monkeypatch.setattr(neutral, "WIDEST", 8)
    assert class_weights(own, "multiclass", outputs, CLASSES) == ()


def test_measuring_draws_no_random_numbers() -> None:
    def loss(outputs: Tensor, target: Tensor) -> Tensor:
        return weighted(outputs + 0.0 * torch.rand(outputs.shape), target)

    before = torch.get_rng_state()
    class_weights(callable_loss(loss, "own"), "multiclass", torch.zeros(6, 3), CLASSES)
    assert torch.equal(torch.get_rng_state(), before)
