"""A schedule as systemd's user units: a service that audits and a timer that starts it."""

from auditor.core.errors import InputError
from auditor.core.text import clean_text
from auditor.schedule.job import Job

MARK = "# audit schedule: "

_SERVICE = """\
{mark}
# Written by `audit schedule`; `audit schedule remove {name}` takes it away.
[Unit]
Description=Audit of {name}
Documentation=man:systemd.service(5)

[Service]
Type=oneshot
WorkingDirectory={folder}
{environment}ExecStart=:{command}
# Exit code 1 says that the audit found something new: a finding is no failure of the service.
SuccessExitStatus=1
# What else this machine does comes first.
Nice=10
IOSchedulingClass=idle
NoNewPrivileges=true
TimeoutStartSec=1d
"""

_TIMER = """\
{mark}
[Unit]
Description=Audit of {name}, by the clock

[Timer]
OnCalendar={calendar}
# A run that was missed while the machine was off is made up for.
Persistent=true
RandomizedDelaySec=5min

[Install]
WantedBy=timers.target
"""


def unit(name: str, kind: str) -> str:
    """Return the name of a unit of the schedule `name`."""
    return f"audit-{name}.{kind}"


def units(job: Job) -> dict[str, str]:
    """Return the text of each unit by its name.

    Raises:
        InputError: systemd can't run a program of such a name.
    """
    if any(character in job.program[0] for character in "\"'"):
        raise InputError(
            f"{clean_text(job.program[0])}: systemd runs no program with quotes in its path; "
            "rename its folder"
        )
    mark = MARK + job.mark
    variables = (_quoted(f"{name}={value}") for name, value in job.environment)
    service = _SERVICE.format(
        mark=mark,
        name=job.name,
        folder=_literal(str(job.folder)),
        environment="".join(f"Environment={variable}\n" for variable in variables),
        command=" ".join(map(_word, job.words)),
    )
    timer = _TIMER.format(mark=mark, name=job.name, calendar=job.when.calendar)
    return {unit(job.name, "service"): service, unit(job.name, "timer"): timer}


def _word(word: str) -> str:
    """Return a word of a command; the colon before the command leaves `$` alone."""
    plain = word.replace("-", "").replace("/", "").replace(".", "").replace("_", "")
    return word if plain.isascii() and plain.isalnum() else _quoted(word)


def _quoted(word: str) -> str:
    escaped = word.replace('"', '\\"')
    return f'"{_literal(escaped)}"'


def _literal(text: str) -> str:
    """Return text in which nothing is a specifier."""
    return text.replace("%", "%%")
