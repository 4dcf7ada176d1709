"""What a reviewer would have to see: missing skips, idle layers, unlearnt filters, real costs."""

from dataclasses import replace

import torch
from torch import nn
from torch.nn import functional

from auditor.core.verdict import Verdict
from tests.subjects import Live, broken, sample
from tests.zoo import Attentive, Recurrent, digits

CHECK = "network-structure"


def drawn(live):
    found = live.finding(CHECK)
    assert found.verdict is Verdict.INFO, found.summary
    graph = found.figures[0]
    names = [node.name for node in graph.nodes]
    return found, {(names[a], names[b]) for a, b in graph.edges}, graph


def fresh(build, batches, loss="cross_entropy"):
    torch.manual_seed(0)
    return Live(build(), build, None, batches, loss, None)


class Small(nn.Module):
    """A residual network, whose shortcut may be forgotten and whose second head may be idle."""

    def __init__(self, shortcut=True, idle=False):
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, padding=1)
        self.body = nn.Conv2d(8, 8, 3, padding=1)
        self.head = nn.Linear(8, 10)
        self.aux = nn.Linear(8, 10) if idle else None
        self.shortcut = shortcut

    def forward(self, x):
        x = functional.relu(self.stem(x))
        y = self.body(x)
        y = functional.relu(x + y if self.shortcut else y)
        return self.head(y.mean((2, 3)))


def test_a_forgotten_shortcut_and_an_idle_layer_are_seen():
    _, val = digits(lambda x, y: (x, y))
    found, arrows, _ = drawn(fresh(Small, val[:2]))
    assert ("stem", "+") in arrows
    assert found.where == ()
    found, arrows, _ = drawn(fresh(lambda: Small(shortcut=False, idle=True), val[:2]))
    assert not any("+" in pair for pair in arrows)
    assert [place.name for place in found.where] == ["aux"]
    assert "`aux`" in found.summary


def test_filters_that_learnt_nothing_are_told_from_those_that_did():
    _, val = digits(lambda x, y: (x, y))
    big = nn.Sequential(nn.Conv2d(1, 32, 5, padding=2), nn.Flatten(), nn.Linear(32 * 64, 10))
    live = Live(big, None, None, val[:2], "cross_entropy", None)

    def noise(model):
        torch.manual_seed(1)
        nn.init.normal_(model[0].weight)

    def learnt(model):
        ramp = torch.linspace(-1, 1, 5)
        for unit, filters in enumerate(model[0].weight):
            filters[0] = torch.outer(ramp.roll(unit % 2), torch.ones(5)) * (1 + unit)

    assert "no smoother than noise" in broken(live, noise).finding(CHECK).summary
    assert "they have a pattern" in broken(live, learnt).finding(CHECK).summary


def test_every_family_is_drawn_with_its_costs():
    _, arrows, _ = drawn(sample("digits_cnn"))
    assert ("features.3.0", "features.4") in arrows
    found, arrows, _ = drawn(sample("tiny_lm"))
    assert ("token", "+") in arrows
    assert ("position", "+") in arrows
    # 2 blocks of 4 projections, 2 products and 2 layers of the perceptron, and the head.
    each = 48 * 48 * (4 * 48 + 2 * 48 + 4 * 48)
    values = {metric.name: metric.value for metric in found.metrics}
    assert values["multiply-adds of one example"] == 2 * each + 48 * 48 * 39
    _, arrows, _ = drawn(sample("names_rnn"))
    assert {("embedding", "gru"), ("gru", "index"), ("index", "head")} <= arrows
    found, arrows, _ = drawn(sample("diabetes_mlp"))
    assert arrows == {("input", "0"), ("0", "2"), ("2", "4"), ("4", "output")}
    assert found.figures[1].kind == "heatmap"


def test_encoders_and_recurrent_networks_built_of_modules():
    _, val = digits(lambda x, y: (x, y))
    found, arrows, _ = drawn(fresh(Attentive, val[:1]))
    assert ("encoder.layers.0.self_attn", "+ then LayerNorm") in arrows
    assert found.where == ()
    _, arrows, _ = drawn(fresh(Recurrent, val[:1]))
    assert arrows == {("input", "lstm"), ("lstm", "head"), ("head", "output")}


def test_a_thousand_layers_are_a_few_boxes():
    def deep():
        layers = [m for _ in range(500) for m in (nn.Linear(8, 8), nn.ReLU())]
        return nn.Sequential(*layers, nn.Linear(8, 10))

    batches = [(torch.randn(4, 8), torch.arange(4))]
    found, _, graph = drawn(fresh(deep, batches))
    assert len(graph.nodes) <= 5
    assert [repeat.times for repeat in graph.repeats] == [500]
    assert len(found.figures[-1].rows) == 1001


def test_half_precision_nan_weights_and_a_single_example():
    for damage in (lambda m: m.half(), lambda m: m[0].weight.fill_(float("nan")), lambda m: None):
        live = fresh(lambda: nn.Sequential(nn.Linear(9, 8), nn.ReLU(), nn.Linear(8, 3)), [])
        changed = broken(live, damage)
        kind = next(changed.model.parameters()).dtype
        changed = replace(changed, val=[(torch.randn(1, 9, dtype=kind), torch.zeros(1).long())])
        _, arrows, _ = drawn(changed)
        assert ("0", "2") in arrows


def test_weights_alone_are_listed(tmp_path):
    from auditor.core.spec import AuditSpec
    from auditor.intake.loading import load
    from auditor.observations.structure import TensorsOf
    from auditor.observers.facts import tensors

    torch.save(sample("diabetes_mlp").model.state_dict(), tmp_path / "w.pt")
    spec = AuditSpec.model_validate({"version": 1, "model": {"checkpoint": str(tmp_path / "w.pt")}})
    seen = tensors(TensorsOf(), load(spec))
    assert seen.names[:2] == ("0.weight", "0.bias")
    assert seen.shapes[:2] == ("32×10", "32")
    assert seen.bytes[0] == 4 * 320
