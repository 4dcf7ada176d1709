import warnings
from typing import Any

import pytest
import torch
from torch import nn

from auditor.core.request import Riding
from auditor.engine.sweep import run_sweep
from auditor.observations.activity import UnitActivityOver
from auditor.observations.batch_norm import BatchNormStatisticsOver
from auditor.observations.finite import NonFiniteOver
from auditor.observations.gradients import GradientNormsOver
from auditor.observations.performance import PerformanceOver
from auditor.observers import OBSERVERS
from auditor.observers.observer import Observer, Place
from auditor.observers.tap import Tap
from tests.awkward import BY_NAME, TABLE, Awkward, subject_of

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_forward_hooks_always_called")


class Listing(Observer):
    """Notes the places it is shown, and how many hooks there are meanwhile."""

    def __init__(self) -> None:
        self.places: list[Place] = []
        self.entered: list[str] = []

    def entering(self, name: str, module: nn.Module, args: Any) -> None:
        self.entered.append(name)

    def leaving(self, place: Place, output: Any) -> None:
        self.places.append(place)


def hooks(model: nn.Module) -> list[tuple[int, ...]]:
    return [tuple(len(getattr(m, name)) for name in HOOKS) for m in model.modules()]


@pytest.mark.parametrize("case", TABLE, ids=str)
def test_one_hook_before_and_one_after_each_module_and_none_left(case: Awkward) -> None:
    model = case.model().eval()
    before = hooks(model)
    tap = Tap(model)
    with tap.open([Listing(), Listing(), Listing()], gradients=False):
        within = hooks(model)
    assert within == [(a + 1, b + 1, c, d + 1) for a, b, c, d in before]
    assert hooks(model) == before


def test_no_hook_is_left_after_an_exception() -> None:
    model = BY_NAME["residual"].model()
    before = hooks(model)
    tap = Tap(model)
    with pytest.raises(RuntimeError), tap.open([Listing()], gradients=False):
        model(torch.zeros(2, 5))
    assert hooks(model) == before
    seen = Listing()
    with tap.open([seen], gradients=False):
        model.eval()(torch.zeros(2, 3, 8, 8))
    assert seen.places[-1].name == "(model)"


@pytest.mark.parametrize("case", TABLE, ids=str)
def test_the_outputs_are_those_without_a_tap(case: Awkward) -> None:
    model = case.model().eval()
    inputs = case.batches()[0][0]

    def run() -> Any:
        return model(**inputs) if isinstance(inputs, dict) else model(inputs)

    def tensors(value: Any) -> list[torch.Tensor]:
        from auditor.intake.batches import tensors_in

        return [tensor.detach().clone() for tensor in tensors_in(value)]

    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        first = tensors(run())
        with Tap(model).open([Listing()], gradients=False):
            second = tensors(run())
    torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-5)


def test_a_layer_whose_exception_is_caught_does_not_confuse_the_rest() -> None:
    model = BY_NAME["fallback"].model().eval()
    seen = Listing()
    with Tap(model).open([seen], gradients=False):
        model(torch.zeros(2, 8))
    assert [place.name for place in seen.places] == [
        "right",
        "relu() after right",
        "head",
        "(model)",
    ]
    assert [place.leaf for place in seen.places] == [True, True, True, False]


def test_parametrisations_are_no_places_and_their_layer_is_a_leaf() -> None:
    model = BY_NAME["spectral-norm"].model()
    seen = Listing()
    with Tap(model).open([seen], gradients=True):
        model(torch.zeros(2, 8))
    assert [place.name for place in seen.places] == ["0", "1", "2", "(model)"]
    assert seen.places[0].leaf
    assert set(seen.entered) == {"0", "1", "2", "(model)"}


def test_an_activation_shared_by_blocks_that_begin_with_it_is_told_apart() -> None:
    class Block(nn.Module):
        def __init__(self, act: nn.Module) -> None:
            super().__init__()
            self.act, self.fc = act, nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.fc(self.act(x))

    act = nn.ReLU()
    model = nn.Sequential(Block(act), Block(act), nn.Linear(4, 2))
    seen = Listing()
    with Tap(model).open([seen], gradients=False):
        model(torch.zeros(2, 4))
    names = [place.name for place in seen.places if place.rectifies]
    assert names == ["0.act", "0.act after 0"]


class Deep(nn.Sequential):
    def __init__(self, layers: int) -> None:
        blocks = [
            nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.ReLU()) for _ in range(layers)
        ]
        super().__init__(*blocks, nn.Linear(8, 3))


def transfers(
    monkeypatch: pytest.MonkeyPatch, request: Riding[Any], layers: int, batches: int
) -> int:
    """Return how often a sweep brings values from the device, were it one."""
    count = [0]
    x, y = torch.randn(6, 8), torch.randint(3, (6,))
    subject = subject_of(Deep(layers), [(x, y)] * batches, "cross_entropy")
    observer = OBSERVERS[type(request)](request, subject)
    with monkeypatch.context() as patch:
        for name in (
            "item",
            "tolist",
            "cpu",
            "numpy",
            "__bool__",
            "__float__",
            "__int__",
            "nonzero",
        ):
            original = getattr(torch.Tensor, name)

            def counting(*args: Any, _original: Any = original, **kwargs: Any) -> Any:
                count[0] += 1
                return _original(*args, **kwargs)

            patch.setattr(torch.Tensor, name, counting)
        within = count[0]
        list(run_sweep(subject, request.sweep, {request: observer}))
        return count[0] - within


@pytest.mark.parametrize(
    "kind",
    [
        UnitActivityOver,
        BatchNormStatisticsOver,
        NonFiniteOver,
        PerformanceOver,
        GradientNormsOver,
    ],
)
def test_transfers_do_not_grow_with_layers_times_batches(
    kind: type[Riding[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def made(layers: int, batches: int) -> int:
        torch.manual_seed(0)
        return transfers(monkeypatch, kind(batches, "val"), layers, batches)

    few, more = made(2, 3), made(2, 9)
    deep, both = made(8, 3), made(8, 9)
    assert both - deep == more - few, "transfers grow with layers times batches"
    assert more - few <= 3 * 6, "several transfers a batch"
