"""Terms of a loss that are worlds apart, idle or against each other, in real models."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from auditor.core.finding import Finding
from auditor.core.verdict import Verdict
from tests.subjects import Live
from tests.zoo import Attentive, PlainCNN, digits

CHECK = "loss-terms-off-scale"

Term = Callable[[Any, torch.Tensor], torch.Tensor]


class Coder(nn.Module):
    """A variational autoencoder of images."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Sequential(nn.Flatten(), nn.Linear(64, 48), nn.ReLU())
        self.mean, self.spread = nn.Linear(48, 8), nn.Linear(48, 8)
        self.decode = nn.Sequential(nn.Linear(8, 48), nn.ReLU(), nn.Linear(48, 64))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        hidden = self.enter(x)
        mean, spread = self.mean(hidden), self.spread(hidden)
        code = mean + torch.randn_like(mean) * (spread / 2).exp() if self.training else mean
        return self.decode(code), mean, spread


def reconstruction(outputs: Any, target: torch.Tensor) -> torch.Tensor:
    return (outputs[0] - target).square().mean()


def divergence(outputs: Any, target: torch.Tensor) -> torch.Tensor:
    _, mean, spread = outputs
    return -0.5 * (1 + spread - mean.square() - spread.exp()).mean()


class TwoHeads(nn.Module):
    """A trunk with a head for the class and one for evenness."""

    def __init__(self, trunk: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.trunk, self.even = trunk(), nn.Linear(10, 1)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        scores = self.trunk(x)
        return {"logits": scores, "even": self.even(torch.tanh(scores)).squeeze(1)}


def which(outputs: Any, target: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(outputs["logits"], target)


def even(outputs: Any, target: torch.Tensor) -> torch.Tensor:
    return functional.binary_cross_entropy_with_logits(outputs["even"], (target % 2 == 0).float())


def scaled(term: Term, factor: float) -> Term:
    return lambda outputs, target: factor * term(outputs, target)


def fitted(build: Callable[[], nn.Module], change: Any, terms: dict[str, Any]) -> Live:
    train, val = digits(change)
    torch.manual_seed(0)
    model = build()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(3):
        for inputs, target in train:
            optimizer.zero_grad()
            outputs = model(inputs)
            sum(term(outputs, target) for term in terms.values()).backward()
            optimizer.step()
    return Live(model.eval(), build, train, val, terms, {"name": "Adam", "lr": 2e-3})


def coder(**terms: Term) -> Live:
    return fitted(Coder, lambda x, y: (x, x.flatten(1)), terms)


def heads(trunk: Callable[[], nn.Module], **terms: Term) -> Live:
    return fitted(lambda: TwoHeads(trunk), lambda x, y: (x, y), terms)


def found(live: Live, verdict: Verdict, *words: str) -> Finding:
    finding = live.finding(CHECK)
    assert finding.verdict is verdict, finding.summary
    for word in words:
        assert word in finding.summary
    return finding


def test_balanced_terms_are_left_alone() -> None:
    found(coder(reconstruction=reconstruction, divergence=scaled(divergence, 0.1)), Verdict.PASS)
    for trunk in (PlainCNN, Attentive):
        found(heads(trunk, which=which, even=even), Verdict.PASS)


def test_a_term_without_a_say_is_found() -> None:
    live = coder(reconstruction=scaled(reconstruction, 1e5), divergence=divergence)
    assert found(live, Verdict.WARN, "no say").where[0].name == "loss.divergence"


@pytest.mark.parametrize("trunk", [PlainCNN, Attentive])
def test_a_task_weighted_away_is_found(trunk: Callable[[], nn.Module]) -> None:
    finding = found(heads(trunk, which=which, even=scaled(even, 1e-5)), Verdict.WARN, "no say")
    assert finding.where[0].name == "loss.even"
    assert "Multiply `even` by about" in finding.advice[0]


@pytest.mark.parametrize("trunk", [PlainCNN, Attentive])
def test_terms_against_each_other_are_found(trunk: Callable[[], nn.Module]) -> None:
    live = heads(trunk, which=which, other=scaled(which, -0.4))
    found(live, Verdict.WARN, "against each other")


@pytest.mark.parametrize("trunk", [PlainCNN, Attentive])
def test_a_term_without_gradient_is_found(trunk: Callable[[], nn.Module]) -> None:
    def accuracy(outputs: Any, target: torch.Tensor) -> torch.Tensor:
        return 1 - (outputs["logits"].argmax(1) == target).float().mean()

    def rounded(outputs: Any, target: torch.Tensor) -> torch.Tensor:
        return (torch.sigmoid(outputs["even"]).round() - (target % 2 == 0).float()).abs().mean()

    live = heads(trunk, which=which, accuracy=accuracy, rounded=rounded)
    finding = found(live, Verdict.FAIL, "no gradient")
    assert {place.name for place in finding.where} == {"loss.accuracy", "loss.rounded"}


def test_a_term_that_is_not_finite_is_found() -> None:
    def entropy(outputs: Any, target: torch.Tensor) -> torch.Tensor:
        return (outputs[0] * 0).log().mean() * 0

    live = coder(reconstruction=reconstruction)
    live = Live(live.model, live.factory, live.train, live.val,
                {"reconstruction": reconstruction, "entropy": entropy}, None)  # fmt: skip
    assert found(live, Verdict.FAIL, "not finite").where[0].name == "loss.entropy"


@pytest.mark.parametrize("trunk", [PlainCNN, Attentive])
def test_a_gradient_that_is_not_finite_is_found(trunk: Callable[[], nn.Module]) -> None:
    def roots(outputs: Any, target: torch.Tensor) -> torch.Tensor:
        scores = outputs["logits"]
        return torch.where(scores > 0, scores.sqrt(), torch.zeros_like(scores)).mean()

    live = heads(trunk, which=which, even=even)
    live = replace(live, loss={"which": which, "roots": roots})
    finding = found(live, Verdict.FAIL, "the gradient of `roots` on 8 of 8 batches")
    assert [place.name for place in finding.where] == ["loss.roots"]
    sound = {"which": which, "roots": lambda o, t: 0.01 * o["logits"].abs().add(1e-3).sqrt().mean()}
    found(replace(live, loss=sound), Verdict.PASS)


class Penalised(nn.Module):
    """Hands out the size of its weights beside its answer."""

    def __init__(self) -> None:
        super().__init__()
        self.body = PlainCNN()

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        size = torch.stack([p.square().sum() for p in self.body.parameters()]).sum()
        return {"logits": self.body(x), "size": size}


def test_a_penalty_on_the_weights_may_be_small() -> None:
    def decay(outputs: Any, target: torch.Tensor) -> torch.Tensor:
        return 1e-6 * outputs["size"]

    found(
        fitted(Penalised, lambda x, y: (x, y), {"which": which, "decay": decay}),
        Verdict.PASS,
        "`which` pulls hardest",
    )
