import math

import numpy as np
import pytest
import torch
from torch import nn

from auditor.core.request import Failed, Unavailable
from auditor.observations.features import (
    Features,
    FeaturesOver,
    LayerFeatures,
    linear_cka,
    singular_values,
)
from tests.awkward import BY_NAME, TABLE, Awkward, subject_of
from tests.observers.naive import assert_same, module_of, outputs_by_module, swept

ASKED = FeaturesOver(4, "val")
COSTLY = {"loop", "shared-block", "residual", "shared-relu"}
"""Models in which a module runs more than once, of which the last run counts."""


@pytest.mark.parametrize("case", TABLE, ids=str)
def test_features_agree_with_whole_outputs(case: Awkward) -> None:
    subject = case.subject(profile="quick")
    seen = swept(subject, ASKED)
    assert not isinstance(seen, Failed), seen
    batches = list(subject.batches("val", 4))
    total = sum(batch.size for batch in batches)
    assert len(seen.targets) == len(seen.predicted) == len(seen.inputs) == total
    rows = outputs_by_module(subject, ASKED)
    for layer in seen.layers:
        assert layer.features.shape == (total, layer.units)
        if "()" in layer.layer or case.name in COSTLY or layer.kind.startswith("ReLU"):
            continue
        parts = []
        for row, batch in zip(rows, batches, strict=True):
            tensor = row[module_of(layer.layer)][0]
            tensor = tensor.abs().double() if tensor.is_complex() else tensor.double()
            axis = next(a for a in (0, 1) if tensor.shape[a] == batch.size)
            tensor = tensor.movedim(axis, 0)
            units = next(a for a in (1, -1) if tensor.shape[a] == layer.units)
            tensor = tensor.movedim(units, -1)
            parts.append(tensor.reshape(batch.size, -1, layer.units).mean(1))
        whole = torch.cat(parts).numpy()
        rough = 2e-2 if case.name == "bfloat16" else 1e-4
        np.testing.assert_allclose(layer.features, whole, rtol=rough, atol=rough)


@pytest.mark.parametrize("case", TABLE, ids=str)
def test_parts_merge_into_the_whole_in_any_grouping(case: Awkward) -> None:
    batches = case.batches()
    whole = swept(case.subject(batches=batches), ASKED)
    if isinstance(whole, Unavailable):
        pytest.skip("nothing was seen")
    cuts = (batches[:1], batches[1:3], batches[3:])
    a, b, c = (swept(case.subject(batches=part), ASKED) for part in cuts)
    left, right = a.merge(b).merge(c), a.merge(b.merge(c))
    assert_same(left, whole, rtol=1e-5)
    assert_same(right, left)


def test_targets_and_predictions_are_those_of_the_examples() -> None:
    case = BY_NAME["mlp"]
    subject = case.subject()
    seen = swept(subject, ASKED)
    assert seen.classes == 3
    np.testing.assert_array_equal(seen.targets, torch.cat([y for _, y in case.batches()]).numpy())
    with torch.no_grad():
        model = subject.model.eval()
        own = torch.cat([model(x).argmax(1) for x, _ in case.batches()])
    np.testing.assert_array_equal(seen.predicted, own.numpy())
    assert (swept(BY_NAME["tied"].subject(), ASKED).targets == -1).all()
    assert swept(BY_NAME["tied"].subject(), ASKED).classes == 11
    assert swept(BY_NAME["regression"].subject(), ASKED).classes == 0
    binary = swept(BY_NAME["int-target"].subject(), ASKED)
    assert (binary.classes, set(binary.targets)) == (2, {0, 1})


def test_inputs_are_kept_where_they_are_numbers_of_one_size() -> None:
    case = BY_NAME["mlp"]
    seen = swept(case.subject(), ASKED)
    own = torch.cat([x for x, _ in case.batches()]).double().numpy()
    assert np.abs(seen.inputs - own).max() > 0.5  # turned, so that no row is an example
    np.testing.assert_allclose(seen.inputs @ seen.inputs.T, own @ own.T, atol=1e-4)
    assert swept(BY_NAME["gru"].subject(), ASKED).inputs.shape[1] == 0


def test_wide_layers_are_projected_and_many_layers_chosen_evenly() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 700), *(nn.Linear(700, 700) for _ in range(2)))
    deep = nn.Sequential(*(nn.Linear(8, 8) for _ in range(60)), nn.Linear(8, 3))
    batches = [(torch.randn(100, 8), torch.randint(0, 3, (100,))) for _ in range(8)]
    seen = swept(subject_of(model, batches, "cross_entropy"), FeaturesOver(8, "val"))
    assert {layer.features.shape for layer in seen.layers} == {(512, 128)}
    assert seen.examples == 512
    first = model[0](torch.cat([x[torch.linspace(0, 99, 64).round().long()] for x, _ in batches]))
    narrow = np.asarray(seen.layers[0].features, float)
    own = first.detach().double().numpy()
    exact, kept = own @ own.T, narrow @ narrow.T
    assert np.corrcoef(exact.ravel(), kept.ravel())[0, 1] > 0.95
    assert (singular_values(narrow) > 1e-4 * singular_values(narrow)[0]).sum() == 8
    seen = swept(subject_of(deep, batches[:1], "cross_entropy"), ASKED)
    assert len(seen.layers) == 40
    assert seen.left_out == 21
    assert (seen.layers[0].layer, seen.layers[-1].layer) == ("0", "60")


def test_what_varies_only_by_rounding_is_still() -> None:
    table = np.random.default_rng(0).normal(size=(1, 5)).repeat(30, axis=0)
    rounding = 1e-7 * np.random.default_rng(1).normal(size=(30, 5))
    assert LayerFeatures("a", "Linear", 5, True, table + rounding).still
    assert not LayerFeatures("a", "Linear", 5, True, table + 1e3 * rounding).still
    assert LayerFeatures("a", "Linear", 5, True, np.zeros((30, 5))).still


def test_singular_values_and_cka_agree_with_their_definitions() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(50, 7)), rng.normal(size=(50, 4))
    centred = x - x.mean(0)
    own = np.linalg.svd(centred, compute_uv=False)
    np.testing.assert_allclose(singular_values(x), own)
    np.testing.assert_allclose(singular_values(x[:5]), _svd(x[:5]), atol=1e-7)
    assert np.isnan(singular_values(np.full((5, 3), np.nan))).all()
    turn = np.linalg.qr(rng.normal(size=(7, 7)))[0]
    assert linear_cka(x, 3 * x @ turn + 1) == pytest.approx(1)
    k, m = centred @ centred.T, (y - y.mean(0)) @ (y - y.mean(0)).T
    hsic = (k * m).sum() / np.sqrt((k * k).sum() * (m * m).sum())
    assert linear_cka(x, y) == pytest.approx(hsic)
    assert math.isnan(linear_cka(x, np.ones((50, 2))))


def _svd(table: np.ndarray) -> np.ndarray:
    return np.linalg.svd(table - table.mean(0), compute_uv=False)


def test_a_layer_that_only_one_part_met_is_left_out() -> None:
    one = LayerFeatures("a", "Linear", 2, True, np.ones((3, 2), np.float32))
    other = LayerFeatures("b", "Linear", 2, True, np.ones((3, 2), np.float32))
    none = np.full(3, -1)
    first = Features((one, other), np.zeros((3, 4)), none, none, 0, 0, "val")
    second = Features((one,), np.zeros((3, 0)), none, none, 0, 0, "val")
    merged = first.merge(second)
    assert [layer.layer for layer in merged.layers] == ["a"]
    assert merged.inputs.shape == (6, 0)


def test_steps_that_are_all_one_are_seen() -> None:
    class Spread(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean(1, keepdim=True).expand_as(x)

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 6), Spread(), nn.Linear(6, 4), nn.Linear(4, 1))
    batches = [(torch.randn(5, 7, 3), torch.randn(5, 7, 1)) for _ in range(2)]
    seen = swept(subject_of(model, batches, "mse_loss"), ASKED)
    assert [layer.uniform for layer in seen.layers] == [False, True, True, None]
    single = [(torch.randn(5, 1, 3), torch.randn(5, 1, 1)) for _ in range(2)]
    seen = swept(subject_of(model, single, "mse_loss"), ASKED)
    assert {layer.uniform for layer in seen.layers} == {None}
    first = seen.merge(swept(subject_of(model, batches, "mse_loss"), ASKED))
    assert [layer.uniform for layer in first.layers] == [False, True, True, None]
