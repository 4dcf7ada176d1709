import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

import auditor
from auditor import audit
from auditor.api import Record
from auditor.checks import catalogue
from auditor.core.check import SECTIONS
from auditor.core.errors import InputError
from auditor.core.finding import Finding
from auditor.core.record import read_record
from auditor.core.verdict import Verdict
from auditor.intake.live import device_of
from tests.awkward import mlp, vectors


def loader() -> DataLoader[Any]:
    x = torch.cat([x for x, _ in vectors()])
    y = torch.cat([y for _, y in vectors()])
    return DataLoader(TensorDataset(x, y), 6)


def quick(model: nn.Module | None = None, **options: Any) -> Record:
    given = {"train": loader(), "val": loader(), "loss": "cross_entropy", "profile": "quick"}
    return audit(model or mlp(), **{**given, **options})


def by_id(record: Record) -> dict[str, Finding]:
    return {finding.check: finding for finding in record.findings}


@pytest.mark.usefixtures("frugal")
def test_one_call_audits() -> None:
    record = audit(mlp(), train=loader(), val=loader(), loss=nn.CrossEntropyLoss())
    assert isinstance(record, Record)
    assert record.verdict in set(Verdict)
    assert [section.id for section in record.sections] == list(SECTIONS)
    assert [finding.check for finding in record.findings] == [check.id for check in catalogue()]
    assert Verdict.ERROR not in [finding.verdict for finding in record.findings]
    assert record.subject.task == "multiclass"
    assert record.subject.outputs == 3
    assert auditor.audit is audit
    assert record.command == "audit(model, val=val, train=train, loss=loss)"


@pytest.mark.usefixtures("frugal")
def test_every_way_to_give_a_loss_finds_the_same() -> None:
    def mine(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(outputs, target)

    torch.manual_seed(0)
    model = mlp()
    losses = ("cross_entropy", functional.cross_entropy, nn.CrossEntropyLoss(), nn.CrossEntropyLoss)
    about_loss = [check.id for check in catalogue() if check.section == "loss"]
    only = [*about_loss, "no-better-than-baseline", "vanishing-gradients"]
    first, *others = [quick(model, loss=loss, only=only) for loss in losses]
    for other in others:
        assert other.sections == first.sections
        assert other.subject == first.subject
    own = quick(model, loss=mine, only=only)
    assert own.subject.loss == "mine"
    assert own.subject.task == "multiclass"
    assert {f.check: f.verdict for f in own.findings} == {
        f.check: f.verdict for f in first.findings
    }


@pytest.mark.usefixtures("frugal")
def test_the_record_shows_itself_in_a_notebook() -> None:
    record = quick(name="a <b>name</b>", only=["dead-units", "activation-scale-off"])
    shown = record._repr_html_()
    assert len(shown) < 60_000
    assert "a &lt;b&gt;name" in shown
    assert "<script" not in shown
    assert record._repr_markdown_().startswith("# ")
    assert repr(record) == (
        "<audit of a <b>name</b>: passed; All 2 checks that could be judged passed.>"
    )


@pytest.mark.usefixtures("frugal")
def test_the_record_writes_itself(tmp_path: Path) -> None:
    record = quick(name="a <b>name</b>", only=["dead-units", "activation-scale-off"])
    record.to_json(tmp_path / "record.json")
    record.to_html(tmp_path / "report.html")
    assert read_record(tmp_path / "record.json").verdict is record.verdict
    page = (tmp_path / "report.html").read_text()
    assert "<b>name</b>" not in page


@pytest.mark.usefixtures("frugal")
def test_an_audit_is_held_against_an_earlier_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUDIT_HISTORY", str(tmp_path / "history.sqlite"))
    options = {"only": ["environment-unrecorded"], "name": "net"}
    first = quick(**options)
    assert (first.comparison, "earlier" in first.subject.has) == (None, False)
    assert quick(**options, baseline="last").comparison is None, "none was kept"
    id_ = first.keep()
    file = tmp_path / "record.json"
    first.to_json(file)
    sources = {
        "last": f"{id_} in the history",
        id_: f"{id_} in the history",
        file: str(file),
        str(tmp_path): str(file),
    }
    for baseline, source in (*sources.items(), (first, "the record")):
        later = quick(**options, baseline=baseline)
        assert later.comparison is not None
        assert later.comparison.source == source
        assert later.comparison.started == first.volatile.started
        assert "earlier" in later.subject.has
    assert quick(**{**options, "name": "other"}, baseline="last").comparison is None
    with pytest.raises(InputError, match=r"gone\.json: can't be read"):
        quick(**options, baseline="gone.json")


def test_without_train_what_needs_it_says_so() -> None:
    findings = by_id(quick(train=None, only=["no-better-than-baseline", "update-ratio-off"]))
    reason = findings["no-better-than-baseline"].summary
    assert (
        findings["no-better-than-baseline"].verdict is Verdict.NOT_APPLICABLE or "train" in reason
    )
    assert findings["update-ratio-off"].verdict is Verdict.NOT_APPLICABLE
    assert "training data" in findings["update-ratio-off"].summary


@pytest.mark.usefixtures("frugal")
def test_without_loss_or_factory_what_needs_them_says_so() -> None:
    checks = ["vanishing-gradients", "initial-loss-off-chance"]
    findings = by_id(quick(loss=None, only=checks))
    for check in checks:
        assert findings[check].verdict is Verdict.NOT_APPLICABLE
        assert "loss" in findings[check].summary
    findings = by_id(quick(optimizer={"name": "SGD", "lr": 0.1}, only=checks))
    assert findings["initial-loss-off-chance"].verdict is Verdict.NOT_APPLICABLE
    assert "factory" in findings["initial-loss-off-chance"].summary


def test_without_any_data_the_weights_are_looked_at() -> None:
    record = audit(mlp())
    assert {f.verdict for f in record.findings} <= {
        Verdict.NOT_APPLICABLE, Verdict.INFO, Verdict.PASS, Verdict.WARN
    }  # fmt: skip
    assert record.subject.parameters == sum(p.numel() for p in mlp().parameters())


@pytest.mark.usefixtures("frugal")
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
        (torch.optim.Adam, {"lr": 1e-3}),
        (torch.optim.AdamW, {"lr": 1e-3, "weight_decay": 0.1}),
        (torch.optim.RMSprop, {"lr": 1e-3}),
    ],
)
def test_an_optimizer_is_given_as_itself(kind: Any, options: dict[str, Any]) -> None:
    model = mlp()
    optimizer = kind(model.parameters(), **options)
    record = quick(model, optimizer=optimizer, factory=mlp, only=["update-ratio-off"])
    shown = record.spec["training"]["optimizer"]
    assert shown["name"] == kind.__name__
    assert {key: shown[key] for key in options} == options
    assert by_id(record)["update-ratio-off"].verdict is not Verdict.NOT_APPLICABLE
    assert optimizer.param_groups[0]["params"][0] is next(model.parameters())
    assert not optimizer.state


@pytest.mark.usefixtures("frugal")
def test_checks_are_chosen_and_their_limits_set() -> None:
    record = quick(only=["dead-units"])
    assert [finding.check for finding in record.findings] == ["dead-units"]
    record = quick(skip=["dead-units"])
    assert "dead-units" not in by_id(record)
    limits = {"dead-units": {"worst_dead_share": {"warn": 0.01, "fail": 0.02}}}
    record = quick(only=["dead-units"], limits=limits)
    assert record.spec["audit"]["limits"]["dead-units"]["worst_dead_share"]["fail"] == 0.02


@pytest.mark.usefixtures("frugal")
def test_an_adapter_reads_batches_of_another_form() -> None:
    batches = [{"pixels": x, "more": {"answer": y}} for x, y in vectors()]
    with pytest.raises(InputError, match="inputs"):
        quick(train=None, val=batches)
    adapter = lambda b: (b["pixels"], b["more"]["answer"])  # noqa: E731
    record = quick(train=None, val=batches, batch=adapter, only=["dead-units"])
    assert record.subject.task == "multiclass"


class Endless:
    def __iter__(self) -> Any:
        while True:
            yield vectors()[0]


def raising(*args: Any) -> Any:
    raise RuntimeError("mine")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"model": "model.pt"}, "torch.nn.Module"),
        ({"model": mlp}, "torch.nn.Module"),
        ({"loss": "cross_entropie"}, "cross_entropy"),
        ({"loss": 3}, "loss"),
        ({"loss": raising}, "mine"),
        ({"loss": nn.CrossEntropyLoss(reduction="none")}, "scalar"),
        ({"val": iter(vectors())}, "once"),
        ({"val": 3}, "iterated"),
        ({"val": []}, "empty"),
        ({"val": Endless()}, "end"),
        ({"val": [(torch.zeros(2, 9), torch.zeros(2).long())]}, "first batch"),
        ({"val": [(torch.zeros(2, 8), torch.tensor([0, 7]))]}, "label"),
        ({"val": [(torch.zeros(2, 8),)]}, "batch"),
        ({"batch": raising}, "mine"),
        ({"device": "cuda:99"}, "device"),
        ({"device": "abacus"}, "device"),
        ({"only": ["dead-unit"]}, "dead-units"),
        ({"skip": ["nonsense"]}, "nonsense"),
        ({"limits": {"dead-units": {"nonsense": {"warn": 1.0}}}}, "nonsense"),
        ({"limits": {"dead-units": {"worst_dead_share": {"warm": 1.0}}}}, "warm"),
        ({"limits": {"dead-units": {"worst_dead_share": {"warn": "much"}}}}, "much"),
        ({"profile": "fast"}, "profile"),
        ({"seed": -1}, "seed"),
        ({"task": "guessing"}, "task"),
        ({"optimizer": {"name": "SDG", "lr": 0.1}}, "SGD"),
        ({"optimizer": {"name": "SGD"}}, "lr"),
        ({"optimizer": {"name": "SGD", "lr": 0.1, "speed": 3}}, "speed"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_can_not_be_used_is_named(options: dict[str, Any], says: str) -> None:
    given = {"model": mlp(), "train": None, "val": vectors(), "loss": "cross_entropy", **options}
    with pytest.raises(InputError, match=says):
        audit(given.pop("model"), **given)


@pytest.mark.usefixtures("frugal")
def test_a_factory_that_breaks_is_an_error_of_its_checks_alone() -> None:
    record = quick(factory=raising, only=["initial-loss-off-chance", "dead-units"])
    findings = by_id(record)
    assert findings["initial-loss-off-chance"].verdict is Verdict.ERROR
    assert "mine" in findings["initial-loss-off-chance"].summary
    assert findings["dead-units"].verdict is not Verdict.ERROR


@pytest.mark.usefixtures("frugal")
def test_a_caller_without_gradients_gets_the_same_audit() -> None:
    torch.manual_seed(1)
    model = mlp()
    options = {"optimizer": {"name": "SGD", "lr": 0.1}, "factory": mlp}
    first = quick(model, **options)
    with torch.no_grad():
        assert quick(model, **options).sections == first.sections
    assert torch.is_grad_enabled()


@pytest.mark.usefixtures("frugal")
def test_prints_and_warns_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quick(factory=mlp, optimizer={"name": "SGD", "lr": 0.1})
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == ""


CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.mark.gpu
@CUDA
@pytest.mark.parametrize("name", ["mlp", "shared-relu", "lstm", "encoder", "fourier", "sparse"])
def test_cuda_comes_to_the_same_verdicts_as_the_cpu(name: str) -> None:
    from tests.awkward import BY_NAME

    case = BY_NAME[name]
    verdicts = []
    for device in ("cpu", "cuda:0"):
        model = case.model()
        record = audit(
            model, train=case.batches(), val=case.batches(), loss=case.loss, factory=case.build,
            optimizer={"name": "SGD", "lr": 0.1}, profile="quick", device=device,
        )  # fmt: skip
        assert device_of(model) == "cpu"
        assert record.subject.device == device
        verdicts.append({f.check: f.verdict for f in record.findings})
    assert verdicts[0] == verdicts[1]


@pytest.mark.gpu
@CUDA
def test_the_generator_of_cuda_is_as_it_was() -> None:
    model = mlp().cuda()
    before = torch.cuda.get_rng_state()
    quick(model, factory=mlp, optimizer={"name": "SGD", "lr": 0.1})
    assert torch.equal(torch.cuda.get_rng_state(), before)
