"""Folders whose files point away, contradict one another, or blow up when they are read."""

import json
import os
from pathlib import Path
from typing import Any

from tests.hostile.cases import Bait, Either, Refused, Shelf
from tests.hostile.opcodes import called, named, ops, pickled
from tests.hostile.safetensors_files import safetensors
from tests.hostile.torch_files import state, torch_zip

SHELF = Shelf("folders")

ONE = safetensors({"layer.weight": ("F32", (2, 2), bytes(16))})


def _folder(bait: Bait, **files: bytes | str | dict[str, Any]) -> Path:
    """Write a folder; "__" in a name is a dot."""
    folder = bait.file("folder")
    folder.mkdir()
    for name, content in files.items():
        path = folder / name.replace("__", ".")
        if isinstance(content, dict):
            content = json.dumps(content)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def _index(weight_map: Any, **more: Any) -> dict[str, Any]:
    return {"metadata": {"total_size": 16}, "weight_map": weight_map, **more}


def _sharded(bait: Bait, weight_map: Any) -> Path:
    return _folder(
        bait,
        model__safetensors__index__json=_index(weight_map),
        **{"model-00001-of-00001__safetensors": ONE},
    )


SHARD = "model-00001-of-00001.safetensors"

for _id, _weight_map in {
    "leads-out": {"layer.weight": "../../outside.safetensors"},
    "leads-out-and-back": {"layer.weight": f"../folder/{SHARD}"},
    "absolute": {"layer.weight": "/etc/passwd"},
    "of-a-device": {"layer.weight": "/dev/zero"},
    "of-a-drive": {"layer.weight": "C:\\model.safetensors"},
    "with-backslashes": {"layer.weight": "..\\outside.safetensors"},
    "with-a-nul": {"layer.weight": f"{SHARD}\0.txt"},
    "empty-name": {"layer.weight": ""},
    "dot": {"layer.weight": "."},
    "name-is-a-number": {"layer.weight": 7},
    "name-is-a-list": {"layer.weight": [SHARD]},
    "name-is-none": {"layer.weight": None},
    "name-of-a-megabyte": {"layer.weight": "x" * (1 << 20)},
    "name-that-acts": {"layer.weight": "\x1b[2J\nERROR.safetensors"},
    "missing-shard": {"layer.weight": "model-00002-of-00002.safetensors"},
    "tensor-not-in-its-shard": {"layer.weight": SHARD, "other.weight": SHARD},
    "tensor-not-in-the-index": {"other.weight": SHARD},
    "itself": {"layer.weight": "model.safetensors.index.json"},
    "a-list": [SHARD],
    "a-text": SHARD,
    "none": None,
    "empty": {},
}.items():
    SHELF.add(
        f"index-{_id}",
        Refused(
            (
                "index",
                "shard",
                "safetensors",
                "folder",
                "name",
            )
        ),
        lambda bait, weight_map=_weight_map: _sharded(bait, weight_map),
    )


def _raw_index(bait: Bait, text: bytes) -> Path:
    return _folder(bait, model__safetensors__index__json=text, **{SHARD.replace(".", "__"): ONE})


for _id, _text in {
    "is-no-json": b"weights",
    "is-empty": b"",
    "is-a-list": b"[]",
    "is-a-number": b"7",
    "is-cut-short": b'{"weight_map": {"layer.weight": "model-',
    "is-deep": b'{"weight_map":' + b"[" * 200_000,
    "is-no-utf8": b'{"weight_map": {"\xff": "x"}}',
    "has-a-name-twice": b'{"weight_map": {"layer.weight": "a.safetensors", "layer.weight": "'
    + SHARD.encode()
    + b'"}}',
    "has-two-maps": b'{"weight_map": {}, "weight_map": {"layer.weight": "'
    + SHARD.encode()
    + b'"}}',
    "has-a-huge-number": b'{"metadata": {"total_size": ' + b"9" * 100_000 + b'}, "weight_map": 1}',
    "has-no-map": b'{"metadata": {}}',
}.items():
    SHELF.add(
        f"index-{_id}",
        Refused(
            (
                "index",
                "json",
                "safetensors",
            )
        ),
        lambda bait, text=_text: _raw_index(bait, text),
    )


@SHELF.read()
def sound_index(bait: Bait) -> Path:
    return _sharded(bait, {"layer.weight": SHARD})


@SHELF.read()
def sound_folder(bait: Bait) -> Path:
    return _folder(bait, model__safetensors=ONE, config__json={"model_type": "mine"})


@SHELF.read()
def shard_is_a_link(bait: Bait) -> Path:
    """As in the cache of Hugging Face's library, whose folders are links to what was fetched."""
    folder = _sharded(bait, {"layer.weight": "shard.safetensors"})
    (bait.folder / "outside.safetensors").write_bytes(ONE)
    (folder / "shard.safetensors").symlink_to("../outside.safetensors")
    return folder


@SHELF.refused("FIFO", "missing")
def shard_is_a_fifo(bait: Bait) -> Path:
    folder = _sharded(bait, {"layer.weight": "shard.safetensors"})
    os.mkfifo(folder / "shard.safetensors")
    return folder


@SHELF.refused("FIFO", "regular", "index")
def index_is_a_fifo(bait: Bait) -> Path:
    folder = _folder(bait, **{SHARD.replace(".", "__"): ONE})
    os.mkfifo(folder / "model.safetensors.index.json")
    return folder


@SHELF.refused("FIFO", "regular", "config", "folder")
def all_is_a_fifo(bait: Bait) -> Path:
    folder = _folder(bait)
    for name in ("model.safetensors", "config.json", "MLmodel", ".metadata", "pytorch_model.bin"):
        os.mkfifo(folder / name)
    return folder


@SHELF.refused("os.system")
def pytorch_model_that_calls(bait: Bait) -> Path:
    folder = _folder(bait, config__json={"model_type": "mine"})
    torch_zip(
        folder / "pytorch_model.bin", state(beside=called(named("os", "system"), bait.command))
    )
    return folder


@SHELF.read()
def side_files_that_call(bait: Bait) -> Path:
    """Arguments, optimizer and random states that nobody has to open."""
    evil = pickled(called(named("os", "system"), bait.command))
    return _folder(
        bait,
        model__safetensors=ONE,
        training_args__bin=evil,
        rng_state__pth=evil,
        random_states_0__pkl=evil,
    )


@SHELF.read()
def remote_code(bait: Bait) -> Path:
    """A config that names code of the folder: never imported."""
    return _folder(
        bait,
        model__safetensors=ONE,
        config__json={
            "model_type": "mine",
            "auto_map": {"AutoModel": "modeling.Net"},
            "trust_remote_code": True,
        },
        modeling__py=bait.code,
        __init____py=bait.code,
        sitecustomize__py=bait.code,
        conftest__py=bait.code,
    )


for _id, _config in {
    "is-no-json": b"{",
    "is-deep": b'{"a":' * 200_000,
    "is-huge": b'{"a": "' + b"x" * (20 << 20) + b'"}',
    "is-a-list": b"[1]",
    "acts": json.dumps({"model_type": "\x1b[2J</script>", "architectures": ["\n# x"]}).encode(),
    "has-nan": b'{"a": NaN, "b": 1e999, "c": -Infinity}',
    "has-a-huge-number": b'{"a": ' + b"9" * 100_000 + b"}",
}.items():
    SHELF.add(
        f"config-{_id}",
        Either(),
        lambda bait, config=_config: _folder(bait, model__safetensors=ONE, config__json=config),
    )


LAUGHS = (
    "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
    + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 10)}]\n"
        for n in range(10)
    )
    + "flavors: *k\n"
)

for _id, _yaml in {
    "laughs": LAUGHS,
    "cyclic": "flavors: &a {b: *a}\n",
    "tags": "flavors: !!python/object/apply:os.system ['touch MARKER']\n",
    "deep": "flavors: " + "[" * 50_000,
    "leads-out": "flavors:\n  pytorch:\n    model_data: ../../outside\n    pytorch_version: 2.0\n",
    "absolute": "flavors:\n  pytorch:\n    model_data: /etc\n    pytorch_version: 2.0\n",
    "number": "7\n",
    "empty": "",
    "no-text": "flavors: \x00\x01\n",
    "key-twice": "flavors: {}\nflavors: {pytorch: {model_data: data}}\n",
}.items():
    SHELF.add(
        f"mlmodel-{_id}",
        Refused(
            (
                "MLmodel",
                "MLflow",
                "folder",
            )
        ),
        lambda bait, yaml=_yaml: _folder(bait, MLmodel=yaml.replace("MARKER", str(bait.marker))),
    )


@SHELF.refused("os.system")
def mlflow_model_that_calls(bait: Bait) -> Path:
    yaml = "flavors:\n  pytorch:\n    model_data: data\n    pytorch_version: 2.6.0\n"
    folder = _folder(bait, MLmodel=yaml)
    (folder / "data").mkdir()
    torch_zip(folder / "data" / "model.pth", called(named("os", "system"), bait.command))
    return folder


for _id, _says, _metadata in (
    ("calls", ("os.system",), None),
    ("is-empty", ("empty", "metadata", "damaged"), b""),
    ("is-no-pickle", ("metadata", "pickle"), b"weights"),
    ("is-a-number", ("metadata",), pickled(7)),
    ("is-a-dict", ("metadata",), pickled({})),
    ("is-deep", ("deep", "metadata"), b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b"."),
    ("is-another-class", ("metadata",), pickled(called(named("nobody", "Metadata")))),
    (
        "is-without-a-state",
        ("metadata",),
        b"\x80\x02" + named("torch.distributed.checkpoint.metadata", "Metadata") + b")\x81.",
    ),
    (
        "has-a-state-of-numbers",
        ("metadata",),
        b"\x80\x02"
        + named("torch.distributed.checkpoint.metadata", "Metadata")
        + b")\x81"
        + ops({"state_dict_metadata": 7, "planner_data": 7, "storage_data": 7})
        + b"b.",
    ),
):

    def _dcp(bait: Bait, metadata: bytes | None = _metadata) -> Path:
        if metadata is None:
            metadata = pickled(called(named("os", "system"), bait.command))
        folder = bait.file("folder")
        folder.mkdir()
        (folder / ".metadata").write_bytes(metadata)
        (folder / "__0_0.distcp").write_bytes(bytes(64))
        return folder

    SHELF.add(f"distributed-metadata-{_id}", Refused(_says), _dcp)


@SHELF.refused("FIFO", "regular", "metadata")
def distributed_metadata_is_a_fifo(bait: Bait) -> Path:
    folder = bait.file("folder")
    folder.mkdir()
    os.mkfifo(folder / ".metadata")
    (folder / "__0_0.distcp").write_bytes(bytes(64))
    return folder
