"""The commands that look back: at the history of audits, and at one audit beside another."""

import enum
import io
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from auditor.commands.options import HistoryOption, SharedOption, TableFormat, TableFormatOption

if TYPE_CHECKING:
    from auditor.history.named import Named
    from auditor.history.sqlite import SqliteHistory


class CompareFormat(enum.StrEnum):
    """How a comparison is shown."""

    TEXT = "text"
    JSON = "json"
    HTML = "html"


def history(
    name: Annotated[
        str | None, typer.Argument(help="The name of what was audited [all of them].")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Audits to show.")] = 20,
    form: TableFormatOption = TableFormat.TEXT,
    accept: Annotated[
        str | None, typer.Option("--accept", metavar="ID", help="Accept this audit as it is.")
    ] = None,
    unaccept: Annotated[
        str | None, typer.Option("--unaccept", metavar="ID", help="Take that back.")
    ] = None,
    file: HistoryOption = None,
) -> None:
    """List earlier audits, the newest first, and what changed from one to the next.

    An audit is accepted where nothing failed in it, or by hand with --accept. `audit show ID` shows
    one again, and `audit compare` two side by side.
    """
    from auditor.commands.history_table import history_table
    from auditor.commands.machine import history_json
    from auditor.commands.printing import print_shown
    from auditor.core.errors import InputError
    from auditor.core.text import counted
    from auditor.history.listing import lines

    kept = opened(file)
    if not kept.exists and (file is not None or name or accept or unaccept):
        raise InputError(f"{kept.shown}: no history of audits there")
    if accept is not None or unaccept is not None:
        for id_, accepted in ((accept, True), (unaccept, False)):
            if id_ is not None:
                _accept(kept, id_, accepted)
        return
    found = lines(kept, name, limit) if kept.exists else ()
    if form is TableFormat.JSON:
        typer.echo(history_json(kept.shown, found))
    elif found:
        print_shown(history_table(found))
        if len(found) == limit:
            typer.echo(f"\nNot more than {counted(limit, 'audit')} shown; --limit sets how many.")
    else:
        typer.echo(f"no audit was kept yet; `audit run` keeps them in {kept.shown}")


def compare(
    before: Annotated[
        str, typer.Argument(help="A record, the folder of one, an id in the history, or last.")
    ],
    after: Annotated[str, typer.Argument(help="The later audit, named in the same way.")],
    form: Annotated[
        CompareFormat, typer.Option("--format", help="What to print, or to write to --out.")
    ] = CompareFormat.TEXT,
    out: Annotated[
        str | None,
        typer.Option("--out", "-o", help="File to write [HTML: compare.html; else it is printed]."),
    ] = None,
    shared: SharedOption = False,
    file: HistoryOption = None,
) -> None:
    """Compare two audits: what is new, fixed, worse, unchanged or can't be compared.

    `last` is the audit of the same subject before the other one.
    """
    from auditor.commands.printing import print_path, write_shown
    from auditor.commands.targets import writable
    from auditor.core.errors import InputError
    from auditor.core.text import clean_text
    from auditor.core.whole import make_folder, write_whole
    from auditor.report.compare.machine import compare_json
    from auditor.report.compare.page import render_compare
    from auditor.report.compare.text import compare_table
    from auditor.report.compare.view import view_compare

    page = Path(out or "compare.html")
    if page.is_dir():
        raise InputError(f"--out: {clean_text(page)} is a folder; name a file in it")
    one, other = _pair(before, after, file)
    view = view_compare(one.record, other.record, (one.source, other.source))
    match form:
        case CompareFormat.JSON:
            text = compare_json(one.record, other.record, (one.source, other.source))
        case CompareFormat.HTML:
            text = render_compare(view)
        case CompareFormat.TEXT:
            shown = io.StringIO()
            write_shown(compare_table(view), shown)
            text = shown.getvalue()
    if form is not CompareFormat.HTML and out is None:
        typer.echo(text, nl=False)
        return
    make_folder(writable(page.parent), shared=shared)
    write_whole(page, text.encode("utf-8", "surrogateescape"), shared=shared)
    typer.echo(view.headline)
    print_path(page)


def opened(file: str | None = None) -> "SqliteHistory":
    """Return the history in a file, the user's own where none is named."""
    from auditor.history.place import history_file
    from auditor.history.sqlite import SqliteHistory

    return SqliteHistory(history_file(file))


def _accept(kept: "SqliteHistory", start: str, accepted: bool) -> None:
    from auditor.core.errors import InputError
    from auditor.core.text import clean_text
    from auditor.history.named import ID

    id_ = kept.id_of(start) if ID.match(start) else None
    if id_ is None:
        raise InputError(f"{clean_text(start, 40)!r}: no such audit in the history ({kept.shown})")
    kept.accept(id_, accepted)
    typer.echo(f"{id_} is {'accepted' if accepted else 'no longer accepted by hand'}")


def _pair(before: str, after: str, file: str | None) -> "tuple[Named, Named]":
    """Return two records; `last` is the one before the other."""
    from auditor.core.errors import InputError
    from auditor.history.named import LAST, record_named

    named = partial(record_named, opened=partial(opened, file))
    if before == after == LAST:
        raise InputError("last, last: one of the two has to be a record or an id")
    if before == LAST:
        other = named(after)
        return _last(other, file), other
    one = named(before)
    return one, (_last(one, file) if after == LAST else named(after))


def _last(other: "Named", file: str | None) -> "Named":
    """Return the audit of a record's subject before that one."""
    from auditor.core.errors import InputError
    from auditor.core.fingerprint import identity_of
    from auditor.history.baseline import baseline_named
    from auditor.history.entry import entry_of
    from auditor.history.history import About
    from auditor.history.named import LAST

    entry, known = entry_of(other.record), identity_of(other.record.subject)
    about = About(known.name, known.factory, known.task, entry.glance.volatile.started, entry.id)
    found = baseline_named(LAST, partial(opened, file), about, entry.only)
    if found.named is None:
        raise InputError(f"last: {found.lacking}")
    return found.named
