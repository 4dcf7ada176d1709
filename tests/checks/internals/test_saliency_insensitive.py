from dataclasses import replace

import numpy as np
import pytest

from auditor.checks.internals.saliency_insensitive import ATTRIBUTIONS, judge
from auditor.core.figure import Lines
from auditor.core.verdict import Verdict
from auditor.observations.attributions import Attributions, MapChange
from tests.checks.conftest import Judged


def change(method: str, trained: float, among: float, examples: int = 24) -> MapChange:
    rng = np.random.default_rng(0)
    return MapChange(
        method,
        np.clip(trained + 0.02 * rng.standard_normal((5, examples)), -1, 1),
        np.clip(among + 0.02 * rng.standard_normal((10, examples)), -1, 1),
    )


def told(*changes: MapChange, **fields: object) -> Attributions:
    empty = np.zeros(0)
    made = Attributions(
        kind="picture",
        source="the input",
        baseline="zero",
        cam_layer="",
        steps=16,
        pictured=(),
        feature_numbers=empty,
        features=np.zeros((0, 0)),
        shuffled_features=empty,
        changes=changes,
        inner=change("inner", 0.1, 0.1),
        first="body.0",
        stage_layers=(1, 2, 4),
        stage_names=("head", "body.2", "body.0"),
        cascade=np.full((3, 24), 0.5) + np.linspace(0, 0.1, 24),
        integrated_change=empty,
        layers=4,
        score_change=1.5,
        examples=24,
        split="val",
    )
    return replace(made, **fields)  # type: ignore[arg-type]


def test_maps_that_change_pass(judged: Judged) -> None:
    found = judged(judge, {ATTRIBUTIONS: told(change("saliency", 0.2, 0.3))})
    assert found.verdict is Verdict.PASS
    assert [type(figure) for figure in found.figures][1:] == [Lines]


@pytest.mark.parametrize(("trained", "verdict"), [(0.78, Verdict.PASS), (0.83, Verdict.WARN)])
def test_the_limit_has_two_sides(judged: Judged, trained: float, verdict: Verdict) -> None:
    found = judged(judge, {ATTRIBUTIONS: told(change("saliency", trained, trained))})
    assert found.verdict is verdict


def test_one_place_of_an_output_picture_lies_where_it_lies(judged: Judged) -> None:
    stays = told(change("saliency", 0.95, 0.95), one_place=True)
    found = judged(judge, {ATTRIBUTIONS: stays})
    assert found.verdict is Verdict.NOT_APPLICABLE
    assert "lies around it whatever the weights" in found.summary
    assert judged(judge, {ATTRIBUTIONS: replace(stays, score_change=0.0)}).verdict is Verdict.WARN
    changes = told(change("saliency", 0.2, 0.3), one_place=True)
    assert judged(judge, {ATTRIBUTIONS: changes}).verdict is Verdict.PASS


def test_an_interval_across_the_limit_warns_nobody(judged: Judged) -> None:
    shuffles = np.repeat([[0.6], [0.95], [0.95], [0.95], [0.7]], 24, axis=1)
    unsteady = MapChange("saliency", shuffles, np.full((10, 24), 0.83))
    found = judged(judge, {ATTRIBUTIONS: told(unsteady)})
    assert found.verdict is Verdict.INFO
    assert "uncertain" in found.summary


def test_a_likeness_that_the_architecture_makes_but_the_model_leaves_passes(judged: Judged) -> None:
    found = judged(judge, {ATTRIBUTIONS: told(change("saliency", 0.85, 0.98))})
    assert found.verdict is Verdict.PASS


def test_the_scale_in_which_maps_change_more_counts(judged: Judged) -> None:
    both = (change("saliency", 0.97, 0.97), change("saliency x spread", 0.1, 0.1))
    assert judged(judge, {ATTRIBUTIONS: told(*both)}).verdict is Verdict.PASS
    both = (change("saliency", 0.97, 0.97), change("saliency x spread", 0.95, 0.96))
    assert judged(judge, {ATTRIBUTIONS: told(*both)}).verdict is Verdict.WARN


def test_either_method_warns(judged: Judged) -> None:
    both = (change("saliency", 0.2, 0.2), change("Grad-CAM", 0.95, 0.95))
    found = judged(judge, {ATTRIBUTIONS: told(*both)})
    assert found.verdict is Verdict.WARN
    assert found.where[1].note.startswith("what makes Grad-CAM")


def test_where_the_cause_lies(judged: Judged) -> None:
    stays = change("saliency", 0.97, 0.97)
    before = judged(judge, {ATTRIBUTIONS: told(stays)})
    assert before.where[0].name == "body.0"
    assert "between the model's input and that layer" in before.summary
    around = judged(judge, {ATTRIBUTIONS: told(stays, score_change=0.001)})
    assert "Nor do the outputs" in around.summary
    assert {place.name for place in around.where} == {"model.factory", "body.0", "head"}
    within = judged(judge, {ATTRIBUTIONS: told(stays, inner=change("inner", 0.97, 0.97))})
    assert within.where[0].name == "model.factory"
    assert "The outputs do change" in within.summary


def test_what_cannot_be_judged(judged: Judged) -> None:
    why = judged(judge, {ATTRIBUTIONS: told(why_unchanged="the model has no weights")})
    assert why.verdict is Verdict.NOT_APPLICABLE
    assert "no weights" in why.summary
    blank = MapChange("saliency", np.full((5, 24), np.nan), np.full((10, 24), np.nan))
    flat = judged(judge, {ATTRIBUTIONS: told(blank)})
    assert flat.verdict is Verdict.NOT_APPLICABLE
    assert "ranked" in flat.summary
    few = judged(judge, {ATTRIBUTIONS: told(change("saliency", 0.9, 0.9, examples=4), examples=4)})
    assert few.verdict is Verdict.NOT_APPLICABLE


def test_grad_cam_that_is_mostly_empty_is_left_out(judged: Judged) -> None:
    cam = MapChange("Grad-CAM", np.full((5, 24), np.nan), np.full((10, 24), np.nan))
    found = judged(judge, {ATTRIBUTIONS: told(change("saliency", 0.1, 0.1), cam)})
    assert found.verdict is Verdict.PASS
    assert len(found.metrics) == 1
