"""Packages that only some models need: imported where used, named where missing."""

import importlib
from typing import Any

from auditor.core.errors import InputError
from auditor.intake.reference import blame, how_to_install


def package(name: str, key: str) -> Any:
    """Return an optional package; `key` is the spec's key that wants it.

    Raises:
        InputError: it is not installed, or can't be imported.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name.partition(".")[0]:
            raise InputError(f"{key}: importing {name} {blame(error)}") from error
        raise InputError(
            f"{key}: {name} is not installed in this Python{how_to_install(name)}"
        ) from error
    except Exception as error:
        raise InputError(f"{key}: importing {name} {blame(error)}") from error
