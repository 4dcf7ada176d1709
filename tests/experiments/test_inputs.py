import numpy as np
import pytest
import torch
from torch import nn

from auditor.core.request import Unavailable
from auditor.experiments.inputs import column_axis, in_columns, input_statistics, inputs_of
from auditor.intake.batches import tensors_in
from auditor.observations.input_shift import shifts
from auditor.observations.inputs import InputStatistics, InputStatisticsOf
from tests.awkward import BY_NAME, SIZES, TABLE, Awkward, subject_of, vectors

ASKED = InputStatisticsOf(split="train")

NUMBERS = [
    case for case in TABLE if any(t.is_floating_point() for t in tensors_in(case.batches()[0][0]))
]


@pytest.mark.parametrize("case", NUMBERS, ids=str)
def test_statistics_agree_with_the_whole_split(case: Awkward) -> None:
    subject = case.subject()
    seen = input_statistics(ASKED, subject)
    assert isinstance(seen, InputStatistics)
    assert seen.examples == sum(SIZES)
    (columns,) = seen.inputs
    batches = list(subject.data["train"].first(9))
    axis = batches[0].axis(batches[0].args[0])
    assert axis is not None
    rows = torch.cat([b.args[0].movedim(axis, 0) for b in batches]).double()
    table = rows.ndim == 2
    by_column = rows.movedim(1 if table or columns.kind == "channel" else -1, 0).flatten(1)
    np.testing.assert_allclose(columns.mean, by_column.mean(1), atol=1e-5)
    np.testing.assert_allclose(columns.deviation, by_column.std(1, correction=0), rtol=1e-3)
    np.testing.assert_allclose(columns.least, by_column.amin(1))
    np.testing.assert_allclose(columns.most, by_column.amax(1))
    np.testing.assert_allclose(columns.square, rows.square().flatten(1).mean(1), rtol=1e-4)
    assert not columns.lost.any()
    assert columns.table == table
    assert columns.sample.shape == (sum(SIZES), columns.columns * (1 if table else 2))


@pytest.mark.parametrize("name", ["lstm", "dict-inputs", "sparse"])
def test_indices_have_no_scale(name: str) -> None:
    seen = input_statistics(ASKED, BY_NAME[name].subject())
    assert isinstance(seen, Unavailable)
    assert "indices" in seen.reason


def test_values_that_are_not_finite_are_counted_and_left_out() -> None:
    batches = [(x.clone(), y) for x, y in vectors()]
    batches[1][0][2, 3], batches[2][0][0, 3] = torch.nan, torch.inf
    for x, _ in batches:
        x[:, 5] = 0.25
    seen = input_statistics(ASKED, BY_NAME["mlp"].subject(batches=batches))
    (columns,) = seen.inputs
    assert columns.lost.tolist() == [0, 0, 0, 2, 0, 0, 0, 0]
    kept = torch.cat([x[:, 3] for x, _ in batches])
    assert columns.mean[3] == pytest.approx(float(kept[kept.isfinite()].mean()), rel=1e-4)
    assert columns.constant.tolist() == [5]
    assert columns.worst[0] == 3
    assert not seen.filled
    own = nn.Sequential(Filling(), BY_NAME["mlp"].model())
    subject = subject_of(own, batches, "cross_entropy")
    told = input_statistics(ASKED, subject)
    assert isinstance(told, InputStatistics)
    assert told.filled


class Filling(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.nan_to_num(0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("case", "layer", "normalises", "fan_in"),
    [
        ("mlp", "0", False, 8),
        ("shared-relu", "conv1", False, 27),
        ("time-first", "rnn", False, 0),
        ("single-layer", "Linear", False, 8),
    ],
)
def test_the_layer_that_takes_the_input(
    case: str, layer: str, normalises: bool, fan_in: int
) -> None:
    (columns,) = input_statistics(ASKED, BY_NAME[case].subject()).inputs
    assert (columns.layer, columns.normalises, columns.fan_in) == (layer, normalises, fan_in)


class Scales(nn.Module):
    """Divides its inputs before its first layer sees them."""

    def __init__(self, norm: bool) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(8) if norm else None
        self.fc = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.norm(x) if self.norm else x / 100)


@pytest.mark.parametrize("norm", [True, False])
def test_a_model_that_rescales_its_inputs(norm: bool) -> None:
    batches = [(100 * x, y) for x, y in vectors()]
    subject = subject_of(Scales(norm), batches, "cross_entropy")
    seen = input_statistics(ASKED, subject)
    (columns,) = seen.inputs
    assert columns.whole > 50
    assert columns.normalises == norm
    if not norm:
        assert columns.layer == ""
        assert seen.first_layer == "fc"
        assert seen.first_square == pytest.approx(float((batches[0][0] / 100).square().mean()))


@pytest.mark.parametrize(
    ("shape", "module", "expected"),
    [
        ((6,), None, (None, "feature")),
        ((6, 8), nn.Linear(8, 2), (1, "feature")),
        ((6, 3, 8, 8), nn.Conv2d(3, 4, 3), (1, "channel")),
        ((6, 8, 8, 3), None, (3, "channel")),
        ((6, 16, 8, 8), None, (1, "channel")),
        ((6, 5, 40), nn.Conv1d(5, 4, 3), (1, "channel")),
        ((6, 40, 5), nn.LSTM(5, 4, batch_first=True), (2, "feature")),
        ((6, 40, 5), None, (2, "feature")),
        ((6, 8, 8), nn.Linear(64, 3), (None, "input")),
        ((6, 10, 3, 8, 8), None, (2, "channel")),
    ],
)
def test_where_the_columns_stand(shape: tuple, module: nn.Module | None, expected: tuple) -> None:
    axis, kind, why = column_axis(torch.Size(shape), module)
    assert (axis, kind) == expected
    assert why
    columns = in_columns(torch.zeros(shape), 0, axis)
    assert columns.shape[:2] == (6, 1 if axis is None else shape[axis])


def test_inputs_are_called_by_their_names() -> None:
    batch = next(BY_NAME["dict-inputs"].subject().batches("train", 1))
    assert [name for name, _ in inputs_of(batch)] == ["input_ids", "attention_mask"]


def test_shifts_are_bounded_for_all_columns_together() -> None:
    far = [(x + 3 * (torch.arange(8) == 2), y) for x, y in vectors()]
    one = input_statistics(ASKED, BY_NAME["mlp"].subject(batches=vectors() * 20))
    other = input_statistics(ASKED, BY_NAME["mlp"].subject(batches=far * 20))
    (shift,) = shifts(one, other)
    assert shift.distance.argmax() == 2
    assert shift.low[2] > 0.5
    assert np.delete(shift.low, 2).max() == 0
    assert shift.names[2] == "input: feature 2"


def test_a_large_input_is_compared_within_its_bounds() -> None:
    batches = [(torch.randn(40, 3000), torch.zeros(40, dtype=torch.long)) for _ in range(3)]
    subject = subject_of(nn.Linear(3000, 2), batches, "cross_entropy")
    (columns,) = input_statistics(ASKED, subject).inputs
    assert columns.columns == 3000
    assert columns.sample.shape == (120, 1024)
    assert columns.table
