"""From `module:callable` to the callable, looked up beside the spec first."""

import difflib
import importlib
import inspect
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from auditor.core.errors import InputError
from auditor.core.text import clean_text, kind_of, listed

_NOT_THE_USERS = (
    sysconfig.get_path("stdlib"),
    sysconfig.get_path("purelib"),
    sysconfig.get_path("platlib"),
    str(Path(__file__).parents[1]),
)
"""Folders whose lines tell the user nothing: Python's, installed packages', this package's."""


EXTRAS = {
    "lightning": "lightning",
    "pytorch_lightning": "lightning",
    "timm": "timm",
    "torchvision": "torchvision",
    "transformers": "hf",
}
"""The extras that bring packages of which models are made."""


def resolve(reference: str, base: Path, key: str) -> Callable[..., Any]:
    """Return the callable that `reference` names; `key` is the spec's key that holds it.

    Raises:
        InputError: the reference is malformed, its module can't be imported or lacks the name.
    """
    module_name, _, attribute = reference.partition(":")
    shown = clean_text(reference, 80)
    if not all(name.isidentifier() for name in (*module_name.split("."), *attribute.split("."))):
        raise InputError(f"{key}: {shown!r} is not of the form `module:callable`")
    if module_name.endswith(".py"):
        meant = f"{module_name.removesuffix('.py')}:{attribute}"
        raise InputError(f"{key}: {shown!r} names a file; did you mean {clean_text(meant, 80)!r}?")
    with first_on_path(base):
        module = _imported(module_name, base, key)
    found: Any = module
    for name in attribute.split("."):
        if not hasattr(found, name):
            known = sorted(n for n in getattr(found, "__dict__", {}) if not n.startswith("_"))
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {listed(known, 12)}"
            raise InputError(
                f"{key}: {shown!r}: module {clean_text(module_name, 60)!r} "
                f"({clean_text(getattr(module, '__file__', 'built in'))}) has no {name!r}; "
                f"{hint if known else 'it has nothing public'}"
            )
        found = getattr(found, name)
    if not callable(found):
        raise InputError(f"{key}: {shown!r} is {kind_of(found)}, not a callable")
    return found  # type: ignore[no-any-return]


def call(function: Callable[..., Any], arguments: dict[str, Any], key: str) -> Any:
    """Return what the user's function returns; an exception it raises names `key`.

    Raises:
        InputError: the function does not take these arguments, or it raised.
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        signature = None
    if signature is not None:
        try:
            signature.bind(**arguments)
        except TypeError as error:
            name = clean_text(getattr(function, "__name__", "the callable"), 60)
            raise InputError(
                f"{key.partition('.')[0]}.args: {name}() {clean_text(error)}; "
                f"it takes {clean_text(signature, 160)}"
            ) from error
    try:
        return function(**arguments)
    except (Exception, SystemExit) as error:
        raise InputError(f"{key}: {blame(error)}") from error


def blame(error: BaseException) -> str:
    """Return one line on an exception from the user's own code: where, what."""
    trace = error.__traceback__
    place = ""
    while trace is not None:
        code = trace.tb_frame.f_code
        if not code.co_filename.startswith(("<", *_NOT_THE_USERS)):
            place = f"at {Path(code.co_filename).name}, line {trace.tb_lineno}, in {code.co_name}: "
        trace = trace.tb_next
    first = str(error).strip().partition("\n")[0]
    said = f"{type(error).__name__}: {first}" if first else type(error).__name__
    return f"raised {clean_text(place)}{clean_text(said)}"


def how_to_install(package: str) -> str:
    """Return "; pip install 'auditor[hf]'" for a package that an extra brings, else nothing."""
    extra = EXTRAS.get(package.partition(".")[0])
    return f"; pip install 'auditor[{extra}]'" if extra else ""


def _imported(name: str, base: Path, key: str) -> Any:
    beside = base / f"{name.partition('.')[0]}.py"
    cached = sys.modules.get(name)
    if cached is not None and beside.is_file():
        file = getattr(cached, "__file__", None)
        if file is None or Path(file).resolve() != beside.resolve():
            del sys.modules[name]
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        top = (error.name or "").partition(".")[0]
        if top == name.partition(".")[0]:
            raise InputError(
                f"{key}: no module {clean_text(name, 60)!r} beside the spec "
                f"({clean_text(base)}) or installed in this Python"
            ) from error
        raise InputError(
            f"{key}: module {clean_text(name, 60)!r} needs {clean_text(top, 60)!r}, which is not "
            f"installed in this Python{how_to_install(top)}"
        ) from error
    except (Exception, SystemExit) as error:
        raise InputError(f"{key}: importing {clean_text(name, 60)!r} {blame(error)}") from error


@contextmanager
def first_on_path(base: Path) -> Iterator[None]:
    """Let imports look in `base` first; it stays on the path last, for imports made later."""
    folder = str(base.resolve())
    sys.path.insert(0, folder)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(folder)
        if folder not in sys.path:
            sys.path.append(folder)
