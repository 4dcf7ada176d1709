"""Training that was stopped too early, or that something holds back."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.nn import functional

from auditor.core.verdict import Verdict
from tests.subjects import Live
from tests.zoo import healthy


def restarted(live: Live, epochs: int, optimizer: Mapping[str, Any] | None = None) -> Live:
    """Return the subject with a fresh model, trained for so many epochs."""
    assert live.factory is not None
    optimizer = dict(optimizer or live.optimizer or {})
    torch.manual_seed(0)
    model = live.factory()
    settings = {key: value for key, value in optimizer.items() if key != "name"}
    stepper = getattr(torch.optim, optimizer["name"])(model.parameters(), **settings)
    measure = getattr(functional, live.loss)
    for _ in range(epochs):
        for inputs, target in live.train:
            outputs = model(inputs)
            if outputs.ndim == 3 and target.ndim == 2:
                outputs, target = outputs.flatten(0, 1), target.flatten()
            stepper.zero_grad()
            measure(outputs, target).backward()
            stepper.step()
    options = {**live.options, "training": {"epochs": epochs}} if epochs else live.options
    return replace(live, model=model, optimizer=optimizer, options=options)


@pytest.mark.parametrize("family", ["digits_cnn", "diabetes_mlp", "names_rnn", "tiny_lm"])
def test_a_model_of_one_epoch_is_still_falling(family: str) -> None:
    found = restarted(healthy(family), 1).finding("underfitted")
    assert found.verdict in (Verdict.WARN, Verdict.FAIL), found.summary
    assert "19 more steps" in found.summary
    assert len(found.figures) == 2
    if "no better than a" not in found.summary:
        assert "still falling when training stopped" in found.summary
        assert [(place.kind, place.name) for place in found.where] == [
            ("setting", "training.epochs")
        ]
        assert "1 epoch" in found.where[0].note
        assert "Train for 2 epochs at least, instead of 1" in found.advice[0]


@pytest.mark.parametrize(
    ("family", "optimizer"),
    [
        ("plain_cnn", {"name": "SGD", "lr": 2e-3}),
        ("wine_mlp", {"name": "Adam", "lr": 3e-3, "weight_decay": 0.3}),
    ],
)
def test_what_holds_training_back_is_told_from_too_little_of_it(family, optimizer) -> None:
    found = restarted(healthy(family), 4, optimizer).finding("underfitted")
    assert found.verdict in (Verdict.WARN, Verdict.FAIL), found.summary
    assert "Adam at 0.001 without weight decay and dropout bring" in found.summary
    assert (
        f"lr {optimizer['lr']:g}" in found.summary
        or "no better" in found.summary
        or (found.where[0].name == "training.optimizer")
    )


def test_a_model_that_learnt_nothing_fails(digits: Live) -> None:
    found = restarted(digits, 0).finding("underfitted")
    assert found.verdict is Verdict.FAIL
    assert "no better than a constant answer" in found.summary


def test_noise_that_nothing_can_learn_is_no_underfitting() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(900, 6, generator=generator)
    y = x[:, :1] + 2 * torch.randn(900, 1, generator=generator)
    batches = list(zip(x.split(30), y.split(30), strict=True))
    live = Live(
        torch.nn.Linear(6, 1),
        lambda: torch.nn.Linear(6, 1),
        batches[:20],
        batches[20:],
        "mse_loss",
        {"name": "Adam", "lr": 1e-2},
    )
    found = restarted(live, 30).finding("underfitted")
    assert found.verdict is Verdict.PASS, found.summary
    assert "Left of a constant's loss: 8" in found.summary
