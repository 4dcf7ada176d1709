"""Inputs off scale, empty, or not those of training, planted in models of many families."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_wine
from torch import nn

from auditor.core.spec_file import read_spec
from auditor.core.verdict import Verdict
from auditor.intake.loading import load
from tests.subjects import REAL, ROOT, Live, mapped, trained
from tests.zoo import Batches, PlainCNN, digits, healthy, mlp

CHECK = "inputs-not-normalised"


def changed(live: Live, change: Callable, *, train: bool = True, val: bool = True) -> Live:
    """Change the inputs of a split or both."""

    def inputs(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return change(x), y

    return replace(
        live,
        train=mapped(live.train, inputs) if train and live.train is not None else live.train,
        val=mapped(live.val, inputs) if val else live.val,
    )


def raw_table(data: object, seed: int = 0) -> tuple[Batches, Batches]:
    """Return a table as it comes, nothing standardised."""
    x, y = torch.tensor(data.data, dtype=torch.float32), torch.tensor(data.target)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    train, val = order[: len(x) * 2 // 3], order[len(x) * 2 // 3 :]
    return [(x[r], y[r]) for r in train.split(32)], [(x[r], y[r]) for r in val.split(32)]


def pixels(scale: float) -> tuple[Batches, Batches]:
    """Return the digits with grey values from 0 to `scale`."""
    return digits(lambda x, y: ((x - x.min()) / (x.max() - x.min()) * scale, y))


@pytest.mark.parametrize("scale", [255.0, 16.0])
@pytest.mark.parametrize("flat", [True, False], ids=["mlp", "cnn"])
def test_a_model_trained_on_raw_pixels(flat: bool, scale: float) -> None:
    train, val = pixels(scale)
    build: Callable[[], nn.Module] = PlainCNN
    if flat:
        build = lambda: nn.Sequential(nn.Flatten(), mlp(64, 32, 10))  # noqa: E731
    live = trained(build, train, val, "cross_entropy", epochs=3, lr=1e-3)
    found = live.finding(CHECK)
    assert found.verdict is Verdict.WARN, found.summary
    assert "not normalised: its root mean square" in found.summary
    assert found.where[0].name.startswith("input")


def test_pixels_from_0_to_1_are_fine() -> None:
    train, val = pixels(1.0)
    for build in (PlainCNN, lambda: nn.Sequential(nn.Flatten(), mlp(64, 64, 10))):
        live = trained(build, train, val, "cross_entropy", epochs=6, lr=3e-3)
        found = live.finding(CHECK)
        assert found.verdict is Verdict.PASS, found.summary


@pytest.mark.parametrize("load", [load_wine, load_breast_cancer])
def test_raw_tables(load: Callable) -> None:
    train, val = raw_table(load())
    build = partial(mlp, train[0][0].shape[1], 32, 3)
    live = trained(build, train, val, "cross_entropy", epochs=3)
    found = live.finding(CHECK)
    assert found.verdict is Verdict.WARN, found.summary
    largest = int(torch.cat([x for x, _ in train]).square().mean(0).argmax())
    assert found.where[0].name == f"input: feature {largest}"


def test_a_curve_over_raw_numbers() -> None:
    def curve(low: float, high: float) -> Batches:
        generator = torch.Generator().manual_seed(0)
        x = [low + (high - low) * torch.rand(32, 1, generator=generator) for _ in range(8)]
        return [(part, torch.sin(part)) for part in x]

    for low, high, verdict in (
        (-2, 2, Verdict.PASS),
        (0, 50, Verdict.WARN),
        (2000, 2020, Verdict.WARN),
    ):
        data = curve(low, high)
        live = trained(partial(mlp, 1, 50, 50, 1), data, data, "mse_loss", epochs=20)
        found = live.finding(CHECK)
        assert found.verdict is verdict, found.summary


@pytest.mark.parametrize("name", ["wine_mlp", "cancer_logit", "diabetes_mlp"])
def test_one_feature_left_as_it_was(name: str) -> None:
    def grow(x: torch.Tensor) -> torch.Tensor:
        return torch.where(torch.arange(x.shape[1]) == 4, 2000 + 300 * x, x)

    found = changed(healthy(name), grow).finding(CHECK)
    assert found.verdict in (Verdict.WARN, Verdict.FAIL), found.summary
    assert "input: feature 4" in [place.name for place in found.where]


@pytest.mark.parametrize("name", ["wine_mlp", "cancer_mlp", "diabetes_mlp"])
@pytest.mark.parametrize("value", [0.0, 3.0])
def test_a_constant_feature(name: str, value: float) -> None:
    def fix(x: torch.Tensor) -> torch.Tensor:
        return torch.where(torch.arange(x.shape[1]) == 2, value, x)

    found = changed(healthy(name), fix).finding(CHECK)
    assert found.verdict is Verdict.WARN, found.summary
    assert found.where[0].name == "input: feature 2"


@pytest.mark.parametrize("name", ["wine_mlp", "plain_cnn", "lstm"])
@pytest.mark.parametrize("split", ["train", "val"])
def test_inputs_that_are_not_finite(name: str, split: str) -> None:
    def spoil(x: torch.Tensor) -> torch.Tensor:
        x = x.clone()
        x[0].view(-1)[3] = torch.nan
        return x

    live = changed(healthy(name), spoil, train=split == "train", val=split == "val")
    found = live.finding(CHECK)
    assert found.verdict is Verdict.FAIL, found.summary
    assert "not finite" in found.summary
    place = {"wine_mlp": "feature 3", "plain_cnn": "channel 0", "lstm": "channel 0"}[name]
    assert place in found.where[0].name
    unread = "no input holds finite real numbers alone, so none can be rescaled"
    assert (unread in found.summary) == (split == "val")


@pytest.mark.parametrize("name", ["digits_cnn", "transformer", "residual", "diabetes_mlp"])
def test_validation_data_preprocessed_otherwise(name: str) -> None:
    def as_pixels(x: torch.Tensor) -> torch.Tensor:
        return (x * 0.376 + 0.305) * 16 / 255

    found = changed(healthy(name), as_pixels, train=False).finding(CHECK)
    assert found.verdict in (Verdict.WARN, Verdict.FAIL), found.summary
    assert "Training and validation inputs differ" in found.summary


@pytest.mark.parametrize(
    ("name", "feature"), [("cancer_mlp", 20), ("residual", 28), ("autoencoder", 28)]
)
def test_a_feature_spread_otherwise_in_validation(name: str, feature: int) -> None:
    def stretched(factor: float) -> Live:
        def stretch(x: torch.Tensor) -> torch.Tensor:
            return torch.where(torch.arange(x.shape[1]) == feature, factor * x, x)

        return changed(healthy(name), stretch, train=False)

    found = stretched(4.0).finding(CHECK)
    assert found.verdict in (Verdict.WARN, Verdict.FAIL), found.summary
    assert "differ in 1 of" in found.summary
    assert f"input: feature {feature}" in [place.name for place in found.where]
    assert stretched(1.0).finding(CHECK).verdict is Verdict.PASS


@pytest.mark.parametrize("name", ["cancer_mlp", "plain_cnn"])
def test_too_few_validation_examples_are_no_pass(name: str) -> None:
    live = healthy(name)
    inputs, target = live.val[0]
    found = replace(live, val=[(10 * inputs[:15], target[:15])]).finding(CHECK)
    assert found.verdict is Verdict.INFO, found.summary
    assert "15 validation examples it can't be told" in found.summary


def noisy_table(rows: int, seed: int) -> Batches:
    """Return normal features that tell the class but for noise."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(12, 3, generator=torch.Generator().manual_seed(8))
    x = torch.randn(rows, 12, generator=generator)
    y = (x @ weight + 1.5 * torch.randn(rows, 3, generator=generator)).argmax(1)
    return list(zip(x.split(100), y.split(100), strict=True))


def test_accuracy_kept_and_the_loss_wrong_by_ten_times() -> None:
    train, val = noisy_table(2000, 1), noisy_table(800, 2)
    build = partial(mlp, 12, 32, 3)
    live = trained(build, train, val, "cross_entropy", epochs=10, lr=1e-2)
    assert live.finding(CHECK).verdict is Verdict.PASS
    grown = changed(live, lambda x: 30 * x)
    for given in (grown, replace(grown, train=None)):
        found = given.finding(CHECK)
        assert found.verdict is Verdict.WARN, found.summary
        assert "The checkpoint wants other inputs" in found.summary
        before, after = (m.value for m in found.metrics if m.name.startswith("validation loss"))
        assert before > 8 * after


def test_an_overfitted_checkpoint_is_told_of_its_confidence() -> None:
    train, val = noisy_table(300, 1), noisy_table(800, 2)

    def build() -> nn.Module:
        """Without biases the scale of the inputs is that of the outputs."""
        layers = nn.Linear(12, 128, bias=False), nn.ReLU(), nn.Linear(128, 3, bias=False)
        return nn.Sequential(*layers)

    live = trained(build, train, val, "cross_entropy", epochs=150, lr=1e-2)
    found = live.finding(CHECK)
    assert found.verdict is Verdict.PASS, found.summary
    assert "which a wrong confidence alone may account for: dividing its outputs" in found.summary
    assert "the training loss goes from 0.0" in found.summary


@pytest.mark.parametrize("given", [True, False], ids=["train", "val-only"])
@pytest.mark.parametrize("factor", [16.0, 1 / 16])
@pytest.mark.parametrize("name", ["digits_cnn", "residual"])
def test_a_trained_model_given_inputs_on_another_scale(
    name: str, factor: float, given: bool
) -> None:
    live = healthy(name) if given else replace(healthy(name), train=None)
    found = changed(live, lambda x: x * factor).finding(CHECK)
    assert found.verdict is Verdict.FAIL, found.summary
    assert "The checkpoint wants other inputs" in found.summary
    assert "data.val" in [place.name for place in found.where]


@pytest.mark.parametrize("name", ["digits_cnn", "plain_cnn", "transformer"])
def test_a_model_for_standardised_inputs_given_0_to_1(name: str) -> None:
    live = changed(replace(healthy(name), train=None), lambda x: x * 0.376 + 0.305)
    found = live.finding(CHECK)
    assert found.verdict in (Verdict.WARN, Verdict.FAIL), found.summary
    assert "accuracy" in found.summary


class Colours(nn.Module):
    """Tells which of three colours an image has; batch norm behind the first layer."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.head = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x).mean((2, 3)))


def test_blue_and_red_swapped() -> None:
    generator = torch.Generator().manual_seed(0)

    def painted(batches: int) -> Batches:
        made = []
        for _ in range(batches):
            y = torch.randint(3, (32,), generator=generator)
            x = torch.randn(32, 3, 8, 8, generator=generator)
            x[torch.arange(32), y] += 0.8
            made.append((x, y))
        return made

    live = trained(Colours, painted(30), painted(8), "cross_entropy", epochs=4, lr=1e-2)
    assert live.finding(CHECK).verdict is Verdict.PASS
    found = changed(live, lambda x: x.flip(1), train=False).finding(CHECK)
    assert found.verdict is Verdict.FAIL, found.summary
    assert "red and blue swapped" in found.summary


def test_a_wrong_confidence_is_not_blamed_on_the_inputs() -> None:
    for factor in (0.2, 5.0):
        for name in ("digits_cnn", "plain_cnn", "cancer_mlp"):
            live = healthy(name)
            model = trained(live.factory, live.train, live.val, "cross_entropy", epochs=3).model
            last = [m for m in model.modules() if isinstance(m, nn.Linear)][-1]
            with torch.no_grad():
                last.weight.mul_(factor)
                last.bias.mul_(factor)
            found = replace(live, model=model).finding(CHECK)
            assert found.verdict is Verdict.PASS, found.summary


@pytest.mark.skipif(not REAL.is_dir(), reason="the public checkpoints are not here")
@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda x: x, ""),
        (lambda x: x * 0.5 + 0.5, "mapped from [0, 1] to [-1, 1]"),
        (lambda x: (x * 0.5 + 0.5) * 255, "mapped from [0, 255] to [-1, 1]"),
        (lambda x: x.flip(1), "red and blue swapped"),
    ],
)
def test_a_public_checkpoint_preprocessed_otherwise(change: Callable, told: str) -> None:
    subject = load(read_spec(ROOT / "tests/system/real/lenet_cifar/audit.yaml"))
    examples = subject.data["val"].loader.dataset
    rows = torch.randperm(len(examples), generator=torch.Generator().manual_seed(0))[:800]
    val = [(change(examples[part][0]), examples[part][1]) for part in rows.split(100)]
    live = Live(subject.model, subject.factory, None, val, "cross_entropy", None)
    found = live.finding(CHECK)
    assert found.verdict is (Verdict.FAIL if told else Verdict.PASS), found.summary
    assert told in found.summary
