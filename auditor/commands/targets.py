"""What the command line's target and flags come to: a spec."""

import contextlib
import json
import shlex
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from auditor.core.addresses import is_address, without_credentials
from auditor.core.errors import InputError
from auditor.core.spec import FORMATS, AuditSpec
from auditor.core.spec_file import SPEC, from_home, read_spec, spec_from
from auditor.core.text import clean_text, without_login
from auditor.opening.kinds import reader_of_folder

Flags = dict[tuple[str, ...], Any]

FLAGS: dict[tuple[str, ...], str] = {
    ("model", "factory"): "--model",
    ("model", "checkpoint"): "--checkpoint",
    ("model", "key"): "--key",
    ("model", "allow_torchscript"): "--allow-torchscript",
    ("model", "allow_pickle"): "--allow-pickle",
    ("data", "train"): "--train",
    ("data", "val"): "--val",
    ("data", "batch"): "--batch",
    ("loss",): "--loss",
    ("task",): "--task",
    ("training", "optimizer", "name"): "--optimizer",
    ("training", "optimizer", "lr"): "--lr",
    ("name",): "--name",
    ("audit", "profile"): "--profile",
    ("audit", "seed"): "--seed",
    ("audit", "device"): "--device",
    ("audit", "time_limit"): "--time-limit",
    ("audit", "checks", "only"): "--only",
    ("audit", "checks", "skip"): "--skip",
    ("audit", "baseline"): "--baseline",
    ("history", "file"): "--history",
    ("history", "keep"): "--no-history",
    ("output", "dir"): "--out",
    ("output", "formats"): "--format",
    ("output", "shared"): "--shared",
    ("output", "include_samples"): "--include-samples",
}
"""The flag of each key of the spec that has one."""

_SWITCHES = (("output", "shared"), ("output", "include_samples"))
"""Flags without a value, which leave what a spec says as it is unless they are given."""


def flags_of(given: dict[str, Any]) -> Flags:
    """Return the flags of a command, each under the key of the spec that it sets."""
    named = {**given, "format": formats_known(given.get("formats"))}
    values = {path: named.get(flag[2:].replace("-", "_")) for path, flag in FLAGS.items()}
    values["history", "keep"] = False if given.get("no_history") else None
    for path in _SWITCHES:
        values[path] = values[path] or None
    return {path: None if value == [] else value for path, value in values.items()}


def spec_of(target: str | None, flags: Flags) -> AuditSpec:
    """Return the spec of a target, with the flags that were given put over it.

    The target is a spec, a folder that holds one, or a checkpoint: a file, a folder or an address.
    Without one, it is the spec in this folder unless flags name a model or a checkpoint. Paths in
    flags are relative to the current folder.

    Raises:
        InputError: there is no such target, or spec and flags make no valid spec.
    """
    given = {path: value for path, value in flags.items() if value is not None}
    file = _spec_file(target, given)
    if file is None and target is not None:
        given.setdefault(("model", "checkpoint"), target)
    values: dict[str, Any] = {}
    base, notify = Path.cwd(), None
    if file is not None:
        spec = read_spec(file)
        values, base, notify = spec.model_dump(mode="json"), spec.base, spec.notify
    checkpoint = given.get(("model", "checkpoint"))
    if checkpoint is not None and file is not None and not is_address(checkpoint):
        given["model", "checkpoint"] = str(from_home(checkpoint, "--checkpoint").absolute())
    for place in _BESIDE_THE_USER & given.keys():
        given[place] = _from_here(given[place], FLAGS[place])
    for path, value in given.items():
        inner = values
        for name in path[:-1]:
            if inner.get(name) is None:
                inner[name] = {}
            inner = inner[name]
        inner[path[-1]] = value
    origin = clean_text(file) if file is not None else "command line"
    with flags_named(given, origin):
        made = spec_from(json.loads(json.dumps(values)), origin, base)
    return made.model_copy(update={"notify": notify})


_BESIDE_THE_USER: set[tuple[str, ...]] = {("audit", "baseline"), ("history", "file")}
"""Paths that the flags give relative to the current folder, whether there is a spec or not."""


def _from_here(name: str, flag: str) -> str:
    """Return a path as an absolute one; a word that names nothing here stays as it is."""
    path = from_home(name, flag)
    return str(path.absolute()) if flag == "--history" or path.exists() else name


def command_of(target: str | None, flags: Flags) -> str:
    """Return the line for the shell that starts an audit of a target, as it was typed.

    What chooses checks, formats, folder and history is left out: whoever repeats it chooses anew.
    """
    words = ["audit", "run", *([] if target is None else [without_credentials(target)])]
    for path, flag in FLAGS.items():
        value = flags.get(path)
        if value is True and path[-1] == "include_samples":
            words.append(flag)
        elif value is not None and path[0] not in {"output", "history"} and "checks" not in path:
            words += [flag, without_credentials(str(value))]
    return without_login(shlex.join(words))


@contextlib.contextmanager
def flags_named(flags: Flags, origin: str = "") -> Iterator[None]:
    """Let errors about what a flag set name the flag, not the key of the spec behind it."""
    given = {path: value for path, value in flags.items() if value is not None}
    try:
        yield
    except InputError as error:
        lines = [_with_flag(line, origin, given) for line in str(error).splitlines()]
        raise InputError("\n".join(lines)) from error


def _with_flag(line: str, origin: str, given: Flags) -> str:
    """Return a line of an error about a spec, its key named as the flag that set it."""
    place, _, said = line.removeprefix(f"{origin}: ").partition(": ")
    for path, flag in FLAGS.items():
        key = ".".join(path)
        if path in given and (place == key or place.startswith(f"{key}.")):
            return f"{flag}: {said}"
        if place == key and said == "is missing":
            beside = [FLAGS[other] for other in given if other[:-1] == path[:-1]]
            if beside:
                return f"{beside[0]}: needs {flag} as well ({key} {said})"
    return line


def formats_known(named: list[str] | None) -> Any:
    """Return the formats that `--format` named.

    Raises:
        InputError: there is no report of such a format.
    """
    for name in named or []:
        if name not in FORMATS:
            raise InputError(
                f"--format: unknown format {clean_text(name, 40)!r}; known: {', '.join(FORMATS)}"
            )
    return named


def _spec_file(target: str | None, given: Flags) -> Path | None:
    if target is None:
        if ("model", "factory") in given or ("model", "checkpoint") in given:
            return None
        here = Path(SPEC)
        if not here.is_file():
            raise InputError(
                f"nothing to audit: name a spec, a folder that holds {SPEC}, or a checkpoint, or "
                "give --model and --checkpoint"
            )
        return here
    if is_address(target):
        return None
    path = Path(target)
    if path.is_dir():
        if (path / SPEC).is_file():
            return path / SPEC
        try:
            reader_of_folder(path)
        except InputError as error:
            raise InputError(
                f"{clean_text(path)}: no {SPEC} lies in it, and it is {error}"
            ) from error
        return None
    if path.suffix in (".yaml", ".yml"):
        return path
    if not path.exists():
        raise InputError(f"{clean_text(path)}: no such spec, folder or checkpoint")
    return None


def writable(folder: Path) -> Path:
    """Return a folder that reports can be written to; it is not made yet.

    Raises:
        InputError: it, or the nearest folder above it that exists, can't be written to.
    """
    shown = clean_text(folder)
    nearest = folder.absolute()
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    if not nearest.is_dir():
        raise InputError(f"{shown}: can't be the output folder: {clean_text(nearest)} is a file")
    try:
        with tempfile.TemporaryFile(dir=nearest):
            return folder
    except OSError as error:
        raise InputError(
            f"{shown}: can't write reports there: {error.strerror}; choose another with --out"
        ) from error
