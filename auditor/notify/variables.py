"""The variables that hold what does not stand in a spec."""

from collections.abc import Mapping
from pathlib import Path

from auditor.core.errors import InputError
from auditor.core.notify_spec import NotifySpec, variable
from auditor.core.spec_file import from_home
from auditor.core.text import clean_text

LARGEST = 1 << 16
"""Bytes of the largest file of variables that is read."""


def variables(notify: NotifySpec, base: Path, environment: Mapping[str, str]) -> Mapping[str, str]:
    """Return the environment, and beneath it what stands in the spec's `env_file`.

    Raises:
        InputError: the file can't be read, or has other lines than `NAME=value`.
    """
    if notify.env_file is None:
        return environment
    path = base / from_home(notify.env_file, "notify.env_file")
    shown = clean_text(path)
    try:
        if path.stat().st_size > LARGEST:
            raise InputError(f"notify.env_file: {shown}: has more than {LARGEST:,} bytes")
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"notify.env_file: {shown}: is no UTF-8 text") from error
    except OSError as error:
        raise InputError(f"notify.env_file: {shown}: can't be read: {error.strerror}") from error
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        said = line.strip()
        if not said or said.startswith("#"):
            continue
        name, equals, value = said.partition("=")
        if not equals or variable(f"env:{name}") is None:
            raise InputError(f"notify.env_file: {shown}: line {number} is not NAME=value")
        found[name] = _unquoted(value.strip())
    return {**found, **environment}


def looked_up(text: str, known: Mapping[str, str]) -> str:
    """Return a value of a spec, taken out of the variable where it refers to one.

    Raises:
        InputError: there is no such variable, or an empty one.
    """
    name = variable(text)
    if name is None:
        return text
    if not known.get(name):
        raise InputError(f"not sent: the variable {name} is not set")
    return known[name]


def _unquoted(value: str) -> str:
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
    return value[1:-1] if quoted else value
