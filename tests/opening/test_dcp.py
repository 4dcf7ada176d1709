"""Folders of torch.distributed.checkpoint, whole and in pieces, honest and hostile."""

import io
import os
import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed.checkpoint as dcp
from torch import nn
from torch.distributed.checkpoint.filesystem import SerializationFormat, _StorageInfo
from torch.distributed.checkpoint.metadata import (
    BytesStorageMetadata,
    ChunkStorageMetadata,
    Metadata,
    MetadataIndex,
    TensorProperties,
    TensorStorageMetadata,
)

from auditor.core.errors import InputError
from auditor.intake.checkpoint import open_checkpoint
from auditor.intake.live_tensors import live
from auditor.opening.contents import PiecesAt
from auditor.opening.process import looked_into
from tests.opening.sharded import COLUMNS

WHOLE = torch.arange(24.0).reshape(4, 6)


def trained() -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    model(torch.randn(5, 4)).sum().backward()
    optimizer.step()
    return model, optimizer


def save(folder: Path, held: dict[str, Any], **more: Any) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dcp.save(held, checkpoint_id=None if more else folder, **more)
    return folder


class Folder:
    """A checkpoint made by hand: what a test spoils of it stands in `metadata` and `files`."""

    def __init__(self, *cuts: tuple[int, int, int, int]) -> None:
        self.files = {"__0_0.distcp": b"", "__1_0.distcp": b""}
        self.chunks: list[ChunkStorageMetadata] = []
        self.places: dict[MetadataIndex, _StorageInfo] = {}
        for number, (top, left, height, width) in enumerate(cuts):
            piece = WHOLE[top : top + height, left : left + width].clone()
            self.add((top, left), (height, width), piece, f"__{number % 2}_0.distcp")
        self.tensor = TensorStorageMetadata(
            TensorProperties(torch.float32), torch.Size([4, 6]), self.chunks
        )
        self.metadata = Metadata({"state_dict.weight": self.tensor}, None, self.places)
        self.metadata.planner_data = {"state_dict.weight": ("state_dict", "weight")}

    def add(self, at: Any, sizes: Any, piece: Any, name: str) -> None:
        written = io.BytesIO()
        torch.save(piece, written)
        start = len(self.files[name])
        self.files[name] += written.getvalue()
        self.chunks.append(ChunkStorageMetadata(torch.Size(at), torch.Size(sizes)))
        index = MetadataIndex("state_dict.weight", at)
        self.places[index] = _StorageInfo(name, start, len(written.getvalue()))

    def first(self, **changes: Any) -> None:
        vars(next(iter(self.places.values()))).update(changes)

    def write(self, folder: Path) -> Path:
        folder.mkdir()
        for name, data in self.files.items():
            (folder / name).write_bytes(data)
        (folder / ".metadata").write_bytes(pickle.dumps(self.metadata))
        return folder


HALVES = (0, 0, 2, 6), (2, 0, 2, 6)
QUARTERS = (0, 0, 1, 4), (0, 4, 1, 2), (1, 0, 3, 4), (1, 4, 3, 2)
UNEVEN = (0, 0, 4, 1), (0, 1, 2, 5), (2, 1, 2, 2), (2, 3, 2, 3)


def test_what_one_process_saved_is_read_with_its_optimizer(tmp_path: Path) -> None:
    model, optimizer = trained()
    held = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3}
    checkpoint = open_checkpoint(save(tmp_path / "saved", held))
    assert checkpoint.facts.format == "torch distributed checkpoint"
    assert checkpoint.weights.keys() == model.state_dict().keys()
    for name, value in model.state_dict().items():
        assert torch.equal(checkpoint.weights[name], value)
        assert checkpoint.weights[name].dtype == value.dtype
    found = checkpoint.optimizer
    assert found is not None
    wanted = optimizer.state_dict()
    assert found["state"].keys() == wanted["state"].keys()
    assert torch.equal(found["state"][2]["exp_avg"], wanted["state"][2]["exp_avg"])
    assert found["param_groups"][0]["lr"] == 0.01
    assert found["param_groups"][0]["params"] == wanted["param_groups"][0]["params"]
    assert checkpoint.extras["epoch"] == "3"


def test_an_optimizer_without_state_is_one(tmp_path: Path) -> None:
    model, _ = trained()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    held = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
    assert open_checkpoint(save(tmp_path / "saved", held)).optimizer is not None


def test_every_type_of_values_is_read(tmp_path: Path) -> None:
    types = [torch.bfloat16, torch.float16, torch.float64, torch.int8, torch.bool, torch.complex64]
    held = {str(dtype): torch.ones(2, 3).to(dtype) for dtype in [*types, torch.float8_e4m3fn]}
    found = open_checkpoint(save(tmp_path / "saved", held)).weights
    assert {name: value.dtype for name, value in found.items()} == {
        name: value.dtype for name, value in held.items()
    }


@pytest.mark.slow
def test_what_two_processes_saved_is_put_together(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "tests.opening.sharded", tmp_path], check=True)
    with looked_into(tmp_path / "saved") as opened:
        assert isinstance(opened.contents.tree["columns"], PiecesAt)
        assert isinstance(opened.contents.tree["model"]["0.weight"], PiecesAt)
        assert torch.equal(live(opened)["columns"], COLUMNS)
    checkpoint = open_checkpoint(tmp_path / "saved")
    whole = torch.load(tmp_path / "whole.pt", weights_only=True)
    assert checkpoint.weights.keys() == whole.keys()
    assert all(torch.equal(checkpoint.weights[name], whole[name]) for name in whole)
    assert checkpoint.optimizer is not None
    assert checkpoint.optimizer["state"]["0.weight"]["exp_avg"].shape == (5, 4)


@pytest.mark.parametrize("cuts", [((0, 0, 4, 6),), HALVES, QUARTERS, UNEVEN])
def test_pieces_make_the_tensor(tmp_path: Path, cuts: Any) -> None:
    weights = open_checkpoint(Folder(*cuts).write(tmp_path / "saved")).weights
    assert torch.equal(weights["weight"], WHOLE)


def test_an_empty_piece_is_none(tmp_path: Path) -> None:
    folder = Folder(*HALVES)
    folder.chunks.append(ChunkStorageMetadata(torch.Size([4, 0]), torch.Size([0, 6])))
    assert torch.equal(open_checkpoint(folder.write(tmp_path / "saved")).weights["weight"], WHOLE)


class Payload:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.marker}",)


def outside(folder: Folder) -> None:
    folder.chunks[1].offsets = torch.Size([3, 0])
    folder.places[MetadataIndex("state_dict.weight", [3, 0])] = list(folder.places.values())[1]


def overlapping(folder: Folder) -> None:
    folder.add((1, 0), (2, 6), WHOLE[1:3].clone(), "__0_0.distcp")
    del folder.chunks[1]


def twice(folder: Folder) -> None:
    folder.chunks.append(folder.chunks[0])


def gap(folder: Folder) -> None:
    del folder.chunks[1]


def none_left(folder: Folder) -> None:
    folder.chunks.clear()


def missing_file(folder: Folder) -> None:
    del folder.files["__1_0.distcp"]


def cut_file(folder: Folder) -> None:
    folder.files["__1_0.distcp"] = folder.files["__1_0.distcp"][:-100]


def flipped(folder: Folder) -> None:
    data = folder.files["__0_0.distcp"]
    place = data.find(WHOLE[1].numpy().tobytes())
    folder.files["__0_0.distcp"] = data[:place] + b"\xff" + data[place + 1 :]


def huge(folder: Folder) -> None:
    folder.tensor.size = torch.Size([2**40, 2**40])


def other_shape(folder: Folder) -> None:
    folder.chunks[0].sizes = torch.Size([2, 5])


def other_type(folder: Folder) -> None:
    folder.tensor.properties.dtype = torch.int64


def no_type(folder: Folder) -> None:
    folder.tensor.properties = TensorProperties(torch.quint8)


def no_place(folder: Folder) -> None:
    folder.places.clear()


def two_values(folder: Folder) -> None:
    folder.metadata.state_dict_metadata["b"] = folder.tensor
    folder.metadata.planner_data["b"] = ("state_dict", "weight", "inner")
    for index, place in list(folder.places.items()):
        folder.places[MetadataIndex("b", index.offset)] = place


def no_way(folder: Folder) -> None:
    folder.metadata.planner_data["state_dict.weight"] = ("a",) * 1000


def not_torch(folder: Folder) -> None:
    folder.files["__0_0.distcp"] = bytes(len(folder.files["__0_0.distcp"]))


def object_is_missing(folder: Folder) -> None:
    folder.metadata.state_dict_metadata["epoch"] = BytesStorageMetadata()


SPOILED: list[tuple[Callable[[Folder], None], str]] = [
    (outside, "outside of its shape"),
    (overlapping, "overlap"),
    (twice, "overlap"),
    (gap, "do not make up its shape"),
    (none_left, "do not make up its shape"),
    (missing_file, "__1_0.distcp: the checkpoint does not exist"),
    (cut_file, "beyond the end of __1_0.distcp"),
    (flipped, "checksum"),
    (huge, "do not make up its shape"),
    (other_shape, "is not the float32 tensor"),
    (other_type, "is not the int64 tensor"),
    (no_type, "torch.quint8"),
    (no_place, "does not say where a piece of it lies"),
    (two_values, "two values under weight"),
    (no_way, "a path that is none"),
    (not_torch, "not written by torch.save"),
    (object_is_missing, "epoch: damaged"),
    (lambda f: f.first(relative_path="../x"), "leads out of the checkpoint's folder"),
    (lambda f: f.first(relative_path="/etc/passwd"), "leads out of the checkpoint's folder"),
    (lambda f: f.first(offset=-1), "gives a piece no place"),
    (lambda f: f.first(length=2**60), "beyond the end"),
    (lambda f: f.first(transform_descriptors=["zstd"]), "packed by an extension"),
    (lambda f: setattr(f.metadata, "storage_data", None), "does not say where"),
    (lambda f: setattr(f.metadata, "state_dict_metadata", {3: f.tensor}), "what was saved"),
]


@pytest.mark.parametrize(("spoil", "words"), SPOILED)
def test_what_is_spoiled_is_refused(
    tmp_path: Path, spoil: Callable[[Folder], None], words: str
) -> None:
    folder = Folder(*HALVES)
    spoil(folder)
    with pytest.raises(InputError) as refused:
        open_checkpoint(folder.write(tmp_path / "saved"))
    assert words in str(refused.value)
    assert str(refused.value).count("\n") < 5


def test_metadata_that_asks_for_a_function_is_refused_and_runs_nothing(tmp_path: Path) -> None:
    folder = Folder(*HALVES)
    marker = tmp_path / "ran"
    folder.metadata.storage_meta = Payload(marker)  # type: ignore[assignment]
    with pytest.raises(InputError, match=r"asks for posix\.system.*nothing of it was run"):
        open_checkpoint(folder.write(tmp_path / "saved"))
    assert not marker.exists()


def test_other_forms_of_pieces_are_refused_by_name(tmp_path: Path) -> None:
    writer = dcp.FileSystemWriter(
        tmp_path / "saved", serialization_format=SerializationFormat.SAFETENSORS
    )
    save(tmp_path / "saved", {"weight": WHOLE}, storage_writer=writer)
    with pytest.raises(InputError, match="TORCH_SAVE"):
        open_checkpoint(tmp_path / "saved")


@pytest.mark.parametrize("name", [".metadata", "__0_0.distcp"])
def test_a_part_of_it_names_the_folder(tmp_path: Path, name: str) -> None:
    folder = Folder(*HALVES).write(tmp_path / "saved")
    with pytest.raises(InputError, match="name the folder"):
        open_checkpoint(folder / name)
