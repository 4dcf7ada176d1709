"""The commands that draw and show what earlier audits found, without their models."""

import enum
import io
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from auditor.commands.options import FormatOption, SharedOption

if TYPE_CHECKING:
    from auditor.report.fleet.models import Audit


class ShowFormat(enum.StrEnum):
    """How a record is shown."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"
    JUNIT = "junit"
    SARIF = "sarif"
    PROMETHEUS = "prometheus"


class FleetFormat(enum.StrEnum):
    """How a fleet is shown."""

    HTML = "html"
    TEXT = "text"
    JSON = "json"


def render(
    record: Annotated[
        str, typer.Argument(help="A record.json, the folder it is in, or an id in the history.")
    ],
    out: Annotated[
        str | None, typer.Option("--out", "-o", help="Folder for the reports [the record's].")
    ] = None,
    formats: FormatOption = None,
    shared: SharedOption = False,
) -> None:
    """Draw the reports of a record again."""
    from auditor.commands.printing import print_path
    from auditor.report.pdf_process import PdfProcess

    chosen = formats or ["html", "pdf", "markdown", "junit"]
    with PdfProcess() if "pdf" in chosen else nullcontext() as process:
        # The process gets ready while this one imports what it needs itself.
        from auditor.commands.looking_back import opened
        from auditor.commands.targets import formats_known, writable
        from auditor.core.errors import InputError
        from auditor.history.named import record_named
        from auditor.report.files import write_reports

        chosen = formats_known(chosen)
        named = record_named(record, opened)
        if out is None and named.path is None:
            raise InputError("--out: name a folder for the reports of an audit in the history")
        folder = writable(named.path.parent if out is None and named.path else Path(out or "."))
        written = write_reports(named.record, folder, chosen, process, shared=shared or None)
    for file in written.paths:
        print_path(file)
    for problem in written.problems:
        typer.echo(f"audit: {problem}", err=True)


def show(
    target: Annotated[
        str,
        typer.Argument(
            metavar="RECORD|FOLDER|ID", help="A record.json, its folder, or an id in the history."
        ),
    ],
    form: Annotated[ShowFormat, typer.Option("--format", help="What to print.")] = ShowFormat.TEXT,
) -> None:
    """Show a record again; nothing is written."""
    from auditor.commands.looking_back import opened
    from auditor.core.record import record_to_json
    from auditor.core.text import clean_text
    from auditor.history.named import record_named

    named = record_named(target, opened)
    record = named.record
    match form:
        case ShowFormat.JSON:
            text = record_to_json(record)
        case ShowFormat.MARKDOWN:
            from auditor.report.markdown import render_markdown

            text = render_markdown(record)
        case ShowFormat.JUNIT:
            from auditor.report.junit import render_junit

            text = render_junit(record)
        case ShowFormat.SARIF:
            from auditor.report.sarif import render_sarif

            text = render_sarif(record)
        case ShowFormat.PROMETHEUS:
            from auditor.report.prometheus import render_prometheus

            text = render_prometheus(record)
        case ShowFormat.TEXT:
            from auditor.commands.printing import print_shown
            from auditor.report.terminal import summary_table

            report = named.path.with_name("report.html") if named.path else None
            print_shown(summary_table(record, whole=True))
            shown = report if report and report.is_file() else named.path
            text = f"\n{clean_text(shown or named.source, 4096)}\n"
    typer.echo(text, nl=False)


def fleet(
    targets: Annotated[
        list[str],
        typer.Argument(metavar="FOLDER|RECORD...", help="Records, or folders that hold some."),
    ],
    out: Annotated[
        str | None,
        typer.Option("--out", "-o", help="File to write [fleet.html; text and JSON are printed]."),
    ] = None,
    form: Annotated[
        FleetFormat, typer.Option("--format", help="A page to write, or what to print.")
    ] = FleetFormat.HTML,
    shared: SharedOption = False,
) -> None:
    """Show the audits of many models: one line a model, the newest changes first.

    Audits are of one model where its name, factory and task agree.
    """
    from auditor.commands.printing import print_path, write_shown
    from auditor.commands.targets import writable
    from auditor.core.errors import InputError
    from auditor.core.text import clean_text
    from auditor.core.whole import make_folder, write_whole
    from auditor.report.fleet.machine import fleet_json
    from auditor.report.fleet.models import fleet as models_of
    from auditor.report.fleet.page import render_fleet
    from auditor.report.fleet.text import fleet_table
    from auditor.report.fleet.view import view_fleet

    file = Path(out or "fleet.html")
    if file.is_dir():
        raise InputError(f"--out: {clean_text(file)} is a folder; name a file in it")
    models = models_of(_audits(targets))
    view = view_fleet(models)
    match form:
        case FleetFormat.JSON:
            text = fleet_json(models)
        case FleetFormat.TEXT:
            shown = io.StringIO()
            write_shown(fleet_table(view), shown)
            text = shown.getvalue()
        case FleetFormat.HTML:
            text = render_fleet(view, file.parent)
    if form is not FleetFormat.HTML and out is None:
        typer.echo(text, nl=False)
        return
    make_folder(writable(file.parent), shared=shared)
    write_whole(file, text.encode("utf-8", "surrogateescape"), shared=shared)
    typer.echo(f"{view.headline} {', '.join(one.text for one in view.tally)}.")
    print_path(file)


def _audits(targets: list[str]) -> "Iterator[Audit]":
    """Return the audits that the targets hold; what else lies in a folder is a warning."""
    from auditor.commands.records import records_below
    from auditor.core.errors import InputError
    from auditor.core.glance import read_glance
    from auditor.core.record import RECORD
    from auditor.core.text import listed
    from auditor.report.fleet.models import Audit

    def warn(text: str) -> None:
        typer.echo(f"audit: {text}", err=True)

    found = 0
    for path in records_below(targets, warn):
        try:
            yield Audit(path, read_glance(path))
            found += 1
        except InputError as error:
            if str(path) in targets:
                raise
            warn(f"left out: {error}")
    if not found:
        raise InputError(f"{listed(targets)}: no {RECORD} of an audit there")
