"""The command line. The only place that prints; imports what a command needs when it runs."""

import io
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from auditor.commands.attesting import attest
from auditor.commands.exporting import exports
from auditor.commands.inspecting import init, inspect
from auditor.commands.looking_back import compare, history
from auditor.commands.options import (
    AllowPickleOption,
    AllowTorchscriptOption,
    BaselineOption,
    BatchOption,
    CheckpointOption,
    DatedOption,
    DeviceOption,
    FailOn,
    FailOnOption,
    FormatOption,
    HistoryOption,
    IfRunning,
    IfRunningOption,
    KeepOption,
    KeyOption,
    LossOption,
    LrOption,
    MetricsOption,
    ModelOption,
    NameOption,
    OnlyOption,
    OptimizerOption,
    OutOption,
    ProfileOption,
    QuietOption,
    SamplesOption,
    SeedOption,
    SharedOption,
    SkipOption,
    Target,
    TaskOption,
    TrainOption,
    ValOption,
)
from auditor.commands.planning import explain, list_checks, plan
from auditor.commands.scheduling import schedule
from auditor.commands.showing import fleet, render, show

if TYPE_CHECKING:
    from auditor.core.record import AuditRecord

app = typer.Typer(
    name="audit",
    help="Tells what is wrong with a neural network before it ships.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def run(
    context: typer.Context,
    target: Target = None,
    model: ModelOption = None,
    checkpoint: CheckpointOption = None,
    key: KeyOption = None,
    allow_torchscript: AllowTorchscriptOption = None,
    allow_pickle: AllowPickleOption = None,
    train: TrainOption = None,
    val: ValOption = None,
    batch: BatchOption = None,
    loss: LossOption = None,
    task: TaskOption = None,
    optimizer: OptimizerOption = None,
    lr: LrOption = None,
    name: NameOption = None,
    profile: ProfileOption = None,
    seed: SeedOption = None,
    device: DeviceOption = None,
    only: OnlyOption = None,
    skip: SkipOption = None,
    out: OutOption = None,
    formats: FormatOption = None,
    shared: SharedOption = False,
    include_samples: SamplesOption = False,
    time_limit: Annotated[
        float | None, typer.Option("--time-limit", help="Seconds for each piece of work [600].")
    ] = None,
    baseline: BaselineOption = None,
    fail_on: FailOnOption = FailOn.FAIL,
    if_running: IfRunningOption = IfRunning.WAIT,
    dated: DatedOption = False,
    keep: KeepOption = None,
    metrics: MetricsOption = None,
    history: HistoryOption = None,
    no_history: Annotated[
        bool, typer.Option("--no-history", help="Keep this audit out of the history.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an audit that was interrupted.")
    ] = False,
    quiet: QuietOption = False,
) -> None:
    """Audit a checkpoint and write the reports.

    Exit code 0: nothing failed; 1: a verdict at or above --fail-on; 2: the input or the usage is
    wrong; 3: the audit could not complete.
    """
    from auditor.api import audit_spec, baseline_for
    from auditor.commands.after import follow_up, with_past
    from auditor.commands.own_code import tell_own_code
    from auditor.commands.targets import command_of, flags_named, flags_of, spec_of
    from auditor.commands.unattended import afterwards, checked, one_at_a_time, report_folder
    from auditor.core.errors import AuditBrokenError
    from auditor.core.text import clean_text
    from auditor.engine.journal import FOLDER

    flags = flags_of(locals())
    spec, command = spec_of(target, flags), command_of(target, flags)
    _checked(fail_on, spec.audit.baseline)
    checked(dated, keep, metrics, resume)
    context.with_resource(one_at_a_time(spec, if_running))
    folder = context.with_resource(report_folder(spec, dated))
    if not quiet:
        tell_own_code(spec)
    try:
        with flags_named(flags):
            held = baseline_for(spec, folder, resume=resume)
            record = _with_progress(
                lambda progress: audit_spec(
                    spec, folder, progress, resume=resume, command=command, baseline=held
                ),
                quiet,
            )
    except KeyboardInterrupt:
        kept = (folder / FOLDER).is_dir()
        where = f"--resume --out {clean_text(folder)}" if dated else "--resume"
        hint = f"{where} goes on from here" if kept else "nothing was written"
        raise AuditBrokenError(f"interrupted; {hint}") from None
    record = with_past(record, spec)
    _delivered(record, folder, list(spec.output.formats), quiet)
    if held.lacking:
        counts = "; every failure counts as new" if fail_on is FailOn.NEW else ""
        typer.echo(f"audit: no earlier audit to compare with: {held.lacking}{counts}", err=True)
    for problem in (*follow_up(record, spec, folder), *afterwards(record, spec, keep, metrics)):
        _told(problem)
    _ended(record, fail_on)


def judge(
    folder: Annotated[str, typer.Argument(help="The folder of an audit's reports.")],
    spec: Annotated[
        str | None, typer.Option("--spec", help="Take checks, limits and waivers from this spec.")
    ] = None,
    formats: FormatOption = None,
    fail_on: FailOnOption = FailOn.FAIL,
    quiet: QuietOption = False,
) -> None:
    """Judge again what an audit saw, without its model, and write the reports anew."""
    from auditor.api import judge_folder
    from auditor.commands.after import with_past
    from auditor.commands.targets import formats_known, writable
    from auditor.core.spec_file import read_spec, spec_from

    settings = read_spec(Path(spec)).audit if spec is not None else None
    record = judge_folder(Path(folder), settings)
    used = spec_from(record.spec, "the audit's spec", Path())
    _checked(fail_on, used.audit.baseline)
    if used.audit.baseline is not None and record.comparison is None:
        typer.echo("audit: what it was compared with is gone; nothing is compared", err=True)
    record = with_past(record, used)
    chosen = formats_known(formats) or record.spec["output"]["formats"]
    _delivered(record, writable(Path(folder)), chosen, quiet)
    _ended(record, fail_on)


app.command()(run)
app.command()(init)
app.command()(inspect)
app.command()(plan)
app.command(name="list")(list_checks)
app.command()(explain)
app.command()(judge)
app.command()(render)
app.command()(show)
app.command()(fleet)
app.add_typer(exports)
app.command()(attest)
app.command()(history)
app.command()(compare)
app.add_typer(schedule, name="schedule")


def main() -> None:
    """Run the command line; what the user handed in wrong ends in one message and exit code 2."""
    from auditor.core.errors import AuditBrokenError, InputError
    from auditor.core.text import clean_text

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal without Unicode shows the codes of signs instead of ending the program.
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except InputError as error:
        _told(error)
        sys.exit(2)
    except AuditBrokenError as error:
        _told(error)
        sys.exit(3)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        _told(f"{place}{error.strerror or type(error).__name__}")
        sys.exit(3)
    except KeyboardInterrupt:
        _interrupted()
    except Exception as error:
        if os.environ.get("AUDIT_DEBUG"):
            raise
        _told(
            f"a fault of this program: {type(error).__name__}: {clean_text(error)}\n"
            "set AUDIT_DEBUG=1 to see where"
        )
        sys.exit(3)
    except SystemExit as ended:
        if ended.code == _INTERRUPTED:
            _interrupted()
        raise


def _told(message: object) -> None:
    """Show a message, which may quote what anybody wrote."""
    from auditor.core.text import clean_message

    typer.echo(f"audit: {clean_message(message)}", err=True)


_INTERRUPTED = 128 + signal.SIGINT
"""What typer ends with, without a word, where a command is interrupted."""


def _interrupted() -> NoReturn:
    typer.echo("audit: interrupted", err=True)
    sys.exit(3)


def _checked(fail_on: FailOn, baseline: str | None) -> None:
    from auditor.core.errors import InputError

    if fail_on is FailOn.NEW and baseline is None:
        raise InputError(
            "--fail-on new: needs an earlier audit to compare with: add --baseline last, or "
            "--baseline and a record"
        )


def _with_progress(work: Callable[[Any], "AuditRecord"], quiet: bool) -> "AuditRecord":
    from rich.console import Console

    from auditor.commands.progress import Lines, Live, Silent

    if quiet:
        return work(Silent())
    console = Console(stderr=True)
    if not console.is_terminal:
        return work(Lines(console))
    with Live(console) as live:
        return work(live)


def _delivered(record: "AuditRecord", folder: Path, formats: list[Any], quiet: bool) -> None:
    """Write the reports and show the table."""
    from auditor.commands.printing import print_path, print_shown
    from auditor.report.files import write_reports
    from auditor.report.terminal import summary_table

    written = write_reports(record, folder, formats)
    if not quiet:
        print_shown(summary_table(record))
        for path in written.paths:
            print_path(path)
    for problem in written.problems:
        _told(problem)


def _ended(record: "AuditRecord", fail_on: FailOn) -> None:
    """End with the exit code of the verdict."""
    from auditor.core.verdict import Verdict

    if any(section.verdict is Verdict.INCOMPLETE for section in record.sections):
        raise typer.Exit(3)
    known = record.comparison
    if fail_on is FailOn.NEW and known is not None:
        raise typer.Exit(int(any(finding.new_failure for finding in known.findings)))
    counted = {
        FailOn.FAIL: {Verdict.FAIL},
        FailOn.WARN: {Verdict.FAIL, Verdict.WARN},
        FailOn.NEW: {Verdict.FAIL},
    }
    if record.verdict in counted.get(fail_on, set()):
        raise typer.Exit(1)


if __name__ == "__main__":
    main()
