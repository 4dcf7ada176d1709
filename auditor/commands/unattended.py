"""What a run needs that nobody watches: one at a time, reports by date, figures for a monitor."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from auditor.commands.options import IfRunning

if TYPE_CHECKING:
    from auditor.core.record import AuditRecord
    from auditor.core.spec import AuditSpec


@contextmanager
def one_at_a_time(spec: "AuditSpec", if_running: IfRunning) -> Iterator[None]:
    """Keep other audits of the same subject waiting meanwhile.

    Raises:
        typer.Exit: another audit runs, and this one is to leave.
    """
    from auditor.schedule.lock import alone, subject_key

    def say(text: str) -> None:
        typer.echo(f"audit: {text}", err=True)

    with alone(subject_key(spec), waits=if_running is IfRunning.WAIT, say=say) as got:
        if not got:
            raise typer.Exit(0)
        yield


def checked(dated: bool, keep: int | None, metrics: str | None, resume: bool) -> None:
    """Refuse options that don't go together.

    Raises:
        InputError: they don't, or the file of `--metrics` can't be one.
    """
    from auditor.core.errors import InputError
    from auditor.core.text import clean_text

    if keep is not None and not dated:
        raise InputError("--keep: goes with --dated")
    if dated and resume:
        raise InputError("--resume: goes on in one folder; name it with --out, without --dated")
    if metrics is not None and (Path(metrics).is_dir() or not Path(metrics).parent.is_dir()):
        raise InputError(f"--metrics: {clean_text(metrics)}: name a file in a folder that exists")


@contextmanager
def report_folder(spec: "AuditSpec", dated: bool) -> Iterator[Path]:
    """Name the folder of the reports; one of its own in the spec's where they are dated.

    Raises:
        InputError: it can't be written to.
    """
    from auditor.commands.targets import writable
    from auditor.schedule.dated import dated_folder

    folder = writable(Path(spec.output.dir))
    if not dated:
        yield folder
        return
    with dated_folder(folder, datetime.now(UTC), shared=spec.output.shared) as own:
        yield own


def afterwards(
    record: "AuditRecord", spec: "AuditSpec", keep: int | None, metrics: str | None
) -> Iterator[str]:
    """Write the figures and delete old reports; yield what went wrong, which costs no audit."""
    from auditor.core.fingerprint import identity_of
    from auditor.core.text import clean_text
    from auditor.core.whole import write_whole
    from auditor.report.prometheus import render_prometheus
    from auditor.schedule.dated import prune

    if metrics is not None:
        try:
            # Read by another user's program: the folder tells who may.
            write_whole(Path(metrics), render_prometheus(record).encode(), shared=True)
        except OSError as error:
            yield f"--metrics: {clean_text(metrics)}: not written: {error.strerror}"
    if keep is not None:
        yield from prune(Path(spec.output.dir), identity_of(record.subject), keep)
