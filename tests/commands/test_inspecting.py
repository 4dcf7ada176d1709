"""audit inspect, as a shell runs it: what it shows, and what it refuses."""

import hashlib
import json
import os
import pty
import re
import resource
import subprocess
import sys
import time
import zlib
from pathlib import Path
from typing import Any

import pytest
import torch

from auditor.core.errors import InputError
from auditor.intake.checkpoint import open_checkpoint
from auditor.intake.inspection import inspected
from tests.checkpoints import HOSTILE, saved, small, training_checkpoint
from tests.commands.test_showing import run
from tests.subjects import REAL, ROOT


def told(path: Path, *options: str) -> dict[str, Any]:
    done = run("inspect", path, "--format", "json", *options)
    assert done.returncode == 0, done.stderr
    held: dict[str, Any] = json.loads(done.stdout, parse_constant=pytest.fail)
    return held


@pytest.fixture
def training(tmp_path: Path) -> Path:
    return saved(training_checkpoint(lr=0.1, momentum=0.9), tmp_path / "training.pt")


def test_people_see_weights_training_and_the_rest(training: Path) -> None:
    (training.parent / "config.json").write_text('{"width": 16}')
    done = run("inspect", training)
    assert done.returncode == 0, done.stderr
    for line in (
        f"torch zip, {training.stat().st_size:,} bytes",
        "Weights under model_state_dict",
        "195 parameters, buffers among them, in 4 tensors of float32; 780 bytes",
        "0.weight  16 x 8  float32",
        "SGD, 1 group",
        "momentum 0.9",
        "keeps momentum_buffer",
        "schedule: StepLR",
        "epochs: 12",
        "batch size: 64",
        "args.wandb_api_key: (hidden: looks like a secret)",
        "config.json",
    ):
        assert line in done.stdout, done.stdout
    assert "local-1234567890" not in done.stdout
    assert max(map(len, done.stdout.splitlines()[2:])) <= 80
    assert done.stderr == ""


def test_programs_are_told_the_same(training: Path) -> None:
    held = told(training)
    assert list(held) == [
        "schema_version", "path", "container", "bytes", "sha256", "files", "weights",
        "other_weights", "optimizers", "training", "extras", "beside", "classes", "notes",
    ]  # fmt: skip
    assert held["schema_version"] == 1
    assert held["weights"]["key"] == "model_state_dict"
    assert held["weights"]["tensors"][0] == {
        "name": "0.weight", "dtype": "float32", "shape": [16, 8], "bytes": 512,
    }  # fmt: skip
    (optimizer,) = held["optimizers"]
    assert optimizer["classes"] == ["SGD"]
    assert ["momentum", 0.9] in optimizer["settings"]
    assert {one["name"]: one["value"] for one in held["training"]}["epochs"] == 12
    assert held["extras"]["epoch"] == "12"
    assert "local-1234567890" not in json.dumps(held)
    (file,) = held["files"]
    assert file["sha256"] == held["sha256"]
    assert file["bytes"] == held["bytes"] == training.stat().st_size


def test_numbers_in_tensors_are_told(tmp_path: Path) -> None:
    held = {"model": small().state_dict(), "global_step": torch.tensor(70, dtype=torch.int16)}
    seen = told(saved(held, tmp_path / "steps.pt"))
    assert {one["name"]: one["value"] for one in seen["training"]}["steps"] == 70


def test_what_json_has_no_sign_for_is_text(tmp_path: Path) -> None:
    held = training_checkpoint(lr=0.1) | {"best": float("nan"), "worst": float("inf")}
    held["optimizer"]["param_groups"][0]["weight_decay"] = float("nan")
    seen = told(saved(held, tmp_path / "nan.pt"))
    assert (seen["extras"]["best"], seen["extras"]["worst"]) == ("nan", "inf")


def test_averaged_weights_stand_beside_the_raw_ones(tmp_path: Path) -> None:
    state = small().state_dict()
    path = saved({"state_dict": state, "state_dict_ema": state}, tmp_path / "ema.pt")
    seen = told(path)
    assert seen["weights"]["key"] == "state_dict"
    assert seen["other_weights"] == [
        {"key": "state_dict_ema", "averaged": True, "parameters": 195, "bytes": 780, "tensors": 4}
    ]
    assert told(path, "--key", "state_dict_ema")["weights"]["averaged"] is True
    assert "averaged weights under state_dict_ema" in " ".join(run("inspect", path).stdout.split())


def test_repeated_blocks_are_one_line_and_all_shows_each(tmp_path: Path) -> None:
    state = {f"layers.{i}.{part}": torch.zeros(4, 2) for i in range(200) for part in "qkv"}
    path = saved(state, tmp_path / "deep.pt")
    short, whole = run("inspect", path).stdout, run("inspect", path, "--all").stdout
    assert "layers.{0-199}.q  4 x 2  float32    200" in short
    assert len(short.splitlines()) < 15
    assert sum("layers." in line for line in whole.splitlines()) == 600


def test_many_tensors_that_differ_are_cut_short(tmp_path: Path) -> None:
    state = {f"part{i}.weight": torch.zeros(i + 1) for i in range(300)}
    shown = run("inspect", saved(state, tmp_path / "wide.pt")).stdout
    assert "260 more tensors with --all" in shown


def test_classes_that_it_asks_for_are_listed(tmp_path: Path) -> None:
    """The file itself is not trusted: the class is of no module that there is."""
    kind = type("Config", (), {"__module__": "their_code"})
    module = type(sys)("their_code")
    module.Config = kind  # type: ignore[attr-defined]
    sys.modules["their_code"] = module
    try:
        path = saved({"model": small().state_dict(), "config": kind()}, tmp_path / "own.pt")
    finally:
        del sys.modules["their_code"]
    assert "their_code.Config" in told(path)["classes"]
    assert "nothing was made of them" in run("inspect", path).stdout


@pytest.mark.parametrize("whole", [False, True])
def test_hostile_names_are_shown_as_text(whole: bool, tmp_path: Path) -> None:
    state = {name: torch.zeros(2, 2) for name in HOSTILE if "\udc80" not in name}
    held = {"we\x1b[2Jights": state, **dict.fromkeys(state, "hostile\x1b]0;title\x07")}
    path = saved(held, tmp_path / "hostile.pt")
    done = run("inspect", path, *(["--all"] if whole else []))
    assert done.returncode == 0, done.stderr
    assert all(char.isprintable() or char == "\n" for char in done.stdout)
    assert "\nforged" not in done.stdout
    assert "[bold red]markup[/]" in done.stdout
    held = told(path)
    assert all(char.isprintable() or char == "\n" for char in json.dumps(held, ensure_ascii=False))


@pytest.mark.parametrize(
    ("held", "key", "says"),
    [
        ({"a": small().state_dict(), "b": small().state_dict()}, None, "several state dicts: a, b"),
        ({"epoch": 3}, None, "no state dict (a dict of named tensors) in it; it has epoch"),
        (torch.zeros(3), None, "no state dict"),
        ({"model": small().state_dict()}, "modell", "did you mean 'model'?"),
        (b"", None, "empty"),
        (b"not a checkpoint", None, "not a checkpoint"),
        (b"PK\x03\x04", None, "damaged"),
        (b"\x80\x02.", None, "its pickle can't be read"),
    ],
)
def test_what_an_audit_refuses_is_refused_with_its_words(
    held: Any, key: str | None, says: str, tmp_path: Path
) -> None:
    path = tmp_path / "refused.pt"
    if isinstance(held, bytes):
        path.write_bytes(held)
    else:
        saved(held, path)
    with pytest.raises(InputError, match=re.escape(says)) as by_audit:
        open_checkpoint(path, key)
    with pytest.raises(InputError) as by_inspect:
        inspected(path, key)
    assert str(by_inspect.value) == str(by_audit.value)
    assert len(str(by_inspect.value).splitlines()) <= 5


@pytest.mark.slow
def test_a_refusal_is_exit_code_2(tmp_path: Path) -> None:
    held = {"generator": small().state_dict(), "discriminator": small().state_dict()}
    path = saved(held, tmp_path / "gan.pt")
    done, audit = run("inspect", path), run("run", path, "--quiet")
    assert (done.returncode, audit.returncode) == (2, 2)
    assert done.stderr == audit.stderr
    assert done.stdout == ""
    assert run("inspect", path, "--key", "generator").returncode == 0


def test_a_missing_one_is_refused(tmp_path: Path) -> None:
    done = run("inspect", tmp_path / "nowhere.pt")
    assert done.returncode == 2
    assert "does not exist" in done.stderr


def test_torch_is_not_imported(training: Path) -> None:
    code = (
        "import sys; from auditor.commands import inspecting\n"
        f"inspecting.inspect({str(training)!r}, None, False, inspecting.TableFormat.TEXT)\n"
        f"inspecting.init({str(training)!r}, out={str(training.parent / 'out')!r})\n"
        "assert 'torch' not in sys.modules and 'numpy' in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr


def on_terminal(path: Path, **variables: str) -> str:
    """Return what a terminal of 40 columns is sent."""
    ours, theirs = pty.openpty()
    environment = {k: v for k, v in os.environ.items() if k != "NO_COLOR"}
    environment |= {"PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "COLUMNS": "40", **variables}
    process = subprocess.Popen(
        [sys.executable, "-m", "auditor.cli", "inspect", path], stdout=theirs, env=environment
    )
    os.close(theirs)
    sent = b""
    while True:
        try:
            more = os.read(ours, 65_536)
        except OSError:
            break
        if not more:
            break
        sent += more
    os.close(ours)
    assert process.wait() == 0
    return sent.decode().replace("\r\n", "\n")


def test_a_narrow_terminal_and_one_without_colour(training: Path) -> None:
    coloured = on_terminal(training)
    assert "\x1b[1m" in coloured
    plain = on_terminal(training, NO_COLOR="1")
    assert "\x1b[3" not in plain
    bare = re.sub(r"\x1b\[[0-9]*m", "", plain)
    assert max(map(len, bare.splitlines())) <= 40
    assert "hidden: looks" in bare
    assert "\x1b" not in on_terminal(training, TERM="dumb")


@pytest.mark.alone
def test_it_takes_less_than_a_second_beyond_the_read(tmp_path: Path) -> None:
    state = {f"layers.{i}.weight": torch.zeros(1024, 1280) for i in range(20)}
    path = saved(state, tmp_path / "large.pt")
    start = time.process_time()
    data = path.read_bytes()
    zlib.crc32(data), hashlib.sha256(data)
    read = time.process_time() - start
    before = computed()
    assert run("inspect", path).returncode == 0
    assert computed() - before - read < 1


def computed() -> float:
    """Return the seconds that processors spent on processes which this one started."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.skipif(not REAL.is_dir(), reason="the public checkpoints are not here")
@pytest.mark.parametrize(
    ("name", "tensors", "parameters"),
    [
        ("cifar_torchvision.pt", 10, 62_006),
        ("titanic_model.pt", 6, 278),
        ("resnet20-12fca82f.th", 97, 271_098),
    ],
)
def test_public_checkpoints(name: str, tensors: int, parameters: int) -> None:
    seen = told(REAL / name)
    assert len(seen["weights"]["tensors"]) == tensors
    assert seen["weights"]["parameters"] == parameters
