"""Running a pickle that the user vouches for by its hash: the only place where one is run.

The bytes that are hashed are the bytes that are run: they are read once, into memory.
"""

import hashlib
import io
import warnings
from argparse import Namespace
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from auditor.core.errors import InputError
from auditor.core.text import clean_text
from auditor.intake.reference import blame
from auditor.opening.contents import Opaque, SparseAt, TensorAt
from auditor.opening.files import opened

DEEPEST = 64


@dataclass(frozen=True)
class Ran:
    """What came out of a pickle: its tree, live and described, and the modules in it by dotted key.

    In the tree a module is its state dict.
    """

    held: Any
    tree: Any
    sha256: str
    bytes: int
    modules: Mapping[str, nn.Module] = field(default_factory=dict)


def ran(path: Path, vouched: str) -> Ran:
    """Return what torch.load makes of the file at `path`, with whatever its pickle runs.

    `vouched` is its hash, as "sha256:" and 64 digits.

    Raises:
        InputError: the file has another hash, or can't be loaded.
    """
    shown = clean_text(path)
    try:
        with opened(path) as file:
            data = file.read()
    except InputError as error:
        raise InputError(f"{shown}: {error}") from error
    sha256 = hashlib.sha256(data).hexdigest()
    if vouched.lower() != f"sha256:{sha256}":
        raise InputError(
            f"{shown}: model.allow_pickle: its hash is another one, so nothing of it was run.\n"
            f"  vouched for: {clean_text(vouched, 80)}\n"
            f"  this file:   sha256:{sha256}\n"
            "  Vouch for it only if you know who made it and that they meant this very file."
        )
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            held = torch.load(io.BytesIO(data), map_location="cpu", weights_only=False)
    except (Exception, SystemExit) as error:
        raise InputError(f"{shown}: can't be loaded: {blame(error)}") from error
    size = len(data)
    del data
    modules: dict[str, nn.Module] = {}
    made = _plain(held, "", modules, 0)
    return Ran(made, _described(made), sha256, size, modules)


def _plain(value: Any, key: str, modules: dict[str, nn.Module], depth: int) -> Any:
    """Return a value made of dicts, lists and tensors as far as it can be; take modules down."""
    if depth > DEEPEST:
        return None
    if isinstance(value, nn.Module):
        modules[key] = value
        value = value.state_dict()
    if isinstance(value, Namespace):
        value = vars(value)
    if isinstance(value, torch.Tensor):
        return value.detach()
    if isinstance(value, Mapping):
        return {
            name: _plain(inner, f"{key}.{name}" if key else str(name), modules, depth + 1)
            for name, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [
            _plain(inner, f"{key}.{place}", modules, depth + 1) for place, inner in enumerate(value)
        ]
    return value


def _described(value: Any) -> Any:
    """Return the same tree as the restricted reader makes it, without the tensors' values."""
    if isinstance(value, torch.Tensor):
        dtype = str(value.dtype).removeprefix("torch.")
        if value.layout is not torch.strided:
            return SparseAt(str(value.layout).removeprefix("torch."), (), tuple(value.shape))
        return TensorAt(dtype, tuple(value.shape), tuple(value.stride()), 0, 0)
    if isinstance(value, dict):
        return {name: _described(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_described(inner) for inner in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return Opaque(f"{type(value).__module__}.{type(value).__qualname__}")
