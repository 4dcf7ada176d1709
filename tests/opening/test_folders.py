"""Folders of a model: what is read of them, and what is refused with what to do."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import save_file
from torch import nn

from auditor.core.errors import InputError
from auditor.intake.checkpoint import Checkpoint, open_checkpoint
from auditor.opening import listing

WEIGHTS = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(2)}


def safe(path: Path, held: dict[str, torch.Tensor] = WEIGHTS) -> None:
    save_file(held, path)


def sharded(folder: Path, suffix: str = "safetensors", **change: Any) -> dict[str, str]:
    """Write two shards and their index; `change` names other places of weights."""
    stem = "model" if suffix == "safetensors" else "pytorch_model"
    names = [f"{stem}-{number:05}-of-00002.{suffix}" for number in (1, 2)]
    for name, (key, tensor) in zip(names, WEIGHTS.items(), strict=True):
        if suffix == "safetensors":
            save_file({key: tensor}, folder / name)
        else:
            torch.save({key: tensor}, folder / name)
    places = dict(zip(WEIGHTS, names, strict=True)) | {
        key.replace("__", "."): place for key, place in change.items()
    }
    text = json.dumps({"metadata": {"total_size": 32}, "weight_map": places})
    (folder / f"{stem}.{suffix}.index.json").write_text(text)
    return places


def same(found: Checkpoint, wanted: dict[str, torch.Tensor] = WEIGHTS) -> bool:
    return found.weights.keys() == wanted.keys() and all(
        torch.equal(found.weights[name], tensor) for name, tensor in wanted.items()
    )


def refused(folder: Path) -> str:
    with pytest.raises(InputError) as caught:
        open_checkpoint(folder)
    told = str(caught.value)
    assert told.startswith(str(folder))
    assert len(told.splitlines()) <= 5
    return told


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_shards_are_put_together(suffix: str, tmp_path: Path) -> None:
    sharded(tmp_path, suffix)
    found = open_checkpoint(tmp_path)
    assert same(found)
    assert list(found.weights) == list(WEIGHTS)
    assert "2 shards" in found.facts.format
    assert found.facts.bytes == sum(one.stat().st_size for one in tmp_path.iterdir())
    assert found.notes == ()


def test_the_hash_of_a_folder_changes_with_every_file(tmp_path: Path) -> None:
    sharded(tmp_path)
    first = open_checkpoint(tmp_path).facts.sha256
    save_file({"a.bias": torch.zeros(2)}, tmp_path / "model-00002-of-00002.safetensors")
    assert open_checkpoint(tmp_path).facts.sha256 != first


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    sharded(tmp_path)
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    told = refused(tmp_path)
    assert "names 1 shard that is missing: model-00002-of-00002.safetensors" in told


def test_a_weight_has_to_be_where_the_index_says(tmp_path: Path) -> None:
    sharded(tmp_path, a__scale="model-00001-of-00002.safetensors")
    assert "1 weight of the index missing in the shard model-00001" in refused(tmp_path)
    assert "a.scale" in refused(tmp_path)


def test_no_weight_stands_in_two_shards(tmp_path: Path) -> None:
    sharded(tmp_path)
    save_file(WEIGHTS, tmp_path / "model-00002-of-00002.safetensors")
    assert "a.weight stands in two shards" in refused(tmp_path)


def test_a_weight_that_the_index_does_not_know_is_read_and_told(tmp_path: Path) -> None:
    sharded(tmp_path)
    more = {"a.bias": WEIGHTS["a.bias"], "b": torch.zeros(1)}
    save_file(more, tmp_path / "model-00002-of-00002.safetensors")
    found = open_checkpoint(tmp_path)
    assert same(found, {**WEIGHTS, "b": torch.zeros(1)})
    assert found.notes == ("1 weight not in the index of shards: b.",)


@pytest.mark.parametrize(
    "name", ["../w.safetensors", "/etc/passwd", "a/b", "..", "", "a\\b", "a\0b", "x" * 300, 7, None]
)
def test_shards_stay_inside_the_folder(name: Any, tmp_path: Path) -> None:
    sharded(tmp_path, a__weight=name)
    assert "is no name of a file in the folder" in refused(tmp_path)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "no JSON"),
        ("[" * 200_000, "no JSON"),
        ("[]", "no weight_map"),
        ('{"weight_map": {}}', "no weight_map"),
        ('{"weight_map": {"a": "x", "a": "y"}}', "'a' twice"),
        (json.dumps({"weight_map": {f"w{i}": f"s{i}" for i in range(501)}}), "than 500 shards"),
    ],
)
def test_an_index_that_is_none(text: str, why: str, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(text)
    assert why in refused(tmp_path)


def test_safetensors_come_before_other_weights(tmp_path: Path) -> None:
    safe(tmp_path / "model.safetensors")
    (tmp_path / "pytorch_model.bin").write_bytes(b"never read")
    safe(tmp_path / "model.fp16.safetensors", {"other": torch.ones(1)})
    (tmp_path / "config.json").write_text("{}")
    found = open_checkpoint(tmp_path)
    assert same(found)
    assert found.facts.format == "Hugging Face folder (safetensors)"
    assert found.notes == (
        "Not read: pytorch_model.bin, model.fp16.safetensors; model.safetensors holds the weights.",
    )


def test_a_variant_is_read_where_it_is_alone(tmp_path: Path) -> None:
    safe(tmp_path / "model.fp16.safetensors")
    found = open_checkpoint(tmp_path)
    assert same(found)
    assert found.notes == ("The weights are a variant: model.fp16.safetensors.",)
    safe(tmp_path / "model.int8.safetensors")
    assert "model.fp16.safetensors, model.int8.safetensors; name one" in refused(tmp_path)


def trainer(folder: Path) -> torch.optim.Optimizer:
    layer = nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.25)
    layer(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 3)
    safe(folder / "model.safetensors")
    torch.save(optimizer.state_dict(), folder / "optimizer.pt")
    torch.save(schedule.state_dict(), folder / "scheduler.pt")
    (folder / "trainer_state.json").write_text('{"global_step": 500, "epoch": 2.0}')
    (folder / "rng_state.pth").write_bytes(b"never read")
    (folder / "training_args.bin").write_bytes(b"never read")
    return optimizer


def test_the_states_of_a_trainer_are_part_of_its_folder(tmp_path: Path) -> None:
    optimizer = trainer(tmp_path)
    found = open_checkpoint(tmp_path)
    assert same(found)
    assert found.facts.format == "Trainer checkpoint (safetensors)"
    assert found.optimizer is not None
    moments = found.optimizer["state"][0]["exp_avg"]
    assert torch.equal(moments, optimizer.state_dict()["state"][0]["exp_avg"])
    assert found.plain["scheduler"]["step_size"] == 3
    assert found.beside["trainer_state.json"]["global_step"] == 500
    (tmp_path / "optimizer.pt").write_bytes((tmp_path / "optimizer.pt").read_bytes()[:-100])
    assert "optimizer.pt: " in refused(tmp_path)


def test_several_models_of_accelerate(tmp_path: Path) -> None:
    safe(tmp_path / "model.safetensors")
    safe(tmp_path / "model_1.safetensors")
    (tmp_path / "random_states_0.pkl").write_bytes(b"never read")
    assert "several models: model.safetensors, model_1.safetensors" in refused(tmp_path)
    (tmp_path / "model_1.safetensors").unlink()
    assert open_checkpoint(tmp_path).facts.format == "accelerate state (safetensors)"


def test_a_folder_with_one_checkpoint_file(tmp_path: Path) -> None:
    torch.save({"net": WEIGHTS, "epoch": 3}, tmp_path / "best.pt")
    (tmp_path / "readme.md").write_text("x")
    found = open_checkpoint(tmp_path)
    assert same(found)
    assert found.extras == {"epoch": "3"}
    assert found.notes == ("The folder's only checkpoint was read: best.pt.",)
    assert found.file == tmp_path / "best.pt"
    assert found.facts.sha256 == open_checkpoint(tmp_path / "best.pt").facts.sha256
    torch.save(WEIGHTS, tmp_path / "last.pt")
    assert "several checkpoints: best.pt, last.pt; name one" in refused(tmp_path)


def mlflow(folder: Path, held: Any, flavors: Any) -> None:
    (folder / "data").mkdir()
    torch.save(held, folder / "data" / "model.pth")
    (folder / "MLmodel").write_text(yaml.safe_dump({"flavors": flavors}))


def test_a_model_of_mlflow(tmp_path: Path) -> None:
    mlflow(tmp_path, WEIGHTS, {"pytorch": {"model_data": "data", "code": "code"}})
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "evil.py").write_text("raise SystemExit")
    found = open_checkpoint(tmp_path)
    assert same(found)
    assert found.facts.format == "MLflow model (torch zip)"
    assert found.notes == ("The code that lies in the MLflow model was not run.",)


@pytest.mark.parametrize(
    ("flavors", "why"),
    [
        ({"sklearn": {}, "python_function": {}}, "of the flavor sklearn, not pytorch"),
        ({"transformers": {"model_binary": "model"}}, "name its folder model"),
        ({"pytorch": {"model_data": "../data"}}, "no folder of the model"),
        ({"pytorch": {"model_data": "/data"}}, "no folder of the model"),
        ({"pytorch": {"model_data": ".."}}, "no folder of the model"),
        ({"pytorch": {"model_data": ""}}, "no folder of the model"),
        ({"pytorch": {"model_data": ["data"]}}, "no folder of the model"),
        ([], "names no flavors"),
    ],
)
def test_a_model_of_mlflow_that_is_not_read(flavors: Any, why: str, tmp_path: Path) -> None:
    mlflow(tmp_path, WEIGHTS, flavors)
    assert why in refused(tmp_path)


@pytest.mark.parametrize("text", ["a: [", "flavors: !!python/object/apply:os.system ['x']", "\xff"])
def test_a_description_that_is_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "MLmodel").write_bytes(text.encode("latin-1"))
    assert "MLmodel: not valid YAML" in refused(tmp_path)


def checkpoints(folder: Path) -> None:
    for number in (9, 100, 20):
        (folder / f"checkpoint-{number}").mkdir()


def loop(folder: Path) -> None:
    (folder / "model.safetensors").symlink_to("model.safetensors")


REFUSED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "nothing": (lambda folder: None, "it holds nothing"),
    "other things": (
        lambda folder: (folder / "a.txt").write_text("x"),
        "a folder without a checkpoint; it holds a.txt",
    ),
    "checkpoints": (checkpoints, "checkpoint-9, checkpoint-20, checkpoint-100; name one"),
    "an adapter": (
        lambda folder: [
            safe(folder / "adapter_model.safetensors"),
            (folder / "adapter_config.json").write_text("{}"),
        ],
        "merge_and_unload()",
    ),
    "shards alone": (
        lambda folder: safe(folder / "model-00001-of-00002.safetensors"),
        "without their index model.safetensors.index.json",
    ),
    "a pipeline": (
        lambda folder: [(folder / "model_index.json").write_text("{}"), (folder / "unet").mkdir()],
        "name the folder of one: unet",
    ),
    "a loop": (loop, "it holds model.safetensors"),
    "a FIFO": (lambda folder: os.mkfifo(folder / "model.safetensors"), "a folder without"),
    "states alone": (
        lambda folder: torch.save({}, folder / "optimizer.pt"),
        "a folder without a checkpoint; it holds optimizer.pt",
    ),
    "hostile names": (
        lambda folder: (folder / "\x1b[31m\u202eevil\n.txt").write_text("x"),
        "\\x1b[31m\\u202eevil\\n.txt",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_folders_are_refused_with_what_to_do(name: str, tmp_path: Path) -> None:
    make, why = REFUSED[name]
    make(tmp_path)
    assert why in refused(tmp_path)


def test_an_output_folder_with_a_model_at_its_root_is_that_model(tmp_path: Path) -> None:
    checkpoints(tmp_path)
    safe(tmp_path / "model.safetensors")
    assert same(open_checkpoint(tmp_path))


def test_links_into_a_cache_are_followed(tmp_path: Path) -> None:
    """The Hugging Face Hub's cache is made of such links."""
    (tmp_path / "blobs").mkdir()
    (tmp_path / "snapshot").mkdir()
    safe(tmp_path / "blobs" / "1")
    (tmp_path / "snapshot" / "model.safetensors").symlink_to("../blobs/1")
    assert same(open_checkpoint(tmp_path / "snapshot"))
    (tmp_path / "loop").symlink_to("loop")
    assert "Too many levels of symbolic links" in refused(tmp_path / "loop")


def test_a_folder_of_very_many_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MOST_ENTRIES", 3)
    for number in range(4):
        (tmp_path / f"{number}.txt").touch()
    assert "a folder of more than 3 files" in refused(tmp_path)
