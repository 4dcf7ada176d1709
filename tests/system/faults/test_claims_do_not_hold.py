"""Claims of real models, true ones and others."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from auditor.core.finding import Finding
from auditor.core.verdict import Verdict
from tests.subjects import Live, broken

CHECK = "claims-do-not-hold"


def found(live: Live, **claims: float) -> Finding:
    return replace(live, options={"claims": claims}).finding(CHECK)


@pytest.mark.parametrize(
    ("name", "claims"),
    [
        ("digits", {"accuracy": 0.98, "top_3": 99.9, "f1_macro": 0.98, "log_loss": 0.06}),
        ("diabetes", {"mse": 0.45, "r2": 0.45, "mae": 0.55}),
        ("names", {"accuracy": 0.9, "auc": 0.99}),
        ("language", {"perplexity": 1.75, "accuracy": 0.81, "loss": 0.57}),
    ],
)
def test_true_claims_hold(request: pytest.FixtureRequest, name: str, claims: dict) -> None:
    held = found(request.getfixturevalue(name), **claims)
    assert held.verdict in (Verdict.PASS, Verdict.INFO), held.summary
    assert len(held.metrics) == len(claims)


@pytest.mark.parametrize(
    ("name", "claims"),
    [
        ("digits", {"f1_macro": 1.05e2 / 105, "accuracy": 0.9999, "log_loss": 0.01}),
        ("diabetes", {"r2": 0.7, "mse": 0.44}),
        ("names", {"accuracy": 0.97}),
        ("language", {"perplexity": 1.3}),
    ],
)
def test_claims_that_are_too_good_do_not(
    request: pytest.FixtureRequest, name: str, claims: dict
) -> None:
    missed = found(request.getfixturevalue(name), **claims)
    assert missed.verdict is Verdict.FAIL, missed.summary
    assert missed.where
    assert missed.advice
    assert missed.figures


@pytest.mark.parametrize(("name", "claim"), [("digits", 0.98), ("names", 0.9)])
def test_a_damaged_checkpoint_does_not_reach_what_it_did(
    request: pytest.FixtureRequest, name: str, claim: float
) -> None:
    live: Live = request.getfixturevalue(name)

    def damage(model: nn.Module) -> None:
        generator = torch.Generator().manual_seed(0)
        for parameter in model.parameters():
            parameter.mul_(1 + 0.5 * torch.randn(parameter.shape, generator=generator))

    missed = found(broken(live, damage), accuracy=claim)
    assert missed.verdict is Verdict.FAIL
    assert [place.name for place in missed.where] == ["claims.accuracy"]
