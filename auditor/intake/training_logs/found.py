"""The log of a model's training: the one that the spec names, or the one beside the checkpoint."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from auditor.core.errors import InputError
from auditor.core.request import Unavailable
from auditor.core.text import clean_text, listed
from auditor.intake.checkpoint import Checkpoint
from auditor.intake.training_logs.places import Group, groups_beside, groups_in, other_models
from auditor.intake.training_logs.position import Saved, ends_at, fits, placed, saved
from auditor.intake.training_logs.read import EXPECTED, read_log, read_table
from auditor.intake.training_logs.shape import FIRST, last_place, log_of_table
from auditor.intake.training_logs.table import LogTable, UnreadableLogError
from auditor.observations.training_log import TrainingLog

NAME_IT = "name it with `training: {log: metrics.csv}`"

NONE = f"no log of training is known: none lies beside the checkpoint; {NAME_IT}"
NO_PLACE = f"no log of training is known, and there is no checkpoint to look beside; {NAME_IT}"


def log_of(
    named: Path | None, shown: str, checkpoint: Checkpoint | None
) -> TrainingLog | Unavailable:
    """Return the log of training, or why there is none.

    Args:
        named: where the log lies that the spec names, or a folder that holds it.
        shown: its name for people.
        checkpoint: what was opened, to tell at which place of the run it was saved.

    Raises:
        InputError: a log that is named does not exist, or is none.
    """
    of = Saved() if checkpoint is None else saved(checkpoint.plain, checkpoint.path)
    if named is not None:
        return placed(_named(named, clean_text(shown, 120), of), of)
    if checkpoint is None:
        return Unavailable(NO_PLACE)
    return _beside(checkpoint.file, of)


def _named(path: Path, shown: str, of: Saved) -> TrainingLog:
    if not path.exists():
        raise InputError(f"training.log: {shown} does not exist; {EXPECTED}")
    if path.is_dir():
        return _named_folder(path, shown, of)
    try:
        log = read_log(path, shown)
    except UnreadableLogError as error:
        raise InputError(f"training.log: {shown}: {error}; {EXPECTED}") from error
    if not _tells(log, 1):
        raise InputError(
            f"training.log: {shown}: none of its columns is known as a loss, a learning rate or a "
            f"gradient norm; it has {listed(list(log.columns)) or 'none'}, expected names such as "
            "`train_loss`, `val_loss`, `lr`, `grad_norm`"
        )
    return log


def _named_folder(path: Path, shown: str, of: Saved) -> TrainingLog:
    notes: list[str] = []
    for group in groups_in(path):
        logs, unread = _read(group, path)
        notes += unread
        chosen = _only(logs, of, group)
        if chosen is not None:
            source = f"{shown}/{chosen.source}"
            return replace(chosen, source=source, notes=(*chosen.notes, *notes))
        if logs:
            named = listed([log.source for log in logs])
            raise InputError(f"training.log: {shown}: it holds several runs ({named}); name one")
    why = f" ({' '.join(notes)})" if notes else ""
    raise InputError(f"training.log: {shown}: a folder without a log of training{why}; {EXPECTED}")


def _beside(path: Path, of: Saved) -> TrainingLog | Unavailable:
    """Return the log beside a checkpoint that is of its run; others are told and left."""
    notes: list[str] = []
    others = other_models(path)
    for group in groups_beside(path):
        logs, unread = _read(group, path.parent)
        notes += unread
        fitting = [log for log in logs if fits(log, of) is not False]
        notes += [
            f"{log.source} is not of the checkpoint's run: {_span(log)}, and the checkpoint was "
            f"saved at {_at(of)}."
            for log in logs
            if log not in fitting
        ]
        if others and not group.own:
            unsure = [log for log in fitting if not fits(log, of)]
            notes += [
                f"{log.source} may be of another model in the folder ({listed(others, 2)}): to "
                f"have it read, {NAME_IT}."
                for log in unsure
            ]
            fitting = [log for log in fitting if log not in unsure]
        chosen = _only(fitting, of, group)
        if chosen is not None:
            return placed(replace(chosen, notes=(*chosen.notes, *notes)), of)
        if fitting:
            named = listed([log.source for log in fitting])
            notes.append(f"Several logs may be of the checkpoint's run ({named}): {NAME_IT}.")
    return Unavailable(f"{NONE}. {' '.join(dict.fromkeys(notes))}".removesuffix(".") if notes
                       else NONE)  # fmt: skip


def _only(logs: Sequence[TrainingLog], of: Saved, group: Group) -> TrainingLog | None:
    """Return the one log, or the one of several that ends where the checkpoint was saved.

    Of several tellings of one run it is the one that tells most.
    """
    if len(logs) > 1 and len({last_place(log) for log in logs}) == 1 and group.run:
        return max(logs, key=lambda log: (len(log.series), sum(len(s.x) for s in log.series)))
    if len(logs) > 1:
        logs = [log for log in logs if ends_at(log, of)]
    return logs[0] if len(logs) == 1 else None


def _read(group: Group, folder: Path) -> tuple[list[TrainingLog], list[str]]:
    """Return the runs of a group of files that tell of a course, and notes on what can't be read.

    Files of any name that are no logs are passed over in silence.
    """
    logs: list[TrainingLog] = []
    notes: list[str] = []
    if group.events:
        return _runs(group, folder, notes), notes
    for path in group.paths:
        shown = _shown(path, folder)
        try:
            log = read_log(path, shown)
        except UnreadableLogError as error:
            if path.suffix != ".json":
                notes.append(f"{shown} is not read: {error}.")
            continue
        if _tells(log, 2):
            logs.append(log)
    return logs, notes


def _runs(group: Group, folder: Path, notes: list[str]) -> list[TrainingLog]:
    """Return the runs of event files in one folder: what goes on where another began is of it."""
    runs: list[tuple[str, list[LogTable]]] = []
    for path in group.paths:
        shown = _shown(path, folder)
        try:
            table = read_table(path)
        except UnreadableLogError as error:
            if "without scalars" not in str(error):
                notes.append(f"{shown} is not read: {error}.")
            continue
        if runs and _begins(table) > _begins(runs[-1][1][0]):
            runs[-1][1].append(table)
        else:
            runs.append((shown, [table]))
    found = []
    for shown, tables in runs:
        rows = tuple(row for table in tables for row in table.rows)
        said = tuple(dict.fromkeys(note for table in tables for note in table.notes))
        found.append(log_of_table(LogTable(tables[0].format, rows, said), shown))
    return [log for log in found if _tells(log, 2)]


def _begins(table: LogTable) -> float:
    return min((row["step"] for row in table.rows if "step" in row), default=math.inf)


def _shown(path: Path, folder: Path) -> str:
    parts: Iterator[str] = iter(path.parts[len(folder.parts) :])
    inside = path.is_relative_to(folder)
    return clean_text("/".join(parts) if inside else f"../{path.name}", 120)


def _tells(log: TrainingLog, points: int) -> bool:
    return any(one.name in FIRST and len(one.x) >= points for one in log.series)


def _span(log: TrainingLog) -> str:
    return f"it ends at {log.at(last_place(log))}"


def _at(of: Saved) -> str:
    return f"step {of.steps:,.0f}" if not math.isnan(of.steps) else f"epoch {of.epoch:g}"
