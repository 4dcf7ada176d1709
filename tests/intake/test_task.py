"""Which task a loss of the user's own is taken to be for."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import functional

from auditor.intake.losses import callable_loss
from auditor.intake.task import inferred_task

CLASSES = torch.tensor([0, 1, 2, 0, 1, 2])
LABELS = torch.tensor([[0.0, 1.0], [1.0, 1.0], [0.0, 0.0]])


def focal(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    entropy = functional.cross_entropy(outputs, target, reduction="none")
    return ((1 - torch.exp(-entropy)) ** 2 * entropy).mean()


def of_probabilities(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return -(outputs.gather(1, target[:, None]) + 1e-9).log().mean()


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
        (contrastive, torch.randn(6, 3), CLASSES, "custom"),
        (of_last_dimension, torch.zeros(2, 3, 3), CLASSES.reshape(2, 3), "language_model"),
        (signs, torch.zeros(3, 2), LABELS, "multilabel"),
        (signs, torch.zeros(3, 1), LABELS[:, :1], "binary"),
        (squares, torch.zeros(3, 2), LABELS, "regression"),
        (lambda o, t: -squares(o, t), torch.zeros(6, 1), torch.randn(6, 1), "regression"),
        (lambda o, t: -focal(o, t), torch.zeros(6, 3), CLASSES, "multiclass"),
        (squares, torch.zeros(6, 1), torch.randn(6, 1), "regression"),
        (signs, torch.zeros(6, 1), torch.rand(6, 1), "custom"),
        (first_of_three, (torch.zeros(6, 1), torch.ones(6, 2)), torch.rand(6, 1), "custom"),
    ],
)
def test_a_loss_of_ones_own_is_asked(
    loss: Callable[..., torch.Tensor], outputs: Any, target: torch.Tensor, task: str
) -> None:
    assert inferred_task(callable_loss(loss, "own"), outputs, target) == task


def test_shapes_decide_where_the_loss_takes_no_other_outputs() -> None:
    class Outputs(dict[str, torch.Tensor]):
        @property
        def logits(self) -> torch.Tensor:
            return self["logits"]

    def attribute(outputs: Outputs, target: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(outputs.logits, target)

    outputs = Outputs(logits=torch.zeros(6, 3))
    assert inferred_task(callable_loss(attribute, "own"), outputs, CLASSES) == "multiclass"
