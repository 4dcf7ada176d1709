"""Files beside a checkpoint in which trainers keep settings and states, as plain values.

Beside the few that every audit reads (`intake.kept`) these are the configuration files of scripts
and of Hydra, Lightning's `hparams.yaml` a folder above, and the parts into which Hugging Face's
Trainer takes a checkpoint apart.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from auditor.core.errors import InputError
from auditor.intake.checkpoint import Checkpoint
from auditor.intake.kept import MOST, plain_tree, read_json, read_text
from auditor.intake.live_tensors import live
from auditor.opening.contents import PiecesAt, SparseAt, TensorAt
from auditor.opening.process import looked_into
from auditor.opening.trees import mapped

CONFIGURATIONS = (
    "args.yaml",
    "config.yaml",
    "hparams.yaml",
    "opt.yaml",
    "params.yaml",
    ".hydra/config.yaml",
    "args.json",
    "hparams.json",
    "hyperparameters.json",
    "hyperparams.json",
    "training_args.json",
    "preprocessor_config.json",
)
LARGEST_YAML = 128 << 10
"""Bytes of the largest YAML file that is read as a tree."""
LONGEST_NUMBER = 300
"""Characters of the longest whole number in one."""

STATES = ("optimizer.pt", "scheduler.pt", "optimizer.bin", "scheduler.bin")
"""Files of trainers that hold a state of its own each."""

PATIENCE = 2.0
"""Seconds after which a state that can't be read is the last that is tried."""

MOST_OF_A_TENSOR = 64
"""Values of the largest tensor of a state that is read; of others it counts that they are there."""


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, in which merge keys and numbers can't make much of a small file."""

    _merged = 0

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Take in what merge keys name: one mapping each, and no more in all than is kept."""
        merged = [value for key, value in node.value if key.tag == "tag:yaml.org,2002:merge"]
        if len(merged) > 1 or any(not isinstance(one, yaml.MappingNode) for one in merged):
            raise yaml.YAMLError("several mappings merged into one")
        super().flatten_mapping(node)
        if merged:
            self._merged += len(node.value)
            if self._merged > MOST:
                raise yaml.YAMLError("too many values merged")

    def construct_yaml_int(self, node: yaml.ScalarNode) -> Any:
        """Return a whole number; one too long to be shown stays a text."""
        if len(node.value) > LONGEST_NUMBER:
            return str(node.value)
        return super().construct_yaml_int(node)


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)


def settings_beside(checkpoint: Checkpoint) -> dict[str, dict[str, Any]]:
    """Return what the files of settings beside a checkpoint hold, by their names for people."""
    folder = checkpoint.file.parent
    found = dict(checkpoint.beside)
    for name in CONFIGURATIONS:
        held = _read(folder / name)
        if held:
            found[name] = held
    if folder.name == "checkpoints" and (held := _read(folder.parent / "hparams.yaml")):
        found["../hparams.yaml"] = held
    if held := arguments_in(folder / "training_args.bin"):
        found["training_args.bin"] = held
    return found


def states_beside(checkpoint: Checkpoint) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the states of optimizer and schedule in files of their own beside a checkpoint.

    Large tensors are words in them. A folder has its states in the checkpoint itself.
    """
    if checkpoint.path.is_dir():
        return
    for name in STATES:
        path = checkpoint.file.with_name(name)
        if path == checkpoint.file or not path.is_file():
            continue
        start = time.monotonic()
        held = _state_in(path)
        if held:
            yield name, held
        elif time.monotonic() - start > PATIENCE:
            return


def arguments_in(path: Path) -> dict[str, Any]:
    """Return the plain values of the object that a trainer pickled; nothing where unread."""
    return plain_tree(_state_in(path))


def _state_in(path: Path) -> Mapping[str, Any]:
    """Return the mapping in a file, its large tensors as words; an empty one where unread."""
    if not path.is_file():
        return {}
    try:
        with looked_into(path) as opened:
            light = replace(opened.contents, tree=mapped(opened.contents.tree, _light))
            held = live(replace(opened, contents=light))
    except InputError:  # what can't be read tells nothing
        return {}
    return held if isinstance(held, Mapping) else {}


def _light(value: Any) -> Any:
    """Return a word for a large tensor, anything else as it is."""
    match value:
        case SparseAt():
            return "a tensor"
        case TensorAt() | PiecesAt() if value.values > MOST_OF_A_TENSOR:
            return "a tensor"
    return value


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    if path.suffix == ".json":
        return read_json(path)[0]
    text, note = read_text(path)
    if note or len(text) > LARGEST_YAML:
        return {}
    try:
        held = yaml.load(text, _Loader)
    except Exception:  # noqa: BLE001 - tags such as `!!bool maybe` raise what they like
        return {}
    return plain_tree(held) if isinstance(held, Mapping) else {}
