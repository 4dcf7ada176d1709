"""Real, healthy subjects for system tests, live and free to be broken."""

import copy
import os
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from filelock import FileLock
from torch import nn
from torch.nn import functional

from auditor import audit
from auditor.api import Record
from auditor.core.finding import Finding
from auditor.core.spec_file import read_spec
from auditor.core.verdict import Verdict
from auditor.intake.loading import load
from auditor.intake.reference import call, resolve

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = ROOT / "sample_models"
REAL = ROOT.parent / "shared" / "real"

T = TypeVar("T")


def once(name: str, make: Callable[[], T]) -> T:
    """Return what `make` makes, made by one worker of a test run and read by the others.

    It is pickled, so that nobody can change another's. Outside of a test run it is made anew.
    """
    shared = os.environ.get("AUDITOR_TESTS_SHARED")
    if shared is None:
        return make()
    kept = Path(shared) / f"{name}.pickle"
    with FileLock(f"{kept}.lock"):
        if not kept.exists():
            kept.write_bytes(pickle.dumps(make()))
    made: T = pickle.loads(kept.read_bytes())
    return made


@dataclass(frozen=True)
class Live:
    """What `audit` wants, ready to be changed with `dataclasses.replace`."""

    model: nn.Module
    factory: Callable[[], nn.Module] | None
    train: Any
    val: Any
    loss: Any
    optimizer: Mapping[str, Any] | None
    options: Mapping[str, Any] = field(default_factory=dict)

    def audited(self, *checks: str) -> Record:
        return audit(
            self.model,
            factory=self.factory,
            train=self.train,
            val=self.val,
            loss=self.loss,
            optimizer=self.optimizer,
            only=checks or None,
            **{"remedies": False, **self.options},
        )

    def finding(self, check: str) -> Finding:
        (found,) = self.audited(check).findings
        return found

    def places(self, check: str, verdict: Verdict) -> list[str]:
        """Return where a check finds its fault, having given that verdict and some advice."""
        found = self.finding(check)
        assert found.verdict is verdict, found.summary
        assert found.advice
        return [place.name for place in found.where]


def sample(name: str) -> Live:
    """Return a shipped sample model with its trained weights."""
    spec = read_spec(SAMPLES / name / "audit.yaml")
    without = spec.data.model_copy(update={"train": None, "val": None})
    subject = load(spec.model_copy(update={"data": without}))  # whose data nobody has gone through
    assert subject.model is not None
    assert subject.loss is not None
    optimizer = spec.training.optimizer
    train, val = (
        call(resolve(str(reference), spec.base, "data"), spec.data.args, "data")
        for reference in (spec.data.train, spec.data.val)
    )
    return Live(
        model=subject.model,
        factory=subject.factory,
        train=train,
        val=val,
        loss=spec.loss,
        optimizer={"name": optimizer.name, **optimizer.arguments()} if optimizer else None,
    )


def trained(
    factory: Callable[[], nn.Module],
    train: Any,
    val: Any,
    loss: str,
    *,
    epochs: int = 10,
    lr: float = 3e-3,
    seed: int = 0,
) -> Live:
    """Train a fresh model with Adam and return it as a subject."""
    torch.manual_seed(seed)
    model = factory()
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    measure = getattr(functional, loss)
    for _ in range(epochs):
        for inputs, target in train:
            optimizer.zero_grad()
            measure(model(inputs), target).backward()
            optimizer.step()
    return Live(model, factory, train, val, loss, {"name": "Adam", "lr": lr})


def broken(live: Live, damage: Callable[[nn.Module], None]) -> Live:
    """Return the subject with its trained weights damaged."""
    model = copy.deepcopy(live.model)
    with torch.no_grad():
        damage(model)
    return replace(live, model=model)


def one_hot(live: Live, smoothed: float = 0.0) -> Live:
    """Return the subject with targets that give each class a share."""
    classes = int(max(target.max() for batches in (live.train, live.val) for _, target in batches))

    def shares(inputs: Any, target: torch.Tensor) -> tuple[Any, torch.Tensor]:
        hot = functional.one_hot(target, classes + 1).float()
        return inputs, (1 - smoothed) * hot + smoothed / (classes + 1)

    return replace(live, train=mapped(live.train, shares), val=mapped(live.val, shares))


def mapped(batches: Any, change: Callable[[Any, Any], tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """Return the batches of a loader with inputs and targets changed."""
    return [change(inputs, target) for inputs, target in batches]
