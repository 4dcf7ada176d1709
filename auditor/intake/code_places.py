"""Where the code lies that a spec names: told by Python's own finders, without running it."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from auditor.core.spec import AuditSpec

Found = tuple[str | None, list[str]]
"""The file of a module, None where it has none, and the folders of a package."""


@dataclass(frozen=True)
class Located:
    """A callable of the user's own that an audit runs: its key in the spec, and its file.

    The file is empty where Python has the module built in.
    """

    key: str
    reference: str
    file: str


def code_named_in(spec: AuditSpec) -> dict[str, str]:
    """Return what a spec names as `module:callable`, by its keys."""
    losses = spec.loss if isinstance(spec.loss, dict) else {"": spec.loss}
    named = {
        "model.factory": spec.model.factory,
        "data.train": spec.data.train,
        "data.val": spec.data.val,
        "data.batch": spec.data.batch,
        **{f"loss.{name}" if name else "loss": value for name, value in losses.items()},
    }
    return {key: value for key, value in named.items() if isinstance(value, str) and ":" in value}


def located_in(spec: AuditSpec) -> Iterator[Located]:
    """Yield where the code lies that a spec names; what is not found is left to the import."""
    for key, reference in code_named_in(spec).items():
        file = file_of(reference.partition(":")[0], spec.base)
        if file is not None:
            yield Located(key, reference, file)


def file_of(module: str, base: Path) -> str | None:
    """Return the file that importing a module would run last, its folder where it has none.

    It is looked for as the worker imports it: beside the spec, then where Python looks, then in
    the current folder. A package above it is not imported, so that what it does to its own path is
    not known here.
    """
    names = module.split(".")
    if not all(name.isidentifier() for name in names):
        return None
    importlib.invalidate_caches()
    with _searching_from(base):
        origin, inside = _top(names[0])
        for name in names[1:]:
            origin, inside = _origin_of(PathFinder.find_spec(name, inside))
    if origin in ("built-in", "frozen"):
        return ""
    return origin or next(iter(inside), None)


def _top(name: str) -> Found:
    """Return what the first finder says that knows a module of no package."""
    for finder in sys.meta_path:
        try:
            found = finder.find_spec(name, None)
        except (ImportError, ValueError, OSError):
            continue
        if found is not None:
            return _origin_of(found)
    return None, []


def _origin_of(found: ModuleSpec | None) -> Found:
    if found is None:
        return None, []
    return found.origin, list(found.submodule_search_locations or ())


@contextmanager
def _searching_from(base: Path) -> Iterator[None]:
    """Let finders look where a worker does."""
    before = sys.path
    # A script's folder, which Python puts first, is none of the worker's.
    rest = before if sys.flags.safe_path else before[1:]
    sys.path = [str(base.resolve()), *rest, str(Path.cwd())]
    try:
        yield
    finally:
        sys.path = before
