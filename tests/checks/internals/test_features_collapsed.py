from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from auditor.checks.internals.features_collapsed import FEATURES, judge
from auditor.core.finding import Limit
from auditor.core.verdict import Verdict
from auditor.observations.class_separation import lost_pairs, separation, unpredicted
from auditor.observations.feature_depths import lasting
from auditor.observations.features import Features, LayerFeatures

EXAMPLES, CLASSES = 400, 10


def labels(examples: int = EXAMPLES, classes: int = CLASSES) -> np.ndarray:
    return np.arange(examples) % classes


def apart(targets: np.ndarray, units: int = 16, seed: int = 0, by: float = 6.0) -> np.ndarray:
    """Return features in which each class has a place of its own, with scatter of 1."""
    rng = np.random.default_rng(seed)
    means = np.linalg.qr(rng.normal(size=(max(units, CLASSES), units)))[0][:CLASSES, :units]
    return by * means[targets] + rng.normal(size=(len(targets), units)) + 3


def layer(name: str, features: np.ndarray, weighted: bool = True) -> LayerFeatures:
    return LayerFeatures(name, "Linear", features.shape[1], weighted, features.astype(np.float32))


def seen(*layers: LayerFeatures, **changes: Any) -> dict:
    examples = len(layers[0].features)
    targets = changes.pop("targets", labels(examples))
    parts = {"inputs": np.zeros((examples, 0)), "predicted": targets, "classes": CLASSES, **changes}
    return {FEATURES: Features(layers, targets=targets, left_out=0, split="val", **parts)}


def line(targets: np.ndarray, units: int = 16) -> np.ndarray:
    """Return features along one line, on which half of the classes stand where others do."""
    rng = np.random.default_rng(3)
    along = (targets % 5) * 6.0 + rng.normal(size=len(targets))
    noise = 0.001 * rng.normal(size=(len(targets), units))
    return along[:, None] * rng.normal(size=units) + noise


def test_sound_features_pass(judged) -> None:
    found = judged(judge, seen(layer("a", apart(labels())), layer("head", apart(labels(), 10))))
    assert found.verdict is Verdict.PASS
    assert "where 9 are asked for" in found.summary
    assert not found.where
    assert [figure.kind for figure in found.figures] == ["lines", "table"]


def test_features_that_no_longer_vary_fail_where_that_begins(judged) -> None:
    still = np.ones((EXAMPLES, 16))
    layers = [layer("a", apart(labels())), layer("b", still), layer("head", still[:, :10])]
    found = judged(judge, seen(*layers))
    assert found.verdict is Verdict.FAIL
    assert [place.name for place in found.where] == ["b"]
    assert "From b on" in found.summary
    for task in ({"classes": 0, "targets": np.full(EXAMPLES, -1)}, {"classes": 2}):
        assert judged(judge, seen(*layers, **task)).verdict is Verdict.FAIL


def test_a_branch_that_does_not_vary_is_told(judged) -> None:
    layers = [layer("places", np.ones((EXAMPLES, 4))), layer("head", apart(labels(), 10))]
    found = judged(judge, seen(*layers))
    assert found.verdict is Verdict.PASS
    assert "Constant on average, though what follows varies: places" in found.summary


def test_a_low_rank_with_classes_lost_fails_where_it_begins(judged) -> None:
    flat = line(labels())
    layers = [layer("a", apart(labels())), layer("b", flat), layer("head", flat[:, :10] * 2)]
    found = judged(judge, seen(*layers))
    assert found.verdict is Verdict.FAIL, found.summary
    assert found.where[0].name == "b"
    assert all(place.name == "b" for place in found.where)
    lost = next(m for m in found.metrics if m.name == "pairs of classes lost")
    assert lost.value == 5
    assert "low from b on" in found.summary
    assert found.figures[-1].title == "Classes lost"


def test_a_low_rank_that_holds_all_classes_apart_is_all_that_is_needed(judged) -> None:
    rng = np.random.default_rng(0)
    along = labels() * 6.0 + rng.normal(size=EXAMPLES)
    flat = along[:, None] * rng.normal(size=16) + 0.001 * rng.normal(size=(EXAMPLES, 16))
    found = judged(judge, seen(layer("a", apart(labels())), layer("head", flat)))
    assert found.verdict is Verdict.PASS, found.summary
    assert "No two classes are lost with it" in found.summary


def test_without_a_class_of_each_example_a_low_rank_warns_at_most(judged) -> None:
    flat = line(labels())
    none = {"targets": np.full(EXAMPLES, -1), "classes": 40}
    layers = [layer("a", apart(labels())), layer("head", flat)]
    assert judged(judge, seen(*layers, **none)).verdict is Verdict.WARN
    middling = flat.copy()
    middling += np.random.default_rng(1).normal(size=(EXAMPLES, 16)) * flat.std() * 0.2
    assert judged(judge, seen(layers[0], layer("head", middling), **none)).verdict is Verdict.PASS


@pytest.mark.parametrize("classes", [0, 2, 3])
def test_tasks_that_need_few_directions_have_no_low_rank(judged, classes: int) -> None:
    targets = labels(classes=max(classes, 1))
    along = targets[:, None] * 8.0 + np.random.default_rng(0).normal(size=(EXAMPLES, 1))
    found = judged(
        judge,
        seen(layer("a", along @ np.ones((1, 8))), layer("b", along), targets=targets,
             classes=classes),
    )  # fmt: skip
    assert found.verdict is Verdict.PASS
    assert "No more than two directions are asked for" in found.summary


def test_few_examples_decide_nothing(judged) -> None:
    few = labels(19)
    found = judged(judge, seen(layer("a", np.ones((19, 4))), targets=few))
    assert found.verdict is Verdict.INFO
    assert "at least 20" in found.summary
    found = judged(judge, seen(layer("a", apart(labels(24))), targets=labels(24)))
    assert found.verdict is Verdict.PASS


def test_a_last_layer_that_is_not_finite_is_not_judged(judged) -> None:
    bad = apart(labels(), 10)
    bad[3, 3] = np.nan
    found = judged(judge, seen(layer("a", apart(labels())), layer("head", bad)))
    assert found.verdict is Verdict.NOT_APPLICABLE
    found = judged(judge, seen(layer("a", bad), layer("head", apart(labels(), 10))))
    assert found.verdict is Verdict.PASS


def test_one_pair_of_classes_lost_warns_and_names_where(judged) -> None:
    merged = np.where(labels() == 7, 2, labels())
    layers = [
        layer("a", apart(labels())),
        layer("b", apart(labels(), seed=1)),
        layer("c", apart(merged, seed=2)),
        layer("head", apart(merged, 10, seed=4)),
    ]
    found = judged(judge, seen(*layers))
    assert found.verdict is Verdict.WARN, found.summary
    assert [(p.name, p.note) for p in found.where] == [("c", "loses classes 2 and 7")]
    assert "lost in c" in found.summary


def test_classes_that_nothing_tells_apart_are_not_lost(judged) -> None:
    merged = np.where(labels() == 7, 2, labels())
    layers = [layer("a", apart(merged)), layer("head", apart(merged, 10, seed=4))]
    assert judged(judge, seen(*layers)).verdict is Verdict.PASS
    assert lost_pairs(seen(*layers)[FEATURES]) == ([], 45)


def test_the_inputs_count_as_a_layer(judged) -> None:
    merged = np.where(labels() == 7, 2, labels())
    layers = [layer("a", apart(merged)), layer("head", apart(merged, 10, seed=4))]
    found = judged(judge, seen(*layers, inputs=apart(labels(), seed=5)))
    assert found.verdict is Verdict.WARN
    assert found.where[0].name == "a"


def test_a_class_never_predicted_though_apart_is_the_heads_fault(judged) -> None:
    predicted = np.where(labels() == 3, 4, labels())
    layers = [layer("a", apart(labels())), layer("head", apart(labels(), 10))]
    found = judged(judge, seen(*layers, predicted=predicted))
    assert found.verdict is Verdict.WARN
    assert [(p.name, p.note) for p in found.where] == [("head", "never gives class 3")]
    close = [layer("a", apart(labels(), by=0.8)), layer("head", apart(labels(), 10, by=0.8))]
    assert unpredicted(seen(*close, predicted=predicted)[FEATURES]) == []


def test_a_model_that_has_not_learnt_has_no_dead_classes() -> None:
    predicted = np.random.default_rng(0).integers(4, 10, EXAMPLES)
    layers = [layer("a", apart(labels())), layer("head", apart(labels(), 10))]
    assert unpredicted(seen(*layers, predicted=predicted)[FEATURES]) == []
    constant = np.full(EXAMPLES, 4)
    assert unpredicted(seen(*layers, predicted=constant)[FEATURES]) == []


def test_steps_that_become_one_are_told_where_that_begins(judged) -> None:
    def by_step(*marks: bool | None) -> dict:
        return seen(
            *(
                replace(layer(f"l{i}", apart(labels(), seed=i)), uniform=mark)
                for i, mark in enumerate(marks)
            )
        )

    found = judged(judge, by_step(False, True, True))
    assert found.verdict is Verdict.FAIL
    assert [place.name for place in found.where] == ["l1"]
    assert "From l1 on, all steps" in found.summary
    assert found.advice
    pooled = judged(judge, by_step(False, True, None))
    assert pooled.verdict is Verdict.WARN
    for sound in ((False, True, False), (True, True, None), (None, None), (False, False)):
        assert judged(judge, by_step(*sound)).verdict is Verdict.PASS


def test_a_rare_class_may_well_never_be_predicted() -> None:
    rng = np.random.default_rng(0)
    targets = (rng.random(512) < 0.05).astype(int)
    features = targets[:, None] * 2.0 + rng.normal(size=(512, 1))
    never = np.zeros(512, int)
    answer = seen(layer("a", features), targets=targets, predicted=never, classes=2)
    assert unpredicted(answer[FEATURES]) == []


def test_the_distance_of_classes_is_measured_without_bias_and_covered() -> None:
    rng = np.random.default_rng(0)
    for true in (0.0, 2.0):
        found = [
            separation(
                rng.normal(size=(60, 5)), rng.normal(size=(60, 5)) + np.array([true, 0, 0, 0, 0])
            )
            for _ in range(200)
        ]
        assert np.mean([one.value for one in found]) == pytest.approx(true, abs=0.25)
        within = [one.low(0.95) <= true <= one.high(0.95) for one in found]
        assert np.mean(within) > 0.93
    still = separation(np.ones((20, 3)), np.ones((20, 3)))
    assert still.value == 0


def test_a_run_goes_on_to_the_last_layer() -> None:
    assert lasting([True, False, True, None, True]) == 2
    assert lasting([True, True]) == 0
    assert lasting([True, False]) is None
    assert lasting([None, None]) is None
    assert lasting([]) is None


def test_layers_alike_are_told(judged) -> None:
    base = apart(labels())
    same = [layer("a", base), layer("b", base * 2 + 1), layer("head", apart(labels(), 10, 1))]
    found = judged(judge, seen(*same))
    assert found.verdict is Verdict.PASS
    assert "a and b" in found.summary
    heat = found.figures[1]
    assert heat.values[0][1] == pytest.approx(1)
    assert heat.values[0][2] < 0.95


def test_limits_can_be_given_and_names_are_made_safe(judged) -> None:
    strict = dict(judge.limits) | {"lost_pairs": Limit(warn=100)}
    merged = np.where(labels() == 7, 2, labels())
    layers = [layer("a", apart(labels())), layer("h\x1b[3m", apart(merged, 10, seed=4))]
    assert judged(judge, seen(*layers), strict).verdict is Verdict.PASS
    found = judged(judge, seen(*layers))
    assert "\x1b" not in found.summary + str(found.where) + str(found.figures) + str(found.advice)
