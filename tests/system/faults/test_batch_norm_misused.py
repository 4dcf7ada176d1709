"""Batch norm set or used in a way that it can't work well in."""

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from auditor.core.verdict import Verdict
from tests.subjects import Live, broken, trained

CHECK = "batch-norm-misused"
LOUD = (Verdict.WARN, Verdict.FAIL)


class MLP(nn.Module):
    def __init__(self, momentum: float = 0.1, kind: Callable[..., nn.Module] = nn.BatchNorm1d):
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(64, 32), kind(32, momentum=momentum), nn.ReLU(), nn.Linear(32, 32, bias=False)
        )
        self.norm, self.head = kind(32, momentum=momentum), nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.norm(self.body(x.flatten(1)))))


class CNN(nn.Module):
    def __init__(
        self, momentum: float = 0.1, kind: Callable[..., nn.Module] = nn.BatchNorm2d
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in ((1, 12), (12, 12)):
            layers += [nn.Conv2d(before, after, 3, padding=1, bias=False)]
            layers += [kind(after, momentum=momentum), nn.ReLU()]
        self.body, self.head = nn.Sequential(*layers), nn.Linear(12, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x).mean((2, 3)))


class Shared(nn.Module):
    """One batch norm behind two branches of different scale."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.norm = nn.Linear(64, 24), nn.Linear(64, 24), nn.BatchNorm1d(24)
        self.head = nn.Linear(48, 10)
        with torch.no_grad():
            self.b.weight.mul_(8)
            self.b.bias.fill_(10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.flatten(1)
        both = torch.cat([self.norm(self.a(x)), self.norm(self.b(x))], 1)
        return self.head(torch.relu(both))


def cut(batches: Any, size: int) -> list[Any]:
    """Return the same examples in batches of another size."""
    torch.manual_seed(0)
    x, y = (torch.cat(part) for part in zip(*batches, strict=True))
    return [(a, b) for a, b in zip(x.split(size), y.split(size), strict=True) if len(a) == size]


def taught(digits: Live, build: Any, size: int = 32, epochs: int = 3, lr: float = 3e-3) -> Live:
    return trained(
        build, cut(digits.train, size), digits.val, "cross_entropy", epochs=epochs, lr=lr
    )


@pytest.fixture(scope="module")
def mlp(digits: Live) -> Live:
    return taught(digits, MLP, epochs=5)


def test_sound_networks_pass(digits: Live, mlp: Live) -> None:
    assert digits.finding(CHECK).verdict is Verdict.PASS
    found = mlp.finding(CHECK)
    assert found.verdict is Verdict.INFO, found.summary
    assert "(body.0): `bias=False`" in found.summary


@pytest.mark.parametrize(("build", "size"), [(MLP, 2), (CNN, 2), (MLP, 4)])
def test_tiny_batches_are_found(digits: Live, build: Any, size: int) -> None:
    found = taught(digits, build, size, epochs=1, lr=1e-3).finding(CHECK)
    assert found.verdict in LOUD, found.summary
    assert f"Batches of {size} examples" in found.summary
    assert found.where[0].name in ("norm", "body.1", "body.4")


@pytest.mark.parametrize(
    ("build", "momentum", "size", "said"),
    [
        (MLP, 1.0, 4, "those of about 1 batch of 4 examples"),
        (CNN, 0.0, 32, "momentum of 0"),
        (CNN, 1e-4, 32, "still the 0 and 1"),
    ],
)
def test_momentum(digits: Live, build: Any, momentum: float, size: int, said: str) -> None:
    live = taught(digits, partial(build, momentum), size, epochs=2, lr=2e-3)
    found = live.finding(CHECK)
    assert found.verdict in LOUD, found.summary
    assert said in found.summary
    assert any("Keras" in line for line in found.advice)


@pytest.mark.parametrize("channels", [3, 16])
def test_running_variance_next_to_nothing(digits: Live, channels: int) -> None:
    def vanish(model: nn.Module) -> None:
        model.get_submodule("features.1.1").running_var[:channels] = 1e-10

    record = broken(digits, vanish).audited(CHECK, "stale-batch-norm")
    for found in record.findings:
        assert found.verdict is Verdict.FAIL, found.summary
        assert found.where[0].name == "features.1.1"
    misused = next(f for f in record.findings if f.check == CHECK)
    assert f"{channels} of 16 channels" in misused.where[0].note


def test_statistics_that_were_never_updated(mlp: Live) -> None:
    def forget(model: nn.Module) -> None:
        model.get_submodule("norm").reset_running_stats()

    found = broken(mlp, forget).finding(CHECK)
    assert found.verdict in LOUD, found.summary
    assert [place.name for place in found.where] == ["norm"]


def test_one_norm_on_two_branches(digits: Live) -> None:
    record = taught(digits, Shared, epochs=5).audited(CHECK, "stale-batch-norm")
    by_name = {found.check: found for found in record.findings}
    assert by_name[CHECK].verdict is Verdict.FAIL, by_name[CHECK].summary
    assert by_name[CHECK].where[0].name == "norm"
    assert by_name["stale-batch-norm"].verdict in (Verdict.PASS, Verdict.INFO)


def test_instance_norm_that_remembers(digits: Live) -> None:
    kind = partial(nn.InstanceNorm2d, affine=True, track_running_stats=True)
    found = taught(digits, partial(CNN, 0.1, kind), epochs=4).finding(CHECK)
    assert found.verdict in LOUD, found.summary
    assert "track_running_stats=False" in found.advice[0]


class Stubborn(nn.BatchNorm1d):
    def train(self, mode: bool = True) -> "Stubborn":
        return super().train(True)


class Frozen(nn.BatchNorm1d):
    def train(self, mode: bool = True) -> "Frozen":
        return super().train(False)


def test_layers_that_do_not_follow_the_model(mlp: Live) -> None:
    def swapped(kind: type[nn.Module]) -> Live:
        model = MLP(0.1, kind)
        model.load_state_dict(mlp.model.state_dict())
        return replace(mlp, model=model, factory=None)

    awake = swapped(Stubborn).finding(CHECK)
    assert awake.verdict is Verdict.WARN
    assert [place.name for place in awake.where] == ["body.1", "norm"]
    frozen = swapped(Frozen).finding(CHECK)
    assert frozen.verdict is Verdict.INFO
    assert "stay in evaluation mode" in frozen.summary


def test_unusual_subjects_get_an_answer(digits: Live, mlp: Live) -> None:
    """Half precision, one batch in all, batches of one, no loss, NaN: never an error."""
    one = cut(digits.train, 1)[:24]
    whole = cut(digits.train, 1024)[:1]
    half = copy.deepcopy(mlp.model).bfloat16()
    lost = copy.deepcopy(mlp.model)
    with torch.no_grad():
        lost.head.weight[0] = torch.nan
    kinds = {
        "half": Live(half, None, [(x.bfloat16(), y) for x, y in whole],
                     [(x.bfloat16(), y) for x, y in digits.val], "cross_entropy", None),
        "one": replace(mlp, train=one, val=one),
        "whole": replace(mlp, train=whole, val=whole),
        "no loss": Live(mlp.model, None, None, digits.val, None, None),
        "lost": replace(mlp, model=lost, factory=None),
        "frozen": replace(mlp, model=copy.deepcopy(mlp.model).requires_grad_(False)),
    }  # fmt: skip
    checks = (CHECK, "stale-batch-norm", "dropout-before-batch-norm")
    for name, live in kinds.items():
        for found in live.audited(*checks).findings:
            quiet = (Verdict.PASS, Verdict.INFO, Verdict.NOT_APPLICABLE)
            expected = (Verdict.WARN,) if (name, found.check) == ("one", CHECK) else quiet
            assert found.verdict in expected, (name, found.check, found.summary)
