import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from auditor.core.request import Failed
from auditor.observations.finite import NAN, NEGATIVE, POSITIVE, NonFiniteOver, WeightFlagsOf
from auditor.observers.facts import weight_flags
from tests.awkward import BY_NAME, TABLE, Awkward, subject_of
from tests.observers.naive import module_of, outputs_by_module, swept

ASKED = NonFiniteOver(batches=4, split="val")


def poisoned(case: Awkward) -> Any:
    """Return the batches with NaN in one example and infinity in another, if of floats."""
    batches = case.batches()
    for index, value in ((1, math.nan), (3, math.inf)):
        inputs = batches[index][0]
        if isinstance(inputs, torch.Tensor) and inputs.is_floating_point():
            inputs[2] = value
    return batches


def bits(tensors: list[torch.Tensor]) -> int:
    flat = [torch.view_as_real(t) if t.is_complex() else t for t in tensors]
    values = [t.flatten().double() for t in flat if t.is_floating_point()]
    whole = torch.cat(values) if values else torch.zeros(0)
    if whole.isnan().any():
        return NAN
    return POSITIVE * bool((whole == math.inf).any()) | NEGATIVE * bool((whole == -math.inf).any())


@pytest.mark.parametrize("case", TABLE, ids=str)
@pytest.mark.parametrize("poison", [False, True], ids=["clean", "poisoned"])
def test_flags_agree_with_whole_outputs(case: Awkward, poison: bool) -> None:
    if poison and case.name == "float-target":
        pytest.skip("this loss raises at NaN")
    subject = case.subject(batches=poisoned(case) if poison else None, profile="quick")
    seen = swept(subject, ASKED)
    assert not isinstance(seen, Failed), seen
    rows = outputs_by_module(subject, ASKED)
    assert seen.flags.shape == (len(rows), len(seen.layers))
    assert len(seen.losses) == 4
    for row, flags in zip(rows, seen.flags, strict=True):
        mine: dict[str, int] = {}
        for layer, flag in zip(seen.layers, flags, strict=True):
            if "()" not in layer:
                mine[module_of(layer)] = mine.get(module_of(layer), 0) | int(flag)
        for name, tensors in row.items():
            if bits(tensors) == NAN:
                assert mine[name] & NAN, name
            elif any(t.is_floating_point() or t.is_complex() for t in tensors):
                assert mine[name] == bits(tensors), name
    inputs = [bits([*b.args, *b.kwargs.values()]) for b in subject.batches("val", 4)]
    assert seen.input_flags.tolist() == inputs
    assert seen.seen == sum(b.size for b in subject.batches("val", 4))


def test_examples_with_bad_outputs_are_named() -> None:
    case = BY_NAME["mlp"]
    assert swept(case.subject(), ASKED).examples == ()
    seen = swept(case.subject(batches=poisoned(case)), ASKED)
    assert seen.examples == (6 + 2, 18 + 2)


def test_no_example_is_named_where_outputs_have_no_row_for_each() -> None:
    class Flattened(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x).reshape(-1)

    def loss(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return outputs.sum()

    case = BY_NAME["mlp"]
    seen = swept(subject_of(Flattened(8, 3), poisoned(case), loss), ASKED)
    assert seen.examples == ()
    assert seen.flags.any()


def test_a_mask_of_minus_infinity_is_no_bad_example() -> None:
    class Masked(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x).index_fill(1, torch.tensor([2]), -math.inf)

    batches = [(x, y.clamp(max=1)) for x, y in BY_NAME["mlp"].batches()]
    seen = swept(subject_of(Masked(8, 3), batches, "cross_entropy"), ASKED)
    assert seen.examples == ()
    assert set(seen.flags.flatten()) == {NEGATIVE}


def test_double_precision_is_not_taken_for_infinite() -> None:
    class Huge(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) * 1e200

    def loss(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return outputs.abs().mean()

    batches = [(x.double(), y) for x, y in BY_NAME["mlp"].batches()]
    seen = swept(subject_of(Huge(8, 3).double(), batches, loss), ASKED)
    assert not seen.flags.any()
    assert np.isfinite(seen.losses).all()
    assert (seen.losses > 1e190).all()


def test_outputs_are_read_before_they_are_written_over() -> None:
    class Repaired(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(8, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(x).nan_to_num_(0.0)

    case = BY_NAME["mlp"]
    seen = swept(subject_of(Repaired(), poisoned(case), "cross_entropy"), ASKED)
    column = dict(zip(seen.layers, seen.flags.T, strict=True))
    assert column["fc"].any()
    assert not column["(model)"][:2].any()


def test_no_output_at_all_leaves_the_loss_to_be_told() -> None:
    subject = BY_NAME["mlp"].subject()
    assert np.isfinite(swept(subject, ASKED).losses).all()


def test_weights_are_counted_buffers_and_complex_ones_included() -> None:
    model = nn.Sequential(
        nn.Linear(8, 5), nn.BatchNorm1d(5), nn.Linear(5, 3), nn.Linear(2, 2, dtype=torch.complex64)
    )
    subject = subject_of(model[:3], BY_NAME["mlp"].batches(), "cross_entropy")
    object.__setattr__(subject, "model", model)
    with torch.no_grad():
        model[0].weight[0, :3] = math.nan
        model[1].running_var[1] = math.inf
        model[3].weight[0, 0] = complex(0.0, math.nan)
    flags = weight_flags(WeightFlagsOf(), subject)
    nan = dict(zip(flags.names, flags.nan, strict=True))
    infinite = dict(zip(flags.names, flags.infinite, strict=True))
    assert nan.pop("0.weight") == 3
    assert nan.pop("3.weight") == 1
    assert not any(nan.values())
    assert infinite["1.running_var"] == 1
    assert "1.num_batches_tracked" not in flags.names
    assert flags.sizes[flags.names.index("0.weight")] == 40
