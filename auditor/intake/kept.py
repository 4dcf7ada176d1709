"""Plain values that a training script kept beside the weights, or in files beside the checkpoint.

Everything here comes out of files that anybody may have written: sizes are bounded, nothing of it
is run, and what can't be read is left out with a note.
"""

import json
from argparse import Namespace
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from auditor.core.text import clean_text

BESIDE = ("trainer_state.json", "config.json", "hparams.yaml", "training_args.json", "args.json")
"""Files that trainers write into the checkpoint's folder, as far as they can be read safely."""

DEEPEST = 6
MOST = 20_000
"""Values that are kept of one file."""
LARGEST = 4_000_000
"""Bytes of the largest file of settings beside a checkpoint that is read."""
LARGEST_STATE = 16_000_000
"""Bytes of the largest `trainer_state.json`, which holds a row for each step that was logged."""
LONGEST = 400
"""Characters kept of a text."""


def plain_tree(held: Any, skipped: frozenset[str] = frozenset()) -> dict[str, Any]:
    """Return the mappings, lists and plain values in `held`; tensors of one value are numbers.

    Other tensors and objects are left out, and so is what stands under the keys in `skipped`.
    """
    left = MOST

    def copied(value: Any, depth: int) -> Any:
        nonlocal left
        left -= 1
        if left < 0 or depth > DEEPEST:
            return None
        if isinstance(value, bool | float) or value is None:
            return value
        if isinstance(value, int):
            return value if -(2**63) <= value < 2**64 else clean_text(value, 40)
        if isinstance(value, str):
            return value[:LONGEST]
        if hasattr(value, "numel"):
            return _number(value)
        if isinstance(value, Namespace):
            value = vars(value)
        if isinstance(value, Mapping):
            return {str(k)[:LONGEST]: copied(v, depth + 1) for k, v in _first(value.items())}
        if isinstance(value, list | tuple):
            return [copied(v, depth + 1) for v in _first(value)]
        return None

    def _first(values: Any) -> Iterator[Any]:
        for one in values:
            if left < 0:
                return
            yield one

    if isinstance(held, Namespace):
        held = vars(held)
    if not isinstance(held, Mapping):
        return {}
    return {
        str(key)[:LONGEST]: copied(value, 1)
        for key, value in _first(held.items())
        if key not in skipped
    }


def _number(tensor: Any) -> Any:
    """Return the number in a dense tensor of one value, None of any other, without torch."""
    one = tensor.numel() == 1 and str(tensor.layout) == "torch.strided"
    return tensor.item() if one and not tensor.is_complex() else None


def beside(folder: Path) -> tuple[dict[str, dict[str, Any]], tuple[str, ...]]:
    """Return what the known files in a checkpoint's folder hold, by name, and notes on the rest."""
    found: dict[str, dict[str, Any]] = {}
    notes: list[str] = []
    for name in BESIDE:
        path = folder / name
        if path.is_file():
            held, note = read_json(path) if path.suffix == ".json" else _flat_yaml(path)
            if held:
                found[name] = held
            if note:
                notes.append(note)
    return found, tuple(notes)


def read_json(path: Path) -> tuple[dict[str, Any], str]:
    """Return the mapping in a JSON file, and why there is none; one of the two is empty."""
    text, note = read_text(path)
    if note:
        return {}, note
    try:
        held = json.loads(text)
    except (ValueError, RecursionError):
        return {}, f"{clean_text(path.name, 80)} beside the checkpoint is no JSON: ignored."
    if not isinstance(held, dict):
        return {}, f"{clean_text(path.name, 80)} beside the checkpoint holds no mapping: ignored."
    return plain_tree(held), ""


def read_text(path: Path) -> tuple[str, str]:
    """Return the text of a file beside a checkpoint, and why it is not read."""
    name = clean_text(path.name, 80)
    try:
        size = path.stat().st_size
        if size > (LARGEST_STATE if path.name == "trainer_state.json" else LARGEST):
            return "", f"{name} beside the checkpoint is too large to be read ({size:,} bytes)."
        return path.read_text(encoding="utf-8"), ""
    except (OSError, ValueError):
        return "", f"{name} beside the checkpoint can't be read: ignored."


def _flat_yaml(path: Path) -> tuple[dict[str, Any], str]:
    """Return the `name: value` lines of a YAML file that stand at its left edge."""
    text, note = read_text(path)
    found: dict[str, Any] = {}
    for line in text.splitlines()[:MOST]:
        name, colon, value = line.partition(":")
        if colon and name and not name[0].isspace() and not name.startswith(("#", "-", "!")):
            found[name.strip()[:LONGEST]] = scalar(value.strip())
    return found, note


def scalar(text: str) -> Any:
    """Return a text as the number it writes, else as it is."""
    if text.lower() in ("null", "none", "~", ""):
        return None
    try:
        return int(text) if text.lstrip("+-").isdigit() and len(text) < 19 else float(text)
    except ValueError:
        return text.strip("'\"")[:LONGEST]
