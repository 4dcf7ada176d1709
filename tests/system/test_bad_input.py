"""Whatever is handed in wrong ends in one clear message, exit code 2, and nothing written."""

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
import yaml
from torch import nn

from auditor import cli
from auditor.core.errors import InputError
from auditor.core.spec_file import read_spec
from auditor.intake.loading import load

MODEL = """
from torch import nn
number = 3
def build(width=8):
    return nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 3))
def broken():
    raise RuntimeError("no such width")
def nothing():
    return None
def lazy():
    return nn.Sequential(nn.LazyLinear(8), nn.Linear(8, 3))
"""

DATA = """
import torch
def batches(inputs=4, classes=3, count=6):
    generator = torch.Generator().manual_seed(0)
    return [
        (torch.randn(8, inputs, generator=generator), torch.arange(8) % classes)
        for _ in range(count)
    ]
"""

SPEC: dict[str, Any] = {
    "version": 1,
    "model": {"factory": "model:build", "checkpoint": "weights.pt"},
    "data": {"val": "data:batches"},
    "loss": "cross_entropy",
}

MOST_LINES = 5
OUT = "reports"


@dataclass(frozen=True)
class Bad:
    """One mistake: what differs from a good subject, and the words that its message must have."""

    id: str
    words: tuple[str, ...]
    spec: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str | bytes] = field(default_factory=dict)
    make: Callable[[Path], None] | None = None
    args: tuple[str, ...] = ()
    not_words: tuple[str, ...] = ()


def cases(*rows: Bad) -> pytest.MarkDecorator:
    assert len({row.id for row in rows}) == len(rows)
    return pytest.mark.parametrize("bad", [pytest.param(row, id=row.id) for row in rows])


def built(folder: Path, bad: Bad) -> Path:
    """Write the subject of a row into `folder` and return its spec's path."""
    values = json.loads(json.dumps(SPEC))
    for place, value in bad.spec.items():
        inner = values
        *outer, last = place.split("/")
        for name in outer:
            inner = inner.setdefault(name, {})
        inner[last] = value
    files: dict[str, str | bytes] = {
        "model.py": MODEL,
        "data.py": DATA,
        "audit.yaml": yaml.safe_dump(values),
        **bad.files,
    }
    for name, content in files.items():
        data = content.encode() if isinstance(content, str) else content
        (folder / name).write_bytes(data)
    torch.save(small().state_dict(), folder / "weights.pt")
    if bad.make is not None:
        bad.make(folder)
    return folder / "audit.yaml"


def small() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))


def has_all(message: str, bad: Bad) -> None:
    lowered = message.lower()
    for word in bad.words:
        assert word.lower() in lowered, f"{word!r} is not in:\n{message}"
    for word in bad.not_words:
        assert word.lower() not in lowered, f"{word!r} is in:\n{message}"
    assert "traceback" not in lowered
    lines = message.strip().splitlines()
    assert len(lines) <= MOST_LINES, message
    assert all(len(line) < 600 for line in lines), message


@pytest.fixture(autouse=True)
def imports_kept() -> Iterator[None]:
    path = list(sys.path)
    for name in ("model", "data", "bad"):
        sys.modules.pop(name, None)  # of a sample that an earlier test has brought in
    yield
    sys.path[:] = path
    for name in ("model", "data", "bad"):
        sys.modules.pop(name, None)


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    return tmp_path


def snapshot(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
        if "__pycache__" not in path.parts
    }


def refused(
    argv: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    """Run the command line in this process; return what it said with exit code 2."""
    monkeypatch.setattr(sys, "argv", ["audit", *argv])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    out, err = capsys.readouterr()
    assert ended.value.code == 2, f"exit code {ended.value.code}\n{out}\n{err}"
    assert out == ""
    return err


# --- the spec -------------------------------------------------------------------------------


def text(id: str, content: str | bytes, *words: str) -> Bad:
    return Bad(id, ("audit.yaml", *words), files={"audit.yaml": content})


def key(id: str, place: str, value: Any, *words: str) -> Bad:
    return Bad(id, words, spec={place: value})


@cases(
    Bad("missing", ("none.yaml", "does not exist"), args=("none.yaml",)),
    Bad("folder without spec", ("empty", "audit.yaml"), args=("empty",)),
    Bad("no target", ("nothing to audit", "audit.yaml", "--model"), args=("",)),
    Bad("no such target", ("nowhere", "no such"), args=("nowhere",)),
    Bad(
        "spec is a folder",
        ("audit.yaml", "folder"),
        args=("sub/audit.yaml",),
        make=lambda f: (f / "sub/audit.yaml").mkdir(parents=True),
    ),
    text("not UTF-8", b"name: \xff\xfe\n", "UTF-8"),
    text("control characters", b"name: \x07\n", "YAML"),
    text("empty", "", "mapping", "empty"),
    text("a list", "- 1\n- 2\n", "mapping", "list"),
    text("a string", "hello\n", "mapping"),
    text("invalid YAML", "model: [1, 2\ndata: }\n", "YAML", "line 2"),
    text("tabs", "model:\n\tfactory: x\n", "YAML", "line 2"),
    text("two documents", "version: 1\n---\nversion: 1\n", "YAML", "line 2"),
    text("duplicate key", "version: 1\nloss: a\nloss: b\n", "'loss'", "twice", "line 3"),
    text("inner duplicate", "model: {key: a, key: b}\n", "'key'", "twice", "line 1"),
    text("alias", "model: &m {key: a}\ndata: *m\n", "alias", "line 2"),
    text("merge key", "model:\n  <<: {key: a}\n", "YAML", "line 2"),
    text("python tag", "name: !!python/object/apply:os.system ['true']\n", "YAML", "line 1"),
    text("binary", "model: {args: {a: !!binary '//79'}}\n", "YAML", "line 1"),
    text("list as key", "? [a, b]\n: c\n", "YAML", "line 1"),
    text("number as key", "version: 1\n3: c\n", "unknown key '3'"),
    text("deep", "a: " + "[" * 3000 + "]" * 3000 + "\n", "YAML"),
    text("large", "a: " + "b" * (1 << 20) + "\n", "bytes"),
    text("long integer", "version: " + "9" * 5000 + "\n", "YAML"),
    key("unknown key", "modle", {}, "modle", "did you mean 'model'"),
    key("base is no key", "base", "/", "unknown key 'base'"),
    key("unknown in model", "model/checkpiont", "a", "model.checkpiont", "'checkpoint'"),
    key("unknown in data", "data/validation", "a", "data.validation", "val"),
    key("unknown in training", "training/batchsize", 3, "training.batchsize", "'batch_size'"),
    key("unknown in audit", "audit/profil", "deep", "audit.profil", "'profile'"),
    key("unknown in checks", "audit/checks/onyl", [], "audit.checks.onyl", "'only'"),
    key(
        "unknown in limit",
        "audit/limits/dead-units",
        {"worst_dead_share": {"wran": 1}},
        "wran",
        "did you mean 'warn'",
    ),
    key("unknown in waiver", "audit/waive", [{"chek": "a", "reason": "b"}], "chek", "'check'"),
    key("unknown in output", "output/format", ["pdf"], "output.format", "'formats'"),
    key("version 2", "version", 2, "version", "1", "2"),
    key("version text", "version", "one", "version", "1"),
    key("name number", "name", 3, "name", "string", "3"),
    key("model text", "model", "model:build", "model", "mapping", "model:build"),
    key("factory number", "model/factory", 3, "model.factory", "string", "3"),
    key("args list", "model/args", [1], "model.args", "mapping"),
    key("loss number", "loss", 3, "loss: ", "string", "3"),
    key("loss number in terms", "loss", {"a": 3}, "loss.a: ", "string", "3"),
    key("no loss terms", "loss", {}, "loss", "at least 1"),
    key("task unknown", "task", "multi", "task", "multiclass"),
    key("seed text", "audit/seed", "abc", "audit.seed", "integer", "abc"),
    key("seed negative", "audit/seed", -1, "audit.seed", "0"),
    key("profile unknown", "audit/profile", "fast", "audit.profile", "quick", "fast"),
    key("time limit zero", "audit/time_limit", 0, "audit.time_limit", "greater"),
    key("time limit infinite", "audit/time_limit", float("inf"), "audit.time_limit", "finite"),
    key("lr negative", "training/optimizer", {"name": "SGD", "lr": -1}, "optimizer.lr", "greater"),
    key("lr infinite", "training/optimizer", {"name": "SGD", "lr": float("inf")}, "finite"),
    key("lr missing", "training/optimizer", {"name": "SGD"}, "training.optimizer.lr", "missing"),
    key("optimizer text", "training/optimizer", "SGD", "training.optimizer", "mapping", "name"),
    key("format unknown", "output/formats", ["docx"], "output.formats", "pdf", "docx"),
    key("formats none", "output/formats", [], "output.formats", "at least 1"),
    key("claims text", "claims", {"accuracy": "high"}, "claims.accuracy", "number", "high"),
    key("claims NaN", "claims", {"accuracy": float("nan")}, "claims.accuracy", "finite"),
    key("claims infinite", "claims", {"loss": float("inf")}, "claims.loss", "finite"),
    key("claims many", "claims", {f"m{n}": 0.5 for n in range(41)}, "claims", "40"),
    key("waiver date", "audit/waive", [{"check": "a", "reason": "b", "until": "soon"}], "until"),
    key("many", "model", dict.fromkeys("abcdefgh", 1), "model.a", "more"),
    Bad("flag unknown", ("--modle",), args=("--modle", "x")),
    Bad(
        "flag lr alone",
        ("--lr: needs --optimizer", "training.optimizer.name is missing"),
        args=(".", "--lr", "0.1"),
    ),
    Bad("flag optimizer alone", ("--optimizer: needs --lr",), args=(".", "--optimizer", "SGD")),
    Bad("flag lr", ("--lr: ", "greater"), args=(".", "--optimizer", "SGD", "--lr", "-1")),
    Bad("flag task", ("--task: ", "multiclass", "not 'multi'"), args=(".", "--task", "multi")),
    Bad("flag profile", ("--profile", "fast", "quick"), args=(".", "--profile", "fast")),
    Bad("flag seed", ("--seed", "integer"), args=(".", "--seed", "abc")),
    Bad("flag format", ("--format: ", "docx", "pdf"), args=(".", "--format", "docx")),
    Bad("flag device", ("--device: ", "sun"), args=(".", "--device", "sun")),
    Bad("flag time limit", ("--time-limit: ", "greater"), args=(".", "--time-limit", "-1")),
    Bad("flag seed negative", ("--seed: ", "-1"), args=(".", "--seed", "-1")),
    key("check unknown", "audit/checks/only", ["dead-unit"], "dead-unit", "'dead-units'"),
    key("skip unknown", "audit/checks/skip", ["Dead_Units"], "Dead_Units", "'dead-units'"),
    key(
        "nothing left", "audit/checks", {"only": ["dead-units"], "skip": ["dead-units"]}, "no check"
    ),
    key("only nothing", "audit/checks/only", [], "no check", "audit.checks.only"),
    key("limits unknown", "audit/limits", {"dead-unit": {"a": {"warn": 1}}}, "'dead-units'"),
    key(
        "limit unknown",
        "audit/limits",
        {"dead-units": {"worst_dead_shar": {"warn": 1}}},
        "dead-units",
        "'worst_dead_share'",
    ),
    key(
        "limit crossed",
        "audit/limits",
        {"dead-units": {"worst_dead_share": {"warn": 0.9, "fail": 0.1}}},
        "dead-units",
        "worst_dead_share",
        "0.9",
    ),
    Bad("only flag", ("dead-unit", "'dead-units'"), args=(".", "--only", "dead-unit")),
    Bad("skip flag", ("dead-unit", "'dead-units'"), args=(".", "--skip", "dead-unit")),
    Bad(
        "home unknown",
        ("--checkpoint", "~nobody-here", "home"),
        args=(".", "--checkpoint", "~nobody-here/x.pt"),
    ),
    Bad("out is a file", ("model.py", "folder"), args=(".", "--out", "model.py")),
    Bad("out below a file", ("model.py",), args=(".", "--out", "model.py/x")),
    Bad("out in proc", ("/proc/x",), args=(".", "--out", "/proc/x/y")),
)
def test_spec_and_flags(
    bad: Bad,
    workspace: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    built(workspace, bad)
    (workspace / "empty").mkdir()
    before = snapshot(workspace)
    if bad.id == "no target":
        monkeypatch.chdir(workspace / "empty")
    args = [arg for arg in bad.args or (".",) if arg]
    if "--out" not in args:
        args += ["--out", OUT]
    monkeypatch.setattr("auditor.engine.supervisor.WorkerProcess", InProcess)
    has_all(refused(["run", *args], monkeypatch, capsys), bad)
    assert snapshot(workspace) == before


class InProcess:
    """Stands in for the worker up to the point where the subject is brought in."""

    gone = False

    def __init__(self, spec: Any, folder: Path, earlier: Any = None) -> None:
        self._spec = spec

    def load(self, limit: float) -> Any:
        load(self._spec)
        raise AssertionError("the subject was not refused")

    def kill(self) -> None:
        self.gone = True


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_out_read_only(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    built(workspace, Bad("", ()))
    locked = workspace / "locked"
    locked.mkdir(mode=0o500)
    said = refused(["run", ".", "--out", "locked/reports"], monkeypatch, capsys)
    assert "locked" in said


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read anything")
def test_spec_unreadable(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    built(workspace, Bad("", ())).chmod(0)
    assert "can't be read" in refused(["run", "."], monkeypatch, capsys)


def test_numbers_in_scientific_notation_are_numbers(workspace: Path) -> None:
    settings = "{name: SGD, lr: 1e-3, weight_decay: 5e-4, momentum: .9}"
    spec = f"version: 1\ntraining: {{optimizer: {settings}}}\n"
    (workspace / "audit.yaml").write_text(spec)
    optimizer = read_spec(workspace / "audit.yaml").training.optimizer
    assert optimizer is not None
    assert optimizer.arguments() == {"lr": 1e-3, "weight_decay": 5e-4, "momentum": 0.9}


# --- the model ------------------------------------------------------------------------------


def factory(id: str, reference: str, *words: str, code: str = "") -> Bad:
    words = ("model.factory", *words)
    return Bad(id, words, spec={"model/factory": reference}, files={"bad.py": code})


MODELS = (
    factory("no colon", "model", "'model'", "module:callable"),
    factory("no name", "model:", "'model:'", "module:callable"),
    factory("no module", ":build", "':build'", "module:callable"),
    factory("relative", ".model:build", "'.model:build'", "module:callable"),
    factory("file name", "model.py:build", "did you mean 'model:build'"),
    factory("path", "sub/model.py:build", "sub/model.py", "module:callable"),
    factory("module not found", "modle:build", "no module 'modle'", "beside"),
    factory("module in package", "json.nothing:build", "no module 'json.nothing'"),
    factory("needs a module", "bad:build", "'bad'", "nowhere_to_be", code="import nowhere_to_be"),
    factory("import raises", "bad:build", "bad.py, line 2", "ZeroDivisionError", code="\n1 / 0"),
    factory("syntax error", "bad:build", "SyntaxError", "bad.py, line 1", code="def build(:"),
    factory("import exits", "bad:build", "'bad'", "SystemExit", code="raise SystemExit(1)"),
    factory("name not there", "model:biuld", "no 'biuld'", "did you mean 'build'"),
    factory("not callable", "model:number", "an int", "callable"),
    factory("raises", "model:broken", "model.py, line", "RuntimeError: no such width"),
    factory("exits", "bad:build", "SystemExit", code="def build(): raise SystemExit(1)"),
    factory("no module made", "model:nothing", "NoneType", "torch.nn.Module"),
    factory(
        "class, not object",
        "bad:build",
        "type",
        code="from torch.nn import Linear\ndef build(): return Linear",
    ),
    factory("lazy", "model:lazy", "lazy", "'0'", "batch"),
    Bad("unknown argument", ("model.args", "'widht'", "width"), spec={"model/args": {"widht": 3}}),
    Bad(
        "missing argument",
        ("model.args", "'wide'"),
        spec={"model/factory": "bad:build"},
        files={"bad.py": "def build(wide): return wide"},
    ),
    Bad("nothing named", ("nothing to audit", "checkpoint"), spec={"model": {}}),
)


@cases(*MODELS)
def test_model(bad: Bad, workspace: Path) -> None:
    refused_by_load(bad, workspace)


def refused_by_load(bad: Bad, folder: Path) -> None:
    spec = read_spec(built(folder, bad))
    before = snapshot(folder)
    with pytest.raises(InputError) as refusal:
        load(spec)
    has_all(str(refusal.value), bad)
    assert snapshot(folder) == before


# --- the checkpoint -------------------------------------------------------------------------


class Payload:
    """Unpickling this runs a command."""

    def __init__(self, function: Any, *args: Any) -> None:
        self._made = function, args

    def __reduce__(self) -> Any:
        return self._made


class Stranger:
    """A class that is no tensor."""


def saved(what: Callable[[], Any], **kwargs: Any) -> Callable[[Path], None]:
    return lambda folder: torch.save(what(), folder / "weights.pt", **kwargs)


def cut(share: float, save: Callable[[Path], None]) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        save(folder)
        path = folder / "weights.pt"
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * share)])

    return make


def evil(function: Any, *args: Any, **kwargs: Any) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        held = {"state_dict": small().state_dict(), "extra": Payload(function, *args)}
        torch.save(held, folder / "weights.pt", **kwargs)

    return make


def replaced(data: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / "weights.pt").write_bytes(data) and None


def safe(folder: Path) -> None:
    safetensors.torch.save_file(small().state_dict(), folder / "weights.pt")


def flipped(folder: Path) -> None:
    path = folder / "weights.pt"
    data = bytearray(path.read_bytes())
    place = data.find(small_bytes(data))
    data[place] ^= 0xFF
    path.write_bytes(bytes(data))


def small_bytes(data: bytearray) -> bytes:
    return bytes(data[len(data) // 2 : len(data) // 2 + 16])


def as_folder(folder: Path) -> None:
    (folder / "weights.pt").unlink()
    (folder / "weights.pt").mkdir()


def as_npz(folder: Path) -> None:
    with (folder / "weights.pt").open("wb") as file:
        np.savez(file, a=np.zeros(3))


def scripted(folder: Path) -> None:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(small()), folder / "weights.pt")


def pickled(value: Any, protocol: int) -> Callable[[Path], None]:
    return lambda f: (f / "weights.pt").write_bytes(pickle.dumps(value, protocol)) and None


def renamed(change: Callable[[str], str]) -> Callable[[Path], None]:
    return saved(lambda: {change(name): value for name, value in small().state_dict().items()})


def without(*names: str) -> Callable[[Path], None]:
    return saved(lambda: {n: v for n, v in small().state_dict().items() if n not in names})


def checkpoint(id: str, make: Callable[[Path], None], *words: str, **more: Any) -> Bad:
    return Bad(id, ("weights.pt", *words), make=make, **more)


LEGACY = {"_use_new_zipfile_serialization": False}
TOUCH = "touch pwned"
OPEN = "open('pwned', 'w').close()"
TWO = {"generator": small().state_dict(), "critic": small().state_dict()}

CHECKPOINTS = (
    checkpoint("missing", lambda f: (f / "weights.pt").unlink(), "does not exist"),
    checkpoint("folder", as_folder, "a folder", "file"),
    checkpoint("empty", replaced(b""), "empty"),
    checkpoint("zip cut", cut(0.5, lambda f: None), "truncated"),
    checkpoint("zip cut early", cut(0.05, lambda f: None), "truncated"),
    checkpoint("zip flipped", flipped, "damaged"),
    checkpoint("legacy cut", cut(0.6, saved(lambda: small().state_dict(), **LEGACY)), "truncated"),
    checkpoint(
        "legacy cut early", cut(0.1, saved(lambda: small().state_dict(), **LEGACY)), "damaged"
    ),
    checkpoint("safetensors cut", cut(0.6, safe), "safetensors", "truncated"),
    checkpoint("safetensors header cut", cut(0.2, safe), "safetensors", "truncated"),
    checkpoint("text", replaced(b"hello, this is no checkpoint\n"), "not a checkpoint", "hello"),
    checkpoint("text with brace", replaced(b"12345678{ is no header"), "not a checkpoint"),
    checkpoint("short", replaced(b"\x80"), "damaged"),
    checkpoint("png", replaced(b"\x89PNG\r\n\x1a\n" + bytes(100)), "not a checkpoint", "PNG"),
    checkpoint("html", replaced(b"<!DOCTYPE html><html>"), "a web page", "download"),
    checkpoint("npz", as_npz, "not a checkpoint", "NumPy", "numpy.load"),
    checkpoint("torchscript", scripted, "TorchScript", "state_dict"),
    checkpoint(
        "git lfs",
        replaced(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n"),
        "git lfs pull",
    ),
    checkpoint("os.system", evil(os.system, TOUCH), "system", "nothing of it was run"),
    checkpoint("os.system, legacy", evil(os.system, TOUCH, **LEGACY), "system", "run"),
    checkpoint("eval", evil(eval, OPEN), "eval", "nothing of it was run"),
    checkpoint("eval, legacy", evil(eval, OPEN, **LEGACY), "eval", "nothing of it was run"),
    checkpoint("a class", saved(lambda: {"a": Stranger()}), "Stranger", "no state dict"),
    checkpoint("a class, legacy", saved(lambda: {"a": Stranger()}, **LEGACY), "Stranger"),
    checkpoint("plain pickle, 2", pickled(Payload(os.system, TOUCH), 2), "system", "run"),
    checkpoint("plain pickle, 4", pickled(Payload(os.system, TOUCH), 4), "system", "run"),
    checkpoint(
        "memoized names",
        pickled([Payload(os.system, TOUCH), Payload(os.listdir, "."), Payload(os.system, "")], 4),
        "system",
        "listdir",
    ),
    checkpoint("plain pickle, 0", pickled(Payload(os.system, TOUCH), 0), "not a checkpoint"),
    checkpoint("pickled arrays", pickled({"a": np.zeros(3)}, 4), "numpy"),
    checkpoint("pickled values", pickled({"a": [1, 2]}, 4), "not a checkpoint"),
    checkpoint("another whole module", saved(lambda: nn.Linear(4, 8)), "missing", "0.weight"),
    checkpoint("a tensor", saved(lambda: torch.zeros(3)), "Tensor", "state dict"),
    checkpoint("a list", saved(lambda: [torch.zeros(3)]), "list", "state dict"),
    checkpoint("nothing", saved(dict), "no state dict", "empty"),
    checkpoint("no tensors", saved(lambda: {"epoch": 3}), "no state dict", "epoch"),
    checkpoint("two state dicts", saved(lambda: TWO), "generator", "critic", "key"),
    checkpoint(
        "wrong key",
        saved(lambda: TWO),
        "model.key",
        "'generatr'",
        "did you mean 'generator'",
        spec={"model/key": "generatr"},
    ),
    checkpoint(
        "wrong inner key",
        saved(lambda: TWO),
        "model.key",
        "'generator.net'",
        spec={"model/key": "generator.net"},
    ),
    checkpoint(
        "key of no state dict",
        saved(lambda: {"epoch": 3, "net": small().state_dict()}),
        "model.key",
        "'epoch'",
        spec={"model/key": "epoch"},
    ),
    checkpoint("missing name", without("2.bias"), "missing", "2.bias", "(1)"),
    checkpoint(
        "unexpected name",
        saved(lambda: {**small().state_dict(), "9.weight": torch.zeros(1)}),
        "not in the model (1)",
        "9.weight",
    ),
    checkpoint(
        "other names",
        renamed(lambda n: f"backbone.{n}".replace("2.bias", "2.offset")),
        "missing",
        "(4)",
        "'backbone.'",
    ),
    checkpoint(
        "module on the model's side",
        lambda f: None,
        "'module.'",
        "the model's names begin",
        spec={"model/factory": "bad:build"},
        files={
            "bad.py": "from torch import nn\nimport model\n"
            "class Wrapped(nn.Module):\n"
            "    def __init__(self):\n"
            "        super().__init__()\n"
            "        self.module = model.build()\n"
            "def build(): return Wrapped()\n"
        },
    ),
    checkpoint(
        "module and another",
        saved(
            lambda: {
                **{f"module.{n}": v for n, v in small().state_dict().items()},
                "x": torch.ones(1),
            }
        ),
        "not in the model",
        "module.",
    ),
    checkpoint(
        "other width",
        lambda f: None,
        "another shape (3)",
        "8x4",
        "16x4",
        "model: args",
        spec={"model/args": {"width": 16}},
    ),
    checkpoint(
        "sparse weights",
        saved(lambda: {n: v.to_sparse() for n, v in small().state_dict().items()}),
        "0.weight",
        "is sparse",
        "to_dense()",
    ),
    checkpoint(
        "weights without values",
        saved(lambda: {n: v.to("meta") for n, v in small().state_dict().items()}),
        "without values",
        "meta",
        "0.weight",
    ),
    checkpoint(
        "hostile names",
        renamed(lambda n: f"\x1b[31m{n}\n\n\n\n\n\n\n\n"),
        "x1b",
        not_words=("\x1b",),
    ),
)


@cases(*CHECKPOINTS)
def test_checkpoint(bad: Bad, workspace: Path) -> None:
    refused_by_load(bad, workspace)


def training_log(id: str, content: str | bytes | None, *words: str) -> Bad:
    return Bad(
        id,
        ("training.log", "run.csv", *words),
        spec={"training/log": "run.csv"},
        files={} if content is None else {"run.csv": content},
    )


LOGS = (
    training_log("no log", None, "does not exist", "expected a CSV table"),
    training_log("log empty", "", "it is empty", "expected a CSV table"),
    training_log("log of bytes", b"\x00\xff" * 99, "no text"),
    training_log("log of nothing", "a,b\n1,2\n", "none of its columns", "a, b", "`train_loss`"),
    training_log("log without rows", "step,loss\n", "no row of numbers"),
    training_log("log of no JSON", "[" * 9999, "neither JSON nor JSON lines"),
)


@cases(*LOGS)
def test_log(bad: Bad, workspace: Path) -> None:
    refused_by_load(bad, workspace)
    assert not (workspace / "pwned").exists()


def test_a_common_prefix_is_taken_off(workspace: Path) -> None:
    """What only a wrapper added is no mistake."""
    for prefix in ("module.", "_orig_mod.module.", "model."):
        bad = Bad("", (), make=renamed(lambda name, prefix=prefix: prefix + name))
        subject = load(read_spec(built(workspace, bad)))
        assert any(prefix in warning for warning in subject.facts.warnings)


# --- data -----------------------------------------------------------------------------------

HEAD = "import torch\nfrom data import batches\n"


def loader(id: str, code: str, *words: str, **more: Any) -> Bad:
    spec = {"data/val": "bad:loader", **more.pop("spec", {})}
    return Bad(id, ("data.val", *words), spec=spec, files={"bad.py": HEAD + code}, **more)


def batch(id: str, made: str, *words: str, **more: Any) -> Bad:
    return loader(id, f"def loader(): return [{made}] * 3\n", *words, **more)


def adapter(id: str, code: str, *words: str, **more: Any) -> Bad:
    spec = {"data/batch": "bad:adapt", **more.pop("spec", {})}
    words = ("data.batch", *words)
    return Bad(id, words, spec=spec, files={"bad.py": HEAD + code}, **more)


X = "torch.zeros(8, 4)"
Y = "torch.zeros(8, dtype=torch.long)"
LATER = "b = batches()\n    b[3][1][5] = {label}\n    return b\n"

DATA_ROWS = (
    loader(
        "raises", "def loader(): raise OSError('no such disk')\n", "bad.py, line 3", "no such disk"
    ),
    Bad(
        "needs arguments",
        ("data.args", "loader()", "'root'"),
        spec={"data/val": "bad:loader"},
        files={"bad.py": "def loader(root): return 1\n"},
    ),
    Bad(
        "unknown argument", ("data.args", "'clases'", "classes"), spec={"data/args": {"clases": 3}}
    ),
    loader("empty", "def loader(): return []\n", "empty"),
    loader("none", "def loader(): return None\n", "NoneType", "DataLoader"),
    loader("number", "def loader(): return 3\n", "int", "DataLoader"),
    loader(
        "endless",
        "class L:\n    def __iter__(self):\n        while True: yield batches(count=1)[0]\n"
        "def loader(): return L()\n",
        "does not end",
        "10,000",
    ),
    loader("generator", "def loader():\n    yield from batches()\n", "generator", "only once"),
    loader("iterator", "def loader(): return iter(batches())\n", "iterator", "only once"),
    loader("map", "def loader(): return map(tuple, batches())\n", "map", "only once"),
    loader(
        "second pass empty",
        "class L:\n    def __init__(self): self.g = iter(batches())\n"
        "    def __iter__(self): return self.g\n"
        "def loader(): return L()\n",
        "second pass",
        "__iter__",
    ),
    loader(
        "iter raises",
        "class L:\n    def __iter__(self): raise OSError('gone')\ndef loader(): return L()\n",
        "bad.py, line 4",
        "OSError: gone",
    ),
    loader(
        "raises midway",
        "class L:\n    def __iter__(self):\n        yield batches()[0]\n"
        "        raise OSError('gone')\n"
        "def loader(): return L()\n",
        "bad.py, line 6",
        "OSError: gone",
    ),
    loader(
        "raises late",
        "class L:\n    def __iter__(self):\n        yield from batches(count=70)\n"
        "        raise OSError('gone')\ndef loader(): return L()\n",
        "bad.py, line 6",
        "OSError: gone",
    ),
    loader(
        "len raises",
        "class L:\n    def __len__(self): raise OSError('gone')\n"
        "    def __iter__(self): return iter(batches())\ndef loader(): return L()\n",
        "OSError: gone",
    ),
    loader(
        "dataset, not loader",
        "from torch.utils.data import TensorDataset\n"
        f"def loader(): return TensorDataset({X}, {Y})\n",
        "TensorDataset",
        "DataLoader",
    ),
    batch("three", f"({X}, {Y}, {Y})", "float32[8, 4]", "batch: ", "def adapt"),
    batch("bare tensor", X, "float32[8, 4]", "its own target"),
    batch(
        "two targets",
        f"{{'x': {X}, 'y': {Y}, 'label': {Y}}}",
        "y: int64[8]",
        "label: int64[8]",
        "def adapt",
    ),
    batch("no target", f"{{'x': {X}}}", "float32[8, 4]", "its own target"),
    batch("target only", f"{{'y': {Y}}}", "y: int64[8]", "def adapt"),
    batch("strings", "'hello'", "str", "data: {batch: data:adapt}"),
    batch("pair of strings", "('a', 'b')", "str", "data: {batch: data:adapt}"),
    batch("one", f"({X},)", "float32[8, 4]", "its own target"),
    batch("no examples", "(torch.zeros(0, 4), torch.zeros(0, dtype=torch.long))", "no examples"),
    batch("scalar input", f"(torch.tensor(3.), {Y})", "model can't take", "float32[]"),
    adapter("adapter not there", "", "no 'adapt'"),
    adapter(
        "adapter raises",
        "def adapt(b): return b.x\n",
        "bad.py, line 3",
        "AttributeError",
        "float32[8, 4]",
    ),
    adapter("adapter none", "def adapt(b): return None\n", "NoneType", "(inputs, target)"),
    adapter("adapter three", "def adapt(b): return 1, 2, 3\n", "tuple", "(inputs, target)"),
    adapter("adapter no tensors", "def adapt(b): return 'a', 'b'\n", "str", "tensor"),
    adapter("adapter needs two", "def adapt(a, b): return a, b\n", "TypeError"),
    batch(
        "too wide",
        f"(torch.zeros(8, 5), {Y})",
        "model can't take",
        "float32[8, 5]",
        "mat1",
        "layer '0' (Linear)",
    ),
    batch("double", f"({X}.double(), {Y})", "model can't take", "float64[8, 4]"),
    batch(
        "named inputs",
        f"{{'a': {X}, 'b': {X}, 'y': {Y}}}",
        "model can't take",
        "a: float32[8, 4]",
    ),
    loader(
        "label too large",
        "def loader(): return batches(classes=5)\n",
        "label 3",
        "0 to 2",
        "batch 0",
    ),
    loader(
        "label later", f"def loader():\n    {LATER.format(label=7)}", "label 7", "batch 3", "0 to 2"
    ),
    loader(
        "label negative",
        f"def loader():\n    {LATER.format(label=-1)}",
        "label -1",
        "batch 3",
        "-100",
    ),
    loader(
        "binary labels",
        "def loader():\n"
        "    return [(x, (y % 2 * 2. - 1)[:, None].expand(-1, 3)) for x, y in batches()]\n",
        "-1",
        "from 0 to 1",
        spec={"loss": "binary_cross_entropy"},
    ),
)


@cases(*DATA_ROWS)
def test_data(bad: Bad, workspace: Path) -> None:
    refused_by_load(bad, workspace)


def test_ignored_labels_are_allowed(workspace: Path) -> None:
    bad = loader("ignored", f"def loader():\n    {LATER.format(label=-100)}")
    assert load(read_spec(built(workspace, bad))).facts.task == "multiclass"


# --- loss, optimizer, device ----------------------------------------------------------------


def loss(id: str, reference: Any, *words: str, code: str = "", **more: Any) -> Bad:
    spec = {"loss": reference, **more.pop("spec", {})}
    return Bad(id, ("loss", *words), spec=spec, files={"bad.py": HEAD + code}, **more)


def own(id: str, body: str, *words: str) -> Bad:
    return loss(id, "bad:own", "bad:own", *words, code=f"def own(o, t): {body}\n")


def optimizer(id: str, settings: dict[str, Any], *words: str) -> Bad:
    words = ("training.optimizer", *words)
    return Bad(id, words, spec={"training/optimizer": settings})


LOSSES = (
    loss("unknown", "cross_entorpy", "'cross_entorpy'", "did you mean 'cross_entropy'"),
    loss("unknown, far", "mine", "'mine'", "module:callable"),
    loss("unknown class", "CrossEntropyLoss", "did you mean 'cross_entropy'"),
    loss("unknown term", {"a": "cross_entorpy"}, "loss.a", "did you mean 'cross_entropy'"),
    loss("not there", "bad:nothing", "no 'nothing'"),
    loss("not callable", "model:number", "callable"),
    loss(
        "class with arguments",
        "bad:Own",
        "bad:Own",
        "'w'",
        code="class Own(torch.nn.Module):\n    def __init__(self, w): super().__init__()\n",
    ),
    own("vector", "return (o ** 2).mean(1)", "float32[8]", "scalar", ".mean()"),
    own("none", "return None", "NoneType", "scalar"),
    own("float", "return 3.0", "float", "tensor"),
    own(
        "raises",
        "return o.nothing",
        "AttributeError",
        "float32[8, 3]",
        "int64[8]",
        "bad.py, line 3",
    ),
    own("int", "return 1", "int", "tensor"),
    loss("one argument", "bad:own", "TypeError", code="def own(o): return o\n"),
    loss(
        "raises in a term",
        {"a": "bad:own"},
        "loss.a",
        "AttributeError",
        code="def own(o, t): return o.x\n",
        not_words=("InputError",),
    ),
    loss("in a term", {"a": "mse_loss"}, "loss.a", "one shape", not_words=("InputError",)),
    loss(
        "string targets",
        "cross_entropy",
        "target",
        "a str",
        spec={"data/val": "bad:loader"},
        code=f"def loader(): return [({X}, ['a'] * 8)]\n",
    ),
    loss("shapes", "mse_loss", "mse_loss", "float32[8, 3]", "int64[8]"),
    loss(
        "classes as floats",
        "cross_entropy",
        "cross_entropy",
        "float32[8]",
        spec={"data/val": "bad:loader"},
        code="def loader(): return [(x, y.float()) for x, y in batches()]\n",
    ),
    optimizer("unknown optimizer", {"name": "Adamm", "lr": 0.1}, "'Adamm'", "did you mean 'Adam'"),
    optimizer("case", {"name": "adamw", "lr": 0.1}, "'adamw'", "did you mean 'AdamW'"),
    optimizer("case of SGD", {"name": "sgd", "lr": 0.1}, "'sgd'", "did you mean 'SGD'"),
    optimizer("far", {"name": "xyz", "lr": 0.1}, "'xyz'", "AdamW"),
    optimizer("bad argument", {"name": "SGD", "lr": 0.1, "momentun": 0.9}, "momentun"),
    optimizer("bad value", {"name": "SGD", "lr": 0.1, "momentum": -3}, "momentum", "-3"),
    optimizer("text value", {"name": "SGD", "lr": 0.1, "momentum": "high"}, "momentum", "high"),
    optimizer("params", {"name": "SGD", "lr": 0.1, "params": []}, "params"),
    Bad("device nonsense", ("audit.device", "'sun'", "cpu"), spec={"audit/device": "sun"}),
    Bad("device meta", ("audit.device", "'meta'"), spec={"audit/device": "meta"}),
    Bad("device empty", ("audit.device", "''"), spec={"audit/device": ""}),
)


@cases(*LOSSES)
def test_loss_optimizer_device(bad: Bad, workspace: Path) -> None:
    refused_by_load(bad, workspace)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_cuda_where_there_is_none(workspace: Path) -> None:
    refused_by_load(Bad("", ("audit.device", "'cuda'"), spec={"audit/device": "cuda"}), workspace)


def test_a_model_that_writes_to_its_weights(workspace: Path) -> None:
    code = (
        "import torch\nfrom torch import nn\n"
        "class Own(nn.Sequential):\n"
        "    def forward(self, x):\n"
        "        with torch.no_grad(): self[0].weight.mul_(0.9)\n"
        "        return super().forward(x)\n"
        "def build(): return Own(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))\n"
    )
    words = ("model", "'0.weight'", "forward")
    bad = Bad("", words, spec={"model/factory": "bad:build"}, files={"bad.py": code})
    refused_by_load(bad, workspace)


# --- records and journals -------------------------------------------------------------------


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An audit's folder, to be damaged in copies."""
    folder = tmp_path_factory.mktemp("audited")
    built(folder, Bad("", ()))
    ended = program(folder, "run", ".", "--out", OUT, "--profile", "quick", "--format", "json")
    assert ended.returncode in (0, 1), ended.stderr
    return folder / OUT


def program(folder: Path, *args: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "auditor.cli", *args]
    environment = {**os.environ, "NO_COLOR": "1"}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=100
    )


def edited(name: str, **values: Any) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        held = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({**held, **values}))

    return make


def rewritten(name: str, data: bytes) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        paths = list(folder.glob(name))
        assert paths
        for path in paths:
            path.write_bytes(data)

    return make


def halved(name: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        paths = list(folder.glob(name))
        assert paths
        for path in paths:
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return make


RENDER = ("render", "record.json", "--out", "new")

KEPT = (
    Bad("no record", ("none.json", "can't be read"), args=("render", "none.json")),
    Bad(
        "record is a folder",
        ("journal", "a folder without record.json"),
        args=("render", "journal"),
    ),
    Bad(
        "record empty",
        ("record.json", "not an audit record"),
        args=RENDER,
        make=rewritten("record.json", b""),
    ),
    Bad(
        "record cut",
        ("record.json", "not an audit record"),
        args=RENDER,
        make=halved("record.json"),
    ),
    Bad(
        "record of bytes",
        ("record.json", "not an audit record"),
        args=RENDER,
        make=rewritten("record.json", b"\xff\x00"),
    ),
    Bad(
        "record a list",
        ("record.json", "not an audit record"),
        args=RENDER,
        make=rewritten("record.json", b"[]"),
    ),
    Bad(
        "record deep",
        ("record.json", "not an audit record"),
        args=RENDER,
        make=rewritten("record.json", b"[" * 100000),
    ),
    Bad(
        "record lacks",
        ("record.json", "subject"),
        args=RENDER,
        make=edited("record.json", subject=None),
    ),
    Bad(
        "record newer",
        ("record.json", "schema version 99"),
        args=RENDER,
        make=rewritten("record.json", b'{"schema_version": 99, "more": 1}'),
    ),
    Bad("render format", ("docx", "pdf"), args=(*RENDER, "--format", "docx")),
    Bad(
        "render on a file",
        ("record.json", "folder"),
        args=("render", "record.json", "--out", "record.json"),
    ),
    Bad("judge nothing", ("nowhere", "journal"), args=("judge", "nowhere")),
    Bad(
        "judge empty",
        ("empty", "journal"),
        args=("judge", "empty"),
        make=lambda f: (f / "empty").mkdir(),
    ),
    Bad(
        "judge head empty",
        ("audit.json",),
        args=("judge", "."),
        make=rewritten("journal/audit.json", b""),
    ),
    Bad("judge head cut", ("audit.json",), args=("judge", "."), make=halved("journal/audit.json")),
    Bad(
        "judge head newer",
        ("audit.json", "version 99"),
        args=("judge", "."),
        make=rewritten("journal/audit.json", b'{"version": 99, "more": 1}'),
    ),
    Bad(
        "judge spec damaged",
        ("audit.json", "version"),
        args=("judge", "."),
        make=edited("journal/audit.json", spec={"version": 3}),
    ),
    Bad(
        "judge answer cut",
        ("UnitActivityOver", "damaged", "audit run"),
        args=("judge", "."),
        make=halved("journal/UnitActivityOver-*.json"),
    ),
    Bad(
        "judge answer other",
        ("PerformanceOver", "damaged"),
        args=("judge", "."),
        make=rewritten(
            "journal/PerformanceOver-*.json",
            b'{"request": "x", "kind": "Performance", "value": {}, "seconds": 1}',
        ),
    ),
    Bad(
        "judge with no spec",
        ("none.yaml", "does not exist"),
        args=("judge", ".", "--spec", "none.yaml"),
    ),
    Bad("judge format", ("docx", "pdf"), args=("judge", ".", "--format", "docx")),
    Bad("explain unknown", ("dead-unit", "'dead-units'"), args=("explain", "dead-unit")),
)


@cases(*KEPT)
def test_records_and_journals(
    bad: Bad,
    audited: Path,
    workspace: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for path in audited.rglob("*"):
        if path.is_file():
            copy = workspace / path.relative_to(audited)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    if bad.make is not None:
        bad.make(workspace)
    before = snapshot(workspace)
    has_all(refused(list(bad.args), monkeypatch, capsys), bad)
    assert snapshot(workspace) == before


# --- through the real program ---------------------------------------------------------------


def row(rows: tuple[Bad, ...], id: str) -> Bad:
    return next(bad for bad in rows if bad.id == id)


@cases(
    row(MODELS, "import raises"),
    row(MODELS, "exits"),
    row(CHECKPOINTS, "os.system"),
    row(CHECKPOINTS, "zip cut"),
    row(DATA_ROWS, "label later"),
    row(LOSSES, "vector"),
)
def test_program_says_the_same(bad: Bad, workspace: Path) -> None:
    """What the worker refuses ends the program with its own words and exit code 2."""
    spec = built(workspace, bad)
    before = snapshot(workspace)
    ended = program(workspace, "run", ".", "--out", OUT)
    assert ended.returncode == 2, ended.stderr
    assert ended.stdout == ""
    has_all(ended.stderr.replace("loading model and data\n", ""), bad)
    with pytest.raises(InputError) as refusal:
        load(read_spec(spec))
    expected = str(refusal.value).replace(str(workspace.resolve()), "")
    assert f"audit: {expected}" in ended.stderr.replace(str(workspace.resolve()), "")
    assert snapshot(workspace) == before


def test_an_earlier_report_is_left_alone(audited: Path, workspace: Path) -> None:
    built(workspace, row(LOSSES, "unknown"))
    (workspace / OUT).mkdir()
    (workspace / OUT / "record.json").write_text("precious")
    before = snapshot(workspace)
    assert program(workspace, "run", ".", "--out", OUT).returncode == 2
    assert snapshot(workspace) == before


def test_plan_refuses_too(workspace: Path) -> None:
    built(workspace, row(CHECKPOINTS, "empty"))
    ended = program(workspace, "plan", ".")
    assert ended.returncode == 2
    assert "empty (0 bytes)" in ended.stderr
