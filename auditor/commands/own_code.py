"""What is told before the user's own code runs: which of it, and from which files."""

from pathlib import Path

import typer

from auditor.core.spec import AuditSpec
from auditor.core.text import clean_text
from auditor.intake.code_places import located_in


def tell_own_code(spec: AuditSpec) -> None:
    """Print a line for each callable that a spec names, with the file that it is taken from."""
    for one in located_in(spec):
        place = clean_text(_shown(one.file), 200)
        key, reference = clean_text(one.key, 80), clean_text(one.reference, 120)
        typer.echo(f"audit: {key}: {reference} from {place}", err=True)


def _shown(file: str) -> str:
    """Return a file's path, from the current folder where it lies below it."""
    if not file:
        return "Python itself"
    path, here = Path(file), Path.cwd()
    return f"./{path.relative_to(here).as_posix()}" if path.is_relative_to(here) else file
