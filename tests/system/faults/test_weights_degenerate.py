"""Weights with units that are missing, copied or constant, and values that are absurd."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from auditor import audit
from auditor.checks.internals.weights_degenerate import WEIGHTS, judge
from auditor.core.check import Seen
from auditor.core.finding import Judgement
from auditor.core.spec_file import spec_from
from auditor.core.verdict import Verdict
from auditor.intake.loading import load
from auditor.observers.weight_matrices import weight_matrices
from tests.subjects import SAMPLES, Live, broken
from tests.zoo import digits as images

CHECK = "weights-degenerate"

Damage = Callable[[torch.Tensor], object]


def every_third(rows: int) -> torch.Tensor:
    return (torch.arange(rows) % 3 == 2).unsqueeze(1)


FAULTS: dict[str, tuple[Damage, Verdict, str]] = {
    "constant": (lambda w: w.fill_(0.05), Verdict.FAIL, "one value throughout"),
    "identical": (lambda w: w.copy_(w[:1].expand_as(w).clone()), Verdict.FAIL, "identical"),
    "zero": (lambda w: w.zero_(), Verdict.FAIL, "all zero"),
    "zero units": (
        lambda w: w.view(len(w), -1).mul_(every_third(len(w))),
        Verdict.FAIL,
        "units are zero",
    ),
    "copies": (
        lambda w: w[len(w) // 2 :].copy_(-0.5 * w[: len(w) - len(w) // 2]),
        Verdict.FAIL,
        "copy another",
    ),
    "rank": (
        lambda w: w.copy_((w.flatten(1)[:, :1] * w.flatten(1)[:1]).reshape(w.shape)),
        Verdict.FAIL,
        "rank 1",
    ),
    "flipped bit": (lambda w: w.view(-1)[11:12].mul_(2.0**64), Verdict.FAIL, "largest of the rest"),
}


def subjects(digits: Live, diabetes: Live, names: Live, language: Live) -> list[tuple[Live, str]]:
    return [
        (digits, "features.3.0.weight"),
        (diabetes, "2.weight"),
        (names, "gru.weight_hh_l0"),
        (language, "blocks.1.attention.qkv.weight"),
    ]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_damaged_weight_is_named_in_every_family(
    fault: str, digits: Live, diabetes: Live, names: Live, language: Live
) -> None:
    damage, verdict, words = FAULTS[fault]
    for live, name in subjects(digits, diabetes, names, language):

        def spoil(model: nn.Module, name: str = name) -> None:
            damage(model.get_parameter(name))

        found = replace(broken(live, spoil), train=None).finding(CHECK)
        assert found.verdict is verdict, found.summary
        assert {place.name for place in found.where} == {name}
        assert any(words in place.note for place in found.where), found.where
        assert any(name in advice for advice in found.advice)


def test_biases_that_drown_the_weights_are_named(diabetes: Live) -> None:
    live = broken(diabetes, lambda model: model[2].bias.fill_(-1e4))
    assert live.places(CHECK, Verdict.FAIL) == ["2.weight"]


def test_a_constant_initialisation_is_found_after_training() -> None:
    def build() -> nn.Module:
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
        for parameter in model.parameters():
            nn.init.constant_(parameter, 0.02)
        return model

    train, val = images(lambda x, y: (x, y))
    model = build()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for inputs, target in train:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs), target).backward()
        optimizer.step()
    live = Live(model, build, train, val, "cross_entropy", None)
    places = live.places(CHECK, Verdict.FAIL)
    assert places[0] == "1.weight"
    assert "3.weight" in places  # it reads all of the equal units alike


def test_weights_alone_will_do(tmp_path: Path) -> None:
    """The fault is found in a file of which nothing else is known."""

    def spoil(weights: dict[str, torch.Tensor]) -> None:
        weights["gru.weight_hh_l0"][48:96] = 0.1

    found = of_file(lambda weights: None, tmp_path)
    assert found.verdict is Verdict.PASS, found.summary
    found = of_file(spoil, tmp_path)
    assert found.verdict is Verdict.FAIL, found.summary
    assert [place.name for place in found.where] == ["gru.weight_hh_l0"]
    assert found.where[0].note.startswith("update gate")


def of_file(change: Callable[[dict[str, torch.Tensor]], object], folder: Path) -> Judgement:
    held = torch.load(SAMPLES / "names_rnn" / "names.pt", weights_only=True)
    weights = held.get("state_dict", held)
    change(weights)
    torch.save(weights, folder / "weights.pt")
    spec = spec_from({"model": {"checkpoint": "weights.pt"}}, "test", folder)
    return judge(Seen({WEIGHTS: weight_matrices(WEIGHTS, load(spec))}))


class Adapted(nn.Module):
    """A frozen layer beside a product of two narrow ones that starts at nothing."""

    def __init__(self, inner: nn.Linear) -> None:
        super().__init__()
        self.inner = inner.requires_grad_(False)
        self.down = nn.Linear(inner.in_features, 4, bias=False)
        self.up = nn.Linear(4, inner.out_features, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x) + self.up(self.down(x))


def test_what_is_degenerate_on_purpose_is_left_alone(language: Live) -> None:

    def adapt(model: nn.Module) -> None:
        for block in model.blocks:
            block.mlp[0] = Adapted(block.mlp[0])

    def cut(model: nn.Module) -> None:
        for module in model.modules():
            if isinstance(module, nn.Linear):
                prune.l1_unstructured(module, "weight", 0.8)

    for change in (adapt, cut, lambda model: model.to(torch.bfloat16)):
        found = replace(broken(language, change), factory=None, val=None, train=None, loss=None)
        answer = audit(found.model, only=[CHECK]).findings[0]
        assert answer.verdict is Verdict.PASS, answer.summary


def test_a_block_loaded_over_another_is_named(language: Live) -> None:
    def overwrite(model: nn.Module) -> None:
        blocks = model.get_submodule("blocks")
        blocks[1].load_state_dict(blocks[0].state_dict())  # type: ignore[operator, index]

    places = broken(language, overwrite).places(CHECK, Verdict.WARN)
    assert "blocks.1.attention.qkv.weight" in places
    assert all(name.startswith("blocks.1.") for name in places)
