import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "new_check.py"


def scaffold(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments, "--root", str(root)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_new_check_and_its_test_run(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "auditor", tmp_path / "auditor", ignore=shutil.ignore_patterns("*.pyc"))
    done = scaffold(tmp_path, "start-simple", "answer-unknown")
    assert done.returncode == 0, done.stderr
    check = tmp_path / "auditor/checks/start_simple/answer_unknown.py"
    test = tmp_path / "tests/checks/start_simple/test_answer_unknown.py"
    assert done.stdout.split() == [str(check), str(test)]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    listed = subprocess.run(
        [sys.executable, "-c", "import auditor.checks as c; print(c.find('answer-unknown').id)"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=environment,
    )
    assert listed.stdout.strip() == "answer-unknown", listed.stderr
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(test)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=environment,
    )
    assert "1 passed" in ran.stdout, ran.stdout + ran.stderr


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    assert scaffold(tmp_path, "loss", "too-noisy").returncode == 0
    check = tmp_path / "auditor/checks/loss/too_noisy.py"
    check.write_text("mine", encoding="utf-8")
    again = scaffold(tmp_path, "loss", "too-noisy")
    assert again.returncode == 2
    assert "exists already" in again.stderr
    assert check.read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere", "some-check"), "no section is named 'nowhere'"),
        (("loss", "Bad_Name"), "is no id"),
        (("loss", "../escape"), "is no id"),
        (("loss", "class"), "is no id"),
    ],
)
def test_wrong_arguments(tmp_path: Path, arguments: tuple[str, str], message: str) -> None:
    done = scaffold(tmp_path, *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert not list(tmp_path.iterdir())
