"""Code to paste does what its step says: each snippet is run on a small model."""

import ast
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from auditor.core import probes, snippets
from auditor.core.advice import MOST_LINES
from auditor.observations.settings import ParameterGroup, Settings
from auditor.observations.settings_code import optimizer_code, own_settings
from tests.names import HOSTILE_NAMES

BATCHES = 6


class Small(nn.Module):
    """Batch norm behind a layer, dropout before another."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU())
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(16, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.drop(self.features(x)))


@pytest.fixture
def world(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a snippet finds: a model, its loaders, an optimizer, in a folder of its own."""
    torch.manual_seed(0)
    inputs = 3 + 2 * torch.randn(BATCHES * 32, 8)
    dataset = TensorDataset(inputs, (inputs.sum(1) > 24).long())
    loader = DataLoader(dataset, batch_size=32)
    model = Small()
    monkeypatch.chdir(tmp_path)
    return {
        "torch": torch,
        "nn": nn,
        "model": model,
        "dataset": dataset,
        "train_loader": loader,
        "val_loader": loader,
        "loss_fn": nn.CrossEntropyLoss(),
        "optimizer": torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9),
    }


def run(code: str, world: dict[str, Any]) -> None:
    assert len(code.split("\n")) <= MOST_LINES
    exec(compile(code, "advice", "exec"), world)


def loss_of(world: dict[str, Any]) -> torch.Tensor:
    inputs, targets = next(iter(world["train_loader"]))
    loss: torch.Tensor = world["loss_fn"](world["model"](inputs), targets)
    return loss


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_hostile_name_only_names(name: str) -> None:
    codes = (
        snippets.layer(name),
        snippets.parameter(name),
        snippets.replaced(name, "torch.nn.GELU()"),
        snippets.frozen([name]),
        snippets.frozen([name, name]),
        snippets.initialised(name),
        snippets.own_rate(name, 0.1, "SGD", {"lr": 0.1}),
    )
    known = {"model", "torch", "layer", "p", "own", "rest", "groups", "optimizer", "name"}
    for code in codes:
        tree = ast.parse(code)
        used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        assert used <= known
        texts = [n.value for n in ast.walk(tree) if isinstance(n, ast.Constant)]
        assert name in texts


def test_an_optimizer_of_a_hostile_name_is_not_built() -> None:
    assert snippets.optimizer("SGD(); import os  #", {"lr": 0.1}) == ""
    assert snippets.optimizer("SGD", {"lr=0); import os  #": 0.1}) == ""
    odd = Settings(optimizer="os.system", groups=(ParameterGroup({"lr": 0.1}, (), 1),))
    assert optimizer_code(odd, lr=0.1).startswith("for group in")


def test_the_optimizer_of_training_is_built_with_one_setting_changed(world: Any) -> None:
    values = {"lr": 0.01, "initial_lr": 0.1, "momentum": 0.9, "nesterov": True, "dampening": 0}
    settings = Settings(optimizer="SGD", groups=(ParameterGroup(values, (), 6),))
    code = optimizer_code(settings, lr=0.03)
    run(code, world)
    group = world["optimizer"].param_groups[0]
    assert (group["lr"], group["momentum"], group["nesterov"]) == (0.03, 0.9, True)
    assert "dampening" not in code
    run(optimizer_code(settings, weight_decay=1e-4), world)
    group = world["optimizer"].param_groups[0]
    assert (group["lr"], group["weight_decay"]) == (0.1, 1e-4)


@pytest.mark.parametrize("kind", ["SGD", "Adam", "AdamW", "NAdam", "RAdam", "Adamax", "RMSprop"])
def test_every_optimizer_takes_what_it_is_given(world: Any, kind: str) -> None:
    made = getattr(torch.optim, kind)(world["model"].parameters(), lr=0.1)
    values = {k: v for k, v in made.param_groups[0].items() if k != "params"}
    values |= {"weight_decay": 0.02, "eps": 1e-6, "betas": (0.8, 0.99), "alpha": 0.9}
    settings = Settings(optimizer=kind, groups=(ParameterGroup(values, (), 6),))
    run(optimizer_code(settings, lr=0.5), world)
    assert type(world["optimizer"]).__name__ == kind
    assert world["optimizer"].param_groups[0]["lr"] == 0.5
    assert world["optimizer"].param_groups[0]["weight_decay"] == 0.02


def test_an_optimizer_of_several_groups_is_changed_where_it_is(world: Any) -> None:
    group = ParameterGroup({"lr": 0.1}, ("a",), 1)
    run(optimizer_code(Settings(optimizer="SGD", groups=(group, group)), lr=0.003), world)
    assert world["optimizer"].param_groups[0]["lr"] == 0.003


def test_rate_set(world: Any) -> None:
    run(snippets.rate_set(0.0034567), world)
    assert world["optimizer"].param_groups[0]["lr"] == 0.0035


def test_clipped(world: Any) -> None:
    world["loss"] = 100 * loss_of(world)
    before = [p.detach().clone() for p in world["model"].parameters()]
    run(snippets.clipped("0.5"), world)
    moved = [
        (p.detach() - old) / 0.1 for p, old in zip(world["model"].parameters(), before, strict=True)
    ]
    assert float(world["norm"]) > 0.5
    assert float(torch.cat([m.detach().flatten() for m in moved]).norm()) == pytest.approx(
        0.5, rel=1e-3
    )


def test_zeroed(world: Any) -> None:
    model = world["model"].eval()
    world["inputs"], world["targets"] = next(iter(world["train_loader"]))
    loss_of(world).backward()
    (alone,) = torch.autograd.grad(loss_of(world), [model.head.weight])
    run(snippets.ZEROED, world)
    assert torch.allclose(model.head.weight.grad, alone)


def test_cosine(world: Any) -> None:
    code = snippets.cosine(20, 1e-4)
    world["optimizer"].step()
    run(code, world)
    for _ in range(19):
        world["scheduler"].step()
    assert world["optimizer"].param_groups[0]["lr"] == pytest.approx(1e-4)


def _norm(world: dict[str, Any]) -> nn.BatchNorm1d:
    norm: nn.BatchNorm1d = world["model"].features[1]
    return norm


def _given(world: dict[str, Any]) -> torch.Tensor:
    """Return what the batch norm is given, of all training data."""
    whole = torch.cat([inputs for inputs, _ in world["train_loader"]])
    given: torch.Tensor = world["model"].features[0](whole).detach()
    return given


@pytest.mark.parametrize(
    "code", [snippets.STATISTICS_ANEW, snippets.STATISTICS_WITHOUT_DROPOUT], ids=["all", "norms"]
)
def test_statistics_are_those_of_the_training_data(world: Any, code: str) -> None:
    norm = _norm(world)
    norm.running_mean.fill_(100.0)
    norm.running_var.fill_(100.0)
    run(code, world)
    given = _given(world)
    assert torch.allclose(norm.running_mean, given.mean(0), rtol=1e-4, atol=1e-4)
    assert torch.allclose(norm.running_var, given.var(0), rtol=0.2)
    assert norm.momentum == 0.1


def test_statistics_anew_are_saved(world: Any) -> None:
    run(snippets.STATISTICS_ANEW, world)
    assert not world["model"].training
    kept = torch.load("mended.pt", weights_only=True)
    assert torch.equal(kept["features.1.running_mean"], _norm(world).running_mean)


def test_dropout_is_off_while_statistics_are_computed_without_it(world: Any) -> None:
    model = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm1d(8))
    world["model"] = model
    run(snippets.STATISTICS_WITHOUT_DROPOUT, world)
    whole = torch.cat([inputs for inputs, _ in world["train_loader"]])
    assert torch.allclose(model[1].running_mean, whole.mean(0), rtol=1e-4)
    assert not model[0].training


def test_momentum(world: Any) -> None:
    run(snippets.momentum(0.01), world)
    assert _norm(world).momentum == 0.01


def test_group_norm(world: Any) -> None:
    run(snippets.GROUP_NORM, world)
    assert isinstance(world["model"].features[1], nn.GroupNorm)
    assert torch.isfinite(loss_of(world))


def test_one_batch(world: Any, capsys: pytest.CaptureFixture[str]) -> None:
    run(probes.ONE_BATCH, world)
    assert float(capsys.readouterr().out) < 0.3


def test_strict(world: Any, capsys: pytest.CaptureFixture[str]) -> None:
    state = world["model"].state_dict()
    del state["head.bias"]
    torch.save({"epoch": 3, "state_dict": state}, "a.pt")
    world["path"] = Path("a.pt")
    run(probes.STRICT, world)
    assert "head.bias" in capsys.readouterr().out


def test_examples_shown(world: Any, capsys: pytest.CaptureFixture[str]) -> None:
    run(probes.examples_shown("train_loader"), world)
    assert len(capsys.readouterr().out.splitlines()) >= 20


def test_initialised(world: Any) -> None:
    head = world["model"].head
    nn.init.constant_(head.weight, 7.0)
    nn.init.constant_(head.bias, 7.0)
    run(snippets.initialised("head"), world)
    assert float(head.weight.detach().std()) == pytest.approx((2 / 16) ** 0.5, rel=0.5)
    assert not head.bias.any()


def test_gradients_listed(world: Any, capsys: pytest.CaptureFixture[str]) -> None:
    world["model"].head.bias.requires_grad_(False)
    run(probes.gradients_listed(), world)
    assert "head.bias\n" in capsys.readouterr().out


def test_replaced(world: Any) -> None:
    run(snippets.replaced("features.2", "torch.nn.GELU()"), world)
    assert isinstance(world["model"].features[2], nn.GELU)


def test_frozen(world: Any) -> None:
    run(snippets.frozen(["head.bias"]), world)
    run(snippets.frozen(["features.0.weight", "features.0.bias"]), world)
    learnt = [name for name, p in world["model"].named_parameters() if p.requires_grad]
    assert learnt == ["features.1.weight", "features.1.bias", "head.weight"]


def test_own_rate(world: Any) -> None:
    run(snippets.own_rate("head.weight", 0.02, "SGD", {"lr": 0.1, "momentum": 0.9}), world)
    rest, own = world["optimizer"].param_groups
    assert (rest["lr"], own["lr"], own["momentum"]) == (0.1, 0.02, 0.9)
    assert own["params"] == [world["model"].head.weight]
    assert len(rest["params"]) == 5


def test_decayed(world: Any) -> None:
    values = {"lr": 0.1, "weight_decay": 0.05}
    settings = Settings(optimizer="AdamW", groups=(ParameterGroup(values, (), 6),))
    run(snippets.decayed(0.001, "AdamW", own_settings(settings)), world)
    large, small = world["optimizer"].param_groups
    assert (large["weight_decay"], small["weight_decay"]) == (0.001, 0.0)
    assert all(p.ndim > 1 for p in large["params"])
    assert len(small["params"]) == 4
    run(snippets.decayed(0.001), world)
    assert len(world["groups"]) == 2


@pytest.mark.parametrize(
    ("loss", "module"), [("cross_entropy", "CrossEntropyLoss"), ("mse_loss", "MSELoss")]
)
def test_averaged(world: Any, loss: str, module: str) -> None:
    run(snippets.averaged(loss), world)
    assert type(world["loss_fn"]).__name__ == module
    assert snippets.averaged("a.b:loss") == ""


def test_rebuilt(world: Any) -> None:
    run(snippets.rebuilt("SGD(lr=0.1, momentum=0.9, nesterov=True)", 0.01), world)
    group = world["optimizer"].param_groups[0]
    assert (group["lr"], group["momentum"], group["nesterov"]) == (0.01, 0.9, True)
    run(snippets.rebuilt("Adam(lr=0.1, betas=(0.8, 0.9))", 0.002), world)
    assert world["optimizer"].param_groups[0]["betas"] == (0.8, 0.9)
    for told in ("one of my own", "SGD(lr=exit())", "SGD(lr=0.1), exit()", "__import__('os')"):
        assert snippets.rebuilt(told, 0.002) == snippets.rate_set(0.002)


def test_trained_alone(world: Any) -> None:
    before = world["model"].head.weight.detach().clone()
    run(snippets.trained_alone("head"), world)
    learnt = [name for name, p in world["model"].named_parameters() if p.requires_grad]
    assert learnt == ["head.weight", "head.bias"]
    assert not torch.equal(before, world["model"].head.weight)
    assert len(world["optimizer"].param_groups[0]["params"]) == 2


def test_scaled(world: Any) -> None:
    before = world["model"].head.weight.detach().clone()
    run(snippets.scaled("head", 40.0), world)
    assert torch.allclose(40 * world["model"].head.weight, before)


def test_all_initialised(world: Any) -> None:
    nn.init.constant_(world["model"].head.weight, 7.0)
    run(snippets.ALL_INITIALISED, world)
    assert float(world["model"].head.weight.detach().abs().max()) < 2
    assert not world["model"].head.bias.any()


def test_outputs_compared(world: Any, capsys: pytest.CaptureFixture[str]) -> None:
    class Leaky(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x - x.mean(0)

    world["model"] = nn.Sequential(nn.Linear(8, 4), Leaky(), nn.Linear(4, 3))
    run(probes.outputs_compared(), world)
    assert capsys.readouterr().out.split() == ["1", "2"]


def test_alike_behind(world: Any, capsys: pytest.CaptureFixture[str]) -> None:
    world["model"] = nn.Sequential(nn.Linear(8, 4), nn.Linear(4, 4), nn.Linear(4, 3))
    nn.init.zeros_(world["model"][1].weight)
    run(probes.alike_behind(), world)
    assert capsys.readouterr().out.split() == ["1", "2"]


def test_modules_not_finite(world: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with torch.no_grad():
        world["model"].features[0].weight[0, 0] = torch.inf
    run(probes.modules_not_finite("train_loader"), world)
    assert capsys.readouterr().out.split()[0] == "features.0"


def test_not_finite(world: Any, capsys: pytest.CaptureFixture[str]) -> None:
    world["dataset"].tensors[0][70, 0] = torch.nan
    world["loss_fn"] = None
    run(probes.NOT_FINITE, world)
    assert capsys.readouterr().out.split() == ["2"]


def test_anomaly(world: Any) -> None:
    class Root(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.sqrt(x * 0)

    world["model"] = nn.Sequential(nn.Linear(8, 3), Root())
    with pytest.raises(RuntimeError, match="nan"), pytest.warns(UserWarning, match="anomaly|Error"):
        run(probes.anomaly(3), world)


def test_batch_checked(world: Any, capsys: pytest.CaptureFixture[str]) -> None:
    run(probes.BATCH_CHECKED, world)
    assert "torch.Size([32, 8])" in capsys.readouterr().out


def test_digits() -> None:
    numbers = (240.0, 3.6e9, 0.00023, 8.1e-9, 1.3)
    assert [snippets.digits(n) for n in numbers] == ["240", "3.6e+09", "0.00023", "8.1e-09", "1.3"]
    assert snippets.tensor([0.5333, 8]) == "torch.tensor([0.533, 8.0])"
