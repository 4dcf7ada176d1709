"""The commands that tell what an audit would do, and do none of it."""

from typing import Annotated

import typer

from auditor.commands.options import (
    AllowPickleOption,
    AllowTorchscriptOption,
    BatchOption,
    CheckpointOption,
    DeviceOption,
    KeyOption,
    LossOption,
    LrOption,
    ModelOption,
    OnlyOption,
    OptimizerOption,
    ProfileOption,
    SkipOption,
    TableFormat,
    TableFormatOption,
    Target,
    TaskOption,
    TrainOption,
    ValOption,
)


def plan(
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
    profile: ProfileOption = None,
    device: DeviceOption = None,
    only: OnlyOption = None,
    skip: SkipOption = None,
    form: TableFormatOption = TableFormat.TEXT,
) -> None:
    """Show the passes that an audit would make, without making them."""
    from auditor.commands.machine import plan_json
    from auditor.commands.own_code import tell_own_code
    from auditor.commands.plan_table import plan_table, plans_by_section
    from auditor.commands.printing import print_shown
    from auditor.commands.targets import flags_named, flags_of, spec_of
    from auditor.engine.plan import planned
    from auditor.engine.supervisor import brought_in
    from auditor.recording import chosen

    flags = flags_of(locals())
    spec = spec_of(target, flags)
    tell_own_code(spec)
    with flags_named(flags):
        checks = chosen(spec)
        subject = brought_in(spec)
    sections = plans_by_section(checks, spec.audit.profile, subject)
    whole = planned(checks, spec.audit.profile, subject)
    if form is TableFormat.JSON:
        typer.echo(plan_json(whole, sections))
    else:
        print_shown(plan_table(whole, sections, subject, remedies=spec.audit.remedies))


def list_checks(form: TableFormatOption = TableFormat.TEXT) -> None:
    """List the checks and what each finds, by section of the report."""
    from auditor.checks import catalogue
    from auditor.commands.explain import listed
    from auditor.commands.machine import checks_json

    typer.echo(checks_json(catalogue()) if form is TableFormat.JSON else listed())


def explain(
    check: Annotated[
        str | None, typer.Argument(help="A check's id, or a section's, as `audit list` has it.")
    ] = None,
) -> None:
    """Explain a check: what it does, why, how, its limits, causes and settings."""
    from auditor.checks import find
    from auditor.commands.explain import explained, listed
    from auditor.core.check import SECTIONS

    typer.echo(listed(check) if check is None or check in SECTIONS else explained(find(check)))
