import math
from dataclasses import replace

import numpy as np
import pytest

from auditor.checks.parameters.batch_norm_misused import (
    NORMS,
    SEQUENCE,
    SETTINGS,
    STATISTICS,
    TRIAL,
    judge,
)
from auditor.core.request import Unavailable
from auditor.core.verdict import Verdict
from auditor.observations.batch_norm import BatchNormLayer, BatchNormStatistics
from auditor.observations.norm_layers import NormLayer, NormLayers, NormSequence, RanNorm
from auditor.observations.norm_trial import NormTrial
from auditor.observations.settings import Settings

NORM = NormLayer(
    layer="bn",
    kind="BatchNorm2d",
    channels=16,
    eps=1e-5,
    momentum=0.1,
    updates=1000.0,
    running=True,
    untouched=False,
    constant=0,
    impossible=0,
    scales=True,
    zeros=0,
    negatives=3,
    frozen=False,
    awake=False,
)
WELL = {"as it is": 0.9, "computed anew": 0.9, "on the batch": 0.9}


def given(variance: float = 4.0, remembered: float = 4.0, channels: int = 16) -> BatchNormLayer:
    one, count = np.ones(channels), 5000
    return BatchNormLayer(
        "bn", 1e-5, 0 * one, remembered * one, count, 0 * one, variance * count * one
    )


def trial(plain: float = 0.9, anew: float = 0.9, batch: float = 0.9, size: int = 32) -> NormTrial:
    """Return a trial with these accuracies; a model without dropout."""
    place = np.arange(400) / 400
    rows = [place < plain, place < anew, np.full(400, np.nan), place < batch]
    table = np.asarray([np.asarray(row, float) for row in rows])
    odd = replace(given(9.0), layer="odd")
    return NormTrial("accuracy", True, table, np.zeros((4, 0)), (given(), odd), np.zeros((0, 0)),
                     drops=False, examples=640, size=size, split="train")  # fmt: skip


def seen(
    *norms: NormLayer,
    layer: BatchNormLayer | None = None,
    run: RanNorm | None = None,
    made: NormTrial | None = None,
    batch: int = 32,
    steps: float | None = 1000.0,
    data: bool = True,
) -> dict:
    answers = {
        NORMS: NormLayers(norms or (NORM,), modes=True),
        SETTINGS: Settings(
            batch_size=batch, steps=steps, sources={"batch_size": "the training loader"}
        ),
    }
    if not data:
        return answers | {STATISTICS: Unavailable("there is no data")}
    run = run or RanNorm("bn", 1, 32 * 64, "")
    return answers | {
        STATISTICS: BatchNormStatistics((layer or given(),), 512, "train"),
        SEQUENCE: NormSequence((run, RanNorm("odd", 1, 2048, "")), (), (), 32),
        TRIAL: made or trial(),
    }


def test_sound_settings_pass(judged) -> None:
    found = judged(judge, seen())
    assert found.verdict is Verdict.PASS
    assert "accuracy 0.9 to 0.9" in found.summary
    assert found.figures[0].rows[0][:2] == ("as it is", 0.9)
    assert found.figures[1].rows[0][0] == "bn"


HARM = trial(0.6, 0.95, 0.95)
SOME = trial(0.85, 0.95, 0.95)
NONE = trial()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"momentum": 0.0}, "momentum of 0"),
        ({"momentum": 1.0}, "momentum of 1"),
        ({"momentum": 1e-4}, "still the 0 and 1"),
        ({"untouched": True, "updates": 0.0}, "never updated"),
        ({"frozen": True}, "stays in evaluation mode"),
        ({"updates": 10.0}, "count of batches far below"),
    ],
)
def test_a_setting_is_judged_by_what_it_spoils(judged, changes: dict, said: str) -> None:
    odd = replace(NORM, layer="odd", **changes)
    for made, verdict in ((HARM, Verdict.FAIL), (SOME, Verdict.WARN), (NONE, Verdict.INFO)):
        found = judged(judge, seen(NORM, odd, made=made))
        assert found.verdict is verdict, found.summary
        assert said in found.summary
        if verdict is not Verdict.INFO:
            assert {place.name for place in found.where} == {"odd"}


def test_harm_that_another_layer_does_is_not_held_against_a_setting(judged) -> None:
    found = judged(judge, seen(replace(NORM, momentum=0.0), replace(NORM, layer="odd"), made=HARM))
    assert found.verdict is Verdict.INFO


@pytest.mark.parametrize(
    "changes", [{"momentum": 0.1}, {"momentum": None}, {"momentum": 0.49}, {"updates": 501.0}]
)
def test_usual_settings_are_not_remarked_upon(judged, changes: dict) -> None:
    assert judged(judge, seen(NORM, replace(NORM, **changes), made=HARM)).verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("changes", "steps", "verdict"),
    [
        ({"momentum": 0.0}, None, Verdict.WARN),
        ({"untouched": True, "updates": 0.0}, 500.0, Verdict.WARN),
        ({"untouched": True, "updates": 0.0}, None, Verdict.INFO),
        ({"momentum": 1.0}, None, Verdict.INFO),
        ({"impossible": 2}, None, Verdict.FAIL),
        ({"constant": 8}, None, Verdict.WARN),
        ({"constant": 7}, None, Verdict.INFO),
        ({}, None, Verdict.INFO),
    ],
)
def test_without_data_what_leaves_no_doubt_warns(
    judged, changes: dict, steps: float | None, verdict: Verdict
) -> None:
    found = judged(judge, seen(replace(NORM, **changes), data=False, steps=steps))
    assert found.verdict is verdict, found.summary
    if not changes:
        assert "there is no data" in found.summary


@pytest.mark.parametrize(
    ("size", "values", "made", "verdict"),
    [
        (32, 32, trial(batch=0.7), Verdict.PASS),
        (8, 32, trial(batch=0.7), Verdict.INFO),
        (4, 32 * 64, trial(batch=0.9), Verdict.INFO),
        (4, 32 * 64, trial(batch=0.88), Verdict.INFO),
        (4, 32 * 64, trial(batch=0.8), Verdict.WARN),
        (4, 32 * 64, trial(batch=0.5), Verdict.FAIL),
        (4, 32 * 64, trial(0.7, 0.7, 0.8), Verdict.WARN),
        (2, 32, trial(), Verdict.WARN),
        (2, 32 * 64, trial(), Verdict.WARN),
        (3, 32 * 64, trial(), Verdict.INFO),
        (1, 32, trial(), Verdict.WARN),
        (9, 32, trial(batch=0.7), Verdict.PASS),
    ],
)
def test_small_batches(judged, size: int, values: int, made: NormTrial, verdict: Verdict) -> None:
    found = judged(judge, seen(run=RanNorm("bn", 1, values, ""), made=made, batch=size))
    assert found.verdict is verdict, found.summary
    if verdict not in (Verdict.PASS, Verdict.INFO):
        assert found.where[0].name == "bn"
        assert "GroupNorm" in found.advice[1]


def test_two_values_are_signs_and_one_raises(judged) -> None:
    two = judged(judge, seen(run=RanNorm("bn", 1, 32, ""), batch=2))
    assert "plus or minus one" in two.summary
    one = judged(judge, seen(run=RanNorm("bn", 1, 32, ""), batch=1))
    assert "training mode raises" in one.summary


def test_variance_next_to_nothing(judged) -> None:
    layer = given(remembered=1e-9)
    found = judged(judge, seen(layer=layer))
    assert found.verdict is Verdict.WARN
    assert "16 of 16 channels" in found.where[0].note
    few = given()
    few.running_var[:3] = 1e-9
    assert judged(judge, seen(layer=few)).verdict is Verdict.INFO
    harmed = judged(judge, seen(layer=few, made=replace(HARM, given=(few,))))
    assert harmed.verdict is Verdict.FAIL
    assert "Computed anew" in harmed.summary


def test_channels_that_are_off_are_remarked_upon(judged) -> None:
    off = given()
    off.running_var[:3] = 1e-9
    off.squares[:3] = 0.0
    found = judged(judge, seen(layer=off))
    assert found.verdict is Verdict.INFO
    assert "3 channels" in found.summary


@pytest.mark.parametrize(("variance", "verdict"), [(5e-6, Verdict.WARN), (2e-5, Verdict.PASS)])
def test_eps_that_outweighs_the_variance(judged, variance: float, verdict: Verdict) -> None:
    found = judged(judge, seen(layer=given(variance, max(variance, 1.1e-5))))
    assert found.verdict is verdict, found.summary


def test_modes(judged) -> None:
    awake = judged(judge, seen(NORM, replace(NORM, layer="odd", awake=True)))
    assert awake.verdict is Verdict.WARN
    assert [place.name for place in awake.where] == ["odd"]
    batch = judged(judge, seen(NORM, replace(NORM, layer="odd", running=False)))
    assert batch.verdict is Verdict.INFO
    assert "`odd` keeps no running statistics" in batch.summary


@pytest.mark.parametrize(
    ("made", "verdict"),
    [
        (trial(0.5, 0.5, 0.9), Verdict.FAIL),
        (trial(0.8, 0.8, 0.9), Verdict.WARN),
        (trial(0.9, 0.9, 0.9), Verdict.INFO),
    ],
)
def test_layers_that_no_statistics_can_serve(judged, made: NormTrial, verdict: Verdict) -> None:
    shared = judged(judge, seen(run=RanNorm("bn", 2, 2048, ""), made=made))
    assert shared.verdict is verdict
    instance = judged(judge, seen(replace(NORM, kind="InstanceNorm2d"), made=made))
    assert instance.verdict is verdict
    if verdict is not Verdict.INFO:
        assert shared.where[0].note == "runs 2 times a pass"
        assert "track_running_stats=False" in instance.advice[0]


def test_batches_that_do_better_by_themselves_are_no_fault_of_batch_norm(judged) -> None:
    found = judged(judge, seen(made=trial(0.5, 0.5, 0.9)))
    assert found.verdict is Verdict.INFO
    assert "not distributed" in found.summary


def test_useless_biases_and_scales_are_listed(judged) -> None:
    biased = judged(judge, seen(run=RanNorm("bn", 1, 2048, "conv1")))
    assert biased.verdict is Verdict.INFO
    assert "conv1" in biased.summary
    zero = judged(judge, seen(replace(NORM, zeros=16)))
    assert zero.verdict is Verdict.INFO
    assert "all scales at 0" in zero.summary
    assert judged(judge, seen(replace(NORM, zeros=15))).verdict is Verdict.PASS


def test_a_layer_that_never_ran_is_no_fault(judged) -> None:
    idle = replace(NORM, layer="idle", untouched=True, updates=0.0)
    found = judged(judge, seen(NORM, idle, made=HARM))
    assert found.verdict is Verdict.INFO
    assert "never ran" in found.summary


def test_no_such_layer(judged) -> None:
    none = {NORMS: NormLayers((), modes=True)}
    assert judged(judge, none).verdict is Verdict.NOT_APPLICABLE


def test_what_a_checkpoint_does_not_tell_is_no_fault(judged) -> None:
    bare = replace(NORM, kind="", momentum=math.nan, updates=math.nan)
    found = judged(judge, seen(bare, data=False, steps=None))
    assert found.verdict is Verdict.INFO
    assert found.figures[0].rows[0][3] is None
