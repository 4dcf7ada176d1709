"""Which way losses of one's own push the scores of classes: right ones, and ones that are wrong."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from auditor.experiments.class_direction import class_direction
from auditor.intake.losses import callable_loss
from auditor.observations.class_direction import ClassDirection, together
from auditor.observations.loss_direction import astray

N, C, T = 24, 4, 6
GENERATOR = torch.Generator().manual_seed(0)
LOGITS = torch.randn(N, C, generator=GENERATOR)
LABELS = torch.arange(N) % C
DENSE = torch.randn(N, C, T, T, generator=GENERATOR)
MASKS = torch.randint(C, (N, T, T), generator=GENERATOR)
SAID = torch.randn(N, T, C, generator=GENERATOR)
TOKENS = torch.randint(C, (N, T), generator=GENERATOR)

Loss = Callable[[Any, Any], torch.Tensor]


def told(loss: Loss, outputs: Any, target: torch.Tensor) -> ClassDirection | None:
    return class_direction(callable_loss(loss, "own"), outputs, target, -100)


def kinds(loss: Loss, outputs: Any, target: torch.Tensor, softmax: bool = True) -> list[str]:
    found = together([told(loss, outputs, target)])
    assert found is not None
    return [one.kind for one in astray(found, "own", softmax)]


def hot(target: torch.Tensor) -> torch.Tensor:
    return functional.one_hot(target, C).float()


def dice(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    chances, truth = outputs.softmax(1), hot(target).movedim(-1, 1)
    return 1 - 2 * (chances * truth).sum() / (chances.sum() + truth.sum())


def focal(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    right = outputs.softmax(1).gather(1, target[:, None])
    return (-((1 - right) ** 2) * right.log()).mean()


def far_classes(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """The squared earth mover's distance between ordered classes."""
    gaps = outputs.softmax(1).cumsum(1) - hot(target).cumsum(1)
    return gaps.square().mean()


def penalised(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(outputs, target) + 100 * outputs.square().mean()


def hardest(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """The mean over the eight examples that cost most."""
    return functional.cross_entropy(outputs, target, reduction="none").topk(8).values.mean()


@pytest.mark.parametrize(
    ("loss", "outputs", "target"),
    [
        (lambda o, t: functional.cross_entropy(o, t, label_smoothing=0.2), LOGITS, LABELS),
        (lambda o, t: functional.nll_loss(o, t), LOGITS.log_softmax(1), LABELS),
        (lambda o, t: -o.gather(1, t[:, None]).log().mean(), LOGITS.softmax(1), LABELS),
        (focal, LOGITS, LABELS),
        (penalised, LOGITS, LABELS),
        (hardest, LOGITS, LABELS),
        (lambda o, t: functional.multi_margin_loss(o, t), LOGITS, LABELS),
        (lambda o, t: (o - hot(t)).square().mean(), LOGITS, LABELS),
        (lambda o, t: functional.cross_entropy(o["logits"], t), {"logits": LOGITS}, LABELS),
        (lambda o, t: functional.cross_entropy(o, t), DENSE, MASKS),
        (dice, DENSE, MASKS),
        (lambda o, t: functional.cross_entropy(o.mT, t), SAID, TOKENS),
        (lambda o, t: functional.cross_entropy(o[:, :-1].mT, t[:, 1:]), SAID, TOKENS),
        (lambda o, t: functional.cross_entropy(o.flatten(0, 1), t.flatten()), SAID, TOKENS),
    ],
)
def test_losses_that_teach_the_targets(loss: Loss, outputs: Any, target: torch.Tensor) -> None:
    assert kinds(loss, outputs, target, softmax=loss is not dice) == []


@pytest.mark.parametrize(
    ("loss", "outputs", "target", "kind"),
    [
        (lambda o, t: (o[:, 0] - t).square().mean(), LOGITS, LABELS, "unseen classes"),
        (lambda o, t: functional.cross_entropy(o[:, :3], t % 3), LOGITS, LABELS, "unseen classes"),
        (lambda o, t: -functional.cross_entropy(o, t), LOGITS, LABELS, "against the target"),
        (
            lambda o, t: functional.cross_entropy(o, t.roll(1)),
            LOGITS,
            LABELS,
            "against the target",
        ),
        (
            lambda o, t: functional.cross_entropy(o.reshape(-1, C), t.reshape(-1)),
            DENSE,
            MASKS,
            "against the target",
        ),
        (
            lambda o, t: functional.cross_entropy(o.reshape(N, C, T), t),
            SAID,
            TOKENS,
            "against the target",
        ),
        (lambda o, t: (o.softmax(1) - hot(t)).square().mean(), LOGITS, LABELS, "gives up"),
        (lambda o, t: (o.softmax(1) - hot(t)).abs().mean(), LOGITS, LABELS, "gives up"),
        (far_classes, LOGITS, LABELS, "gives up"),
    ],
)
def test_losses_that_do_not(loss: Loss, outputs: Any, target: torch.Tensor, kind: str) -> None:
    assert kinds(loss, outputs, target) == [kind]


def test_slopes_are_counted_row_by_row() -> None:
    half = torch.arange(N) < N // 2

    def flipped(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        costs = functional.cross_entropy(outputs, target, reduction="none")
        return torch.where(half, costs, -costs).mean()

    found = told(flipped, LOGITS, LABELS)
    assert found is not None
    assert (found.against, found.rows, found.unseen) == (N // 2, N, ())


def test_the_slope_at_a_sure_and_wrong_answer_is_that_of_softmax() -> None:
    found = told(lambda o, t: functional.cross_entropy(o, t), LOGITS, LABELS)
    assert found is not None
    # 1 where the wrong class has all of the probability, 1 - 1 / C where all have the same.
    assert found.when_sure == pytest.approx(1 / (1 - 1 / C), rel=1e-4)


def test_ignored_targets_do_not_count() -> None:
    target = LABELS.clone()
    target[:4] = -100
    found = told(lambda o, t: functional.cross_entropy(o, t), LOGITS, target)
    assert found is not None
    assert (found.against, found.rows) == (0, N - 4)


@pytest.mark.parametrize(
    ("loss", "target"),
    [
        (lambda o, t: functional.cross_entropy(o, t % C), LABELS + C),
        (lambda o, t: o.argmax(1).float().mean(), LABELS),
        (lambda o, t: (o * 0).sum(), LABELS),
        (lambda o, t: (o - o.mean()).sqrt().mean(), LABELS),
    ],
)
def test_nothing_is_said_where_there_is_no_slope_or_no_class(loss: Loss, target: Any) -> None:
    assert told(loss, LOGITS, target) is None


def test_batches_count_together() -> None:
    one, other = ClassDirection(1, 8, (1, 2), 0.5), ClassDirection(2, 4, (2, 3), 1.5)
    assert together([one, other]) == ClassDirection(3, 12, (2,), 1.5)
    assert together([one, None]) is None
    assert together([]) is None


def test_few_rows_against_the_target_are_borne() -> None:
    few, many = (ClassDirection(count, 200, (), 1.0) for count in (20, 60))
    assert list(astray(few, "own", True)) == []
    (one,) = astray(many, "own", True)
    assert one.severe
    assert np.isclose(float(one.evidence.split("(")[1].split(" %")[0]), 30)
