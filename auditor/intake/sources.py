"""The files in which the user's code stands: what builds the model, its layers, its data."""

import functools
import importlib.metadata
import inspect
import json
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from auditor.core.spec import AuditSpec
from auditor.core.text import clean_text
from auditor.intake.code_places import code_named_in
from auditor.intake.reference import resolve

MOST_CLASSES = 200
"""Classes of layers whose files are looked up."""

PACKAGES = frozenset({"site-packages", "dist-packages"})

_INSTALLED = tuple(
    Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "purelib", "platlib")
)


@dataclass(frozen=True)
class Source:
    """What a piece of code makes, and its file; None where it was typed in."""

    makes: str
    file: Path | None


def named_code(spec: AuditSpec, factory: Any = None) -> dict[str, Any]:
    """Return the callables that a spec names, by its keys; `factory` is what builds the model.

    Raises:
        InputError: one of them can't be found.
    """
    found = {
        key: resolve(reference, spec.base, key)
        for key, reference in code_named_in(spec).items()
        if key != "model.factory"
    }
    return found if factory is None else {"model.factory": factory, **found}


def model_sources(model: nn.Module, code: Mapping[str, Any]) -> list[Source]:
    """Return where the model's code stands: its factory, and the classes of its layers.

    Layers of installed packages are left out where there is other code.
    """
    found = [_source(key, code[key]) for key in ("model.factory", "factory") if key in code]
    kinds = list(dict.fromkeys(type(module) for module in model.modules()))[:MOST_CLASSES]
    for kind in kinds:
        source = _source(f"layers of class {clean_text(kind.__qualname__, 60)}", kind)
        if source.file is None or not is_installed(source.file):
            found.append(source)
    return _once(found)


def other_sources(code: Mapping[str, Any], loaders: Mapping[str, Any]) -> list[Source]:
    """Return where the code of data, loss and the like stands."""
    found = [_source(k, v) for k, v in code.items() if k not in ("model.factory", "factory")]
    for split, loader in loaders.items():
        kind = type(getattr(loader, "dataset", loader))
        source = _source(f"data.{split}", kind)
        if source.file is not None and not is_installed(source.file):
            found.append(source)
    return [source for source in _once(found) if source.file is not None]


def is_installed(file: Path) -> bool:
    """Tell whether a file is of Python itself or of an installed package."""
    return not PACKAGES.isdisjoint(file.parts) or any(file.is_relative_to(p) for p in _INSTALLED)


def is_library(named: Any) -> bool:
    """Tell whether a class or function comes with Python or an installed package."""
    module = sys.modules.get(getattr(named, "__module__", None) or "")
    file = getattr(module, "__file__", None)
    return file is not None and is_installed(Path(file))


def package_of(file: Path) -> str:
    """Return the distribution of an installed file with its version, and its commit if it has one.

    Empty where it can't be told.
    """
    places = [place for place in file.parents if place.name in PACKAGES]
    if not places:
        return "Python" if any(file.is_relative_to(place) for place in _INSTALLED) else ""
    top = file.relative_to(places[0]).parts[0].partition(".")[0]
    try:
        found = importlib.metadata.distribution(top)
    except importlib.metadata.PackageNotFoundError:
        names = importlib.metadata.packages_distributions().get(top, [])
        if not names:
            return ""
        found = importlib.metadata.distribution(names[0])
    commit = _commit_of(found)
    return f"{found.name} {found.version}{f' ({commit[:12]})' if commit else ''}"


def _commit_of(package: importlib.metadata.Distribution) -> str:
    """Return the commit that a package was installed from, where pip noted one (PEP 610)."""
    try:
        noted = json.loads(package.read_text("direct_url.json") or "{}")
        return clean_text(noted.get("vcs_info", {}).get("commit_id", ""), 64)
    except (ValueError, AttributeError, RecursionError):
        return ""


def _source(makes: str, named: Any) -> Source:
    return Source(makes, _file_of(named))


def _file_of(named: Any) -> Path | None:
    """Return the file that a callable is written in; None where there is none any more."""
    while isinstance(named, functools.partial):
        named = named.func
    named = inspect.unwrap(named)
    if inspect.ismethod(named):
        named = named.__func__
    if not (inspect.isfunction(named) or inspect.isclass(named)):
        named = type(named)
    try:
        file = Path(inspect.getsourcefile(named) or inspect.getfile(named))
        return file.resolve() if file.is_file() else None
    except (TypeError, OSError, ValueError):
        return None


def _once(found: list[Source]) -> list[Source]:
    """Return each file once, with what it makes first."""
    kept: dict[Path | None, Source] = {}
    for source in found:
        kept.setdefault(source.file, source)
    return list(kept.values())


def relative(file: Path, root: Path) -> str:
    """Return a path as it is told: relative to `root`, else the name alone."""
    return file.relative_to(root).as_posix() if file.is_relative_to(root) else file.name
