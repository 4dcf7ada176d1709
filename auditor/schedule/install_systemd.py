"""Schedules among the user units of systemd."""

import contextlib
import os
import shutil
from pathlib import Path

from auditor.core.errors import AuditBrokenError, InputError
from auditor.core.text import clean_text
from auditor.core.whole import make_folder, write_whole
from auditor.schedule.job import Entry, Job, entry_of
from auditor.schedule.programs import must, ran
from auditor.schedule.systemd import MARK, unit, units

NAME = "systemd"
_SYSTEMCTL = ("systemctl", "--user", "--no-pager")


def works() -> bool:
    """Tell whether this user has a systemd of their own that answers."""
    if shutil.which("systemctl") is None:
        return False
    with contextlib.suppress(AuditBrokenError):
        return ran((*_SYSTEMCTL, "show-environment"))[0] == 0
    return False


def install(job: Job) -> None:
    """Write the units of a schedule and start its timer; units of that name give way.

    Raises:
        InputError: a unit of that name is not ours.
        AuditBrokenError: systemd refused them; everything is as it was then.
    """
    folder = _folder()
    before = {name: _ours(folder / name) for name in units(job)}
    make_folder(folder)
    try:
        for name, text in units(job).items():
            write_whole(folder / name, text.encode())
        must((*_SYSTEMCTL, "daemon-reload"))
        must((*_SYSTEMCTL, "enable", unit(job.name, "timer")))
        must((*_SYSTEMCTL, "restart", unit(job.name, "timer")))
    except BaseException:
        if not any(before.values()):
            ran((*_SYSTEMCTL, "disable", "--now", unit(job.name, "timer")))
        for name, earlier in before.items():
            if earlier is None:
                (folder / name).unlink(missing_ok=True)
            else:
                write_whole(folder / name, earlier.encode())
        ran((*_SYSTEMCTL, "daemon-reload"))
        raise


def entries() -> tuple[Entry, ...]:
    """Return the schedules that are installed."""
    found = []
    for path in sorted(_folder().glob(unit("*", "timer"))):
        with contextlib.suppress(InputError):
            text = _ours(path) or ""
            entry = entry_of(text.partition("\n")[0].removeprefix(MARK))
            if entry is not None and path.name == unit(entry.name, "timer"):
                found.append(entry)
    return tuple(found)


def remove(name: str) -> None:
    """Stop the timer of a schedule and take its units away.

    Raises:
        InputError: a unit of that name is not ours.
        AuditBrokenError: systemd refused it.
    """
    paths = [_folder() / unit(name, kind) for kind in ("timer", "service")]
    for path in paths:
        _ours(path)
    must((*_SYSTEMCTL, "disable", "--now", unit(name, "timer")))
    # When it ran last is kept for `Persistent=`.
    ran((*_SYSTEMCTL, "clean", "--what=state", unit(name, "timer")))
    for path in paths:
        path.unlink(missing_ok=True)
    must((*_SYSTEMCTL, "daemon-reload"))


def next_run(entry: Entry) -> str | None:
    """Return when a schedule runs next, as systemd has it; None where it doesn't say."""
    with contextlib.suppress(AuditBrokenError):
        asked = ("show", "--value", "-p", "NextElapseUSecRealtime", unit(entry.name, "timer"))
        code, written, _ = ran((*_SYSTEMCTL, *asked))
        said = clean_text(written.decode(errors="replace").strip())
        return said if code == 0 and said not in ("", "n/a", "0") else None
    return None


def lingers() -> bool:
    """Tell whether this user's timers run while the user is not logged in, as far as known."""
    with contextlib.suppress(AuditBrokenError):
        code, written, _ = ran(("loginctl", "show-user", "--value", "-p", "Linger", _user()))
        return code != 0 or written.strip() != b"no"
    return True


def _user() -> str:
    return str(os.getuid())


def _folder() -> Path:
    given = Path(os.environ.get("XDG_CONFIG_HOME", ""))
    home = given if given.is_absolute() else Path("~/.config").expanduser()
    return home / "systemd" / "user"


def _ours(path: Path) -> str | None:
    """Return the text of a unit that this program wrote, None where there is no such unit.

    Raises:
        InputError: somebody else wrote it.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        text = ""
    if not text.startswith(MARK):
        raise InputError(
            f"{clean_text(path)} was not written by `audit schedule`; choose another --name"
        )
    return text
