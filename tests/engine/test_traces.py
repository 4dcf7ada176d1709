"""An audit leaves no trace in what it is given nor in the process, whatever happens."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from auditor import audit
from auditor.core.errors import InputError
from auditor.core.verdict import Verdict
from tests.awkward import BY_NAME, Awkward, mlp, vectors
from tests.engine.test_preserved import lived_in
from tests.trace import Snapshot, differences

pytestmark = [pytest.mark.usefixtures("frugal", "room"), pytest.mark.slow]

AUDITED = ("odd-buffers", "remembers", "spectral-norm", "tied", "user-hooks")
"""What holds most that an audit could change."""


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test a folder of its own, for temporary files too."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def built(case: Awkward) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        return lived_in(case)


@pytest.mark.parametrize("case", [BY_NAME[name] for name in AUDITED], ids=str)
def test_after_an_audit_of_everything(case: Awkward) -> None:
    model, batches = built(case), case.batches()
    before = Snapshot.take(model)
    record = audit(
        model, train=batches, val=batches, loss=case.loss, task=case.task, profile="quick",
        optimizer={"name": "SGD", "lr": 0.01}, factory=case.build,
    )  # fmt: skip
    assert differences(before, Snapshot.take(model)) == []
    assert Verdict.ERROR not in [finding.verdict for finding in record.findings]


class Counting(nn.CrossEntropyLoss):
    """A loss that remembers, in a buffer and in an attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(()))
        self.calls = 0

    def forward(self, outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        loss = super().forward(outputs, target)
        self.mean += loss.detach()
        return loss


def trained(model: nn.Module) -> torch.optim.Optimizer:
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    for x, y in vectors():
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    return optimizer


def test_what_is_handed_in_beside_the_model_is_as_it_was(tmp_path: Path) -> None:
    with torch.random.fork_rng(devices=[]):
        model, loss = mlp(), Counting()
        optimizer = trained(model)
    file = tmp_path / "training.csv"
    file.write_text("step,train_loss\n1,1.0\n2,0.9\n")
    data = TensorDataset(*(torch.cat(parts) for parts in zip(*vectors(), strict=True)))
    generator = torch.Generator().manual_seed(3)
    loader = DataLoader(data, 5, shuffle=True, generator=generator)
    watched: dict[str, Any] = {
        "loss": loss, "optimizer": optimizer, "generators": (generator,), "files": (file,),
    }  # fmt: skip
    before = Snapshot.take(model, **watched)
    audit(
        model, train=loader, val=loader, loss=loss, optimizer=optimizer, factory=mlp,
        training={"log": str(file)}, profile="quick",
    )  # fmt: skip
    assert differences(before, Snapshot.take(model, **watched)) == []


class Bomb:
    """Raises once, at the call that it is set to; counts until then."""

    def __init__(self, at: int, error: BaseException) -> None:
        self.left, self.error = at, error

    def __call__(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise self.error


class Mined(nn.Module):
    """A model that changes all it can, and then raises in the middle of its forward pass."""

    def __init__(self, inner: nn.Module, bomb: Bomb) -> None:
        super().__init__()
        self.inner = inner
        object.__setattr__(self, "bomb", bomb)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.inner(x)
        self.bomb()
        return hidden


class _Backward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, bomb: Bomb) -> torch.Tensor:
        ctx.bomb = bomb
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        ctx.bomb()
        return gradients[0], None


class MinedBackward(Mined):
    """The same in its backward pass."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _Backward.apply(self.inner(x), self.bomb)  # type: ignore[no-any-return, no-untyped-call]


class MinedLoader:
    """Raises between two batches."""

    def __init__(self, bomb: Bomb) -> None:
        self.bomb = bomb

    def __len__(self) -> int:
        return len(vectors())

    def __iter__(self) -> Iterator[Any]:
        for batch in vectors():
            self.bomb()
            yield batch


FEW = (
    "activation-pictures", "dead-units", "damaged-layer", "exploding-gradients", "idle-block",
    "ignores-its-input", "examples-leak-across-batch", "stale-batch-norm", "wrong-gradients",
)  # fmt: skip

Make = Callable[[Bomb], tuple[nn.Module, Any]]

PLACES: dict[str, Make] = {
    "forward": lambda bomb: (Mined(mlp(), bomb), vectors()),
    "backward": lambda bomb: (MinedBackward(mlp(), bomb), vectors()),
    "loader": lambda bomb: (mlp(), MinedLoader(bomb)),
}


def audited(place: str, at: int, error: BaseException, only: Any = None) -> list[str]:
    """Audit with a bomb; return what is another after it."""
    with torch.random.fork_rng(devices=[]):
        model, loader = PLACES[place](Bomb(at, error))
        model.train()
    before = Snapshot.take(model)
    try:
        audit(
            model, train=loader, val=loader, loss="cross_entropy", profile="quick", only=only,
            optimizer={"name": "SGD", "lr": 0.01},
        )  # fmt: skip
    except (InputError, type(error)):
        pass  # refused where it raises from the first, interrupted where it is an interrupt
    return differences(before, Snapshot.take(model))


@pytest.mark.parametrize("at", [1, 6, 14, 40])
@pytest.mark.parametrize("place", PLACES)
def test_after_something_raises(place: str, at: int) -> None:
    assert audited(place, at, RuntimeError("in the middle"), FEW) == []


@pytest.mark.parametrize("at", [1, 3, 20, 150])
@pytest.mark.parametrize("place", PLACES)
def test_after_an_interrupt(place: str, at: int) -> None:
    assert audited(place, at, KeyboardInterrupt()) == []


class Writing(nn.Linear):
    """Writes to its own weight and is interrupted."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.weight.data.mul_(2)
        self.weight.grad = torch.ones_like(self.weight)
        self.train(not self.training)
        raise KeyboardInterrupt


def test_after_an_interrupt_in_the_middle_of_a_write() -> None:
    with torch.random.fork_rng(devices=[]):
        model = Writing(8, 3)
    before = Snapshot.take(model)
    with pytest.raises(KeyboardInterrupt):
        audit(model, val=vectors(), loss="cross_entropy")
    assert differences(before, Snapshot.take(model)) == []


def test_the_record_is_the_same_within_modes_of_the_caller() -> None:
    """Modes of the caller are the audit's own business neither to change nor to lose."""
    with torch.random.fork_rng(devices=[]):
        model = mlp()
    with torch.no_grad(), torch.autocast("cpu", enabled=False):
        before = Snapshot.take(model)
        record = audit(model, val=vectors(), loss="cross_entropy", only=["dead-units"])
        assert differences(before, Snapshot.take(model)) == []
    assert json.dumps([f.summary for f in record.findings])
