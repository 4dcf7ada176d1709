"""Writing a first spec where none is: all of its files or none, and what to do next."""

import os
import shlex
from collections.abc import Mapping
from pathlib import Path

from auditor.commands.draft import Draft
from auditor.commands.targets import writable
from auditor.core.addresses import is_address
from auditor.core.errors import InputError
from auditor.core.text import clean_text
from auditor.core.whole import write_whole


def spec_path(checkpoint: str, folder: Path) -> str:
    """Return the path of a checkpoint as a spec in `folder` is to name it.

    One that was named from the root stays so, unless it lies below the folder; an address stays.
    """
    if is_address(checkpoint):
        return checkpoint
    path = Path(checkpoint).expanduser()
    # The name itself may be a link, beside which other files lie than beside its target.
    there, home = path.absolute().parent.resolve() / path.name, folder.resolve()
    if there.is_relative_to(home):
        return there.relative_to(home).as_posix()
    if path.is_absolute():
        return str(path)
    return Path(os.path.relpath(there, home)).as_posix()


def write_new(files: Mapping[Path, str], *, force: bool) -> None:
    """Write all the files, or none of them.

    Raises:
        InputError: one of them is there already and `force` is not given, or none can be written.
    """
    there = [path for path in files if os.path.lexists(path)]
    if there and not force:
        names = " and ".join(clean_text(path) for path in there)
        raise InputError(
            f"{names}: there already, and left as it is; --out names another folder, --force "
            "overwrites"
        )
    for path in there:
        if path.is_dir():
            raise InputError(f"{clean_text(path)}: a folder; --out names another place")
    folder = writable(next(iter(files)).parent)
    folder.mkdir(parents=True, exist_ok=True)
    before = {path: path.read_bytes() for path in there}
    written: list[Path] = []
    try:
        for path, text in files.items():
            write_whole(path, text.encode("utf-8"), shared=True)
            written.append(path)
    except OSError:
        for path in written:
            if path in before:
                write_whole(path, before[path], shared=True)
            else:
                path.unlink()
        raise


def next_steps(
    draft: Draft, checkpoint: str, key: str | None, folder: Path, allow_torchscript: bool = False
) -> list[str]:
    """Return what to do next, a line each."""
    asked = "" if key is None else f" --key {_word(key)}"
    asked += " --allow-torchscript" if allow_torchscript else ""
    place = "" if folder.resolve() == Path.cwd().resolve() else f" {_word(str(folder))}"
    return [
        f"Fill in {'; '.join(draft.open)}. Then: audit run{place}",
        f"The weights alone can be audited as they are: audit run {_word(checkpoint)}{asked}",
    ]


def _word(text: str) -> str:
    return clean_text(shlex.quote(text))
