"""The plan as a table for the terminal."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from auditor.core.text import clean_text, counted
from auditor.engine.plan import Plan


def plan_table(plan: Plan) -> RenderableType:
    """Return the work with its passes, the sums, and what can't be asked of this subject."""
    table = Table(box=None, pad_edge=False)
    table.add_column("work", overflow="fold")
    table.add_column("forward", justify="right")
    table.add_column("backward", justify="right")
    for work in plan.work:
        table.add_row(Text(work.name), f"{work.cost.forwards:,}", f"{work.cost.backwards:,}")
        if work.sweep is not None:
            for request in work.requests:
                table.add_row(Text(f"  {request.key}", style="dim"), "", "")
    table.add_row(Text("all", style="bold"), f"{plan.cost.forwards:,}", f"{plan.cost.backwards:,}")
    notes = [
        Text(f"{request.key} is left out: {clean_text(answer.reason)}")
        for request, answer in plan.unavailable.items()
    ]
    total = counted(len(plan.work), "piece of work", "pieces of work")
    return Group(table, Text(f"{total}; passes are of one batch each."), *notes)
