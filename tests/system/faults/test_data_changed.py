"""A real model audited twice, with the data changed in between."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from auditor.api import Record
from auditor.core.verdict import Verdict
from tests.again import batched, compared, first, together
from tests.subjects import Live, mapped

SEED = 0


@pytest.fixture(scope="module")
def earlier(digits: Live, diabetes: Live, names: Live) -> dict[str, Record]:
    subjects = {"digits": digits, "diabetes": diabetes, "names": names}
    return {name: first(live) for name, live in subjects.items()}


@pytest.fixture
def live(request: Any) -> Live:
    return request.getfixturevalue(request.param)


BOTH = pytest.mark.parametrize(
    ("live", "name"),
    [("digits", "digits"), ("diabetes", "diabetes"), ("names", "names")],
    indirect=["live"],
    ids=["digits", "diabetes", "names"],
)


def order(count: int) -> torch.Tensor:
    return torch.randperm(count, generator=torch.Generator().manual_seed(SEED))


@BOTH
def test_nothing_changed(live: Live, name: str, earlier: dict) -> None:
    found = compared(live, earlier[name])
    assert [one.verdict for one in found.values()] == [Verdict.PASS, Verdict.PASS]


@BOTH
def test_rows_in_another_order_and_other_batches_pass(live: Live, name: str, earlier: dict) -> None:
    inputs, targets = together(live.val)
    mixed = order(len(inputs))
    other = replace(live, val=batched(inputs[mixed], targets[mixed], 50))
    found = compared(other, earlier[name])
    assert [one.verdict for one in found.values()] == [Verdict.PASS, Verdict.PASS]


@BOTH
def test_labels_that_were_mixed_up_are_a_change_and_no_drift(
    live: Live, name: str, earlier: dict
) -> None:
    inputs, targets = together(live.val)
    other = replace(live, val=batched(inputs, targets[order(len(inputs))]))
    found = compared(other, earlier[name])
    assert found["data-changed"].verdict is Verdict.WARN
    assert "No feature has drifted" in found["data-changed"].summary
    assert found["worse-than-before"].verdict is Verdict.WARN


@BOTH
def test_rows_that_are_gone(live: Live, name: str, earlier: dict) -> None:
    inputs, targets = together(live.val)
    found = compared(replace(live, val=batched(inputs[20:], targets[20:])), earlier[name])
    assert found["data-changed"].verdict is Verdict.WARN
    assert f"{len(inputs)} examples before, {len(inputs) - 20} now" in found["data-changed"].summary
    assert found["worse-than-before"].verdict is Verdict.PASS


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_feature_in_another_unit_is_named(diabetes: Live, earlier: dict, split: str) -> None:
    def scaled(inputs: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        inputs = inputs.clone()
        inputs[:, 2] = 4 * inputs[:, 2] + 3
        return inputs, target

    other = replace(diabetes, **{split: mapped(getattr(diabetes, split), scaled)})
    found = compared(other, earlier["diabetes"])["data-changed"]
    assert found.verdict is Verdict.FAIL
    assert [place.name for place in found.where] == [f"data.{split}: feature 2"]
    assert found.advice


def test_images_of_another_contrast(digits: Live, earlier: dict) -> None:
    other = replace(digits, val=mapped(digits.val, lambda x, y: (1.5 * x, y)))
    found = compared(other, earlier["digits"])["data-changed"]
    assert found.verdict is Verdict.FAIL
    assert found.where[0].name == "data.val: channel, spread"


def test_classes_in_other_shares(digits: Live, earlier: dict) -> None:
    inputs, targets = together(digits.val)
    kept = (targets > 2) | (torch.arange(len(targets)) % 8 == 0)
    found = compared(replace(digits, val=batched(inputs[kept], targets[kept])), earlier["digits"])
    assert found["data-changed"].verdict in (Verdict.WARN, Verdict.FAIL)
    assert found["data-changed"].where[0].name == "data.val: labels"


def test_another_type(diabetes: Live, earlier: dict) -> None:
    model = replace(diabetes, model=diabetes.model.double(), factory=None)
    other = replace(
        model,
        train=mapped(diabetes.train, lambda x, y: (x.double(), y.double())),
        val=mapped(diabetes.val, lambda x, y: (x.double(), y.double())),
    )
    try:
        found = compared(other, earlier["diabetes"])["data-changed"]
    finally:
        diabetes.model.float()
    assert found.verdict is Verdict.FAIL
    assert "were float32" in found.summary


def test_another_profile_is_compared_fairly(names: Live, earlier: dict) -> None:
    found = compared(names, earlier["names"], profile="quick")["data-changed"]
    assert found.verdict is Verdict.INFO
    assert "The validation data is" in found.summary or "can't be told" in found.summary
    assert not found.where


def test_the_same_examples_found_in_a_longer_audit(names: Live, earlier: dict) -> None:
    quick = compared(names, earlier["names"], profile="quick")["worse-than-before"]
    assert quick.verdict is Verdict.PASS
    assert "as before" in quick.summary
