"""`python -m benchmarks.report RECORD`: times `audit render`, from start to end, against its bars.

Each run is a process of its own, so that imports, style sheets and fonts are paid for each time.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

RUNS = 5


@dataclass(frozen=True)
class Case:
    """What is drawn, and within how many seconds on two cores."""

    name: str
    formats: tuple[str, ...]
    bar: float


CASES = (
    Case("HTML", ("html",), 1.0),
    Case("HTML and PDF", ("html", "pdf"), 4.0),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a table, and return 1 where the best of all runs is slower than its bar."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=__doc__)
    parser.add_argument("record", type=Path, help="a record.json")
    parser.add_argument("--runs", type=int, default=RUNS, help=f"of each case [{RUNS}]")
    asked = parser.parse_args(arguments)
    print(f"{'from record to':16}{'best':>8}{'median':>8}{'bar':>8}")
    late = 0
    for case in CASES:
        taken = [seconds(asked.record, case) for _ in range(asked.runs)]
        best, median = min(taken), statistics.median(taken)
        verdict = "" if best <= case.bar else "  too slow"
        late += best > case.bar
        print(f"{case.name:16}{best:6.2f} s{median:6.2f} s{case.bar:6.1f} s{verdict}")
    return int(late > 0)


def seconds(record: Path, case: Case) -> float:
    """Return how long `audit render` takes.

    Raises:
        RuntimeError: it did not write what it was asked for.
    """
    flags = [flag for name in case.formats for flag in ("--format", name)]
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "auditor.cli", "render", str(record), "--out", folder]
        began = time.perf_counter()
        done = subprocess.run([*command, *flags], capture_output=True, text=True)
        taken = time.perf_counter() - began
        written = {path.suffix[1:] for path in Path(folder).iterdir() if path.suffix}
    if done.returncode or written != set(case.formats):
        raise RuntimeError(f"audit render did not do its work: {done.stderr.strip()}")
    return taken


if __name__ == "__main__":
    sys.exit(main())
