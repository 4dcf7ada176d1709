"""A first spec and stub module for a checkpoint: what could be told, and a TODO for what could not.

Whatever stands in the checkpoint goes into comments and quoted text alone, never into code.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auditor.commands.tensor_groups import sizes_of
from auditor.commands.yaml_text import comment, yaml_scalar
from auditor.core.text import LONGEST, clean_text
from auditor.intake.inspection import Inspection, Optimizer, Tensor
from auditor.intake.optimizer_kinds import READ, telling
from auditor.intake.setting_names import MODELS, TEXTS

MODULE = "audit_model"
"""The stub's module, which lies beside the spec."""

LOSSES: Mapping[str, str] = {
    "crossentropyloss": "cross_entropy",
    "nllloss": "nll_loss",
    "bceloss": "binary_cross_entropy",
    "bcewithlogitsloss": "binary_cross_entropy_with_logits",
    "mseloss": "mse_loss",
    "l1loss": "l1_loss",
    "smoothl1loss": "smooth_l1_loss",
    "huberloss": "huber_loss",
}
"""The losses of torch.nn.functional by what a configuration may call them, in one spelling."""

MOST_SAID = 3
"""Lines on the architecture that a checkpoint's own settings may add to the stub."""


@dataclass(frozen=True)
class Draft:
    """The texts of `audit.yaml` and of the stub module, and what is to be filled in, for people."""

    spec: str
    module: str
    open: tuple[str, ...]


def drafted(seen: Inspection, checkpoint: str, key: str | None) -> Draft:
    """Return the draft for a checkpoint, whose path from the spec's folder is `checkpoint`.

    `key` is the state dict that was asked for by name, if any.
    """
    loss = _loss(seen)
    still = [f"{MODULE}.py: build() and val_loader()"]
    if loss is None:
        still.append("audit.yaml: loss")
    return Draft(_spec(seen, checkpoint, key, loss), _module(seen), tuple(still))


def _spec(seen: Inspection, checkpoint: str, key: str | None, loss: str | None) -> str:
    chosen = seen.chosen.key if seen.others else key
    lines = [
        f"# A first spec: fill in {MODULE}.py, and what says TODO here; then `audit run`.",
        "version: 1",
        f"name: {yaml_scalar(clean_text(Path(checkpoint).stem, LONGEST) or 'model')}",
        "model:",
        f"  factory: {MODULE}:build",
        f"  checkpoint: {yaml_scalar(checkpoint)}",
    ]
    if chosen:
        lines.append(f"  key: {yaml_scalar(chosen)}")
    if seen.container == "TorchScript":
        lines.append("  allow_torchscript: true  # its weights are read; none of its code is run")
    for other in seen.others[:MOST_SAID]:
        kind = "averaged weights" if other.averaged else "weights"
        lines.append(f"  # {kind} too, under the key {comment(other.key)}")
    lines += [
        "data:",
        f"  val: {MODULE}:val_loader",
        f"  # train: {MODULE}:train_loader  # write it as well, and more checks can be made",
    ]
    if loss is None:
        lines.append(
            "loss: null  # TODO: cross_entropy, mse_loss ..., or module:callable of your own"
        )
    else:
        lines.append(f"loss: {loss}")
    return "\n".join([*lines, *_training(seen)]) + "\n"


def _training(seen: Inspection) -> Iterator[str]:
    """Yield what was told of training: as comments where an audit reads it from the checkpoint."""
    read: list[str] = []
    written: list[str] = []
    if (optimizer := _optimizer(seen)) is not None:
        name, line = optimizer
        (read if name in READ else written).append(line)
    for name in ("epochs", "batch_size", "clip_norm"):
        value = seen.told(name)
        if value is not None:
            read.append(f"{name}: {value:g}")
    schedule = seen.told("schedule")
    if isinstance(schedule, str):
        read.append(f"schedule: {yaml_scalar(schedule)}")
    if written:
        yield "training:"
        yield from (f"  {line}" for line in written)
    if read:
        yield "# The checkpoint tells this itself; a line under `training` would go before it:"
        yield from (f"#   {line}" for line in read)


def _optimizer(seen: Inspection) -> tuple[str, str] | None:
    """Return the class of the only optimizer and its line; None where it can't be told for sure."""
    if len(seen.optimizers) != 1 or len(seen.optimizers[0].classes) != 1:
        return None
    only = seen.optimizers[0]
    (name,) = only.classes
    rate = _one(only, "initial_lr") or _one(only, "lr")
    if rate is None or not isinstance(rate, int | float) or not rate > 0:
        return None
    values = {setting: _one(only, setting) for setting in sorted(telling(name))}
    settings = [f"name: {name}", f"lr: {_number(rate)}"]
    settings += [f"{k}: {_number(v)}" for k, v in values.items() if v is not None]
    return name, f"optimizer: {{{', '.join(settings)}}}"


def _one(optimizer: Optimizer, name: str) -> Any:
    """Return a setting that all groups share and that is a number, or some; else None."""
    values = [value for setting, value in optimizer.settings if setting == name]
    if len(values) != 1 or isinstance(values[0], str):
        return None
    return values[0]


def _number(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_number, value))}]"
    return str(value).lower() if isinstance(value, bool) else repr(value)


def _loss(seen: Inspection) -> str | None:
    """Return the loss that the settings beside the weights name, None where they name none."""
    for name, value in seen.extras:
        if name.rpartition(".")[2] in TEXTS["loss"]:
            plain = value.rpartition(".")[2].replace("_", "").lower()
            known = LOSSES.get(plain) or LOSSES.get(f"{plain}loss")
            if known is not None:
                return known
    return None


def _module(seen: Inspection) -> str:
    shaped = [tensor for tensor in seen.chosen.tensors if len(tensor.shape) > 1]
    # Their first and last shapes tell what goes in and what comes out.
    said = [f"{name} = {value}" for name, value in seen.extras
            if name.rpartition(".")[2] in MODELS][:MOST_SAID]  # fmt: skip
    about = [
        f"# Its first weights: {_weight(shaped[0])}",
        f"# Its last ones: {_weight(shaped[-1])}",
    ]
    lines = [
        '"""The model and the data for `audit run`: fill in what says TODO."""',
        "",
        f"# For {comment(Path(seen.path).name)}",
        *(about if shaped else []),
        *(f"# It says: {comment(one, 100)}" for one in said),
        "",
        "",
        "def build():",
        '    """Return the model as training builds it; the audit puts the weights in."""',
        f'    raise NotImplementedError("TODO: have build() in {MODULE}.py return the model")',
        "",
        "",
        "def val_loader():",
        '    """Return a DataLoader, or a list of batches: (inputs, targets) and the like."""',
        f'    raise NotImplementedError("TODO: have val_loader() in {MODULE}.py return the data")',
    ]
    return "\n".join(lines) + "\n"


def _weight(tensor: Tensor) -> str:
    return f"{comment(tensor.name, 60)}, {sizes_of(tensor.shape)}"
