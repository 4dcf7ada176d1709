import numpy as np
import pytest
import torch
from torch import nn

from auditor.core.request import Failed
from auditor.observations.activation_scale import (
    ActivationScale,
    ActivationScaleInTraining,
    ActivationScaleOver,
)
from tests.awkward import BY_NAME, TABLE, Awkward, subject_of, vectors
from tests.observers.naive import module_of, outputs_by_module, swept

ASKED = ActivationScaleOver(batches=4, split="val")


def column(seen: ActivationScale, name: str) -> int:
    return [kind.layer for kind in seen.layers].index(name)


@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize("case", TABLE, ids=str)
def test_statistics_agree_with_whole_outputs(case: Awkward, mode: str) -> None:
    asked = ASKED if mode == "eval" else ActivationScaleInTraining(batches=4, split="val")
    subject = case.subject(profile="quick")
    seen = swept(subject, asked)
    assert not isinstance(seen, Failed), seen
    rows = outputs_by_module(subject, asked)
    assert len(rows) == len(seen.rows)
    checked = 0
    for index, row in enumerate(rows):
        for place, kind in enumerate(seen.layers):
            outputs = row.get(module_of(kind.layer), [])
            # Where a module ran once, what it put out first is what the place stands for.
            if len(outputs) != 1 or kind.kind.endswith("()"):
                continue
            values = outputs[0]
            values = torch.view_as_real(values) if values.is_complex() else values
            whole = values.double().numpy()
            mean, variance, low, high = seen.rows[index, place, [1, 2, 4, 5]]
            if np.isnan(mean):
                continue
            checked += 1
            scale = np.abs(whole).max() + 1e-12
            assert mean == pytest.approx(whole.mean(), abs=1e-5 * scale)
            assert variance == pytest.approx(whole.var(), rel=1e-4, abs=1e-9 * scale**2)
            # In evaluation mode attention runs fused where no tap looks on, which rounds otherwise.
            assert (low, high) == pytest.approx((whole.min(), whole.max()), abs=1e-6 * scale)
    assert checked or case.name in ("scalar-output", "single-layer", "no-parameters")


def test_examples_and_positions_are_told_apart() -> None:
    model = nn.Sequential(nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 3))
    with torch.no_grad():
        model[0].weight.zero_()
        model[0].bias.copy_(torch.arange(6.0))
    seen = swept(subject_of(model, vectors(), "cross_entropy"), ASKED)
    first = column(seen, "0")
    assert (seen.of("across")[:, first] == 0).all()
    assert (seen.of("variance")[:, first] > 1).all()
    assert (seen.of("given_across")[:, first] > 0.3).all()
    assert (seen.inputs_across > 0.3).all()
    whole = torch.cat([x for x, _ in vectors()])[:6]
    assert seen.of("given")[0, first] == pytest.approx(float(whole.square().mean()), rel=1e-5)
    share = (whole.var(0) / whole.square().mean(0)).mean()
    assert seen.of("given_across")[0, first] == pytest.approx(float(share), rel=1e-5)


def test_batches_of_one_are_set_against_one_another() -> None:
    data = [(x[i : i + 1], y[i : i + 1]) for x, y in vectors() for i in range(len(x))]
    model = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3))
    seen = swept(subject_of(model, data, "cross_entropy"), ActivationScaleOver(20, "val"))
    across = seen.of("across")[:, column(seen, "0")]
    assert np.isnan(across[0])
    with torch.no_grad():
        outputs = model[0](torch.cat([x for x, _ in data])[: len(across)])
    squares = (outputs[1:].square() + outputs[:-1].square()) / 2
    pairs = ((outputs[1:] - outputs[:-1]).square() / 2 / squares).mean(1)
    np.testing.assert_allclose(across[1:], pairs.numpy(), rtol=1e-4)


def test_one_large_feature_does_not_hide_that_the_others_differ() -> None:
    model = nn.Sequential(nn.Linear(8, 6), nn.Linear(6, 3))
    with torch.no_grad():
        model[0].bias[2] = 1e4
    seen = swept(subject_of(model, vectors(), "cross_entropy"), ASKED)
    assert (seen.of("across")[:, column(seen, "0")] > 0.3).all()


def test_large_outputs_are_sampled_over_all_channels_and_examples() -> None:
    model = nn.Sequential(nn.Conv2d(1, 16, 1), nn.Flatten(), nn.Linear(16 * 32 * 32, 3))
    with torch.no_grad():
        model[0].weight.fill_(1.0)
        model[0].bias.copy_(torch.arange(16.0))
    x = torch.randn(32, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    seen = swept(subject_of(model, [(x, torch.zeros(32).long())], "cross_entropy"), ASKED)
    place = column(seen, "0")
    with torch.no_grad():
        whole = model[0](x)
    assert seen.of("mean")[0, place] == pytest.approx(float(whole.mean()), rel=0.03)
    assert seen.of("variance")[0, place] == pytest.approx(float(whole.var()), rel=0.05)
    assert seen.of("high")[0, place] == float(whole.max())


def test_what_is_told_of_layers() -> None:
    class Adapted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.base, self.norm = nn.Linear(8, 6), nn.LayerNorm(6)
            self.adapter, self.head = nn.Linear(6, 6, bias=False), nn.Linear(6, 3)
            nn.init.zeros_(self.adapter.weight)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.norm(self.base(x))
            return self.head(x + self.adapter(x))

    seen = swept(
        subject_of(Adapted().double(), [(x.double(), y) for x, y in vectors()], "cross_entropy"),
        ASKED,
    )
    told = {kind.layer: kind for kind in seen.layers}
    assert [name for name, kind in told.items() if kind.normalised] == ["base"]
    assert [name for name, kind in told.items() if kind.empty] == ["adapter"]
    assert [name for name, kind in told.items() if kind.whole] == ["head", "(model)"]
    assert [name for name, kind in told.items() if kind.norm] == ["norm"]
    assert told["base"].precision == "float64"
    assert told["base"].weighted
    assert not told["norm"].weighted


def test_small_values_are_counted_as_float16_rounds_them() -> None:
    model = nn.Sequential(nn.Identity(), nn.Linear(8, 3))
    x = torch.tensor([0.0, 1e-8, 1e-6, 1.0] * 2).repeat(6, 1)
    seen = swept(subject_of(model, [(x, torch.zeros(6).long())], "cross_entropy"), ASKED)
    place = column(seen, "0")
    shares = [float(seen.of(name)[0, place]) for name in ("zeros", "gone", "small")]
    assert shares == [0.25, 0.5, 0.75]
    half = x.half()
    assert float((half == 0).float().mean()) == 0.5


def test_time_first_outputs_are_not_taken_for_examples() -> None:
    subject = BY_NAME["time-first"].subject(profile="quick")
    seen = swept(subject, ASKED)
    lengths = [batch.args[0].shape[0] for batch in subject.batches("val", 4)]
    sizes = [batch.size for batch in subject.batches("val", 4)]
    across = seen.of("across")[:, column(seen, "rnn")]
    assert lengths != sizes
    told_apart = np.asarray(lengths) != np.asarray(sizes)
    assert np.isnan(across[told_apart]).all()
