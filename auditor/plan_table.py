"""The plan as a table for the terminal."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from auditor.core.request import Cost
from auditor.core.text import bounded, clean_text, counted
from auditor.engine.plan import Plan


def plan_table(plan: Plan) -> RenderableType:
    """Return the work with its passes, the sums, and what can't be asked of this subject."""
    table = Table(box=None, pad_edge=False)
    table.add_column("work", overflow="fold")
    table.add_column("forward", justify="right")
    table.add_column("backward", justify="right")
    for work in plan.work:
        _row(table, work.name, work.cost, at_most=work.at_most)
        if work.sweep is not None:
            for request in work.requests:
                table.add_row(Text(f"  {request.key}", style="dim"), "", "")
    _row(table, "all", plan.cost, at_most=any(work.at_most for work in plan.work), style="bold")
    notes = [
        Text(f"{request.key} is left out: {clean_text(answer.reason)}")
        for request, answer in plan.unavailable.items()
    ]
    total = counted(len(plan.work), "piece of work", "pieces of work")
    return Group(table, Text(f"{total}; passes are of one batch each."), *notes)


def _row(table: Table, name: str, cost: Cost, *, at_most: bool, style: str = "") -> None:
    passes = (bounded(count, at_most=at_most) for count in (cost.forwards, cost.backwards))
    table.add_row(Text(name, style=style), *passes)
