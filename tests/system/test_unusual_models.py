"""Healthy models of unusual kinds, which checks made for classes and numbers must leave alone."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional

from auditor.api import Record
from auditor.core.verdict import Verdict
from tests.subjects import Live, trained
from tests.zoo import digits, mlp

LEAK = "examples-leak-across-batch"
LOUD = (Verdict.WARN, Verdict.FAIL, Verdict.ERROR)
APART = ("environment-unrecorded", "code-unversioned", "dead-units", "update-ratio-off")
"""Checks that these models are not meant for."""


def whole(live: Live) -> Record:
    """Return an audit of the quick profile by all checks, that has raised nothing."""
    record = replace(live, options={"profile": "quick"}).audited()
    loud = [f for f in record.findings if f.verdict in LOUD and f.check not in APART]
    assert {f.check: f.summary for f in loud} == {}
    return record


class Pairs(nn.Module):
    """Similarities of two views of each example of a batch, trained to be largest in pairs."""

    def __init__(self) -> None:
        super().__init__()
        self.body = mlp(64, 64, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        one, other = self.body(x), self.body(x.flip(1))
        return 8 * functional.normalize(one, dim=1) @ functional.normalize(other, dim=1).T


def test_similarities_within_a_batch_are_no_classes() -> None:
    train, val = digits(lambda x, _: (x.flatten(1), torch.arange(len(x))))
    live = trained(Pairs, train, val, "cross_entropy", epochs=8, lr=2e-3)
    record = whole(live)
    assert record.subject.task == "custom"
    found = {finding.check: finding for finding in record.findings}
    for apart in (LEAK, "gradient-pictures", "saliency-insensitive"):
        assert found[apart].verdict is Verdict.NOT_APPLICABLE
        assert "against one another" in found[apart].summary


def test_rates_of_a_poisson_model_are_read_from_their_logarithms() -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(1600, 6, generator=generator)
    counts = torch.poisson(torch.exp(0.5 * inputs[:, :1] + 0.5), generator=generator)
    batches = list(zip(inputs.split(50), counts.split(50), strict=True))
    live = trained(
        lambda: mlp(6, 32, 1), batches[:24], batches[24:], "poisson_nll_loss", epochs=15, lr=2e-3
    )
    whole(live)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_balancing_sampler_shifts_no_inputs(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(3000, 10, generator=generator)
    noise = 0.2 * torch.randn(3000, generator=generator)
    labels = (inputs[:, 0] + 0.3 * inputs[:, 1] + noise > 1.6).long()
    weights = torch.where(labels[:2000] == 1, 10.0, 1.0)
    drawn = torch.multinomial(weights, 2000, True, generator=generator)
    train = list(zip(inputs[drawn].split(50), labels[drawn].split(50), strict=True))
    val = list(zip(inputs[2000:].split(50), labels[2000:].split(50), strict=True))
    live = trained(lambda: mlp(10, 32, 2), train, val, "cross_entropy", epochs=12, lr=2e-3)
    found = live.finding("inputs-not-normalised")
    assert found.verdict is Verdict.PASS, found.summary


class Bag(nn.Module):
    """The mean of a text's vectors, texts joined end to end."""

    def __init__(self) -> None:
        super().__init__()
        self.bag, self.head = nn.EmbeddingBag(20, 8), nn.Linear(8, 2)

    def forward(self, text: torch.Tensor, starts: torch.Tensor) -> torch.Tensor:
        return self.head(self.bag(text, starts))


def test_texts_joined_end_to_end_are_told_apart() -> None:
    generator = torch.Generator().manual_seed(0)
    batches = []
    for _ in range(6):
        lengths = torch.randint(1, 9, (16,), generator=generator)
        text = torch.randint(20, (int(lengths.sum()),), generator=generator)
        first = lengths.cumsum(0) - lengths
        batches.append(((text, first), text[first] % 2))
    torch.manual_seed(0)
    live = Live(Bag(), Bag, batches, batches[:3], "cross_entropy", {"name": "Adam", "lr": 1e-2})
    wanted = ("exploding-gradients", "activation-pictures", "loss-unfit-for-task", LEAK)
    record = live.audited(*wanted)
    assert record.subject.data["val"].examples == 48
    assert {f.check: f.summary for f in record.findings if f.verdict in LOUD} == {}
    assert next(f for f in record.findings if f.check == LEAK).verdict is Verdict.PASS


def test_a_loss_that_aligns_is_given_no_other_labels() -> None:
    """By chance there are as many labels as letters, and class 8 of "classes" would be a step."""

    def ctc(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        size, steps = outputs.shape[:2]
        lengths = torch.full((size,), steps), torch.full((size,), target.shape[1])
        return functional.ctc_loss(outputs.log_softmax(-1).transpose(0, 1), target, *lengths)

    torch.manual_seed(0)
    data = [(torch.randn(6, 16, 3), torch.randint(1, 4, (6, 4))) for _ in range(4)]
    live = Live(nn.Linear(3, 4), lambda: nn.Linear(3, 4), data, data, ctc, None)
    record = live.audited("class-imbalance", "loss-unfit-for-task", "initial-loss-off-chance")
    assert record.subject.task == "custom"
    assert all(f.verdict is not Verdict.ERROR for f in record.findings)
