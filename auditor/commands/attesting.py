"""`audit attest`: an audit as a statement to be signed, and whether its files are as they were."""

from pathlib import Path
from typing import Annotated

import typer

from auditor.commands.options import SharedOption


def attest(
    target: Annotated[
        str,
        typer.Argument(
            metavar="FOLDER|STATEMENT",
            help="The folder of an audit's reports; or, to be checked, a statement.",
        ),
    ],
    out: Annotated[
        str | None, typer.Option("--out", "-o", help="File to write [it is printed].")
    ] = None,
    predicate: Annotated[
        bool, typer.Option("--predicate", help="Only what is said, without of what.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Check the files against their hashes.")
    ] = False,
    checkpoint: Annotated[
        str | None, typer.Option("--checkpoint", help="With --check: its file or folder, too.")
    ] = None,
    shared: SharedOption = False,
) -> None:
    """Write an unsigned in-toto statement on an audit, or check its files; nothing is run.

    Exit code 1: a file is not as it was written; each is named.
    """
    from auditor.core.errors import InputError
    from auditor.core.text import clean_text
    from auditor.core.whole import write_whole
    from auditor.exports.attestation import (
        attested,
        problems,
        problems_of_checkpoint,
        problems_of_statement,
        statement_text,
        subjects_of,
    )

    path = Path(target)
    if checkpoint is not None and not check:
        raise InputError("--checkpoint: goes with --check")
    if not check and not path.is_dir():
        raise InputError(
            f"{clean_text(path)}: no folder of an audit's reports; --check reads a statement"
        )
    found = [*(problems(path) if path.is_dir() else problems_of_statement(path))]
    if checkpoint is not None:
        found += problems_of_checkpoint(subjects_of(path), Path(checkpoint))
    for problem in found:
        typer.echo(f"audit: {problem}", err=True)
    if found:
        raise typer.Exit(1)
    if check:
        typer.echo("every file is as it was written")
        return
    made = attested(path)
    text = statement_text(made["predicate"] if predicate else made)
    if out is None:
        typer.echo(text, nl=False)
        return
    write_whole(Path(out), text.encode("ascii"), shared=shared)
    typer.echo(out)
