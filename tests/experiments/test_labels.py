import base64
import struct
import zlib
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from auditor.experiments.labels import label_evidence, near_misses
from auditor.experiments.pictures import picture
from auditor.observations.labels import (
    LabelEvidence,
    LabelEvidenceOver,
    LabelledSplit,
    confident_errors,
    margins,
    ranked,
)
from tests.awkward import TABLE, Awkward, mlp, subject_of, vectors

REQUEST = LabelEvidenceOver(steps=60)


def told(*arguments: Any, **settings: Any) -> LabelEvidence:
    answer = label_evidence(REQUEST, subject_of(*arguments, **settings))
    assert isinstance(answer, LabelEvidence)
    return answer


def test_validation_is_predicted_by_the_checkpoint() -> None:
    model, val = mlp(), vectors()
    answer = told(model, val, "cross_entropy", factory=mlp)
    inputs, target = (torch.cat(column) for column in zip(*val, strict=True))
    split = answer.splits[1]
    assert split.split == "val"
    assert split.steps == 0
    np.testing.assert_array_equal(split.labels, target)
    expected = functional.softmax(model.eval()(inputs), dim=1).detach()
    np.testing.assert_allclose(split.probabilities, expected, rtol=1e-5)


def test_training_is_predicted_by_models_that_have_not_seen_it() -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(256, 8, generator=generator)
    labels = torch.randint(3, (256,), generator=generator)
    train = list(zip(inputs.split(32), labels.split(32), strict=True))
    answer = told(mlp(), vectors(), "cross_entropy", train=train, factory=mlp)
    split = answer.splits[0]
    assert split.split == "train"
    assert split.steps == 60
    np.testing.assert_array_equal(split.labels, labels)
    right = (split.probabilities.argmax(axis=1) == split.labels).mean()
    assert right < 0.5, "random labels can't be predicted by who has not seen them"


def test_without_a_factory_training_is_not_predicted() -> None:
    answer = told(mlp(), vectors(), "cross_entropy")
    assert "factory" in answer.splits[0].reason


@pytest.mark.parametrize("case", TABLE, ids=str)
def test_no_subject_is_too_awkward(case: Awkward) -> None:
    answer = label_evidence(REQUEST, case.subject())
    assert isinstance(answer, LabelEvidence)
    for split in answer.splits:
        assert len(split.labels) == len(split.numbers) == len(split.probabilities)
        assert bool(split.reason) is not split.predicted
    assert len(answer.repeated_example) >= 42


def test_repetitions_are_found_across_and_within_splits() -> None:
    val = vectors()
    (first, label), *rest = vectors()
    train = [
        (first + 1, label),
        (first[:2] * (1 + 1e-9), label[:2] + 1),
        *[(x - 9, y) for x, y in rest],
    ]
    answer = told(mlp(), val, "cross_entropy", train=train)
    rows = list(
        zip(answer.repeated_split, answer.repeated_example, answer.repeated_group, strict=True)
    )
    assert sorted(rows) == [(0, 6, 0), (0, 7, 1), (1, 0, 0), (1, 1, 1)]
    by_group = {int(g): [] for g in answer.repeated_group}  # type: ignore[var-annotated]
    for group, value in zip(answer.repeated_group, answer.repeated_label, strict=True):
        by_group[int(group)].append(int(value))
    assert all(len(set(values)) == 2 for values in by_group.values())


def test_near_misses_are_those_of_a_naive_count() -> None:
    table = np.random.default_rng(0).integers(0, 4, (60, 4)).astype(float)
    apart = (table[:, None] != table[None]).sum(axis=2)
    assert near_misses(table, 0) == int((apart == 1).any(axis=1).sum())


def test_confident_learning_is_that_of_the_paper() -> None:
    probabilities = np.asarray([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.3, 0.7], [0.95, 0.05]])
    labels = np.asarray([0, 0, 1, 0, 1])
    split = LabelledSplit("val", 5, np.arange(5), labels, probabilities, 0)
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
    answer = told(model, val, "cross_entropy")
    expected = model(torch.cat([x for x, _ in val])).detach()
    np.testing.assert_allclose(answer.splits[1].probabilities, expected, rtol=1e-5)
