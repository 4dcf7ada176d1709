"""Models that give the same example another answer."""

import copy
import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from auditor.core.finding import Finding
from auditor.core.verdict import Verdict
from tests.awkward import images, vectors
from tests.subjects import Live
from tests.zoo import Attentive

CHECK = "not-reproducible"


class Function(nn.Module):
    """A module of a function, to be put where a layer was."""

    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x)


def live_of(model: nn.Module, batches: Any, loss: Any = "cross_entropy") -> Live:
    return Live(model, None, batches, batches, loss, None)


def finding(live: Live, verdict: Verdict, name: str) -> Finding:
    found = live.finding(CHECK)
    assert found.verdict is verdict, found.summary
    assert name in [place.name for place in found.where]
    assert found.advice
    return found


def swapped(live: Live, path: str, change: Callable[[nn.Module], nn.Module]) -> Live:
    model = copy.deepcopy(live.model)
    parent, _, last = path.rpartition(".")
    owner = model.get_submodule(parent)
    setattr(owner, last, change(model.get_submodule(path)))
    return replace(live, model=model)


def test_functional_dropout_is_named(digits: Live) -> None:
    live = swapped(digits, "dropout", lambda _: Function(functional.dropout))
    found = finding(live, Verdict.FAIL, "dropout")
    assert "training=self.training" in found.advice[0]
    assert "Dropout is on" in found.summary


def test_dropout_that_ignores_the_mode_is_named(digits: Live) -> None:
    class Always(nn.Dropout):
        def train(self, mode: bool = True) -> nn.Module:
            return super().train(True)

    found = finding(swapped(digits, "dropout", lambda _: Always(0.2)), Verdict.FAIL, "dropout")
    assert "training mode" in found.advice[0]


def test_dropout_within_attention_is_named(language: Live) -> None:
    class Dropping(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.qkv, self.out, self.heads = inner.qkv, inner.out, inner.heads

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
            mixed = functional.scaled_dot_product_attention(q, k, v, None, 0.1, True)
            return self.out(mixed.transpose(1, 2).flatten(2))

    live = swapped(language, "blocks.1.attention", Dropping)
    found = finding(live, Verdict.FAIL, "blocks.1.attention")
    assert "Dropout" in found.summary


def test_dropout_of_a_transformer_left_in_training_mode() -> None:
    class Stuck(Attentive):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.encoder.layers[1].train()
            return super().forward(x)

    live = live_of(Stuck(), [(x[:, :1], y) for x, y in images()])
    found = live.finding(CHECK)
    assert found.verdict is Verdict.FAIL
    assert all(place.name.startswith("encoder.layers.1") for place in found.where)


def test_noise_is_named_and_may_be_meant(diabetes: Live) -> None:
    noisy = swapped(diabetes, "1", lambda _: Function(lambda x: x.relu() + torch.rand_like(x)))
    found = finding(noisy, Verdict.WARN, "1")
    assert "rand_like" in found.where[0].note
    assert "waive" in found.advice[1]


def test_an_answer_that_hangs_on_the_clock_is_no_rounding(diabetes: Live) -> None:
    ticks = itertools.count()

    def clock(x: torch.Tensor) -> torch.Tensor:
        return x + 2e-5 * (next(ticks) % 7) * x.abs().max()

    live = replace(swapped(diabetes, "1", lambda _: Function(clock)), factory=None)
    finding(live, Verdict.WARN, "1")


def test_a_sampling_autoencoder_is_told() -> None:
    class Sampling(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mean, self.spread = nn.Linear(8, 4), nn.Linear(8, 4)
            self.out = nn.Linear(4, 8)

        def forward(self, x: torch.Tensor) -> Any:
            mean, spread = self.mean(x), self.spread(x)
            return self.out(mean + torch.randn_like(mean) * spread.exp()), mean, spread

    data = [(x, x) for x, _ in vectors()]
    found = finding(live_of(Sampling(), data, "mse_loss"), Verdict.WARN, "(model)")
    assert "random numbers" in found.summary


def test_a_state_carried_from_call_to_call_is_named(names: Live) -> None:
    class Carrying(nn.Module):
        def __init__(self, inner: nn.GRU) -> None:
            super().__init__()
            self.inner, self.state = inner, None

        def forward(self, x: torch.Tensor) -> Any:
            fits = self.state is not None and self.state.shape[1] == len(x)
            made = self.inner(x, self.state if fits else None)
            self.state = made[1].detach()
            return made

    live = swapped(names, "gru", Carrying)
    found = finding(live, Verdict.FAIL, "gru")
    assert "What was asked before" in found.summary


def test_a_running_mean_updated_in_evaluation_is_named(digits: Live) -> None:
    class Running(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("mean", torch.zeros(()))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.mean.mul_(0.9).add_(0.1 * x.mean())
            return x - self.mean

    live = swapped(digits, "features.2", lambda m: nn.Sequential(m, Running()))
    found = finding(live, Verdict.FAIL, "features.2.1")
    assert "features.2.1.mean" in found.summary


def test_a_squeeze_that_makes_a_batch_of_one_another_thing(diabetes: Live) -> None:
    def off(x: torch.Tensor) -> torch.Tensor:
        x = x.squeeze()
        return (x - x.mean(-1, keepdim=True)).reshape(-1, 16) if x.ndim > 1 else x.reshape(1, 16)

    found = finding(swapped(diabetes, "3", lambda _: Function(off)), Verdict.FAIL, "3")
    assert "A batch of one" in found.summary


def test_a_lost_dimension_alone_is_told(diabetes: Live) -> None:
    class Squeezed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(8, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(x).squeeze()

    data = [(x, torch.randn(len(x))) for x, _ in vectors()]
    found = live_of(Squeezed(), data, "mse_loss").finding(CHECK)
    assert found.verdict is Verdict.PASS
    assert "another shape" in found.summary


@pytest.mark.parametrize("varied", [False, True])
def test_padding_that_is_read(names: Live, varied: bool) -> None:
    class Last(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.embedding, self.gru, self.head = inner.embedding, inner.gru, inner.head

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.gru(self.embedding(x))[0][:, -1])

    batches = list(names.val)
    if varied:
        batches = [(x[:, : int((x != 0).sum(1).max())], y) for x, y in batches]
        rows = batches[0][0][:, :-1], batches[0][1]
        keep = (batches[0][0][:, -1] == 0).nonzero()[:, 0]
        batches.append((rows[0][keep], rows[1][keep]))
    live = replace(names, model=Last(names.model), train=None, val=batches)
    if varied:
        found = finding(live, Verdict.WARN, "gru")
        assert "pack_padded_sequence" in found.advice[0]
    else:
        found = live.finding(CHECK)
        assert found.verdict is Verdict.PASS
        assert "Padding changes answers" in found.summary


def test_a_training_mode_of_its_own_is_named(diabetes: Live) -> None:
    class Scaled(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if self.training else 0.5 * x

    live = swapped(diabetes, "1", lambda m: nn.Sequential(m, Scaled()))
    found = finding(live, Verdict.WARN, "1.1")
    assert "self.training" in found.advice[0]


class Depth(nn.Module):
    """A block that is left out at random in training."""

    def __init__(self) -> None:
        super().__init__()
        self.block, self.drop = nn.Linear(8, 8), nn.Dropout(0.2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kept = torch.rand(()) > 0.5 if self.training else 0.5
        return x + kept * self.drop(self.block(x))


class Softmax(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x) if self.training else self.fc(x).softmax(1)


class OwnNorm(nn.Module):
    """Batch norm written by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.mean.lerp_(x.detach().mean(0), 0.1)
            return x - x.mean(0)
        return x - self.mean


class RaisesInTraining(nn.Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            raise ValueError("targets are missing")
        return super().forward(x)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (nn.Sequential(Depth(), nn.Linear(8, 3)), "by random numbers"),
        (Softmax(), "last activation"),
        (nn.Sequential(OwnNorm(), nn.Linear(8, 3)), "statistics of the batch"),
        (RaisesInTraining(8, 3), "targets are missing"),
        (nn.Sequential(nn.Linear(8, 9), nn.BatchNorm1d(9), nn.Linear(9, 3)), "1 batch norm apart"),
        (nn.Sequential(nn.Linear(8, 9), nn.AlphaDropout(), nn.Linear(9, 3)), "answers as"),
    ],
    ids=["depth", "softmax", "own-norm", "raises", "batch-norm", "alpha-dropout"],
)
def test_what_training_mode_may_do(model: nn.Module, said: str) -> None:
    found = live_of(model, vectors()).finding(CHECK)
    assert found.verdict is Verdict.PASS, found.summary
    assert said in found.summary


def test_a_batch_that_can_not_be_taken_apart_is_run_twice_all_the_same() -> None:
    class Adjacent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(8, 3)

        def forward(self, x: torch.Tensor, adjacency: torch.Tensor) -> torch.Tensor:
            return self.fc(functional.dropout(adjacency @ x, 0.5, self.training))

    data = [((torch.randn(20, 8), torch.rand(20, 20)), torch.randint(3, (20,)))]
    found = live_of(Adjacent(), data).finding(CHECK)
    assert found.verdict is Verdict.PASS, found.summary
    assert "does not take a part of a batch" in found.summary


def test_spectral_norms_that_never_ran_are_named() -> None:
    torch.manual_seed(0)
    layers = [nn.utils.spectral_norm(nn.Linear(n, m)) for n, m in ((8, 32), (32, 32), (32, 3))]
    model = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])
    found = finding(live_of(model, vectors()), Verdict.FAIL, "2")
    assert "until a pass in training mode" in found.where[0].note
    for inputs, _ in vectors() * 3:
        model.train()(inputs)
    assert live_of(model, vectors()).finding(CHECK).verdict is Verdict.PASS
