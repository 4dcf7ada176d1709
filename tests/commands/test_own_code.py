"""Before the user's code runs, its files are told."""

from pathlib import Path

import pytest

from auditor.commands.own_code import tell_own_code
from auditor.core.spec_file import spec_from
from tests.commands.test_showing import run

MODEL = """
import os, sys
print("the factory runs", file=sys.stderr)
open(os.environ["RAN"], "w").close()
raise RuntimeError("as it wants")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "own").mkdir()
    (tmp_path / "own/model.py").write_text(MODEL)
    (tmp_path / "own/audit.yaml").write_text("model: {factory: 'model:build'}\n")
    return tmp_path


@pytest.mark.parametrize("command", ["run", "plan"])
def test_its_files_are_told_before_it_runs(command: str, folder: Path) -> None:
    ran = folder / "ran"
    done = run(command, "own", cwd=folder, env={"RAN": str(ran)})
    assert done.returncode == 2
    assert done.stderr.startswith("audit: model.factory: model:build from ./own/model.py\n")
    assert "as it wants" in done.stderr
    assert done.stdout == ""
    assert ran.exists()


def test_quiet_says_nothing_of_it(folder: Path) -> None:
    done = run("run", "own", "--quiet", cwd=folder, env={"RAN": str(folder / "ran")})
    assert "from ./own" not in done.stderr


def test_names_are_safe_to_print(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    base = tmp_path / "a\x1b[31m\nred"
    base.mkdir()
    (base / "model.py").write_text("")
    monkeypatch.chdir(tmp_path)
    spec = spec_from({"model": {"factory": "model:bu\x1bild"}}, "here", base)
    tell_own_code(spec)
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.isprintable() or "\x1b" not in said
    assert "./a\\x1b[31m\\nred/model.py" in said
