"""`python -m benchmarks.detection`: audit the cases and print and write the table."""

import argparse
import sys
from fnmatch import fnmatch
from pathlib import Path

from benchmarks.detection.case import Case, cases, with_twins
from benchmarks.detection.fast import FAST, FLOOR
from benchmarks.detection.found import Found
from benchmarks.detection.run import processes, run
from benchmarks.detection.score import Rate, alarms, totals
from benchmarks.detection.table import outcomes, page


def main() -> int:
    """Run what was asked for; return 1 where the fast cases come out below their floor."""
    parser = argparse.ArgumentParser(prog="benchmarks.detection", description=__doc__)
    parser.add_argument("only", nargs="*", help="patterns of case ids, such as 'planted/*/0'")
    parser.add_argument("--fast", action="store_true", help="a few cases, with a floor")
    parser.add_argument("--list", action="store_true", help="print the ids of the cases")
    parser.add_argument("--out", type=Path, default=Path("benchmark-detection"))
    parser.add_argument("--jobs", type=int, default=processes())
    asked = parser.parse_args()
    patterns = FAST if asked.fast else tuple(asked.only) or ("*",)
    chosen = [case for case in cases().values() if any(fnmatch(case.id, p) for p in patterns)]
    if not chosen:
        parser.error(f"no case matches {' '.join(patterns)}")
    if asked.list:
        print("\n".join(case.id for case in chosen))
        return 0
    every = with_twins(chosen)
    found = run(every, asked.out / "audits", asked.jobs)
    text = page(every, found)
    asked.out.mkdir(parents=True, exist_ok=True)
    (asked.out / "table.md").write_text(text, encoding="utf-8")
    print(text)
    return below_floor(every, found) if asked.fast else 0


def below_floor(chosen: list[Case], found: dict[str, Found]) -> int:
    """Say where the fast cases come out below their floor, and return 1 then."""
    sums = totals(outcomes(chosen, found))
    failed = alarms(found, [case for case in chosen if case.kind == "healthy"]).fails
    rates: dict[str, Rate] = {name: getattr(sums, name) for name in FLOOR}
    low = {name: rate for name, rate in rates.items() if rate.hits < FLOOR[name] * rate.of}
    for name, rate in low.items():
        print(f"{name}: {rate}, below the floor of {FLOOR[name]:.0%}", file=sys.stderr)
    for model, check, summary in failed:
        print(f"{model}: {check} fails on a healthy model: {summary}", file=sys.stderr)
    return int(bool(failed) or bool(low))


if __name__ == "__main__":
    sys.exit(main())
