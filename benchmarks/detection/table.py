"""The score as Markdown."""

import datetime
import os
import platform
from collections.abc import Mapping, Sequence

import torch

from benchmarks.detection.case import Case
from benchmarks.detection.found import Found
from benchmarks.detection.score import Alarms, Outcome, alarms, outcome, totals

KINDS = {
    "data": "planted in the data",
    "model": "planted in the model",
    "loss": "planted in the loss",
    "training": "planted in training",
    "weights": "planted in trained weights",
    "post": "programs of real posts",
}


def outcomes(chosen: Sequence[Case], found: Mapping[str, Found]) -> list[Outcome]:
    """Return how each faulty case that was run came out."""
    return [
        outcome(case, found[case.id], found[case.twin])
        for case in chosen
        if case.causes and case.id in found and case.twin in found
    ]


def page(chosen: Sequence[Case], found: Mapping[str, Found]) -> str:
    """Return the whole table as Markdown."""
    judged = outcomes(chosen, found)
    quiet = [
        line
        for kind, name in {"healthy": "healthy models", "fixed": "fixed programs"}.items()
        for line in _alarms(alarms(found, [c for c in chosen if c.kind == kind]), name)
    ]
    parts = (_head(found), _rates(judged), quiet, _causes(judged), _missed(judged), _every(judged))
    return "\n".join(line for part in parts for line in part)


def _head(found: Mapping[str, Found]) -> list[str]:
    seconds = sorted(one.seconds for one in found.values() if one.seconds is not None)
    middle = seconds[len(seconds) // 2] if seconds else 0.0
    return [
        f"Run on {datetime.date.today():%d %B %Y} on {_machine()}, torch {torch.__version__}: "
        f"{len(seconds)} audits of the standard profile, {middle:.0f} s at the median, "
        f"{max(seconds, default=0.0):.0f} s at most, one thread each.",
        "",
    ]


def _machine() -> str:
    return f"{platform.machine()} ({os.cpu_count()} cores, {platform.system()}, CPU only)"


def _rates(judged: Sequence[Outcome]) -> list[str]:
    lines = [
        "| cases | detected | right cause first | within three | place right |",
        "|---|---|---|---|---|",
    ]
    halves = {"limits set on (even seeds)": 0, "**reported on (odd seeds)**": 1}
    groups = [
        (f"all, {name}", [o for o in judged if o.case.seed % 2 == half])
        for name, half in halves.items()
    ]
    groups += [(name, [o for o in judged if o.case.kind == kind]) for kind, name in KINDS.items()]
    for name, some in groups:
        sums = totals(some)
        lines.append(f"| {name} | {sums.detected} | {sums.first} | {sums.third} | {sums.place} |")
    return [*lines, ""]


def _alarms(silent: Alarms, name: str) -> list[str]:
    lines = [
        f"In {silent.audits} audits of {name}, {len(silent.fails)} findings failed "
        f"and {len(silent.warns)} warned.",
        "",
    ]
    for verdict, said in (("fail", silent.fails), ("warn", silent.warns)):
        lines += [f"- {verdict}: {case}, `{check}`: {summary}" for case, check, summary in said]
    return [*lines, ""]


def _causes(judged: Sequence[Outcome]) -> list[str]:
    """Return the rates by the cause that names the fault itself, the worst first."""
    named: dict[str, list[Outcome]] = {}
    for one in judged:
        if one.counts:
            named.setdefault(one.case.causes[0], []).append(one)
    sums = {cause: totals(some) for cause, some in named.items()}
    lines = [
        "| cause | cases | detected | right cause first | within three | place right |",
        "|---|---|---|---|---|---|",
    ]
    for cause in sorted(sums, key=lambda c: (sums[c].third.hits / sums[c].third.of, c)):
        rates = sums[cause]
        placed = f"{rates.place.hits} of {rates.place.of}" if rates.place.of else ""
        lines.append(
            f"| `{cause}` | {rates.first.of} | {rates.detected.hits} | {rates.first.hits} "
            f"| {rates.third.hits} | {placed} |"
        )
    return [*lines, ""] if named else []


def _missed(judged: Sequence[Outcome]) -> list[str]:
    lines = ["| missed | metric, twin's | said | causes named |", "|---|---|---|---|"]
    for one in judged:
        if one.counts and (one.rank is None or one.rank > 3 or one.place is False):
            mine, twin = one.metric
            where = "" if one.place is not False else " (wrong place)"
            lines.append(
                f"| {one.case.id}{where} | {mine:.3g}, {twin:.3g} | {', '.join(one.loud) or '-'} "
                f"| {', '.join(one.causes[:4]) or '-'} |"
            )
    return [*lines, ""] if len(lines) > 2 else []


def _every(judged: Sequence[Outcome]) -> list[str]:
    lines = [
        "<details><summary>Every case</summary>",
        "",
        "| case | metric, twin's | counts | detected | rank | place | seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    words = {True: "yes", False: "no", None: ""}
    for one in judged:
        mine, twin = one.metric
        metric = f"| {one.case.id} | {mine:.3g}, {twin:.3g}"
        if not one.counts:
            lines.append(f"{metric} | no: as good as its twin | | | | |")
            continue
        why = "killed" if one.killed else "hides by nature"
        lines.append(
            f"{metric} | {why} | {words[one.detected]} "
            f"| {one.rank or '-'} | {words[one.place]} | {one.seconds:.0f} |"
        )
    return [*lines, "", "</details>", ""]
