"""Ways to train that differ from the plain loop, recorded."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from auditor import Recorder
from auditor.recorder import updates
from auditor.recorder.activations import MOST
from tests.recorder.runs import data, lines, mlp, rows, sgd, state, trained


def recorded(folder: Path, every: int = 1) -> Any:
    return lambda m, o, loader: Recorder(
        folder / "model.pt", m, o, train=loader, every=every, resume=False
    )


def written(folder: Path) -> list[dict[str, Any]]:
    return [row for row in rows(folder / "model.audit.jsonl") if "epoch" not in row]


def test_gradients_scaled_for_mixed_precision_are_told_unscaled(tmp_path: Path) -> None:
    model, (inputs, target) = mlp(), next(iter(data()))
    optimizer = sgd(model.parameters())
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**12)
    recorder = Recorder(tmp_path / "model.pt", model, optimizer, every=1)
    with torch.autocast("cpu", torch.bfloat16):
        loss = functional.cross_entropy(model(inputs), target)
    scaler.scale(loss).backward()
    scaled = updates.total_norm(p.grad for p in model.parameters() if p.grad is not None)
    scaler.step(optimizer)
    scaler.update()
    recorder.step(loss)
    recorder.close()
    (row,) = written(tmp_path)
    assert scaled is not None
    assert row["grad_norm"] == pytest.approx(scaled.item() / 2**12, rel=1e-3)
    assert row["activation_rms"].keys() == {"0", "1", "2", "3"}


def test_a_step_that_the_scaler_leaves_out_is_waited_for(tmp_path: Path) -> None:
    model, (inputs, target) = mlp(), next(iter(data()))
    optimizer = sgd(model.parameters())
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0)
    recorder = Recorder(tmp_path / "model.pt", model, optimizer, every=100)
    for spoilt in (True, False):
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(inputs), target)
        scaler.scale(loss * torch.inf if spoilt else loss).backward()
        scaler.step(optimizer)
        scaler.update()
        recorder.step(loss)
    recorder.close()
    assert ["grad_norm" in row for row in written(tmp_path)] == [False, True]


def test_gradients_that_add_up_over_batches_are_told_at_the_step(tmp_path: Path) -> None:
    model = mlp()
    optimizer = sgd(model.parameters())
    recorder = Recorder(tmp_path / "model.pt", model, optimizer, every=1)
    for number, (inputs, target) in enumerate(data(), 1):
        loss = functional.cross_entropy(model(inputs), target)
        loss.backward()
        if number % 3 == 0:
            optimizer.step()
            optimizer.zero_grad()
        recorder.step(loss)
    recorder.close()
    assert ["update_ratio" in row for row in written(tmp_path)] == [False, False, True] * 2
    assert written(tmp_path)[2]["activation_rms"].keys() == {"0", "1", "2", "3"}


def test_a_closure_is_called_as_often_as_without(tmp_path: Path) -> None:
    def run(recorder_of: Any) -> tuple[list[bytes], int]:
        torch.manual_seed(0)
        model, (inputs, target) = nn.Linear(8, 3), next(iter(data(shuffle=False)))
        optimizer = torch.optim.LBFGS(model.parameters(), max_iter=5)
        recorder = recorder_of(model, optimizer, None)
        calls = 0

        def closure() -> torch.Tensor:
            nonlocal calls
            calls += 1
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(inputs), target)
            loss.backward()
            return loss

        for _ in range(3):
            loss = optimizer.step(closure)
            if recorder is not None:
                recorder.step(loss)
        if recorder is not None:
            recorder.close()
        return state(model), calls

    assert run(recorded(tmp_path)) == run(lambda *_: None)
    assert all(row["grad_norm"] > 0 for row in written(tmp_path))
    assert all(row["update_ratio"]["weight"] > 0 for row in written(tmp_path))
    assert written(tmp_path)[0]["activation_rms"].keys() == {"(model)"}


class Sparse(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(50, 4, sparse=True)
        self.head = nn.Linear(4, 3)
        self.unused = nn.Linear(4, 4)
        self.frozen = nn.Linear(4, 4).requires_grad_(False)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.head(self.table(inputs.long().abs() % 50).mean(1))
        return out


def test_sparse_and_missing_gradients(tmp_path: Path) -> None:
    plain, _ = trained(build=Sparse, optimizers=lambda p: torch.optim.SGD(p, lr=0.1))
    same, _ = trained(
        recorded(tmp_path), build=Sparse, optimizers=lambda p: torch.optim.SGD(p, lr=0.1)
    )
    assert state(same) == state(plain)
    row = written(tmp_path)[0]
    assert row["update_ratio"]["table.weight"] > 0
    assert row["update_ratio"]["unused.weight"] == 0
    assert row["grad_norm"] > 0


def test_weights_that_are_zero_have_no_update_ratio(tmp_path: Path) -> None:
    def build() -> nn.Module:
        model = mlp()
        nn.init.zeros_(model[3].weight)
        return model

    trained(recorded(tmp_path), build=build)
    first, second, *_ = written(tmp_path)
    assert first["update_ratio"].keys() == {"0.weight"}
    assert second["update_ratio"].keys() == {"0.weight", "3.weight"}


class Shared(nn.Module):
    """One rectifier for two layers, a recurrent layer, and an output of several parts."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(8, 6), nn.Linear(6, 6)
        self.relu = nn.ReLU(inplace=True)
        self.rnn = nn.GRU(6, 5, batch_first=True)
        self.head = nn.Linear(5, 3)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        hidden = self.relu(self.second(self.relu(self.first(inputs) - 100)))
        out: torch.Tensor = self.head(self.rnn(hidden[:, None])[0][:, 0])
        return out


def test_a_layer_that_runs_twice_is_told_of_twice(tmp_path: Path) -> None:
    plain, _ = trained(build=Shared)
    same, _ = trained(recorded(tmp_path), build=Shared)
    assert state(same) == state(plain)
    row = written(tmp_path)[0]
    assert row["dead_share"]["relu"] == 1
    assert 0 < row["dead_share"]["relu, call 2"] < 1
    assert row["activation_rms"].keys() >= {"first", "second", "relu, call 2", "rnn", "head"}
    assert "rnn.weight_hh_l0" in row["update_ratio"]


def test_units_of_a_convolution_are_its_channels(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    with torch.no_grad():
        model[1].bias[0] = -100
    recorder = Recorder(tmp_path / "model.pt", model)
    model(torch.randn(5, 1, 6, 6)).sum().backward()
    recorder.step()
    recorder.close()
    assert written(tmp_path)[0]["dead_share"] == {"2": 0.25}


def test_a_model_that_is_evaluated_between_steps_is_not_looked_into(tmp_path: Path) -> None:
    model = mlp()
    recorder = Recorder(tmp_path / "model.pt", model)
    model.eval()
    model(torch.full((4, 8), 1e6))
    model.train()
    with torch.no_grad():
        model(torch.full((4, 8), 1e6))
    model(torch.randn(4, 8)).sum().backward()
    model(torch.full((4, 8), 1e6))
    recorder.step()
    recorder.close()
    assert written(tmp_path)[0]["activation_rms"]["0"] < 100


def test_many_layers_are_told_of_in_a_row_that_stays_small(tmp_path: Path) -> None:
    model = nn.Sequential(*(nn.Linear(2, 2) for _ in range(300)))
    optimizer = sgd(model.parameters())
    recorder = Recorder(tmp_path / "model.pt", model, optimizer)
    loss = model(torch.ones(1, 2)).sum()
    loss.backward()
    optimizer.step()
    recorder.step(loss)
    recorder.close()
    (row,) = written(tmp_path)
    assert len(row["update_ratio"]) == len(row["activation_rms"]) == MOST
    assert {"0.weight", "299.weight"} <= row["update_ratio"].keys()


def test_of_a_large_weight_some_values_stand_for_all(monkeypatch: Any, tmp_path: Path) -> None:
    trained(recorded(tmp_path), epochs=1)
    whole = [row["update_ratio"]["0.weight"] for row in written(tmp_path)]
    monkeypatch.setattr(updates, "LARGEST", 40)
    trained(recorded(tmp_path), epochs=1)
    some = [row["update_ratio"]["0.weight"] for row in written(tmp_path)]
    assert some != whole
    assert some == pytest.approx(whole, rel=0.5)
    assert updates.part(torch.zeros(64, 64)).numel() <= 40


@pytest.mark.slow
def test_a_compiled_model_is_not_compiled_again(tmp_path: Path) -> None:
    counts: list[int] = []

    def run(make: Any) -> list[bytes]:
        torch._dynamo.reset()
        graphs: list[Any] = []

        def backend(graph: Any, _inputs: Any) -> Any:
            graphs.append(graph)
            return graph.forward

        found, _ = trained(make, build=lambda: torch.compile(mlp(), backend=backend))
        counts.append(len(graphs))
        return state(found)

    assert run(recorded(tmp_path, every=4)) == run(None)
    assert counts[0] == counts[1]
    first = written(tmp_path)[0]
    assert first["update_ratio"].keys() == {"0.weight", "3.weight"}
    assert "activation_rms" not in first


@pytest.mark.slow
def test_a_compiled_step_does_not_hold_on_to_what_watches(tmp_path: Path) -> None:
    def run(make: Any) -> list[bytes]:
        torch._dynamo.reset()
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 3))
        optimizer = sgd(model.parameters())
        recorder = make(model, optimizer, None)

        @torch.compile(backend="eager")
        def loss_of(inputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
            return functional.cross_entropy(model(inputs), target)

        for inputs, target in data(shuffle=False):
            optimizer.zero_grad()
            loss = loss_of(inputs, target)
            loss.backward()
            optimizer.step()
            if recorder is not None:
                recorder.step(loss)
        if recorder is not None:
            recorder.close()
        return state(model)

    assert run(recorded(tmp_path, every=2)) == run(lambda *_: None)
    assert written(tmp_path)[0]["grad_norm"] > 0


DISTRIBUTED = """
import os, sys, torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset
from auditor import Recorder

torch.set_num_threads(1)
torch.distributed.init_process_group("gloo")
rank = torch.distributed.get_rank()
data = TensorDataset(torch.randn(64, 4, generator=torch.Generator().manual_seed(0)),
                     torch.zeros(64, dtype=torch.long))
loader = DataLoader(data, 8, sampler=DistributedSampler(data))
torch.manual_seed(0)
model = DistributedDataParallel(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
recorder = Recorder("model.pt", model, optimizer, train=loader, every=2)
for inputs, target in loader:
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(model(inputs), target)
    loss.backward()
    optimizer.step()
    recorder.step(loss)
recorder.close()
torch.distributed.barrier()
torch.distributed.destroy_process_group()
"""


@pytest.mark.slow
def test_of_several_processes_the_first_records(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(DISTRIBUTED)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*command, "train.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    header, *found = lines(tmp_path / "model.audit.jsonl")
    assert [row["step"] for row in found] == [1, 2, 3, 4]
    assert header["settings"]["processes"] == 2
    assert header["data"]["train"]["examples"] == 64  # all of it, not this process's share
    assert found[0]["activation_rms"].keys() == {"0", "1", "2"}
    assert found[0]["update_ratio"].keys() == {"0.weight", "2.weight"}
