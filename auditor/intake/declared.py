"""Settings of training as scripts and trainers keep them: in a checkpoint, or in files beside it.

Read are the usual places: `hyper_parameters` (Lightning), `args` and `config` dictionaries,
`trainer_state.json` (Hugging Face), the state of a learning-rate scheduler, counters such as
`epoch` and `global_step`, and what a Recorder wrote. The first place that tells a setting wins.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from auditor.core.text import clean_text
from auditor.intake.optimizer_kinds import CLASSES
from auditor.intake.recorder_file import Header

Tree = Mapping[str, Any]

HOLDERS = (
    "hyper_parameters",
    "hparams",
    "hyperparameters",
    "args",
    "training_args",
    "config",
    "cfg",
    "opt",
    "options",
    "params",
    "settings",
)
"""Keys under which scripts keep what they were called with."""
NESTED = ("training", "train", "trainer", "optim", "optimizer", "optimizer_config", "optimization",
          "data", "model")  # fmt: skip
"""Keys of a configuration whose own settings are looked at as well."""

BATCH_SIZES = ("train_batch_size", "batch_size", "per_device_train_batch_size", "batchsize", "bs")
EPOCHS = ("max_epochs", "num_train_epochs", "epochs", "num_epochs", "n_epochs", "max_epoch")
STEPS = ("global_step", "iteration", "iter_num", "num_updates", "step", "global_steps", "iter")
CLIPS = ("gradient_clip_val", "max_grad_norm", "clip_norm", "grad_clip_norm", "clip_grad_norm",
         "grad_clip", "clip_grad", "gradient_clipping", "max_norm", "grad_norm_clip")  # fmt: skip
RATES = ("lr", "learning_rate", "base_lr", "init_lr")
OPTIMIZERS = ("optimizer", "optim", "optimizer_name", "opt", "optimizer_type", "optimizer_class")
SCHEDULES = ("lr_scheduler_type", "lr_scheduler", "scheduler", "lr_schedule", "sched", "schedule",
             "scheduler_name", "scheduler_type", "lr_decay_style")  # fmt: skip
GROUP = ("weight_decay", "momentum", "betas", "eps", "nesterov")

SCHEDULE_MARKS = ("last_epoch", "_step_count", "_last_lr", "num_bad_epochs", "_schedulers")
DEEPEST_SCHEDULE = 3

KINDS = (
    ("T_max", "CosineAnnealingLR"),
    ("T_0", "CosineAnnealingWarmRestarts"),
    ("total_steps", "OneCycleLR"),
    ("milestones", "MultiStepLR"),
    ("step_size", "StepLR"),
    ("num_bad_epochs", "ReduceLROnPlateau"),
    ("start_factor", "LinearLR"),
    ("power", "PolynomialLR"),
    ("factor", "ConstantLR"),
    ("_schedulers", "SequentialLR"),
    ("lr_lambdas", "LambdaLR"),
    ("total_size", "CyclicLR"),
    ("gamma", "ExponentialLR"),
)
"""What a scheduler's saved state holds that only its class keeps; the first that fits names it."""


@dataclass(frozen=True)
class Told:
    """A setting by its field in `Settings`, and where it was found, for people."""

    field: str
    value: Any
    source: str


class Kept(Protocol):
    """What a checkpoint and the files beside it keep: see `intake.checkpoint.Checkpoint`."""

    @property
    def plain(self) -> dict[str, Any]:
        """Plain values beside the weights, nested."""

    @property
    def beside(self) -> dict[str, dict[str, Any]]:
        """Those of files in the checkpoint's folder, by the file's name."""

    @property
    def recorded(self) -> Header | None:
        """The header of what a Recorder wrote there."""


def told_by(checkpoint: Kept) -> Iterator[Told]:
    """Yield what a checkpoint and the files beside it tell of training, the surest first."""
    yield from _schedule_states(checkpoint.plain)
    lightning = "pytorch-lightning_version" in checkpoint.plain
    trainer = checkpoint.beside.get("trainer_state.json", {})
    yield from _counters(trainer, "`{}` in trainer_state.json", whole=True)
    yield from _counters(checkpoint.plain, "`{}` in the checkpoint", lightning=lightning)
    for where, held in _holders(checkpoint):
        yield from _settings(held, where)
    if checkpoint.recorded is not None:
        yield from _recorded(checkpoint.recorded)


def _recorded(header: Header) -> Iterator[Told]:
    where = f"`{{}}` in {header.name}"
    yield from _settings(header.settings, where)
    yield from _counters({"step": header.steps, "epoch": header.epochs}, where, whole=True)


def _holders(checkpoint: Kept) -> Iterator[tuple[str, Tree]]:
    for key in HOLDERS:
        held = checkpoint.plain.get(key)
        if isinstance(held, Mapping):
            yield f"`{key}.{{}}` in the checkpoint", held
            for inner in NESTED:
                part = held.get(inner)
                if isinstance(part, Mapping):
                    yield f"`{key}.{inner}.{{}}` in the checkpoint", part
    yield "`{}` in the checkpoint", checkpoint.plain
    for name, held in checkpoint.beside.items():
        yield f"`{{}}` in {name}", held


def _counters(tree: Tree, where: str, *, whole: bool = False, lightning: bool = False) -> Any:
    key, steps = _first(tree, STEPS, low=1)
    if steps is not None:
        yield Told("steps", float(steps), where.format(key))
    epoch = tree.get("epoch", tree.get("current_epoch"))
    if _is_number(epoch) and epoch >= 0:
        made = lightning_epochs(tree, epoch) if lightning and not whole else float(epoch)
        if made > 0:
            yield Told("epochs", made, where.format("epoch"))


def lightning_epochs(tree: Tree, epoch: float) -> float:
    """Return how many epochs Lightning has gone through.

    Its `epoch` is the number of the one that it was in, counted from 0, or of the next where
    training was over; its loops tell the two apart.
    """
    held: Any = tree
    for key in ("loops", "fit_loop", "epoch_progress", "current", "processed"):
        held = held.get(key) if isinstance(held, Mapping) else None
    return float(held) if _is_number(held) and held in (epoch, epoch + 1) else float(epoch) + 1


def _settings(tree: Tree, where: str) -> Iterator[Told]:
    for field, names in (("batch_size", BATCH_SIZES), ("epochs", EPOCHS)):
        key, value = _first(tree, names, low=1)
        if value is not None and (field == "epochs" or float(value).is_integer()):
            yield Told(field, int(value) if field == "batch_size" else float(value),
                       where.format(key))  # fmt: skip
    key, value = _first(tree, CLIPS)
    by_value = str(tree.get("gradient_clip_algorithm", "norm")).lower() == "value"
    if value is not None and value > 0 and not by_value:
        yield Told("clip_norm", float(value), where.format(key))
    for keys, field, known in (
        (OPTIMIZERS, "optimizer", optimizer_named),
        (SCHEDULES, "schedule", _schedule_named),
    ):
        found = next((k for k in keys if isinstance(tree.get(k), str) and tree[k]), None)
        if found is not None and (name := known(tree[found])):
            yield Told(field, name, where.format(found))
    key, value = _first(tree, RATES)
    if value is not None and value > 0:
        values = {name: tree[name] for name in GROUP if name in tree}
        yield Told("rates", {"lr": float(value), **values}, where.format(key))


def _schedule_states(tree: Tree) -> Iterator[Told]:
    found = next(_schedules(tree, "", 0), None)
    if found is not None:
        key, state = found
        source = f"the scheduler's state in the checkpoint (`{clean_text(key, 80)}`)"
        yield Told("schedule_state", flat(state), source)
        yield Told("schedule", kind_of_schedule(state), source)


def _schedules(value: Any, name: str, depth: int) -> Iterator[tuple[str, Tree]]:
    if isinstance(value, Mapping):
        if sum(mark in value for mark in SCHEDULE_MARKS) >= 2:
            yield name, value
            return
        inner: Any = value.items()
    elif isinstance(value, list):
        inner = enumerate(value[:8])
    else:
        return
    if depth < DEEPEST_SCHEDULE:
        for key, part in inner:
            yield from _schedules(part, f"{name}.{key}" if name else str(key), depth + 1)


def kind_of_schedule(state: Tree) -> str:
    """Return the class of a scheduler by what its saved state holds, "" where nothing tells."""
    return next((name for key, name in KINDS if key in state), "")


def flat(state: Tree, deep: bool = True) -> dict[str, Any]:
    """Return a scheduler's state as plain values; those of schedulers inside it have dotted names.

    A counter, as MultiStepLR keeps its milestones, is the sorted tuple of its numbers.
    """
    found: dict[str, Any] = {}
    for key, value in state.items():
        name = clean_text(key, 60)
        if isinstance(value, bool | int | float) or value is None:
            found[name] = value
        elif isinstance(value, str):
            found[name] = clean_text(value, 120)
        elif isinstance(value, Mapping) and value and all(_is_text_number(k) for k in value):
            found[name] = tuple(sorted(float(k) for k in value))[:64]
        elif isinstance(value, list) and value and all(_is_number(one) for one in value):
            found[name] = tuple(float(one) for one in value[:64])
        elif isinstance(value, list) and deep:
            for place, one in enumerate(value[:8]):
                if isinstance(one, Mapping):
                    inner = flat(one, deep=False)
                    found |= {f"{name}.{place}.{k}": v for k, v in inner.items()}
    return found


def optimizer_named(text: str) -> str:
    """Return the class of `torch.optim` that a text names, "" where it names none."""
    plain = text.rpartition(".")[2].lower().replace("_", "").removesuffix("torch")
    return next((name for name in CLASSES if name.lower() == plain), "")


def _schedule_named(text: str) -> str:
    named = clean_text(text.removeprefix("SchedulerType.").lower(), 60)
    return "none" if named in ("constant", "none", "no", "fixed") else clean_text(text, 60)


def _first(tree: Tree, names: tuple[str, ...], low: float = -math.inf) -> tuple[str, Any]:
    for name in names:
        value: Any = tree.get(name)
        if _is_number(value) and value >= low:
            return name, value
    return "", None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and _is_finite(value)


def _is_finite(value: float) -> bool:
    return abs(value) < 1e30


def _is_text_number(text: object) -> bool:
    return isinstance(text, str) and text.isdigit() and len(text) < 16
