"""What nobody can retrain without, by hand-made sources."""

from typing import Any

import numpy as np
import pytest
import yaml

from auditor.checks.tracking.hyperparameters_unrecorded import FILL_IN, SCHEDULE, SOURCES, judge
from auditor.core.advice import parts
from auditor.core.request import Unavailable
from auditor.core.spec import AuditSpec
from auditor.core.verdict import Verdict
from auditor.observations.schedule import Schedule
from auditor.observations.setting_sources import (
    CHECKPOINT,
    Kind,
    SavedOptimizer,
    SettingSources,
    Stated,
)

ALL = {
    "optimizer": "SGD",
    "lr": 0.1,
    "batch_size": 32,
    "epochs": 20.0,
    "momentum": 0.9,
    "weight_decay": 0.0,
    "schedule": "none",
    "clip_norm": 1.0,
    "seed": 0,
    "loss": "cross_entropy",
    "model": "model:build",
    "data": "v3",
}
ESSENTIAL = ("optimizer", "lr", "batch_size", "epochs")


def sources(kind: Kind = "called", files: tuple[str, ...] = (CHECKPOINT,), **told: Any) -> Any:
    stated = (Stated(k, v, kind, f"`args.{k}` in {CHECKPOINT}", CHECKPOINT)
              for k, v in told.items())  # fmt: skip
    return SettingSources(tuple(stated), files)


def seen(what: SettingSources, logged: tuple[float, ...] = ()) -> dict[Any, Any]:
    nothing, rates = np.zeros(0), np.asarray(logged)
    course = Schedule(
        "", "", {}, None, None, "", nothing, nothing, np.nan, np.nan, rates, rates, "the log"
    )
    return {SOURCES: what, SCHEDULE: course}


def without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in ALL.items() if name not in names}


def test_all_recorded(judged) -> None:
    found = judged(judge, seen(sources(**ALL)))
    assert found.verdict is Verdict.PASS
    assert not found.where
    assert not found.advice
    assert [metric.value for metric in found.metrics] == [4, 13]


@pytest.mark.parametrize("name", ESSENTIAL)
def test_each_essential_one_is_missed(judged, name: str) -> None:
    found = judged(judge, seen(sources(**without(name))))
    assert found.verdict is Verdict.WARN
    assert found.figures
    assert len(found.where) == 1
    code = parts(found.advice[0]).code
    assert "torch.save" in code
    assert ("batch_size" in code) == (name == "batch_size"), "only what is missing"
    assert ("epochs" in code) == (name == "epochs")


@pytest.mark.parametrize("name", [name for name in ALL if name not in ESSENTIAL])
def test_each_useful_one_is_told(judged, name: str) -> None:
    found = judged(judge, seen(sources(**without(name))))
    assert found.verdict is Verdict.INFO
    assert "Useful and not recorded" in found.summary
    assert found.advice


def test_nothing_recorded(judged) -> None:
    found = judged(judge, seen(sources()))
    assert found.verdict is Verdict.WARN
    assert [place.name for place in found.where][:4] == [
        "training.optimizer",
        "training.optimizer.lr",
        "training.batch_size",
        "training.epochs",
    ]
    assert "optimizer, learning rate, batch size, epochs or steps" in found.summary
    assert all(parts(step).code for step in found.advice)


def test_the_lines_of_the_spec_are_refused_until_filled_in_and_read_when_they_are(judged) -> None:
    found = judged(judge, seen(sources()))
    lines = next(parts(step).code for step in found.advice if parts(step).language == "yaml")
    with pytest.raises(ValueError, match="batch_size"):
        AuditSpec.model_validate(yaml.safe_load(lines))
    filled = lines.replace(f"name: {FILL_IN}", "name: SGD").replace(FILL_IN, "1")
    filled = filled.replace("schedule: 1", "schedule: none").replace("loss: 1", "loss: mse_loss")
    filled = filled.replace("factory: 1", "factory: m:b").replace("train: 1", "train: d:t")
    spec = AuditSpec.model_validate(yaml.safe_load(filled))
    assert (spec.training.batch_size, spec.training.seed) == (1, 1)


def test_the_state_tells_the_class_or_a_pair_of_them(judged) -> None:
    def saved(*kinds: str) -> SettingSources:
        told = sources(**without("optimizer")).told
        return SettingSources(
            told, (CHECKPOINT,), (SavedOptimizer("`optimizer`", CHECKPOINT, kinds, ()),)
        )

    assert judged(judge, seen(saved("AdamW"))).verdict is Verdict.PASS
    pair = judged(judge, seen(saved("Adam", "AdamW")))
    assert pair.verdict is Verdict.INFO
    assert judged(judge, seen(saved())).verdict is Verdict.WARN


def test_a_declared_optimizer_brings_its_defaults(judged) -> None:
    told = sources("declared", **without("momentum", "weight_decay", "clip_norm"))
    assert judged(judge, seen(told)).verdict is Verdict.PASS


def test_the_last_rate_or_a_log_tells_the_rate(judged) -> None:
    assert judged(judge, seen(sources(**without("lr"), last_lr=0.1))).verdict is Verdict.PASS
    told = sources(**without("lr", "schedule"))
    assert judged(judge, seen(told, logged=(0.1, 0.01))).verdict is Verdict.PASS
    lost = {SOURCES: told, SCHEDULE: Unavailable("broken")}
    assert judged(judge, lost).verdict is Verdict.WARN


def test_steps_stand_for_epochs_and_the_loader_tells_its_batch(judged) -> None:
    told = sources(**without("epochs", "batch_size"), counted_steps=500.0)
    with_loader = SettingSources(told.told, told.files, batch_size=16)
    assert judged(judge, seen(with_loader)).verdict is Verdict.PASS
    assert judged(judge, seen(told)).verdict is Verdict.WARN


def test_a_live_model_of_which_nothing_is_declared(judged) -> None:
    found = judged(judge, seen(sources(files=())))
    assert found.verdict is Verdict.NOT_APPLICABLE
    assert "no place to look" in found.summary


def test_a_live_model_is_only_told(judged) -> None:
    found = judged(judge, seen(sources("declared", files=(), optimizer="SGD", lr=0.1)))
    assert found.verdict is Verdict.INFO
    assert "without a checkpoint" in found.summary
    assert "batch size" in found.summary
    assert not found.where
