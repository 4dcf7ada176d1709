"""Wrong labels and repeated examples, planted in data of several kinds."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial

import pytest
import torch
from torch import nn
from torch.nn import functional

from auditor.core.figure import Images, Table
from auditor.core.finding import Finding, Place
from auditor.core.verdict import Verdict
from tests.subjects import Live, broken, trained
from tests.zoo import digits, healthy, mlp

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
        ("names_rnn", 0.2),
        ("residual", 0.1),
        ("cancer_mlp", 0.1),
        ("wine_mlp", 0.2),
    ],
)
def test_wrong_labels_of_validation_are_found(name: str, share: float) -> None:
    check_top(*_found(name, "val", share))


@pytest.mark.parametrize(
    ("name", "share"),
    [
        ("digits_cnn", 0.2),
        ("names_rnn", 0.1),
        ("residual", 0.2),
        ("cancer_mlp", 0.2),
        ("wine_mlp", 0.2),
    ],
)
def test_wrong_labels_of_training_are_found(name: str, share: float) -> None:
    check_top(*_found(name, "train", share), least=8)


@cache
def _found(name: str, split: str, share: float) -> tuple[Finding, set[str]]:
    live, changed = flipped(healthy(name), split, share, CLASSES[name])
    shown = replace(live, options={**live.options, "include_samples": True})
    return shown.finding("suspicious-labels"), changed


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


def tokens(examples: int, seed: int) -> Batches:
    """Return sequences whose classes are certain but slow to be learnt."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randint(1, 27, (examples, 8), generator=generator)
    target = 2 * (inputs[:, -1] < 9).long() + (inputs[:, -2] + inputs[:, 0] < 20).long()
    return list(zip(inputs.split(64), target.split(64), strict=True))


def slow() -> nn.Module:
    return nn.Sequential(
        nn.Embedding(27, 8), nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 4)
    )


def test_sound_labels_that_are_slow_to_be_learnt_raise_nothing() -> None:
    live = trained(slow, tokens(4096, 1), tokens(1024, 2), "cross_entropy", epochs=25, lr=2e-3)
    found = replace(live, optimizer={"name": "Adam", "lr": 5e-4}).finding("suspicious-labels")
    assert found.verdict is Verdict.PASS, found.summary


@pytest.fixture(scope="module")
def flat() -> Live:
    """Return a network of linear layers that reads digits."""
    train, val = digits(lambda x, y: (x.flatten(1), y))
    build = partial(mlp, 64, 64, 10)
    return trained(build, train, val, "cross_entropy", epochs=6)


def rolled(model: nn.Module) -> None:
    """Shift the order of the classes."""
    for parameter in model[-1].parameters():  # type: ignore[index]
        parameter.copy_(parameter.roll(1, 0))


def test_wrong_labels_of_validation_are_found_whatever_the_checkpoint(flat: Live) -> None:
    noisy, changed = flipped(flat, "val", 0.15, 10)
    assert flat.factory is not None
    learnt_them = trained(flat.factory, noisy.val, noisy.val, "cross_entropy", epochs=80)
    for model in (flat.factory(), broken(flat, rolled).model, learnt_them.model):
        check_top(replace(noisy, model=model).finding("suspicious-labels"), changed)


def test_a_checkpoint_that_can_not_judge_raises_nothing(flat: Live) -> None:
    found = broken(flat, rolled).finding("suspicious-labels")
    assert found.verdict is Verdict.PASS, found.summary
    alone = replace(broken(flat, rolled), factory=None).finding("suspicious-labels")
    assert alone.verdict is Verdict.INFO, alone.summary


def test_copies_of_wrong_labels_do_not_hide_them() -> None:
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(4, 20, generator=generator)

    def blobs(examples: int) -> tuple[torch.Tensor, torch.Tensor]:
        target = torch.randint(0, 4, (examples,), generator=generator)
        return centres[target] + torch.randn(examples, 20, generator=generator), target

    inputs, target = blobs(500)
    wrong = torch.rand(500, generator=generator) < 0.15
    target = torch.where(wrong, (target + 1) % 4, target)
    order = torch.randperm(2000, generator=generator) % 500
    train = list(zip(inputs[order].split(32), target[order].split(32), strict=True))
    val = list(zip(*(part.split(32) for part in blobs(500)), strict=True))
    live = trained(partial(mlp, 20, 256, 4), train, val, "cross_entropy", epochs=3)
    found = live.finding("suspicious-labels")
    assert found.verdict is Verdict.WARN, found.summary
    (share,) = (m for m in found.metrics if m.name == "wrong labels, training")
    assert share.value is not None
    assert share.high is not None
    assert 0.1 < share.value < 0.2
    assert share.high - share.value > 0.03, "500 examples, not 2000"


@pytest.fixture(scope="module")
def small_batches() -> Live:
    """Return a classifier of vectors in many small batches."""
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(12, 3, generator=generator)

    def batches(examples: int) -> Batches:
        inputs = torch.randn(examples, 12, generator=generator)
        target = (inputs @ weights).argmax(dim=1)
        return list(zip(inputs.split(8), target.split(8), strict=True))

    train, val = batches(1200), batches(200)
    return trained(partial(mlp, 12, 32, 3), train, val, "cross_entropy", epochs=3)


def test_what_stands_far_back_in_the_data_is_found(small_batches: Live) -> None:
    live, late = small_batches, small_batches.train[110:140]
    leaked = replace(live, val=late).finding("suspicious-labels")
    assert leaked.verdict is Verdict.FAIL, leaked.summary
    assert leaked.where[0] == Place("example", "val 0", "the same as train 880")
    other = [(inputs, (target + 1) % 3) for inputs, target in late]
    disputed = replace(live, train=[*live.train, *other]).finding("suspicious-labels")
    assert disputed.verdict is Verdict.WARN, disputed.summary
    assert "480 examples share their input with one of another label" in disputed.summary
    noisy, changed = flipped(replace(live, train=live.train[64:]), "train", 0.3, 3)
    found = replace(noisy, train=[*live.train[:64], *noisy.train]).finding("suspicious-labels")
    top = {f"train {int(place.name.split()[1]) - 512}" for place in found.where[:10]}
    assert found.verdict is Verdict.WARN, found.summary
    assert len(top & changed) >= 9


def test_one_hot_targets_are_judged_as_classes(flat: Live) -> None:
    def spread(batches: Batches) -> Batches:
        return [(x, functional.one_hot(y, 10).float()) for x, y in batches]

    noisy, changed = flipped(flat, "train", 0.15, 10)
    noisy = replace(noisy, train=repeated(noisy.train, lambda target: (target + 1) % 10))
    live = replace(noisy, train=spread(noisy.train), val=spread(noisy.val))
    found = replace(live, options={"task": "multiclass"}).finding("suspicious-labels")
    check_top(found, changed, least=8)
    assert "share their input with one of another label" in found.summary


class Bag(nn.Module):
    """The mean of embedded tokens, padding left out."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(41, 16, padding_idx=0)
        self.head = nn.Linear(16, 2)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(self.table(tokens).sum(1) / (tokens > 0).sum(1, keepdim=True))


def test_sentences_are_known_again_under_other_padding() -> None:
    generator = torch.Generator().manual_seed(0)
    rows = [torch.randint(1, 41, (4 + 5 * n % 17,), generator=generator) for n in range(800)]

    def padded(order: list[int]) -> Batches:
        batches = []
        for first in range(0, len(order), 16):
            some = [rows[n] for n in order[first : first + 16]]
            target = torch.tensor([int(row.float().mean() > 20) for row in some])
            batches.append((nn.utils.rnn.pad_sequence(some, batch_first=True), target))
        return batches

    order = torch.randperm(800, generator=generator).tolist()
    train, val = padded(list(range(800))), padded(order[:267])
    found = trained(Bag, train, val, "cross_entropy", epochs=5).finding("suspicious-labels")
    assert found.verdict is Verdict.FAIL, found.summary
    assert "267 of 267 validation examples stand in the training data too" in found.summary


def test_training_joined_to_itself_is_found() -> None:
    live = healthy("diabetes_mlp")
    batches = fixed(live.train)
    assert replace(live, train=batches).finding("suspicious-labels").verdict is Verdict.INFO
    found = replace(live, train=batches + batches).finding("suspicious-labels")
    assert found.verdict is Verdict.WARN, found.summary
    assert found.where[0].name == "data.train"
    # Classes of which rare ones are drawn more often are as they should be.
    inputs, target = (torch.cat(part) for part in zip(*batches, strict=True))
    rare = (target.flatten() > target.quantile(0.9)).nonzero().flatten()
    more = torch.cat([torch.arange(len(target)), rare.repeat(9)])
    drawn = list(zip(inputs[more].split(32), target[more].split(32), strict=True))
    assert replace(live, train=drawn).finding("suspicious-labels").verdict is Verdict.INFO
