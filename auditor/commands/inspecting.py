"""The commands that look into a checkpoint: what stands in it, and a first spec for it."""

from typing import TYPE_CHECKING, Annotated

import typer

from auditor.commands.options import (
    AllowTorchscriptOption,
    KeyOption,
    TableFormat,
    TableFormatOption,
)

if TYPE_CHECKING:
    from auditor.intake.inspection import Inspection

CheckpointArgument = Annotated[
    str, typer.Argument(metavar="CHECKPOINT", help="The weights: a file, a folder or an address.")
]


def inspect(
    checkpoint: CheckpointArgument,
    key: KeyOption = None,
    allow_torchscript: AllowTorchscriptOption = None,
    whole: Annotated[
        bool, typer.Option("--all", help="Show every tensor, and all that stands beside them.")
    ] = False,
    form: TableFormatOption = TableFormat.TEXT,
) -> None:
    """Show what stands in a checkpoint: weights, training state, classes it asks for, its hash.

    Nothing of it is run, and no model is needed. Exit code 2 on what `audit run` would refuse.
    """
    seen = _inspected(checkpoint, key, allow_torchscript)
    if form is TableFormat.JSON:
        from auditor.commands.inspection_json import inspection_json

        typer.echo(inspection_json(seen))
    else:
        from auditor.commands.inspection_text import inspection_table
        from auditor.commands.printing import print_shown

        print_shown(inspection_table(seen, whole=whole))


def _inspected(checkpoint: str, key: str | None, allow_torchscript: bool | None) -> "Inspection":
    """Return what stands in a checkpoint that is named as `audit run` would have it named."""
    from dataclasses import replace
    from pathlib import Path

    from auditor.commands.targets import flags_named
    from auditor.core.addresses import without_credentials
    from auditor.core.spec import ModelSpec
    from auditor.intake.inspection import inspected
    from auditor.opening.located import located, told_by_name

    path = located(checkpoint, Path.cwd(), "CHECKPOINT")
    with flags_named({("model", "key"): key}), told_by_name(path, checkpoint):
        allow = ModelSpec(allow_torchscript=bool(allow_torchscript)).allowed
        seen = inspected(path, key, allow)
    return replace(seen, path=without_credentials(checkpoint))


def init(
    checkpoint: CheckpointArgument,
    key: KeyOption = None,
    allow_torchscript: AllowTorchscriptOption = None,
    out: Annotated[str, typer.Option("--out", "-o", help="Folder for the two files.")] = ".",
    force: Annotated[bool, typer.Option("--force", help="Overwrite what is there.")] = False,
) -> None:
    """Write a first spec for a checkpoint, and a stub module for what it can't tell.

    Look at both, fill in what says TODO, and `audit run`.
    """
    from pathlib import Path

    from auditor.commands.draft import drafted
    from auditor.commands.starting import next_steps, spec_path, write_new
    from auditor.commands.stub_module import MODULE
    from auditor.core.spec_file import SPEC
    from auditor.core.text import clean_text

    folder = Path(out)
    seen = _inspected(checkpoint, key, allow_torchscript)
    checkpoint = seen.path
    draft = drafted(seen, spec_path(checkpoint, folder), key)
    files = {folder / SPEC: draft.spec, folder / f"{MODULE}.py": draft.module}
    write_new(files, force=force)
    for path in files:
        typer.echo(clean_text(path))
    for line in next_steps(draft, checkpoint, key, folder, bool(allow_torchscript)):
        typer.echo(line)
