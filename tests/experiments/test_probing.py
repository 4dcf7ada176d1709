"""What the experiments that compare answers are made of."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from auditor.core.request import Unavailable
from auditor.experiments.batch_leak import batch_leak
from auditor.experiments.distances import apart, by_example, example_axes, largest_change
from auditor.experiments.padding import padding_of, shortened
from auditor.experiments.picked import TimeFirst, chosen
from auditor.experiments.probe import Probe
from auditor.experiments.shifted import runs_first, sequence_of
from auditor.experiments.trace import NoDropout, Trace, parting
from auditor.intake.batches import Batch
from auditor.intake.trial import recurrent_steps
from auditor.observations.batch_leak import BatchLeak, BatchLeakOver
from tests.awkward import BY_NAME, TABLE, Awkward, mlp, subject_of, vectors


def batch_of(*inputs: torch.Tensor, target: torch.Tensor | None = None) -> Batch:
    return Batch(inputs, {}, torch.zeros(len(inputs[0])) if target is None else target)


def test_equal_infinities_and_nan_are_no_difference() -> None:
    inf, nan = torch.inf, torch.nan
    one = torch.tensor([1.0, inf, -inf, nan, nan, 2.0])
    other = torch.tensor([1.5, inf, inf, nan, 0.0, 2.0])
    assert apart(one, other).tolist() == [0.5, 0.0, inf, 0.0, inf, 0.0]
    assert largest_change(one[:1], other[:1]) == 0.5
    assert largest_change(one, one[:3]) == inf


def test_the_dimension_of_the_examples() -> None:
    def axes(shape: tuple[int, ...], less: tuple[int, ...]) -> list[int]:
        return example_axes(torch.Size(shape), torch.Size(less), 5, 4)

    assert axes((5, 3), (4, 3)) == [0]
    assert axes((7, 5, 3), (7, 4, 3)) == [1]
    assert axes((35, 3), (28, 3)) == [0]
    assert axes((5, 5), (4, 4)) == [0, 1]
    assert axes((), ()) == axes((5, 3), (5, 3)) == []
    rows = torch.arange(6).reshape(6, 1)
    outer, inner = by_example(rows, 0, 2)
    assert outer[1].flatten().tolist() == [3, 4, 5]
    assert inner[1].flatten().tolist() == [1, 3, 5]


@pytest.mark.parametrize("case", TABLE, ids=str)
def test_what_moves_is_what_a_loop_over_examples_finds(case: Awkward) -> None:
    subject = case.subject(factory=False)
    found = batch_leak(BatchLeakOver(), subject)
    if case.name == "scalar-output":
        assert isinstance(found, Unavailable)
        return
    assert isinstance(found, BatchLeak)
    assert found.moved.shape == (found.examples, found.examples)
    off = found.moved[~torch.eye(found.examples, dtype=torch.bool).numpy()]
    assert off.max() <= found.tolerance
    assert not found.gradient > found.tolerance
    if case.name != "loop":
        assert found.moved.diagonal().min() > found.tolerance


def test_a_mean_over_the_batch_moves_all_by_as_much_as_computed_by_hand() -> None:
    class Centred(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x - x.mean(0)

    subject = subject_of(Centred(), [(x[:, :3], y) for x, y in vectors()], "cross_entropy")
    found = batch_leak(BatchLeakOver(), subject)
    picked = chosen(subject, 1)
    assert isinstance(found, BatchLeak)
    assert not isinstance(picked, Unavailable)
    pool, count = picked
    x = pool.args[0].double()
    base = x[:count] - x[:count].mean(0)
    changed = x[:count].clone()
    changed[0] = x[count]
    moved = ((changed - changed.mean(0)) - base).abs().amax(1) / base.abs().max()
    assert torch.allclose(torch.tensor(found.moved[:, 0]), moved)
    n = count
    assert found.gradient == pytest.approx((1 / n) / (1 - 1 / n))
    assert found.culprit is not None
    assert found.culprit.layer == "(model)"


def test_what_is_mixed_on_the_way_into_a_layer_is_told_with_the_layer() -> None:
    class Viewed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.rnn, self.head = nn.Linear(2, 4), nn.GRU(4, 6), nn.Linear(6, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            steps = self.stem(x.reshape(len(x), -1, 2))
            return self.head(self.rnn(steps.view(steps.shape[1], len(x), -1))[0][-1])

    found = batch_leak(BatchLeakOver(), subject_of(Viewed(), vectors(), "cross_entropy"))
    assert isinstance(found, BatchLeak)
    assert found.culprit is not None
    assert (found.culprit.layer, found.culprit.into) == ("(model)", "rnn")


def test_a_model_that_wants_single_precision_is_run_in_it() -> None:
    class Single(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(8, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(x.float())

    class Narrow(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.float().softmax(1).to(x.dtype)

    for model in (Single(), nn.Sequential(nn.Linear(8, 3), Narrow())):
        subject = subject_of(model, vectors(), "cross_entropy")
        probe = Probe(subject, next(subject.batches("val", 1)), 0)
        assert (probe.precision, probe.tolerance) == ("float32", 1e-4)
    wide = subject_of(mlp(), vectors(), "cross_entropy")
    assert Probe(wide, next(wide.batches("val", 1)), 0).precision == "float64"
    assert torch.get_default_dtype() is torch.float32


def test_passes_of_a_model_that_keeps_state_start_alike() -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.calls = nn.Linear(8, 3), 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            return self.fc(x) + self.calls

    subject = subject_of(Counting(), vectors(), "cross_entropy")
    batch = next(subject.batches("val", 1))
    probe = Probe(subject, batch, 0)
    assert largest_change(probe.run(batch), probe.run(batch)) == 0


def test_the_module_in_which_two_passes_part_is_the_innermost() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.ReLU(), nn.Dropout(0.5)))
    traces = Trace(), Trace()
    for trace in traces:
        with trace.of(model):
            model(torch.ones(9, 4))
    found = parting(*traces, torch.equal, torch.equal)
    assert found is not None
    assert (found.layer, found.functions) == ("1.1", ("dropout",))
    assert [culprit.layer for culprit in traces[0].drawing()] == ["1.1"]
    assert not any(module._forward_hooks for module in model.modules())


def test_dropout_is_passed_on_in_all_its_spellings() -> None:
    x = torch.ones(50, 6)
    q = torch.ones(1, 1, 5, 4)
    with NoDropout():
        assert functional.dropout(x).equal(x)
        assert nn.Dropout(0.9)(x).equal(x)
        assert nn.AlphaDropout(0.9)(input=x).equal(x)
        mixed = functional.scaled_dot_product_attention(q, q, q, None, 0.9)
        assert torch.allclose(mixed, q)


def test_the_padding_of_words() -> None:
    words = torch.tensor([[3, 4, 0, 0], [5, 6, 7, 0], [5, 1, 2, 2]])
    found = padding_of(batch_of(words))
    assert found is not None
    assert (found.value, found.lengths) == (0, [2, 3, 4])
    short = shortened(batch_of(words, words > 0), found, 2)
    assert [tensor.shape[1] for tensor in short.args] == [2, 2]
    assert padding_of(batch_of(torch.tensor([[0, 4, 0], [5, 6, 7]]))) is None
    assert padding_of(batch_of(torch.randint(1, 9, (4, 6)))) is None
    assert padding_of(batch_of(torch.rand(4, 6))) is None


def test_targets_that_are_the_inputs_moved() -> None:
    words = torch.randint(50, (6, 20))
    for shift in (1, 3):
        moved = batch_of(words[:, : 20 - shift], target=words[:, shift:])
        found = sequence_of(moved)
        assert found is not None
        assert (found.shift, found.matched, found.time) == (shift, 1.0, 1)
    flat = sequence_of(batch_of(words[:, :-1], target=words[:, 1:].flatten()))
    assert flat is not None
    assert flat.shift == 1
    masked = words[:, 1:].clone()
    masked[:, ::2] = -100
    found = sequence_of(batch_of(words[:, :-1], target=masked))
    assert found is not None
    assert found.shift == 1
    same = sequence_of(batch_of(words, target=words))
    assert same is not None
    assert same.shift == 0
    other = sequence_of(batch_of(words, target=torch.randint(50, (6, 20))))
    assert other is not None
    assert other.shift == -1
    assert sequence_of(batch_of(words, target=torch.zeros(6))) is None
    level = torch.ones(6, 20, dtype=torch.long)
    constant = sequence_of(batch_of(level, target=level))
    assert constant is not None
    assert constant.shift == 0


def test_series_and_channels_first() -> None:
    walk = torch.randn(6, 3, 21).cumsum(2)
    found = sequence_of(batch_of(walk[..., :-1], target=walk[..., 1:]))
    assert found is not None
    assert (found.time, found.shift) == (2, 1)
    one = sequence_of(batch_of(walk.transpose(1, 2)[:, :-1], target=walk[:, 1, 1:]))
    assert one is not None
    assert (one.time, one.shift) == (1, 1)
    rows = torch.randn(6, 9)
    assert sequence_of(batch_of(rows, target=torch.randn(6, 9))) is None


def test_time_in_the_first_dimension() -> None:
    words = torch.randint(50, (6, 20))
    assert runs_first(batch_of(words.T[:-1], target=words.T[1:]), None)
    assert runs_first(batch_of(words.T[:-1], target=words.T[1:].flatten()), None)
    assert not runs_first(batch_of(words[:, :-1], target=words[:, 1:]), None)
    tags = batch_of(torch.rand(9, 4, 3), target=torch.zeros(9, 4, dtype=torch.long))
    assert runs_first(tags, 4)
    assert not runs_first(tags, 9)
    assert not runs_first(tags, None)
    turned = TimeFirst(tags.args, {}, tags.target)
    assert turned.size == 4
    assert turned.rows(torch.tensor([1, 2])).args[0].shape == (9, 2, 3)


def test_costly_models_are_left_alone() -> None:
    from dataclasses import replace

    subject = BY_NAME["mlp"].subject()
    dear = replace(subject, facts=replace(subject.facts, flops=1e13))
    found = batch_leak(BatchLeakOver(), dear)
    assert isinstance(found, Unavailable)
    assert "too dear" in found.reason


def test_steps_of_recurrent_layers_are_counted() -> None:
    batch = Batch((torch.zeros(2, 9, 3),), {}, torch.zeros(2))
    assert recurrent_steps(nn.GRU(3, 4, 2, batch_first=True, bidirectional=True), batch) == 36
    assert recurrent_steps(nn.Sequential(nn.Linear(3, 4), nn.RNN(4, 4)), batch) == 9
    assert recurrent_steps(nn.Linear(3, 4), batch) == 0
