"""Running cases side by side, each in a process of its own kind, and keeping what came of them."""

import multiprocessing
import os
import sys
import time
import traceback
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from benchmarks.detection.case import Case, cases
from benchmarks.detection.found import Found, found_in, read, write


def run(chosen: Sequence[Case], folder: Path, jobs: int) -> dict[str, Found]:
    """Audit the cases, healthy twins first; what stands in `folder` already is not run again.

    Raises:
        RuntimeError: a case could not be run; the others were, and are kept.
    """
    _run([case for case in chosen if not case.twin], folder, jobs)
    _run([case for case in chosen if case.twin], folder, jobs)
    ran = {case.id: read(folder, case.id) for case in chosen}
    broken = [id for id, found in ran.items() if found is None]
    if broken:
        raise RuntimeError(f"could not be run: {', '.join(broken)}")
    return {id: found for id, found in ran.items() if found is not None}


def _run(some: Sequence[Case], folder: Path, jobs: int) -> None:
    missing = [case.id for case in some if read(folder, case.id) is None]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=_one_thread) as pool:
        began, waiting = time.monotonic(), {pool.submit(_kept, id, folder): id for id in missing}
        for done, future in enumerate(as_completed(waiting), 1):
            if error := future.exception():
                traceback.print_exception(error)
            spent = time.monotonic() - began
            id = waiting[future]
            print(f"{done}/{len(missing)} {spent:.0f} s {id}", file=sys.stderr, flush=True)


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def _kept(id: str, folder: Path) -> None:
    case = cases()[id]
    write(folder, found_in(case, read(folder, case.twin) if case.twin else None))


def processes() -> int:
    """Return how many cases run side by side."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
