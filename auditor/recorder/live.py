"""What a recorder holds open while training runs, and has to put away."""

import contextlib
import warnings
from pathlib import Path

import torch
from torch import nn

from auditor.core.text import clean_text
from auditor.intake.wrapped import bare
from auditor.recorder.activations import ActivationWatch
from auditor.recorder.rows import Row, Rows
from auditor.recorder.updates import UpdateWatch, in_parts


class Live:
    """The rows that wait, and what watches the next step.

    It does not know its recorder, so that one which is forgotten is put away all the same.
    """

    def __init__(self, path: Path) -> None:
        self.rows = Rows(path)
        self.broken = self.watching = False
        self._activations: ActivationWatch | None = None
        self._updates: UpdateWatch | None = None

    def watch(self, model: nn.Module, optimizer: object) -> None:
        """Watch the step that comes next."""
        self.watching = True
        self._activations = ActivationWatch(model, self.failed)
        if isinstance(optimizer, torch.optim.Optimizer) and not in_parts(model):
            names = {id(p): name for name, p in bare(model).named_parameters()}
            self._updates = UpdateWatch(optimizer, names, self.failed)

    def seen(self) -> Row:
        """Return what was seen of the step, empty while the optimizer has not made its own."""
        activations, updates = self._activations, self._updates
        if activations is None or (updates is not None and not updates.done):
            return {}
        self._unwatch()
        row: Row = {
            "activation_rms": activations.activation_rms,
            "dead_share": activations.dead_share,
        }
        if updates is not None:
            row |= {"update_ratio": updates.update_ratio, "grad_norm": updates.grad_norm}
        return {name: value for name, value in row.items() if value is not None and value != {}}

    def failed(self, error: Exception) -> None:
        """Record nothing after what waits, and say once why."""
        if self.broken:
            return
        self.broken = True
        with contextlib.suppress(Exception):
            self._unwatch()
            self.rows.flush()
        gave_up(self.rows.path, error)

    def finish(self) -> None:
        """Write what waits, and take away what watches."""
        self._unwatch()
        if not self.broken:
            try:
                self.rows.flush()
            except Exception as error:  # noqa: BLE001 - training goes on without a recording
                self.failed(error)

    def _unwatch(self) -> None:
        for watch in (self._activations, self._updates):
            if watch is not None:
                watch.close()
        self._activations = self._updates = None
        self.watching = False


def gave_up(path: Path, error: Exception) -> None:
    """Warn that nothing more is recorded."""
    said = clean_text(f"{type(error).__name__}: {error}", 300)
    warnings.warn(
        f"Recorder: nothing more is recorded in {clean_text(path)}: {said}",
        RuntimeWarning,
        stacklevel=3,
    )
