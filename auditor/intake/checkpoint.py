"""Opening a checkpoint: weights and plain values only, never code out of the file."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from auditor.core.errors import InputError
from auditor.core.subject import CheckpointFacts
from auditor.core.text import clean_text, listed
from auditor.intake.besides import (
    bulky_keys,
    extras_in,
    lying_beside,
    main_optimizer,
    optimizers_in,
)
from auditor.intake.frameworks.lightning_arguments import Arguments, arguments_in
from auditor.intake.kept import plain_tree
from auditor.intake.live_tensors import live
from auditor.intake.recorder_file import Header
from auditor.intake.run_pickle import ran
from auditor.opening.contents import Contents, FileRead
from auditor.opening.process import looked_into
from auditor.opening.state_dicts import StateDict, part_of, state_dict_of


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint's tensors by name, the optimizer's state, and the plain values beside them.

    `optimizers` are all that look like an optimizer's state, by the dotted key that they stand
    under; `optimizer` is the one of them that can only be the model's. `plain` are the plain values
    as they are, nested; `beside` those of files in the checkpoint's folder, by the file's name, and
    `notes` tell of files there that were ignored. `recorded` is the header of what a Recorder wrote
    there. `path` is where it lies, absolute, and `file` the first of the files that hold its
    weights: the same unless it is a folder. `arguments` are what Lightning keeps of those that its
    modules were made with. `module` is the model itself, where the user let a pickle make one.
    """

    weights: dict[str, torch.Tensor]
    facts: CheckpointFacts
    optimizer: dict[str, Any] | None = None
    extras: dict[str, str] = field(default_factory=dict)
    optimizers: dict[str, dict[str, Any]] = field(default_factory=dict)
    plain: dict[str, Any] = field(default_factory=dict)
    beside: dict[str, dict[str, Any]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    recorded: Header | None = None
    path: Path = Path()
    file: Path = Path()
    arguments: dict[str, Arguments] = field(default_factory=dict)
    module: nn.Module | None = None


Chosen = tuple[StateDict, tuple[StateDict, ...]]


def open_checkpoint(
    path: Path,
    key: str | None = None,
    allow: frozenset[str] = frozenset(),
    vouched: str | None = None,
) -> Checkpoint:
    """Return what stands in the checkpoint `path`, a file or a folder, on the CPU.

    `key` is the dotted key of the state dict in it; found by itself where it is None. `allow` names
    what is refused unless the user allows it. `vouched` is the hash of a file whose pickle may run.

    Raises:
        InputError: the file is missing, truncated, no checkpoint, or wants to run code.
    """
    if vouched is not None:
        one = ran(path, vouched)
        chosen = _chosen(path, key, one.tree)
        facts = CheckpointFacts(
            str(path), "pickle, which was run", one.sha256, one.bytes, 0, pickle_ran=True
        )
        made = _checkpoint(path, chosen, one.tree, one.held, facts)
        return replace(made, module=one.modules.get(chosen[0].key))
    with looked_into(path, allow) as opened:
        contents = opened.contents
        chosen = _chosen(path, key, contents.tree, contents.classes)
        held = live(opened)
    facts = CheckpointFacts(
        path=str(path),
        format=contents.container,
        sha256=contents.sha256,
        bytes=contents.bytes,
        tensors=0,
        classes=tuple(clean_text(name, 120) for name in contents.classes),
        files=_several(contents.files),
    )
    return _checkpoint(path, chosen, contents.tree, held, facts, contents)


def _chosen(path: Path, key: str | None, tree: Any, classes: tuple[str, ...] = ()) -> Chosen:
    """Return the state dict to audit, and those beside it.

    Raises:
        InputError: there is none, or several; or its tensors are not dense.
    """
    try:
        return state_dict_of(tree, key, classes)
    except InputError as error:
        raise InputError(f"{clean_text(path)}: {error}") from error


def _checkpoint(
    path: Path,
    chosen: Chosen,
    tree: Any,
    held: Any,
    facts: CheckpointFacts,
    contents: Contents | None = None,
) -> Checkpoint:
    """Return a checkpoint of whose tree, as described and live, one state dict was chosen."""
    key = chosen[0].key
    named = part_of(held, key)
    weights = {name: value for name, value in named.items() if isinstance(value, torch.Tensor)}
    extras = extras_in(held, weights.keys())
    around = lying_beside(path.absolute(), contents.files if contents is not None else ())
    found = contents.notes if contents is not None else ()
    return Checkpoint(
        weights=weights,
        optimizer=main_optimizer(held),
        extras=extras,
        optimizers=optimizers_in(held),
        plain=plain_tree(held, bulky_keys(held)),
        beside=around.settings,
        notes=(*found, *_told(chosen[1]), *around.notes),
        recorded=around.recorded,
        path=path.absolute(),
        file=around.file,
        arguments=arguments_in(tree, held),
        facts=replace(facts, tensors=len(weights), key=key, extras=tuple(extras.items())),
    )


def _several(files: tuple[FileRead, ...]) -> tuple[tuple[str, str], ...]:
    """Return names and hashes of files, none where there is a single one."""
    return tuple((clean_text(one.name), one.sha256) for one in files) if len(files) > 1 else ()


def _told(others: tuple[StateDict, ...]) -> Iterator[str]:
    """Yield a sentence on the state dicts beside the one that is audited."""
    if others:
        keys = [other.key for other in others]
        yield (
            f"The checkpoint also holds weights under {listed(keys)}; `model: {{key: "
            f"{clean_text(keys[0], 60)}}}` audits those."
        )
