import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from auditor.core.request import Failed, Unavailable
from auditor.intake.losses import main_output
from auditor.observations.performance import Performance, PerformanceOver
from tests.awkward import BY_NAME, TABLE, Awkward, subject_of, vectors
from tests.observers.naive import assert_same, sweeping, swept

ASKED = PerformanceOver(batches=4, split="val")
SCORED = [case for case in TABLE if case.name != "scalar-output"]


def results(subject: Any) -> list[tuple[torch.Tensor, Any, float]]:
    """Return outputs, target and loss of each batch."""
    found = []
    with sweeping(subject, ASKED) as model, torch.no_grad():
        for batch in subject.batches("val", 4):
            outputs = model(*batch.args, **batch.kwargs)
            found.append(
                (main_output(outputs), batch.target, float(subject.loss(outputs, batch.target)))
            )
    return found


def by_example(subject: Any) -> list[tuple[float, float, Counter[int]]]:
    """Return score, cross-entropy and target classes, one example after the other."""
    rows = []
    for outputs, target, _ in results(subject):
        if subject.facts.task == "language_model":
            outputs = outputs.movedim(-1, 1)
        for output, wanted in zip(outputs, target, strict=True):
            flat = output.float().reshape(len(output), -1).T
            labels = [int(label) for label in wanted.reshape(-1)]
            pairs = [(row, label) for row, label in zip(flat, labels, strict=True) if label != -100]
            if pairs:
                hits = [int(row.argmax()) == label for row, label in pairs]
                nats = [-float(row.log_softmax(0)[label]) for row, label in pairs]
                rows.append((np.mean(hits), np.mean(nats), Counter(label for _, label in pairs)))
    return rows


@pytest.mark.parametrize("case", SCORED, ids=str)
def test_scores_agree_with_each_example_alone(case: Awkward) -> None:
    subject = case.subject(profile="quick")
    seen = swept(subject, ASKED)
    assert isinstance(seen, Performance), seen
    rough = 2e-2 if case.name == "bfloat16" else 1e-5
    np.testing.assert_allclose(seen.losses, [loss for _, _, loss in results(subject)], rtol=rough)
    assert len(seen.batch_examples) == 4
    assert seen.batch_examples.sum() == seen.examples
    if subject.facts.task not in ("multiclass", "language_model", "segmentation"):
        return
    rows = by_example(subject)
    assert seen.metric == "accuracy"
    np.testing.assert_allclose(seen.scores, [score for score, _, _ in rows], rtol=rough)
    np.testing.assert_allclose(seen.entropies, [nats for _, nats, _ in rows], rtol=rough, atol=1e-6)
    kept: list[Counter[int]] = [Counter() for _ in rows]
    for example, label, count in zip(
        seen.target_example, seen.target_class, seen.target_count, strict=True
    ):
        kept[example][int(label)] = int(count)
    assert kept == [classes for _, _, classes in rows]


def test_an_example_whose_targets_are_all_left_out_is_not_scored() -> None:
    seen = swept(BY_NAME["segmentation"].subject(profile="quick"), ASKED)
    assert seen.examples == 20
    assert seen.batch_examples.tolist() == [5, 6, 6, 3]


def test_examples_are_counted_by_their_targets() -> None:
    seen = swept(BY_NAME["time-first"].subject(profile="quick"), ASKED)
    assert seen.batch_examples.tolist() == [6, 6, 6, 3]
    assert seen.target_example.tolist() == list(range(21))


@pytest.mark.parametrize("name", ["int-target", "float-target", "multilabel"])
def test_labels_agree_with_each_example_alone(name: str) -> None:
    subject = BY_NAME[name].subject(profile="quick")
    seen = swept(subject, ASKED)
    scores, nats, classes = [], [], []
    for outputs, target, _ in results(subject):
        for output, wanted in zip(outputs, target, strict=True):
            share = output if name == "float-target" else torch.sigmoid(output)
            truth = wanted.float().reshape(share.shape)
            scores.append(float(((share > 0.5) == (truth > 0.5)).float().mean()))
            nats.append(float(functional.binary_cross_entropy(share, truth)))
            offset = 2 * np.arange(4) if name == "multilabel" else 0
            classes += (truth.long().numpy() + offset).tolist()
    np.testing.assert_allclose(seen.scores, scores)
    np.testing.assert_allclose(seen.entropies, nats, rtol=1e-4)
    assert seen.target_class.tolist() == classes


@pytest.mark.parametrize(
    ("name", "metric"), [("regression", "absolute error"), ("float64", "squared error")]
)
def test_numbers_agree_with_each_example_alone(name: str, metric: str) -> None:
    subject = BY_NAME[name].subject(profile="quick")
    seen = swept(subject, ASKED)
    assert seen.metric == metric
    outputs = torch.cat([outputs for outputs, _, _ in results(subject)]).double()
    target = (
        torch.cat([target for _, target, _ in results(subject)]).double().reshape(outputs.shape)
    )
    error = (outputs - target).abs() if metric == "absolute error" else (outputs - target).square()
    np.testing.assert_allclose(seen.scores, error.mean(1).numpy(), rtol=1e-5)
    np.testing.assert_allclose(seen.target_values, target.numpy())
    assert seen.entropies.size == 0
    assert seen.score == pytest.approx(float(error.mean()))


def test_wide_targets_are_not_kept() -> None:
    batches = [(x, torch.zeros(len(x), 65)) for x, _ in vectors()]
    seen = swept(subject_of(nn.Linear(8, 65), batches, "mse_loss"), ASKED)
    assert seen.target_values.shape == (21, 0)


def test_a_custom_task_says_that_it_has_no_metric() -> None:
    answer = swept(BY_NAME["scalar-output"].subject(profile="quick"), ASKED)
    assert isinstance(answer, Unavailable)
    assert "custom" in answer.reason


def test_class_probabilities_as_targets_say_so() -> None:
    batches = [(x, 0.4 * functional.one_hot(y, 3) + 0.2) for x, y in vectors()]
    answer = swept(subject_of(nn.Linear(8, 3), batches, "cross_entropy"), ASKED)
    assert answer == Unavailable("the targets are probabilities of classes, not classes")


@pytest.mark.parametrize("smoothed", [0.0, 0.1])
def test_shares_that_name_a_class_are_scored_as_that_class(smoothed: float) -> None:
    torch.manual_seed(0)
    model = nn.Linear(8, 3)
    shares = [(x, (1 - smoothed) * functional.one_hot(y, 3) + smoothed / 3) for x, y in vectors()]
    answer = swept(subject_of(model, shares, "cross_entropy"), ASKED)
    plain = swept(subject_of(model, vectors(), "cross_entropy"), ASKED)
    for field in ("scores", "entropies", "target_class", "target_count"):
        np.testing.assert_array_equal(getattr(answer, field), getattr(plain, field))


def test_probabilities_that_are_not_finite_are_scored_as_such() -> None:
    def loss(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return outputs.square().mean()

    class Poisoned(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x).sigmoid().index_fill(0, torch.tensor([0]), math.nan)

    subject = subject_of(Poisoned(8, 1), BY_NAME["float-target"].batches(), loss, task="binary")
    seen = swept(subject, ASKED)
    assert not isinstance(seen, Failed), seen
    assert np.isnan(seen.entropies).sum() == 4


def test_merging_shifts_the_examples() -> None:
    case = BY_NAME["mlp"]
    whole = swept(case.subject(profile="quick"), ASKED)
    parts = [swept(case.subject(batches=[b]), ASKED) for b in case.batches()]
    assert_same(parts[0].merge(parts[1]).merge(parts[2].merge(parts[3])), whole, rtol=1e-6)


def test_a_poisson_loss_is_given_the_logarithm_of_what_is_predicted() -> None:
    generator = torch.Generator().manual_seed(4)
    batches = [
        (torch.randn(6, 8, generator=generator), torch.arange(6.0).reshape(6, 1)) for _ in range(2)
    ]
    model = nn.Linear(8, 1)
    found = swept(subject_of(model, batches, "poisson_nll_loss"), ASKED)
    with torch.no_grad():
        error = torch.cat([(model(x).exp() - y).square() for x, y in batches])
    assert found.scores.tolist() == pytest.approx(error.flatten().tolist())
