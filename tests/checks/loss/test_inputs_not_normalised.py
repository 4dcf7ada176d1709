import math
import sys
from dataclasses import replace

import numpy as np
import pytest

from auditor.checks.loss.inputs_not_normalised import INPUTS, RESCALED, VALIDATION, judge
from auditor.core.figure import Bars, Table
from auditor.core.request import Unavailable
from auditor.core.verdict import Verdict
from auditor.observations.input_shift import shifts
from auditor.observations.inputs import InputColumns, InputStatistics
from auditor.observations.rescaling import Rescaled

GENERATOR = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _same_numbers_in_any_order(monkeypatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "GENERATOR", np.random.default_rng(0))


def table(values: np.ndarray, **changes) -> InputColumns:
    """Describe a table [examples, features] as the experiment would."""
    finite = np.where(np.isfinite(values), values, np.nan)
    columns = InputColumns(
        name="input",
        shape="float32[32, 4]",
        kind="feature",
        why="a table of one row an example",
        mean=np.nanmean(finite, axis=0),
        deviation=np.nanstd(finite, axis=0),
        least=np.nanmin(finite, axis=0),
        most=np.nanmax(finite, axis=0),
        lost=(~np.isfinite(values)).sum(axis=0),
        binary=np.isin(values, (0, 1)).all(axis=0),
        square=np.nanmean(np.square(finite), axis=1),
        sample=values,
        compared=np.arange(values.shape[1]),
        layer="fc1",
    )
    return replace(columns, **changes)


def images(mean: float, deviation: float, examples: int = 300, **changes) -> InputColumns:
    """Describe images of three channels."""
    means = mean + 0.3 * deviation * GENERATOR.normal(size=(examples, 3))
    spreads = deviation * np.exp(0.2 * GENERATOR.normal(size=(examples, 3)))
    size = np.sqrt(mean**2 + deviation**2)
    columns = InputColumns(
        name="input",
        shape="float32[32, 3, 8, 8]",
        kind="channel",
        why="Conv2d takes dimension 1 as channels",
        mean=np.full(3, mean),
        deviation=np.full(3, deviation),
        least=np.full(3, mean - 2 * deviation),
        most=np.full(3, mean + 2 * deviation),
        lost=np.zeros(3, int),
        binary=np.zeros(3, bool),
        square=size**2 * np.exp(0.1 * GENERATOR.normal(size=examples)),
        sample=np.concatenate([means, spreads], axis=1),
        compared=np.arange(3),
        layer="conv1",
        fan_in=27,
    )
    return replace(columns, **changes)


def seen(*inputs: InputColumns, split: str = "train", **changes) -> InputStatistics:
    examples = len(inputs[0].square)
    return replace(InputStatistics(inputs, (), examples, split), **changes)


def normal(examples: int = 300, features: int = 4) -> np.ndarray:
    return GENERATOR.normal(size=(examples, features))


def rescaled(before: float, after: float, examples: int = 200, **changes) -> Rescaled:
    noise = np.exp(0.3 * GENERATOR.normal(size=examples))
    base = Rescaled(
        metric="accuracy",
        tried=("standardised", "divided by 255"),
        losses=np.array([before, after]),
        best="divided by 255",
        reason="usual",
        rule="x becomes 0.003922 x + 0",
        before=before * noise,
        after=after * noise,
        right_before=np.ones(examples),
        right_after=np.ones(examples),
        tempered=before * noise,
        temperature=1.0,
        constant=2.3,
        train_before=before * noise,
        train_after=after * noise,
    )
    return replace(base, **changes)


def asked(inputs: InputStatistics, other=None, tried=None) -> dict:
    missing = Unavailable("no validation data is given")
    return {INPUTS: inputs, VALIDATION: other or missing, RESCALED: tried or missing}


def test_standardised_inputs_pass(judged) -> None:
    found = judged(judge, asked(seen(table(normal())), seen(table(normal()), split="val")))
    assert found.verdict is Verdict.PASS
    assert "input of 4 features" in found.summary
    assert "no validation data is given" in found.summary
    assert [type(figure) for figure in found.figures] == [Table, Bars, Bars]


@pytest.mark.parametrize(
    ("factor", "verdict"),
    [(4.0, Verdict.PASS), (7.0, Verdict.WARN), (0.1, Verdict.PASS), (0.04, Verdict.WARN)],
)
def test_the_scale_of_the_whole(judged, factor: float, verdict: Verdict) -> None:
    found = judged(judge, asked(seen(table(factor * normal()))))
    assert found.verdict is verdict
    if verdict is Verdict.WARN:
        assert found.where[0].name.startswith("input: feature")
        assert "Standardise the input" in found.advice[0]


def test_a_size_that_is_not_certain_does_not_warn(judged) -> None:
    found = judged(judge, asked(seen(table(normal(40, 1) * 7))))
    assert found.verdict is Verdict.PASS
    assert "not beyond doubt one of more than 5" in found.summary
    few = judged(judge, asked(seen(table(normal(12, 1)))))
    assert few.verdict is Verdict.INFO
    assert "20 are needed" in few.summary


def test_pixels_in_0_to_255(judged) -> None:
    found = judged(judge, asked(seen(images(120.0, 60.0))))
    assert found.verdict is Verdict.WARN
    assert "root mean square is 134" in found.summary
    assert "it goes into conv1 as it is" in found.summary
    assert "subtract 120, 120, 120 and divide by 60, 60, 60" in found.advice[0]
    assert judged(judge, asked(seen(images(0.45, 0.25)))).verdict is Verdict.PASS
    assert judged(judge, asked(seen(images(0.45 / 255, 0.25 / 255)))).verdict is Verdict.WARN


def test_a_model_that_normalises_first_takes_any_scale(judged) -> None:
    raw = images(120.0, 60.0)
    norm = replace(raw, layer="bn", normalises=True)
    assert judged(judge, asked(seen(norm))).verdict is Verdict.PASS
    scales = seen(replace(raw, layer=""), first_layer="conv1", first_square=0.9)
    assert judged(judge, asked(scales)).verdict is Verdict.PASS
    does_not = replace(scales, first_square=18_000.0)
    assert judged(judge, asked(does_not)).verdict is Verdict.WARN


@pytest.mark.parametrize(("size", "verdict"), [(9.0, Verdict.PASS), (30.0, Verdict.WARN)])
def test_one_feature_alone(judged, size: float, verdict: Verdict) -> None:
    values = normal(features=40)
    values[:, 7] *= size
    found = judged(judge, asked(seen(table(values))))
    assert found.verdict is verdict
    if verdict is Verdict.WARN:
        assert found.where[0].name == "input: feature 7"
        assert "feature 7" in found.summary


@pytest.mark.parametrize(("spread", "verdict"), [(0.02, Verdict.PASS), (0.002, Verdict.WARN)])
def test_spreads_next_to_each_other(judged, spread: float, verdict: Verdict) -> None:
    values = normal()
    values[:, 2] *= spread
    found = judged(judge, asked(seen(table(values))))
    assert found.verdict is verdict
    if verdict is Verdict.WARN:
        assert {place.name for place in found.where} >= {"input: feature 2"}


def test_rare_events_may_be_rare(judged) -> None:
    values = normal()
    values[:, 0] = 0.0
    values[:3, 0] = 0.001
    assert judged(judge, asked(seen(table(values)))).verdict is Verdict.PASS


def test_a_constant_feature_is_named(judged) -> None:
    values = normal()
    values[:, 2] = 1.5
    found = judged(judge, asked(seen(table(values))))
    assert found.verdict is Verdict.WARN
    assert found.where[0].name == "input: feature 2"
    assert "always 1.5" in found.where[0].note
    few = judged(judge, asked(seen(table(values[:60]))))
    assert few.verdict is Verdict.PASS


def test_black_borders_and_absent_categories_are_no_constant_features(judged) -> None:
    pixels = np.clip(normal(features=64), 0, 2)
    pixels[:, :5] = 0.0
    assert judged(judge, asked(seen(table(pixels)))).verdict is Verdict.PASS
    choice = np.eye(6)[GENERATOR.integers(0, 5, 300)]
    assert judged(judge, asked(seen(table(choice)))).verdict is Verdict.PASS
    ones = table(np.ones((300, 4)), name="mask")
    assert judged(judge, asked(seen(table(normal()), ones))).verdict is Verdict.PASS


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("split", ["train", "val"])
def test_values_that_are_not_finite_fail(judged, value: float, split: str) -> None:
    hurt = normal()
    hurt[4:7, 1] = value
    sound, bad = seen(table(normal())), seen(table(hurt), split=split)
    found = judged(judge, asked(bad) if split == "train" else asked(sound, bad))
    assert found.verdict is Verdict.FAIL
    assert "3 values" in found.summary
    assert found.where[0].name == "input: feature 1"


def test_values_that_the_model_fills_in_itself_are_told(judged) -> None:
    hurt = normal()
    hurt[4:7, 1] = np.nan
    found = judged(judge, asked(seen(table(hurt), filled=True, first_layer="net.0")))
    assert found.verdict is Verdict.PASS
    assert "3 values" in found.summary
    assert "fills them in itself, before its first layer, net.0" in found.summary


def test_without_training_data_the_scale_is_only_told(judged) -> None:
    found = judged(judge, asked(seen(images(120.0, 60.0), split="val")))
    assert found.verdict is Verdict.INFO
    assert "without training data the scale is not judged" in found.summary
    assert not found.advice


@pytest.mark.parametrize(
    ("shift", "examples", "verdict"),
    [
        (0.0, 300, Verdict.PASS),
        (0.2, 3000, Verdict.PASS),
        (1.0, 600, Verdict.WARN),
        (3.0, 15, Verdict.INFO),
    ],
)
def test_splits_that_differ(judged, shift: float, examples: int, verdict: Verdict) -> None:
    other = normal(examples)
    other[:, 3] += shift
    found = judged(judge, asked(seen(table(normal(examples))), seen(table(other), split="val")))
    assert found.verdict is verdict
    if verdict is Verdict.WARN:
        assert found.where[0].name == "input: feature 3"
        assert "differ in 1 of 4 features" in found.summary
    if verdict is Verdict.INFO:
        assert "Of 15 training examples it can't be told" in found.summary


@pytest.mark.parametrize(
    ("factor", "examples", "verdict", "told"),
    [
        (3.0, 600, Verdict.WARN, "differ in 1 of 40 features, most in input: feature 7"),
        (3.0, 30, Verdict.PASS, "feature 7, which chance may account for: "),
        (1.2, 600, Verdict.PASS, ""),
    ],
)
def test_splits_that_differ_in_spread_alone(
    judged, factor: float, examples: int, verdict: Verdict, told: str
) -> None:
    other = normal(examples, 40)
    other[:, 7] *= factor
    sides = seen(table(normal(1500, 40))), seen(table(other), split="val")
    found = judged(judge, asked(*sides))
    assert found.verdict is verdict, found.summary
    assert told in found.summary
    assert ("examples of each would settle it" in found.summary) == (examples == 30)


@pytest.mark.parametrize("heavy", [True, False])
def test_equal_splits_of_many_features_are_not_apart(heavy: bool) -> None:
    draw = GENERATOR.standard_cauchy if heavy else GENERATOR.exponential
    for train, val in ((1500, 300), (40, 40)):
        one, other = (table(draw(size=(rows, 300))) for rows in (train, val))
        (shift,) = shifts(seen(one), seen(other, split="val"))
        assert shift.low.max() == 0
        assert shift.distance.max() > 0


def test_the_examples_that_would_settle_a_difference_do() -> None:
    one, other = normal(200, 1), 1.5 * normal(200, 1)
    (shift,) = shifts(seen(table(one)), seen(table(other), split="val"))
    limit = shift.distance.max() - 0.05
    assert shift.low.max() < limit
    times = math.ceil(shift.settled_by(limit) / 200)
    more = [np.repeat(side, times, axis=0) for side in (one, other)]
    (settled,) = shifts(seen(table(more[0])), seen(table(more[1]), split="val"))
    assert settled.distance.max() == pytest.approx(shift.distance.max())
    assert settled.low.max() >= limit


def test_images_have_room_for_augmentation(judged) -> None:
    train = seen(images(0.0, 1.0))
    for factor, verdict in ((1.1, Verdict.PASS), (4.0, Verdict.WARN)):
        val = seen(images(0.0, factor), split="val")
        assert judged(judge, asked(train, val)).verdict is verdict


@pytest.mark.parametrize(
    ("changes", "verdict", "told"),
    [
        ({}, Verdict.WARN, ""),
        ({"right_before": np.zeros(200)}, Verdict.FAIL, ""),
        ({"right_after": np.zeros(200)}, Verdict.PASS, "but its answers get worse"),
        ({"constant": 0.1}, Verdict.PASS, "but the best constant answer has 0.1"),
        ({"before": np.eye(200)[0] * 200}, Verdict.PASS, "which chance may account for;"),
        ({"train_after": np.full(200, 9.0)}, Verdict.WARN, ""),
        (
            {"train_after": np.full(200, 9.0), "tempered": np.full(200, 0.1)},
            Verdict.PASS,
            "dividing its outputs by 1 instead gives 0.1; the training loss goes from 1.0",
        ),
        (
            {"temperature": 0.5, "tempered": np.full(200, 0.1)},
            Verdict.PASS,
            "a wrong confidence alone may account for: dividing its outputs by 0.5",
        ),
        ({"temperature": 0.5}, Verdict.WARN, ""),
        ({"train_before": np.zeros(0), "train_after": np.zeros(0)}, Verdict.WARN, ""),
    ],
)
def test_what_rescaling_shows(judged, changes: dict, verdict: Verdict, told: str) -> None:
    tried = replace(rescaled(1.0, 0.1), **changes)
    found = judged(judge, asked(seen(table(normal())), tried=tried))
    assert found.verdict is verdict, found.summary
    if verdict is Verdict.PASS:
        assert told in found.summary
    else:
        assert found.where[0].name == "data.val"
        assert "divided by 255, the validation loss falls from 1." in found.summary
        assert "x becomes 0.003922 x + 0" in found.advice[0]


@pytest.mark.parametrize(
    ("after", "reason", "tempered", "verdict"),
    [
        (0.5, "usual", 0.5, Verdict.PASS),
        (0.5, "statistics", 0.5, Verdict.WARN),
        (0.5, "usual", 1.0, Verdict.WARN),
        (0.1, "scale", 0.1, Verdict.WARN),
        (0.9, "statistics", 1.0, Verdict.PASS),
    ],
)
def test_rescaling_without_training_data(
    judged, after: float, reason: str, tempered: float, verdict: Verdict
) -> None:
    nothing = {"train_before": np.zeros(0), "train_after": np.zeros(0), "reason": reason}
    tried = rescaled(1.0, after, tempered=np.full(200, tempered), temperature=4.0, **nothing)
    found = judged(judge, asked(seen(table(normal()), split="val"), tried=tried))
    assert found.verdict is verdict, found.summary


def test_rescaling_of_a_regression(judged) -> None:
    for after, verdict in ((0.1, Verdict.FAIL), (0.6, Verdict.WARN), (0.9, Verdict.PASS)):
        tried = rescaled(1.0, after, metric="squared error")
        assert judged(judge, asked(seen(table(normal())), tried=tried)).verdict is verdict
    nothing = {"train_before": np.zeros(0), "train_after": np.zeros(0)}
    alone = rescaled(1.0, 0.6, metric="squared error", **nothing)
    found = judged(judge, asked(seen(table(normal())), tried=alone))
    assert found.verdict is Verdict.PASS
    assert "overfitting alone may account for: no training data is given" in found.summary


def test_few_examples_tell_nothing_of_rescaling(judged) -> None:
    found = judged(judge, asked(seen(table(normal())), tried=rescaled(1.0, 0.1, 15)))
    assert found.verdict is Verdict.INFO
    assert "takes 20 examples to tell, 15 were there" in found.summary
