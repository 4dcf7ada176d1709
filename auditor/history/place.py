"""Where the history lies, and making its file so that nobody else can read it."""

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from auditor.core.spec_file import from_home
from auditor.core.text import clean_text
from auditor.core.whole import make_folder
from auditor.history.history import HistoryError

VARIABLE = "AUDIT_HISTORY"
FILE = Path("auditor", "history.sqlite")


def history_file(named: str | None = None, environ: Mapping[str, str] = os.environ) -> Path:
    """Return the file of the history: the one that is named, else the user's.

    That is $AUDIT_HISTORY, or `auditor/history.sqlite` in $XDG_STATE_HOME or ~/.local/state.

    Raises:
        HistoryError: no file is named, and the user has no home.
        InputError: the name leads to a home that does not exist.
    """
    if named is not None:
        return from_home(named, "history.file")
    if given := environ.get(VARIABLE):
        return from_home(given, VARIABLE)
    state = state_folder(environ)
    if state is None:
        home = clean_text(environ.get("HOME", ""), 80)
        raise HistoryError(
            f"no home to keep the history of audits in (HOME is {home!r}); name a file with "
            f"--history or {VARIABLE}, or keep none with --no-history"
        )
    return state / FILE


def state_folder(environ: Mapping[str, str] = os.environ) -> Path | None:
    """Return the user's folder for what programs keep between runs; None without a home."""
    given, home = (Path(environ.get(name, "")) for name in ("XDG_STATE_HOME", "HOME"))
    if given.is_absolute():
        return given
    return home / ".local" / "state" if home.is_absolute() else None


def made(file: Path) -> None:
    """Make an empty file for its owner alone, and its folder, where they are not there.

    Raises:
        OSError: they can't be made.
        HistoryError: what is there is no file.
    """
    if not file.parent.is_dir():
        make_folder(file.parent)
    try:
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        checked(file)


def checked(file: Path) -> None:
    """Make sure that a file can be a history.

    Raises:
        OSError: it is not there.
        HistoryError: it is a folder, or something that is read once.
    """
    if not stat.S_ISREG(file.stat().st_mode):
        raise HistoryError(f"{clean_text(file)}: can't be a history of audits: no regular file")
