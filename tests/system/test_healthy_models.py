"""Every check stays silent on healthy models of many families."""

import json

import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_wine
from torch import nn

from auditor.core.verdict import Verdict
from tests.subjects import Live, sample, trained

FAMILIES = ("digits_cnn", "diabetes_mlp", "names_rnn", "tiny_lm")


def alarms(live: Live) -> dict[str, str]:
    quiet = (Verdict.PASS, Verdict.INFO, Verdict.NOT_APPLICABLE)
    return {
        found.check: found.summary
        for found in live.audited().findings
        if found.verdict not in quiet and found.check != "environment-unrecorded"
    }


@pytest.mark.parametrize("name", FAMILIES)
def test_samples_raise_nothing(name: str) -> None:
    assert alarms(sample(name)) == {}


def tabular(features: object, target: object, seed: int = 0) -> tuple[list, list, int]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.tensor(features, dtype=torch.float32)
    y = torch.tensor(target)
    order = torch.randperm(len(x), generator=generator)
    cut = int(len(x) * 0.65)
    train, val = order[:cut], order[cut:]
    x = (x - x[train].mean(0)) / x[train].std(0)
    batches = [(x[rows], y[rows]) for rows in train.split(32) if len(rows) > 1]
    return batches, [(x[rows], y[rows]) for rows in val.split(32)], x.shape[1]


class Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, width)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x + self.body(x))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_multilayer_perceptrons_raise_nothing(seed: int) -> None:
    for data, classes in ((load_wine(), 3), (load_breast_cancer(), 2)):
        train, val, features = tabular(data.data, data.target, seed)

        def build(features: int = features, classes: int = classes) -> nn.Module:
            return nn.Sequential(
                nn.Linear(features, 32),
                nn.ReLU(),
                nn.Linear(32, 32),
                nn.ReLU(),
                nn.Linear(32, classes),
            )

        assert alarms(trained(build, train, val, "cross_entropy", epochs=15, seed=seed)) == {}


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_residual_networks_raise_nothing(seed: int) -> None:
    digits = sample("digits_cnn")
    train = [(x.flatten(1), y) for x, y in digits.train]
    val = [(x.flatten(1), y) for x, y in digits.val]

    def build() -> nn.Module:
        return nn.Sequential(
            nn.Linear(64, 32), *(Residual(32) for _ in range(4)), nn.Linear(32, 10)
        )

    assert alarms(trained(build, train, val, "cross_entropy", epochs=12, lr=2e-3, seed=seed)) == {}


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_autoencoders_raise_nothing(seed: int) -> None:
    digits = sample("digits_cnn")
    train = [(x.flatten(1), x.flatten(1)) for x, _ in digits.train]
    val = [(x.flatten(1), x.flatten(1)) for x, _ in digits.val]

    def build() -> nn.Module:
        return nn.Sequential(
            nn.Linear(64, 48),
            nn.ReLU(),
            nn.Linear(48, 16),
            nn.Linear(16, 48),
            nn.ReLU(),
            nn.Linear(48, 64),
        )

    assert alarms(trained(build, train, val, "mse_loss", epochs=15, lr=2e-3, seed=seed)) == {}


class Attentive(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Linear(8, 32)
        layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.encoder(self.enter(x.squeeze(1))).mean(1))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_transformer_encoders_raise_nothing(seed: int) -> None:
    digits = sample("digits_cnn")
    live = trained(
        Attentive, digits.train, digits.val, "cross_entropy", epochs=12, lr=1e-3, seed=seed
    )
    assert alarms(live) == {}


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(8, 48, batch_first=True)
        self.head = nn.Linear(48, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        states, _ = self.lstm(x.squeeze(1))
        return self.head(states[:, -1])


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_recurrent_networks_raise_nothing(seed: int) -> None:
    digits = sample("digits_cnn")
    live = trained(Recurrent, digits.train, digits.val, "cross_entropy", epochs=12, seed=seed)
    assert alarms(live) == {}


def test_expected_verdicts_of_healthy_samples_are_healthy() -> None:
    from tests.subjects import SAMPLES

    for name in FAMILIES:
        expected = json.loads((SAMPLES / name / "expected.json").read_text())
        raised = {check for check, verdict in expected["checks"].items() if verdict == "fail"}
        assert not raised
