"""The Recorder writes what training does, and training does not notice."""

import copy
import io
import math
import pickle
import random
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.modules import module as modules

from auditor import Recorder
from auditor.core.errors import InputError
from tests.recorder.runs import data, lines, mlp, rows, sgd, state, trained
from tests.subjects import ROOT


def randomness() -> tuple[Any, ...]:
    return random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist()


def unwatched(model: nn.Module, optimizer: Any) -> bool:
    """Tell whether no hook is left anywhere."""
    on_modules = any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    on_steps = optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks
    return not (on_modules or on_steps or modules._has_any_global_hook())


def test_three_lines_write_a_header_and_a_row_for_each_step(tmp_path: Path) -> None:
    trained(lambda m, o, loader: Recorder(tmp_path / "model.pt", m, o, train=loader))
    header, *written = lines(tmp_path / "model.audit.jsonl")
    assert header["auditor_recorder"] == 1
    assert header["environment"]["torch"] == str(torch.__version__)
    assert header["settings"]["optimizer"] == "SGD"
    assert header["settings"]["lr"] == 0.1
    assert header["settings"]["momentum"] == 0.9
    assert header["settings"]["batch_size"] == 16
    assert header["settings"]["seed"] == 0
    assert header["data"]["train"]["examples"] == 96
    assert header["data"]["train"]["complete"]
    assert sum(header["data"]["train"]["targets"]["counts"]) == 96
    steps = [row for row in written if "epoch" not in row]
    assert [row["step"] for row in steps] == [*range(1, 19)]
    assert all(row["train_loss"] > 0 and row["lr"] == 0.1 for row in steps)
    assert [(r["step"], r["epoch"], r["val_loss"]) for r in written if "epoch" in r] == [
        (6, 1, 0.5),
        (12, 2, 0.5),
        (18, 3, 0.5),
    ]
    assert "grad_norm" in steps[0]
    assert not any("grad_norm" in row for row in steps[1:])


def test_what_is_measured_is_what_a_naive_look_tells(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, (inputs, target) = mlp(), next(iter(data()))
    optimizer = sgd(model.parameters())
    recorder = Recorder(tmp_path / "model.pt", model, optimizer, every=1)
    for _ in range(3):
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        seen: dict[str, torch.Tensor] = {}
        hooks = [
            m.register_forward_hook(
                lambda _m, _a, out, n=n, seen=seen: seen.update({n: out.detach()})
            )
            for n, m in model.named_children()
        ]
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(inputs), target)
        loss.backward()
        norm = torch.cat([p.grad.flatten() for p in model.parameters()]).norm()
        optimizer.step()
        for hook in hooks:
            hook.remove()
        recorder.step(loss)
        recorder.close() if recorder.steps == 3 else recorder._live.rows.flush()
        row = rows(recorder.path)[-1]
        assert row["train_loss"] == pytest.approx(loss.item(), rel=1e-6)
        assert row["grad_norm"] == pytest.approx(norm.item(), rel=1e-5)
        for name in ("0.weight", "3.weight"):
            moved = (model.get_parameter(name) - before[name]).norm() / before[name].norm()
            assert row["update_ratio"][name] == pytest.approx(moved.item(), rel=1e-5)
        assert row["update_ratio"].keys() == {"0.weight", "3.weight"}
        for name, out in seen.items():
            rms = out.square().mean().sqrt().item()
            assert row["activation_rms"][name] == pytest.approx(rms, rel=1e-5)
        dead = (seen["1"] == 0).all(dim=0).float().mean().item()
        assert row["dead_share"] == {"1": pytest.approx(dead)}


ADAM = torch.optim.Adam


@pytest.mark.parametrize(
    "optimizers", [sgd, lambda p: ADAM(p, lr=1e-2), lambda p: ADAM(p, fused=True)]
)
def test_training_is_the_same_bit_for_bit(tmp_path: Path, optimizers: Any) -> None:
    plain, _ = trained(optimizers=optimizers)
    after = randomness()
    for every in (1, 4):
        recorded, optimizer = trained(
            lambda m, o, loader, every=every: Recorder(
                tmp_path / "model.pt", m, o, train=loader, val=data(), every=every, resume=False
            ),
            optimizers=optimizers,
        )
        assert state(recorded) == state(plain)
        assert randomness() == after
        assert unwatched(recorded, optimizer)


def test_between_steps_nothing_is_on_the_model(tmp_path: Path) -> None:
    model = mlp()
    optimizer = sgd(model.parameters())
    recorder = Recorder(tmp_path / "model.pt", model, optimizer, every=1)
    # The next step is watched: the model is saved, copied and evaluated all the same.
    torch.save(model, io.BytesIO())
    pickle.dumps(optimizer)
    twin = copy.deepcopy((model, optimizer, recorder))
    assert not any(m._forward_hooks for m in model.modules())
    assert not twin[1]._optimizer_step_pre_hooks
    twin[2].step(1.0)
    twin[2].epoch()
    twin[2].close()
    pickle.loads(pickle.dumps(recorder)).step(1.0)
    assert rows(recorder.path) == []
    model.eval()
    model(torch.randn(2, 8))
    recorder.step(torch.tensor(1.0))
    recorder.close()
    assert unwatched(model, optimizer)
    (row,) = rows(recorder.path)
    assert row == {"step": 1, "train_loss": 1, "lr": 0.1}  # no step of the optimizer was seen


def test_a_recorder_that_is_forgotten_leaves_no_hook_and_all_rows(tmp_path: Path) -> None:
    model = mlp()
    optimizer = sgd(model.parameters())
    recorder = Recorder(tmp_path / "model.pt", model, optimizer, every=2)
    for _ in range(3):
        recorder.step(1.0)
    del recorder
    assert unwatched(model, optimizer)
    assert len(rows(tmp_path / "model.audit.jsonl")) == 3


def test_a_run_that_is_killed_keeps_what_it_had(tmp_path: Path) -> None:
    program = (
        "import os, torch\n"
        "from auditor import Recorder\n"
        "model = torch.nn.Linear(2, 1)\n"
        "recorder = Recorder('model.pt', model, every=10)\n"
        "for step in range(25): recorder.step(1.0)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=False)
    assert len(rows(tmp_path / "model.audit.jsonl")) == 20


def test_a_program_that_ends_without_closing_keeps_all(tmp_path: Path) -> None:
    program = (
        "import torch\n"
        "from auditor import Recorder\n"
        "recorder = Recorder('model.pt', torch.nn.Linear(2, 1))\n"
        "for step in range(25): recorder.step(1.0)\n"
        "raise SystemExit(3)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=False)
    assert done.returncode == 3
    assert len(rows(tmp_path / "model.audit.jsonl")) == 25


def test_numbers_that_are_not_finite_have_words(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "model.pt", nn.Linear(2, 1))
    for loss in (math.nan, math.inf, torch.tensor(-math.inf)):
        recorder.step(loss)
    recorder.epoch(accuracy=np.float32(0.5), loss=torch.tensor(math.nan))
    recorder.close()
    written = rows(recorder.path)
    assert [row["train_loss"] for row in written[:3]] == ["NaN", "Infinity", "-Infinity"]
    assert written[3] == {"step": 3, "epoch": 1, "val_accuracy": 0.5, "val_loss": "NaN"}


def test_values_are_columns_of_a_split(tmp_path: Path) -> None:
    with Recorder(tmp_path / "model.pt", nn.Linear(2, 1)) as recorder:
        recorder.step(1.0, grad_norm=torch.tensor(3.0), accuracy=0.25)
        recorder.epoch(0.5, **{"test/f1": 0.75, "train_loss": 0.125})
    assert rows(recorder.path) == [
        {"step": 1, "train_loss": 1, "grad_norm": 3, "train_accuracy": 0.25},
        {"step": 1, "epoch": 0.5, "test_f1": 0.75, "train_loss": 0.125},
    ]


def test_long_runs_have_a_row_for_ten_steps(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "model.pt", nn.Linear(2, 1), every=5000)
    recorder.steps = 9_998
    for step in range(9_999, 10_031):
        recorder.step(float(step), accuracy=step)
    recorder.close()
    written = rows(recorder.path)
    assert [row["step"] for row in written] == [9_999, 10_000, 10_010, 10_020, 10_030]
    assert [row["train_loss"] for row in written[2:]] == [10_005.5, 10_015.5, 10_025.5]
    assert [row["train_accuracy"] for row in written[2:]] == [10_010, 10_020, 10_030]


def test_what_is_not_a_model_or_a_path_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"Recorder: model: a list, expected a torch\.nn\.Module"):
        Recorder(tmp_path / "model.pt", [])  # type: ignore[arg-type]
    with pytest.raises(InputError, match="Recorder: checkpoint: '', expected the path"):
        Recorder("", mlp())
    with pytest.raises(InputError, match="Recorder: optimizer: a dict, expected"):
        Recorder(tmp_path / "model.pt", mlp(), {})  # type: ignore[arg-type]
    with pytest.raises(InputError, match="Recorder: every: 0, expected 1 or more"):
        Recorder(tmp_path / "model.pt", mlp(), every=0)
    assert [*tmp_path.iterdir()] == []


def test_training_goes_on_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "no folder").write_text("")
    with pytest.warns(RuntimeWarning, match="nothing more is recorded in .*no folder"):
        recorder = Recorder(tmp_path / "no folder" / "model.pt", mlp())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        recorder.step(1.0)
        recorder.epoch(loss=1.0)
        recorder.close()


def test_training_goes_on_after_a_value_that_is_no_number(tmp_path: Path) -> None:
    model = mlp()
    optimizer = sgd(model.parameters())
    recorder = Recorder(tmp_path / "model.pt", model, optimizer)
    recorder.step(0.5)
    with pytest.warns(RuntimeWarning, match="nothing more is recorded .*could not convert"):
        recorder.step("a loss")
    recorder.step(0.5)
    recorder.close()
    assert unwatched(model, optimizer)
    assert len(rows(recorder.path)) == 1


def test_a_process_that_is_not_the_first_writes_nothing(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("RANK", "1")
    trained(lambda m, o, loader: Recorder(tmp_path / "model.pt", m, o, train=loader))
    assert [*tmp_path.iterdir()] == []


def test_the_package_brings_the_recorder_without_torch_before_it_is_asked_for() -> None:
    program = "import sys, auditor; assert 'torch' not in sys.modules; auditor.Recorder"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False)
    assert done.returncode == 0
