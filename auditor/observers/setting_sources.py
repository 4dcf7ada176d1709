"""Looks at every place that tells a setting of training: the spec, the checkpoint, its folder."""

from collections.abc import Iterator, Mapping
from typing import Any

from auditor.core.text import clean_text
from auditor.intake.checkpoint import Checkpoint
from auditor.intake.moments import entries_at_hand, number
from auditor.intake.plain_settings import plain_of
from auditor.intake.recorded import picked_by, recorded_by
from auditor.intake.saved_optimizers import optimizer_told
from auditor.intake.subject import Subject
from auditor.intake.trainer_files import states_beside
from auditor.observations.setting_sources import (
    CHECKPOINT,
    SPEC,
    SavedOptimizer,
    SettingSources,
    SettingSourcesOf,
    Stated,
)

CALL = "the call of audit()"
OBJECT = "the optimizer handed in"


def setting_sources(request: SettingSourcesOf, subject: Subject) -> SettingSources:
    """Return who tells which setting of training."""
    told = list(_declared(subject))
    optimizers: list[SavedOptimizer] = []
    files: list[str] = []
    picked = ""
    checkpoint = subject.checkpoint
    if checkpoint is not None:
        recorded, files = recorded_by(checkpoint, tuple(subject.arguments))
        told += recorded
        for where, file, saved in _optimizers(checkpoint):
            kept, stated = optimizer_told(where, file, saved)
            optimizers.append(kept)
            told += stated
        picked = picked_by(checkpoint)
    if subject.live_optimizer is not None:
        told += _at_hand(subject)
    train = subject.facts.data.get("train")
    return SettingSources(
        told=tuple(told),
        files=tuple(dict.fromkeys(files)),
        optimizers=tuple(optimizers),
        picked=picked,
        examples=(train.examples if train.complete else train.batches * train.batch_size)
        if train
        else 0,
        batches=train.batches if train else 0,
        batch_size=train.batch_size if train else 0,
    )


def _optimizers(checkpoint: Checkpoint) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield each saved optimizer, also of a file of its own: its key, its file, and its state."""
    for key, state in checkpoint.optimizers.items():
        yield f"`{clean_text(key, 80)}`", CHECKPOINT, state
    if not checkpoint.optimizers:
        for name, held in states_beside(checkpoint):
            if isinstance(held.get("param_groups"), list):
                yield "the optimizer's state", name, held


def _declared(subject: Subject) -> Iterator[Stated]:
    """Yield what spec or caller declare."""
    training = subject.training
    source = SPEC if subject.checkpoint is not None else CALL

    def stated(setting: str, value: Any, key: str) -> Stated:
        where = f"`{clean_text(key, 80)}` in {source}"
        return Stated(clean_text(setting, 80), plain_of(key, value), "declared", where, source)

    if training.optimizer is not None and subject.live_optimizer is None:
        yield stated("optimizer", training.optimizer.name, "training.optimizer.name")
        for key, value in training.optimizer.arguments().items():
            yield stated(key, value, f"training.optimizer.{key}")
    for key in ("batch_size", "epochs", "clip_norm", "seed"):
        value = getattr(training, key)
        if value is not None:
            yield stated(key, value, f"training.{key}")
    if isinstance(training.schedule, Mapping):
        for key, value in training.schedule.items():
            name = "schedule" if key == "name" else f"schedule.{key}"
            yield stated(name, value, f"training.{name}")
    elif training.schedule is not None:
        yield stated("schedule", training.schedule, "training.schedule")
    if training.log:
        yield stated("log", training.log, "training.log")
    if subject.facts.loss:
        yield stated("loss", subject.facts.loss, "loss")
    if subject.facts.factory:
        yield stated("model", subject.facts.factory, "model.factory")
    for key, value in subject.arguments.items():
        yield stated(f"model.{key}", value, f"model.args.{key}")
    train = subject.facts.data.get("train")
    if train is not None:
        yield stated("data", f"fingerprint {train.fingerprint}", "data.train")


def _at_hand(subject: Subject) -> Iterator[Stated]:
    """Yield what the optimizer handed in tells."""
    live = subject.live_optimizer
    assert live is not None
    yield Stated("optimizer", type(live.optimizer).__name__, "state", OBJECT, OBJECT)
    groups = {"param_groups": live.optimizer.param_groups, "state": {}}
    yield from optimizer_told("it", OBJECT, groups)[1]
    steps = [number(entry.state.get("step")) for entry in entries_at_hand(live)]
    made = max((count for count in steps if count > 0), default=0)
    if made:
        yield Stated("steps", made, "state", OBJECT, OBJECT)
