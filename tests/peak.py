"""The most memory that a function's children take, or a command, whatever ran before here.

Linux hands a process's peak on to what it starts, and counts the children of a whole process
together: asked in a process of tests, both tell of the tests that ran earlier.
"""

import multiprocessing
import resource
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path


def peak_of_children(function: Callable[..., object], *arguments: object) -> int:
    """Call a module's function in a process of its own; return bytes."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        return pool.submit(_measured, function, arguments).result()


def _measured(function: Callable[..., object], arguments: tuple[object, ...]) -> int:
    function(*arguments)
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024


MEASURED = """
import pathlib, resource, subprocess, sys

code = subprocess.call(sys.argv[2:])
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
pathlib.Path(sys.argv[1]).write_text(str(peak))
sys.exit(code)
"""


def measuring(file: Path) -> list[str]:
    """Return what to put before a command, for its peak in bytes to be written to `file`."""
    return [sys.executable, "-c", MEASURED, str(file)]
