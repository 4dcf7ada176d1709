"""What a term that judges no answers costs: trained with it and without it."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from auditor.core.request import Unavailable
from auditor.core.spec import OptimizerSpec
from auditor.experiments.term_trials import term_trials
from auditor.observations.term_trials import SEEDS, TermTrial, TermTrialsOver
from tests.awkward import subject_of

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(160, 6, generator=GENERATOR)
LABELS = X[:, :3].argmax(1)
NUMBERS = 3 * (X[:, :1] + X[:, 1:2])
SIZE = 32


def batches(target: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return list(zip(X.split(SIZE), target.split(SIZE), strict=True))


def build(width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, width))


def penalty(weight: float) -> Any:
    return lambda outputs, target: weight * outputs.square().mean()


def tried(terms: Any, target: torch.Tensor, width: int) -> Any:
    given = subject_of(
        build(width),
        batches(target),
        terms,
        factory=lambda: build(width),
        optimizer=OptimizerSpec(name="Adam", lr=0.01),
    )
    return term_trials(TermTrialsOver(), given)


@pytest.mark.parametrize(
    ("fit", "target", "width"), [("cross_entropy", LABELS, 3), ("mse_loss", NUMBERS, 1)]
)
def test_a_penalty_that_drowns_the_data_and_one_that_does_not(
    fit: str, target: torch.Tensor, width: int
) -> None:
    heavy = tried({"fit": fit, "size": penalty(30)}, target, width)
    light = tried({"fit": fit, "size": penalty(1e-3)}, target, width)
    for found, drowns in ((heavy, True), (light, False)):
        (one,) = found.trials
        assert one.term == "size"
        assert one.tells
        assert one.drowns(0.2, 0.99) is drowns
        assert len(one.start) == SEEDS * len(batches(target))
    np.testing.assert_allclose(heavy.trials[0].without, light.trials[0].without)
    assert light.trials[0].kept() > 0.9 > 0.2 > heavy.trials[0].kept()


def test_the_start_is_worth_what_fresh_models_cost() -> None:
    found = tried({"fit": "cross_entropy", "size": penalty(1)}, LABELS, 3)
    # Fresh small models answer about at chance.
    assert found.trials[0].start.mean() == pytest.approx(np.log(3), rel=0.15)


@pytest.mark.parametrize(
    ("terms", "words"),
    [
        ("cross_entropy", "one callable"),
        ({"one": "cross_entropy", "two": "cross_entropy"}, "every term"),
        ({"one": penalty(1), "two": penalty(2)}, "or none"),
    ],
)
def test_it_says_why_nothing_is_tried(terms: Any, words: str) -> None:
    found = tried(terms, LABELS, 3)
    assert isinstance(found, Unavailable)
    assert words in found.reason


def test_what_two_terms_judge_is_added_up() -> None:
    def margin(outputs: Any, target: torch.Tensor) -> torch.Tensor:
        return functional.multi_margin_loss(outputs, target)

    terms = {"fit": "cross_entropy", "margin": margin, "size": penalty(1e-3)}
    (one,) = tried(terms, LABELS, 3).trials
    (alone,) = tried({"fit": "cross_entropy", "size": penalty(1e-3)}, LABELS, 3).trials
    assert (one.start > alone.start).all()


def rows(start: float, whole: float, without: float, noise: float = 0.01) -> TermTrial:
    rng = np.random.default_rng(0)
    return TermTrial("size", *(level + noise * rng.normal(size=8) for level in
                               (start, whole, without)))  # fmt: skip


@pytest.mark.parametrize(
    ("trial", "drowns"),
    [
        (rows(1.0, 0.95, 0.1), True),
        (rows(1.0, 0.7, 0.1), False),
        (rows(1.0, 1.3, 0.1), True),
        (rows(1.0, 0.99, 0.95), False),
        (rows(1.0, 0.95, 0.1, noise=2.0), False),
        (rows(1.0, 1.0, 1.5), False),
    ],
)
def test_a_term_drowns_what_is_surely_kept_from_being_learnt(
    trial: TermTrial, drowns: bool
) -> None:
    assert trial.drowns(0.2, 0.99) is drowns
