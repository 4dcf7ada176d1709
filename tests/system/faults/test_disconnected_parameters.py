"""Parameters that training can't reach: unused, cut off, dead, or not in the optimizer."""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from auditor import audit
from auditor.core.finding import Finding
from auditor.core.verdict import Verdict
from tests.awkward import Attention, Recurrent, mlp, tokens, vectors
from tests.subjects import Live, broken, sample

CHECK = "disconnected-parameters"

MIDDLE = {
    "digits_cnn": ("features.0", "features.0.0.weight"),
    "diabetes_mlp": ("0", "0.weight"),
    "names_rnn": ("embedding", "embedding.weight"),
    "tiny_lm": ("blocks.0", "blocks.0.attention.qkv.weight"),
}
"""A module to cut off in each family, and a weight that is then out of reach."""


class Spare(nn.Module):
    """A model with a layer that its forward forgets."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.spare = inner, nn.Linear(6, 5)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.inner(*args, **kwargs)


def cut(model: nn.Module, name: str) -> nn.Module:
    """Detach what a module puts out."""
    model.get_submodule(name).register_forward_hook(_detach)
    return model


def _detach(module: nn.Module, args: Any, output: Any) -> Any:
    return tuple(o.detach() for o in output) if isinstance(output, tuple) else output.detach()


def places(found: Finding) -> dict[str, str]:
    return {place.name: place.note for place in found.where}


@pytest.mark.parametrize("family", MIDDLE)
def test_a_layer_that_forward_forgets(family: str) -> None:
    live = sample(family)
    model = Spare(copy.deepcopy(live.model))
    found = replace(live, model=model, factory=lambda: Spare(live.factory())).finding(CHECK)  # type: ignore[misc]
    assert found.verdict is Verdict.WARN, found.summary
    assert set(places(found)) == {"spare.weight", "spare.bias", "spare"}
    assert "`spare` never runs" in found.summary
    assert "`spare`" in found.advice[0]


class Forgetful(nn.Module):
    """Adds layers to a model that a plain list, a dict, or no one holds."""

    def __init__(self, inner: nn.Module, width: int) -> None:
        super().__init__()
        self.inner = inner
        self.layers = [nn.Linear(width, width), nn.Linear(width, width)]
        self.more = {"scales": [torch.ones(width, requires_grad=True)]}
        self.teacher = [nn.Linear(width, width)]

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        out = self.inner(*args, **kwargs)
        for layer in self.layers:
            out = out + layer(out)
        with torch.no_grad():
            taught = self.teacher[0](out)
        return out * self.more["scales"][0] + 0 * taught


@pytest.mark.parametrize(("family", "width"), [("digits_cnn", 10), ("diabetes_mlp", 1)])
def test_layers_that_no_module_holds(family: str, width: int) -> None:
    live = sample(family)
    found = replace(live, model=Forgetful(live.model, width), factory=None).finding(CHECK)
    assert found.verdict is Verdict.FAIL
    assert set(places(found)) == {"layers", "more"}
    assert f"{2 * width * (width + 1) + width:,} values" in found.summary
    assert "`self.layers = nn.ModuleList(...)`" in found.advice[0]


@pytest.mark.parametrize("family", MIDDLE)
def test_a_layer_that_detach_cuts_off(family: str) -> None:
    live = sample(family)
    module, weight = MIDDLE[family]
    model = cut(copy.deepcopy(live.model), module)
    factory = live.factory
    assert factory is not None
    found = replace(live, model=model, factory=lambda: cut(factory(), module)).finding(CHECK)
    assert found.verdict is Verdict.FAIL, found.summary
    assert places(found)[weight].startswith("the loss hangs on it")
    before = (f"{module}.", "token.", "position.")
    assert all(name.startswith(before) for name in places(found))
    assert "detach()" in found.advice[0]


@pytest.mark.parametrize("family", MIDDLE)
def test_an_optimizer_of_the_head_alone(family: str) -> None:
    live = sample(family)
    named = list(live.model.named_parameters())
    held = [p for _, p in named[-1:]]
    found = replace(live, optimizer=torch.optim.SGD(held, lr=0.01)).finding(CHECK)  # type: ignore[arg-type]
    assert found.verdict is Verdict.WARN, found.summary
    assert places(found) == {name: "not in the optimizer" for name, _ in named[:-1]}


def test_an_optimizer_of_another_model(digits: Live) -> None:
    assert digits.factory is not None
    other = torch.optim.Adam(digits.factory().parameters())
    found = replace(digits, optimizer=other).finding(CHECK)  # type: ignore[arg-type]
    assert found.verdict is Verdict.FAIL
    assert "holds 11 parameters that are not among the model's" in found.summary


def test_dead_units_starve_what_lies_before_them(digits: Live) -> None:
    found = broken(digits, lambda m: m.get_parameter("features.1.1.bias").fill_(-100)).finding(
        CHECK
    )
    assert found.verdict is Verdict.FAIL
    assert places(found)["features.1.0.weight"] == "gradient exactly zero on every batch"
    assert "`dead-units`" in found.advice[0]


def quick(model: nn.Module, batches: Any, **options: Any) -> Finding:
    settings = {"train": batches, "val": batches, "loss": "cross_entropy", "only": [CHECK]}
    (found,) = audit(model, **{**settings, **options}).findings
    return found


def frozen_trunk() -> nn.Module:
    model = mlp()
    model[0].requires_grad_(False)
    return model


class Lora(nn.Module):
    """A frozen layer beside two factors, of which the second starts at zero."""

    def __init__(self) -> None:
        super().__init__()
        self.base = nn.Linear(8, 3).requires_grad_(False)
        self.a = nn.Parameter(torch.randn(2, 8) / 3)
        self.b = nn.Parameter(torch.zeros(3, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.base(x) + x @ self.a.T @ self.b.T


class Experts(nn.Module):
    """Three experts, of which the gate never takes the last."""

    def __init__(self) -> None:
        super().__init__()
        self.experts = nn.ModuleList(nn.Linear(8, 3) for _ in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        chosen = (x[:, :1] > 0).long()
        outputs = [expert(x) for expert in self.experts[:2]]
        return torch.where(chosen > 0, outputs[0], outputs[1])


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.out = nn.Embedding(11, 6, padding_idx=0), nn.Linear(6, 11, bias=False)
        self.out.weight = self.embed.weight
        self.head = nn.Linear(11, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.out(self.embed(x)).mean(1))


HEALTHY: dict[str, tuple[Callable[[], nn.Module], Callable[[], Any]]] = {
    "frozen trunk": (frozen_trunk, vectors),
    "zero-initialised factor": (Lora, vectors),
    "shared weights, padding": (Tied, tokens),
    "bidirectional": (
        lambda: nn.Sequential(nn.Embedding(11, 6), _Last(nn.LSTM(6, 4, bidirectional=True))),
        tokens,
    ),
    "attention": (Attention, tokens),
    "gru": (lambda: Recurrent(nn.GRU), tokens),
    "weight norm": (
        lambda: nn.Sequential(parametrizations.weight_norm(nn.Linear(8, 6)), nn.Linear(6, 3)),
        vectors,
    ),
    "bias before batch norm": (
        lambda: nn.Sequential(nn.Linear(8, 6), nn.BatchNorm1d(6), nn.Linear(6, 3)),
        vectors,
    ),
    "bfloat16": (
        lambda: nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3)).bfloat16(),
        lambda: [(x.bfloat16(), y) for x, y in vectors()],
    ),
    "batches of one": (mlp, lambda: [(x[:1], y[:1]) for x, y in vectors()]),
}


class _Last(nn.Module):
    def __init__(self, rnn: nn.Module) -> None:
        super().__init__()
        self.rnn, self.head = rnn, nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.rnn(x)[0].mean(1))


@pytest.mark.parametrize("name", HEALTHY)
@pytest.mark.parametrize("factory", [True, False], ids=["factory", "no-factory"])
def test_unusual_models_raise_nothing(name: str, factory: bool) -> None:
    build, batches = HEALTHY[name]
    model = build()
    found = quick(model, batches(), factory=build if factory else None)
    assert found.verdict is Verdict.PASS, found.summary
    if name == "frozen trunk":
        assert "Frozen: 2 parameters (0.weight, 0.bias)" in found.summary
    if name == "zero-initialised factor":
        assert "a: no gradient as yet, only because other weights are exactly zero" in found.summary


def test_an_expert_that_is_never_chosen() -> None:
    found = quick(Experts(), vectors(), factory=Experts)
    assert found.verdict is Verdict.WARN
    assert places(found)["experts.2"] == "never ran"
    assert "if data choose among them" in found.summary


def test_nothing_is_trainable_or_nothing_is_reached() -> None:
    frozen = quick(mlp().requires_grad_(False), vectors())
    assert frozen.verdict is Verdict.NOT_APPLICABLE
    whole = quick(mlp(), vectors(), loss=lambda o, t: nn.functional.cross_entropy(o.detach(), t))
    assert whole.verdict is Verdict.FAIL
    assert len(whole.where) == 6
    assert quick(mlp(), vectors(), loss=None).verdict is Verdict.NOT_APPLICABLE


def test_nan_weights_are_no_matter_of_this_check() -> None:
    model = mlp()
    with torch.no_grad():
        model[0].weight[0, 0] = torch.nan
    assert quick(model, vectors()).verdict is Verdict.PASS
