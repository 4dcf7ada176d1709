"""What a checkpoint and the files beside it tell of training, place by place.

`intake.declared` tells each setting once, from the surest place. Here every place is heard, so that
they can be held against one another.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from auditor.core.text import clean_text
from auditor.intake.checkpoint import Checkpoint
from auditor.intake.declared import (
    HOLDERS,
    NESTED,
    STEPS,
    flat,
    kind_of_schedule,
    lightning_epochs,
    told_by,
)
from auditor.intake.plain_settings import is_finite, number_in, plain_of
from auditor.intake.setting_names import (
    DATA,
    DECAYED,
    LEAST,
    MODEL_SECTIONS,
    MODELS,
    NAMED,
    NUMBERS,
    PICKED,
    PREPARED,
    SECTIONS,
    TEXTS,
)
from auditor.intake.trainer_files import settings_beside, states_beside
from auditor.observations.setting_match import SOME_SCHEDULE
from auditor.observations.setting_sources import CHECKPOINT, Kind, Stated

Tree = Mapping[str, Any]

COUNTERS = ("batch",)
"""What is a counter where it stands beside the weights, and a setting elsewhere."""
GENERAL = frozenset({"name", "type", "kind", "mode", "version", "path", "id", "size", "device"})
"""Names of arguments that mean something else outside of a section on the model."""
MOST_HINTS = 8
"""Settings of one part that are kept for the words in their names."""

LAID_OUT = frozenset(
    {
        "T_max",
        "eta_min",
        "T_0",
        "T_mult",
        "gamma",
        "step_size",
        "milestones",
        "total_steps",
        "total_iters",
        "power",
        "factor",
        "patience",
        "start_factor",
        "end_factor",
    }
)
"""What schedules are laid out by."""


def recorded_by(checkpoint: Checkpoint, arguments: Sequence[str]) -> tuple[list[Stated], list[str]]:
    """Return what is recorded of training, and the files that were read.

    `arguments` are the names of the model's arguments to look for.
    """
    told = list(_counted(checkpoint.plain, "", CHECKPOINT, "pytorch-lightning_version"))
    for prefix, tree in _holders(checkpoint.plain):
        told += _called(tree, prefix, CHECKPOINT, arguments)
    files = settings_beside(checkpoint)
    files |= _recording(checkpoint)
    for name, held in files.items():
        shown = clean_text(name, 80)
        told += _counted(held, "", shown)
        for prefix, tree in (*_holders(held),) if held else ():
            told += _called(tree, prefix, shown, arguments)
    for one in told_by(checkpoint):
        if one.field == "schedule_state":
            told += _scheduled(one.value, "the scheduler's state", CHECKPOINT)
    for name, state in states_beside(checkpoint):
        if "param_groups" not in state:
            told += _scheduled(flat(state), "the scheduler's state", name)
        files[name] = {}
    return told, [CHECKPOINT, *(clean_text(name, 80) for name in files)]


def picked_by(checkpoint: Checkpoint) -> str:
    """Return what tells that a checkpoint is the best of several, empty where nothing does."""
    if "best" in checkpoint.path.name.lower():
        return f"the name {clean_text(checkpoint.path.name, 60)}"

    def search(tree: Tree, depth: int) -> str:
        for key, value in tree.items():
            name = str(key).lower()
            if any(part in name for part in PICKED) and number_in(value) is not None:
                return f"`{clean_text(key, 60)}` in {CHECKPOINT}"
            if depth < 2 and isinstance(value, Mapping) and (found := search(value, depth + 1)):
                return found
        return ""

    return search({k: v for k, v in checkpoint.plain.items() if k not in HOLDERS}, 0)


def _holders(tree: Tree) -> Iterator[tuple[str, Tree]]:
    """Yield the parts of a tree in which settings are kept, each with its dotted key."""
    for key in (*HOLDERS, "datamodule_hyper_parameters"):
        held = tree.get(key)
        if isinstance(held, Mapping):
            yield key, held
            for inner in (*NESTED, "scheduler", "lr_scheduler"):
                part = held.get(inner)
                if isinstance(part, Mapping):
                    yield f"{key}.{inner}", part
    for key in (*NESTED, "scheduler", "lr_scheduler"):
        held = tree.get(key)
        if isinstance(held, Mapping) and key not in HOLDERS:
            yield key, held
    yield "", tree


def _recording(checkpoint: Checkpoint) -> dict[str, dict[str, Any]]:
    """Return what the Recorder's file tells, under its name."""
    header = checkpoint.recorded
    if header is None:
        return {}
    told = {
        "settings": dict(header.settings),
        "data_fingerprint": header.data.get("train", {}).get("fingerprint"),
        "global_step": header.steps,
    }
    return {header.path.name: told}


def _counted(tree: Tree, prefix: str, file: str, lightning: str = "") -> Iterator[Stated]:
    """Yield the counters that training left: epochs and steps that were made."""

    def stated(setting: str, value: float, key: str) -> Stated:
        return Stated(setting, value, "state", f"`{prefix}{key}` in {file}", file)

    for key in ("epoch", "current_epoch"):
        made = number_in(tree.get(key))
        if made is not None and made >= 0:
            made = lightning_epochs(tree, made) if lightning and lightning in tree else made
            yield stated("epochs", made, key)
            break
    for key in STEPS:
        steps = number_in(tree.get(key))
        if steps is not None and steps >= 1:
            yield stated("counted_steps", steps, key)
            break


def _called(tree: Tree, prefix: str, file: str, arguments: Sequence[str]) -> Iterator[Stated]:
    """Yield the settings in one part of what a script was called with."""
    section = prefix.rpartition(".")[2]

    def stated(setting: str, value: Any, key: str) -> Stated:
        dotted = f"{prefix}.{key}" if prefix else key
        where = f"`{clean_text(dotted, 80)}` in {file}"
        return Stated(setting, plain_of(dotted, value), kind, where, file)

    kind: Kind = "called"
    left_out = COUNTERS if not prefix and file == CHECKPOINT else ()
    for setting, names in NUMBERS.items():
        known = (n for n in names if n not in left_out and number_in(tree.get(n)) is not None)
        key = next(known, "")
        value = number_in(tree.get(key))
        if (
            value is None
            or value < LEAST.get(setting, -math.inf)
            or (setting == "lr" and not value)
        ):
            continue
        if setting != "clip_norm" or tree.get("gradient_clip_algorithm") != "value":
            yield stated(setting, value, key)
    hinted = (key for key in tree if any(hint in str(key).lower() for hint in DECAYED))
    for key in islice(hinted, MOST_HINTS):
        if tree[key] and key not in TEXTS["schedule"]:
            yield stated("decay", tree[key], str(key))
    for key in NUMBERS["clip_norm"]:
        if key in tree and tree[key] is None:
            yield stated("clip_norm", 0.0, key)
            break
    betas = tree.get("betas", tree.get("adam_betas"))
    if isinstance(betas, list | tuple) and len(betas) == 2 and all(map(is_finite, betas)):
        yield stated("betas", betas, "betas")
    if section in SECTIONS["optimizer"] and number_in(tree.get("eps")) is not None:
        yield stated("eps", tree["eps"], "eps")
    for setting, names in TEXTS.items():
        own = NAMED if section in SECTIONS.get(setting, ()) else ()
        key = next((n for n in (*names, *own) if isinstance(tree.get(n), str) and tree[n]), "")
        if key:
            yield stated(setting, tree[key], key)
    for setting, names in (("data", DATA), ("preparation", PREPARED), ("model", MODELS)):
        for key in names:
            if tree.get(key) not in (None, "", [], {}):
                yield stated(setting, tree[key], key)
    if not prefix or section not in ("optimizer", "optim", "scheduler", "lr_scheduler", "data"):
        for name in arguments:
            if name in tree and (section in MODEL_SECTIONS or name not in GENERAL):
                yield stated(f"model.{name}", tree[name], name)
        for inner in MODEL_SECTIONS:
            part = tree.get(inner)
            if isinstance(part, Mapping) and inner not in NESTED:
                for name in arguments:
                    if name in part:
                        yield stated(f"model.{name}", part[name], f"{inner}.{name}")


def _scheduled(state: Tree, where: str, file: str) -> Iterator[Stated]:
    """Yield the class of a schedule, what it was laid out by, and its steps."""
    kind = kind_of_schedule(state) or SOME_SCHEDULE
    place = f"{where} in {file}"
    yield Stated("schedule", kind, "state", place, file)
    for key, value in state.items():
        if key in LAID_OUT and value is not None:
            yield Stated(f"schedule.{key}", plain_of(key, value), "state", place, file)
