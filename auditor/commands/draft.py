"""A first spec and stub module for a checkpoint: what could be told, and a TODO for what could not.

Whatever stands in the checkpoint goes into comments and quoted text alone, never into code.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auditor.commands.stub_module import (
    BUILD,
    LOADER,
    MODULE,
    MOST_SAID,
    TOKENIZED,
    architecture_said,
    function_stub,
    import_stub,
)
from auditor.commands.yaml_text import comment, yaml_scalar
from auditor.core.errors import InputError
from auditor.core.text import LONGEST, clean_text
from auditor.intake.inspection import Inspection, Optimizer
from auditor.intake.optimizer_kinds import READ, telling
from auditor.intake.setting_names import TEXTS
from auditor.opening.hub_config import CONFIG, FACTORY, architecture_of, hub_folder, read_config
from auditor.opening.origin import LIGHTNING

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

TOKENIZER = "tokenizer_config.json"
"""The file by which a tokenizer lies in a Hugging Face folder; a loader may ask for it."""

ZOO_NAME = re.compile(r"[a-z][a-z0-9_.]{2,60}")
"""What timm and torchvision call a model."""


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
    chosen = seen.chosen.key if seen.others else key
    head = [
        f"# A first spec: fill in {MODULE}.py, and what says TODO here; then `audit run`.",
        "version: 1",
        f"name: {yaml_scalar(clean_text(Path(checkpoint).stem, LONGEST) or 'model')}",
        "model:",
    ]
    weights = [f"  checkpoint: {yaml_scalar(checkpoint)}"]
    if chosen:
        weights.append(f"  key: {yaml_scalar(chosen)}")
    if seen.container == "TorchScript":
        weights.append("  allow_torchscript: true  # its weights are read; none of its code is run")
    for other in seen.others[:MOST_SAID]:
        kind = "averaged weights" if other.averaged else "weights"
        weights.append(f"  # {kind} too, under the key {comment(other.key)}")
    model, data, module, still = _source(seen)
    lines = [*head, *model, *weights, "data:", *data]
    return Draft("\n".join([*lines, *_training(seen)]) + "\n", module, still)


def _source(seen: Inspection) -> tuple[list[str], list[str], str, tuple[str, ...]]:
    """Return the lines of the model, those of data and loss, the stub, and what is open."""
    if (architecture := _hugging_face(seen)) is not None:
        model = [f"  factory: {FACTORY}  # {comment(architecture)}, as {CONFIG} says"]
        told = "# loss: told by the model itself"
        words = (hub_folder(seen.place) / TOKENIZER).is_file()
        module = function_stub(seen, TOKENIZED if words else LOADER)
        return model, [_val("val_loader"), told], module, (f"{MODULE}.py: val_loader()",)
    if LIGHTNING in dict(seen.extras):
        model = [f"  factory: {MODULE}:LitModel  # its arguments are in the checkpoint"]
        told = "# loss: taken from training_step, where it can be told; else name it here"
        data = [_val("DataModule"), f"  train: {MODULE}:DataModule", told]
        return model, data, import_stub(seen), (f"{MODULE}.py: LitModel and DataModule",)
    data = [
        _val("val_loader"),
        f"  # train: {MODULE}:train_loader  # write it as well, and more checks can be made",
    ]
    still = [f"{MODULE}.py: build() and val_loader()"]
    loss = _loss(seen)
    if loss is None:
        still.append("audit.yaml: loss")
        data.append("loss: null  # TODO: cross_entropy, mse_loss ..., or module:callable")
    else:
        data.append(f"loss: {loss}")
    model = [f"  factory: {MODULE}:build", *_zoos(seen)]
    return model, data, function_stub(seen, BUILD, LOADER), tuple(still)


def _val(name: str) -> str:
    return f"  val: {MODULE}:{name}"


def _hugging_face(seen: Inspection) -> str | None:
    """Return the class that `config.json` names, where transformers can build the model by it."""
    named = seen.place.is_dir() or seen.place.suffix in (".safetensors", ".bin")
    if not named:
        return None
    try:
        return architecture_of(read_config(hub_folder(seen.place)), "")
    except InputError:
        return None


def _zoos(seen: Inspection) -> Iterator[str]:
    """Yield what to write instead where the model is one that timm or torchvision know by name."""
    for _, name in architecture_said(seen):
        if ZOO_NAME.fullmatch(name):
            yield f"  # factory: torchvision:{name}  # or timm:{name}, if it is that of theirs"
            return


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
