"""Programs of torch.export: weights by their names, and nothing of what is pickled beside them."""

import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from auditor.core.errors import InputError
from auditor.intake.checkpoint import open_checkpoint

CONFIG = "data/weights/model_weights_config.json"


class Model(nn.Module):
    """Tied weights, both kinds of buffers, a transposed parameter, and one of half precision."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4, bias=False)
        self.tied = nn.Linear(4, 4, bias=False)
        self.tied.weight = self.first.weight
        self.norm = nn.BatchNorm1d(4)
        self.turned = nn.Parameter(torch.arange(8.0).reshape(2, 4).t())
        self.short = nn.Parameter(torch.ones(2, dtype=torch.bfloat16))
        self.register_buffer("kept", torch.arange(3))
        self.register_buffer("left", torch.ones(2), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.tied(self.first(x)))
        return x @ self.turned + self.short.float() + self.left + self.kept.sum()


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, torch.Tensor]]:
    torch.manual_seed(0)
    model = Model().eval()
    path = tmp_path_factory.mktemp("exported") / "model.pt2"
    torch.export.save(torch.export.export(model, (torch.randn(3, 4),)), path)
    return path, model.state_dict()


def test_weights_and_buffers_are_those_of_the_model(
    exported: tuple[Path, dict[str, torch.Tensor]],
) -> None:
    path, wanted = exported
    checkpoint = open_checkpoint(path)
    assert checkpoint.facts.format == "torch.export archive"
    assert checkpoint.weights.keys() == wanted.keys()
    for name, value in wanted.items():
        assert torch.equal(checkpoint.weights[name], value)
        assert checkpoint.weights[name].dtype == value.dtype
    assert checkpoint.extras["modules.norm"] == "torch.nn.modules.batchnorm.BatchNorm1d"
    assert checkpoint.extras["torch_version"] == torch.__version__


def test_the_layout_before_2_8(tmp_path: Path) -> None:
    wanted = Model().state_dict()
    weights = io.BytesIO()
    torch.save(wanted, weights)
    with zipfile.ZipFile(tmp_path / "model.pt2", "w") as archive:
        archive.writestr("version", "7.3")
        archive.writestr("serialized_exported_program.json", "{}")
        archive.writestr("serialized_state_dict.pt", weights.getvalue())
        archive.writestr("serialized_constants.pt", b"not read")
        archive.writestr("serialized_example_inputs.pt", b"not read")
    found = open_checkpoint(tmp_path / "model.pt2").weights
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def changed(source: Path, target: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """Write an archive with other entries."""
    with zipfile.ZipFile(source) as archive:
        root = archive.namelist()[0].partition("/")[0] + "/"
        entries = {n.removeprefix(root): archive.read(n) for n in archive.namelist()}
    change(entries)
    with zipfile.ZipFile(target, "w") as archive:
        for name, data in entries.items():
            archive.writestr(root + name, data)
    return target


def told(change: Callable[[dict[str, Any]], object]) -> Callable[[dict[str, bytes]], None]:
    """Change what the archive tells of the parameter `first.weight`."""

    def changing(entries: dict[str, bytes]) -> None:
        config = json.loads(entries[CONFIG])
        change(config["config"]["first.weight"])
        entries[CONFIG] = json.dumps(config).encode()

    return changing


def meta(**changes: Any) -> Callable[[dict[str, bytes]], None]:
    return told(lambda one: one["tensor_meta"].update(changes))


class Payload:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.marker}",)


def test_what_is_pickled_beside_weights_is_not_read(
    exported: tuple[Path, dict[str, torch.Tensor]], tmp_path: Path
) -> None:
    marker = tmp_path / "ran"

    def spoil(entries: dict[str, bytes]) -> None:
        entries["data/sample_inputs/model.pt"] = pickle.dumps(Payload(marker))
        entries["data/constants/custom_obj_0"] = pickle.dumps(Payload(marker))
        thing = {"path_name": "custom_obj_0", "use_pickle": False, "tensor_meta": None}
        config = json.dumps({"config": {"thing": thing}})
        entries["data/constants/model_constants_config.json"] = config.encode()

    checkpoint = open_checkpoint(changed(exported[0], tmp_path / "model.pt2", spoil))
    assert checkpoint.weights.keys() == exported[1].keys()
    assert any("thing" in note for note in checkpoint.notes)
    assert not marker.exists()


def pickled_weight(entries: dict[str, bytes]) -> None:
    told(lambda one: one.update(use_pickle=True, path_name="weight_0"))(entries)
    weight = io.BytesIO()
    torch.save({"a": Payload(Path("ran"))}, weight)
    entries["data/weights/weight_0"] = weight.getvalue()


HUGE = [{"as_int": 2**40}, {"as_int": 2**40}]
FAR = [{"as_int": 4}, {"as_int": 2**50}]

SPOILED = [
    (meta(sizes=HUGE), "wants more than the 16 values"),
    (meta(strides=FAR), "wants more than the 16 values"),
    (meta(strides=[{"as_int": 0}, {"as_int": 0}], sizes=HUGE), "wants more than the 16 values"),
    (meta(storage_offset={"as_int": 9}), "wants more than the 16 values"),
    (meta(sizes=[{"as_int": -4}, {"as_int": 4}]), "whole numbers from 0 on"),
    (meta(sizes=[{"as_expr": "s0"}, {"as_int": 4}]), "whole numbers from 0 on"),
    (meta(sizes=[{"as_int": 16}]), "shape and strides do not fit"),
    (meta(dtype=99), "type or layout is not read"),
    (meta(layout=2), "type or layout is not read"),
    (told(lambda one: one.update(path_name="../../x")), "it lacks model/data/weights/../../x"),
    (told(lambda one: one.pop("path_name")), "damaged"),
    (told(lambda one: one.update(tensor_meta=7)), "damaged"),
    (lambda entries: entries.update({CONFIG: b"[" * 100_000}), "is no JSON"),
    (lambda entries: entries.update({CONFIG: b"[]"}), "tells nothing"),
    (lambda entries: entries.pop("data/weights/weight_1"), "it lacks model/data/weights/weight_1"),
    (lambda entries: entries.pop("models/model.json"), "AOTInductor"),
    (pickled_weight, "posix.system"),
]


@pytest.mark.parametrize(("change", "words"), SPOILED)
def test_what_is_spoiled_is_refused(
    exported: tuple[Path, dict[str, torch.Tensor]],
    tmp_path: Path,
    change: Callable[[dict[str, bytes]], None],
    words: str,
) -> None:
    path = changed(exported[0], tmp_path / "model.pt2", change)
    with pytest.raises(InputError) as refused:
        open_checkpoint(path)
    assert words in str(refused.value)
    assert str(refused.value).count("\n") < 5
