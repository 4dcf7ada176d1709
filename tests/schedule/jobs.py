"""A scheduled audit in a folder whose name has everything in it that some program reads."""

from pathlib import Path

from auditor.schedule.cron import cron
from auditor.schedule.job import Job

HOSTILE = """a b%c $HOME ${X} $(id) `id` "q" 'r' ü漢 ;&|<>*?[~]#!=,{} %h %%"""


def job(folder: Path, **changed) -> Job:
    """A job whose spec lies in a folder of that name; its program tells what it was given."""
    home = folder / HOSTILE
    home.mkdir(exist_ok=True)
    (home / "audit %.yaml").touch()
    program = folder / "bin $X %d ü"
    program.mkdir(exist_ok=True)
    script = program / "audit"
    script.write_text('#!/bin/sh\npwd\nprintf "%s\\n" "$AUDIT_HISTORY" "$@"\n', encoding="utf-8")
    script.chmod(0o755)
    values = {
        "name": "digits",
        "spec": home / "audit %.yaml",
        "when": cron("30 4 * * *"),
        "program": (str(script),),
        "metrics": home / "digits.prom",
        "environment": (("AUDIT_HISTORY", str(home / "history $.sqlite")),),
    }
    return Job(**(values | changed))


def told(job: Job) -> list[str]:
    """What the program of `job` prints: its folder, a variable, its arguments."""
    return [str(job.folder), dict(job.environment)["AUDIT_HISTORY"], *job.words[1:]]
