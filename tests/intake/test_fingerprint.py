import torch

from auditor.intake.batches import Batch
from auditor.intake.fingerprint import digests, shortened, summed


def batch(inputs: torch.Tensor, target: torch.Tensor) -> Batch:
    return Batch((inputs,), {}, target)


def test_each_example_has_a_hash_of_its_own_input_and_target() -> None:
    inputs, target = torch.randn(6, 4), torch.arange(6) % 2
    found = digests(batch(inputs, target))
    assert len(set(found)) == 6
    other = inputs.clone()
    other[2, 3] += 1e-6
    changed = [a != b for a, b in zip(found, digests(batch(other, target)), strict=True)]
    assert changed == [False, False, True, False, False, False]
    target[4] = 1 - target[4]
    changed = [a != b for a, b in zip(found, digests(batch(inputs, target)), strict=True)]
    assert changed == [False, False, False, False, True, False]


def test_the_sum_does_not_depend_on_order_or_batches() -> None:
    inputs, target = torch.randn(10, 4), torch.arange(10)
    whole = summed(digests(batch(inputs, target)))
    order = torch.randperm(10)
    assert summed(digests(batch(inputs[order], target[order]))) == whole
    parts = [batch(i, t) for i, t in zip(inputs.split(3), target.split(3), strict=True)]
    assert sum(summed(digests(part)) for part in parts) % (1 << 128) == whole
    assert summed(digests(batch(inputs[1:], target[1:]))) != whole


def test_a_copy_counts_twice() -> None:
    inputs, target = torch.randn(4, 2), torch.zeros(4)
    twice = torch.cat([inputs, inputs[:1]])
    assert summed(digests(batch(twice, torch.zeros(5)))) != summed(digests(batch(inputs, target)))


def test_how_far_rows_are_filled_up_with_zeros_does_not_count() -> None:
    tokens, target = torch.tensor([[5, 3, 0, 0], [2, 0, 7, 0]]), torch.tensor([1, 2])
    wider = torch.nn.functional.pad(tokens, (0, 3))
    assert digests(batch(tokens, target)) == digests(batch(wider, target))
    assert digests(batch(tokens, target)) != digests(batch(tokens.roll(1, 1), target))


def test_zeros_between_inputs_are_not_mistaken_for_padding() -> None:
    one = Batch((torch.tensor([[1.0], [2.0]]), torch.tensor([[0.0], [3.0]])), {}, torch.zeros(2))
    other = Batch((torch.tensor([[0.0], [3.0]]), torch.tensor([[1.0], [2.0]])), {}, torch.zeros(2))
    assert digests(one)[0] != digests(other)[0]


def test_short_hashes_are_the_first_bytes() -> None:
    found = digests(batch(torch.randn(3, 2), torch.zeros(3)))
    assert shortened(found).tolist() == [int.from_bytes(part[:8]) for part in found]
