"""Reading a spec from YAML: strict, with errors that name the key and the nearest known one."""

import difflib
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from auditor.core.errors import InputError
from auditor.core.spec import AuditSpec
from auditor.core.spec_yaml import loaded
from auditor.core.text import clean_text, kind_of

SPEC = "audit.yaml"
"""The spec's file in a folder that is named as what to audit."""

LARGEST = 1 << 18
"""Bytes of the largest spec that is read."""

MOST = 5
"""Lines of errors that are shown at once."""


def read_spec(path: Path) -> AuditSpec:
    """Return the spec in the YAML file `path`.

    Raises:
        InputError: the file can't be read, is no YAML mapping, or says something unknown.
    """
    try:
        if not path.is_file():
            what = "is a folder" if path.is_dir() else "does not exist"
            raise InputError(f"{clean_text(path)}: the spec {what}")
        if path.stat().st_size > LARGEST:
            raise InputError(f"{clean_text(path)}: a spec has at most {LARGEST:,} bytes")
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{clean_text(path)}: the spec is not UTF-8 text") from error
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputError(f"{clean_text(path)}: can't be read: {reason}") from error
    try:
        values = loaded(text)
    except ValueError as error:
        raise InputError(f"{clean_text(path)}: not valid YAML: {error}") from error
    if not isinstance(values, dict):
        raise InputError(
            f"{clean_text(path)}: a spec is a mapping of keys to values (version, model, data, "
            f"loss ...), this is {'empty' if values is None else kind_of(values)}"
        )
    return spec_from(values, origin=clean_text(path), base=path.resolve().parent)


def spec_from(values: dict[Any, Any], origin: str, base: Path) -> AuditSpec:
    """Return the spec in plain `values`; `origin` names their source in errors.

    Raises:
        InputError: a key is unknown, or a value is of another kind than its key wants.
    """
    try:
        if "base" in values:
            raise InputError(f"{origin}: unknown key 'base'; paths are relative to the spec")
        if "fetched" in values:
            raise InputError(f"{origin}: unknown key 'fetched'; the address is `model: checkpoint`")
        return AuditSpec.model_validate({**values, "base": base})
    except ValidationError as error:
        items = error.errors(include_url=False)
        lines = [f"{origin}: {_explained(item)}" for item in items if not _other_branch(item)]
        if len(lines) > MOST:
            lines[MOST - 1 :] = [f"and {len(lines) - MOST + 1} more like these"]
        raise InputError("\n".join(lines)) from error


def from_home(path: str, key: str) -> Path:
    """Return `path` with a leading `~` resolved; `key` is the spec's key that holds it.

    Raises:
        InputError: there is no such user, or no home.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise InputError(f"{key}: {clean_text(path, 80)!r}: no such home folder") from error


def _other_branch(item: Any) -> bool:
    """Tell whether an error is of the branch of `text or mapping` that was not meant."""
    if "str" in item["loc"]:
        return isinstance(item["input"], dict)
    return any(map(_is_branch, item["loc"])) and item["type"] == "dict_type"


def _is_branch(part: Any) -> bool:
    return part == "str" or str(part).startswith("dict[")


def _explained(item: Any) -> str:
    place = [str(part) for part in item["loc"] if not _is_branch(part)]
    where = clean_text(".".join(place), 80) if place else "the spec"
    if item["type"] == "extra_forbidden":
        known = _keys_at(place[:-1])
        near = difflib.get_close_matches(place[-1], known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"
        return f"unknown key {where!r}; {hint}"
    if item["type"] == "missing":
        return f"{where}: is missing"
    # What stands where secrets belong is not shown, whatever else is wrong with it.
    hidden = place[:1] == ["notify"]
    given = kind_of(item["input"]) if hidden else clean_text(repr(item["input"]), 60)
    if item["type"] == "model_type":
        return f"{where}: expected a mapping ({', '.join(_keys_at(place))}), not {given}"
    said = clean_text(item["msg"]).replace("valid dictionary", "mapping of keys to values")
    if hidden and item["type"] == "value_error":
        return f"{where}: {said.removeprefix('Value error, ')}"
    return f"{where}: {said}" if ", not " in said else f"{where}: {said}, not {given}"


def _keys_at(place: list[str]) -> list[str]:
    """Return the keys that the spec knows below the key path `place`."""
    part: Any = AuditSpec
    for name in place:
        field = part.model_fields.get(name)
        candidates = get_args(field.annotation) or (field.annotation,) if field else ()
        inner = [kind for kind in _flattened(candidates) if issubclass(kind, BaseModel)]
        if inner:
            part = inner[0]
    fields = part.model_fields.items()
    return [field.alias or name for name, field in fields if name not in ("base", "fetched")]


def _flattened(kinds: tuple[Any, ...]) -> list[type]:
    flat: list[type] = []
    for kind in kinds:
        flat += [kind] if isinstance(kind, type) else _flattened(get_args(kind))
    return flat
