"""Models whose own code does what an audit does not expect: judged, or refused in one message."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from auditor import audit
from auditor.core.errors import InputError
from auditor.core.finding import Finding
from auditor.core.verdict import Verdict
from auditor.engine.journal import Journal
from auditor.intake.moments import spoilt
from auditor.observations.optimizer_state import OptimizersHeld, OptimizersHeldIn

ADAM = {"name": "Adam", "lr": 0.01}


def batches(seed: int, count: int = 6) -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    rows = [torch.randn(16, 8, generator=generator) for _ in range(count)]
    return [(x, x[:, :3].argmax(1)) for x in rows]


class Plain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(8, 16), nn.Linear(16, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(torch.relu(self.a(x)))


class TrainGivesNothing(Plain):
    def train(self, mode: bool = True) -> None:  # type: ignore[override]
        super().train(mode)
        self.a.eval()


class Locked(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()


class NotToCopy(Plain):
    def __deepcopy__(self, memo: Any) -> "NotToCopy":
        raise TypeError("one of a kind")


class WholeBatches(Plain):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.view(16, 8))


class Several(Plain):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert len(x) > 1
        return super().forward(x)


class Inference(Plain):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            raise NotImplementedError("for inference")
        return super().forward(x)


class NothingIn(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.none = nn.Parameter(torch.zeros(0, 4))


class WithoutGradient(Plain):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            return super().forward(x)


def compiled() -> nn.Module:
    made: nn.Module = torch.compile(Plain(), backend="eager")  # type: ignore[assignment]
    return made


def constant(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return outputs.sum() * 0 + 1


def not_a_number(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(outputs, target) * float("nan")


def findings(
    build: Callable[[], nn.Module], *checks: str, loss: Any = "cross_entropy", factory: bool = True
) -> dict[str, Finding]:
    torch.manual_seed(0)
    record = audit(
        build(),
        factory=build if factory else None,
        train=batches(0),
        val=batches(1),
        loss=loss,
        optimizer=ADAM,
        profile="quick",
        only=checks,
    )
    return {finding.check: finding for finding in record.findings}


@pytest.mark.parametrize(
    ("build", "factory", "checks"),
    [
        (TrainGivesNothing, True, ("not-reproducible",)),
        (Locked, False, ("not-reproducible", "gradient-pictures", "update-ratio-off")),
        (NothingIn, True, ("wrong-gradients",)),
        (compiled, True, ("activation-scale-off", "network-structure")),
    ],
    ids=["train gives nothing", "locked", "nothing in a parameter", "compiled"],
)
def test_judged(build: Callable[[], nn.Module], factory: bool, checks: tuple[str, ...]) -> None:
    found = findings(build, *checks, factory=factory)
    assert {f.verdict for f in found.values()} <= {Verdict.PASS, Verdict.INFO, Verdict.WARN}, found


@pytest.mark.parametrize(
    ("build", "factory", "check", "says"),
    [
        (NotToCopy, False, "update-ratio-off", "can't be copied (TypeError: one of a kind)"),
        (WholeBatches, True, "gradient-pictures", "does not take a part of a batch"),
        (Several, True, "wrong-gradients", "does not take a part of a batch"),
        (Inference, True, "update-ratio-off", "in training mode the model raised at"),
        (WithoutGradient, True, "update-ratio-off", "no gradient comes from the loss"),
    ],
)
def test_what_can_not_be_looked_at_is_no_error(
    build: Callable[[], nn.Module], factory: bool, check: str, says: str
) -> None:
    finding = findings(build, check, factory=factory)[check]
    assert finding.verdict is not Verdict.ERROR
    assert says in finding.summary


def test_inference_mode_in_forward_is_found() -> None:
    finding = findings(WithoutGradient, "wrong-gradients")["wrong-gradients"]
    assert finding.verdict is Verdict.FAIL
    assert "stops the gradient" in finding.summary


@pytest.mark.parametrize("loss", [constant, not_a_number])
def test_a_loss_that_is_no_measure_of_the_outputs(loss: Any) -> None:
    checks = ("gradient-pictures", "saliency-insensitive", "non-finite-values")
    found = findings(Plain, *checks, loss=loss)
    assert Verdict.ERROR not in {f.verdict for f in found.values()}, found
    # Every example has it, so that none is to blame.
    assert "makes it alone" not in found["non-finite-values"].summary


def grouped() -> nn.Module:
    class Grouped(Plain):
        def parameters(self, recurse: bool = True) -> Any:
            return [{"params": list(super().parameters(recurse))}]

    return Grouped()


def no_evaluation() -> nn.Module:
    class NoEvaluation(Plain):
        def eval(self) -> Any:
            raise RuntimeError("not here")

    return NoEvaluation()


def inference_weights() -> nn.Module:
    with torch.inference_mode():
        return Plain()


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (grouped, "its own `parameters()` gives a dict"),
        (no_evaluation, "in eval: RuntimeError: not here"),
        (inference_weights, "under `torch.inference_mode()`"),
        (lambda: torch.jit.script(nn.Sequential(nn.Linear(8, 3))), "it is TorchScript"),
    ],
)
def test_refused(build: Callable[[], nn.Module], says: str) -> None:
    with pytest.raises(InputError) as refusal:
        findings(build, "dead-units")
    assert says in str(refusal.value)


def test_a_generator_of_its_own_is_named_and_put_back() -> None:
    class Noisy(Plain):
        def __init__(self) -> None:
            super().__init__()
            self.noise = torch.Generator().manual_seed(0)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x + 0.01 * torch.randn(x.shape, generator=self.noise))

    model = Noisy()
    before = model.noise, model.noise.get_state()
    record = audit(model, val=batches(1), loss="cross_entropy", only=("not-reproducible",))
    assert "(model).noise" in record.findings[0].summary
    assert model.noise is before[0]
    assert torch.equal(model.noise.get_state(), before[1])


def test_a_model_that_writes_to_its_input_changes_no_data() -> None:
    class Writes(Plain):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x.add_(1.0)
            return super().forward(x)

    data = batches(1)
    before = [x.clone() for x, _ in data]
    data = [(x.requires_grad_(index == 0), y) for index, (x, y) in enumerate(data)]
    record = audit(
        Writes(), val=data, loss="cross_entropy", only=("not-reproducible", "gradient-pictures")
    )
    assert [str(f.verdict) for f in record.findings] == ["info", "pass"]
    assert all(torch.equal(x, kept) for (x, _), kept in zip(data, before, strict=True))


@pytest.mark.parametrize("how", ["in place", "by data", "another shape"])
def test_weights_that_a_model_writes_itself_are_put_back(how: str) -> None:
    class Shifts(Plain):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            found = super().forward(x)
            if self.training:
                with torch.no_grad():
                    if how == "in place":
                        self.a.weight.mul_(0.9)
                    elif how == "by data":
                        self.a.weight.data = self.a.weight.data * 0.9
                    else:
                        self.a.bias.data = torch.zeros(1)
            return found

    torch.manual_seed(0)
    model = Shifts()
    before = {name: (p, p.detach().clone()) for name, p in model.named_parameters()}
    record = audit(
        model,
        train=batches(0),
        val=batches(1),
        loss="cross_entropy",
        only=("disconnected-parameters", "dead-units"),
    )
    verdicts = {f.check: str(f.verdict) for f in record.findings}
    assert verdicts["disconnected-parameters"] == "error"
    for name, p in model.named_parameters():
        assert p is before[name][0]
        assert torch.equal(p, before[name][1])


@pytest.mark.parametrize(
    ("key", "value"), [("exp_avg", float("nan")), ("exp_avg_sq", -1.0), ("step", -3.0)]
)
def test_no_step_goes_on_from_moments_that_are_spoilt(key: str, value: float) -> None:
    torch.manual_seed(0)
    model = Plain()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for inputs, target in batches(0):
        functional.cross_entropy(model(inputs), target).backward()
        optimizer.step()
    optimizer.state[model.b.weight][key].fill_(value)
    assert spoilt(optimizer.state[model.b.weight]) == (key,)
    assert spoilt(optimizer.state[model.a.weight]) == ()
    record = audit(
        model,
        train=batches(0),
        val=batches(1),
        loss="cross_entropy",
        optimizer=optimizer,
        only=("update-ratio-off",),
    )
    assert record.findings[0].verdict is not Verdict.ERROR
    assert "not finite" not in record.findings[0].summary


def test_names_that_are_no_text_can_be_kept_and_read(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.path.mkdir()
    request = OptimizersHeldIn()
    journal.write(request, OptimizersHeld((), ("a\ud800", "名"), ()), 1.0)
    found = journal.read(request)
    assert found is not None
    assert found[0].trainable == ("a?", "名")
