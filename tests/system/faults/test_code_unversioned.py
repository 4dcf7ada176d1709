"""Models whose code is in no commit, in real git repositories."""

import functools
import hashlib
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from auditor.checks.tracking.code_unversioned import CODE, judge
from auditor.core.check import Seen
from auditor.core.finding import Finding, Judgement
from auditor.core.spec_file import read_spec
from auditor.core.verdict import Verdict
from auditor.intake import git as asking
from auditor.intake.loading import load
from auditor.observers.code import code_state
from tests.awkward import vectors
from tests.projects import finding, project
from tests.subjects import Live

CHECK = "code-unversioned"

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


def git(folder: Path, *command: str) -> str:
    done = subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *command],
        cwd=folder, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project whose every file is committed."""
    made = project(tmp_path / "project")
    git(made, "init", "-q", "-b", "main")
    (made / ".gitignore").write_text("__pycache__\n*.pt\n")
    commit(made)
    return made


def commit(folder: Path) -> str:
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "as it is")
    return git(folder, "rev-parse", "HEAD")


def judged(folder: Path) -> Judgement:
    """Look and judge in this process, as a worker does."""
    return judge(Seen({CODE: code_state(CODE, load(read_spec(folder / "audit.yaml")))}))


def places(folder: Path) -> list[str]:
    found = judged(folder)
    assert found.verdict is Verdict.WARN, found.summary
    assert found.advice
    return [place.name for place in found.where]


def contents(folder: Path) -> dict[str, Any]:
    return {
        str(file.relative_to(folder)): (
            hashlib.sha256(file.read_bytes()).hexdigest(),
            file.stat().st_mtime_ns,
        )
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def test_a_whole_audit_names_the_commit_and_leaves_the_repository_alone(
    folder: Path, tmp_path: Path
) -> None:
    before = contents(folder / ".git")
    (folder / "data.py").touch()  # what git would note in its index
    found: Finding = finding(folder, tmp_path / "out", CHECK)
    assert found.verdict is Verdict.PASS, found.summary
    head = git(folder, "rev-parse", "HEAD")
    assert head[:12] in found.summary
    assert ("commit", head) in found.figures[1].rows
    assert contents(folder / ".git") == before


def test_no_repository(tmp_path: Path) -> None:
    assert places(project(tmp_path / "loose")) == ["model.py"]


def test_a_file_never_added(folder: Path) -> None:
    git(folder, "rm", "-q", "--cached", "model.py")
    git(folder, "commit", "-q", "-m", "without it")
    assert places(folder) == ["model.py"]
    (folder / ".gitignore").write_text("model.py\n__pycache__\n")
    assert "ignored" in judged(folder).where[0].note


def test_a_repository_without_a_commit(tmp_path: Path) -> None:
    made = project(tmp_path / "new")
    git(made, "init", "-q")
    assert places(made) == ["model.py"]


def test_a_changed_file(folder: Path) -> None:
    with (folder / "model.py").open("a") as file:
        file.write("\n# a change\n")
    assert places(folder) == ["model.py"]
    git(folder, "add", "model.py")
    assert places(folder) == ["model.py"]
    commit(folder)
    assert judged(folder).verdict is Verdict.PASS


def test_a_changed_file_of_the_layers(folder: Path) -> None:
    (folder / "own_layers.py").write_text(
        "from torch import nn\n\nclass Net(nn.Sequential):\n    pass\n"
    )
    (folder / "model.py").write_text(
        "from torch import nn\nfrom own_layers import Net\n\n"
        "def build():\n    return Net(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))\n"
    )
    commit(folder)
    assert judged(folder).verdict is Verdict.PASS
    with (folder / "own_layers.py").open("a") as file:
        file.write("\n# a change\n")
    assert places(folder) == ["own_layers.py"]


def test_what_is_not_the_models_is_only_told(folder: Path) -> None:
    with (folder / "data.py").open("a") as file:
        file.write("\n# a change\n")
    (folder / "train.py").write_text("print()\n")
    (folder / "run.log").write_text("...")
    found = judged(folder)
    assert found.verdict is Verdict.INFO
    assert "`data.py` (changed since the commit)" in found.summary
    assert "1 other file of the repository changed since the commit: train.py" in found.summary


def test_a_name_that_is_a_pattern_or_has_a_space(tmp_path: Path) -> None:
    made = project(tmp_path / "a [b] *")
    git(tmp_path, "init", "-q")
    commit(tmp_path)
    assert judged(made).verdict in (Verdict.PASS, Verdict.INFO)
    with (made / "model.py").open("a") as file:
        file.write("\n# a change\n")
    assert places(made) == ["a [b] */model.py"]


def test_the_commit_that_the_checkpoint_records(folder: Path) -> None:
    first = git(folder, "rev-parse", "HEAD")

    def saved(**more: str) -> None:
        held = torch.load(folder / "weights.pt", weights_only=True)
        torch.save({"model": held["model"], **more}, folder / "weights.pt")

    saved(git_commit=first)
    found = judged(folder)
    assert found.verdict is Verdict.PASS, found.summary
    assert "which the checkpoint records too (checkpoint: git_commit)" in found.summary
    (folder / "README.md").write_text("More.\n")
    commit(folder)
    found = judged(folder)
    assert found.verdict is Verdict.INFO, found.summary
    assert "in which the model's files are the same" in found.summary
    with (folder / "model.py").open("a") as file:
        file.write("\n# a change\n")
    commit(folder)
    assert places(folder) == ["checkpoint: git_commit"]
    assert "model.py is another" in judged(folder).summary
    saved(sha="a" * 40)
    assert "can't be told" in judged(folder).summary
    assert places(folder) == ["checkpoint: sha"]
    saved(config={"git": f"{git(folder, 'rev-parse', '--short', 'HEAD')}-dirty"})
    found = judged(folder)
    assert found.verdict is Verdict.INFO
    assert "files had been changed" in found.summary
    saved(revision="20230101", commit="--output=/tmp/x", _commit_hash="b" * 40)
    assert judged(folder).verdict is Verdict.PASS


def test_a_commit_that_was_not_pushed_and_secrets_of_the_remote(
    folder: Path, tmp_path: Path
) -> None:
    git(tmp_path, "init", "-q", "--bare", "-b", "main", "remote.git")
    git(folder, "remote", "add", "origin", str(tmp_path / "remote.git"))
    assert "has not been pushed" in judged(folder).summary
    git(folder, "push", "-q", "-u", "origin", "main")
    assert judged(folder).verdict is Verdict.PASS
    (folder / "model.py").write_text((folder / "model.py").read_text() + "\n# more\n")
    commit(folder)
    found = judged(folder)
    assert found.verdict is Verdict.INFO
    assert ("pushed", "no, 1 ahead") in found.figures[1].rows
    git(folder, "remote", "set-url", "origin", "https://me:hunter2@host.example/p.git?token=abc")
    told = repr(judged(folder))
    assert "https://host.example/p.git" in told
    assert "hunter2" not in told
    assert "token" not in told


def test_a_submodule(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q")
    (other / "net.py").write_text("x = 1\n")
    commit(other)
    git(folder, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(other), "parts")
    commit(folder)
    assert ("submodule 1", "parts") in judged(folder).figures[1].rows
    (folder / "parts" / "net.py").write_text("x = 2\n")
    found = judged(folder)
    assert found.verdict is Verdict.INFO
    assert ("submodule 1", "parts (changed)") in found.figures[1].rows


@pytest.mark.parametrize("packed", [False, True])
def test_without_git(folder: Path, monkeypatch: pytest.MonkeyPatch, packed: bool) -> None:
    head = git(folder, "rev-parse", "HEAD")
    if packed:
        git(folder, "pack-refs", "--all")
    monkeypatch.setattr(asking.shutil, "which", lambda name: None)
    found = judged(folder)
    assert found.verdict is Verdict.NOT_APPLICABLE
    assert f"at commit {head[:12]}" in found.summary
    assert "git is not installed" in found.summary


def test_without_git_in_another_work_tree(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(folder, "worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
    shutil.copy(folder / "weights.pt", tmp_path / "side")
    assert judged(tmp_path / "side").verdict is Verdict.PASS
    monkeypatch.setattr(asking.shutil, "which", lambda name: None)
    assert git(folder, "rev-parse", "HEAD")[:12] in judged(tmp_path / "side").summary


def test_a_repository_of_somebody_else(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ask = asking.subprocess.run

    def refusing(command: Any, **options: Any) -> Any:
        options["env"] = {**options["env"], "GIT_TEST_ASSUME_DIFFERENT_OWNER": "1"}
        return ask(command, **options)

    monkeypatch.setattr(asking.subprocess, "run", refusing)
    found = judged(folder)
    assert found.verdict is Verdict.NOT_APPLICABLE
    assert "belongs to another user" in found.summary


def test_the_variables_of_a_hook_lead_nowhere_else(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
    assert judged(folder).verdict is Verdict.PASS


def test_what_a_repository_would_run_is_not_run(folder: Path, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    hook = tmp_path / "hook"
    hook.write_text(f"#!/bin/sh\ntouch {ran}\n")
    hook.chmod(0o755)
    for key in ("core.fsmonitor", "core.pager", "diff.external", "core.sshCommand"):
        git(folder, "config", key, str(hook))
    judged(folder)
    assert not ran.exists()


def live(model: nn.Module, factory: Any = None) -> Finding:
    return Live(model, factory, vectors(), vectors(), "cross_entropy", None).finding(CHECK)


def test_a_live_model_of_librarys_layers() -> None:
    plain = nn.Sequential(nn.Linear(8, 3))
    assert live(plain).verdict is Verdict.NOT_APPLICABLE
    packaged = live(plain, functools.partial(nn.Linear, 8, 3))
    assert packaged.verdict is Verdict.PASS
    assert "torch 2" in packaged.summary


def test_a_live_model_typed_into_a_notebook() -> None:
    space: dict[str, Any] = {"nn": nn, "__name__": "__main__"}
    exec("class Net(nn.Linear):\n    pass\n\ndef build():\n    return Net(8, 3)\n", space)
    found = live(space["build"](), space["build"])
    assert found.verdict is Verdict.NOT_APPLICABLE
    assert "notebook" in found.summary
