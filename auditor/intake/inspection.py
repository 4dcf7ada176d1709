"""What `audit inspect` and `audit init` see of a checkpoint: all of it but the tensors' values.

The file is read, and the state dict chosen, as an audit does it, so that what an audit refuses is
refused here with the same words. No torch, and nothing of the user's own code.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auditor.core.errors import InputError
from auditor.core.text import clean_text
from auditor.intake.besides import Around, bulky_keys, extras_in, lying_beside, optimizers_in
from auditor.intake.declared import told_by
from auditor.intake.kept import plain_tree
from auditor.intake.recorder_file import Header
from auditor.intake.saved_optimizers import optimizer_told
from auditor.intake.training_logs.places import groups_beside
from auditor.observations.settings import Plain
from auditor.opening.contents import ITEM_BYTES, FileRead, PiecesAt, SparseAt, TensorAt
from auditor.opening.copies import check_copies
from auditor.opening.process import looked_into
from auditor.opening.scalars import with_scalars
from auditor.opening.state_dicts import StateDict, part_of, state_dict_of


@dataclass(frozen=True)
class Tensor:
    """A tensor by its name: "float32", its shape, its number of values and their bytes."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    values: int
    bytes: int


@dataclass(frozen=True)
class Weights:
    """A state dict: the dotted key that it stands under ("" for the whole), and what it comes to.

    `averaged` tells that its key speaks of an average over training.
    """

    key: str
    averaged: bool
    tensors: tuple[Tensor, ...]

    @property
    def values(self) -> int:
        """Return the number of values in all its tensors."""
        return sum(tensor.values for tensor in self.tensors)

    @property
    def bytes(self) -> int:
        """Return the bytes of all its tensors."""
        return sum(tensor.bytes for tensor in self.tensors)


@dataclass(frozen=True)
class Optimizer:
    """A saved optimizer: its key, the classes of torch.optim that it can be of, and its settings.

    `settings` are plain values by name, secrets masked; where groups differ there is one for each
    value. `groups` counts groups of parameters, `slots` names what is kept of each parameter.
    """

    key: str
    classes: tuple[str, ...]
    groups: int
    settings: tuple[tuple[str, Plain], ...]
    slots: tuple[str, ...]


@dataclass(frozen=True)
class Setting:
    """A setting of training as an audit would take it: its name, its value, and who says so."""

    name: str
    value: Any
    source: str


@dataclass(frozen=True)
class Inspection:
    """What stands in a checkpoint.

    `place` is where it lies on this machine, `path` how it was named.

    `chosen` is the state dict that an audit takes, `others` those beside it. `extras` are the plain
    values beside the weights as text, by dotted key, secrets masked. `beside` names the files in
    its folder that tell of training. `classes` are those that it asks Python for; nothing was made
    of them.
    """

    path: str
    place: Path
    container: str
    bytes: int
    sha256: str
    files: tuple[FileRead, ...]
    chosen: Weights
    others: tuple[Weights, ...]
    optimizers: tuple[Optimizer, ...]
    settings: tuple[Setting, ...]
    extras: tuple[tuple[str, str], ...]
    beside: tuple[str, ...]
    classes: tuple[str, ...]
    notes: tuple[str, ...]

    def told(self, name: str) -> Any:
        """Return the value of a setting, None where nothing tells it."""
        return next((one.value for one in self.settings if one.name == name), None)


@dataclass(frozen=True)
class _Kept:
    plain: dict[str, Any]
    beside: dict[str, dict[str, Any]]
    recorded: Header | None


def inspected(
    path: Path, key: str | None = None, allow: frozenset[str] = frozenset()
) -> Inspection:
    """Return what stands in the checkpoint `path`, a file or a folder.

    `key` is the dotted key of the state dict to audit; found by itself where it is None.
    `allow` names what is refused unless the user allows it.

    Raises:
        InputError: an audit would refuse it.
    """
    with looked_into(path, allow) as opened:
        contents = opened.contents
        try:
            chosen, others = state_dict_of(contents.tree, key, contents.classes)
        except InputError as error:
            raise InputError(f"{clean_text(path)}: {error}") from error
        check_copies(opened)
        held = with_scalars(opened)
    around = lying_beside(path.absolute(), contents.files)
    kept = _Kept(plain_tree(held, bulky_keys(held)), around.settings, around.recorded)
    weights = _weights(held, chosen)
    return Inspection(
        path=str(path),
        place=path,
        container=contents.container,
        bytes=contents.bytes,
        sha256=contents.sha256,
        files=contents.files,
        chosen=weights,
        others=tuple(_weights(held, one) for one in others),
        optimizers=tuple(_optimizer(name, state) for name, state in optimizers_in(held).items()),
        settings=tuple(_settings(kept)),
        extras=tuple(extras_in(held, {tensor.name for tensor in weights.tensors}).items()),
        beside=tuple(_beside(around)),
        classes=tuple(clean_text(name, 120) for name in contents.classes),
        notes=(*contents.notes, *around.notes),
    )


def _weights(held: Any, found: StateDict) -> Weights:
    named = part_of(held, found.key)
    tensors = (_tensor(name, value) for name, value in named.items() if hasattr(value, "shape"))
    return Weights(found.key, found.averaged, tuple(tensors))


def _tensor(name: str, value: TensorAt | PiecesAt | SparseAt) -> Tensor:
    if isinstance(value, SparseAt):
        parts = [_tensor("", part) for part in value.parts]
        dtype = f"{value.layout} {parts[-1].dtype}" if parts else value.layout
        stored = sum(part.bytes for part in parts)
        return Tensor(name, dtype, value.shape, parts[-1].values if parts else 0, stored)
    stored = value.values * ITEM_BYTES[value.dtype]
    return Tensor(name, value.dtype, value.shape, value.values, stored)


def _optimizer(key: str, state: Mapping[str, Any]) -> Optimizer:
    kept, stated = optimizer_told("", "", state)
    names = {"last_lr": "lr", "first_lr": "initial_lr"}
    told = ((names.get(one.setting, one.setting), one.value) for one in stated)
    return Optimizer(key, kept.kinds, len(state["param_groups"]), tuple(told), kept.slots)


def _settings(kept: _Kept) -> Iterator[Setting]:
    """Yield each setting as the first place tells it, as an audit takes it."""
    known: set[str] = set()
    for told in told_by(kept):
        if told.field not in known and told.value != "":
            known.add(told.field)
            yield Setting(told.field, told.value, told.source)


def _beside(around: Around) -> Iterator[str]:
    names = [*around.settings, *([around.recorded.name] if around.recorded else [])]
    folder = around.file.parent
    logs = (
        log.relative_to(folder) if log.is_relative_to(folder) else Path("..", log.name)
        for group in groups_beside(around.file)
        for log in group.paths
    )
    yield from dict.fromkeys(clean_text(name, 120) for name in (*names, *logs))
