"""Who leaves a trace is caught: by the snapshot of the tests, and by the guard of the engine."""

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import nn

from auditor import api, audit
from auditor.checks import catalogue
from auditor.core.check import Check
from auditor.core.finding import Finding, Judgement
from auditor.core.request import Request, Riding
from auditor.core.verdict import Verdict
from auditor.engine import perform as performing
from auditor.observers.observer import Observer, Place, Step
from tests.awkward import mlp, vectors
from tests.sabotage import INPUT, SABOTEURS, UNDONE_BY_NOBODY, Saboteur
from tests.trace import FIELDS, Snapshot, differences, fields

ALL = {**{field: one for field, (one, _) in SABOTEURS.items()}, **UNDONE_BY_NOBODY}


@pytest.fixture(autouse=True)
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test a current folder and a folder for temporary files that are its own."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    Path(INPUT).write_text("as it was")


def taken(model: nn.Module, **others: Any) -> Snapshot:
    return Snapshot.take(model, files=(Path(tempfile.gettempdir(), INPUT),), **others)


def skip_without(field: str) -> None:
    if field == "random state of CUDA" and not torch.cuda.is_available():
        pytest.skip("no CUDA here")


@pytest.mark.parametrize("field", ALL)
def test_the_snapshot_sees_it(field: str) -> None:
    skip_without(field)
    model = mlp()
    before = taken(model)
    undo = ALL[field](model)
    try:
        seen = differences(before, taken(model))
    finally:
        undo()
    assert field in fields(seen)
    assert all(line.count(":") >= 2 for line in seen)
    again = fields(differences(before, taken(model)))
    assert again <= {"versions", "values", "storages", "kinds", "gradients", "input files"}


def test_every_field_has_a_saboteur() -> None:
    handed_in = {"optimizer", "generators"}
    assert ALL.keys() == FIELDS.keys() - handed_in


def test_the_snapshot_sees_what_was_handed_in() -> None:
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    generator = torch.Generator()
    watched = {"optimizer": optimizer, "generators": (generator,)}
    before = Snapshot.take(model, **watched)
    optimizer.param_groups[0]["lr"] = 0.2
    torch.rand(1, generator=generator)
    assert fields(differences(before, Snapshot.take(model, **watched))) == {
        "optimizer",
        "generators",
    }


@dataclass(frozen=True)
class Seen:
    number: int = 0


@dataclass(frozen=True)
class Asked(Request[Seen]):
    answer: ClassVar = Seen
    requires: ClassVar = frozenset({"model"})


@dataclass(frozen=True)
class Ride(Riding[Seen]):
    answer: ClassVar = Seen


@dataclass(frozen=True)
class GoodRide(Riding[Seen]):
    answer: ClassVar = Seen


class Watcher(Observer):
    """Does its deed at one of its methods, of the second batch where there are several."""

    def __init__(self, at: str, deed: Callable[[], object]) -> None:
        self._at, self._deed, self._batches = at, deed, 0

    def leaving(self, place: Place, output: Any) -> None:
        if self._at == "leaving" and self._batches == 1 and place.index == 0:
            self._deed()

    def step(self, step: Step) -> None:
        self._batches += 1
        if self._at == "step" and step.index == 1:
            self._deed()

    def result(self) -> Seen:
        if self._at == "result":
            self._deed()
        return Seen(self._batches)


Plant = Callable[[Saboteur, str, nn.Module], dict[str, Finding]]


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> Plant:
    """Audit a model by two planted checks: one that a saboteur works for, and a good one."""

    def run(saboteur: Saboteur, at: str, model: nn.Module) -> dict[str, Finding]:
        def deed() -> None:
            saboteur(model)

        def experiment(request: Asked, subject: Any) -> Seen:
            deed()
            return Seen()

        def judge(seen: Any, limits: Any) -> Judgement:
            if at == "judge":
                deed()
            return Judgement(Verdict.PASS, "All is well.")

        def good(seen: Any, limits: Any) -> Judgement:
            assert seen[GoodRide()].number == len(vectors())
            return Judgement(Verdict.PASS, "All is well.")

        experiments = {**performing.EXPERIMENTS, Asked: experiment}
        observers = {
            **performing.OBSERVERS,
            Ride: lambda request, subject: Watcher(at, deed),
            GoodRide: lambda request, subject: Watcher("", lambda: None),
        }
        monkeypatch.setattr(performing, "EXPERIMENTS", experiments)
        monkeypatch.setattr(performing, "OBSERVERS", observers)
        request = Asked() if at == "experiment" else Ride()
        checks = (_check("bad-check", request, judge), _check("good-check", GoodRide(), good))
        monkeypatch.setattr(api, "chosen", lambda spec: checks)
        record = audit(model, val=vectors(), loss="cross_entropy", remedies=False)
        return {finding.check: finding for finding in record.findings}

    return run


def _check(name: str, request: Request[Any], judge: Any) -> Check:
    return replace(catalogue()[0], id=name, needs=(request,), wants=(), limits={}, judge=judge)


ALLOWED = {
    "modes": ("experiment",),
    "gradients": ("experiment",),
    "gradient mode": ("leaving", "step", "result"),
}
"""Where a saboteur does no harm: an experiment may choose the mode of what it is lent, and reach
its gradients through a loss that holds the model; an observer is called within a gradient mode of
its own."""


@pytest.mark.slow
@pytest.mark.parametrize("at", ["experiment", "leaving", "step", "result"])
@pytest.mark.parametrize("field", SABOTEURS)
def test_an_audit_puts_it_back_and_says_who_it_was(field: str, at: str, planted: Plant) -> None:
    skip_without(field)
    saboteur, words = SABOTEURS[field]
    model = mlp()
    model[0].weight.grad = torch.ones(16, 8)
    before = taken(model)
    found = planted(saboteur, at, model)
    assert differences(before, taken(model)) == []
    assert found["good-check"].verdict is Verdict.PASS
    bad = found["bad-check"]
    if words and at not in ALLOWED.get(field, ()):
        assert bad.verdict is Verdict.ERROR
        assert words in bad.summary
        assert bad.summary.endswith("changed, which was put back.")
    else:
        assert bad.verdict is Verdict.PASS


JUDGED = [
    "current folder",
    "environment",
    "logging",
    "matplotlib",
    "random state of Python",
    "random state of numpy",
    "sys.path",
    "umask",
    "warnings",
]


@pytest.mark.parametrize("field", JUDGED)
def test_a_judgement_that_leaves_a_trace_is_an_error(field: str, planted: Plant) -> None:
    model = mlp()
    before = taken(model)
    found = planted(SABOTEURS[field][0], "judge", model)
    assert differences(before, taken(model)) == []
    assert found["bad-check"].verdict is Verdict.ERROR
    assert "The check itself left" in found["bad-check"].summary
    assert found["good-check"].verdict is Verdict.PASS


class Restless(nn.Module):
    """A user's model that changes its process and hooks as it runs, as some do."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = mlp()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        os.environ["RESTLESS"] = str(int(os.environ.get("RESTLESS", "0")) + 1)
        torch.set_num_threads(2)
        self.inner[0].register_forward_hook(lambda module, args, output: None)
        return self.inner(x)


def test_nobody_is_blamed_for_what_the_users_own_code_does() -> None:
    model = Restless()
    before = taken(model)
    checks = ("dead-units", "ignores-its-input", "non-finite-values")
    record = audit(model, train=vectors(), val=vectors(), loss="cross_entropy", only=checks)
    assert Verdict.ERROR not in [finding.verdict for finding in record.findings]
    assert differences(before, taken(model)) == []
