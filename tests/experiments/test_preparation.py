import copy

import numpy as np
import pytest
import torch

from auditor.core.request import Unavailable
from auditor.experiments.preparation import preparation
from auditor.experiments.preparation_ways import main_input, matching, ways_of
from auditor.observations.preparation import Prepared, PreparedOver
from tests.awkward import BY_NAME, TABLE, Awkward

ASKED = PreparedOver()


@pytest.mark.parametrize("case", TABLE, ids=str)
def test_every_awkward_model_is_answered_and_left_as_it_was(case: Awkward) -> None:
    subject = case.subject()
    before = copy.deepcopy(subject.model.state_dict())
    seen = preparation(ASKED, subject)
    for name, value in subject.model.state_dict().items():
        assert torch.equal(value, before[name])
    if isinstance(seen, Unavailable):
        assert seen.reason
        return
    assert isinstance(seen, Prepared)
    assert len(seen.tried) == len(seen.losses) == len(set(seen.tried))
    assert len(seen.before) == len(seen.after) == len(seen.right_before)
    if seen.tried:
        assert seen.best == seen.tried[int(np.argmin(seen.losses))]


def changes(rows: torch.Tensor, there: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
    subject = BY_NAME["mlp"].subject()
    return {way.name: way.change(rows) for way in ways_of(subject, "input", rows, there)}


def test_images_are_mirrored_turned_and_exchanged() -> None:
    rows = torch.randn(4, 3, 6, 6)
    made = changes(rows)
    torch.testing.assert_close(made["mirrored upside down"], rows.flip(2))
    torch.testing.assert_close(made["mirrored left to right"], rows.flip(3))
    torch.testing.assert_close(made["with rows and columns exchanged"], rows.mT)
    torch.testing.assert_close(made["turned by half"], rows.flip(2, 3))
    torch.testing.assert_close(made["with the channels in reverse order"], rows.flip(1))
    dark = made["turned light for dark"]
    torch.testing.assert_close(dark + rows, torch.full_like(rows, rows.min() + rows.max()))


def test_images_laid_out_in_a_row_are_treated_as_images() -> None:
    rows = torch.randn(4, 64)
    made = changes(rows)
    image = rows.reshape(4, 8, 8)
    torch.testing.assert_close(made["with rows and columns exchanged"], image.mT.flatten(1))
    torch.testing.assert_close(made["mirrored upside down"], image.flip(1).flatten(1))
    assert not any("exchanged" in name for name in changes(torch.randn(4, 13)))


def test_columns_are_matched_to_those_of_training() -> None:
    generator = torch.Generator().manual_seed(0)
    means = torch.arange(6.0)
    there, rows = (torch.randn(200, 6, generator=generator) + means for _ in range(2))
    assert (matching(there.numpy(), rows.numpy()) == np.arange(6)).all()
    order = torch.tensor([3, 0, 5, 1, 2, 4])
    made = changes(rows[:, order], there)
    torch.testing.assert_close(made["with the columns in training's order"], rows)


def test_tokens_are_renumbered_within_the_vocabulary() -> None:
    tokens = torch.tensor([[0, 1, 5], [3, 2, 0]])
    made = changes(tokens)
    assert made["numbered one lower"].tolist() == [[5, 0, 4], [2, 1, 5]]
    assert made["numbered one lower, 0 left as it is"].tolist() == [[0, 5, 4], [2, 1, 0]]
    assert made["numbered one higher, 0 left as it is"].tolist() == [[0, 2, 1], [4, 3, 0]]


def test_the_main_input_is_the_largest_of_real_numbers() -> None:
    batch = next(iter(BY_NAME["mlp"].subject().batches("val", 1)))
    name, rows = main_input(batch)
    assert name == "input"
    assert len(rows) == batch.size
