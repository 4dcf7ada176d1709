"""Models by the names that timm and torchvision know, and never with weights of theirs."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from auditor.core.errors import InputError
from auditor.core.spec_file import spec_from
from auditor.intake.loading import load
from auditor.intake.subject import Subject


def small(num_classes: int = 4, **given: Any) -> nn.Module:
    assert not any(given.values()), "weights are never fetched"
    return nn.Sequential(nn.Flatten(), nn.Linear(12, num_classes))


def detector(*, weights: Any = None, weights_backbone: Any = "fetch", **given: Any) -> nn.Module:
    return small(weights=weights, weights_backbone=weights_backbone, **given)


KNOWN = {"resnet18": small, "resnet34": small, "detector": detector}


def create_model(name: str, pretrained: bool, **given: Any) -> nn.Module:
    return small(pretrained=pretrained, **given)


TIMM = SimpleNamespace(
    list_models=lambda: list(KNOWN),
    is_model=lambda name: name.partition(".")[0] in KNOWN,
    model_entrypoint=KNOWN.get,
    create_model=create_model,
)
TORCHVISION = SimpleNamespace(
    models=SimpleNamespace(
        list_models=lambda: list(KNOWN),
        get_model_builder=KNOWN.get,
        get_model=lambda name, **given: KNOWN[name](**given),
    )
)


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", TIMM)
    monkeypatch.setitem(sys.modules, "torchvision", TORCHVISION)


def brought(folder: Path, factory: str, **arguments: Any) -> Subject:
    torch.save(small(3).state_dict(), folder / "weights.pt")
    model = {"factory": factory, "args": arguments, "checkpoint": "weights.pt"}
    return load(spec_from({"model": model}, "test", folder))


@pytest.mark.parametrize(
    "factory",
    ["timm:resnet18", "timm:resnet18.a1_in1k", "torchvision:resnet18", "torchvision:detector"],
)
def test_a_model_by_its_name(tmp_path: Path, factory: str) -> None:
    subject = brought(tmp_path, factory, num_classes=3)
    assert subject.model is not None
    assert subject.facts.factory == factory
    assert subject.code["model.factory"] in (small, detector)
    assert not torch.equal(subject.fresh(1)[1].weight, subject.fresh(2)[1].weight)


@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_names_that_are_not_known(tmp_path: Path, library: str) -> None:
    with pytest.raises(InputError, match=rf"{library} has no 'resnet81'; did you mean 'resnet18'"):
        brought(tmp_path, f"{library}:resnet81")
    with pytest.raises(InputError, match=f"{library} has no 'hf_hub:some/model'"):
        brought(tmp_path, f"{library}:hf_hub:some/model")


@pytest.mark.parametrize(
    ("factory", "arguments"),
    [
        ("timm:resnet18", {"pretrained": True}),
        ("timm:resnet18", {"checkpoint_path": "other.pth"}),
        ("torchvision:resnet18", {"weights": "DEFAULT"}),
        ("torchvision:detector", {"weights_backbone": "DEFAULT"}),
    ],
)
def test_nothing_is_fetched(tmp_path: Path, factory: str, arguments: Any) -> None:
    (name,) = arguments
    with pytest.raises(InputError, match=f"model.args.{name}: .* would fetch weights"):
        brought(tmp_path, factory, **arguments)


def test_weights_that_are_said_to_be_none_are_none(tmp_path: Path) -> None:
    assert brought(tmp_path, "timm:resnet18", num_classes=3, pretrained=False).model is not None
    assert brought(tmp_path, "torchvision:resnet18", num_classes=3, weights=None).model is not None


@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_a_library_that_is_not_there(
    tmp_path: Path, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(InputError, match=rf"{library} is not installed .*; pip install 'auditor\["):
        brought(tmp_path, f"{library}:resnet18")


def test_a_file_of_ones_own_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "timm.py").write_text(
        "from torch import nn\ndef mine(): return nn.Sequential(nn.Flatten(), nn.Linear(12, 3))\n"
    )
    assert brought(tmp_path, "timm:mine").model is not None


def real(library: str) -> Any:
    sys.modules.pop(library, None)
    try:
        return pytest.importorskip(library, exc_type=Exception)
    except (ImportError, RuntimeError):
        pytest.skip(f"{library} does not go with this torch")


@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_the_libraries_themselves(
    tmp_path: Path, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    module = real(library)
    if library == "timm":
        made = module.create_model("resnet18", pretrained=False, num_classes=5)
    else:
        made = module.models.get_model("resnet18", weights=None, num_classes=5)
    torch.save(made.state_dict(), tmp_path / "weights.pt")
    model = {"factory": f"{library}:resnet18", "args": {"num_classes": 5}}
    spec = {"model": {**model, "checkpoint": "weights.pt"}}
    subject = load(spec_from(spec, "test", tmp_path))
    assert type(subject.model) is type(made)
    with pytest.raises(InputError, match="did you mean"):
        load(spec_from({"model": {"factory": f"{library}:resnet81"}}, "test", tmp_path))
