"""audit schedule, as a shell runs it, with stand-ins for crontab and systemctl."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.schedule.programs import give
from tests.subjects import ROOT

UNITS = "config/systemd/user"


def run(*arguments, cwd):
    return subprocess.run(
        [sys.executable, "-m", "auditor.cli", "schedule", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def done(*arguments, cwd) -> str:
    ran = run(*arguments, cwd=cwd)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "audit.yaml").write_text("name: Ünsere Ziffern\n", encoding="utf-8")
    return tmp_path


def files(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text(encoding="utf-8")
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_systemd_is_the_default_and_removing_undoes_adding(home, monkeypatch):
    kept = give(home, monkeypatch)
    (home / UNITS).mkdir(parents=True)
    (home / UNITS / "audit-other.timer").write_text("[Timer]\n", encoding="utf-8")
    before = files(home / "config")
    said = done("add", "one", "--every", "day", cwd=home)
    assert said.startswith("unsere-ziffern: by systemd, next on Fri 2031-01-01 04:30:00 UTC\n")
    names = [f"systemd/user/audit-unsere-ziffern.{kind}" for kind in ("service", "timer")]
    added = files(home / "config")
    assert added.keys() - before.keys() >= set(names)
    assert str(home / "one/audit.yaml") in added[names[0]]
    assert not (kept / "crontab").exists()
    (entry,) = json.loads(done("list", "--format", "json", cwd=home))
    assert entry["name"] == "unsere-ziffern"
    assert entry["by"] == "systemd"
    assert entry["next"] == "Fri 2031-01-01 04:30:00 UTC"
    assert entry["spec"] == str(home / "one/audit.yaml")
    assert done("remove", "unsere-ziffern", cwd=home) == "unsere-ziffern: taken out of systemd\n"
    assert files(home / "config") == before
    calls = (kept / "calls").read_text().splitlines()
    assert calls[-3:] == [
        "--user --no-pager disable --now audit-unsere-ziffern.timer",
        "--user --no-pager clean --what=state audit-unsere-ziffern.timer",
        "--user --no-pager daemon-reload",
    ]


def test_what_add_installs_is_what_emit_prints(home, monkeypatch):
    kept = give(home, monkeypatch)
    printed = done("emit", "one", "--every", "6h", "--to", "systemd", cwd=home)
    done("add", "one", "--every", "6h", cwd=home)
    for kind in ("service", "timer"):
        text = (home / UNITS / f"audit-unsere-ziffern.{kind}").read_text(encoding="utf-8")
        assert f"audit-unsere-ziffern.{kind}\n{text}" in printed
    line = done("emit", "one", "--every", "6h", "--to", "cron", cwd=home)
    done("add", "one", "--every", "6h", "--to", "cron", cwd=home)
    assert f"\n{line}" in (kept / "crontab").read_text(encoding="utf-8")


def test_cron_serves_where_systemd_does_not_run(home, monkeypatch):
    kept = give(home, monkeypatch, systemctl=False)
    theirs = b"5 5 * * * \xff\xfe\t100\\% \n"
    (kept / "crontab").write_bytes(theirs)
    said = done("add", "one", "--cron", "30 4 * * 1-5", cwd=home)
    assert said.startswith("unsere-ziffern: by cron, next on ")
    table = (kept / "crontab").read_bytes()
    assert table.startswith(theirs)
    assert table.count(b"30 4 * * 1-5 cd ") == 1
    done("add", "one", "--every", "hour", cwd=home)
    table = (kept / "crontab").read_bytes()
    assert b"30 4" not in table
    assert table.count(b" cd ") == 1
    assert "unsere-ziffern" in done("list", cwd=home)
    done("remove", "unsere-ziffern", cwd=home)
    assert (kept / "crontab").read_bytes() == theirs


def test_a_crontab_that_was_not_there_is_not_there_after(home, monkeypatch):
    kept = give(home, monkeypatch, systemctl=False)
    done("add", "one", "--every", "day", cwd=home)
    done("remove", "unsere-ziffern", cwd=home)
    assert not (kept / "crontab").exists()
    assert done("list", cwd=home).startswith("No schedules")


def test_a_schedule_moves_from_cron_to_systemd(home, monkeypatch):
    kept = give(home, monkeypatch)
    done("add", "one", "--every", "day", "--to", "cron", cwd=home)
    done("add", "one", "--every", "day", "--to", "systemd", cwd=home)
    assert not (kept / "crontab").exists()
    (entry,) = json.loads(done("list", "--format", "json", cwd=home))
    assert entry["by"] == "systemd"


def test_a_refusal_leaves_all_as_it_was(home, monkeypatch):
    kept = give(home, monkeypatch)
    monkeypatch.setenv("BROKEN", "yes")
    ran = run("add", "one", "--every", "day", cwd=home)
    assert (ran.returncode, ran.stdout) == (3, "")
    assert (
        "systemctl --user --no-pager failed (1): Failed to enable unit: access denied" in ran.stderr
    )
    assert files(home / "config") == {}
    ran = run("add", "one", "--every", "day", "--to", "cron", cwd=home)
    assert ran.returncode == 3
    assert "errors in crontab file" in ran.stderr
    assert not (kept / "crontab").exists()


def test_a_broken_replacement_leaves_the_schedule_before(home, monkeypatch):
    give(home, monkeypatch)
    done("add", "one", "--every", "day", cwd=home)
    before = files(home / "config")
    monkeypatch.setenv("BROKEN", "yes")
    assert run("add", "one", "--every", "hour", cwd=home).returncode == 3
    assert files(home / "config") == before


def test_a_unit_of_somebody_else_is_left_alone(home, monkeypatch):
    give(home, monkeypatch)
    unit = home / UNITS / "audit-unsere-ziffern.service"
    unit.parent.mkdir(parents=True)
    unit.write_text("[Service]\nExecStart=/bin/true\n", encoding="utf-8")
    before = files(home / "config")
    ran = run("add", "one", "--every", "day", cwd=home)
    assert ran.returncode == 2
    assert "was not written by `audit schedule`; choose another --name" in ran.stderr
    assert files(home / "config") == before


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["add", "two", "--every", "day"], "a schedule of that name audits"),
        (["add", "one", "--every", "day", "--name", "A b"], "--name: 'A b' can't be"),
        (["add", "one", "--every", "day", "--name", "x" * 49], "can't be a schedule's name"),
        (["add", "one"], "when is it to run?"),
        (["add", "one", "--every", "day", "--keep", "0"], "--keep"),
        (["add", "nowhere.yaml", "--every", "day"], "nowhere.yaml: the spec does not exist"),
        (["add", "one", "--calendar", "daily", "--to", "cron"], "only systemd knows"),
        (["add", "one", "--every", "day", "--to", "launchd"], "'launchd' is not one of"),
        (["emit", "one", "--every", "day"], "Missing option '--to'"),
        (["emit", "one", "--every", "day", "--to", "cron", "--image", "a"], "--image: goes with"),
        (["emit", "one", "--every", "day", "--to", "cron", "--sarif"], "--sarif: goes with"),
        (["remove", "unsere-ziffer"], "did you mean unsere-ziffern?"),
        (["remove", "elsewhere"], "no schedule of that name; known: unsere-ziffern"),
        (["rewove", "elsewhere"], "No such command 'rewove'"),
    ],
)
def test_bad_usage_ends_with_2(home, monkeypatch, arguments, says):
    give(home, monkeypatch)
    done("add", "one", "--every", "day", cwd=home)
    ran = run(*arguments, cwd=home)
    assert ran.returncode == 2, ran.stderr
    assert says in " ".join(ran.stderr.replace("│", " ").split())
    assert "Traceback" not in ran.stderr


def test_two_of_one_name_live_side_by_side_under_other_names(home, monkeypatch):
    give(home, monkeypatch)
    done("add", "one", "--every", "day", cwd=home)
    done("add", "two", "--every", "day", "--name", "two", cwd=home)
    assert [e["name"] for e in json.loads(done("list", "--format", "json", cwd=home))] == [
        "two",
        "unsere-ziffern",
    ]


@pytest.mark.parametrize("character", ["\n", "\\", "\x1b", "\udc80"])
def test_a_path_that_no_line_can_hold_is_refused(home, monkeypatch, character):
    give(home, monkeypatch)
    odd = home / f"a{character}b"
    shutil.copytree(home / "one", odd)
    for action in (["add"], ["emit", "--to", "cron"], ["emit", "--to", "github"]):
        ran = run(*action, odd, "--every", "day", cwd=home)
        assert ran.returncode == 2
        assert "can't be scheduled: its path has the character" in ran.stderr


def test_neither_systemd_nor_cron(home, monkeypatch):
    give(home, monkeypatch, crontab=False, systemctl=False)
    ran = run("add", "one", "--every", "day", cwd=home)
    assert ran.returncode == 2
    assert "neither systemd nor cron" in ran.stderr
    assert "`audit schedule emit` prints" in ran.stderr


def test_what_the_guide_says_works(home, monkeypatch):
    give(home, monkeypatch)
    (home / "one" / "audit.yaml").write_text("name: my-model\n", encoding="utf-8")
    guide = (ROOT / "docs/schedule.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```console\n(.*?)```", guide, flags=re.DOTALL)
    lines = [shlex.split(line.removeprefix("$ audit schedule ")) for line in block.splitlines()]
    assert [words[0] for words in lines] == ["add", "list", "remove"]
    for words in lines:
        assert "my-model" in done(*words, cwd=home / "one")
