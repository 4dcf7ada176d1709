"""The most memory that the children of a function take, whatever ran before in this process.

Linux hands a process's peak on to what it starts, and counts the children of a whole process
together: asked in a process of tests, both tell of the tests that ran earlier.
"""

import multiprocessing
import resource
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor


def peak_of_children(function: Callable[..., object], *arguments: object) -> int:
    """Call a module's function in a process of its own; return bytes."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        return pool.submit(_measured, function, arguments).result()


def _measured(function: Callable[..., object], arguments: tuple[object, ...]) -> int:
    function(*arguments)
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
