"""Learning rates a hundred and a thousand times off, in models that were trained with them."""

from dataclasses import replace

import pytest
import torch

from auditor.core.verdict import Verdict
from auditor.intake.losses import named_loss
from tests.subjects import Live, sample

FAMILIES = ("digits_cnn", "diabetes_mlp", "names_rnn", "tiny_lm")


def retrained(live: Live, times: float, epochs: int = 1) -> Live:
    """Return the subject trained anew with its optimizer, at another multiple of its rate."""
    assert live.factory is not None
    assert live.optimizer is not None
    torch.manual_seed(0)
    model = live.factory()
    settings = {**live.optimizer, "lr": live.optimizer["lr"] * times}
    arguments = {name: value for name, value in settings.items() if name != "name"}
    optimizer = getattr(torch.optim, settings["name"])(model.parameters(), **arguments)
    loss = named_loss(live.loss)
    model.train()
    for _ in range(epochs):
        for inputs, target in live.train:
            optimizer.zero_grad()
            loss(model(inputs), target).backward()
            optimizer.step()
    return replace(live, model=model.eval(), optimizer=settings)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("times", [0.01, 1000.0], ids=["low", "high"])
def test_a_rate_far_off_is_found_in_what_it_trained(family: str, times: float) -> None:
    live = retrained(sample(family), times)
    found = live.finding("learning-rate-off")
    assert found.verdict is Verdict.FAIL, found.summary
    assert live.optimizer is not None
    (place,) = found.where
    assert place.name == "training.optimizer.lr"
    side = "low" if times < 1 else "high"
    assert place.note == f"{live.optimizer['lr']:.2g} is too {side}"
    assert f"too {side}" in found.summary
    values = {metric.name: metric.value for metric in found.metrics}
    usual = sample(family).optimizer
    assert usual is not None
    assert values["lowest recommended"] / 10 < usual["lr"] < values["highest recommended"]


def test_a_rate_a_hundred_times_too_high_rattles(language: Live) -> None:
    """The smaller models bear that much: fresh ones learn fastest with it."""
    found = retrained(language, 100, epochs=2).finding("learning-rate-off")
    assert found.verdict is Verdict.WARN, found.summary
    assert "too high" in found.summary


def test_a_slip_in_the_declaration_of_a_good_model(diabetes: Live) -> None:
    assert diabetes.optimizer is not None
    low = replace(diabetes, optimizer={**diabetes.optimizer, "lr": 5e-9})
    assert low.finding("learning-rate-off").verdict is Verdict.INFO
    high = replace(diabetes, optimizer={**diabetes.optimizer, "lr": 5.0})
    assert high.finding("learning-rate-off").verdict is Verdict.FAIL
