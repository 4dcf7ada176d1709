"""Rows of numbers, appended to a file; a run that is killed leaves whole lines behind."""

import json
import math
import os
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch

from auditor.core.whole import write_whole
from auditor.intake.recorder_file import mapping_of, read_header
from auditor.recorder.cadence import stride

Row = dict[str, Any]

_ENCODED = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


@dataclass(slots=True)
class Step:
    """One step of training; `more` are other columns of its row."""

    number: int
    loss: Any
    lr: Any
    more: Row


class Rows:
    """The file of one run: steps and rows wait here, on their devices, to be written together."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.waiting: list[Step | Row] = []
        self._owner = os.getpid()
        self._losses, self._sum = 0, 0.0

    def flush(self) -> None:
        """Write what waits. A fork of the process writes nothing: it has copies of these rows."""
        waiting, self.waiting = self.waiting, []
        if waiting and os.getpid() == self._owner:
            rows = [one if isinstance(one, dict) else self._row(one) for one in waiting]
            told = [row for row in rows if row]
            bring_over(told)
            append(self.path, [line_of(_cleared(row)) for row in told])

    def _row(self, step: Step) -> Row:
        """Return the row of a step with the mean loss since the last row; empty where it has none.

        A row is told where something else was seen than plain numbers, or one is due.
        """
        if step.loss is not None:
            self._sum = self._sum + step.loss
            self._losses += 1
        due = step.number % stride(step.number) == 0 and (self._losses or step.more)
        if not due and not any(isinstance(value, dict) for value in step.more.values()):
            return {}
        row: Row = {"step": step.number}
        if self._losses:
            row["train_loss"] = self._sum / self._losses
            self._losses, self._sum = 0, 0.0
        if step.lr is not None:
            row["lr"] = step.lr
        row.update(step.more)
        return row


def begin(path: Path, header: Mapping[str, Any]) -> None:
    """Begin a file anew; the one that an earlier run left there is kept as `.old`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        os.replace(path, path.with_name(f"{path.name}.old"))
    append(path, [line_of(header)])


def go_on(path: Path, after: int | None, mark: Mapping[str, Any]) -> tuple[int, float] | None:
    """Make a file ready to be gone on with; return the step and the epoch that it got to.

    Rows past the step `after` tell of weights that are lost: they are dropped, like a line that
    was cut off. Return None where there is no such file.
    """
    if not path.is_file() or read_header(path)[0] is None:
        return None
    header, *lines = path.read_bytes().splitlines(keepends=True)
    kept, step, epoch = [header], 0, 0.0
    for line in lines:
        row = mapping_of(line) if line.endswith(b"\n") else None
        if row is None or not isinstance(at := row.get("step"), int):
            continue
        if after is None or at <= after:
            kept.append(line)
            step, epoch = max(step, at), row.get("epoch") or epoch
    step = step if after is None else after
    write_whole(path, b"".join(kept), shared=True)
    append(path, [line_of({"step": step, **mark})])
    return step, epoch


def append(path: Path, lines: list[str]) -> None:
    """Write lines to the end of a file, in one piece."""
    text = "".join(f"{line}\n" for line in lines)
    with path.open("ab", buffering=0) as file:
        file.write(text.encode("utf-8", "replace"))


def bring_over(rows: list[Row]) -> None:
    """Put numbers in the place of tensors, all of a device at once."""
    waiting: dict[torch.device, list[tuple[Row, str]]] = defaultdict(list)

    def collect(holder: Row) -> None:
        for key, value in holder.items():
            if isinstance(value, torch.Tensor):
                waiting[value.device].append((holder, key))
            elif isinstance(value, dict):
                collect(value)

    for row in rows:
        collect(row)
    for places in waiting.values():
        values = torch.stack([holder[key].detach().reshape(()).float() for holder, key in places])
        for (holder, key), value in zip(places, values.tolist(), strict=True):
            holder[key] = value


def line_of(row: Mapping[str, Any]) -> str:
    """Return a row as JSON: seven digits of each number, and words for what is not finite."""
    return "{" + ", ".join([f"{_name(key)}: {_value(value)}" for key, value in row.items()]) + "}"


def _value(value: Any) -> str:
    if type(value) is int:
        return str(value)
    if isinstance(value, float):
        if math.isfinite(value):
            return f"{value:.7g}"
        return '"NaN"' if math.isnan(value) else '"Infinity"' if value > 0 else '"-Infinity"'
    return line_of(value) if isinstance(value, dict) else _ENCODED(value)


@cache
def _name(key: str) -> str:
    return _ENCODED(key)


def _cleared(row: Row) -> Row:
    """Return a row without update ratios of weights that were zero: there is none."""
    ratios = row.get("update_ratio")
    if ratios is not None:
        row["update_ratio"] = {name: one for name, one in ratios.items() if math.isfinite(one)}
    return row
