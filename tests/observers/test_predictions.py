"""Raw outputs and targets, against a pass made by hand."""

from functools import reduce

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from auditor.core.request import Unavailable
from auditor.intake.subject import Subject
from auditor.observations import predictions as limits
from auditor.observations.predictions import Predictions, PredictionsOver
from tests.awkward import BY_NAME, SIZES, mlp, subject_of, vectors
from tests.observers.naive import swept


def seen(subject: Subject) -> Predictions | Unavailable:
    return swept(subject, PredictionsOver())


def test_classes_are_rows_of_raw_outputs() -> None:
    model, batches = mlp().eval(), vectors()
    answer = seen(subject_of(model, batches, "cross_entropy"))
    assert isinstance(answer, Predictions)
    with torch.no_grad():
        outputs = torch.cat([model(x) for x, _ in batches])
        losses = [float(functional.cross_entropy(model(x), y)) for x, y in batches]
    assert answer.kind == "classes"
    np.testing.assert_allclose(answer.outputs, outputs.numpy(), rtol=1e-6)
    np.testing.assert_array_equal(answer.targets, torch.cat([y for _, y in batches]).numpy())
    np.testing.assert_array_equal(answer.example, np.arange(sum(SIZES)))
    np.testing.assert_allclose(answer.losses, losses, rtol=1e-6)
    assert (answer.rows_seen, answer.ignored) == (sum(SIZES), 0)
    assert (answer.loss, answer.plain, answer.split) == ("cross_entropy", True, "val")


def test_targets_left_out_have_no_row() -> None:
    case = BY_NAME["segmentation"]
    answer = seen(case.subject())
    assert isinstance(answer, Predictions)
    masks = torch.cat([mask for _, mask in case.batches()])
    assert answer.rows == int((masks != -100).sum())
    assert answer.ignored == int((masks == -100).sum())
    assert 1 not in answer.example
    pixels = [int((mask != -100).sum()) for mask in masks]
    assert np.bincount(answer.example, minlength=len(pixels)).tolist() == pixels


def test_many_rows_are_thinned_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auditor.observers.predictions.MOST", 4 * 2 * 3)
    answer = seen(subject_of(mlp(), vectors(), "cross_entropy"))
    assert isinstance(answer, Predictions)
    assert answer.rows_seen == sum(SIZES)
    assert answer.example.tolist() == [0, 5, 6, 11, 12, 17, 18, 20]
    assert limits.MOST == 4_000_000


@pytest.mark.parametrize(
    ("name", "kind", "width"),
    [("int-target", "labels", 1), ("multilabel", "labels", 4), ("regression", "numbers", 2)],
)
def test_labels_and_numbers_have_a_column_each(name: str, kind: str, width: int) -> None:
    answer = seen(BY_NAME[name].subject())
    assert isinstance(answer, Predictions)
    assert answer.kind == kind
    assert answer.outputs.shape == answer.targets.shape == (sum(SIZES), width)


def test_an_output_that_is_the_loss_can_not_be_read() -> None:
    answer = seen(BY_NAME["scalar-output"].subject())
    assert isinstance(answer, Unavailable)


def test_a_weighted_loss_is_not_plain() -> None:
    loss = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 3.0]))
    answer = seen(subject_of(mlp(), vectors(), loss))
    assert isinstance(answer, Predictions)
    assert (answer.loss, answer.plain) == ("cross_entropy", False)
    assert (answer.weights, answer.task) == ((1.0, 2.0, 3.0), "multiclass")


def test_shares_that_name_a_class_are_read_as_that_class() -> None:
    model, smoothed = mlp(), nn.CrossEntropyLoss(label_smoothing=0.1)
    plain = seen(subject_of(model, vectors(), smoothed))
    hot = [(x, functional.one_hot(y, 3).float()) for x, y in vectors()]
    answers = [seen(subject_of(model, hot, "cross_entropy"))]
    answers += [seen(subject_of(model, [(x, 0.9 * y + 0.1 / 3) for x, y in hot], "cross_entropy"))]
    assert isinstance(plain, Predictions)
    for answer, smoothing in zip(answers, (0.0, 0.1 * 2 / 3), strict=True):
        assert isinstance(answer, Predictions)
        assert (answer.kind, answer.task) == ("classes", "multiclass")
        np.testing.assert_array_equal(answer.targets, plain.targets)
        np.testing.assert_array_equal(answer.outputs, plain.outputs)
        assert answer.smoothing == pytest.approx(smoothing, abs=1e-6)
    assert plain.smoothing == 0.1


def test_shares_that_name_no_class_are_not_read() -> None:
    soft = [(x, 0.4 * functional.one_hot(y, 3) + 0.2) for x, y in vectors()]
    answer = seen(subject_of(mlp(), soft, "cross_entropy"))
    assert answer == Unavailable("the targets are probabilities of classes, not classes")


def test_weights_within_a_function_are_measured() -> None:
    weights = torch.tensor([1.0, 2.0, 4.0])

    def loss(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(outputs, target, weight=weights)

    answer = seen(subject_of(mlp(), vectors(), loss))
    assert isinstance(answer, Predictions)
    assert answer.weights == pytest.approx((1.0, 2.0, 4.0))
    plain = seen(subject_of(mlp(), vectors(), "cross_entropy"))
    assert isinstance(plain, Predictions)
    assert plain.weights == (1.0,)


def test_weights_of_positive_labels_are_told() -> None:
    case, weights = BY_NAME["multilabel"], torch.tensor([1.0, 2.0, 3.0, 4.0])
    loss = nn.BCEWithLogitsLoss(pos_weight=weights)
    answer = seen(subject_of(case.model(), case.batches(), loss))
    assert isinstance(answer, Predictions)
    assert (answer.weights, answer.task) == ((1.0, 2.0, 3.0, 4.0), "multilabel")


@pytest.mark.parametrize("name", ["mlp", "tied", "segmentation", "multilabel", "regression"])
def test_shards_merge_to_the_whole(name: str) -> None:
    case = BY_NAME[name]
    whole = seen(case.subject())
    model = case.model()
    parts = [seen(case.subject(model, batches=[batch])) for batch in case.batches()]
    assert isinstance(whole, Predictions)
    merged = reduce(Predictions.merge, parts)  # type: ignore[arg-type]
    for field in ("outputs", "targets", "example", "losses", "batch_examples"):
        np.testing.assert_allclose(getattr(merged, field), getattr(whole, field), rtol=1e-5)
    assert (merged.rows_seen, merged.ignored) == (whole.rows_seen, whole.ignored)
