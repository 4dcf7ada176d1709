"""The Recorder as a callback of Lightning: `Trainer(callbacks=[RecorderCallback()])`."""

from pathlib import Path
from typing import Any

from auditor.core.errors import InputError
from auditor.recorder.recorder import EVERY, Recorder

try:
    from lightning.pytorch import Callback
except ImportError:
    try:
        from pytorch_lightning import Callback  # type: ignore[assignment]
    except ImportError as error:
        raise InputError(
            "The Lightning callback needs Lightning: pip install 'auditor[lightning]'"
        ) from error

NAME = "training"


class RecorderCallback(Callback):
    """Records a fit into `training.audit.jsonl`, in the folder of the checkpoints.

    Metrics that the module logs are kept where their names begin with a split (`val_loss`,
    `train_acc`).

    Args:
        checkpoint: where the weights are saved, where that is not the checkpoint callback's
            folder.
        options: what else a `Recorder` takes, such as `every`.
    """

    def __init__(self, checkpoint: str | Path | None = None, **options: Any) -> None:
        super().__init__()
        self._checkpoint, self._options = checkpoint, {"every": EVERY, **options}
        self._recorder: Recorder | None = None
        self._step, self._loss, self._validated = 0, None, False

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin the recording, or go on with that of a run that is resumed."""
        saver = trainer.checkpoint_callback
        folder = getattr(saver, "dirpath", None) or trainer.default_root_dir
        configs = trainer.lr_scheduler_configs
        clipped = (trainer.gradient_clip_algorithm or "norm") == "norm"
        settings = {
            "epochs": trainer.max_epochs,
            "max_steps": trainer.max_steps,
            "precision": str(trainer.precision),
            "accumulate_grad_batches": trainer.accumulate_grad_batches,
            "clip_norm": trainer.gradient_clip_val if clipped else None,
        }
        options = {
            "train": trainer.train_dataloader,
            "val": _first(trainer.val_dataloaders),
            "scheduler": configs[0].scheduler if configs else None,
            "resume": trainer.global_step if trainer.global_step else False,
            **self._options,
        }
        options["settings"] = {**settings, **(options.get("settings") or {})}
        self._step, self._loss = trainer.global_step, None
        self._recorder = Recorder(
            self._checkpoint or Path(folder) / NAME,
            pl_module,
            next(iter(trainer.optimizers), None),
            **options,
        )

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Note a step once the optimizer made it; the losses of its batches are shares of one."""
        loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
        if loss is not None:
            self._loss = loss if self._loss is None else self._loss + loss
        if self._recorder is not None and trainer.global_step != self._step:
            self._recorder.step(self._loss)
            self._step, self._loss = trainer.global_step, None

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Note that metrics of validation are of this epoch."""
        self._validated = not trainer.sanity_checking

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Note the end of an epoch with the metrics that were logged in it."""
        splits = ("train_", "train/", *(("val", "eval") if self._validated else ()))
        metrics = {
            name.removesuffix("_epoch"): value
            for name, value in trainer.callback_metrics.items()
            if name.startswith(splits) and not name.endswith("_step")
        }
        for own in ("train_loss", "train/loss"):
            metrics.pop(own, None)
        self._validated = False
        if self._recorder is not None:
            self._recorder.epoch(trainer.current_epoch + 1, **metrics)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """End the recording."""
        self._close()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Keep what was recorded of a run that broke."""
        self._close()

    def _close(self) -> None:
        if self._recorder is not None:
            self._recorder.close()
            self._recorder = None


def _first(loaders: Any) -> Any:
    """Return the first of several loaders."""
    return next(iter(loaders), None) if isinstance(loaders, list | tuple) else loaders
