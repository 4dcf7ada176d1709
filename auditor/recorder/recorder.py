"""The Recorder: three lines in a training loop."""

import time
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from auditor.core.errors import InputError
from auditor.core.text import clean_text, kind_of
from auditor.intake.recorder_file import recording_path
from auditor.intake.wrapped import bare
from auditor.recorder.cadence import sampled
from auditor.recorder.columns import named, number
from auditor.recorder.header import header_of, marked
from auditor.recorder.live import Live, gave_up
from auditor.recorder.processes import first_process, inner_optimizer, resumed
from auditor.recorder.rows import Row, Step, begin, go_on

EVERY = 200
"""Steps from one that is looked into to the next.

Of a perceptron whose step takes half a millisecond, this costs below the 3 % that a recording may:
a look is a millisecond (`make benchmark-recorder`).
"""

PATIENCE = 5.0
"""Seconds after which rows are written though there are few: what a killed run may lose."""


class Recorder:
    """Writes what training does into one file beside the checkpoint.

    >>> recorder = Recorder("model.pt", model, optimizer, train=train_loader, val=val_loader)
    >>> for inputs, target in train_loader:
    ...     ...
    ...     optimizer.step()
    ...     recorder.step(loss)

    Training goes on as it would without: nothing is drawn from random generators, and no value of
    the model, the optimizer or the loaders is changed. Once training runs, nothing is raised: what
    goes wrong is told once by a warning, and nothing more is recorded.

    Args:
        checkpoint: where the weights are saved; `model.pt` has its recording in
            `model.audit.jsonl`.
        model: the model that is trained.
        optimizer: the optimizer that trains it.
        train: the loader of training batches, for its settings and a fingerprint of the data.
        val: the loader of validation batches.
        scheduler: what changes the learning rate.
        settings: what else training was called with, such as `{"epochs": 20}`.
        every: steps from one that is looked into (gradients, updates, activations) to the next.
        batches: of each loader, how many batches a fingerprint is taken of; 0 takes none.
        batch: from one of the loaders' batches to (inputs, target), where that is not plain.
        resume: whether to go on with the file that is there. By itself it does so where the
            optimizer has a state already. A number is the step that training goes on after: later
            rows are dropped.

    Raises:
        InputError: something handed in is not what it should be.
    """

    def __init__(
        self,
        checkpoint: str | Path,
        model: nn.Module,
        optimizer: torch.optim.Optimizer | None = None,
        *,
        train: Any = None,
        val: Any = None,
        scheduler: Any = None,
        settings: Mapping[str, Any] | None = None,
        every: int = EVERY,
        batches: int = 64,
        batch: Callable[[Any], tuple[Any, Any]] | None = None,
        resume: bool | int | None = None,
    ) -> None:
        if not isinstance(model, nn.Module):
            raise InputError(f"Recorder: model: {kind_of(model)}, expected a torch.nn.Module")
        if not isinstance(checkpoint, str | Path) or not Path(checkpoint).name:
            raise InputError(
                f"Recorder: checkpoint: {clean_text(repr(checkpoint), 80)}, expected the path "
                'under which the weights are saved, such as "model.pt"'
            )
        if optimizer is not None and not hasattr(optimizer, "param_groups"):
            raise InputError(
                f"Recorder: optimizer: {kind_of(optimizer)}, expected a torch.optim.Optimizer"
            )
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise InputError(f"Recorder: every: {clean_text(every, 40)}, expected 1 or more steps")
        self.path = recording_path(Path(checkpoint))
        self.steps, self.epochs = 0, 0.0
        self._model, self._optimizer = model, inner_optimizer(optimizer)
        self._every, self._due = every, time.monotonic() + PATIENCE
        self._live: Live | None = None
        self._finalizer: Any = None
        if not first_process():
            return
        loaders = {name: one for name, one in (("train", train), ("val", val)) if one is not None}
        try:
            header = header_of(
                bare(model), self._optimizer, scheduler, loaders, settings or {}, batches, batch
            )
            self._begin(header, resumed(optimizer) if resume is None else resume)
        except Exception as error:  # noqa: BLE001 - training goes on without a recording
            gave_up(self.path, error)

    def _begin(self, header: dict[str, Any], resume: bool | int) -> None:
        reached = None
        if resume is not False:
            after = None if resume is True else resume
            reached = go_on(self.path, after, marked(header))
        if reached is None:
            begin(self.path, header)
        else:
            self.steps, self.epochs = reached
        live = Live(self.path)
        self._finalizer = weakref.finalize(self, live.finish)
        live.watch(self._model, self._optimizer)
        self._live = live

    def step(self, loss: Any = None, **values: Any) -> None:
        """Note one step, after the optimizer's: its loss, and any other numbers by name.

        The learning rate is that which stands when this is called. Of long runs, not every step
        has a row: its loss is then the mean since the row before, its numbers those of the step.
        """
        live = self._live
        if live is None or live.broken:
            return
        try:
            self.steps = number_of = self.steps + 1
            step = Step(
                number_of,
                None if loss is None else number(loss),
                None if self._optimizer is None else number(self._optimizer.param_groups[0]["lr"]),
                named(values, "train") if values else {},
            )
            live.rows.waiting.append(step)
            if live.watching or number_of % self._every == 0 or time.monotonic() > self._due:
                self._look(live, step)
        except Exception as error:  # noqa: BLE001 - training goes on without a recording
            live.failed(error)

    def _look(self, live: Live, step: Step) -> None:
        """Take in what was seen of the step; write what waits where it is time."""
        if live.watching:
            step.more = {**live.seen(), **step.more}
        now = time.monotonic()
        if step.number % self._every == 0 or now > self._due:
            live.rows.flush()
            self._due = now + PATIENCE
        if not live.watching and sampled(step.number + 1, self._every):
            live.watch(self._model, self._optimizer)

    def epoch(self, epoch: float | None = None, **metrics: Any) -> None:
        """Note the end of an epoch, with what was measured then, such as `val_loss`.

        A metric whose name begins with no split is one of validation.
        """
        self._safely(self._epoch, epoch, metrics)

    def note(self, **values: Any) -> None:
        """Note numbers by name at the step that training has got to."""
        self._safely(self._note, values)

    def flush(self) -> None:
        """Write what waits, as before the file is copied."""
        self._safely(lambda live: live.rows.flush())

    def close(self) -> None:
        """Write what is left, and take away what watches. It is also done at the program's end."""
        self._live = None
        if self._finalizer is not None:
            self._finalizer()

    def _safely(self, work: Callable[..., None], *given: Any) -> None:
        """Do some work; what goes wrong in it ends the recording, and not the training."""
        live = self._live
        if live is not None and not live.broken:
            try:
                work(live, *given)
            except Exception as error:  # noqa: BLE001 - it may be anything
                live.failed(error)

    def _note(self, live: Live, values: Mapping[str, Any]) -> None:
        live.rows.waiting.append({"step": self.steps, **named(values, "train")})

    def _epoch(self, live: Live, epoch: float | None, metrics: Mapping[str, Any]) -> None:
        self.epochs = self.epochs + 1 if epoch is None else float(epoch)
        row: Row = {"step": self.steps, "epoch": self.epochs, **named(metrics, "val")}
        live.rows.waiting.append(row)
        live.rows.flush()

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> Any:
        """A copy records nothing: there is one recorder of a run."""
        return _silent, (self.path,)


def _silent(path: Path) -> Recorder:
    made = Recorder.__new__(Recorder)
    made.path, made.steps, made.epochs = path, 0, 0.0
    made._live = made._finalizer = None
    return made
