"""Shows on standard error how an audit goes on: a live line on a terminal, else a line a step."""

import time

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from auditor.core.text import clean_text
from auditor.engine.plan import Plan, Work


class Silent:
    """Shows nothing."""

    def fetching(self) -> None:
        """Say nothing."""

    def loading(self) -> None:
        """Say nothing."""

    def planned(self, plan: Plan) -> None:
        """Say nothing."""

    def started(self, work: Work) -> None:
        """Say nothing."""

    def advanced(self) -> None:
        """Say nothing."""

    def finished(self, work: Work, failed: str) -> None:
        """Say nothing."""


class Lines(Silent):
    """Prints a line for each piece of work that is done."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._done = 0
        self._all = 0
        self._since = time.monotonic()

    def fetching(self) -> None:
        """Say that the checkpoint is being fetched."""
        self._say("fetching the checkpoint")

    def loading(self) -> None:
        """Say that the subject is being brought in."""
        self._say("loading model and data")

    def planned(self, plan: Plan) -> None:
        """Note how much work there is."""
        self._all = len(plan.work)

    def started(self, work: Work) -> None:
        """Note when the work began."""
        self._since = time.monotonic()

    def finished(self, work: Work, failed: str) -> None:
        """Say that the work is over, and how it ended."""
        self._done += 1
        seconds = time.monotonic() - self._since
        ending = f"failed: {_first_line(failed)}" if failed else f"{seconds:.1f} s"
        self._say(f"[{self._done}/{self._all}] {clean_text(work.name, 70)}: {ending}")

    def _say(self, line: str) -> None:
        self._console.print(Text(line), soft_wrap=True)


class Live(Silent):
    """A bar over all the work, what is running, and the time left."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TaskProgressColumn("{task.percentage:>3.0f} %"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self._task: TaskID = self._progress.add_task("loading model and data", total=None)
        self._weight = 0.0
        self._gone = 0.0

    def __enter__(self) -> "Live":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def fetching(self) -> None:
        """Show that the checkpoint is being fetched."""
        self._progress.update(self._task, description="fetching the checkpoint")

    def loading(self) -> None:
        """Show that the subject is being brought in."""
        self._progress.update(self._task, description="loading model and data")

    def planned(self, plan: Plan) -> None:
        """Set the length of the bar: the passes of all the work."""
        self._progress.update(self._task, total=sum(work.weight for work in plan.work))

    def started(self, work: Work) -> None:
        """Show what is running."""
        self._weight, self._gone = work.weight, 0.0
        self._step = work.weight / max(1, work.cost.forwards)
        self._progress.update(self._task, description=clean_text(work.name, 50))

    def advanced(self) -> None:
        """Move on by one batch."""
        step = min(self._step, self._weight - self._gone)
        self._gone += step
        self._progress.advance(self._task, step)

    def finished(self, work: Work, failed: str) -> None:
        """Move on to the end of the work."""
        self._progress.advance(self._task, self._weight - self._gone)
        if failed:
            said = Text(f"{clean_text(work.name, 70)} failed: {_first_line(failed)}")
            self._progress.console.print(said, soft_wrap=True)


def _first_line(text: str) -> str:
    return clean_text(text.partition("\n")[0])
