"""An audit in a model card: results in the header, a section in the text, all else untouched."""

import re
from pathlib import Path
from typing import Any

import yaml

from auditor.core.errors import InputError
from auditor.core.record import AuditRecord
from auditor.core.text import clean_text
from auditor.core.whole import write_whole
from auditor.exports.model_card import END, START, About, result_of, section_of

LARGEST = 1 << 22
"""Bytes of the largest card that is read."""

_OPEN = r"\A(\ufeff?---[ \t]*\n)"
_HEADER = re.compile(rf"{_OPEN}(.*?)(^---[ \t]*(?:\n|\Z))", re.MULTILINE | re.DOTALL)
_INDEX = re.compile(r"^model-index[ \t]*:.*\n(?:[ \t-].*\n|\n+(?=[ \t-]))*", re.MULTILINE)


def card_of(record: AuditRecord, about: About) -> str:
    """Return a card of the audit alone, to be pasted."""
    return carded("", record, about, "the card")


def carded(text: str, record: AuditRecord, about: About, origin: str) -> str:
    """Return a card with the audit in it, in the place of what an earlier audit wrote.

    Results of others in its `model-index` are kept; `origin` names the card in errors.

    Raises:
        InputError: the card can't be changed safely.
    """
    header = _HEADER.match(text)
    if header is None and re.match(_OPEN, text):
        raise InputError(f"{origin}: its header begins with --- and has no end")
    opening, inside, closing = header.groups() if header else ("", "", "")
    body = _with_section(text[len(opening + inside + closing) :], section_of(record), origin)
    result = result_of(record, about)
    if result is not None:
        name = clean_text(record.subject.name, 120)
        inside = _with_result(inside, result, about.name, name, origin)
        opening, closing = opening or "---\n", closing or ("---\n\n" if text else "---\n")
    end = "\n" if closing and not closing.endswith("\n") else ""
    return f"{opening}{inside}{closing}{end}{body}"


def write_card(path: Path, record: AuditRecord, about: About) -> None:
    """Write the audit into a card, which is made where there is none.

    Raises:
        InputError: the card can't be read or changed.
        OSError: it can't be written; it stays as it was.
    """
    origin = clean_text(path)
    if path.exists() and not path.is_file():
        raise InputError(f"{origin}: no regular file, so no model card")
    if not path.resolve().parent.is_dir():
        raise InputError(f"{origin}: there is no such folder to write a model card in")
    try:
        raw = path.read_bytes() if path.exists() else b""
        if len(raw) > LARGEST:
            raise InputError(f"{origin}: larger than {LARGEST >> 20} MiB, so no model card")
        given = raw.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        said = getattr(error, "strerror", None) or "not UTF-8"
        raise InputError(f"{origin}: can't be read as a model card: {said}") from error
    windows = "\r\n" in given
    if windows and re.search(r"(?<!\r)\n", given):
        raise InputError(f"{origin}: mixes line ends of Windows and Unix; use one of them")
    text = carded(given.replace("\r\n", "\n"), record, about, origin)
    made = text.replace("\n", "\r\n") if windows else text
    write_whole(path.resolve(), made.encode("utf-8"), shared=True)


def _with_result(
    header: str, result: dict[str, Any], wanted: str | None, name: str, origin: str
) -> str:
    """Return the YAML of a header with a result in its `model-index`."""
    before = _loaded(header, origin)
    index = _merged(before.get("model-index"), result, wanted, name, origin)
    old = _INDEX.search(header)
    head, tail = (header[: old.start()], header[old.end() :]) if old else (header, "")
    made = f"{head}{_dumped(index)}{tail}"
    known = (old is not None) == ("model-index" in before)
    if not known or _loaded(made, origin) != {**before, "model-index": index}:
        raise InputError(f"{origin}: its model-index can't be told from the rest of its header")
    return made


def _loaded(header: str, origin: str) -> dict[str, Any]:
    try:
        loaded = yaml.safe_load(header)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{origin}: its header is no valid YAML: {clean_text(error)}") from error
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise InputError(f"{origin}: its header is no mapping of keys")
    return loaded


def _merged(
    index: Any, result: dict[str, Any], wanted: str | None, name: str, origin: str
) -> list[dict[str, Any]]:
    """Return a `model-index` with our result in the place of that for the same task and data."""
    try:
        entries = [{**entry, "results": list(entry["results"])} for entry in index or []]
        if wanted is not None or len(entries) == 1:
            name = wanted or entries[0]["name"]
        own = next((entry for entry in entries if entry["name"] == name), None)
        if own is None:
            return [*entries, {"name": name, "results": [result]}]
        own["results"] = [*(r for r in own["results"] if _of(r) != _of(result)), result]
    except (TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{origin}: its model-index is not as the Hub defines it") from error
    return entries


def _of(result: dict[str, Any]) -> tuple[Any, ...]:
    data = result["dataset"]
    return result["task"]["type"], data["type"], data["name"], data.get("split")


def _dumped(index: list[dict[str, Any]]) -> str:
    return yaml.safe_dump({"model-index": index}, sort_keys=False, allow_unicode=True, width=1000)


def _with_section(text: str, section: str, origin: str) -> str:
    starts, ends = text.count(START), text.count(END)
    if (starts, ends) == (0, 0):
        gap = "" if not text else "\n" if text.endswith("\n") else "\n\n"
        return f"{text}{gap}{section}\n"
    head, _, rest = text.partition(START)
    _, closed, tail = rest.partition(END)
    if (starts, ends) != (1, 1) or not closed:
        raise InputError(f"{origin}: wants {START} and {END} once each, in this order")
    return f"{head}{section}{tail}"
