from dataclasses import replace

import numpy as np

from auditor.checks.internals.activation_pictures import PICTURES, judge
from auditor.core.figure import Heatmap, Images, Lines, Table
from auditor.core.verdict import Verdict
from auditor.observations.activation_pictures import (
    LEVELS,
    ActivationPictures,
    ExcitedUnit,
    LayerMaps,
    ShownExample,
    UnitMap,
)
from tests.checks.conftest import Judged

RNG = np.random.default_rng(0)
IMAGE = ShownExample(7, "class 3", "class 1", "picture", RNG.random((8, 8)))


def told(layers: int = 3, **fields: object) -> ActivationPictures:
    made = ActivationPictures(
        pictured=(IMAGE,),
        maps=(
            LayerMaps("body.0", 16, np.array([[5, 2, 9]]), np.array([[2.0, 1.0, 0.0]]),
                      RNG.random((1, 3, 8, 8))),
        ),
        units=(),
        layers=tuple(f"layer.{n}" for n in range(layers)),
        quantiles=np.sort(RNG.standard_normal((layers, len(LEVELS))), axis=1),
        zeros=np.zeros(layers),
        head="head",
        head_units=32,
        excited=(ExcitedUnit(4, "class 1", 2.5, (0,), (3.0,), (-1,)),),
        examples=(IMAGE,),
        read=128,
        split="val",
    )  # fmt: skip
    return replace(made, **fields)  # type: ignore[arg-type]


def test_channels_depth_and_exciting_examples_are_shown(judged: Judged) -> None:
    found = judged(judge, {PICTURES: told()})
    assert found.verdict is Verdict.INFO
    assert [type(figure) for figure in found.figures] == [Images, Lines, Table, Images]
    channels = found.figures[0]
    assert isinstance(channels, Images)
    assert [image.caption for image in channels.images] == [
        "example 7: class 3, is class 1",
        "most active: channel 5, mean 2",
        "second: channel 2, mean 1",
        "least active: channel 9, mean 0",
    ]


def test_of_a_thousand_layers_the_foremost_are_drawn(judged: Judged) -> None:
    big = told(layers=1000)
    quantiles = np.tile(np.linspace(-1, 1, len(LEVELS)), (1000, 1))
    quantiles[567] *= 1e6
    found = judged(judge, {PICTURES: replace(big, quantiles=quantiles)})
    lines = found.figures[1]
    assert isinstance(lines, Lines)
    assert len(lines.x_names) == 40
    assert "layer.567" in lines.x_names
    assert "40 worst of 1,000 layers" in lines.caption


def test_units_are_shown_without_channels(judged: Judged) -> None:
    by_place = UnitMap("rnn", 48, "position", np.arange(40), RNG.random((40, 12)),
                       tuple(map(str, range(12))), 7)  # fmt: skip
    by_example = UnitMap("0", 3, "example", np.arange(3), RNG.random((3, 2)), ("a · 1", "b · 2"))
    found = judged(judge, {PICTURES: told(maps=(), units=(by_place, by_example))})
    first, second = found.figures[:2]
    assert isinstance(first, Heatmap)
    assert "40 of 48 units" in first.caption
    assert isinstance(second, Heatmap)
    assert second.x_names == ("a · 1", "b · 2")


def test_tokens_and_features_are_told_in_a_table(judged: Judged) -> None:
    tokens = ShownExample(1, "", "", "tokens", np.arange(30))
    unit = ExcitedUnit(4, "", 2.5, (0,), (3.0,), (20,))
    found = judged(judge, {PICTURES: told(excited=(unit,), examples=(tokens,))})
    table = found.figures[-1]
    assert isinstance(table, Table)
    assert table.rows[0][-1] == "… " + " ".join(map(str, range(5, 21)))
    features = ShownExample(1, "0.3", "", "features", np.array([0.0, -4.0, 2.0]))
    found = judged(judge, {PICTURES: told(excited=(unit,), examples=(features,))})
    table = found.figures[-1]
    assert isinstance(table, Table)
    assert table.rows[0][-1] == "1: -4, 2: 2, 0: 0"


def test_a_model_of_which_little_is_seen(judged: Judged) -> None:
    bare = told(layers=1, maps=(), excited=(), examples=(), pictured=())
    found = judged(judge, {PICTURES: bare})
    assert found.verdict is Verdict.INFO
    assert found.figures == ()
