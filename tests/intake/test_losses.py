"""Losses of several terms, and losses by what they stand for."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from auditor import audit
from auditor.core.errors import InputError
from auditor.intake.live import live_parts
from auditor.intake.losses import by_label, callable_loss, named_loss, stands_for, summed
from auditor.intake.targets import TargetSurvey
from tests.awkward import mlp, vectors


def small(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return outputs.square().mean()


def loss_of(given: Any) -> Any:
    return live_parts(mlp(), None, given, None, vectors(), None, None, "cpu").loss


def test_terms_are_told_one_by_one_and_sum_to_the_loss() -> None:
    inputs, target = vectors()[0]
    outputs = mlp()(inputs).detach()
    loss = loss_of({"fit": "cross_entropy", "size": small, "module": nn.CrossEntropyLoss()})
    values = loss.values(outputs, target)
    wanted = functional.cross_entropy(outputs, target)
    assert list(values) == ["fit", "size", "module"]
    assert values["fit"] == pytest.approx(float(wanted))
    assert values["module"] == pytest.approx(float(wanted))
    assert values["size"] == pytest.approx(float(outputs.square().mean()))
    assert float(loss(outputs, target)) == pytest.approx(float(sum(values.values())))
    assert loss.shown == "fit + size + module"
    assert named_loss("cross_entropy").values(outputs, target).keys() == {"cross_entropy"}


@pytest.mark.parametrize(
    ("given", "words"),
    [({}, "empty"), ({"a": 3}, "not callable"), ({"a": "cross_entrop"}, "loss.a: no loss named")],
)
def test_terms_that_can_not_be_used_are_told(given: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        loss_of(given)


def test_a_term_that_breaks_is_named() -> None:
    def broken(outputs: Any, target: Any) -> Any:
        return outputs

    inputs, target = vectors()[0]
    loss = summed({"fit": named_loss("cross_entropy"), "odd": callable_loss(broken, "broken")})
    with pytest.raises(InputError, match="odd"):
        loss.values(mlp()(inputs), target)


def test_an_audit_takes_terms() -> None:
    record = audit(
        mlp(), val=vectors(), loss={"fit": "cross_entropy", "size": small},
        only=["loss-terms-off-scale"],
    )  # fmt: skip
    assert record.subject.loss == "fit + size"
    assert record.findings[0].verdict in ("pass", "warn")


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (functional.mse_loss, "mse_loss"),
        (nn.CrossEntropyLoss(reduction="sum", ignore_index=3), "cross_entropy"),
        (small, ""),
        (nn.CosineEmbeddingLoss(), ""),
    ],
)
def test_what_a_loss_stands_for(function: Any, name: str) -> None:
    assert stands_for(function) == name
    assert callable_loss(nn.MSELoss(reduction="sum"), "MSELoss").known == ""


@pytest.mark.parametrize(
    ("shape", "labels"),
    [((4,), 1), ((4, 3), 3), ((4, 3, 1), 3), ((4, 5, 6), 1), ((4, 1, 5, 6), 1), ((4, 2, 5, 6), 2)],
)
def test_places_of_a_mask_are_cases_of_one_label(shape: tuple[int, ...], labels: int) -> None:
    values = torch.arange(float(torch.Size(shape).numel())).reshape(shape)
    table = by_label(values)
    assert table.shape == (values.numel() // labels, labels)
    if values.ndim == 4:
        assert torch.equal(table[:, -1], values[:, -1].flatten())
    survey = TargetSurvey()
    survey.add((values > 2).float(), 0)
    counts = survey.facts("multilabel", -100).counts
    ones = (table > 2).sum(dim=0).tolist()
    assert list(counts) == [n for one in ones for n in (len(table) - one, one)]
