"""Both sides of every limit, by hand-made sources."""

from typing import Any

import pytest

from auditor.checks.tracking.settings_contradict_checkpoint import (
    SCHEDULE,
    SETTINGS,
    SOURCES,
    judge,
)
from auditor.core.advice import parts
from auditor.core.request import Unavailable
from auditor.core.secrets import MASK
from auditor.core.verdict import Verdict
from auditor.observations.setting_match import alike, loss_of, optimizer_of, schedule_of
from auditor.observations.setting_sources import (
    CHECKPOINT,
    SPEC,
    Kind,
    SavedOptimizer,
    SettingSources,
    Stated,
)

Told = tuple[Kind, str, Any]


def one(kind: Kind, setting: str, value: Any, file: str = "") -> Stated:
    prefix = "training.optimizer." if setting in ("optimizer", "lr", "momentum") else "training."
    file = file or (SPEC if kind == "declared" else CHECKPOINT)
    where = f"`{prefix}{setting}` in {file}" if kind == "declared" else f"`{kind}` in {file}"
    return Stated(setting, value, kind, where, file)


def seen(*told: Stated, **further: Any) -> dict[Any, Any]:
    untold = Unavailable("not asked for")
    sources = SettingSources(told, (CHECKPOINT,), **further)
    return {SOURCES: sources, SCHEDULE: untold, SETTINGS: untold}


@pytest.mark.parametrize(
    ("declared", "first", "verdict"),
    [
        (0.1, 0.1, Verdict.PASS),
        (1e-3, 0.0010000000474974513, Verdict.PASS),
        (0.1, 0.10005, Verdict.PASS),
        (0.1, 0.102, Verdict.WARN),
        (0.1, 0.2, Verdict.WARN),
        (0.1, 0.21, Verdict.FAIL),
        (0.1, 0.04, Verdict.FAIL),
    ],
)
def test_the_first_rate(judged, declared: float, first: float, verdict: Verdict) -> None:
    told = (one("declared", "lr", declared), one("state", "first_lr", first),
            one("state", "last_lr", 0.0))  # fmt: skip
    found = judged(judge, seen(*told))
    assert found.verdict is verdict, found.summary
    if verdict is not Verdict.PASS:
        assert found.where[0].name == "training.optimizer.lr"
        assert CHECKPOINT in found.where[0].note
        assert found.figures


@pytest.mark.parametrize(
    ("declared", "made", "further", "verdict"),
    [
        (20, 20, (), Verdict.PASS),
        (20, 19, (), Verdict.PASS),
        (20, 21, (), Verdict.PASS),
        (1, 0, (), Verdict.PASS),
        (20, 25, (), Verdict.WARN),
        (20, 40, (), Verdict.WARN),
        (20, 41, (), Verdict.FAIL),
        (20, 5, (), Verdict.WARN),
        (20, 5, (("called", "epochs", 20.0),), Verdict.INFO),
        (20, 5, (("called", "epochs", 5.0),), Verdict.FAIL),
        (20, 15, (("called", "epochs", 15.0),), Verdict.WARN),
    ],
)
def test_epochs(
    judged, declared: float, made: float, further: tuple[Told, ...], verdict: Verdict
) -> None:
    told = [one("declared", "epochs", declared), one("state", "epochs", made)]
    found = judged(judge, seen(*told, *(one(*args) for args in further)))
    assert found.verdict is verdict, found.summary


def test_an_early_checkpoint_that_was_picked_is_told(judged) -> None:
    told = (one("declared", "epochs", 20), one("state", "epochs", 5))
    found = judged(judge, seen(*told, picked="`best_acc` in the checkpoint"))
    assert found.verdict is Verdict.INFO
    assert "best_acc" in found.summary


@pytest.mark.parametrize(
    ("steps", "setting", "verdict"),
    [
        (1000, "steps", Verdict.PASS),
        (980, "steps", Verdict.PASS),  # dropped last batches
        (250, "steps", Verdict.INFO),  # four batches to an update
        (1090, "steps", Verdict.PASS),  # another epoch
        (1500, "steps", Verdict.INFO),
        (2300, "steps", Verdict.WARN),
        (4000, "counted_steps", Verdict.INFO),  # a script counts its own batches
    ],
)
def test_updates_against_epochs_and_batches(
    judged, steps: float, setting: str, verdict: Verdict
) -> None:
    told = (one("declared", "epochs", 10), one("declared", "batch_size", 16),
            one("state", setting, steps))  # fmt: skip
    loader = {"examples": 1600, "batches": 100, "batch_size": 16}
    assert judged(judge, seen(*told, **loader)).verdict is verdict


def test_updates_say_nothing_without_a_training_loader(judged) -> None:
    told = (one("declared", "epochs", 10), one("declared", "batch_size", 16),
            one("state", "steps", 9e9))  # fmt: skip
    assert judged(judge, seen(*told)).verdict is Verdict.NOT_APPLICABLE


@pytest.mark.parametrize(
    ("declared", "recorded", "verdict"),
    [
        (64, 64, Verdict.PASS),
        (64, 16, Verdict.INFO),
        (64, 24, Verdict.WARN),
        (16, 64, Verdict.WARN),
    ],
)
def test_batch_sizes(judged, declared: int, recorded: int, verdict: Verdict) -> None:
    told = (one("declared", "batch_size", declared), one("called", "batch_size", recorded))
    assert judged(judge, seen(*told)).verdict is verdict


def state(*kinds: str, slots: tuple[str, ...] = (), out: tuple[str, ...] = ()) -> SavedOptimizer:
    return SavedOptimizer("`optimizer`", CHECKPOINT, kinds, slots, out)


@pytest.mark.parametrize(
    ("declared", "optimizers", "verdict"),
    [
        ("SGD", (state("SGD"),), Verdict.PASS),
        ("SGD", (state("AdamW"),), Verdict.FAIL),
        ("Adam", (state("AdamW"),), Verdict.FAIL),
        ("Adam", (state("Adam", "AdamW"),), Verdict.PASS),
        ("SGD", (state("SGD"), state("Adam")), Verdict.PASS),
        ("SGD", (state(slots=("exp_avg",), out=("SGD",)),), Verdict.WARN),
        ("AdamW", (state(slots=("exp_avg",), out=("SGD",)),), Verdict.NOT_APPLICABLE),
    ],
)
def test_the_class_by_the_state(
    judged, declared: str, optimizers: tuple[SavedOptimizer, ...], verdict: Verdict
) -> None:
    told = (one("declared", "optimizer", declared), one("state", "weight_decay", 0.1))
    found = judged(judge, seen(*told, optimizers=optimizers))
    assert found.verdict is verdict, found.summary
    if "AdamW" in optimizers[0].kinds and len(optimizers[0].kinds) == 2:
        assert "Adam or AdamW: which is not told" in found.summary


@pytest.mark.parametrize(
    ("named", "file", "verdict"),
    [
        ("sgd", CHECKPOINT, Verdict.PASS),
        ("adamw_torch_fused", CHECKPOINT, Verdict.FAIL),
        ("adamw_torch_fused", "training_args.bin", Verdict.FAIL),
        ("adamw", "config.json", Verdict.WARN),
        ("lion", CHECKPOINT, Verdict.NOT_APPLICABLE),
    ],
)
def test_the_class_by_a_record(judged, named: str, file: str, verdict: Verdict) -> None:
    told = (one("declared", "optimizer", "SGD"), one("called", "optimizer", named, file))
    assert judged(judge, seen(*told)).verdict is verdict


def test_a_record_against_a_state_that_fits_the_spec_only_warns(judged) -> None:
    told = (one("declared", "optimizer", "SGD"), one("called", "optimizer", "adam"))
    found = judged(judge, seen(*told, optimizers=(state("SGD"),)))
    assert found.verdict is Verdict.WARN


def test_one_rate_lost_among_many_settings_is_named_first(judged) -> None:
    told = [
        one("declared", "seed", 1),
        one("called", "seed", 2),
        one("declared", "lr", 0.1),
        one("state", "first_lr", 1.0),
        one("state", "last_lr", 1.0),
    ]
    found = judged(judge, seen(*told))
    assert [place.name for place in found.where] == ["training.optimizer.lr", "training.seed"]
    code = [parts(step).code for step in found.advice]
    assert code[0] == "training:\n  optimizer:\n    lr: 1"
    assert code[1] == "training:\n  seed: 2"


def test_a_hidden_value_is_no_advice(judged) -> None:
    told = (one("declared", "model.note", "mine"), one("called", "model.note", MASK))
    found = judged(judge, seen(*told))
    assert all(MASK not in parts(step).code for step in found.advice)


def test_nothing_to_compare(judged) -> None:
    assert "neither spec nor checkpoint" in judged(judge, seen()).summary
    found = judged(judge, seen(one("declared", "lr", 0.1)))
    assert found.verdict is Verdict.NOT_APPLICABLE
    assert "told by two places" in found.summary


def test_names_of_one_thing() -> None:
    assert [optimizer_of(n) for n in ("torch.optim.AdamW", "paged_adamw_8bit", "adamw_bnb_8bit",
            "SGD", "FusedAdam", "nadam", "lion", "", "adafactor")] == ["AdamW", "AdamW", "AdamW",
            "SGD", "Adam", "NAdam", "", "", "Adafactor"]  # fmt: skip
    assert [schedule_of(n) for n in ("cosine", "CosineAnnealingLR", "SchedulerType.LINEAR",
            "step", "onecycle", "mine", "no", "polynomial", "None")] == ["cosine", "cosine",
            "linear", "step", "cycle", "", "none", "polynomial", "none"]  # fmt: skip
    assert [loss_of(n) for n in ("nn.CrossEntropyLoss", "cross_entropy", "mse", "focal")] == [
        "cross_entropy", "cross_entropy", "mse_loss", ""]  # fmt: skip
    assert alike((0.9, 0.999), (0.9, 0.9990001))
    assert not alike((0.9, 0.999), (0.9, 0.99))
    assert not alike("relu", "gelu")
    assert alike("relu", 3), "what is of another sort can't be told apart"
