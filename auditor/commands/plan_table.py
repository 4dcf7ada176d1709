"""The plan as tables for the terminal: its work, and what each section costs."""

from collections.abc import Iterable, Mapping

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from auditor.core.check import SECTIONS, Check
from auditor.core.request import Cost, Profile
from auditor.core.subject import SubjectFacts
from auditor.core.text import bounded, clean_text, counted
from auditor.engine.plan import Plan, planned, times_plain

TIMES = (
    "A section's cost is that of its checks alone; what sections share is done once. The last "
    "column tells how many times it is a plain forward and backward pass over the batches that the "
    "section looks at (those of the longest run over each split; a backward pass counts as two "
    "forward passes)."
)
REMEDIES = (
    "Where something is found, trials of remedies on copies come on top; `remedies: false` under "
    "`audit` leaves them out."
)


def plan_table(
    plan: Plan, sections: Mapping[str, Plan], facts: SubjectFacts, *, remedies: bool = True
) -> RenderableType:
    """Return the work with its passes, the sums, and what can't be asked of this subject.

    `sections` are the plans of each section's checks alone, by its title.
    """
    table = Table(box=None, pad_edge=False)
    table.add_column("work", overflow="fold")
    table.add_column("forward", justify="right")
    table.add_column("backward", justify="right")
    for work in plan.work:
        _row(table, work.name, work.cost, at_most=work.at_most)
        if work.sweep is not None:
            for request in work.requests:
                table.add_row(Text(f"  {request.key}", style="dim"), "", "")
    _row(table, "all", plan.cost, at_most=plan.at_most, style="bold")
    notes = [
        Text(f"{request.key} is left out: {clean_text(answer.reason)}")
        for request, answer in plan.unavailable.items()
    ]
    total = counted(len(plan.work), "piece of work", "pieces of work")
    said = Text(f"{total}; passes are of one batch each.{' ' + REMEDIES if remedies else ''}")
    return Group(table, said, *notes, Text(), _by_section(sections, facts), Text(TIMES))


def plans_by_section(
    checks: Iterable[Check], profile: Profile, facts: SubjectFacts
) -> dict[str, Plan]:
    """Return the plan of each section's checks alone, by the section's title."""
    asked = tuple(checks)
    return {
        title: planned(mine, profile, facts)
        for section, title in SECTIONS.items()
        if (mine := [check for check in asked if check.section == section])
    }


def _by_section(sections: Mapping[str, Plan], facts: SubjectFacts) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("section", overflow="fold")
    table.add_column("forward", justify="right")
    table.add_column("backward", justify="right")
    table.add_column("times a plain pass over", justify="right")
    for title, plan in sections.items():
        _row(table, title, plan.cost, _times(plan, facts), at_most=plan.at_most)
    return table


def _times(plan: Plan, facts: SubjectFacts) -> str:
    told = times_plain(plan, {split: known.batches for split, known in facts.data.items()})
    if told is None:
        return "–"
    times, batches = told
    return f"{'≤ ' if plan.at_most else ''}{times:.1f} × {counted(batches, 'batch', 'batches')}"


def _row(table: Table, name: str, cost: Cost, *more: str, at_most: bool, style: str = "") -> None:
    passes = (bounded(count, at_most=at_most) for count in (cost.forwards, cost.backwards))
    table.add_row(Text(name, style=style), *passes, *more)
