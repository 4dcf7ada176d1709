"""Schedules in this user's crontab, of which nothing else is touched."""

import shutil
from datetime import datetime

from auditor.core.errors import AuditBrokenError, InputError
from auditor.core.text import clean_text
from auditor.schedule import crontab
from auditor.schedule.cron import cron
from auditor.schedule.job import Entry, Job
from auditor.schedule.lock import alone
from auditor.schedule.programs import must, ran

NAME = "cron"
_NONE = ("no crontab", "no such file")
"""How programs of several makers say that a user has no crontab yet."""


def works() -> bool:
    """Tell whether this machine has crontabs."""
    return shutil.which("crontab") is not None


def install(job: Job) -> None:
    """Put a schedule into the crontab; one of that name gives way.

    Raises:
        InputError: cron can't say when, or the block of that name was changed by hand.
        AuditBrokenError: the crontab could not be read or written.
    """
    with alone("crontab", waits=True, say=lambda _: None):
        _write(crontab.with_job(_read(), job))


def entries() -> tuple[Entry, ...]:
    """Return the schedules in the crontab."""
    return crontab.entries(_read()) if works() else ()


def remove(name: str) -> None:
    """Take a schedule out of the crontab.

    Raises:
        InputError: its block was changed by hand.
        AuditBrokenError: the crontab could not be read or written.
    """
    with alone("crontab", waits=True, say=lambda _: None):
        _write(crontab.without(_read(), name))


def next_run(entry: Entry) -> str | None:
    """Return when a schedule runs next by this machine's clock."""
    try:
        return cron(entry.when).after(datetime.now()).strftime("%a %Y-%m-%d %H:%M")
    except InputError:
        return None


def _read() -> str:
    code, written, said = ran(("crontab", "-l"))
    if code == 0:
        return written.decode(errors="surrogateescape")
    message = said.decode(errors="replace").strip()
    if code == 1 and any(words in message.lower() for words in _NONE):
        return ""
    raise AuditBrokenError(f"crontab -l failed ({code}): {clean_text(message) or 'no word'}")


def _write(table: str) -> None:
    if table:
        must(("crontab", "-"), table.encode(errors="surrogateescape"))
    else:
        must(("crontab", "-r"))
