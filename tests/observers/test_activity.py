import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from auditor.observations.activity import LayerActivity, UnitActivity, UnitActivityOver
from auditor.observers.tap import RECTIFIERS
from tests.awkward import BY_NAME, SIZES, TABLE, Awkward, FunctionalReLU, subject_of, vectors
from tests.observers.naive import module_of, outputs_by_module, swept

ASKED = UnitActivityOver(batches=4, split="val")


def named(seen: UnitActivity) -> dict[str, list[bool]]:
    return {layer.layer: layer.fired.tolist() for layer in seen.layers}


@pytest.mark.parametrize("case", TABLE, ids=str)
def test_every_relu_module_agrees_with_its_whole_outputs(case: Awkward) -> None:
    subject = case.subject(profile="quick")
    seen = swept(subject, ASKED)
    assert seen.examples == sum(batch.size for batch in subject.batches("val", 4))
    modules = dict(subject.model.named_modules())
    expected: dict[tuple[str, int], np.ndarray] = {}
    for row in outputs_by_module(subject, ASKED):
        for name, outputs in row.items():
            if not isinstance(modules.get(name), RECTIFIERS):
                continue
            for output in outputs:
                others = [
                    dim
                    for dim in range(output.ndim)
                    if dim != (1 if output.ndim == 4 else -1 % output.ndim)
                ]
                fired = (output != 0).sum(dim=others).numpy() > 0
                key = name, fired.size
                expected[key] = expected.get(key, np.zeros(fired.size, bool)) | fired
    found: dict[tuple[str, int], np.ndarray] = {}
    for layer in seen.layers:
        if layer.kind.endswith("()"):
            continue
        key = module_of(layer.layer), layer.fired.size
        found[key] = found.get(key, np.zeros(layer.fired.size, bool)) | layer.fired
    assert found.keys() == expected.keys()
    for key, fired in expected.items():
        np.testing.assert_array_equal(found[key], fired, err_msg=str(key))


@pytest.mark.parametrize(
    ("case", "names"),
    [
        ("mlp", ["1", "4"]),
        ("shared-relu", ["relu", "relu after bn2", "relu after fc"]),
        (
            "residual",
            [
                "blocks.0.act",
                "blocks.0.act after bn2",
                "blocks.0.act after blocks.1.bn1",
                "blocks.0.act after blocks.1.bn2",
            ],
        ),
        ("shared-block", ["first.1"]),
        ("loop", ["act", "relu() after cell"]),
        (
            "functional-relu",
            ["relu() after conv", "relu() after a", "relu() after b", "relu6() after b"],
        ),
        ("branches", ["relu() after b", "relu() after b, call 2", "act", "act, call 2"]),
        (
            "encoder",
            ["encoder.layers.0.relu() after linear1", "encoder.layers.1.relu() after linear1"],
        ),
        ("functional-only", ["relu()", "relu(), call 2"]),
        ("functional-conv", ["relu()"]),
        ("no-parameters", ["relu()"]),
        ("positive-weights", ["1"]),
        ("fallback", ["relu() after right"]),
        ("single-layer", []),
        ("fourier", []),
    ],
)
def test_places_are_told_apart_and_named(case: str, names: list[str]) -> None:
    seen = swept(BY_NAME[case].subject(profile="quick"), ASKED)
    assert [layer.layer for layer in seen.layers] == names


def test_units_are_channels_behind_a_convolution_and_features_elsewhere() -> None:
    widths = {
        name: [
            layer.fired.size
            for layer in swept(BY_NAME[name].subject(profile="quick"), ASKED).layers
        ]
        for name in ("functional-relu", "functional-conv", "encoder", "shared-relu", "residual")
    }
    assert widths == {
        "functional-relu": [6, 9, 9, 9],
        "functional-conv": [6],
        "encoder": [12, 12],
        "shared-relu": [6, 10, 7],
        "residual": [4, 4, 4, 4],
    }


def test_functional_relus_agree_with_the_forward_pass_written_out() -> None:
    case = BY_NAME["functional-relu"]
    subject = case.subject(profile="quick")
    model = subject.model
    assert isinstance(model, FunctionalReLU)
    with torch.no_grad():
        x = torch.cat([x for x, _ in case.batches()])
        first = model.conv(x).clamp(min=0)
        second = model.a(first.mean((2, 3))).clamp(min=0)
        third = model.b(second).clamp(min=0)
        fourth = (third - 0.1).clamp(0, 6)
    expected = [(first != 0).sum((0, 2, 3)) > 0] + [
        (t != 0).sum(0) > 0 for t in (second, third, fourth)
    ]
    seen = swept(subject, ASKED)
    assert [layer.fired.tolist() for layer in seen.layers] == [e.tolist() for e in expected]


@pytest.mark.parametrize("case", ["branches", "functional-only"])
def test_a_dead_layer_is_not_hidden_by_a_live_one_of_the_same_width(case: str) -> None:
    seen = swept(BY_NAME[case].subject(profile="quick"), ASKED)
    assert not seen.layers[0].fired.any()
    assert seen.layers[1].fired.any()


class Alternating(nn.Module):
    """Runs one relu twice a pass: a unit that is silent in the second run fired in the first."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.act = nn.Linear(8, 3, bias=False), nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = self.act(self.cell(x))
        return first + self.act(self.cell(x) * 0.0)


def test_what_fired_in_the_first_of_several_runs_stays_fired() -> None:
    model = Alternating()
    with torch.no_grad():
        model.cell.weight.zero_()
        model.cell.weight[:, 0] = torch.tensor([1.0, 1.0, -1.0])
    silent, loud = torch.zeros(4, 8), torch.ones(4, 8)
    batches = [(silent, torch.zeros(4).long()), (loud, torch.zeros(4).long())]
    seen = swept(subject_of(model, batches, "cross_entropy"), ASKED)
    assert named(seen) == {"act": [True, True, False]}


class Growing(nn.Module):
    """Gives one place another number of units in every batch."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(1, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(functional.relu(x).mean(1, keepdim=True))


def test_several_widths_at_one_place_merge_each_with_its_own() -> None:
    batches = [(torch.ones(4, width), torch.zeros(4).long()) for width in (2, 3, 2)]
    whole = swept(subject_of(Growing(), batches, "cross_entropy"), ASKED)
    assert [(layer.layer, layer.fired.size) for layer in whole.layers] == [
        ("relu()", 2),
        ("relu()", 3),
    ]
    parts = [swept(subject_of(Growing(), [b], "cross_entropy"), ASKED) for b in batches]
    merged = parts[0].merge(parts[1]).merge(parts[2])
    assert [(la.layer, la.fired.tolist()) for la in merged.layers] == [
        (la.layer, la.fired.tolist()) for la in whole.layers
    ]


def test_a_layer_that_one_part_alone_met_is_kept() -> None:
    a = UnitActivity((LayerActivity("x", "ReLU", np.array([True, False])),), 3, "val")
    b = UnitActivity((LayerActivity("y", "ReLU", np.array([False])),), 2, "val")
    merged = a.merge(b)
    assert named(merged) == {"x": [True, False], "y": [False]}
    assert merged.examples == 5
    assert merged.layers[1].dead == 1


def test_only_the_batches_asked_for_are_seen() -> None:
    case = BY_NAME["mlp"]
    seen = swept(case.subject(), UnitActivityOver(batches=2, split="val"))
    assert seen.examples == sum(SIZES[:2])
    assert len(vectors()) == len(SIZES)


@pytest.mark.parametrize(
    "act",
    [nn.ReLU(), nn.ReLU(inplace=True), nn.ReLU6(), nn.Hardswish(), nn.Threshold(-1.0, 0.0)],
    ids=str,
)
def test_what_holds_silent_units_down_is_seen(act: nn.Module) -> None:
    model = nn.Sequential(nn.Linear(8, 4), act, nn.Linear(4, 3))
    with torch.no_grad():
        model[0].bias.copy_(torch.tensor([-20.0, -30.0, 5.0, 5.0]))
    (layer,) = swept(subject_of(model, vectors(), "cross_entropy"), ASKED).layers
    with torch.no_grad():
        given = model[0](torch.cat([x for x, _ in vectors()]))
    assert layer.fired.tolist() == [False, False, True, True]
    assert layer.producer == "0"
    np.testing.assert_allclose(layer.peak[:2], given.amax(0)[:2].numpy(), rtol=1e-6)
    np.testing.assert_allclose(layer.lowest[:2], given.amin(0)[:2].numpy(), rtol=1e-6)
    assert np.isnan(layer.peak[2:]).all()
    np.testing.assert_allclose(layer.bias, model[0].bias.detach().numpy())
    expected = (given - model[0].bias.detach()).amax(0)[:2]
    np.testing.assert_allclose(layer.lifts, expected.numpy(), rtol=1e-4)


@pytest.mark.parametrize(
    ("act", "level"),
    [
        (nn.GELU(), -3.06),
        (nn.SiLU(), -6.27),
        (nn.Mish(), -6.27),
        (nn.ELU(), -4.6),
        (nn.SELU(), -5.17),
    ],
)
def test_a_smooth_unit_fires_where_it_has_a_slope(act: nn.Module, level: float) -> None:
    x = torch.tensor(level, requires_grad=True)
    (slope,) = torch.autograd.grad(act(x), x)
    assert abs(float(slope)) == pytest.approx(0.01, rel=0.1)
    model = nn.Sequential(nn.Linear(8, 3), act, nn.Linear(3, 3))
    with torch.no_grad():
        model[0].weight.zero_()
        model[0].bias.copy_(torch.tensor([level - 0.01, level + 0.01, 1.0]))
    (layer,) = swept(subject_of(model, vectors(), "cross_entropy"), ASKED).layers
    assert layer.smooth
    assert layer.fired.tolist() == [False, True, True]


def test_a_producer_behind_a_sum_is_not_named() -> None:
    class Shifted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.head = nn.Linear(8, 4), nn.Linear(4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(torch.relu(self.fc(x) - 99.0) + functional.gelu(self.fc(x) - 99.0))

    first, second = swept(subject_of(Shifted(), vectors(), "cross_entropy"), ASKED).layers
    assert [first.layer, second.layer] == ["relu() after fc", "gelu() after fc"]
    assert first.producer == second.producer == ""
    assert not first.lifts.size
