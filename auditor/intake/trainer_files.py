"""Files beside a checkpoint in which trainers keep settings and states, as plain values.

Beside the few that every audit reads (`intake.kept`) these are the configuration files of scripts
and of Hydra, Lightning's `hparams.yaml` a folder above, and the parts into which Hugging Face's
Trainer takes a checkpoint apart.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import yaml

from auditor.intake.checkpoint import Checkpoint
from auditor.intake.inert_pickle import plain_values
from auditor.intake.kept import plain_tree, read_json, read_text

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
LARGEST_YAML = 256 << 10
"""Bytes of the largest YAML file that is read as a tree."""

STATES = ("optimizer.pt", "scheduler.pt", "optimizer.bin", "scheduler.bin")
"""Files of trainers that hold a state of its own each."""


def settings_beside(checkpoint: Checkpoint, folder: Path) -> dict[str, dict[str, Any]]:
    """Return what the files of settings beside a checkpoint hold, by their names for people."""
    found = dict(checkpoint.beside)
    for name in CONFIGURATIONS:
        held = _read(folder / name)
        if held:
            found[name] = held
    if folder.name == "checkpoints" and (held := _read(folder.parent / "hparams.yaml")):
        found["../hparams.yaml"] = held
    if held := plain_values(folder / "training_args.bin"):
        found["training_args.bin"] = held
    return found


def states_beside(folder: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the states of optimizer and schedule that stand in files of their own."""
    for name in STATES:
        path = folder / name
        if path.is_file():
            try:
                held = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
            except Exception:  # noqa: BLE001 - what can't be read as plain values tells nothing
                continue
            if isinstance(held, Mapping):
                yield name, held


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    if path.suffix == ".json":
        return read_json(path)[0]
    text, note = read_text(path)
    if note or len(text) > LARGEST_YAML:
        return {}
    try:
        held = yaml.safe_load(text)
    except Exception:  # noqa: BLE001 - tags such as `!!bool maybe` raise what they like
        return {}
    return plain_tree(held) if isinstance(held, Mapping) else {}
