"""A schedule as a line of cron, and the block of a crontab that holds it."""

import re
import shlex

from auditor.core.errors import InputError
from auditor.schedule.cron import Cron
from auditor.schedule.job import Entry, Job, entry_of

_BLOCK = re.compile(
    r"^# audit schedule begin (?P<mark>\{.*\})\n.*\n# audit schedule end \S+\n",
    re.MULTILINE,
)
_BEGIN = "# audit schedule begin "


def line(job: Job) -> str:
    """Return the line of a crontab that runs a schedule.

    Raises:
        InputError: cron can't say when.
    """
    if not isinstance(job.when, Cron):
        raise InputError("--calendar: only systemd knows such times; give --every or --cron")
    variables = [f"{name}={value}" for name, value in job.environment]
    words = [*(["env", *variables] if variables else []), "nice", "-n", "10", *job.words]
    command = f"cd {shlex.quote(str(job.folder))} && {shlex.join(words)}"
    # To cron a per cent sign ends the line, whatever quotes it stands in.
    return f"{job.when.text} {command}".replace("%", "\\%")


def block(job: Job) -> str:
    """Return the lines that a crontab is given."""
    return f"{_BEGIN}{job.mark}\n{line(job)}\n# audit schedule end {job.name}\n"


def entries(table: str) -> tuple[Entry, ...]:
    """Return the schedules in a crontab."""
    found = (entry_of(match["mark"]) for match in _BLOCK.finditer(table))
    return tuple(entry for entry in found if entry is not None)


def with_job(table: str, job: Job) -> str:
    """Return a crontab with a schedule in it; an earlier one of its name gives way.

    Raises:
        InputError: cron can't say when, or a block of ours is broken.
    """
    added = block(job)
    if any(entry.name == job.name for entry in entries(table)):
        return _BLOCK.sub(lambda match: added if _name(match) == job.name else match[0], table)
    _whole(table, job.name)
    ended = table if not table or table.endswith("\n") else f"{table}\n"
    return ended + added


def without(table: str, name: str) -> str:
    """Return a crontab without a schedule; every other byte stays as it is.

    Raises:
        InputError: the block is broken.
    """
    left = _BLOCK.sub(lambda match: "" if _name(match) == name else match[0], table)
    _whole(left, name)
    return left


def _name(match: re.Match[str]) -> str:
    entry = entry_of(match["mark"])
    return "" if entry is None else entry.name


def _whole(table: str, name: str) -> None:
    """Refuse a crontab in which the begin of a block of that name has no end."""
    for found in re.finditer(rf"^{re.escape(_BEGIN)}(.*)$", table, re.MULTILINE):
        entry = entry_of(found[1])
        if entry is not None and entry.name == name:
            raise InputError(
                f"the crontab's block of {name} was changed by hand; take its lines out with "
                "`crontab -e`, then repeat this"
            )
