"""Examples of a batch chosen, and inputs changed apart from targets."""

import torch

from auditor.intake.batches import Batch

ROWS = torch.tensor([2, 0, 0])


def test_rows_come_in_the_order_asked_for() -> None:
    batch = Batch((torch.arange(6).reshape(3, 2),), {"mask": torch.arange(3)}, torch.arange(3))
    chosen = batch.rows(ROWS)
    assert chosen.args[0].tolist() == [[4, 5], [0, 1], [0, 1]]
    assert chosen.kwargs["mask"].tolist() == chosen.target.tolist() == [2, 0, 0]


def test_rows_of_time_first_inputs_are_taken_along_the_second_dimension() -> None:
    batch = Batch((torch.arange(12).reshape(4, 3),), {}, torch.arange(3))
    assert batch.rows(ROWS).args[0].shape == (4, 3)
    assert batch.rows(ROWS).args[0][0].tolist() == [2, 0, 0]


def test_inputs_can_be_another_examples() -> None:
    batch = Batch((torch.arange(3.0),), {}, torch.arange(3))
    crossed = batch.with_inputs_of(ROWS)
    assert crossed.args[0].tolist() == [2.0, 0.0, 0.0]
    assert crossed.target.tolist() == [0, 1, 2]


def test_inputs_are_changed_and_targets_are_not() -> None:
    batch = Batch((torch.ones(3), "fast"), {"x": torch.ones(3)}, torch.ones(3))
    zeroed = batch.with_inputs(torch.zeros_like)
    assert zeroed.args[0].sum() == zeroed.kwargs["x"].sum() == 0
    assert zeroed.args[1] == "fast"
    assert zeroed.target.sum() == 3


def test_examples_joined_end_to_end_are_taken_apart_where_each_begins() -> None:
    words, starts = torch.tensor([5, 6, 7, 8, 9, 4]), torch.tensor([0, 2, 2])
    batch = Batch((words, starts), {}, torch.tensor([1, 0, 1]))
    assert batch.size == 3
    one = batch.rows(torch.tensor([2, 0]))
    assert [tensor.tolist() for tensor in one.args] == [[7, 8, 9, 4, 5, 6], [0, 4]]
    assert one.target.tolist() == [1, 1]
    assert [tensor.tolist() for tensor in batch.take(2).args] == [[5, 6], [0, 2]]
    assert batch.take(2).take(1).size == 1
    assert [tensor.tolist() for tensor in batch.padded().args] == [
        [[5, 6, 0, 0], [0, 0, 0, 0], [7, 8, 9, 4]],
        [2, 0, 4],
    ]
