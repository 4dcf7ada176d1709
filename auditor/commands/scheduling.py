"""The commands of schedules: emit, add, list, remove."""

import enum
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from auditor.commands.options import MetricsOption, TableFormat, TableFormatOption

if TYPE_CHECKING:
    from auditor.schedule.job import Job

schedule = typer.Typer(
    help="Run an audit now and then: print or install what starts it.", no_args_is_help=True
)


class Scheduler(enum.StrEnum):
    """What a schedule is written for."""

    SYSTEMD = "systemd"
    CRON = "cron"
    KUBERNETES = "kubernetes"
    GITHUB = "github"


class Installed(enum.StrEnum):
    """What a schedule is installed in."""

    SYSTEMD = "systemd"
    CRON = "cron"


SpecArgument = Annotated[
    str, typer.Argument(metavar="SPEC", help="A spec (audit.yaml), or a folder that holds one.")
]
EveryOption = Annotated[
    str | None, typer.Option("--every", help="hour, day, week, month, 6h, 30m ...")
]
AtOption = Annotated[
    str | None, typer.Option("--at", help="The time of day [04:MM, by the schedule's name].")
]
CronOption = Annotated[
    str | None, typer.Option("--cron", help="The five fields of a cron expression.")
]
CalendarOption = Annotated[
    str | None, typer.Option("--calendar", help="An OnCalendar expression; systemd only.")
]
ScheduleNameOption = Annotated[
    str | None, typer.Option("--name", help="The schedule's name [made of the spec's].")
]
KeepCountOption = Annotated[
    int, typer.Option("--keep", min=1, help="How many of the newest reports to keep.")
]


@schedule.command()
def emit(
    spec: SpecArgument,
    to: Annotated[Scheduler, typer.Option("--to", help="What it is written for.")],
    every: EveryOption = None,
    at: AtOption = None,
    cron: CronOption = None,
    calendar: CalendarOption = None,
    name: ScheduleNameOption = None,
    keep: KeepCountOption = 30,
    metrics: MetricsOption = None,
    image: Annotated[
        str | None, typer.Option("--image", help="The image that Kubernetes runs.")
    ] = None,
    sarif: Annotated[
        bool, typer.Option("--sarif", help="Let GitHub show the findings under code scanning.")
    ] = False,
) -> None:
    """Print units, a cron line, a manifest or a workflow; nothing is installed."""
    from auditor.core.errors import InputError
    from auditor.schedule import crontab, github, kubernetes, systemd

    job = _job(spec, (every, at, cron, calendar), name, keep, metrics)
    for flag, given, only in (
        ("--image", image is not None, (Scheduler.KUBERNETES,)),
        ("--sarif", sarif, (Scheduler.GITHUB,)),
        ("--metrics", metrics is not None, (Scheduler.SYSTEMD, Scheduler.CRON)),
    ):
        if given and to not in only:
            raise InputError(f"{flag}: goes with --to {' or '.join(only)} only")
    match to:
        case Scheduler.SYSTEMD:
            folder = "~/.config/systemd/user"
            texts = (f"# {folder}/{file}\n{text}" for file, text in systemd.units(job).items())
            typer.echo("\n".join(texts), nl=False)
        case Scheduler.CRON:
            typer.echo(crontab.line(job))
        case Scheduler.KUBERNETES:
            typer.echo(kubernetes.manifest(job, image), nl=False)
        case Scheduler.GITHUB:
            typer.echo(github.workflow(job, sarif=sarif), nl=False)


@schedule.command()
def add(
    spec: SpecArgument,
    every: EveryOption = None,
    at: AtOption = None,
    cron: CronOption = None,
    calendar: CalendarOption = None,
    to: Annotated[
        Installed | None,
        typer.Option("--to", help="Where to [systemd where it runs, else cron]."),
    ] = None,
    name: ScheduleNameOption = None,
    keep: KeepCountOption = 30,
    metrics: MetricsOption = None,
) -> None:
    """Install a schedule for this user; adding it again replaces it."""
    from auditor.core.errors import InputError
    from auditor.core.text import clean_text
    from auditor.schedule.hosts import host_for, installed
    from auditor.schedule.install_systemd import NAME, lingers

    job = _job(spec, (every, at, cron, calendar), name, keep, metrics)
    known = list(installed())
    for _, entry in known:
        if entry.name == job.name and entry.spec != str(job.spec):
            raise InputError(
                f"{job.name}: a schedule of that name audits {clean_text(entry.spec)}; "
                "choose another with --name"
            )
    host = host_for(to)
    host.install(job)
    for other, entry in known:
        if entry.name == job.name and other is not host:
            other.remove(job.name)
    found = next(entry for entry in host.entries() if entry.name == job.name)
    typer.echo(f"{job.name}: by {host.NAME}, next on {host.next_run(found) or job.when.text}")
    if host.NAME == NAME and not lingers():
        typer.echo("It runs while you are logged in; always after: loginctl enable-linger")


@schedule.command(name="list")
def list_schedules(form: TableFormatOption = TableFormat.TEXT) -> None:
    """List the schedules that are installed, and when each runs next."""
    from rich.table import Table

    from auditor.commands.printing import print_shown
    from auditor.core.text import clean_text
    from auditor.schedule.hosts import installed

    rows = [
        (entry.name, host.NAME, entry.when, host.next_run(entry), entry.spec)
        for host, entry in installed()
    ]
    if form is TableFormat.JSON:
        keys = ("name", "by", "when", "next", "spec")
        told = [dict(zip(keys, row, strict=True)) for row in rows]
        typer.echo(json.dumps(told, indent=2, allow_nan=False))
        return
    if not rows:
        typer.echo("No schedules; `audit schedule add SPEC --every day` makes one.")
        return
    table = Table(box=None, pad_edge=False)
    for title in ("name", "by", "when", "next", "spec"):
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(*(clean_text(cell or "not known") for cell in row))
    print_shown(table)


@schedule.command()
def remove(
    name: Annotated[
        str, typer.Argument(help="A schedule's name, as `audit schedule list` has it.")
    ],
) -> None:
    """Take a schedule away; its history and reports stay."""
    import difflib

    from auditor.core.errors import InputError
    from auditor.core.text import clean_text, listed
    from auditor.schedule.hosts import installed

    known = list(installed())
    hosts = [host for host, entry in known if entry.name == name]
    if not hosts:
        names = [entry.name for _, entry in known]
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"known: {listed(names) or 'none'}"
        raise InputError(f"{clean_text(name, 60)}: no schedule of that name; {hint}")
    for host in hosts:
        host.remove(name)
        typer.echo(f"{name}: taken out of {host.NAME}")


def _job(
    target: str,
    times: tuple[str | None, str | None, str | None, str | None],
    name: str | None,
    keep: int,
    metrics: str | None,
) -> "Job":
    """Return the schedule that the options of a command come to."""
    from auditor.core.spec_file import SPEC, read_spec
    from auditor.schedule.every import when
    from auditor.schedule.job import Job, environment_of, fit_to_write, name_for, this_program

    path = Path(target) / SPEC if Path(target).is_dir() else Path(target)
    spec = read_spec(path)
    path = fit_to_write(Path(os.path.abspath(path)), "the spec")
    called = name_for(name, spec, path)
    every, at, expression, calendar = times
    return Job(
        name=called,
        spec=path,
        when=when(every, at, expression, calendar, called),
        program=this_program(),
        keep=keep,
        metrics=None if metrics is None else fit_to_write(Path(metrics).absolute(), "--metrics"),
        environment=environment_of(os.environ),
        secrets=spec.notify.variables if spec.notify is not None else (),
    )
