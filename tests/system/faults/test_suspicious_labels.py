"""Wrong labels and repeated examples, planted in data of several kinds."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from auditor.core.figure import Images, Table
from auditor.core.finding import Finding
from auditor.core.verdict import Verdict
from tests.subjects import Live, trained
from tests.zoo import healthy

CLASSES = {"digits_cnn": 10, "names_rnn": 5, "wine_mlp": 3, "cancer_mlp": 2, "residual": 10}

Batches = list[tuple[torch.Tensor, torch.Tensor]]


def flipped(live: Live, split: str, share: float, classes: int) -> tuple[Live, set[str]]:
    """Return the subject with wrong labels in a split, and which examples have them."""
    generator = torch.Generator().manual_seed(0)
    batches: Batches = []
    changed: set[str] = set()
    start = 0
    for inputs, target in fixed(getattr(live, split)):
        hit = torch.rand(len(target), generator=generator) < share
        other = (target + torch.randint(1, classes, target.shape, generator=generator)) % classes
        changed |= {f"{split} {start + int(n)}" for n in hit.nonzero()}
        start += len(target)
        batches.append((inputs, torch.where(hit, other, target)))
    val = split == "val"
    return replace(live, val=batches) if val else replace(live, train=batches), changed


def fixed(batches: Batches) -> Batches:
    """Return the batches of a loader, once and for all in one order."""
    torch.manual_seed(0)
    return list(batches)


def check_top(found: Finding, changed: set[str], least: int = 9) -> None:
    assert found.verdict is Verdict.WARN, found.summary
    assert found.advice
    top = [place.name for place in found.where[:10]]
    assert sum(name in changed for name in top) >= least, top
    table = next(figure for figure in found.figures if isinstance(figure, Table))
    assert [f"{row[0]} {row[1]}" for row in table.rows[:10]] == top


@pytest.mark.parametrize(
    ("name", "share"),
    [
        ("digits_cnn", 0.1),
        ("digits_cnn", 0.2),
        ("names_rnn", 0.2),
        ("residual", 0.1),
        ("cancer_mlp", 0.1),
        ("cancer_mlp", 0.2),
        ("wine_mlp", 0.2),
    ],
)
def test_wrong_labels_of_validation_are_found(name: str, share: float) -> None:
    check_top(*_found(name, "val", share))


@pytest.mark.parametrize(
    ("name", "share"),
    [
        ("digits_cnn", 0.1),
        ("digits_cnn", 0.2),
        ("names_rnn", 0.2),
        ("residual", 0.2),
        ("cancer_mlp", 0.2),
        ("wine_mlp", 0.2),
    ],
)
def test_wrong_labels_of_training_are_found(name: str, share: float) -> None:
    check_top(*_found(name, "train", share), least=8)


def _found(name: str, split: str, share: float) -> tuple[Finding, set[str]]:
    live, changed = flipped(healthy(name), split, share, CLASSES[name])
    return live.finding("suspicious-labels"), changed


def test_a_model_trained_on_wrong_labels_still_shows_them_in_validation() -> None:
    live = healthy("residual")
    noisy, _ = flipped(live, "train", 0.1, 10)
    noisy, _ = flipped(noisy, "val", 0.1, 10)
    assert live.factory is not None
    retrained = trained(live.factory, noisy.train, noisy.val, "cross_entropy", epochs=4)
    found = retrained.finding("suspicious-labels")
    assert found.verdict is Verdict.WARN, found.summary


def test_the_images_are_shown() -> None:
    found, _ = _found("digits_cnn", "val", 0.1)
    (gallery,) = (figure for figure in found.figures if isinstance(figure, Images))
    assert len(gallery.images) == 16
    assert "labelled" in gallery.images[0].caption


@pytest.mark.parametrize("name", ["digits_cnn", "cancer_mlp", "names_rnn"])
def test_validation_copied_from_training_fails(name: str) -> None:
    live = healthy(name)
    train = fixed(live.train)
    found = replace(live, train=train, val=train[:6]).finding("suspicious-labels")
    assert found.verdict is Verdict.FAIL, found.summary
    assert found.where[0].name == "val 0"


def repeated(batches: Batches, change: Callable[[torch.Tensor], torch.Tensor]) -> Batches:
    """Return the batches, the last a copy of the first under changed labels."""
    inputs, target = batches[0]
    return [*batches[:-1], (inputs, change(target))]


@pytest.mark.parametrize("name", ["digits_cnn", "cancer_mlp"])
def test_one_input_under_two_labels_is_found(name: str) -> None:
    live = healthy(name)
    train = repeated(fixed(live.train), lambda target: (target + 1) % CLASSES[name])
    found = replace(live, train=train).finding("suspicious-labels")
    assert found.verdict is Verdict.WARN, found.summary
    assert any("elsewhere otherwise" in place.note for place in found.where)


def test_a_part_of_validation_in_training_is_found() -> None:
    live = healthy("residual")
    train = [*fixed(live.train), *fixed(live.val)[:1]]
    found = replace(live, train=train).finding("suspicious-labels")
    assert found.verdict is Verdict.WARN, found.summary
    assert "64 of 450" in found.summary
