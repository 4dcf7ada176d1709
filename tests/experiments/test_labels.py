import base64
import struct
import zlib
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from auditor.core.spec import OptimizerSpec
from auditor.experiments.labels import label_evidence
from auditor.experiments.pictures import picture
from auditor.observations.labels import (
    LabelEvidence,
    LabelEvidenceOver,
    LabelledSplit,
    confident_errors,
    margins,
    ranked,
)
from tests.awkward import TABLE, Awkward, Batches, mlp, subject_of, vectors

REQUEST = LabelEvidenceOver(steps=60)


def told(*arguments: Any, **settings: Any) -> LabelEvidence:
    answer = label_evidence(REQUEST, subject_of(*arguments, **settings))
    assert isinstance(answer, LabelEvidence)
    return answer


def random(
    examples: int = 256, seed: int = 0, features: int = 8
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return inputs and labels that have nothing to do with each other."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(examples, features, generator=generator)
    return inputs, torch.randint(3, (examples,), generator=generator)


def batched(inputs: torch.Tensor, labels: torch.Tensor, size: int = 32) -> Batches:
    return list(zip(inputs.split(size), labels.split(size), strict=True))


def test_the_checkpoint_predicts_validation_that_training_lacks() -> None:
    model, val = mlp(), vectors()
    train = batched(*random())
    answer = told(model, val, "cross_entropy", train=train, factory=mlp)
    inputs, target = (torch.cat(column) for column in zip(*val, strict=True))
    split = answer.checkpoint
    assert split.split == "val"
    assert split.steps == 0
    np.testing.assert_array_equal(split.labels, target)
    expected = functional.softmax(model.eval()(inputs), dim=1).detach()
    np.testing.assert_allclose(split.probabilities, expected, rtol=1e-5)
    seen = told(model, val, "cross_entropy", train=[*train, val[1]], factory=mlp)
    new = [number for number in range(len(target)) if not 6 <= number < 12]
    np.testing.assert_array_equal(seen.checkpoint.numbers, new)


def test_training_is_predicted_by_models_that_have_not_seen_it() -> None:
    inputs, labels = random()
    answer = told(mlp(), vectors(), "cross_entropy", train=batched(inputs, labels), factory=mlp)
    split = answer.splits[0]
    assert split.split == "train"
    assert split.steps == 60
    np.testing.assert_array_equal(split.labels, labels)
    assert right(split) < 0.5, "random labels can't be predicted by who has not seen them"


def right(split: LabelledSplit) -> float:
    return float((split.probabilities.argmax(axis=1) == split.labels).mean())


def learner() -> nn.Module:
    """Return a network that learns by heart."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(32, 256), nn.ReLU(), nn.Linear(256, 3))


def test_copies_are_predicted_by_models_that_have_seen_none_of_them() -> None:
    inputs, labels = random(128, features=32)
    order = torch.randperm(512, generator=torch.Generator().manual_seed(1))
    train = batched(inputs.repeat(4, 1)[order], labels.repeat(4)[order])
    quick = OptimizerSpec(name="Adam", lr=1e-2)
    subject = subject_of(
        learner(), train, "cross_entropy", train=train, factory=learner, optimizer=quick
    )
    answer = label_evidence(LabelEvidenceOver(steps=200), subject)
    assert isinstance(answer, LabelEvidence)
    for split in answer.splits:
        assert len(split.labels) == 128, "of each example one copy counts"
        assert right(split) < 0.5, split.split
    assert len(answer.checkpoint.labels) == 0


def test_fresh_models_judge_validation_on_average() -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(384, 8, generator=generator)
    labels = inputs[:, :3].argmax(dim=1)
    train, val = batched(inputs[:256], labels[:256]), batched(inputs[256:], labels[256:])
    quick = OptimizerSpec(name="Adam", lr=1e-2)
    subject = subject_of(mlp(), val, "cross_entropy", train=train, factory=mlp, optimizer=quick)
    answer = label_evidence(LabelEvidenceOver(steps=600), subject)
    assert isinstance(answer, LabelEvidence)
    fresh = answer.splits[1]
    assert 0 < fresh.steps < 600, "labels that hold up need no more steps"
    assert fresh.settled
    assert right(fresh) > 0.85 > right(answer.checkpoint)
    np.testing.assert_allclose(fresh.probabilities.sum(axis=1), 1, rtol=1e-5)


def test_without_a_factory_only_the_checkpoint_predicts() -> None:
    answer = told(mlp(), vectors(), "cross_entropy")
    assert all("factory" in split.reason for split in answer.splits)
    assert answer.checkpoint.predicted
    alone = label_evidence(REQUEST, subject_of(mlp(), vectors(), "cross_entropy", factory=mlp))
    assert isinstance(alone, LabelEvidence)
    assert len(alone.repeated_example) >= 42


@pytest.mark.parametrize("case", TABLE, ids=str)
def test_no_subject_is_too_awkward(case: Awkward) -> None:
    answer = label_evidence(REQUEST, case.subject())
    assert isinstance(answer, LabelEvidence)
    for split in (*answer.splits, answer.checkpoint):
        assert len(split.labels) == len(split.numbers) == len(split.probabilities)
        assert bool(split.reason) is not split.predicted
    assert len(answer.repeated_example) >= 42


def test_confident_learning_is_that_of_the_paper() -> None:
    probabilities = np.asarray([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.3, 0.7], [0.95, 0.05]])
    labels = np.asarray([0, 0, 1, 0, 1])
    split = LabelledSplit("val", 5, True, np.arange(5), labels, probabilities, 0, True)
    # Thresholds: class 0 (0.9 + 0.6 + 0.3) / 3 = 0.6; class 1 (0.8 + 0.05) / 2 = 0.425.
    assert confident_errors(split).tolist() == [False, False, False, True, True]
    np.testing.assert_allclose(margins(split), [0.8, 0.2, 0.6, -0.4, -0.9])
    assert [row for _, row in ranked((split,), 5)] == [4, 3]


def test_a_picture_is_a_png_of_its_input() -> None:
    values = torch.zeros(1, 8, 8)
    values[0, 2, 5] = 3.0
    made = picture(values)
    assert made is not None
    data = base64.b64decode(made)
    assert data.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", data[16:24])
    assert (width, height) == (96, 96)
    start = data.index(b"IDAT") + 4
    length = struct.unpack(">I", data[start - 8 : start - 4])[0]
    rows = np.frombuffer(zlib.decompress(data[start : start + length]), np.uint8).reshape(96, 97)
    assert rows[:, 0].max() == 0
    pixels = rows[:, 1:].reshape(8, 12, 8, 12)[:, 0, :, 0]
    np.testing.assert_array_equal(pixels, values[0].numpy() / 3 * 255)


@pytest.mark.parametrize("shape", [(8,), (2, 8, 8), (3, 2, 8), (1, 1, 8, 8)])
def test_other_inputs_have_no_picture(shape: tuple[int, ...]) -> None:
    assert picture(torch.zeros(shape)) is None


def test_a_large_image_is_thinned_out() -> None:
    made = picture(torch.rand(3, 500, 300))
    assert made is not None
    assert max(struct.unpack(">II", base64.b64decode(made)[16:24])) <= 96


def test_outputs_that_are_probabilities_are_taken_as_they_are() -> None:
    model = nn.Sequential(nn.Linear(8, 3), nn.Softmax(dim=1))
    val = vectors()
    answer = told(model, val, "cross_entropy", train=batched(*random()))
    expected = model(torch.cat([x for x, _ in val])).detach()
    np.testing.assert_allclose(answer.checkpoint.probabilities, expected, rtol=1e-5)


def test_one_hot_targets_are_classes() -> None:
    val = vectors()
    spread = [(x, functional.one_hot(y, 3).float()) for x, y in val]
    train = batched(*random())
    plain = told(mlp(), val, "cross_entropy", train=train)
    answer = told(mlp(), spread, "cross_entropy", train=train, task="multiclass")
    np.testing.assert_array_equal(answer.checkpoint.labels, plain.checkpoint.labels)
    soft = [(x, functional.one_hot(y, 3).float() * 0.9 + 1 / 30) for x, y in val[1:]]
    mixed = told(mlp(), [spread[0], *soft], "cross_entropy", train=train, task="multiclass")
    assert mixed.checkpoint.numbers.tolist() == list(range(6)), "shares of classes are no class"
