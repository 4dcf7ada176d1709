"""What is written for schedulers, read by them or by their published schemas."""

import json
import os
import re
import shutil
import subprocess
import tempfile
import warnings
from importlib import resources
from pathlib import Path

import jsonschema
import pytest
import yaml

from auditor.core.errors import InputError
from auditor.schedule import crontab, github, kubernetes
from auditor.schedule.cron import cron
from auditor.schedule.every import Calendar
from auditor.schedule.systemd import units
from tests.schedule.jobs import HOSTILE, job, told

MANAGER = Path("/lib/systemd/systemd")
WORDS = "--dated --keep 30 --metrics {} --if-running leave --baseline last --fail-on new --quiet"


@pytest.fixture
def written(tmp_path):
    folder = tmp_path / "units"
    folder.mkdir()
    for name, text in units(job(tmp_path)).items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_systemd_accepts_the_units(written, tmp_path):
    (tmp_path / "run").mkdir()
    done = subprocess.run(
        ["systemd-analyze", "verify", "--user", *sorted(written.iterdir())],
        capture_output=True,
        text=True,
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path / "run")},
    )
    assert (done.returncode, done.stderr) == (0, "")
    broken = written / "audit-digits.timer"
    broken.write_text(broken.read_text().replace("04:30", "04:61"), encoding="utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--user", broken],
        capture_output=True,
        text=True,
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path / "run")},
    )
    assert "Failed to parse calendar specification" in done.stderr


@pytest.mark.skipif(
    not MANAGER.exists() or os.getuid() != 0 or shutil.which("runuser") is None,
    reason="no systemd here that could be asked as somebody else",
)
def test_systemd_reads_every_word_as_it_is():
    """The manager is started as a test of itself and shows what it has read; it runs nothing."""
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home)
        wanted = job(folder)
        for name, text in units(wanted).items():
            (folder / name).write_text(text, encoding="utf-8")
        run = folder / "run"
        run.mkdir()
        folder.chmod(0o755)
        shutil.chown(run, "nobody")
        done = subprocess.run(
            [
                *("runuser", "-u", "nobody", "--", "env", f"XDG_RUNTIME_DIR={run}", f"HOME={run}"),
                *(f"SYSTEMD_UNIT_PATH={folder}:", MANAGER, "--test", "--user"),
                *("--unit=audit-digits.service", "--log-target=console"),
            ],
            cwd="/",
            capture_output=True,
            timeout=60,
        )
    shown = done.stdout.decode(errors="replace")
    if "Unit audit-digits.service" not in shown:
        pytest.skip(f"systemd does not test itself here: {done.stderr!r}")
    assert f"\tWorkingDirectory: {wanted.folder}\n" in shown
    assert f"\tEnvironment: AUDIT_HISTORY={wanted.environment[0][1]}\n" in shown
    (line,) = re.findall(r"Command Line: (.*--dated .*)\n", shown)
    assert unquoted(line) == list(wanted.words)


def unquoted(line: str) -> list[str]:
    """The words that systemd shows, without the quotes and escapes of the shell that it adds."""
    found = re.findall(r'"((?:[^"\\]|\\.)*)"|(\S+)', line)
    return [re.sub(r"\\(.)", r"\1", quoted) or bare for quoted, bare in found]


def test_a_finding_is_no_failure_of_the_service(tmp_path):
    service, timer = units(job(tmp_path)).values()
    assert "\nSuccessExitStatus=1\n" in service
    assert "\nPersistent=true\nRandomizedDelaySec=5min\n" in timer


def test_systemd_runs_no_program_with_quotes(tmp_path):
    with pytest.raises(InputError, match="quotes in its path"):
        units(job(tmp_path, program=('/opt/my "own"/audit',)))


def test_cron_runs_the_words_as_they_are(tmp_path):
    """What cron does with a line: the time off, per cent signs unescaped, the rest to the shell."""
    wanted = job(tmp_path)
    *_, command = crontab.line(wanted).split(" ", 5)
    assert "\n" not in command
    assert not re.search(r"(?<!\\)%", command)
    done = subprocess.run(
        ["/bin/sh", "-c", command.replace("\\%", "%")], cwd="/", capture_output=True, text=True
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == told(wanted)


def test_the_words_of_a_scheduled_run(tmp_path):
    wanted = job(tmp_path)
    start = [*wanted.program, "run", str(wanted.spec)]
    assert list(wanted.words)[:3] == start
    assert list(wanted.words)[3:] == [
        str(wanted.metrics) if word == "{}" else word for word in WORDS.split()
    ]


def kinds(text: str) -> dict:
    return {part["kind"]: part for part in yaml.safe_load_all(text)}


def test_kubernetes_accepts_the_manifest(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        validate = pytest.importorskip("kubernetes_validate")
    text = kubernetes.manifest(job(tmp_path, secrets=("HOOK", "KEY")), "registry.example/a/b:1")
    for part in yaml.safe_load_all(text):
        validate.validate(part, "1.31", strict=True)
        with pytest.raises(validate.ValidationError):
            validate.validate({**part, "spec": {**part["spec"], "unknown": 1}}, "1.31", strict=True)
    cronjob = kinds(text)["CronJob"]
    assert cronjob["spec"]["schedule"] == "30 4 * * *"
    assert cronjob["spec"]["concurrencyPolicy"] == "Forbid"
    pod = cronjob["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["image"] == "registry.example/a/b:1"
    assert container["command"][:5] == [
        "audit",
        "run",
        "/subject/audit %.yaml",
        "--out",
        "/state/reports",
    ]
    assert container["envFrom"] == [{"secretRef": {"name": "audit-digits"}}]
    claim = kinds(text)["PersistentVolumeClaim"]["metadata"]["name"]
    assert {"name": "state", "persistentVolumeClaim": {"claimName": claim}} in pod["volumes"]


def test_kubernetes_expands_nothing_in_a_name(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    spec = home / "$(HOME) $$(X).yaml"
    (container,) = kinds(kubernetes.manifest(job(tmp_path, spec=spec)))["CronJob"]["spec"][
        "jobTemplate"
    ]["spec"]["template"]["spec"]["containers"]
    # As Kubernetes reads a command: "$$" is a dollar sign, "$(NAME)" a variable.
    word = container["command"][2]
    read = re.sub(r"\$\$|\$\((\w+)\)", lambda found: "$" if found[1] is None else "(gone)", word)
    assert read == f"/subject/{spec.name}"


def workflow_schema() -> dict:
    pytest.importorskip("check_jsonschema")
    vendored = resources.files("check_jsonschema.builtin_schemas.vendor")
    return json.loads((vendored / "github-workflows.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("sarif", [False, True])
def test_github_accepts_the_workflow(tmp_path, sarif):
    schema = workflow_schema()
    text = github.workflow(job(tmp_path, secrets=("HOOK",)), sarif=sarif)
    # YAML 1.1 takes `on` for a truth value; GitHub does not.
    made = {"on" if key is True else key: value for key, value in yaml.safe_load(text).items()}
    jsonschema.validate(made, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**made, "permissions": "all"}, schema)
    wanted = {"contents": "read"} | ({"security-events": "write"} if sarif else {})
    assert made["permissions"] == wanted
    assert made["on"] == {"schedule": [{"cron": "30 4 * * *"}], "workflow_dispatch": None}
    steps = made["jobs"]["audit"]["steps"]
    (step,) = (step for step in steps if step.get("name") == "Audit")
    assert step["env"] == {"HOOK": "${{ secrets.HOOK }}"}
    assert ("sarif" in step["run"]) is sarif
    used = [step["uses"].partition("@")[0] for step in steps if "uses" in step]
    assert used[:3] == ["actions/checkout", "actions/setup-python", "actions/cache/restore"]
    assert all(step.get("if", "").startswith("always()") for step in steps[5:])


def test_github_runs_the_words_as_they_are(tmp_path):
    wanted = job(tmp_path)
    root = tmp_path / "repository"
    spec = root / "models" / HOSTILE.replace("${", "$") / "audit.yaml"
    (root / ".git").mkdir(parents=True)
    text = github.workflow(job(tmp_path, spec=spec))
    (step,) = (
        s for s in yaml.safe_load(text)["jobs"]["audit"]["steps"] if s.get("name") == "Audit"
    )
    done = subprocess.run(
        ["/bin/sh", "-e", "-c", step["run"]],
        capture_output=True,
        text=True,
        env={"PATH": f"{Path(wanted.program[0]).parent}:/usr/bin:/bin"},
    )
    assert done.stdout.splitlines()[2:] == [
        *("run", spec.relative_to(root).as_posix(), "--out", "audit-report"),
        *("--if-running", "leave", "--baseline", "last", "--fail-on", "new"),
    ]


@pytest.mark.parametrize(
    ("write", "changed", "says"),
    [
        (crontab.line, {"when": Calendar("daily")}, "only systemd knows such times"),
        (kubernetes.manifest, {"when": Calendar("daily")}, "only systemd knows such times"),
        (github.workflow, {"when": Calendar("daily")}, "only systemd knows such times"),
        (github.workflow, {"when": cron("*/4 * * * *")}, "every five minutes"),
        (github.workflow, {"when": cron("58,1 * * * *")}, "every five minutes"),
        (github.workflow, {"spec": Path("/a/${{ github.token }}.yaml")}, "as an expression"),
    ],
)
def test_what_a_scheduler_can_t_say_is_refused(tmp_path, write, changed, says):
    with pytest.raises(InputError, match=re.escape(says)):
        write(job(tmp_path, **changed))


@pytest.mark.parametrize("image", ["", "a b", "a\nb", "ü"])
def test_an_image_has_a_name(tmp_path, image):
    with pytest.raises(InputError, match="--image"):
        kubernetes.manifest(job(tmp_path), image)
