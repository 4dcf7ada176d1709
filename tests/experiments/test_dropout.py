"""Where models drop, and what that does to their answers."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from auditor.core.request import Unavailable
from auditor.core.spec import OptimizerSpec
from auditor.experiments.dropout import dropout
from auditor.experiments.dropout_sites import undropped
from auditor.intake.subject import Subject
from auditor.observations.dropout import LONGER, PASSES, SEEDS, Dropout, DropoutOver
from tests.awkward import TABLE, Awkward, subject_of

REQUEST = DropoutOver(split="train", steps=2)


def clouds(*shape: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(4, 16, *(shape or (8,)), generator=generator)
    return [(x, (x.flatten(1)[:, 0] > 0).long()) for x in points]


def subject(model: nn.Module, *shape: int, **changes: Any) -> Subject:
    changes = {"optimizer": OptimizerSpec(name="SGD", lr=0.1), **changes}
    return subject_of(model, clouds(*shape), "cross_entropy", factory=None, **changes)


def seen(model: nn.Module, *shape: int, **changes: Any) -> Dropout:
    answer = dropout(REQUEST, subject(model, *shape, **changes))
    assert isinstance(answer, Dropout)
    return answer


def stack(*last: nn.Module, rate: float = 0.3) -> nn.Module:
    return nn.Sequential(nn.Linear(8, 12), nn.ReLU(), nn.Dropout(rate), nn.Linear(12, 2), *last)


class Calls(nn.Module):
    """Drops by a function; `flagged` gives it the mode."""

    def __init__(self, flagged: bool, attention: bool = False) -> None:
        super().__init__()
        self.enter, self.leave = nn.Linear(8, 12), nn.Linear(12, 2)
        self.flagged, self.attention = flagged, attention

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x, on = torch.relu(self.enter(x)), self.training or not self.flagged
        if self.attention:
            x = functional.scaled_dot_product_attention(x, x, x, dropout_p=0.4 if on else 0.0)
        else:
            x = functional.dropout(x, 0.4, training=on)
        return self.leave(x)


class Recurrent(nn.Module):
    def __init__(self, layers: int) -> None:
        super().__init__()
        self.rnn = nn.GRU(3, 6, layers, dropout=0.25, batch_first=True)
        self.head = nn.Linear(6, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.rnn(x)[0][:, -1])


class Attentive(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, dropout=0.35, batch_first=True)
        self.head = nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.attention(x, x, x)[0].mean(1))


class Stays(nn.Dropout):
    """Doesn't leave training mode."""

    def train(self, mode: bool = True) -> "Stays":
        super().train(True)
        return self


@pytest.mark.parametrize("case", TABLE, ids=lambda case: case.name)
def test_no_awkward_model_breaks_it(case: Awkward) -> None:
    given = case.subject()
    before = {name: value.clone() for name, value in given.model.state_dict().items()}
    answer = dropout(REQUEST, given)
    assert isinstance(answer, Dropout)
    assert not answer.untold
    assert not answer.left_on
    after = given.model.state_dict()
    assert all(torch.equal(value, before[name]) for name, value in after.items())


@pytest.mark.parametrize(
    ("model", "shape", "layer", "kind", "rate"),
    [
        (stack, (), "2", "Dropout", 0.3),
        (lambda: Calls(True), (), "(model)", "functional.dropout", 0.4),
        (
            lambda: nn.Sequential(nn.Flatten(0, 0), Calls(True, True)),
            (5, 8),
            "1",
            "functional.scaled_dot_product_attention",
            0.4,
        ),
        (lambda: Recurrent(2), (5, 3), "rnn", "GRU", 0.25),
        (Attentive, (5, 8), "attention", "MultiheadAttention", 0.35),
    ],
)
def test_every_way_of_dropping_is_seen(model, shape, layer, kind, rate) -> None:
    torch.manual_seed(0)
    built = model()
    if len(shape) == 2 and kind.startswith("functional"):
        built.append(Mean())
    (site,) = seen(built, *shape).sites
    assert (site.layer, site.kind, site.rate) == (layer, kind, rate)
    assert site.training
    assert not site.evaluation
    assert site.at == ""


class Mean(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean(1)


@pytest.mark.parametrize("model", [lambda: Calls(False), lambda: stack(Stays(0.2))])
def test_what_stays_on_is_seen(model) -> None:
    torch.manual_seed(0)
    found = seen(model())
    assert found.left_on
    assert (found.evaluated != found.plain).any()


def test_places_are_told_from_the_graph_and_not_from_names() -> None:
    def at(*layers: nn.Module) -> list[str]:
        torch.manual_seed(0)
        return [site.at for site in seen(nn.Sequential(*layers)).sites]

    assert at(nn.Dropout(0.1), nn.Linear(8, 2)) == ["input"]
    assert at(nn.Linear(8, 2), nn.Dropout(0.1)) == ["output"]
    assert at(nn.Linear(8, 2), nn.Dropout(0.1), nn.Flatten(), nn.LogSoftmax(1)) == ["output"]
    assert at(nn.Linear(8, 4), nn.Dropout(0.1), nn.LayerNorm(4), nn.Linear(4, 2)) == [""]
    assert at(nn.Linear(8, 2), nn.Dropout(0.1), nn.PReLU()) == [""]


def test_a_frozen_model_has_places_too() -> None:
    model = nn.Sequential(nn.Linear(8, 4), nn.Dropout(0.1), nn.Linear(4, 2)).requires_grad_(False)
    assert [site.at for site in seen(model).sites] == [""]
    assert not any(p.requires_grad for p in model.parameters())


def test_one_recurrent_layer_drops_nothing() -> None:
    with pytest.warns(UserWarning, match="dropout option adds dropout"):
        model = Recurrent(1)
    found = seen(model, 5, 3)
    assert [site.at for site in found.sites] == ["idle"]
    assert found.active == ()


def test_what_never_runs_is_told() -> None:
    model = stack()
    model[1].spare = nn.Dropout(0.7)
    assert [(s.layer, s.at) for s in seen(model).sites] == [("2", ""), ("1.spare", "unused")]
    model[2].p = 0.0
    assert [s.layer for s in seen(model).sites] == ["1.spare"]


def test_losses_are_those_of_plain_passes() -> None:
    torch.manual_seed(0)
    model = stack()
    found = seen(model)
    model.eval()
    plain = [float(functional.cross_entropy(model(x), y)) for x, y in clouds()[:2]]
    assert found.plain == pytest.approx(plain, rel=1e-5)
    assert found.evaluated == pytest.approx(plain, rel=1e-5)
    assert found.dropped.shape == (PASSES, 2)
    assert (found.dropped.std(axis=0) > 0).all()
    answers = [model(x) for x, _ in clouds()[:2]]
    constant = [
        float(functional.cross_entropy(a.mean(0, keepdim=True).expand_as(a), y))
        for a, (_, y) in zip(answers, clouds()[:2], strict=True)
    ]
    assert found.constant == pytest.approx(np.mean(constant), rel=1e-5)
    assert found.flips
    assert 0 <= found.spread <= 1


def test_batch_norm_keeps_its_statistics() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 12), nn.BatchNorm1d(12), nn.Dropout(1e-9), nn.Linear(12, 2))
    found = seen(model)
    assert found.dropped.mean(axis=0) == pytest.approx(found.plain, rel=1e-5)


def test_light_dropout_is_not_raced_and_heavy_is() -> None:
    torch.manual_seed(0)
    light, heavy = seen(stack(rate=0.05)), seen(stack(rate=0.6))
    assert light.raced is None
    assert "too little" in light.no_race
    race = heavy.raced
    assert race is not None
    assert race.train_with.shape == race.val_without.shape == (SEEDS, 32)
    assert (race.train_with != race.train_without).any()
    assert race.optimizer == "SGD at 0.1"


def test_extreme_dropout_is_raced_for_longer() -> None:
    torch.manual_seed(0)
    usual, extreme = seen(stack(rate=0.89)).raced, seen(stack(rate=0.9)).raced
    assert usual is not None
    assert extreme is not None
    assert (usual.steps, extreme.steps) == (REQUEST.steps, LONGER * REQUEST.steps)
    assert usual.train_with.shape == (SEEDS, 32)
    assert extreme.train_with.shape == extreme.val_without.shape == (SEEDS, 64)


def test_the_answer_is_the_same_twice() -> None:
    torch.manual_seed(0)
    model = stack(rate=0.6)
    one, two = seen(model), seen(model)
    assert one.raced is not None
    assert two.raced is not None
    assert (one.dropped == two.dropped).all()
    assert (one.raced.val_without == two.raced.val_without).all()


def test_without_an_optimizer_a_usual_one_is_tried() -> None:
    torch.manual_seed(0)
    race = seen(stack(rate=0.6), optimizer=None).raced
    assert race is not None
    assert race.optimizer == "Adam at 0.001"


def test_a_model_that_refuses_training_mode_is_told() -> None:
    class Refuses(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(8, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if self.training:
                raise RuntimeError("for evaluation only")
            return self.layer(x)

    answer = dropout(REQUEST, subject(Refuses()))
    assert isinstance(answer, Unavailable)
    assert "for evaluation only" in answer.reason


def test_nothing_drops_inside_undropped() -> None:
    torch.manual_seed(0)
    x = torch.randn(4, 5, 8)
    for model in (Attentive(), nn.Sequential(Calls(False, True), Mean())):
        model.train()
        with undropped(model):
            assert torch.equal(model(x), model(x))
        assert not torch.equal(model(x), model(x))


@pytest.mark.parametrize("rate", [0.6, 0.95])
def test_every_pass_is_in_the_plan(rate: float) -> None:
    torch.manual_seed(0)
    counts = {"forward": 0}

    def count(module: nn.Module, args: Any) -> None:
        counts["forward"] += isinstance(module, nn.Sequential)

    given = subject(stack(rate=rate))
    handle = nn.modules.module.register_module_forward_pre_hook(count)
    try:
        dropout(REQUEST, given)
    finally:
        handle.remove()
    assert counts["forward"] <= REQUEST.cost({"train": 4, "val": 4}).forwards
