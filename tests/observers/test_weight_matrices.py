import dataclasses
import importlib
import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from auditor.core.request import Unavailable
from auditor.core.subject import CheckpointFacts
from auditor.intake.checkpoint import Checkpoint
from auditor.intake.preserve import preserved
from auditor.observations.weight_matrices import WeightMatrices, WeightMatricesOf, WeightMatrix
from auditor.observers.weight_matrices import weight_matrices
from auditor.observers.weight_spectrum import singular_values
from tests.awkward import BY_NAME, TABLE, Awkward
from tests.observers.naive import assert_same

ASKED = WeightMatricesOf()


def seen(model: nn.Module | None, **parts: Any) -> WeightMatrices:
    subject = dataclasses.replace(BY_NAME["mlp"].subject(), model=model, factory=None)
    answer = weight_matrices(ASKED, dataclasses.replace(subject, **parts))
    assert isinstance(answer, WeightMatrices)
    return answer


def from_file(weights: dict[str, torch.Tensor]) -> WeightMatrices:
    file = Checkpoint(weights, CheckpointFacts("w.pt", "torch zip", "", 0, len(weights)))
    return seen(None, checkpoint=file)


def only(found: WeightMatrices, name: str) -> WeightMatrix:
    (matrix,) = [m for m in found.matrices if m.name == name]
    return matrix


def pairs_alike(rows: np.ndarray, tolerance: float) -> int:
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return sum(
        any(1 - abs(unit[i] @ unit[j]) <= tolerance for j in range(i)) for i in range(len(unit))
    )


@pytest.mark.parametrize("case", TABLE, ids=str)
def test_numbers_agree_with_whole_matrices(case: Awkward) -> None:
    subject = case.subject()
    with preserved(subject.model):
        answer = weight_matrices(ASKED, subject)
        if isinstance(answer, Unavailable):
            assert next(subject.model.parameters(), None) is None
            return
        state = dict(subject.model.named_parameters(remove_duplicate=False))
        for matrix in answer.matrices:
            assert matrix.finite
            owner, _, name = matrix.name.rpartition(".")
            tensor = state.get(matrix.name)
            if tensor is None:
                tensor = getattr(subject.model.get_submodule(owner), name, None)
            if tensor is None or matrix.part or tensor.is_complex() or tensor.ndim < 2:
                continue
            table = tensor.detach().double().squeeze().reshape(matrix.units, -1).numpy()
            own = np.linalg.svd(table, compute_uv=False)
            top = own.max()
            np.testing.assert_allclose(matrix.singular, own, atol=1e-6 * top)
            assert matrix.duplicates == pairs_alike(table, matrix.tolerance)
            assert matrix.rms == pytest.approx(np.sqrt(np.square(table).mean()), rel=1e-5)
    assert answer.left_out == ()


def test_tied_and_shared_weights_are_seen_once() -> None:
    for name in ("tied", "shared-block"):
        names = [m.name for m in seen(BY_NAME[name].model()).matrices]
        assert len(names) == len(set(names))
    assert len(seen(BY_NAME["tied"].model()).matrices) == 2
    assert len(from_file(dict(BY_NAME["tied"].model().state_dict())).matrices) == 2


@pytest.mark.parametrize(("kind", "gates"), [(nn.LSTM, 4), (nn.GRU, 3), (nn.RNN, 1)])
def test_gates_are_told_apart_with_the_model_and_without(kind: Any, gates: int) -> None:
    model = nn.Sequential(kind(5, 8, num_layers=2, bidirectional=True))
    with_model, without = seen(model), from_file(dict(model.state_dict()))
    assert_same(with_model.matrices[0].singular, without.matrices[0].singular)
    for found in (with_model, without):
        first = [m for m in found.matrices if m.name == "0.weight_hh_l0"]
        assert [m.units for m in first] == [8] * gates
        assert len({m.part for m in first}) == gates
    gate = model[0].weight_hh_l0.detach()[8:16] if gates > 1 else model[0].weight_hh_l0.detach()
    mine = [m for m in with_model.matrices if m.name == "0.weight_hh_l0"][min(1, gates - 1)]
    np.testing.assert_allclose(mine.singular, torch.linalg.svdvals(gate).numpy(), rtol=1e-5)


def test_a_gate_that_copies_another_is_seen() -> None:
    lstm = nn.LSTM(6, 16)
    with torch.no_grad():
        lstm.weight_hh_l0[16:32] = -2 * lstm.weight_hh_l0[:16]
    parts = [m for m in seen(lstm).matrices if m.name == "weight_hh_l0"]
    assert [m.duplicates for m in parts] == [0, 16, 0, 0]
    assert [m.opposites for m in parts] == [0, 16, 0, 0]
    assert parts[1].beside == 16


def test_fused_projections_are_told_apart() -> None:
    attention = nn.MultiheadAttention(8, 2)
    by_name = {"block.qkv.weight": torch.randn(24, 8), "block.mlp.weight": torch.randn(24, 8)}
    for found in (seen(attention), from_file(by_name)):
        parts = [m.part for m in found.matrices][:3]
        assert parts == ["query", "key", "value"]
    assert only(from_file(by_name), "block.mlp.weight").part == ""


def test_rows_of_different_groups_are_no_copies() -> None:
    conv = nn.Conv2d(8, 16, 3, groups=4)
    with torch.no_grad():
        conv.weight[4:] = conv.weight[:4].repeat(3, 1, 1, 1)
    assert seen(conv).matrices[0].duplicates == 0
    with torch.no_grad():
        conv.weight[1] = conv.weight[0]
    assert seen(conv).matrices[0].duplicates == 1
    depthwise = nn.Conv2d(8, 8, 3, groups=8)
    with torch.no_grad():
        depthwise.weight[:] = depthwise.weight[0]
    assert seen(depthwise).matrices[0].duplicates == 0
    assert seen(depthwise).matrices[0].identical


def test_units_of_a_transposed_convolution_are_its_outputs() -> None:
    conv = nn.ConvTranspose2d(4, 6, 3)
    with torch.no_grad():
        conv.weight[:, 3:] = conv.weight[:, :3] * 0.5
    (matrix,) = seen(conv).matrices
    assert (matrix.units, matrix.duplicates) == (6, 3)
    conv = nn.ConvTranspose1d(8, 16, 5)
    with torch.no_grad():
        conv.weight[2, 1, 3] = 5e5
    (matrix,) = seen(conv).matrices
    assert [o.index for o in matrix.outliers] == ["[2, 1, 3]"]


def test_zero_constant_and_identical_rows_are_counted() -> None:
    layer = nn.Linear(10, 20)
    with torch.no_grad():
        layer.weight[:3] = 0.0
        layer.weight[3:5] = torch.tensor([[0.2], [0.3]])
        layer.weight[7] = -3 * layer.weight[6]
        layer.weight[9] = layer.weight[6]
    (matrix,) = seen(layer).matrices
    assert (matrix.zero_units, matrix.constant_units) == (3, 2)
    assert (matrix.duplicates, matrix.opposites) == (3, 1)  # the constant ones are parallel too
    assert matrix.zero_share == pytest.approx(30 / 200)
    nn.init.constant_(layer.weight, -0.1)
    (matrix,) = seen(layer).matrices
    assert matrix.identical
    assert matrix.one_value
    assert matrix.columns_alike


def test_an_outlier_is_named_and_left_out_of_the_spectrum() -> None:
    layer = nn.Linear(64, 32)
    clean = seen(layer).matrices[0]
    with torch.no_grad():
        layer.weight[5, 7] *= 2.0**100
    (matrix,) = seen(layer).matrices
    assert [o.index for o in matrix.outliers] == ["[5, 7]"]
    assert matrix.outliers[0].beside <= 0.125
    assert matrix.effective_rank == pytest.approx(clean.effective_rank, rel=0.01)
    assert matrix.duplicates == 0


@pytest.mark.parametrize(("units", "fan_in", "flipped"), [(1, 16, 4), (4, 8, 3), (32, 64, 12)])
def test_flipped_bits_show_in_small_weights_and_where_they_are_many(
    units: int, fan_in: int, flipped: int
) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(fan_in, units)
    with torch.no_grad():
        bits = layer.weight.view(torch.int32).view(-1)
        chosen = torch.arange(flipped) * (len(bits) // flipped)
        bits[chosen] ^= 1 << 30
    (matrix,) = seen(layer).matrices
    places = [[place // fan_in, place % fan_in] for place in chosen.tolist()]
    assert sorted(o.index for o in matrix.outliers) == sorted(str(place) for place in places)


@pytest.mark.parametrize("where", [(slice(None), 3), (4, slice(None)), (slice(2, 4), slice(5))])
def test_a_unit_or_an_input_that_ran_away_is_no_flipped_bit(where: tuple[Any, Any]) -> None:
    layer = nn.Linear(8, 6)
    with torch.no_grad():
        layer.weight[where] *= 1e25
    assert seen(layer).matrices[0].outliers == ()


def test_values_that_a_scale_of_inputs_explains_are_no_outliers() -> None:
    layer = nn.Linear(64, 32)
    with torch.no_grad():
        layer.weight[:, 3] *= 1e4
    assert seen(layer).matrices[0].outliers == ()
    layer = nn.Linear(64, 32)
    with torch.no_grad():
        layer.weight[4] *= 1e9
    assert seen(layer).matrices[0].outliers == ()


def test_huge_biases_are_counted_against_the_weights() -> None:
    layer = nn.Linear(16, 8)
    with torch.no_grad():
        layer.bias[:3] = 1e3
    (matrix,) = seen(layer).matrices
    assert matrix.biases == 3
    norms = layer.weight.detach().norm(dim=1)
    ratios = layer.bias.detach().abs() / norms.clamp(min=float(norms.median()))
    assert matrix.worst_bias == pytest.approx(float(ratios.max()), rel=1e-5)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16, torch.float64])
def test_other_precisions(kind: torch.dtype) -> None:
    layer = nn.Linear(40, 30).to(kind)
    with torch.no_grad():
        layer.weight[20:] = layer.weight[:10] * 0.7
    (matrix,) = seen(layer).matrices
    assert matrix.duplicates == 10
    assert matrix.finite


def test_values_not_finite_are_told_and_not_looked_at() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
    with torch.no_grad():
        model[0].weight[0, 0] = math.nan
    first, second = seen(model).matrices
    assert not first.finite
    assert first.singular.size == 0
    assert second.finite


def test_a_parametrised_weight_is_seen_as_it_is_used_and_left_alone() -> None:
    normed = parametrizations.weight_norm(nn.Linear(8, 6))
    with torch.no_grad():
        normed.parametrizations.weight.original0[2] = 0.0
    both = seen(normed), from_file(dict(normed.state_dict()))
    for found in both:
        assert only(found, "weight").zero_units == 1
    spectra = [found.matrices[0].singular for found in both]
    np.testing.assert_allclose(*spectra, atol=1e-6)
    spectral = parametrizations.spectral_norm(nn.Linear(8, 6)).train()
    before = {name: value.clone() for name, value in spectral.state_dict().items()}
    with preserved(spectral):
        seen(spectral)
    assert spectral.training
    assert all(torch.equal(value, before[name]) for name, value in spectral.state_dict().items())
    pruned = nn.Linear(8, 6)
    prune.ln_structured(pruned, "weight", 3, n=2, dim=0)
    assert seen(pruned).matrices[0].zero_units == 3


def test_what_is_no_weight_is_left_out_of_a_file() -> None:
    found = from_file(
        {
            "fc.weight": torch.randn(8, 4),
            "fc.bias": torch.zeros(8),
            "bn.running_var": torch.ones(8),
            "bn.num_batches_tracked": torch.tensor(3),
            "causal_mask": torch.ones(8, 8),
            "places": torch.randn(1, 50, 8),
            "empty.weight": torch.zeros(0, 4),
            "half.weight": torch.zeros((), dtype=torch.float16),
        }
    )
    assert [m.name for m in found.matrices] == ["fc.weight"]
    assert [v.name for v in found.vectors] == ["fc.bias"]
    assert found.left_out == ("places",)


def test_a_fresh_model_tells_what_was_never_changed() -> None:
    def build() -> nn.Module:
        model = nn.Sequential(nn.Linear(8, 6), nn.Linear(6, 3))
        nn.init.orthogonal_(model[0].weight)
        nn.init.zeros_(model[1].weight)
        return model

    first, second = seen(build(), factory=build).matrices
    assert first.as_built is False
    assert second.as_built is True
    assert seen(build()).matrices[0].as_built is None

    def breaks() -> nn.Module:
        raise RuntimeError("no")

    assert seen(build(), factory=breaks).matrices[0].as_built is None

    class Decays(nn.Module):
        """One row of rates for all channels, as state space models start with."""

        def __init__(self) -> None:
            super().__init__()
            self.rates = nn.Parameter(torch.arange(1.0, 17.0).log().repeat(20, 1))

    model = Decays()
    model.rates.data += 0.01 * torch.randn(20, 16)
    rates = only(seen(model, factory=Decays), "rates")
    assert rates.built_rank == pytest.approx(1.0)
    assert seen(model).matrices[0].built_rank is None


@pytest.mark.parametrize("shape", [(3000, 40), (40, 3000), (700, 900)])
def test_a_sketch_keeps_a_low_rank_and_random_entries(shape: tuple[int, int]) -> None:
    noise = torch.randn(shape)
    own, sketch = singular_values(noise, [], 64, 0)
    assert min(sketch) == min(*shape, 64)
    assert max(sketch) == 256
    spread = np.square(own).sum() / (sketch[0] * sketch[1])
    assert spread == pytest.approx(1, rel=0.1)
    low = torch.randn(shape[0], 3) @ torch.randn(3, shape[1])
    own, _ = singular_values(low, [], 64, 0)
    assert (own > 1e-5 * own.max()).sum() == 3


def test_the_work_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [nn.Linear(300, 300) for _ in range(6)]
    whole = seen(nn.Sequential(*parts))
    assert not any(m.sketched for m in whole.matrices)
    looking = importlib.import_module("auditor.observers.weight_matrices")
    monkeypatch.setattr(looking, "SPECTRAL_WORK", 6e7)
    small = seen(nn.Sequential(*parts))
    assert all(m.sketched and min(m.sketch) == 64 for m in small.matrices)
    for ours, theirs in zip(whole.matrices, small.matrices, strict=True):
        assert ours.relative_rank == pytest.approx(theirs.relative_rank, rel=0.1)
    many = seen(nn.Embedding(5000, 12)).matrices[0]
    assert (many.units, many.compared) == (5000, 2048)


def test_the_same_look_twice_sees_the_same() -> None:
    model = nn.Sequential(*(nn.Linear(1500, 200), nn.Linear(200, 90)))
    assert_same(seen(model), seen(model), rtol=0)


def test_duplicates_of_wide_rows_are_found_by_projection() -> None:
    layer = nn.Linear(500, 60)
    with torch.no_grad():
        for a, b in itertools.pairwise(range(0, 20, 2)):
            layer.weight[b + 1] = layer.weight[a] * 1.5
    assert seen(layer).matrices[0].duplicates == 9
