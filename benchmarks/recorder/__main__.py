"""`python -m benchmarks.recorder`: what a Recorder costs at its default cadence, against its bar.

Two equal trainings take turns in one process, one of them recorded. A turn is as many steps as lie
between two that are looked into, so that each turn holds one. What counts is the processor's time,
since other programs on the machine change the clock's.
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
    """Return what recording a training costs, by the median of its turns."""
    plain, recorded = Training(case), Training(case)
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        recorder = Recorder(
            Path(folder) / "model.pt", recorded.model, recorded.optimizer, train=recorded.loader
        )
        start = time.process_time() - began
        # Turns end between two looks: what watches the next step would watch both trainings.
        plain.run(EVERY // 2)
        recorded.run(EVERY // 2, recorder)
        pairs = []
        for _ in range(turns):
            without = seconds(plain, None)
            pairs.append((without, seconds(recorded, recorder)))
        recorder.close()
    overhead = statistics.median(with_it / without - 1 for without, with_it in pairs)
    return Cost(statistics.median(without for without, _ in pairs) / EVERY, overhead, start)


def seconds(training: Training, recorder: Recorder | None) -> float:
    """Return the processor's time of one turn."""
    began = time.process_time()
    training.run(EVERY, recorder)
    return time.process_time() - began


if __name__ == "__main__":
    sys.exit(main())
