"""Updates that never arrive: untrained models, layers left out, steps that round to nothing."""

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from auditor import audit
from auditor.checks import find
from auditor.core.check import Seen
from auditor.core.finding import Finding, Judgement
from auditor.core.request import Failed, Unavailable
from auditor.core.verdict import Verdict
from auditor.engine.perform import perform
from auditor.engine.plan import planned, requests_of
from auditor.intake.subject import Subject
from tests.awkward import mlp, vectors
from tests.observers.test_optimizer_state import GARBAGE, NAMES, stepped, subject_with
from tests.subjects import Live, broken, sample

CHECK = "updates-not-applied"

LAYERS = {
    "digits_cnn": "features.3.0.weight",
    "diabetes_mlp": "2.weight",
    "names_rnn": "gru.weight_ih_l0",
    "tiny_lm": "blocks.1.attention.qkv.weight",
}


def places(found: Finding | Judgement) -> dict[str, str]:
    return {place.name: place.note for place in found.where}


@pytest.mark.parametrize("family", LAYERS)
def test_a_checkpoint_that_was_never_trained(family: str) -> None:
    live = sample(family)
    assert live.factory is not None
    torch.manual_seed(991)
    found = replace(live, model=live.factory()).finding(CHECK)
    assert found.verdict is Verdict.FAIL, found.summary
    assert "No trainable parameter shows a trace of training" in found.summary
    assert LAYERS[family] in places(found)
    assert found.advice


@pytest.mark.parametrize("family", LAYERS)
def test_a_layer_that_was_never_trained(family: str) -> None:
    live = sample(family)
    assert live.factory is not None
    torch.manual_seed(992)
    fresh = live.factory().get_parameter(LAYERS[family])
    found = broken(live, lambda m: m.get_parameter(LAYERS[family]).copy_(fresh)).finding(CHECK)
    assert found.verdict is Verdict.FAIL, found.summary
    assert set(places(found)) == {LAYERS[family]}
    assert "to its very ends" in places(found)[LAYERS[family]]


def test_a_few_short_steps_are_training_too(digits: Live) -> None:
    assert digits.factory is not None
    torch.manual_seed(5)
    model = digits.factory()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    for (inputs, target), _ in zip(digits.train, range(3), strict=False):
        optimizer.zero_grad()
        functional.cross_entropy(model(inputs), target).backward()
        optimizer.step()
    found = replace(digits, model=model).finding(CHECK)
    assert found.verdict is Verdict.PASS, found.summary


def test_a_small_model_under_a_seed_that_scripts_like() -> None:
    torch.manual_seed(42)
    found = quick(mlp(), vectors())
    assert found.verdict is Verdict.FAIL
    assert "bit for bit those of a fresh model under seed 42" in found.summary


def test_a_normalisation_that_never_moved(language: Live) -> None:
    def reset(model: nn.Module) -> None:
        model.get_parameter("blocks.1.norm2.weight").fill_(1)
        model.get_parameter("blocks.1.norm2.bias").fill_(0)

    found = broken(language, reset).finding(CHECK)
    assert found.verdict is Verdict.WARN
    assert places(found) == {
        "blocks.1.norm2.weight": "exactly 1 everywhere, as built",
        "blocks.1.norm2.bias": "exactly 0 everywhere, as built",
    }


def test_batch_norm_that_never_counted_a_batch(digits: Live) -> None:
    found = broken(digits, lambda m: m.get_submodule("features.1.1").reset_running_stats()).finding(
        CHECK
    )
    assert found.verdict is Verdict.WARN
    assert places(found) == {"features.1.1": "num_batches_tracked is 0"}


@pytest.mark.parametrize("family", LAYERS)
def test_an_optimizer_that_lacks_a_layer_or_does_not_move_it(family: str) -> None:
    live = sample(family)
    model = copy.deepcopy(live.model)
    name = LAYERS[family]
    rest = [p for n, p in model.named_parameters() if n != name]
    lacking = torch.optim.Adam(rest, lr=1e-3)
    found = replace(live, model=model, optimizer=lacking).finding(CHECK)  # type: ignore[arg-type]
    assert found.verdict is Verdict.WARN, found.summary
    assert places(found) == {name: "not in the optimizer"}
    assert f"`{name}`" in found.advice[0]
    groups = [{"params": rest}, {"params": [model.get_parameter(name)], "lr": 0.0}]
    still = torch.optim.Adam(groups, lr=1e-3)
    found = replace(live, model=model, optimizer=still).finding(CHECK)  # type: ignore[arg-type]
    assert places(found) == {name: "its learning rate is 0"}


def quick(model: nn.Module, batches: Any, **options: Any) -> Finding:
    settings = {"train": batches, "val": batches, "loss": "cross_entropy", "factory": mlp}
    settings |= {"optimizer": {"name": "Adam", "lr": 1e-2}, "only": [CHECK]}
    (found,) = audit(model, **{**settings, **options}).findings
    return found


def fitted(build: Callable[[], nn.Module] = mlp, steps: int = 30) -> nn.Module:
    torch.manual_seed(5)
    model = build()
    held = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(held, lr=1e-2)
    for step in range(steps):
        x, y = vectors()[step % 4]
        optimizer.zero_grad()
        functional.cross_entropy(model(x.to(held[0].dtype)).float(), y).backward()
        optimizer.step()
    return model


def halved() -> nn.Module:
    return mlp().bfloat16()


def test_steps_that_round_to_nothing_in_half_precision() -> None:
    batches = [(x.bfloat16(), y) for x, y in vectors()]
    optimizer = {"name": "SGD", "lr": 1e-7}
    found = quick(fitted(halved), batches, optimizer=optimizer, factory=halved)
    assert found.verdict is Verdict.FAIL, found.summary
    assert places(found)["0.weight"] == "steps round to nothing in bfloat16"
    assert "float32" in found.advice[0]
    healthy = quick(fitted(halved), batches, factory=halved)
    assert healthy.verdict is Verdict.PASS, healthy.summary


def test_the_audited_model_and_its_optimizer_stay_as_they_are() -> None:
    model = fitted()
    optimizer = stepped(model, model.parameters())
    torch.optim.lr_scheduler.StepLR(optimizer, 1)
    before = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
    assert quick(model, vectors(), optimizer=optimizer).verdict is Verdict.PASS
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[0][name])
    for key, slots in before[1]["state"].items():
        assert torch.equal(optimizer.state_dict()["state"][key]["exp_avg"], slots["exp_avg"])


def pretrained() -> nn.Module:
    """Hand out a trunk that is always the same, and a head that is drawn."""
    model = mlp()
    with torch.no_grad():
        for parameter in model[0].parameters():
            parameter.copy_(torch.sin(torch.arange(parameter.numel()).float()).view_as(parameter))
    return model


def frozen() -> nn.Module:
    model = mlp()
    model[0].requires_grad_(False)
    return model


def head_of_pretrained() -> nn.Module:
    model = pretrained()
    model[0].requires_grad_(False)
    fit = fitted(lambda: model)
    return fit.requires_grad_(True)


@pytest.mark.parametrize(
    ("build", "model"),
    [
        (mlp, fitted),
        (frozen, lambda: fitted(frozen)),
        (pretrained, head_of_pretrained),
        (pretrained, lambda: fitted(pretrained)),
    ],
    ids=["plain", "frozen", "pretrained, frozen in the script", "pretrained"],
)
def test_healthy_models_raise_nothing(build: Any, model: Any) -> None:
    found = quick(model(), vectors(), factory=build)
    assert found.verdict is Verdict.PASS, found.summary


def test_what_is_not_there_is_told() -> None:
    model = fitted()
    assert "no factory" in quick(model, vectors(), factory=None).summary
    alone = quick(model, vectors(), train=None, optimizer=None, factory=None)
    assert alone.verdict is Verdict.NOT_APPLICABLE
    assert quick(model, vectors(), train=None).verdict is Verdict.PASS
    assert quick(mlp().requires_grad_(False), vectors()).verdict is Verdict.NOT_APPLICABLE
    with torch.no_grad():
        model[0].weight.fill_(torch.nan)
    assert quick(model, vectors()).verdict in (Verdict.WARN, Verdict.FAIL)


def test_a_factory_that_loads_the_trained_weights() -> None:
    model = fitted()
    found = quick(model, vectors(), factory=lambda: copy.deepcopy(model))
    assert found.verdict is Verdict.WARN
    assert "or the factory loads the trained ones" in found.summary


def judged(subject: Subject, check: str = CHECK) -> Judgement:
    """Do what a check asks and judge it; what breaks is an error here."""
    item = find(check)
    plan = planned([item], "quick", subject.facts)
    answers = dict(plan.unavailable)
    for work in plan.work:
        answers |= dict(perform(work, subject))
    assert not [a for a in answers.values() if isinstance(a, Failed)], answers
    asked = requests_of(item, "quick", subject.facts)
    seen = {declared: answers[request] for declared, request in asked.items()}
    lost = [request for request in item.needs if isinstance(seen[request], Unavailable)]
    return item(Seen(seen)) if not lost else Judgement(Verdict.NOT_APPLICABLE, "-")


def saved(folder: Path, change: Callable[[dict[str, Any]], None]) -> Subject:
    model = fitted()
    state = stepped(model, model.parameters()).state_dict()
    change(state)
    return subject_with({"optimizer": state}, folder, model)


def test_a_healthy_checkpoint_with_its_optimizer(tmp_path: Path) -> None:
    found = judged(saved(tmp_path, lambda state: None))
    assert found.verdict is Verdict.PASS
    assert "with its saved moments" in found.summary
    assert "counts 1 steps, 2 epochs would be about 8" in found.summary


def emptied(state: dict[str, Any]) -> None:
    state["state"].clear()


def uncounted(state: dict[str, Any]) -> None:
    for slots in state["state"].values():
        slots["step"].zero_()


def zeroed(state: dict[str, Any]) -> None:
    for slots in state["state"].values():
        slots["exp_avg"].zero_()
        slots["exp_avg_sq"].zero_()


def one_zeroed(state: dict[str, Any]) -> None:
    state["state"][2]["exp_avg"].zero_()
    state["state"][2]["exp_avg_sq"].zero_()


@pytest.mark.parametrize(
    ("change", "verdict", "words"),
    [
        (emptied, Verdict.WARN, "has never made a step"),
        (uncounted, Verdict.FAIL, "counts 0 steps, though 2 epochs are declared"),
        (zeroed, Verdict.FAIL, "All moments of the optimizer saved under `optimizer` are zero"),
        (one_zeroed, Verdict.WARN, "moments of zero for 1 parameter"),
    ],
)
def test_an_optimizer_that_never_stepped(
    change: Any, verdict: Verdict, words: str, tmp_path: Path
) -> None:
    found = judged(saved(tmp_path, change))
    assert found.verdict is verdict, found.summary
    assert words in found.summary
    assert places(found)
    if change is one_zeroed:
        assert places(found) == {NAMES[2]: "moments of zero"}


@pytest.mark.parametrize("garbage", GARBAGE, ids=range(len(GARBAGE)))
def test_a_file_full_of_garbage_breaks_nothing(garbage: Any, tmp_path: Path) -> None:
    subject = subject_with({"optimizer": garbage}, tmp_path, fitted())
    for check in (CHECK, "disconnected-parameters", "update-ratio-off"):
        assert judged(subject, check).summary
