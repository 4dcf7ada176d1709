"""An audit outlives whatever its subject does to the process that runs it."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import nn

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

MODEL = """
import os
import sys
import time
from pathlib import Path
import torch
from torch import nn

HERE = Path(__file__).parent
builds = 0

def trouble(model):
    {trouble}

class Net(nn.Sequential):
    def forward(self, x):
        trouble(self)
        if os.environ.get("SLOW") and self.training:
            time.sleep(0.2)
        return super().forward(x)

def build():
    global builds
    builds += 1
    return Net(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
"""

DATA = """
import torch
from torch.utils.data import DataLoader, TensorDataset

def dataset():
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(96, 4, generator=generator)
    return TensorDataset(inputs, inputs[:, :3].argmax(1))

def batches():
    return DataLoader(dataset(), batch_size=8)

def in_parallel():
    return DataLoader(dataset(), batch_size=8, num_workers=2)
"""

CHECKS = [
    *("initial-loss-off-chance", "update-ratio-off", "vanishing-gradients", "exploding-gradients"),
    *("dead-units", "non-finite-values", "stale-batch-norm"),
]
"""Sweeps over both splits in both modes and two experiments: all that can break, and no more."""

SPEC: dict[str, Any] = {
    "version": 1,
    "name": "small",
    "model": {"factory": "model:build", "checkpoint": "weights.pt"},
    "data": {"train": "data:batches", "val": "data:batches"},
    "loss": "cross_entropy",
    "training": {"optimizer": {"name": "SGD", "lr": 0.01}},
    "audit": {"profile": "quick", "checks": {"only": CHECKS}},
}

OUT = "reports"
SHORT = ("--format", "json")

REFUSE_TORCH = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ImportError("torch was imported by " + " ".join(sys.orig_argv))
if "auditor.engine.worker" not in sys.orig_argv:
    sys.meta_path.insert(0, Refuse())
"""
"""A sitecustomize that lets the worker alone import torch."""


def subject(folder: Path, trouble: str = "pass", **spec: Any) -> Path:
    """Write a small subject whose model runs `trouble` before each forward pass."""
    folder.mkdir(exist_ok=True)
    body = trouble.strip().replace("\n", "\n    ")
    (folder / "model.py").write_text(MODEL.replace("{trouble}", body))
    (folder / "data.py").write_text(DATA)
    (folder / "audit.yaml").write_text(yaml.safe_dump({**SPEC, **spec}))
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    torch.save(model.state_dict(), folder / "weights.pt")
    return folder


@dataclass
class Ended:
    """How a run of the program ended, and what it left."""

    code: int
    out: str
    err: str
    seconds: float
    left: list[int]


class Program:
    """A run of the program in its own session, with everything it starts findable."""

    def __init__(self, folder: Path, *args: str, **environment: str) -> None:
        self.mark = f"AUDIT_TEST_MARK={uuid.uuid4()}"
        name, _, value = self.mark.partition("=")
        self.began = time.monotonic()
        self.log = folder / f"stderr-{value}.txt"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "auditor.cli", *args],
                cwd=folder,
                env={**os.environ, "NO_COLOR": "1", name: value, **environment},
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )

    def said(self) -> str:
        return self.log.read_text()

    def until(self, happened: Callable[[], bool], seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while not happened():
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < end, self.said()
            time.sleep(0.02)

    def workers(self) -> list[int]:
        return [pid for pid in self.family() if pid != self.process.pid]

    def family(self) -> list[int]:
        """Return the processes that this run started and that are not dead."""
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            with contextlib.suppress(OSError):
                environment = (entry / "environ").read_bytes()
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                if self.mark.encode() in environment and state != "Z":
                    found.append(int(entry.name))
        return found

    def ended(self, seconds: float = 100) -> Ended:
        try:
            out, _ = self.process.communicate(timeout=seconds)
        finally:
            took = time.monotonic() - self.began
            left = self.family()
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        said = self.said()
        self.log.unlink()
        return Ended(self.process.returncode, out.decode(), said, took, left)


def run(folder: Path, *args: str, **environment: str) -> Ended:
    return Program(folder, "run", ".", "--out", OUT, *args, **environment).ended()


def record(folder: Path) -> dict[str, Any]:
    held: dict[str, Any] = json.loads((folder / OUT / "record.json").read_text())
    return held


def findings(folder: Path) -> dict[str, dict[str, Any]]:
    return {f["check"]: f for section in record(folder)["sections"] for f in section["findings"]}


def settled(folder: Path) -> dict[str, Any]:
    """Return the record without what differs from run to run."""
    held = record(folder)
    del held["volatile"]
    return held


def journal(folder: Path) -> dict[str, tuple[int, int]]:
    """Return the journal's answers with the identity of each file; all must be whole."""
    found = {}
    for path in (folder / OUT / "journal").glob("*-*.json"):
        json.loads(path.read_text())
        found[path.name] = (path.stat().st_mtime_ns, path.stat().st_ino)
    return found


@pytest.fixture(scope="module")
def guard(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment in which only a worker may import torch."""
    folder = tmp_path_factory.mktemp("guard")
    (folder / "sitecustomize.py").write_text(REFUSE_TORCH)
    return {"PYTHONPATH": str(folder)}


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory, guard: dict[str, str]) -> Path:
    """An audit in which nothing happens, by a supervisor that may not import torch."""
    folder = subject(tmp_path_factory.mktemp("healthy") / "subject")
    ended = run(folder, **guard)
    assert ended.code in (0, 1), ended.err
    assert ended.left == []
    return folder


# --- a subject that ends its own process ----------------------------------------------------

IN_TRAIN_SWEEP = "if model.training and builds == 1:"
"""Training mode and no second model: only the sweep in training mode."""

DEATHS = {
    "segfault": ("import ctypes; ctypes.string_at(0)", "SIGSEGV"),
    "exits": ("sys.stderr.write('no licence\\n'); os._exit(0)", "exit code 0: no licence"),
    "killed, its child lives": (
        "os.fork() == 0 and (time.sleep(50), os._exit(0)); os.kill(os.getpid(), 9)",
        "SIGKILL",
    ),
    "memory": ("raise torch.OutOfMemoryError('CUDA out of memory')", "memory ran out"),
    "address space": (
        "import resource as r; r.setrlimit(r.RLIMIT_AS, (1 << 34, -1)); torch.ones(1 << 34)",
        "memory",
    ),
    "exits by itself": ("raise SystemExit(3)", "SystemExit: 3"),
}


@pytest.mark.slow
@pytest.mark.parametrize("death", DEATHS)
def test_what_a_subject_breaks_costs_no_other_finding(
    death: str, tmp_path: Path, healthy: Path
) -> None:
    code, words = DEATHS[death]
    folder = subject(tmp_path / "subject", f"{IN_TRAIN_SWEEP} {code}")
    ended = run(folder, *SHORT)
    assert ended.code == 3, ended.err
    assert ended.seconds < 40
    assert ended.left == []
    assert "Traceback" not in ended.err
    lost(folder, healthy, words)
    assert words in ended.err


def lost(folder: Path, healthy: Path, words: str) -> None:
    """Assert that some findings are errors for the reason given, and the others as ever."""
    found, expected = findings(folder), findings(healthy)
    broken = {name for name, finding in found.items() if finding["verdict"] == "error"}
    assert broken
    assert found.keys() == expected.keys()
    for name, finding in found.items():
        if name in broken:
            assert words in finding["summary"], finding["summary"]
        else:
            assert finding == expected[name]
    for section in record(folder)["sections"]:
        if broken & {finding["check"] for finding in section["findings"]}:
            assert section["verdict"] in ("incomplete", "fail")
    assert record(folder)["verdict"] in ("incomplete", "fail")


@pytest.mark.slow
def test_a_hanging_experiment_is_cut_off(tmp_path: Path, healthy: Path) -> None:
    trouble = (
        "hung = HERE / 'hung'\n"
        "if builds > 1 and not hung.exists():\n"
        "    hung.touch()\n"
        "    time.sleep(1000)"
    )
    folder = subject(tmp_path / "subject", trouble)
    ended = run(folder, *SHORT, "--time-limit", "8")
    assert ended.code == 3, ended.err
    assert ended.left == []
    lost(folder, healthy, "longer than the time limit of 8 s")
    assert "longer than the time limit of 8 s" in ended.err


@pytest.mark.slow
def test_death_while_loading_breaks_the_audit(tmp_path: Path) -> None:
    folder = subject(tmp_path / "subject", "os.kill(os.getpid(), 11)")
    ended = run(folder, *SHORT)
    assert ended.code == 3
    assert "could not be brought in: the worker was ended by SIGSEGV" in ended.err
    assert not (folder / OUT).exists()


@pytest.mark.slow
def test_a_subject_that_changes_is_not_mixed_up(tmp_path: Path) -> None:
    """After a death the data is another: no answer of two different subjects in one record."""
    folder = subject(tmp_path / "subject", f"{IN_TRAIN_SWEEP} os._exit(3)")
    with (folder / "data.py").open("a") as data:
        data.write(
            "\nfrom pathlib import Path\nmark = Path(__file__).parent / 'loaded'\n"
            "def batches():\n"
            "    again = mark.exists()\n"
            "    mark.touch()\n"
            "    return [(x + again, y) for x, y in DataLoader(dataset(), batch_size=8)]\n"
            "mine = batches()\n"
            "def train(): return mine\n"
        )
    values = {"train": "data:train", "val": "data:train"}
    (folder / "audit.yaml").write_text(yaml.safe_dump({**SPEC, "data": values}))
    ended = run(folder, *SHORT)
    assert ended.code == 3
    reasons = {f["summary"] for f in findings(folder).values() if f["verdict"] == "error"}
    assert any("the batches of data.train have changed" in reason for reason in reasons)


# --- neighbours, noise and helpers ----------------------------------------------------------


@pytest.mark.parametrize(("given", "policy"), [("", "passive"), ("active", "active")])
def test_threads_that_wait_leave_the_cores_to_others(
    given: str, policy: str, tmp_path: Path
) -> None:
    """Spinning, each of two audits on the same cores is ten times slower; a user's word counts."""
    folder = subject(tmp_path / "subject", "time.sleep(1000)")
    environment = {"OMP_WAIT_POLICY": given} if given else {}
    program = Program(folder, "run", ".", "--out", OUT, **environment)

    def told() -> list[bytes]:
        found = [Path(f"/proc/{pid}/environ").read_bytes() for pid in program.workers()]
        return [line for part in found for line in part.split(b"\0") if b"OMP_WAIT" in line]

    program.until(lambda: bool(told()))
    assert told() == [b"OMP_WAIT_POLICY=" + policy.encode()]
    program.process.terminate()
    assert program.ended().left == []


@pytest.mark.slow
def test_what_a_subject_prints_and_starts_breaks_nothing(tmp_path: Path, healthy: Path) -> None:
    """Output of every kind, a child process, loaders with processes, files named as Python's."""
    noise = (
        "print('{' * 5000)\n"
        "os.write(1, b'\\xff\\n\\n[]\\n' * 1000)\n"
        "sys.stderr.write('x' * 5000)\n"
        "sys.__stdout__.write('{}\\n')\n"
        "os.system('echo from a child; echo >&2 too')\n"
        "sys.stdin.read()"
    )
    data = {"train": "data:in_parallel", "val": "data:in_parallel"}
    folder = subject(tmp_path / "subject", noise, data=data)
    for name in ("random", "queue", "types", "numbers"):
        (folder / f"{name}.py").write_text("raise RuntimeError('the wrong module')\n")
    ended = run(folder, *SHORT)
    assert settled(folder)["sections"] == settled(healthy)["sections"], ended.err
    assert "{{{" not in ended.out + ended.err
    assert ended.left == []


# --- from outside ---------------------------------------------------------------------------


def in_the_middle(folder: Path) -> Program:
    """Start an audit that is slow in training mode, and return once it is amid a sweep."""
    program = Program(folder, "run", ".", "--out", OUT, *SHORT, SLOW="1")
    done = folder / OUT / "journal"
    program.until(lambda: any(done.glob("NonFiniteOver-*.json")) or len(list(done.glob("*"))) > 3)
    program.until(lambda: program.said().count("s\n") >= 3)
    time.sleep(0.4)
    return program


@pytest.mark.slow
def test_a_worker_killed_from_outside_is_replaced(tmp_path: Path, healthy: Path) -> None:
    program = in_the_middle(subject(tmp_path / "subject"))
    (worker,) = program.workers()
    os.kill(worker, signal.SIGKILL)
    ended = program.ended()
    assert ended.code == 3, ended.err
    assert ended.left == []
    lost(tmp_path / "subject", healthy, "SIGKILL")


@pytest.mark.alone
@pytest.mark.slow
def test_a_killed_supervisor_takes_its_worker_along_and_can_be_resumed(
    tmp_path: Path, healthy: Path
) -> None:
    folder = subject(tmp_path / "subject")
    program = in_the_middle(folder)
    os.kill(program.process.pid, signal.SIGKILL)
    killed = time.monotonic()
    program.process.wait()
    while program.family():
        assert time.monotonic() < killed + 2
        time.sleep(0.05)
    before = journal(folder)
    assert before
    assert not (folder / OUT / "record.json").exists()
    ended = run(folder, *SHORT, "--resume")
    assert ended.code in (0, 1), ended.err
    after = journal(folder)
    assert before.items() <= after.items()
    assert len(after) > len(before)
    mine, theirs = settled(folder), settled(healthy)
    mine["spec"]["output"] = theirs["spec"]["output"]
    assert mine == theirs


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ended, float]:
    folder = subject(tmp_path_factory.mktemp("interrupted") / "subject")
    program = in_the_middle(folder)
    began = time.monotonic()
    os.kill(program.process.pid, signal.SIGINT)
    ended = program.ended()
    return folder, ended, time.monotonic() - began


@pytest.mark.alone
@pytest.mark.slow
def test_an_interrupt_ends_both_and_names_resume(
    interrupted: tuple[Path, Ended, float],
) -> None:
    folder, ended, seconds = interrupted
    assert ended.code == 3
    assert seconds < 2
    assert ended.left == []
    assert ended.err.endswith("audit: interrupted; --resume goes on from here\n")
    assert "Traceback" not in ended.err
    assert journal(folder)
    assert not (folder / OUT / "record.json").exists()


def reseed(folder: Path) -> None:
    (folder / "audit.yaml").write_text(
        yaml.safe_dump({**SPEC, "audit": {**SPEC["audit"], "seed": 5}})
    )


def retrain(folder: Path) -> None:
    weights = torch.load(folder / "weights.pt")
    torch.save({name: tensor + 1 for name, tensor in weights.items()}, folder / "weights.pt")


def redraw(folder: Path) -> None:
    data = (folder / "data.py").read_text()
    (folder / "data.py").write_text(data.replace("manual_seed(0)", "manual_seed(1)"))


CHANGES = {
    "spec": (reseed, ("audit.seed was 0, is 5",)),
    "checkpoint": (retrain, ("the checkpoint has changed",)),
    "data": (redraw, ("the batches of data.train have changed", "data.val")),
}


@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGES)
def test_resume_refuses_another_audit(
    change: str, interrupted: tuple[Path, Ended, float], tmp_path: Path
) -> None:
    folder = tmp_path / "subject"
    shutil.copytree(interrupted[0], folder)
    make, words = CHANGES[change]
    make(folder)
    before = journal(folder)
    ended = run(folder, *SHORT, "--resume")
    assert ended.code == 2, ended.err
    for word in ("--resume", *words):
        assert word in ended.err, ended.err
    assert journal(folder) == before


@pytest.mark.slow
def test_resume_with_other_limits_and_a_damaged_answer(
    interrupted: tuple[Path, Ended, float], tmp_path: Path
) -> None:
    """What only concerns the judging may change; an answer that can't be read is had again."""
    folder = tmp_path / "subject"
    shutil.copytree(interrupted[0], folder)
    damaged = next((folder / OUT / "journal").glob("WeightFlags*.json"))
    damaged.write_text("{")
    audit = {**SPEC["audit"], "limits": {"dead-units": {"worst_dead_share": {"fail": 1.0}}}}
    (folder / "audit.yaml").write_text(yaml.safe_dump({**SPEC, "audit": audit}))
    ended = run(folder, *SHORT, "--resume", "--time-limit", "300")
    assert ended.code in (0, 1), ended.err
    assert record(folder)["spec"]["audit"]["limits"] != {}
    assert record(folder)["spec"]["audit"]["time_limit"] == 300


@pytest.mark.slow
def test_resume_of_nothing(tmp_path: Path) -> None:
    folder = subject(tmp_path / "subject")
    ended = run(folder, *SHORT, "--resume")
    assert ended.code == 2
    assert "no journal" in ended.err
    assert not (folder / OUT).exists()


# --- without torch --------------------------------------------------------------------------


def audit(folder: Path, *args: str, **environment: str) -> Ended:
    return Program(folder, *args, **environment).ended()


@pytest.mark.slow
@pytest.mark.parametrize(
    "args",
    [
        ("--help",),
        ("run", "--help"),
        ("list",),
        ("explain", "dead-units"),
        ("render", f"{OUT}/record.json", "--out", "drawn"),
    ],
    ids=lambda args: args[0],
)
def test_no_torch(args: tuple[str, ...], healthy: Path, guard: dict[str, str]) -> None:
    ended = audit(healthy, *args, **guard)
    assert ended.code == 0, ended.err
    assert ended.out


@pytest.mark.slow
def test_judging_again_finds_the_same(healthy: Path, tmp_path: Path, guard: dict[str, str]) -> None:
    folder = tmp_path / "subject"
    shutil.copytree(healthy, folder)
    first = run_code(folder)
    (folder / OUT / "record.json").unlink()
    ended = audit(folder, "judge", OUT, *SHORT, **guard)
    assert ended.code == first, ended.err
    assert settled(folder) == settled(healthy)


def run_code(folder: Path) -> int:
    return 1 if record(folder)["verdict"] == "fail" else 0


@pytest.mark.alone
def test_help_is_quick(tmp_path: Path) -> None:
    assert min(audit(tmp_path, "--help").seconds for _ in range(3)) < 0.3


def test_guard_refuses_torch(guard: dict[str, str], tmp_path: Path) -> None:
    """The guard that the tests above rest on does what it says."""
    ended = subprocess.run(
        [sys.executable, "-c", "import torch"],
        env={**os.environ, **guard},
        capture_output=True,
        text=True,
    )
    assert ended.returncode != 0
    assert "torch was imported" in ended.stderr
