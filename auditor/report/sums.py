"""The hashes of an audit's reports, in a file beside them that `sha256sum --check` reads too."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

from auditor.core.whole import write_whole

SUMS = "SHA256SUMS"
_LINE = re.compile(r"([0-9a-f]{64})  ([A-Za-z0-9._-]{1,120})", re.ASCII)
LARGEST = 1 << 16
"""Characters of the file that are read."""


def write_sums(folder: Path, written: Mapping[str, bytes], *, shared: bool = False) -> None:
    """Write the hashes of reports; those that were not written anew keep theirs.

    Raises:
        OSError: it can't be written.
    """
    earlier = {name: digest for name, digest in sums(folder).items() if (folder / name).exists()}
    new = {name: hashlib.sha256(data).hexdigest() for name, data in written.items()}
    lines = [f"{digest}  {name}\n" for name, digest in sorted({**earlier, **new}.items())]
    write_whole(folder / SUMS, "".join(lines).encode("ascii"), shared=shared)


def sums(folder: Path) -> dict[str, str]:
    """Return the hashes that a folder's reports are to have, by name; none where none are told."""
    try:
        with (folder / SUMS).open("rb") as file:
            text = file.read(LARGEST).decode("ascii", "replace")
    except OSError:
        return {}
    found = (_LINE.fullmatch(line) for line in text.splitlines())
    return {match[2]: match[1] for match in found if match is not None}


def digest_of(path: Path) -> str | None:
    """Return the SHA-256 of a file, None where it can't be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
