"""What schedules are installed in on this machine."""

from collections.abc import Iterator
from typing import Protocol

from auditor.core.errors import InputError
from auditor.schedule import install_cron, install_systemd
from auditor.schedule.job import Entry, Job


class Host(Protocol):
    """Something that runs schedules; a module of this package is one."""

    NAME: str

    def works(self) -> bool:
        """Tell whether this user can install schedules in it."""

    def install(self, job: Job) -> None:
        """Install a schedule, in place of one of its name."""

    def entries(self) -> tuple[Entry, ...]:
        """Return the schedules that are installed in it."""

    def remove(self, name: str) -> None:
        """Take a schedule away."""

    def next_run(self, entry: Entry) -> str | None:
        """Return when a schedule runs next; None where it can't be told."""


HOSTS: tuple[Host, ...] = (install_systemd, install_cron)
"""The first one that works is the default."""


def host_for(wanted: str | None) -> Host:
    """Return the host of that name, or the first one that works.

    Raises:
        InputError: it doesn't work here.
    """
    for host in HOSTS:
        if wanted in (None, host.NAME) and host.works():
            return host
    missing = "neither systemd nor cron" if wanted is None else f"no {wanted}"
    raise InputError(
        f"this user has {missing} to install a schedule in; `audit schedule emit` prints what "
        "other schedulers take"
    )


def installed() -> Iterator[tuple[Host, Entry]]:
    """Yield every schedule that is installed, with its host."""
    for host in HOSTS:
        for entry in host.entries():
            yield host, entry
