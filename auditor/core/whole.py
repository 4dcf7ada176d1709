"""Writing a file whole, or not at all; for its owner alone, unless it is to be shared."""

import errno
import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

OWN_FILE, OWN_FOLDER = 0o600, 0o700
"""Who may read what an audit writes: nobody but whoever started it."""


def write_whole(path: Path, data: bytes, *, shared: bool = False) -> None:
    """Write a file under a temporary name, sync it, and give it its name.

    Nobody else can read it, whatever was there before. A `shared` one may be read by whom the
    umask lets, or by whom the file that it replaces let.

    Raises:
        OSError: that can't be done; it names the file.
    """
    try:
        _written(path, data, _shared_mode(path) if shared else OWN_FILE)
    except OSError as error:
        error.filename, error.filename2 = str(path), None
        raise


def make_folder(folder: Path, *, shared: bool = False) -> None:
    """Make a folder, and those above it that are missing; one that is there stays as it is.

    Nobody else can look into what is made, unless it is `shared`: then the umask tells who can.

    Raises:
        OSError: that can't be done.
    """
    if folder.is_dir():
        return
    if folder.parent != folder:
        make_folder(folder.parent, shared=shared)
    try:
        folder.mkdir(mode=0o777 if shared else OWN_FOLDER, exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)) from None


def _written(path: Path, data: bytes, mode: int) -> None:
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, mode)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _shared_mode(path: Path) -> int:
    with suppress(OSError):
        return stat.S_IMODE(path.stat().st_mode)
    mask = os.umask(0o077)  # what another thread writes meanwhile is too private, never too open
    os.umask(mask)
    return 0o666 & ~mask
