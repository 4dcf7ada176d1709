"""Which task a loss of the user's own is taken to be for."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import functional

from auditor.intake.losses import Loss, callable_loss, named_loss
from auditor.intake.task import inferred_task

CLASSES = torch.tensor([0, 1, 2, 0, 1, 2])
LABELS = torch.tensor([[0.0, 1.0], [1.0, 1.0], [0.0, 0.0]])
SHARES = torch.tensor([0.55, 0.7, 0.95, 0.6, 0.75, 0.8]).reshape(6, 1)
"""Soft labels whose mean is about its own sigmoid, so that no shift of all of them pays."""
NUMBERS = torch.tensor([-1.2, 0.3, 0.9, 2.0, -0.4, 0.1]).reshape(6, 1)


HOT = functional.one_hot(CLASSES, 3).float()


def focal(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    entropy = functional.cross_entropy(outputs, target, reduction="none")
    return ((1 - torch.exp(-entropy)) ** 2 * entropy).mean()


def of_probabilities(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return -(outputs.gather(1, target[:, None]) + 1e-9).log().mean()


def of_logarithms(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return -(functional.one_hot(target, 3) * outputs.log()).sum(1).mean()


def contrastive(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    alike = functional.normalize(outputs, dim=1) @ functional.normalize(outputs, dim=1).T
    same = (target[:, None] == target[None]).float()
    return -(alike.log_softmax(1) * same).sum() / same.sum()


def of_last_dimension(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(outputs.movedim(-1, 1), target)


def signs(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return functional.binary_cross_entropy_with_logits(outputs, target)


def squares(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return ((outputs - target) ** 2).mean()


def first_of_three(outputs: tuple[torch.Tensor, ...], target: torch.Tensor) -> torch.Tensor:
    return functional.binary_cross_entropy_with_logits(outputs[0], target) + outputs[1].mean()


@pytest.mark.parametrize(
    ("loss", "outputs", "target", "task"),
    [
        (focal, torch.zeros(6, 3), CLASSES, "multiclass"),
        (of_probabilities, torch.full((6, 3), 1 / 3), CLASSES, "multiclass"),
        (of_logarithms, torch.full((6, 3), 1 / 3), CLASSES, "multiclass"),
        (contrastive, torch.arange(18.0).reshape(6, 3).sin(), CLASSES, "custom"),
        (of_last_dimension, torch.zeros(2, 3, 3), CLASSES.reshape(2, 3), "language_model"),
        (signs, torch.zeros(3, 2), LABELS, "multilabel"),
        (signs, torch.zeros(3, 1), LABELS[:, :1], "binary"),
        (squares, torch.zeros(3, 2), LABELS, "regression"),
        (lambda o, t: -squares(o, t), torch.zeros(6, 1), NUMBERS, "regression"),
        (lambda o, t: -focal(o, t), torch.zeros(6, 3), CLASSES, "multiclass"),
        (squares, torch.zeros(6, 1), NUMBERS, "regression"),
        (signs, torch.zeros(6, 1), SHARES, "custom"),
        (first_of_three, (torch.zeros(6, 1), torch.ones(6, 2)), SHARES, "custom"),
    ],
)
def test_a_loss_of_ones_own_is_asked(
    loss: Callable[..., torch.Tensor], outputs: Any, target: torch.Tensor, task: str
) -> None:
    assert inferred_task(callable_loss(loss, "own"), outputs, target) == task


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("count", [2, 6, 50])
def test_a_logistic_loss_of_soft_labels_is_not_one_of_numbers(seed: int, count: int) -> None:
    shares = torch.rand(count, 1, generator=torch.Generator().manual_seed(seed))
    outputs = torch.zeros(count, 1)
    assert inferred_task(callable_loss(signs, "own"), outputs, shares) == "custom"
    assert inferred_task(callable_loss(squares, "own"), outputs, shares) == "regression"


def of_shares(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return -(target * outputs.log_softmax(1)).sum(1).mean()


def of_log_shares(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return -(target * outputs).sum(1).mean()


@pytest.mark.parametrize("target", [HOT, 0.9 * HOT + 0.1 / 3, HOT.flip(1) / 2 + HOT / 2])
@pytest.mark.parametrize(
    ("loss", "logs", "task"),
    [
        (named_loss("cross_entropy"), False, "multiclass"),
        (callable_loss(functional.cross_entropy, "own"), False, "multiclass"),
        (callable_loss(of_shares, "own"), False, "multiclass"),
        (callable_loss(lambda o, t: -of_shares(o, t), "own"), False, "multiclass"),
        (callable_loss(of_log_shares, "own"), True, "multiclass"),
        (
            callable_loss(lambda o, t: functional.kl_div(o, t, reduction="sum"), "own"),
            True,
            "multiclass",
        ),
        (named_loss("mse_loss"), False, "regression"),
        (named_loss("binary_cross_entropy_with_logits"), False, "multilabel"),
        (callable_loss(squares, "own"), False, "regression"),
    ],
)
def test_targets_that_give_each_class_a_share(
    loss: Loss, logs: bool, task: str, target: torch.Tensor
) -> None:
    outputs = torch.randn(6, 3)
    assert inferred_task(loss, outputs.log_softmax(1) if logs else outputs, target) == task


def test_labels_of_which_each_example_has_one_are_labels_still() -> None:
    assert inferred_task(callable_loss(signs, "own"), torch.randn(6, 3), HOT) == "multilabel"
    several = named_loss("cross_entropy")
    assert inferred_task(several, torch.randn(3, 2), LABELS) == "custom"


def test_shares_of_pixels_and_of_positions() -> None:
    mask = functional.one_hot(torch.randint(3, (2, 4, 4)), 3).movedim(-1, 1).float()
    loss = named_loss("cross_entropy")
    assert inferred_task(loss, torch.randn(2, 3, 4, 4), mask) == "segmentation"
    assert inferred_task(loss, torch.randn(2, 3, 4), mask[..., 0]) == "language_model"


def test_shapes_decide_where_the_loss_takes_no_other_outputs() -> None:
    class Outputs(dict[str, torch.Tensor]):
        @property
        def logits(self) -> torch.Tensor:
            return self["logits"]

    def attribute(outputs: Outputs, target: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(outputs.logits, target)

    outputs = Outputs(logits=torch.zeros(6, 3))
    assert inferred_task(callable_loss(attribute, "own"), outputs, CLASSES) == "multiclass"


def ctc(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    size, steps = outputs.shape[:2]
    lengths = torch.full((size,), steps), torch.full((size,), target.shape[1])
    return functional.ctc_loss(outputs.log_softmax(-1).transpose(0, 1), target, *lengths)


def of_whole_labels(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    labels = target.float().view(outputs.shape)
    return functional.binary_cross_entropy_with_logits(outputs, labels)


def of_ratings(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return functional.mse_loss(outputs.squeeze(1), target.float())


@pytest.mark.parametrize(
    ("own", "outputs", "target", "task"),
    [
        (ctc, torch.zeros(2, 9, 4), torch.tensor([[1, 2, 3], [3, 2, 1]]), "custom"),
        (ctc, torch.zeros(2, 9, 4), torch.tensor([[1, 2, 3, 1], [3, 2, 1, 2]]), "custom"),
        (of_whole_labels, torch.zeros(6, 1), torch.tensor([0, 1, 1, 0, 1, 0]), "binary"),
        (of_whole_labels, torch.zeros(6), torch.tensor([0, 1, 1, 0, 1, 0]), "binary"),
        (of_whole_labels, torch.zeros(3, 2), LABELS.long(), "multilabel"),
        (of_ratings, torch.zeros(6, 1), torch.tensor([1, 5, 3, 4, 2, 2]), "regression"),
    ],
)
def test_whole_numbers_that_a_loss_brings_into_shape_itself(
    own: Callable[..., Any], outputs: torch.Tensor, target: torch.Tensor, task: str
) -> None:
    assert inferred_task(callable_loss(own, "own"), outputs, target) == task
