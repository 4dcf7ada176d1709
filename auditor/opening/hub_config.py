"""What a Hugging Face folder says of its model: `config.json`, read and bounded before any use."""

import json
from pathlib import Path
from typing import Any

from auditor.core.addresses import is_address
from auditor.core.errors import InputError
from auditor.core.spec import AuditSpec
from auditor.core.spec_file import from_home
from auditor.core.text import clean_text
from auditor.opening.files import opened

CONFIG = "config.json"

FACTORY = "hf"
"""The word in `model.factory` that has the model built as `config.json` says."""

LARGEST = 8 << 20
"""Bytes of the largest file that is read; the names of 20,000 classes take one million."""
DEEPEST = 16
LARGEST_NUMBER = 1 << 24
"""The largest size or count in a configuration: longer contexts and vocabularies are not known."""
FREE = (
    "theta",
    "max_length",
    "base",
    "scale",
    "token_id",
    "seed",
    "rate",
    "size_in_bytes",
    "total_size",
)
"""Parts of the names of numbers that are no sizes."""

REMOTE = ("auto_map", "custom_pipelines")
"""Keys under which a folder names code of its own."""


def hub_folder(checkpoint: Path) -> Path:
    """Return the folder in which `config.json` of a checkpoint, a folder or a file, would lie."""
    return checkpoint if checkpoint.is_dir() else checkpoint.parent


def implied_factory(spec: AuditSpec) -> str | None:
    """Return the model's factory as the spec means it.

    Where it names none, `config.json` tells the model, if the checkpoint is a folder that holds
    one, and there is data to run the model on.
    """
    named, checkpoint = spec.model.factory, spec.model.checkpoint
    if named is not None or checkpoint is None:
        return named
    path = spec.fetched
    if path is None:
        if is_address(checkpoint):
            return None
        path = spec.base / from_home(checkpoint, "model.checkpoint")
    if not (spec.data.train or spec.data.val) or not (path / CONFIG).is_file() or path.is_file():
        return None
    try:
        return FACTORY if "architectures" in read_config(path) else None
    except InputError:
        return FACTORY  # What is wrong with it is told when the model is to be built.


def read_config(folder: Path, name: str = CONFIG) -> dict[str, Any]:
    """Return the JSON mapping in a file of a folder, without what is null.

    Raises:
        InputError: it is missing, no JSON, nested too deeply, of sizes beyond all measure, or names
            code of its own.
    """
    path = folder / name
    shown = clean_text(path)
    try:
        with opened(path) as file:
            text = file.read(LARGEST + 1)
    except InputError as error:
        said = str(error).replace("the checkpoint", "it")
        what = "model" if name == CONFIG else "tokenizer"
        raise InputError(f"{shown}: {said}; it is to say which {what} this is") from error
    if len(text) > LARGEST:
        raise InputError(f"{shown}: more than {LARGEST:,} bytes")
    try:
        held = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{shown}: no JSON") from error
    if not isinstance(held, dict):
        raise InputError(f"{shown}: holds no mapping of names to values")
    try:
        _look_through(held, "", 0)
    except InputError as error:
        raise InputError(f"{shown}: {error}") from error
    return held


def architecture_of(config: dict[str, Any], shown: str) -> str:
    """Return the class that `config.json` names.

    Raises:
        InputError: it names none.
    """
    named = config.get("architectures")
    first = named[0] if isinstance(named, list) and named else None
    if not isinstance(first, str) or not first.isidentifier() or len(first) > 200:
        raise InputError(
            f"{shown}: `architectures` names no class; name one of transformers in the spec, as "
            "`model: {factory: transformers:BertForSequenceClassification}`"
        )
    return first


def _look_through(value: Any, key: str, depth: int) -> None:
    if depth > DEEPEST:
        raise InputError(f"nested more than {DEEPEST} deep")
    if isinstance(value, dict):
        for name, inner in value.items():
            if name in REMOTE and inner:
                raise InputError(
                    f"`{name}` names code that came with the file, which is never run; write a "
                    "function of your own that builds the model, and name it: "
                    "`model: {factory: module:callable}`"
                )
            _look_through(inner, name, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            _look_through(inner, key, depth + 1)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        whole = isinstance(value, int)
        if whole and abs(value) > LARGEST_NUMBER and not any(part in key for part in FREE):
            told = f"{value:,}" if abs(value) < 1 << 64 else "a number of more than 64 bits"
            raise InputError(f"{clean_text(key, 80)} is {told}, more than any model is built with")
