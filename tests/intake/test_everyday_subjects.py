"""What ordinary users hand in: schedules, ignored labels, weighted losses, odd batches."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from auditor import audit
from auditor.api import Record
from auditor.core.errors import InputError
from auditor.core.finding import Finding
from auditor.core.verdict import Verdict
from auditor.intake import loaders
from auditor.intake.batches import Batch
from auditor.intake.checkpoint import open_checkpoint
from auditor.intake.loaders import opened, surveyed
from auditor.intake.optimizer import declared_by, read_from
from auditor.intake.preserve import preserved

Batches = list[tuple[torch.Tensor, torch.Tensor]]


def by_id(record: Record) -> dict[str, Finding]:
    return {finding.check: finding for finding in record.findings}


def mlp(width: int = 3) -> nn.Module:
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, width))


def rows(count: int = 8, size: int = 32) -> Batches:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(count * size, 8, generator=generator)
    labels = inputs[:, :3].argmax(1)
    return list(zip(inputs.split(size), labels.split(size), strict=True))


def fitted(model: nn.Module, batches: Any, loss: Any, epochs: int = 40) -> nn.Module:
    torch.manual_seed(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(epochs):
        for inputs, target in batches:
            optimizer.zero_grad()
            loss(model(inputs), target).backward()
            optimizer.step()
    return model


def test_the_rate_that_a_schedule_began_with_counts() -> None:
    optimizer = torch.optim.SGD(mlp().parameters(), lr=0.1, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=2)
    for _ in range(2):
        optimizer.step()
        schedule.step()
    assert optimizer.param_groups[0]["lr"] < 1e-8
    declared, read = declared_by(optimizer), read_from(optimizer.state_dict())
    assert declared is not None
    assert read is not None
    assert declared.lr == read.lr == 0.1


def test_groups_of_different_rates_are_no_one_optimizer() -> None:
    model = mlp()
    groups = [
        {"params": list(model[0].parameters()), "lr": 1e-7},
        {"params": list(model[2].parameters())},
    ]
    optimizer = torch.optim.Adam(groups, lr=1e-3)
    batches = rows()
    found = by_id(
        audit(
            model,
            train=batches,
            val=batches,
            loss="cross_entropy",
            optimizer=optimizer,
            only=["update-ratio-off"],
        )
    )["update-ratio-off"]
    assert found.verdict is Verdict.NOT_APPLICABLE
    assert "one learning rate" in found.summary


@pytest.mark.parametrize("ignored", [255, 0])
def test_labels_that_the_loss_ignores_do_not_count(ignored: int) -> None:
    batches = [(x, torch.where(x[:, 3] > 0.8, ignored, y)) for x, y in rows()]
    loss = nn.CrossEntropyLoss(ignore_index=ignored)
    model = fitted(mlp(), batches, loss)
    record = audit(
        model, train=batches, val=batches, loss=loss, profile="quick",
        only=["no-better-than-baseline"],
    )  # fmt: skip
    assert by_id(record)["no-better-than-baseline"].verdict is Verdict.PASS
    assert ignored not in record.subject.data["val"].targets.classes


@pytest.mark.parametrize("grades", [4, 300])
def test_labels_beyond_the_outputs_of_a_loss_of_ones_own_are_no_classes(grades: int) -> None:
    """Thresholds between ordered grades are one fewer than these; numbers of pairs are many."""

    def ordinal(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        above = (target[:, None] > torch.arange(3)).to(outputs.dtype)
        return functional.binary_cross_entropy_with_logits(outputs, above)

    batches = [
        (x, torch.arange(len(x)) % grades) if number else (x, y)
        for number, (x, y) in enumerate(rows())
    ]
    checks = ["miscalibrated", "no-better-than-baseline", "class-imbalance"]
    record = audit(mlp(), train=batches, val=batches, loss=ordinal, only=checks)
    assert record.subject.task == "custom"
    assert {found.verdict for found in record.findings} == {Verdict.NOT_APPLICABLE}


def quantised(model: nn.Module) -> nn.Module:
    return torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, torch.qint8)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("wrap", [nn.DataParallel, torch.compile, quantised])
@pytest.mark.parametrize("both", [False, True])
def test_models_that_are_wrapped_or_quantised(wrap: Any, both: bool) -> None:
    batches = rows(2)
    record = audit(
        wrap(fitted(mlp(), batches, functional.cross_entropy)),
        train=batches,
        val=batches,
        loss="cross_entropy",
        factory=(lambda: wrap(mlp())) if both else mlp,
        optimizer={"name": "Adam", "lr": 1e-2},
        profile="quick",
        only=["wrong-gradients", "updates-not-applied", "loss-unfit-for-task", "dead-units"],
    )
    assert not {found.verdict for found in record.findings} & {Verdict.ERROR, Verdict.FAIL}
    assert not any("module." in place.name for f in record.findings for place in f.where)


def test_what_torchscript_compiled_is_refused() -> None:
    with pytest.raises(InputError, match="TorchScript"):
        audit(torch.jit.script(mlp()), val=rows(1), loss="cross_entropy")


def imbalanced() -> Batches:
    batches = []
    for inputs, _ in rows(16):
        noise = torch.randn(len(inputs), generator=torch.Generator().manual_seed(1))
        batches.append((inputs, (inputs[:, 0] + 0.7 * noise > 1.9).long()))
    return batches


def test_weighted_losses_of_rare_classes_raise_nothing() -> None:
    batches = imbalanced()
    share = torch.cat([y for _, y in batches]).float().mean()
    assert 0.02 < share < 0.15
    weights = nn.CrossEntropyLoss(weight=torch.stack([1 / (1 - share), 1 / share]))
    model = fitted(mlp(2), batches, weights)
    looked = {"only": ["no-better-than-baseline", "initial-loss-off-chance"]}
    found = by_id(
        audit(model, train=batches, val=batches, loss=weights, factory=lambda: mlp(2), **looked)
    )
    assert found["no-better-than-baseline"].verdict is Verdict.PASS
    assert found["initial-loss-off-chance"].verdict is Verdict.PASS

    positive = nn.BCEWithLogitsLoss(pos_weight=(1 - share) / share)
    floats = [(x, y.float().unsqueeze(1)) for x, y in batches]
    model = fitted(mlp(1), floats, positive)
    found = by_id(
        audit(model, train=floats, val=floats, loss=positive, factory=lambda: mlp(1), **looked)
    )
    assert found["no-better-than-baseline"].verdict is Verdict.PASS
    assert found["initial-loss-off-chance"].verdict is Verdict.PASS


def test_probabilities_into_a_loss_of_ones_own_are_read_as_such() -> None:
    def focal(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        outputs = outputs.clamp(1e-6, 1 - 1e-6)
        return functional.binary_cross_entropy(outputs, target)

    batches = [(x, (x[:, :1] > 0).float()) for x, _ in rows()]
    model = fitted(nn.Sequential(mlp(1), nn.Sigmoid()), batches, focal)
    checks = ["no-better-than-baseline"]
    found = by_id(audit(model, val=batches, loss=focal, task="binary", only=checks))
    assert found["no-better-than-baseline"].verdict is Verdict.PASS


def test_logits_of_a_loss_of_ones_own_are_told_from_probabilities_over_all_batches() -> None:
    def own(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return functional.binary_cross_entropy_with_logits(outputs, target)

    batches = [(x, (x[:, :1] > 0).float()) for x, _ in rows()]
    model = fitted(mlp(1), batches, own)
    with torch.no_grad():  # Logits so small that each positive one might be a probability.
        for parameter in model[2].parameters():
            parameter.mul_(0.01)
    singles = [(x[i : i + 1], y[i : i + 1]) for x, y in batches for i in range(len(x))][:60]
    right = torch.cat([(model(x) > 0) == (y > 0.5) for x, y in singles]).float().mean()
    record = audit(model, val=singles, loss=own, task="binary", only=["no-better-than-baseline"])
    measured = {metric.name: metric.value for metric in record.findings[0].metrics}
    assert measured["accuracy of the model"] == pytest.approx(float(right))


def test_batches_of_one_with_batch_norm_are_gone_through() -> None:
    def build() -> nn.Module:
        return nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3))

    model = fitted(build(), rows(), functional.cross_entropy, 5)
    singles = [(x[i : i + 1], y[i : i + 1]) for x, y in rows(1) for i in range(len(x))]
    found = audit(model, val=singles, loss="cross_entropy", factory=build).findings
    assert not [f.summary for f in found if f.verdict is Verdict.ERROR]


def test_inputs_that_come_time_first_count_by_their_targets() -> None:
    batch = Batch((torch.arange(60.0).reshape(5, 12, 1),), {}, torch.zeros(12, dtype=torch.long))
    assert batch.size == 12
    half = batch.take(6)
    assert half.args[0].shape == (5, 6, 1)
    assert half.target.shape == (6,)


class Remembering(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(8, 3)
        self.state = {"mean": torch.zeros(8), "log": [[0], ({"seen": torch.zeros(1)},)]}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.state["mean"].add_(x.mean(0))
        self.state["log"][0].append(len(x))
        self.state["log"][1][0]["seen"] += 1
        return self.inner(x)


def test_what_stands_deep_in_attributes_is_put_back() -> None:
    model = Remembering()
    state, mean, log = model.state, model.state["mean"], model.state["log"]
    with preserved(model):
        model(torch.ones(4, 8))
        assert model.state["mean"].sum() == 8
        assert model.state["log"][0] == [0, 4]
    assert model.state is state
    assert model.state["mean"] is mean
    assert mean._version == 0
    assert model.state["log"] is log
    assert log[0] == [0]
    assert log[1][0]["seen"] == 0


class Endless:
    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        while True:
            time.sleep(0.01)
            yield rows(1)[0]


def test_a_slow_loader_without_an_end_in_sight_is_looked_at_in_part(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loaders, "PATIENCE", 0.2)
    survey = surveyed(opened(Endless(), "val", None, 0), most=3)
    assert (survey.batches, survey.batches_read, survey.complete) == (3, 3, False)


def test_workers_that_stay_are_not_left_behind() -> None:
    data = torch.utils.data.TensorDataset(torch.randn(64, 8), torch.zeros(64, dtype=torch.long))
    loader = torch.utils.data.DataLoader(
        data, batch_size=32, num_workers=1, persistent_workers=True
    )
    audit(mlp(), val=loader, loss="cross_entropy", only=["dead-units"])
    assert loader._iterator is None


def test_the_version_of_torch_may_be_kept_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    torch.save({"state_dict": mlp().state_dict(), "torch_version": torch.__version__}, path)
    assert open_checkpoint(path).extras["torch_version"] == str(torch.__version__)


def test_outputs_of_nan_are_no_answer() -> None:
    batches = rows()
    model = fitted(mlp(), batches, functional.cross_entropy, 3)
    with torch.no_grad():
        model[2].bias[1] = float("nan")
    found = by_id(audit(model, val=batches, loss="cross_entropy"))["no-better-than-baseline"]
    assert found.verdict is Verdict.FAIL
    assert "not finite" in found.summary


def test_a_part_cut_off_is_told_from_one_never_used() -> None:
    class Cut(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.unused, self.head = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.body(x).relu().detach())

    batches = rows()
    (found,) = audit(
        Cut(), val=batches, loss="cross_entropy", only=["vanishing-gradients"]
    ).findings
    assert found.verdict is Verdict.FAIL
    assert "body.weight" in found.summary
    assert "detach" in " ".join(found.advice)


class Transposed(nn.Module):
    """Channels are counted before the rectifier sees them in the last dimension."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv1d(1, 16, 3, padding=1), nn.Linear(16, 3)
        with torch.no_grad():
            self.conv.bias[:8] = -1e3

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = torch.relu(self.conv(x.unsqueeze(1)).transpose(1, 2))
        return self.head(hidden.mean(1))


def test_channels_are_counted_after_a_transposition() -> None:
    (found,) = audit(Transposed(), val=rows(), loss="cross_entropy", only=["dead-units"]).findings
    assert found.verdict is Verdict.FAIL
    assert "8 of 16" in found.summary
