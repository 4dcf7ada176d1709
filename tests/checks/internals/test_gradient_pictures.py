from dataclasses import replace

import numpy as np

from auditor.checks.internals.gradient_pictures import ATTRIBUTIONS, judge
from auditor.core.figure import Bars, Heatmap, Images, Table
from auditor.core.verdict import Verdict
from auditor.observations.attributions import Attributed, Attributions
from tests.checks.conftest import Judged
from tests.checks.internals.test_saliency_insensitive import change, told

EMPTY = np.zeros(0)


def attributed(shown: np.ndarray, own: np.ndarray, cam: np.ndarray = EMPTY) -> Attributed:
    return Attributed(
        example=7,
        explained="class 3",
        truth="class 1",
        right=False,
        score=2.0,
        shown=shown,
        saliency=np.abs(own),
        integrated=own,
        cam=cam,
        shuffled_saliency=np.abs(own),
        shuffled_integrated=own,
        shuffled_cam=cam,
        total=2.0,
        attributed=2.02,
    )


def pictures(**fields: object) -> Attributions:
    image = np.random.default_rng(0).random((8, 8, 3))
    one = attributed(image, image[..., 0] - 0.5, image[:4, :4, 0])
    made = told(change("saliency", 0.1, 0.1), pictured=(one, one), cam_layer="body.3")
    return replace(made, **fields)  # type: ignore[arg-type]


def test_pictures_stand_beside_their_control(judged: Judged) -> None:
    found = judged(judge, {ATTRIBUTIONS: pictures()})
    assert found.verdict is Verdict.INFO
    gallery = found.figures[0]
    assert isinstance(gallery, Images)
    assert gallery.columns == 4
    assert [image.caption.split(" (")[0] for image in gallery.images[:4]] == [
        "example 7: class 3, is class 1",
        "saliency",
        "integrated gradients",
        "Grad-CAM",
    ]
    assert "shuffled weights, ρ = 0.1" in gallery.images[1].caption
    assert "within 0.01" in found.summary


def test_a_sum_that_does_not_come_out_is_said(judged: Judged) -> None:
    one = replace(pictures().pictured[0], attributed=1.0)
    found = judged(judge, {ATTRIBUTIONS: pictures(pictured=(one,))})
    assert "miss 50%" in found.summary
    assert "rough" in found.summary


def test_an_answer_that_does_not_hang_on_the_input_is_said(judged: Judged) -> None:
    image = np.zeros((8, 8))
    one = replace(attributed(image, image), total=0.0, attributed=0.0)
    found = judged(judge, {ATTRIBUTIONS: pictures(pictured=(one,), cam_layer="")})
    assert "Of 1 of them every gradient is zero" in found.summary


def test_a_missing_control_is_said(judged: Judged) -> None:
    one = replace(
        pictures().pictured[0],
        shuffled_saliency=EMPTY,
        shuffled_integrated=EMPTY,
        shuffled_cam=EMPTY,
        right=None,
    )
    lonely = pictures(pictured=(one,), changes=(), why_unchanged="the model has no weights")
    found = judged(judge, {ATTRIBUTIONS: lonely})
    assert "no control beside them: the model has no weights" in found.summary
    assert isinstance(found.figures[0], Images)
    assert "shuffled" not in found.figures[0].images[1].caption


def test_tokens_are_listed_by_number(judged: Judged) -> None:
    one = attributed(np.array([5, 9, 2, 0]), np.array([0.1, -3.0, 0.5, 0.0]))
    found = judged(judge, {ATTRIBUTIONS: pictures(kind="tokens", pictured=(one,), cam_layer="")})
    kinds = [type(figure) for figure in found.figures]
    assert kinds == [Heatmap, Heatmap, Table, Table]
    table = found.figures[2]
    assert isinstance(table, Table)
    assert table.rows[0][1:4] == (1, 9, -3.0)


def test_features_are_ranked_with_intervals(judged: Judged) -> None:
    rng = np.random.default_rng(0)
    features = rng.standard_normal((30, 60)) * np.linspace(5, 1, 60)
    one = attributed(rng.standard_normal(60), features[0])
    table = pictures(
        kind="features",
        pictured=(one,),
        cam_layer="",
        feature_numbers=np.arange(100, 160),
        features=features,
        shuffled_features=np.ones(60),
    )
    found = judged(judge, {ATTRIBUTIONS: table})
    bars = found.figures[0]
    assert isinstance(bars, Bars)
    assert len(bars.labels) == 40
    assert bars.labels[0] == "feature 100"
    assert "40 largest of 60 features" in bars.caption
    assert all(
        low <= v <= high for low, v, high in zip(bars.low, bars.values, bars.high, strict=True)
    )
