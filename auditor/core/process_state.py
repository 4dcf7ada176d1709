"""What all code of a process shares: read, compared, and put back as it was.

It knows torch and matplotlib only where they are loaded anyway.
"""

import gc
import locale
import logging
import operator
import os
import random
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Part:
    """One thing that is shared: its name for people, how it is read, and how it is put back.

    `same` compares what was with what is. An import may change what is `by_import`: where a
    package was loaded meanwhile, that is nobody's doing.
    """

    name: str
    read: Callable[[], Any]
    write: Callable[[Any], object]
    same: Callable[[Any, Any], bool] = operator.eq
    by_import: bool = False


class State:
    """Some parts as they were at one moment."""

    def __init__(self, parts: Iterable[Part]) -> None:
        self._packages = _packages()
        self._before = [(part, part.read()) for part in parts]

    def changed(self) -> tuple[str, ...]:
        """Return the names of what somebody has changed since, other than by an import."""
        imported = _packages() != self._packages
        return tuple(
            part.name for part, _ in self._differing() if not (part.by_import and imported)
        )

    def put_back(self, names: Container[str] | None = None) -> None:
        """Put back what has changed, all of it or only the parts of these names."""
        for part, before in self._differing():
            if names is None or part.name in names:
                with suppress(Exception):  # what can't be put back stays; the rest is
                    part.write(before)

    def _differing(self) -> Iterator[tuple[Part, Any]]:
        for part, before in self._before:
            if not part.same(before, part.read()):
                yield part, before


@contextmanager
def process_kept() -> Iterator[list[str]]:
    """Put everything back after a block; the list tells then what somebody had changed."""
    changed: list[str] = []
    state = State((*PROCESS, *RANDOM))
    try:
        yield changed
    finally:
        changed += state.changed()
        state.put_back()


def left_changed(changed: Iterable[str]) -> str:
    """Return, as the end of a sentence, what was left changed."""
    return f"left {', '.join(changed)} changed, which was put back"


def _packages() -> frozenset[str]:
    return frozenset(name for name in sys.modules if "." not in name)


def _folder() -> str | None:
    with suppress(OSError):
        return os.getcwd()
    return None


def _set_folder(path: str | None) -> None:
    if path is not None:
        os.chdir(path)


def _set_environment(before: dict[str, str]) -> None:
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)


def _set_path(before: list[str]) -> None:
    sys.path[:] = before


def _umask() -> int:
    mask = os.umask(0o077)  # what another thread writes meanwhile is too private, never too open
    os.umask(mask)
    return mask


def _filters() -> tuple[Any, ...]:
    return list(warnings.filters), warnings.showwarning


def _set_filters(before: tuple[Any, ...]) -> None:
    warnings.filters[:] = before[0]  # type: ignore[index]
    warnings._filters_mutated()  # type: ignore[attr-defined]
    warnings.showwarning = before[1]


def _loggers() -> dict[str, tuple[Any, ...]]:
    known = dict(logging.root.manager.loggerDict)
    loggers = {name: one for name, one in known.items() if isinstance(one, logging.Logger)}
    loggers[""] = logging.root
    told: dict[str, tuple[Any, ...]] = {
        name: (
            one,
            one.level,
            one.disabled,
            one.propagate,
            [(handler, handler.level) for handler in one.handlers],
            list(one.filters),
        )
        for name, one in loggers.items()
    }
    told["/"] = (logging.root.manager.disable,)
    return told


def _set_loggers(before: dict[str, tuple[Any, ...]]) -> None:
    logging.disable(before["/"][0])
    for name, told in before.items():
        if name != "/":
            logger, level, logger.disabled, logger.propagate, handlers, filters = told
            logger.setLevel(level)
            logger.handlers[:] = [handler for handler, _ in handlers]
            logger.filters[:] = filters
            for handler, its_level in handlers:
                handler.setLevel(its_level)


def _same_loggers(before: dict[str, Any], now: dict[str, Any]) -> bool:
    """Compare the loggers that there were; new ones come with every import."""
    return all(now.get(name) == told for name, told in before.items())


def _signals() -> dict[int, Any]:
    return {int(one): signal.getsignal(one) for one in _SIGNALS}


def _set_signals(before: dict[int, Any]) -> None:
    if threading.current_thread() is threading.main_thread():
        for number, handler in before.items():
            if handler is not None and signal.getsignal(number) != handler:
                signal.signal(number, handler)


_SIGNALS = sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})


def _streams() -> tuple[Any, ...]:
    return sys.stdin, sys.stdout, sys.stderr, sys.excepthook, sys.displayhook


def _set_streams(before: tuple[Any, ...]) -> None:
    sys.stdin, sys.stdout, sys.stderr, sys.excepthook, sys.displayhook = before


def _locale() -> str:
    return locale.setlocale(locale.LC_ALL)


def _set_locale(before: str) -> None:
    locale.setlocale(locale.LC_ALL, before)


def _plotting() -> dict[str, Any]:
    loaded: Any = sys.modules.get("matplotlib")
    parameters = getattr(loaded, "rcParams", None)
    # Read as a plain mapping: asking it for its backend would choose one.
    return dict.copy(parameters) if isinstance(parameters, dict) else {}


def _set_plotting(before: dict[str, Any]) -> None:
    if before:
        dict.update(sys.modules["matplotlib"].rcParams, before)


def _same_plotting(before: dict[str, Any], now: dict[str, Any]) -> bool:
    return not before or before == now


def _numpy() -> tuple[Any, ...]:
    state: Any = np.random.get_state()
    kind, keys, *rest = state
    return kind, keys.tobytes(), tuple(rest)


def _set_numpy(before: tuple[Any, ...]) -> None:
    kind, keys, rest = before
    np.random.set_state((kind, np.frombuffer(keys, np.uint32), *rest))


def _set_collector(on: bool) -> None:
    (gc.enable if on else gc.disable)()


PROCESS: tuple[Part, ...] = (
    Part("the current folder", _folder, _set_folder),
    Part("the environment", lambda: dict(os.environ), _set_environment, by_import=True),
    Part("sys.path", lambda: list(sys.path), _set_path, by_import=True),
    Part("the umask", _umask, os.umask),
    Part("the filters of warnings", _filters, _set_filters, by_import=True),
    Part("the settings of logging", _loggers, _set_loggers, _same_loggers, by_import=True),
    Part("the handlers of signals", _signals, _set_signals, by_import=True),
    Part("the standard streams", _streams, _set_streams, by_import=True),
    Part("the locale", _locale, _set_locale, by_import=True),
    Part("the settings of matplotlib", _plotting, _set_plotting, _same_plotting),
    Part("numpy's handling of errors", np.geterr, lambda before: np.seterr(**before)),
    Part("the limit of recursion", sys.getrecursionlimit, sys.setrecursionlimit, by_import=True),
    Part("garbage collection", gc.isenabled, _set_collector),
)
"""What no work of an audit may leave changed."""

RANDOM: tuple[Part, ...] = (
    Part("the random state of Python", random.getstate, random.setstate),
    Part("the random state of numpy", _numpy, _set_numpy),
)
"""What work may use, as long as it is put back."""
