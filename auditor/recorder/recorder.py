"""The Recorder: three lines in a training loop."""

import contextlib
import time
import warnings
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from auditor.core.errors import InputError
from auditor.core.text import clean_text, kind_of
from auditor.intake.recorder_file import recording_path
from auditor.intake.wrapped import bare
from auditor.recorder.activations import ActivationWatch
from auditor.recorder.cadence import sampled, stride
from auditor.recorder.header import header_of, marked
from auditor.recorder.processes import first_process, inner_optimizer, resumed
from auditor.recorder.rows import Row, Rows, begin, go_on
from auditor.recorder.updates import UpdateWatch, in_parts

EVERY = 100
"""Steps from one that is looked into to the next."""

PATIENCE = 5.0
"""Seconds after which rows are written though there are few: what a killed run may lose."""

SPLITS = ("train_", "val_", "test_", "eval_", "valid_")
OWN = ("lr", "grad_norm")


@dataclass
class _Live:
    """What has to be put away when the recorder is gone."""

    rows: Rows
    activations: ActivationWatch | None = None
    updates: UpdateWatch | None = None

    def close(self) -> None:
        for watch in (self.activations, self.updates):
            if watch is not None:
                watch.close()
        self.activations = self.updates = None


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
        self._model, self._optimizer = bare(model), inner_optimizer(optimizer)
        self._every, self._losses, self._sum = every, 0, 0.0
        self._names = {id(p): name for name, p in self._model.named_parameters()}
        self._live: _Live | None = None
        self._finalizer: Any = None
        if not first_process():
            return
        loaders = {name: one for name, one in (("train", train), ("val", val)) if one is not None}
        try:
            header = header_of(
                self._model, self._optimizer, scheduler, loaders, settings or {}, batches, batch
            )
            self._begin(header, resumed(optimizer) if resume is None else resume)
        except Exception as error:  # noqa: BLE001 - training goes on without a recording
            self._failed(error)

    def _begin(self, header: dict[str, Any], resume: bool | int) -> None:
        reached = None
        if resume is not False:
            after = None if resume is True else resume
            reached = go_on(self.path, after, marked(header))
        if reached is None:
            begin(self.path, header)
        else:
            self.steps, self.epochs = reached
        self._live = live = _Live(Rows(self.path))
        self._written = time.monotonic()
        self._finalizer = weakref.finalize(self, _finish, live)
        self._look_ahead(live)

    def step(self, loss: Any = None, **values: Any) -> None:
        """Note one step, after the optimizer's: its loss, and any other numbers by name."""
        live = self._live
        if live is None:
            return
        try:
            self._step(live, loss, values)
        except Exception as error:  # noqa: BLE001 - training goes on without a recording
            self._failed(error)

    def _step(self, live: _Live, loss: Any, values: Mapping[str, Any]) -> None:
        self.steps = step = self.steps + 1
        if loss is not None:
            self._sum = self._sum + number(loss)
            self._losses += 1
        seen = self._seen(live)
        if seen or values or step % stride(step) == 0:
            row: Row = {"step": step}
            if self._losses:
                row["train_loss"] = self._sum / self._losses
                self._sum, self._losses = 0.0, 0
            if self._optimizer is not None:
                row["lr"] = number(self._optimizer.param_groups[0]["lr"])
            row.update(seen)
            row.update(named(values, "train_"))
            live.rows.add(row)
        if live.updates is None and live.activations is None and sampled(step + 1, self._every):
            self._look_ahead(live)
        now = time.monotonic()
        if step % self._every == 0 or now - self._written > PATIENCE:
            live.rows.flush()
            self._written = now

    def _look_ahead(self, live: _Live) -> None:
        """Watch the step that comes next."""
        live.activations = ActivationWatch(self._model, self._failed)
        if isinstance(self._optimizer, torch.optim.Optimizer) and not in_parts(self._model):
            live.updates = UpdateWatch(self._optimizer, self._names, self._failed)

    def _seen(self, live: _Live) -> Row:
        """Return what was seen of the step, empty while the optimizer has not made its own."""
        activations, updates = live.activations, live.updates
        if activations is None or (updates is not None and not updates.done):
            return {}
        live.close()
        row: Row = {
            "activation_rms": activations.activation_rms,
            "dead_share": activations.dead_share,
        }
        if updates is not None:
            row["update_ratio"] = updates.update_ratio
            if updates.grad_norm is not None:
                row["grad_norm"] = updates.grad_norm
        return row

    def epoch(self, epoch: float | None = None, **metrics: Any) -> None:
        """Note the end of an epoch, with what was measured then, such as `val_loss`.

        A metric whose name begins with no split is one of validation.
        """
        live = self._live
        if live is None:
            return
        self.epochs = self.epochs + 1 if epoch is None else float(epoch)
        try:
            row: Row = {"step": self.steps, "epoch": self.epochs, **named(metrics, "val_")}
            live.rows.add(row)
            live.rows.flush()
        except Exception as error:  # noqa: BLE001 - training goes on without a recording
            self._failed(error)

    def close(self) -> None:
        """Write what is left, and take away what watches. It is also done at the program's end."""
        if self._finalizer is not None:
            self._live = None
            try:
                self._finalizer()
            except Exception as error:  # noqa: BLE001 - training goes on without a recording
                self._failed(error)

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> Any:
        """A copy records nothing: there is one recorder of a run."""
        return _silent, (self.path,)

    def _failed(self, error: Exception) -> None:
        live, self._live = self._live, None
        if live is not None:
            with contextlib.suppress(Exception):
                live.close()
        said = clean_text(f"{type(error).__name__}: {error}", 300)
        warnings.warn(
            f"Recorder: nothing more is recorded in {clean_text(self.path)}: {said}",
            RuntimeWarning,
            stacklevel=3,
        )


def _finish(live: _Live) -> None:
    live.close()
    live.rows.flush()


def _silent(path: Path) -> Recorder:
    made = Recorder.__new__(Recorder)
    made.path, made.steps, made.epochs = path, 0, 0.0
    made._live = made._finalizer = None
    return made


def number(value: Any) -> Any:
    """Return a number, or a tensor of one value that nothing writes to any more.

    What is on the CPU is read at once; of other devices none is waited for.
    """
    if isinstance(value, torch.Tensor):
        if value.device.type == "cpu":
            return float(value.detach().mean()) if value.numel() != 1 else value.item()
        kept = value.detach().clone()
        return kept if kept.numel() == 1 else kept.float().mean()
    return float(value)


def named(values: Mapping[str, Any], split: str) -> Row:
    """Return numbers under the names of columns: with a split before them, and no slashes."""
    row = {}
    for name, value in values.items():
        key = clean_text(name, 80).replace("/", "_")
        if key not in OWN and not key.startswith(SPLITS):
            key = split + key
        row[key] = number(value)
    return row
