"""`python -m benchmarks.recorder`: what a Recorder costs at its default cadence, against its bar.

Two equal trainings take turns step by step in one process, one of them recorded. A recorded step
is one of three kinds: one that is looked into, one after which rows are written, or any other. What
each kind takes longer than a plain step is told by medians, which other programs on the machine
hardly change, and counted as often as the kind comes between two looks.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from auditor import Recorder
from auditor.recorder.recorder import EVERY
from benchmarks.recorder.trainings import CASES, Case, Training

BAR = 0.03


@dataclass(frozen=True)
class Cost:
    """Seconds of a plain step, the share that recording adds to it, and seconds of the start."""

    step: float
    overhead: float
    start: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a table, and return 1 where a recorded training is slower than its bar."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recorder", description=__doc__)
    parser.add_argument("--turns", type=int, help="of each training [3 to 25, by its length]")
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    print(f"{'training':20}{'step':>10}{'overhead':>10}{'bar':>7}{'start, once':>14}")
    late = 0
    for case in CASES:
        found = cost(case, asked.turns or case.turns)
        verdict = "" if found.overhead <= BAR else "  too slow"
        late += found.overhead > BAR
        print(
            f"{case.name:20}{1e3 * found.step:7.2f} ms{found.overhead:10.1%}{BAR:7.0%}"
            f"{1e3 * found.start:11.0f} ms{verdict}",
            flush=True,
        )
    return int(late > 0)


def cost(case: Case, turns: int) -> Cost:
    """Return what recording a training costs, by so many times the steps between two looks."""
    plain, recorded = Training(case), Training(case)
    without: list[float] = []
    with_it: dict[str, list[float]] = {"looked into": [], "written": [], "other": []}
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        recorder = Recorder(
            Path(folder) / "model.pt", recorded.model, recorded.optimizer, train=recorded.loader
        )
        start = time.process_time() - began
        for _ in range(turns * EVERY + 1):
            # What watches the next step would watch that of the other training too.
            watched = recorder.steps % EVERY == 0
            if not watched:
                without.append(seconds(plain, None))
            written = recorder.steps % EVERY == EVERY - 1
            kind = "looked into" if watched else "written" if written else "other"
            with_it[kind].append(seconds(recorded, recorder))
        recorder.close()
    step = statistics.median(without)
    more = {kind: statistics.median(times) - step for kind, times in with_it.items()}
    whole = more["looked into"] + more["written"] + (EVERY - 2) * more["other"]
    return Cost(step, whole / (EVERY * step), start)


def seconds(training: Training, recorder: Recorder | None) -> float:
    """Return the processor's time of one step."""
    began = time.process_time()
    training.run(1, recorder)
    return time.process_time() - began


if __name__ == "__main__":
    sys.exit(main())
