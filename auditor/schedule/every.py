"""When a schedule runs, from the words of the command line."""

import hashlib
import re
import shutil
import subprocess
from dataclasses import dataclass

from auditor.core.errors import InputError
from auditor.core.text import clean_text
from auditor.schedule.cron import Cron, cron

NIGHT = 4
"""The hour of what runs once a day: no change of the clocks leaves it out."""

HOURS = (1, 2, 3, 4, 6, 8, 12)
MINUTES = (5, 10, 15, 20, 30)
"""Steps that divide a day and an hour, as no cron expression says others."""

_CALENDAR = re.compile(r"[A-Za-z0-9*][A-Za-z0-9*,./:~ _+-]{0,199}")


@dataclass(frozen=True)
class Calendar:
    """When something runs, in the words of systemd, which other programs don't know."""

    text: str

    @property
    def calendar(self) -> str:
        """Return what stands behind `OnCalendar=`."""
        return self.text


When = Cron | Calendar


def when(
    every: str | None, at: str | None, expression: str | None, calendar: str | None, name: str
) -> When:
    """Return when a schedule runs; the one of `every`, `expression` and `calendar` that is given.

    What runs every day or hour has a minute of its own, made of the name, lest all audits of a
    machine start at once.

    Raises:
        InputError: none or several are given, or what is given says no time.
    """
    given = [value for value in (every, expression, calendar) if value is not None]
    if len(given) != 1:
        raise InputError(
            "when is it to run? give one of --every day, --cron '30 4 * * 1-5' and "
            "--calendar 'Mon *-*-* 04:30'"
        )
    if at is not None and every not in ("day", "week", "month"):
        raise InputError("--at: goes with --every day, week or month only")
    if expression is not None:
        return cron(expression)
    if calendar is not None:
        return _checked(calendar)
    return _every(every or "", at, name)


def _every(every: str, at: str | None, name: str) -> Cron:
    hour, minute = _time(at, name)
    days = {"day": "* * *", "week": "* * 1", "month": "1 * *"}
    if every in days:
        return cron(f"{minute} {hour} {days[every]}")
    if every == "hour":
        return cron(f"{minute} * * * *")
    found = re.fullmatch(r"(\d{1,3})([hm])", every)
    if found and found[2] == "h" and int(found[1]) in HOURS:
        return cron(f"{minute} */{int(found[1])} * * *")
    if found and found[2] == "m" and int(found[1]) in MINUTES:
        return cron(f"*/{int(found[1])} * * * *")
    steps = ", ".join([*(f"{n}h" for n in HOURS[1:]), *(f"{n}m" for n in MINUTES)])
    raise InputError(
        f"--every: {clean_text(every, 40)!r} is none of hour, day, week, month, {steps}; "
        "--cron takes other times"
    )


def _time(at: str | None, name: str) -> tuple[int, int]:
    if at is None:
        return NIGHT, int(hashlib.sha256(name.encode()).hexdigest(), 16) % 60
    found = re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)", at, re.ASCII)
    if found is None:
        raise InputError(f"--at: {clean_text(at, 40)!r} is no time of day such as 04:30")
    return int(found[1]), int(found[2])


def _checked(calendar: str) -> Calendar:
    """Return a calendar expression of systemd, checked by itself where it is here."""
    shown = repr(clean_text(calendar, 60))
    if not _CALENDAR.fullmatch(calendar) or calendar != calendar.strip():
        raise InputError(f"--calendar: {shown} is no OnCalendar expression of systemd")
    program = shutil.which("systemd-analyze")
    if program is not None:
        done = subprocess.run(
            [program, "calendar", calendar], capture_output=True, text=True, timeout=30, check=False
        )
        if done.returncode:
            said = clean_text((done.stderr.strip().splitlines() or ["refused"])[-1])
            raise InputError(f"--calendar: {shown} is no OnCalendar expression of systemd: {said}")
    return Calendar(calendar)
