"""Batches far below or above the noise of the gradient."""

from dataclasses import replace
from functools import partial

import pytest
import torch

from auditor.core.verdict import Verdict
from tests.subjects import Live, sample, trained
from tests.zoo import SAMPLES, digits, healthy, mlp

SILENT = (Verdict.PASS, Verdict.INFO)


def rebatched(live: Live, size: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return the training examples in batches of another size."""
    batches = list(live.train)
    inputs, targets = (torch.cat(parts) for parts in zip(*batches, strict=True))
    return [
        (x, y)
        for x, y in zip(inputs.split(size), targets.split(size), strict=True)
        if len(x) == size
    ]


@pytest.mark.parametrize(
    ("family", "size"),
    [
        ("digits_cnn", 2),
        ("plain_cnn", 2),
        ("diabetes_mlp", 1),
        ("multilabel", 1),
        ("names_rnn", 2),
        ("transformer", 2),
    ],
)
def test_a_batch_of_one_or_two_is_named(family: str, size: int) -> None:
    live = healthy(family)
    found = replace(live, train=rebatched(live, size)).finding("batch-size-off")
    assert found.verdict is Verdict.WARN, found.summary
    assert [place.name for place in found.where] == ["training.batch_size"]
    assert f"hold {size} example" in found.summary
    assert f"`batch_size={size}`" not in " ".join(found.advice)


def test_a_declared_batch_goes_before_the_loaders(digits: Live) -> None:
    declared = replace(digits, options={"training": {"batch_size": 1}})
    found = declared.finding("batch-size-off")
    assert found.verdict is Verdict.WARN
    assert "1 example (the spec)" in found.summary


@pytest.mark.parametrize("family", ["plain_cnn", "cancer_mlp"])
def test_the_whole_data_set_as_a_batch_with_few_updates_is_named(family: str) -> None:
    live = healthy(family)
    whole = rebatched(live, sum(len(x) for x, _ in live.train))
    told = {"training": {"epochs": 12}}
    fresh = trained(live.factory, whole, live.val, live.loss, epochs=12)
    assert replace(fresh, options=told).places("batch-size-off", Verdict.WARN) == [
        "training.batch_size"
    ]
    # How many updates were made has to be known for that.
    assert fresh.finding("batch-size-off").verdict in SILENT


def test_the_whole_data_set_as_a_batch_with_many_updates_is_sound() -> None:
    live = healthy("cancer_mlp")
    whole = rebatched(live, sum(len(x) for x, _ in live.train))
    full = trained(live.factory, whole, live.val, live.loss, epochs=600)
    told = replace(full, options={"training": {"epochs": 600}})
    assert told.finding("batch-size-off").verdict in SILENT


def test_samples_are_sound() -> None:
    for name in SAMPLES:
        found = sample(name).finding("batch-size-off")
        assert found.verdict is Verdict.PASS, found.summary


def test_without_factory_or_training_data() -> None:
    live = healthy("rare")
    found = replace(live, factory=None).finding("batch-size-off")
    assert found.verdict in SILENT
    assert "factory" in found.summary
    bare = replace(live, factory=None, train=None).finding("batch-size-off")
    assert bare.verdict is Verdict.INFO
    assert "not known" in bare.summary
    assert "val data" in bare.summary


def test_a_wide_model_is_judged_by_folded_gradients() -> None:
    train, val = digits(lambda x, y: (x.flatten(1), y))
    live = trained(partial(mlp, 64, 600, 600, 10), train, val, "cross_entropy", epochs=1)
    found = live.finding("batch-size-off")
    assert found.verdict in SILENT
    small = replace(live, train=rebatched(live, 1)).finding("batch-size-off")
    assert small.verdict is Verdict.WARN, small.summary
