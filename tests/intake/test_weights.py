"""Putting a checkpoint's weights into a model."""

from collections.abc import Callable

import pytest
import torch
import yaml
from torch import nn
from torch.optim.swa_utils import AveragedModel

from auditor.core.errors import InputError
from auditor.core.spec import AllowSpec
from auditor.intake.weights import fit

Weights = dict[str, torch.Tensor]


class Net(nn.Module):
    """Has names that look like wrappers' own: `model`, and `module` within."""

    def __init__(self) -> None:
        super().__init__()
        self.model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
        self.head = nn.ModuleDict({"module": nn.Linear(3, 2)})


def plain() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))


def prefixed(first: str) -> Callable[[Weights], Weights]:
    return lambda weights: {first + name: tensor for name, tensor in weights.items()}


def inside(weights: Weights) -> Weights:
    return {
        f"0._fsdp_wrapped_module._orig_mod.{n[2:]}" if n[0] == "0" else n: t
        for n, t in weights.items()
    }


RENAMED = {
    "as it is": (lambda weights: weights, ""),
    "DataParallel": (prefixed("module."), "module."),
    "compiled": (prefixed("_orig_mod."), "_orig_mod."),
    "compiled in DDP": (prefixed("module._orig_mod."), "_orig_mod.module."),
    "compiled layers": (inside, "_orig_mod._fsdp_wrapped_module."),
    "a trainer's": (prefixed("model."), "model."),
    "a trainer's, deep": (prefixed("encoder.net."), "encoder.net."),
}


@pytest.mark.parametrize("model", [plain(), Net()], ids=["plain", "net"])
@pytest.mark.parametrize("change", RENAMED)
def test_what_wrappers_put_there_is_taken_off_and_told(model: nn.Module, change: str) -> None:
    rename, removed = RENAMED[change]
    own = model.state_dict()
    if rename is inside and isinstance(model, Net):
        own = {name: own[name] for name in own}
        weights = {
            name.replace("model.0", "model.0._fsdp_wrapped_module._orig_mod"): tensor
            for name, tensor in own.items()
        }
    else:
        weights = rename(own)
    fitted = fit(weights, model, "w.pt")
    assert fitted.removed == removed
    assert fitted.weights.keys() == own.keys()
    assert all(fitted.weights[name] is own[name] for name in own)


def test_the_names_of_real_wrappers() -> None:
    model = plain()
    averaged = AveragedModel(model)
    assert fit(averaged.state_dict(), model, "w.pt").removed == "module."
    compiled = torch.compile(model)
    assert fit(compiled.state_dict(), model, "w.pt").removed == "_orig_mod."


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda w: {n: t for n, t in w.items() if n != "0.bias"}, ["missing", "0.bias"]),
        (lambda w: w | {"2.weight": torch.ones(1)}, ["not in the model", '["2.weight"]']),
        (lambda w: w | {"0.bias": torch.ones(5)}, ["0.bias is 5, the model wants 3"]),
        (
            lambda w: prefixed("model.")({n: t for n, t in w.items() if n != "0.bias"}),
            ["missing", "begin with 'model.'"],
        ),
        (lambda w: w | prefixed("_orig_mod.")(w), ["two of the checkpoint's names"]),
    ],
)
def test_nothing_is_left_out_silently(
    change: Callable[[Weights], Weights], words: list[str]
) -> None:
    model = plain()
    with pytest.raises(InputError) as caught:
        fit(change(dict(model.state_dict())), model, "w.pt")
    assert all(word in str(caught.value) for word in ["w.pt", *words]), caught.value


def test_the_refusal_has_the_lines_that_would_allow_it() -> None:
    model = plain()
    weights = dict(model.state_dict())
    del weights["0.bias"]
    weights |= {"aux.a": torch.ones(1), "aux.b": torch.ones(1)}
    with pytest.raises(InputError) as caught:
        fit(weights, model, "w.pt")
    _, _, pasted = str(caught.value).partition("meant to be left out: `")
    allow = yaml.safe_load(pasted.removesuffix("`."))["model"]["allow"]
    assert allow == {"missing": ["0.bias"], "unexpected": ["aux.*"]}
    fitted = fit(weights, model, "w.pt", AllowSpec(**allow))
    assert fitted.left_out.unexpected == ("aux.a", "aux.b")


def test_another_model_is_not_allowed_by_pattern() -> None:
    weights = {f"{part}.weight": torch.ones(1) for part in "abcdef"}
    with pytest.raises(InputError) as caught:
        fit(weights, plain(), "w.pt")
    assert "allow" not in str(caught.value)


def test_old_counters_may_be_missing() -> None:
    model = plain()
    weights = {n: t for n, t in model.state_dict().items() if not n.endswith("tracked")}
    assert not fit(weights, model, "w.pt").left_out.missing


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(5, 3), nn.Linear(3, 5, bias=False)
        self.head.weight = self.embed.weight


def test_a_tied_tensor_stands_for_all_its_names() -> None:
    weights = {"embed.weight": torch.randn(5, 3)}
    fitted = fit(weights, Tied(), "w.safetensors")
    assert fitted.weights["head.weight"] is weights["embed.weight"]
    assert not fitted.left_out.missing


def test_what_the_spec_allows_is_left_out_and_told() -> None:
    model = plain()
    own = dict(model.state_dict())
    weights = {name: torch.randn_like(tensor.float()) for name, tensor in own.items()}
    weights["0.bias"] = torch.ones(7)
    weights["criterion.weight"] = weights.pop("0.weight")
    allow = AllowSpec(missing=("0.w*",), unexpected=("criterion.*",), misshapen=("0.bias",))
    fitted = fit(weights, model, "w.pt", allow)
    assert fitted.left_out.missing == ("0.weight",)
    assert fitted.left_out.unexpected == ("criterion.weight",)
    assert fitted.left_out.misshapen == ("0.bias",)
    assert torch.equal(fitted.weights["0.weight"], own["0.weight"])
    assert torch.equal(fitted.weights["0.bias"], own["0.bias"])
    assert torch.equal(fitted.weights["1.weight"], weights["1.weight"])
    model.load_state_dict(fitted.weights)


def test_a_prefix_is_seen_through_what_is_allowed() -> None:
    model = plain()
    weights = prefixed("model.")(dict(model.state_dict())) | {"criterion.weight": torch.ones(2)}
    fitted = fit(weights, model, "w.pt", AllowSpec(unexpected=("criterion.*",)))
    assert fitted.removed == "model."
    assert fitted.left_out.unexpected == ("criterion.weight",)


def test_a_model_of_which_nothing_was_saved_is_no_model_of_the_checkpoint() -> None:
    with pytest.raises(InputError, match="nothing of the checkpoint is in the model"):
        fit({"a": torch.ones(1)}, plain(), "w.pt", AllowSpec(missing=("*",), unexpected=("*",)))
