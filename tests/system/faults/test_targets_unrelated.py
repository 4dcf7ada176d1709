"""Inputs and targets of real data shuffled against each other, in models that learnt nothing."""

from dataclasses import replace

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from auditor.core.verdict import Verdict
from tests.subjects import Live
from tests.zoo import healthy

CHECK = "targets-unrelated"


def unlearnt(live: Live) -> Live:
    """Return the subject as its factory builds it, so that the model itself shows nothing."""
    assert live.factory is not None
    torch.manual_seed(3)
    return replace(live, model=live.factory())


def torn(live: Live, split: str) -> Live:
    inputs, targets = (torch.cat(c) for c in zip(*getattr(live, split), strict=True))
    order = torch.randperm(len(targets), generator=torch.Generator().manual_seed(0))
    return replace(live, **{split: DataLoader(TensorDataset(inputs, targets[order]), 32)})


@pytest.mark.parametrize(
    ("name", "split"),
    [("digits", "train"), ("diabetes", "train"), ("diabetes", "val"), ("names", "val")],
)
def test_the_split_whose_pairs_are_torn_is_named(
    name: str, split: str, request: pytest.FixtureRequest
) -> None:
    live = unlearnt(request.getfixturevalue(name))
    assert torn(live, split).places(CHECK, Verdict.FAIL) == [f"data.{split}"]


@pytest.mark.parametrize("name", ["digits", "names", "language"])
def test_sound_pairs_pass_though_the_model_has_learnt_nothing(
    name: str, request: pytest.FixtureRequest
) -> None:
    found = unlearnt(request.getfixturevalue(name)).finding(CHECK)
    assert found.verdict is Verdict.PASS, found.summary


def test_it_is_the_first_cause_of_what_comes_of_it() -> None:
    live = unlearnt(torn(healthy("wine_mlp"), "train"))
    found = live.audited(CHECK, "no-better-than-baseline", "trained-loss-off", "underfitted")
    assert [cause.id for cause in found.causes][:1] == [CHECK]
