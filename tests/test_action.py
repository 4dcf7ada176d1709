"""The GitHub action: by GitHub's schema, and its scripts run as a runner runs them."""

import importlib.resources
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from tests.subjects import ROOT

ACTION = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
STEPS = ACTION["runs"]["steps"]
SCRIPTS = [step for step in STEPS if "run" in step]
SHELLS = {
    "bash": ["bash", "--noprofile", "--norc", "-eo", "pipefail"],
    "python": [sys.executable],
}
FAKE_AUDIT = """#!{python}
import json, os, pathlib, sys
words = sys.argv[1:]
pathlib.Path("words.json").write_text(json.dumps(words))
out = pathlib.Path(words[words.index("--out") + 1])
if os.environ.get("FAKE_VERDICT"):
    out.mkdir(parents=True, exist_ok=True)
    (out / "record.json").write_text(json.dumps({{"verdict": os.environ["FAKE_VERDICT"]}}))
    (out / "summary.md").write_text("# Told\\n")
sys.exit(int(os.environ["FAKE_CODE"]))
"""
FAKE_GH = """#!{python}
import json, os, pathlib, sys
log = pathlib.Path("gh.json")
calls = json.loads(log.read_text()) if log.exists() else []
body = [word[6:] for word in sys.argv if word.startswith("body=@")]
calls.append([sys.argv[1:], *(pathlib.Path(file).read_text() for file in body)])
log.write_text(json.dumps(calls))
if "--jq" in sys.argv:
    print(os.environ.get("FAKE_EARLIER", ""), end="")
"""


@dataclass
class Runner:
    """Runs the scripts of the action in order, as a runner of GitHub does."""

    folder: Path
    inputs: dict[str, str]
    fake: dict[str, str] = field(default_factory=dict)
    pull_request: str = ""
    outputs: dict[str, dict[str, str]] = field(default_factory=dict)
    failed: bool = False

    def value(self, name: str) -> str:
        match name.split("."):
            case ["inputs", key]:
                return self.inputs.get(key, ACTION["inputs"][key]["default"])
            case ["steps", id_, "outputs", key]:
                return self.outputs.get(id_, {}).get(key, "")
            case ["github", "event", "pull_request", *_]:
                return self.pull_request
        places = {"github.workspace": self.folder, "runner.temp": self.folder / "temp"}
        return str(places.get(name, "unknown"))

    def filled(self, text: str) -> str:
        return re.sub(r"\$\{\{ ([\w.-]+) \}\}", lambda found: self.value(found[1]), text)

    def wanted(self, step: dict[str, Any]) -> bool:
        condition = step.get("if", "success()")
        if self.failed and "always()" not in condition:
            return False
        text = re.sub(
            r"(inputs|steps|github)(\.[\w-]+)+", lambda found: repr(self.value(found[0])), condition
        )
        text = text.replace("&&", "and").replace("always()", "True").replace("success()", "True")
        return bool(eval(text))

    def run(self) -> int:
        """Return the exit code of the last script; 0 where none failed."""
        code = 0
        for step in SCRIPTS:
            if step["name"] == "Install" or not self.wanted(step):
                continue
            done = self.step(step)
            if done.returncode and not step.get("continue-on-error"):
                self.failed, code = True, done.returncode
        return code

    def step(self, step: dict[str, Any]) -> "subprocess.CompletedProcess[str]":
        output = self.folder / "temp/output"
        output.parent.mkdir(exist_ok=True)
        output.write_text("")
        env = {
            **os.environ,
            "PATH": f"{self.folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "GITHUB_OUTPUT": str(output),
            "GITHUB_STEP_SUMMARY": str(self.folder / "step_summary.md"),
            "GITHUB_REPOSITORY": "someone/models",
            **self.fake,
            **{name: self.filled(str(text)) for name, text in step.get("env", {}).items()},
        }
        script = self.folder / "temp/script"
        script.write_text(step["run"])
        done = subprocess.run(
            [*SHELLS[step["shell"]], script],
            cwd=self.folder,
            env=env,
            capture_output=True,
            text=True,
            timeout=120,
        )
        lines = output.read_text().splitlines()
        if "id" in step:
            self.outputs[step["id"]] = dict(line.split("=", 1) for line in lines)
        return done


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "bin").mkdir()
    for name, text in (("audit", FAKE_AUDIT), ("gh", FAKE_GH)):
        path = tmp_path / "bin" / name
        path.write_text(text.format(python=sys.executable))
        path.chmod(0o755)
    return tmp_path


def test_it_keeps_to_the_schema_of_actions() -> None:
    schemas = importlib.resources.files("check_jsonschema.builtin_schemas.vendor")
    schema = json.loads(schemas.joinpath("github-actions.json").read_text("utf-8"))
    validator = Draft7Validator(schema)
    assert list(validator.iter_errors(ACTION)) == []
    broken = {**ACTION, "runs": {"using": "composite", "steps": [{"run": "echo"}]}}
    assert list(validator.iter_errors(broken))


@pytest.mark.parametrize("step", SCRIPTS, ids=lambda step: step["name"])
def test_nothing_is_written_into_a_script(step: dict[str, Any]) -> None:
    assert "${{" not in step["run"]
    assert set(step) <= {"name", "id", "if", "shell", "env", "run", "continue-on-error"}


def test_inputs_that_are_named_exist_and_all_are_used() -> None:
    text = (ROOT / "action.yml").read_text(encoding="utf-8")
    assert set(re.findall(r"inputs\.([\w-]+)", text)) == set(ACTION["inputs"])
    ids = {step["id"] for step in STEPS if "id" in step}
    assert set(re.findall(r"steps\.(\w+)\.outputs", text)) <= ids


@pytest.mark.parametrize(
    ("verdict", "code"), [("pass", 0), ("warn", 0), ("fail", 1), ("incomplete", 3), ("", 2)]
)
def test_it_ends_as_the_audit_did(folder: Path, verdict: str, code: int) -> None:
    runner = Runner(folder, {}, {"FAKE_VERDICT": verdict, "FAKE_CODE": str(code)})
    assert runner.run() == code
    assert runner.outputs["audit"] == {"code": str(code), "verdict": verdict}
    summary = (folder / "step_summary.md").read_text()
    told = "# Told\n" if verdict else "The audit did not come to a verdict; its log says why.\n"
    assert summary == told


def test_a_record_of_an_earlier_run_is_no_verdict_of_this_one(folder: Path) -> None:
    (folder / "audit-report").mkdir()
    (folder / "audit-report/record.json").write_text('{"verdict": "pass"}')
    runner = Runner(folder, {}, {"FAKE_CODE": "2"})
    assert runner.run() == 2
    assert runner.outputs["audit"]["verdict"] == ""


def test_arguments_reach_the_audit_as_a_shell_would_cut_them(folder: Path) -> None:
    given = {
        "spec": "my models/audit.yaml",
        "args": "--profile quick --name 'a b' --only dead-units",
        "baseline": "last",
        "fail-on": "new",
        "out": "re ports",
    }
    Runner(folder, given, {"FAKE_VERDICT": "pass", "FAKE_CODE": "0"}).run()
    words = json.loads((folder / "words.json").read_text())
    assert words[:2] == ["run", "my models/audit.yaml"]
    assert words[-6:] == ["--profile", "quick", "--name", "a b", "--only", "dead-units"]
    for pair in (("--baseline", "last"), ("--fail-on", "new"), ("--out", "re ports")):
        assert words[words.index(pair[0]) + 1] == pair[1]
    assert words.count("--format") == 5


def test_no_input_becomes_a_command(folder: Path) -> None:
    evil = "$(touch pwned)`touch pwned`'; touch pwned #\" & touch pwned"
    given = dict.fromkeys(("spec", "baseline", "fail-on", "out"), evil) | {
        "args": "'$(touch pwned)' \"; touch pwned\"",
        "comment": "true",
    }
    fake = {"FAKE_VERDICT": "pass", "FAKE_CODE": "0", "FAKE_EARLIER": "7\n"}
    assert Runner(folder, given, fake, pull_request="12").run() == 0
    assert not list(folder.rglob("pwned"))
    words = json.loads((folder / "words.json").read_text())
    assert words[1] == evil
    assert words[-2:] == ["$(touch pwned)", "; touch pwned"]


@pytest.mark.parametrize("earlier", ["", "41\n57\n"])
def test_a_pull_request_has_one_comment_that_is_kept_up_to_date(folder: Path, earlier: str) -> None:
    fake = {"FAKE_VERDICT": "fail", "FAKE_CODE": "1", "FAKE_EARLIER": earlier}
    assert Runner(folder, {"comment": "true"}, fake, pull_request="12").run() == 1
    (look, *_), (write, body) = json.loads((folder / "gh.json").read_text())
    assert look[:2] == ["api", "repos/someone/models/issues/12/comments"]
    assert body.endswith("# Told\n")
    assert re.match(r"<!-- audit [0-9a-f]{40} -->\n", body)
    if earlier:
        assert write[:4] == ["api", "--method", "PATCH", "repos/someone/models/issues/comments/41"]
    else:
        assert write[:3] == ["api", "--method", "POST"]


def test_nothing_is_commented_unless_wanted_and_on_a_pull_request(folder: Path) -> None:
    fake = {"FAKE_VERDICT": "pass", "FAKE_CODE": "0"}
    Runner(folder, {}, fake, pull_request="12").run()
    Runner(folder, {"comment": "true"}, fake).run()
    assert not (folder / "gh.json").exists()


def test_what_is_installed_is_what_the_inputs_name(folder: Path) -> None:
    python = folder / "bin/python"
    python.write_text(
        '#!/bin/sh\nfor word; do printf "%s|" "$word"; done >> pip.txt\necho >> pip.txt\n'
    )
    python.chmod(0o755)
    (step,) = [step for step in SCRIPTS if step["name"] == "Install"]
    for inputs in ({}, {"requirements": "my req.txt", "torch-index": "https://an.index/of builds"}):
        done = Runner(folder, inputs).step(step)
        assert done.returncode == 0, done.stderr
    assert (folder / "pip.txt").read_text().splitlines() == [
        "-m|pip|install|torch|",
        "-m|pip|install|unknown|",
        "-m|pip|install|--index-url|https://an.index/of builds|torch|",
        "-m|pip|install|unknown|",
        "-m|pip|install|--requirement|my req.txt|",
    ]


@pytest.mark.slow
def test_a_real_audit_by_the_action(folder: Path) -> None:
    (folder / "bin/audit").unlink()
    given = {
        "spec": str(ROOT / "sample_models/digits_cnn_broken"),
        "args": "--only dead-units --profile quick",
    }
    runner = Runner(folder, given)
    assert runner.run() == 1
    assert runner.outputs["audit"] == {"code": "1", "verdict": "fail"}
    assert (folder / "step_summary.md").read_text().startswith("# ❌ digits-cnn-broken: failed")
    log = json.loads((folder / "audit-report/audit.sarif").read_text())
    assert {result["ruleId"] for result in log["runs"][0]["results"]} == {"dead-units"}


def test_the_workflow_of_a_schedule_uses_the_same_actions() -> None:
    mine = re.findall(r"uses: (\S+)@(\S+)", (ROOT / "action.yml").read_text(encoding="utf-8"))
    theirs = re.findall(
        r"uses: (\S+)@(\S+)", (ROOT / "auditor/schedule/github.py").read_text(encoding="utf-8")
    )
    versions = dict(mine)
    shared = [(name, version) for name, version in theirs if name in versions]
    assert len(shared) >= 5
    assert shared == [(name, versions[name]) for name, _ in shared]
