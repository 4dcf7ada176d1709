"""Models that learn by heart, and validation data that was trained on."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset

from auditor.core.finding import Finding
from auditor.core.verdict import Verdict
from tests.subjects import Live
from tests.zoo import healthy, mlp

Batches = list[tuple[Any, torch.Tensor]]


def few(live: Live, batches: int, *, dealt: bool = False) -> Batches:
    """Return some training batches, with the targets dealt to other examples on demand."""
    torch.manual_seed(0)
    found = [batch for batch, _ in zip(live.train, range(batches), strict=False)]
    if not dealt:
        return found
    inputs, targets = (torch.cat(column) for column in zip(*found, strict=True))
    targets = targets[torch.randperm(len(targets))]
    return list(zip(inputs.split(32), targets.split(32), strict=True))


def by_heart(live: Live, train: Batches, epochs: int, lr: float = 3e-3, **changes: Any) -> Live:
    """Return the subject with a fresh model that has learnt `train` by heart."""
    factory: Callable[[], nn.Module] = changes.get("factory", live.factory)
    torch.manual_seed(0)
    model = factory()
    stepper = torch.optim.Adam(model.parameters(), lr=lr)
    measure = getattr(functional, live.loss) if isinstance(live.loss, str) else live.loss
    for _ in range(epochs):
        for inputs, target in train:
            outputs = model(inputs)
            if outputs.ndim == 3 and target.ndim == 2:
                outputs, target = outputs.flatten(0, 1), target.flatten()
            stepper.zero_grad()
            measure(outputs, target).backward()
            stepper.step()
    made = {"model": model, "train": train, "optimizer": {"name": "Adam", "lr": lr}, **changes}
    return replace(live, **made)


def failed(found: Finding, *words: str) -> None:
    assert found.verdict is Verdict.FAIL, found.summary
    for word in words:
        assert word in found.summary
    assert found.advice
    assert found.figures


def test_a_cnn_learns_a_hundred_random_labels(digits: Live) -> None:
    found = by_heart(digits, few(digits, 3, dealt=True), 40).finding("overfitted")
    failed(found, "hardly better than a constant answer", "by heart")
    assert (found.where[0].kind, found.where[0].name) == ("setting", "training")
    assert "weight decay (it is 0 by the spec)" in " ".join(found.advice)


def test_an_mlp_fits_the_noise_of_a_few_patients(diabetes: Live) -> None:
    train = few(diabetes, 4)
    live = by_heart(diabetes, train, 200, factory=lambda: mlp(10, 128, 128, 1))
    found = live.finding("overfitted")
    assert found.verdict in (Verdict.WARN, Verdict.FAIL), found.summary
    assert "Squared error over a constant's is" in found.summary
    assert found.where[0].name == "training"


def test_a_gru_learns_random_languages(names: Live) -> None:
    found = by_heart(names, few(names, 3, dealt=True), 60, 1e-2).finding("overfitted")
    failed(found, "by heart")


def test_a_decoder_learns_its_text_by_heart(language: Live) -> None:
    found = by_heart(language, few(language, 1), 90).finding("overfitted")
    assert found.verdict in (Verdict.WARN, Verdict.FAIL)
    assert "sure of its mistakes" in found.summary
    assert any(metric.name == "perplexity, validation" for metric in found.metrics)


def test_a_transformer_encoder_learns_noisy_labels() -> None:
    live = healthy("transformer")
    found = by_heart(live, few(live, 2, dealt=True), 40).finding("overfitted")
    failed(found, "by heart")


def test_a_loss_of_ones_own_is_judged_over_batches() -> None:
    """A loss that is not known is measured against that of fresh models."""
    live = healthy("wine_mlp")

    def own(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        share = outputs.softmax(1).gather(1, target.unsqueeze(1))
        return (1 - share).square().mean()

    x, y = (torch.cat(column) for column in zip(*live.train, strict=True))
    other, truth = (torch.cat(column) for column in zip(*live.val, strict=True))
    y, truth = y[torch.randperm(len(y))], truth[torch.randperm(len(truth))]
    train = list(zip(x.split(10), y.split(10), strict=True))
    val = list(zip(other.split(8), truth.split(8), strict=True))
    options = {"task": "custom"}
    found = by_heart(live, train, 80, loss=own, val=val, options=options).finding("overfitted")
    failed(found, "Loss is", "a fresh model has", "of what was learnt")


class Noisy(Dataset[Any]):
    """Digits under noise that differs from pass to pass."""

    def __init__(self, inputs: torch.Tensor, target: torch.Tensor) -> None:
        self.inputs, self.target = inputs, target

    def __len__(self) -> int:
        return len(self.target)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self.inputs[index] + 0.1 * torch.randn(1, 8, 8), self.target[index]


@pytest.fixture(scope="module")
def images(digits: Live) -> tuple[torch.Tensor, torch.Tensor]:
    inputs, target = zip(*digits.val, strict=True)
    return torch.cat(inputs), torch.cat(target)


def leaks(found: Finding) -> str:
    assert found.verdict is Verdict.FAIL, found.summary
    assert (found.where[0].kind, found.where[0].name) == ("setting", "data.val")
    assert found.advice
    return found.where[0].note


def test_validation_that_was_copied_from_training_is_named(digits: Live) -> None:
    train = few(digits, 40)
    found = replace(digits, train=train, val=few(digits, 4)).finding("overfitted")
    assert leaks(found) == "128 of 128 examples stand in training"
    assert (found.where[1].kind, found.where[1].name) == ("example", "val 0")
    assert found.where[1].note == "the same as train 0"


def test_a_leak_in_part_is_told_and_the_rest_judged_by_itself(digits: Live, images) -> None:
    train = few(digits, 40)
    inputs, target = images
    copies = torch.cat([train[0][0], train[1][0]]), torch.cat([train[0][1], train[1][1]])
    val = [(torch.cat([inputs[:192], copies[0]]), torch.cat([target[:192], copies[1]]))]
    found = replace(digits, train=train, val=val).finding("overfitted")
    assert found.verdict is Verdict.WARN
    assert "64 of 256 validation examples stand in training" in found.summary
    assert "on the other 192" in found.summary


def test_one_loader_for_both_splits(digits: Live) -> None:
    found = replace(digits, val=digits.train).finding("overfitted")
    assert leaks(found) == "is the training loader"


def test_validation_is_the_first_rows_of_an_augmented_training_set(digits: Live, images) -> None:
    whole = Noisy(*images)
    live = replace(
        digits,
        train=DataLoader(whole, 32, shuffle=True),
        val=DataLoader(Subset(whole, range(100)), 50),
    )
    found = live.finding("overfitted")
    assert leaks(found) == "100 of 100 indices are training's"
    assert "augmentation" in found.summary


def test_two_parts_of_one_dataset_are_no_leak(digits: Live, images) -> None:
    whole = TensorDataset(*images)
    train, val = Subset(whole, range(300)), Subset(whole, range(300, 450))
    live = replace(digits, train=DataLoader(train, 32, shuffle=True), val=DataLoader(val, 50))
    found = live.finding("overfitted")
    assert found.verdict is Verdict.PASS, found.summary


def test_inputs_of_few_values_repeat_themselves() -> None:
    torch.manual_seed(0)
    x = torch.randint(2, (800, 6)).float()
    y = ((x[:, 0] + x[:, 1] > 0) ^ (torch.rand(800) < 0.1)).long()
    batches = list(zip(x.split(40), y.split(40), strict=True))
    live = Live(nn.Linear(6, 2), lambda: nn.Linear(6, 2), [], [], "cross_entropy", None)
    made = by_heart(live, batches[:10], 30, val=batches[10:]).finding("overfitted")
    assert made.verdict is Verdict.PASS, made.summary
    assert "than usual stand in training" in made.summary


def test_a_graph_that_both_splits_see_whole_is_no_leak() -> None:
    """The nodes to answer for are others."""

    class Split:
        def __init__(self, rows: slice) -> None:
            self.rows = rows

        def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
            generator = torch.Generator().manual_seed(0)
            nodes = torch.randn(1, 200, 8, generator=generator)
            labels = (nodes[..., 0] > 0).long()
            masked = torch.full_like(labels, -100)
            masked[:, self.rows] = labels[:, self.rows]
            yield nodes, masked.clone()

    class PerNode(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(8, 2)

        def forward(self, nodes: torch.Tensor) -> torch.Tensor:
            return self.layer(nodes).movedim(-1, 1)

    live = Live(
        PerNode(), PerNode, Split(slice(100)), Split(slice(100, 200)), "cross_entropy", None
    )
    found = live.finding("overfitted")
    assert found.verdict in (Verdict.NOT_APPLICABLE, Verdict.INFO, Verdict.PASS), found.summary


def test_validation_that_is_easier_than_training_is_suspicious(digits: Live) -> None:
    torch.manual_seed(0)
    spoilt = [
        (x, torch.where(torch.rand(len(y)) < 0.3, torch.randint(10, y.shape), y))
        for x, y in digits.train
    ]
    found = replace(digits, train=spoilt).finding("overfitted")
    assert found.verdict is Verdict.WARN
    assert "Validation is better than training beyond doubt" in found.summary
