"""audit show, audit fleet and the tables for programs, as a shell runs them."""

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from auditor.checks import catalogue
from auditor.core.errors import InputError
from auditor.core.record import read_record
from tests.subjects import ROOT

RECORD = ROOT / "tests/golden/record.json"


def run(*arguments, cwd=None, env=None):
    return subprocess.run(
        [sys.executable, "-m", "auditor.cli", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
    )


@pytest.fixture
def folder(tmp_path):
    """Two records, one below the other, and what is none beside them."""
    for name in ("runs/a", "runs/b/deep"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "record.json").write_bytes(RECORD.read_bytes())
    text = (tmp_path / "runs/a/record.json").read_text(encoding="utf-8")
    started = json.loads(text)["volatile"]["started"]
    later = text.replace(f'"{started}"', '"2031-01-01T00:00:00+00:00"')
    (tmp_path / "runs/a/record.json").write_text(later, encoding="utf-8")
    (tmp_path / "runs/broken").mkdir()
    (tmp_path / "runs/broken/record.json").write_text("{", encoding="utf-8")
    return tmp_path


def test_show_prints_the_record_and_where_it_lies():
    done = run("show", RECORD)
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines()[:-1])) <= 80
    assert "\x1b" not in done.stdout
    assert done.stdout.splitlines()[-1].endswith((".html", ".json"))
    assert run("show", RECORD.parent).stdout == done.stdout


def test_show_for_programs(tmp_path):
    (tmp_path / "again.json").write_text(run("show", RECORD, "--format", "json").stdout, "utf-8")
    assert read_record(tmp_path / "again.json") == read_record(RECORD)
    assert ET.fromstring(run("show", RECORD, "--format", "junit").stdout).tag == "testsuites"
    assert run("show", RECORD, "--format", "markdown").stdout.startswith("# ")


def test_a_terminal_without_unicode_gets_codes_for_signs():
    done = run("show", RECORD, env={"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["show", "nowhere.json"], "nowhere.json: can't be read: No such file"),
        (["show", "runs"], "runs: a folder without record.json"),
        (["show", "runs/broken"], "record.json: not an audit record"),
        (["show", "runs/a", "--format", "pdf"], "'pdf' is not one of 'text'"),
        (["fleet", "nowhere"], "nowhere: no such record or folder"),
        (["fleet", "empty"], "empty: no record.json of an audit there"),
        (["fleet", "runs/broken/record.json"], "not an audit record"),
        (["fleet", "runs", "--out", "runs"], "--out: runs is a folder"),
        (["fleet", "runs", "--format", "xml"], "'xml' is not one of 'html'"),
        (["list", "--format", "xml"], "'xml' is not one of"),
    ],
)
def test_what_can_not_be_used_is_named_and_ends_in_exit_code_2(folder, arguments, says):
    (folder / "empty").mkdir()
    done = run(*arguments, cwd=folder)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert not done.stdout
    assert not (folder / "fleet.html").exists()


def test_fleet_writes_a_page_and_warns_of_what_is_no_record(folder):
    done = run("fleet", "runs", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "left out: runs/broken/record.json: not an audit record" in done.stderr
    assert "1 model, 2 audits." in done.stdout
    assert done.stdout.splitlines()[-1] == "fleet.html"
    first = (folder / "fleet.html").read_bytes()
    run("fleet", "runs", cwd=folder)
    assert (folder / "fleet.html").read_bytes() == first


def test_fleet_follows_no_link_out_of_its_folder(folder):
    elsewhere = folder / "elsewhere"
    (folder / "runs/b/deep/record.json").rename(folder / "record.json")
    elsewhere.mkdir()
    (folder / "record.json").rename(elsewhere / "record.json")
    (folder / "runs/linked").symlink_to(elsewhere, target_is_directory=True)
    (folder / "runs/b/deep/record.json").symlink_to(elsewhere / "record.json")
    done = run("fleet", "runs", "--format", "json", cwd=folder)
    (model,) = json.loads(done.stdout)["models"]
    assert [audit["record"] for audit in model["audits"]] == ["runs/a/record.json"]


def test_fleet_as_text_goes_to_standard_output_or_a_file(folder):
    printed = run("fleet", "runs", "--format", "text", cwd=folder)
    assert max(map(len, printed.stdout.splitlines())) <= 80
    run("fleet", "runs", "--format", "text", "--out", "new/fleet.txt", cwd=folder)
    assert Path(folder / "new/fleet.txt").read_text(encoding="utf-8") == printed.stdout


def test_show_and_fleet_need_neither_torch_nor_weasyprint(folder):
    code = (
        "import sys; from auditor.cli import app;"
        f"app(['show', {str(RECORD)!r}], standalone_mode=False);"
        f"app(['fleet', 'runs/a'], standalone_mode=False);"
        "assert not {'torch', 'weasyprint'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr


def test_the_catalogue_for_programs():
    told = json.loads(run("list", "--format", "json").stdout)
    assert [check["id"] for check in told] == [check.id for check in catalogue()]
    assert all(check["finds"] and check["section"] for check in told)


@pytest.mark.timeout(20)
def test_a_pipe_is_no_record_and_nothing_waits_for_it(tmp_path) -> None:
    pipe = tmp_path / "record.json"
    os.mkfifo(pipe)
    with pytest.raises(InputError, match="can't be read: no regular file"):
        read_record(pipe)
