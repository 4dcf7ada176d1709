"""The Recorder as a callback of Hugging Face: `Trainer(callbacks=[RecorderCallback()])`."""

import contextlib
import shutil
from pathlib import Path
from typing import Any

from auditor.core.errors import InputError
from auditor.recorder.recorder import EVERY, Recorder

try:
    from transformers import TrainerCallback
except ImportError as error:
    raise InputError(
        "The Hugging Face callback needs Transformers: pip install 'auditor[hf]'"
    ) from error

NAME = "training"

SETTINGS = (
    "num_train_epochs",
    "max_steps",
    "gradient_accumulation_steps",
    "lr_scheduler_type",
    "warmup_steps",
    "max_grad_norm",
    "label_smoothing_factor",
    "fp16",
    "bf16",
    "data_seed",
)
"""What is kept of the trainer's arguments; the optimizer's stand in the optimizer."""

SPEED = ("_runtime", "_per_second", "_time")
"""Ends of names of metrics that tell of speed alone."""


class RecorderCallback(TrainerCallback):
    """Records a training into `training.audit.jsonl`, in the trainer's output folder.

    A copy stands in the folder of each checkpoint, so that it is beside its weights too. The loss
    is that which the trainer logs, every `logging_steps`.

    Args:
        checkpoint: where the weights are saved, where that is not the output folder.
        options: what else a `Recorder` takes, such as `every`.
    """

    def __init__(self, checkpoint: str | Path | None = None, **options: Any) -> None:
        self._checkpoint, self._options = checkpoint, {"every": EVERY, **options}
        self._recorder: Recorder | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Begin the recording, or go on with that of a run that is resumed."""
        values = {name: getattr(args, name, None) for name in SETTINGS}
        settings = {
            name: value if isinstance(value, bool | int | float) else str(value)
            for name, value in values.items()
            if value is not None
        }
        options = {
            "train": given.get("train_dataloader"),
            "val": given.get("eval_dataloader"),
            "scheduler": given.get("lr_scheduler"),
            "resume": state.global_step if state.global_step else False,
            **self._options,
        }
        options["settings"] = {**settings, **(options.get("settings") or {})}
        self._recorder = Recorder(
            self._checkpoint or Path(args.output_dir) / NAME,
            given["model"],
            given.get("optimizer"),
            **options,
        )

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Note a step of the optimizer; its loss is known when the trainer logs."""
        if self._recorder is not None:
            self._recorder.step()

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **given: Any) -> None:
        """Note the mean loss since the trainer's last log, and its learning rate."""
        known = {"train_loss": (logs or {}).get("loss"), "lr": (logs or {}).get("learning_rate")}
        values = {name: value for name, value in known.items() if value is not None}
        if self._recorder is not None and "train_loss" in values:
            self._recorder.note(**values)

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: Any = None, **given: Any
    ) -> None:
        """Note the metrics of an evaluation."""
        measured = {
            name: value
            for name, value in (metrics or {}).items()
            if isinstance(value, int | float) and name != "epoch" and not name.endswith(SPEED)
        }
        if self._recorder is not None:
            self._recorder.epoch(state.epoch, **measured)

    def on_save(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Put a copy of the recording into the folder of a checkpoint."""
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        if self._recorder is not None and state.is_world_process_zero:
            self._recorder.flush()
            with contextlib.suppress(OSError):
                shutil.copyfile(self._recorder.path, folder / self._recorder.path.name)

    def on_train_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """End the recording."""
        if self._recorder is not None:
            self._recorder.close()
            self._recorder = None
