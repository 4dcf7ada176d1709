"""Masks and detours built into real models of four families, and trained models without."""

import copy
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional

from auditor.core.verdict import Verdict
from tests.subjects import Live

CHECK = "saliency-insensitive"


class Weighed(nn.Module):
    """Multiplies each place of what it is given by a fixed number from a millionth to 1."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        count = torch.Size(shape).numel()
        order = torch.randperm(count, generator=torch.Generator().manual_seed(3))
        self.register_buffer("weights", torch.logspace(-6, 0, count)[order].reshape(shape))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.weights[: x.shape[1]]


class Sees(nn.Module):
    """Lets every `step`-th token through and makes the others zero."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        places = torch.arange(x.shape[1]).flip(0)[:, None]
        return x * (places % self.step == 0)


class Before(nn.Module):
    """A model whose inputs are changed first."""

    def __init__(self, change: nn.Module, model: nn.Module) -> None:
        super().__init__()
        self.change, self.model = change, model

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.model(self.change(x))


class Around(nn.Module):
    """A model of which next to nothing comes through beside a fixed projection of its inputs."""

    def __init__(self, model: nn.Module, project: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.model, self.project = model, project

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.project(x) + 1e-5 * self.model(x)


def fixed(inputs: int, outputs: int) -> Callable[[torch.Tensor], torch.Tensor]:
    weights = torch.randn(inputs, outputs, generator=torch.Generator().manual_seed(1))
    return lambda x: torch.tanh(x.flatten(1) @ weights / inputs**0.5)


def fixed_tokens(tokens: int, outputs: int) -> Callable[[torch.Tensor], torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    table = torch.randn(tokens, 16, generator=generator)
    head = torch.randn(16, outputs, generator=generator)
    places = torch.rand(64, 1, generator=generator)

    def project(x: torch.Tensor) -> torch.Tensor:
        states = torch.tanh(functional.embedding(x, table) * places[: x.shape[1]])
        return states.cumsum(dim=1) @ head

    return project


def masked(live: Live, name: str) -> Live:
    model = copy.deepcopy(live.model)
    match name:
        case "digits":
            model = Before(Weighed(1, 8, 8), model)
        case "diabetes":
            model = Before(Weighed(10), model)
        case "names":
            model.embedding = nn.Sequential(model.embedding, Sees(3))
        case "language":
            model.token = nn.Sequential(model.token, Sees(4))
    return replace(live, model=model, factory=None)


@pytest.mark.parametrize("name", ["digits", "diabetes"])
def test_a_mask_on_the_input_is_found(name: str, request: pytest.FixtureRequest) -> None:
    found = masked(request.getfixturevalue(name), name).finding(CHECK)
    assert found.verdict is Verdict.WARN, found.summary
    assert found.where[0].name.startswith("model.")
    assert "between the model's input and that layer" in found.summary
    assert found.advice


@pytest.mark.parametrize("name", ["names", "language"])
def test_a_mask_on_the_tokens_is_found(name: str, request: pytest.FixtureRequest) -> None:
    found = masked(request.getfixturevalue(name), name).finding(CHECK)
    assert found.verdict is Verdict.WARN, found.summary
    assert "model.factory" in [place.name for place in found.where]


@pytest.mark.parametrize(
    ("name", "project", "first"),
    [
        ("digits", fixed(64, 10), "model.features.0.0"),
        ("diabetes", fixed(10, 1), "model.0"),
        ("language", fixed_tokens(39, 39), "model.blocks.0.norm1"),
        ("names", lambda x: fixed_tokens(27, 5)(x)[:, -1], "model.gru"),
    ],
)
def test_a_detour_around_all_layers_is_found(
    name: str,
    project: Callable[[torch.Tensor], torch.Tensor],
    first: str,
    request: pytest.FixtureRequest,
) -> None:
    live = request.getfixturevalue(name)
    around = replace(live, model=Around(copy.deepcopy(live.model), project), factory=None)
    found = around.finding(CHECK)
    assert found.verdict is Verdict.WARN, found.summary
    assert "Nor do the outputs" in found.summary
    assert first in [place.name for place in found.where]


def test_a_scale_that_the_model_undoes_is_no_mask(diabetes: Live) -> None:
    """Raw features of widely different units, and a model that standardises them itself."""
    units = torch.logspace(-3, 3, 10)

    class Standardises(nn.Module):
        def __init__(self, model: nn.Module) -> None:
            super().__init__()
            self.model = model
            self.register_buffer("units", units)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.model(x / self.units)

    raw = replace(
        diabetes,
        model=Standardises(copy.deepcopy(diabetes.model)),
        factory=None,
        train=None,
        val=[(x * units, y) for x, y in diabetes.val],
    )
    found = raw.finding(CHECK)
    assert found.verdict is Verdict.PASS, found.summary


def test_a_model_with_a_constant_border_passes(digits: Live) -> None:
    """A third of all pixels is black in every image."""
    framed = [(functional.pad(x, (2, 2, 2, 2), value=float(x.min())), y) for x, y in digits.val]
    found = replace(digits, train=None, val=framed).finding(CHECK)
    assert found.verdict is Verdict.PASS, found.summary


class Tagger(nn.Module):
    """A recurrent network over tokens: any weights make it look most at the steps close by."""

    def __init__(self, both: bool) -> None:
        super().__init__()
        self.embedding = nn.Embedding(30, 16)
        self.lstm = nn.LSTM(16, 24, 2, batch_first=True, bidirectional=both)
        self.head = nn.Linear(48 if both else 24, 30)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.lstm(self.embedding(x))[0])


@pytest.mark.parametrize("both", [False, True], ids=["forward", "both"])
def test_a_recurrent_network_that_looks_at_its_last_steps_passes(both: bool) -> None:
    torch.manual_seed(0)
    text = torch.randint(30, (12, 25))
    live = Live(Tagger(both), None, None, [(text[:, :-1], text[:, 1:])], "cross_entropy", None)
    found = live.finding(CHECK)
    assert found.verdict is Verdict.PASS, found.summary


@pytest.mark.parametrize(
    ("body", "verdict"),
    [
        (lambda: nn.Conv1d(1, 1, 1), Verdict.NOT_APPLICABLE),
        (
            lambda: nn.Sequential(
                nn.ConstantPad1d((6, 0), 0.0), nn.Conv1d(1, 8, 7), nn.Tanh(), nn.Conv1d(8, 1, 1)
            ),
            Verdict.PASS,
        ),
    ],
    ids=["step by step", "causal"],
)
def test_steps_that_the_architecture_does_not_look_at_are_left_out(
    body: Callable[[], nn.Module], verdict: Verdict
) -> None:
    torch.manual_seed(0)
    series = torch.randn(12, 1, 30).cumsum(2)
    live = Live(body(), None, None, [(series[..., :-1], series[..., 1:])], "mse_loss", None)
    assert live.finding(CHECK).verdict is verdict
