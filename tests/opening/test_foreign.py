"""What is no checkpoint of PyTorch is told by its bytes, and refused with what to do."""

import bz2
import gzip
import io
import json
import lzma
import pickle
import struct
import sys
import types
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.linear_model import LinearRegression
from tensorboard.summary.writer.event_file_writer import EventFileWriter
from torch import nn

from auditor.core.errors import InputError
from auditor.opening import foreign
from auditor.opening.kinds import reader_of_file, reader_of_folder
from auditor.opening.process import looked_into


def refusal(path: Path) -> str:
    """Return why a checkpoint is refused, in one message of at most five lines without controls."""
    with pytest.raises(InputError) as refused, looked_into(path):
        pass
    message = str(refused.value)
    assert message.count("\n") < 5
    assert len(message) < 600
    assert message.replace("\n", "").isprintable()
    return message


def message(*fields: tuple[int, int, bytes]) -> bytes:
    """Return a message of Protocol Buffers: each field's number and kind, and its value."""
    return b"".join(
        number(field << 3 | kind) + (number(len(value)) if kind == 2 else b"") + value
        for field, kind, value in fields
    )


def number(value: int) -> bytes:
    data = b""
    while value >= 0x80:
        data += bytes([value & 0x7F | 0x80])
        value >>= 7
    return data + bytes([value])


def saved_with(save: Callable[[Any, Any], Any], value: Any) -> bytes:
    file = io.BytesIO()
    save(file, value)
    return file.getvalue()


def zipped(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, b"{}")
    return file.getvalue()


def picture(form: str) -> bytes:
    return saved_with(lambda file, form: Image.new("RGB", (4, 4)).save(file, form), form)


def fitted() -> LinearRegression:
    return LinearRegression().fit(np.eye(3), np.arange(3.0))


def events(folder: Path) -> bytes:
    EventFileWriter(str(folder)).close()
    return next(folder.glob("events*")).read_bytes()


HTML = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>"
ERROR = b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code></Error>'
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n"
GGUF = b"GGUF" + struct.pack("<IQQ", 3, 0, 0)
PADDLE = pickle.dumps({"w": np.zeros(3), "StructuredToParameterName@@": {"w": "w_0"}}, 4)
GRAPH = message((1, 2, b"\x0a\x01x"), (4, 2, b"\x08\x01"))

FILES: list[tuple[str, bytes, str, str]] = [
    ("gguf", GGUF, "a GGUF file of llama.cpp", "gguf_file=name"),
    ("ggml", b"lmgg" + bytes(60), "a GGML file", "made from"),
    ("hdf5", b"\x89HDF\r\n\x1a\n" + bytes(88), "an HDF5 file, as Keras writes", "save_file"),
    ("npy", saved_with(np.save, np.zeros(3)), "a single NumPy array", "numpy.load(path)"),
    ("tflite", b"\x1c\0\0\0TFL3" + bytes(60), "TensorFlow Lite", "made from"),
    ("ort", b"\x1c\0\0\0ORTM" + bytes(60), "ONNX Runtime", ".onnx"),
    ("pte", b"\x1c\0\0\0ET12" + bytes(60), "ExecuTorch", "made from"),
    ("engine", b"ftrt" + bytes(60), "TensorRT", "made from"),
    ("mxnet", struct.pack("<QQQ", 0x112, 0, 1) + bytes(60), "MXNet", "mxnet.nd.load"),
    ("gzip", gzip.compress(b"x" * 99), "packed by gzip", "decompress it first: `gunzip"),
    ("bzip2", bz2.compress(b"x" * 99), "packed by bzip2", "decompress it first: `bunzip2"),
    ("xz", lzma.compress(b"x" * 99), "packed by xz", "decompress it first: `unxz"),
    ("zstd", b"\x28\xb5\x2f\xfd" + bytes(60), "packed by zstd", "decompress it first: `unzstd"),
    ("lz4", b"\x04\x22\x4d\x18" + bytes(60), "packed by lz4", "decompress it first: `unlz4"),
    ("7z", b"7z\xbc\xaf\x27\x1c" + bytes(60), "packed by 7-Zip", "decompress it first: `7z x"),
    ("rar", b"Rar!\x1a\x07\x01\0" + bytes(60), "packed by RAR", "decompress it first: `unrar"),
    ("sqlite", b"SQLite format 3\0" + bytes(84), "SQLite", "holds the weights"),
    ("parquet", b"PAR1" + bytes(60) + b"PAR1", "a Parquet table", "holds the weights"),
    ("arrow", b"ARROW1\0\0" + bytes(60), "an Arrow table", "holds the weights"),
    ("pdf", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "a PDF document", "holds the weights"),
    ("png", picture("PNG"), "a PNG picture", "holds the weights"),
    ("jpeg", picture("JPEG"), "a JPEG picture", "holds the weights"),
    ("gif", picture("GIF"), "a GIF picture", "holds the weights"),
    ("elf", Path(sys.executable).resolve().read_bytes()[:999], "a program", "holds the weights"),
    ("exe", b"MZ\x90\0" + bytes(60), "a program", "holds the weights"),
    ("lfs", LFS, "a Git LFS pointer", "git lfs pull"),
    ("tf index", b"\0" + b"x" * 60 + foreign.INDEX_END, "TensorFlow checkpoint", "get_tensor"),
    ("html", HTML, "a web page", "download it again"),
    ("html, bare", b"\xef\xbb\xbf\n<html>", "a web page", "download it again"),
    ("bucket", ERROR, "the error message of a file store", "download it again"),
    ("openvino", b'<?xml version="1.0"?>\n<net name="a">', "an OpenVINO model", "made from"),
    ("xml", b'<?xml version="1.0"?>\n<a/>', "an XML file", "holds the weights"),
    ("tf list", b'model_checkpoint_path: "model-3"\n', "TensorFlow checkpoints", "get_tensor"),
    ("json", json.dumps({"a": [1]}).encode(), "a JSON file", "holds the weights"),
    ("json list", b'[\n  {"a": 1}]', "a JSON file", "holds the weights"),
    ("python", b'"""Words."""\n\nimport torch\n', "Python source", "model.factory"),
    ("script", b"#!/usr/bin/env python\nx = 1\n", "Python source", "model.factory"),
    ("text", "hello, 你好\n".encode() * 99, "a text file, which starts with 'hello,", "weights"),
    ("hostile text", b"\x1b]0;x\x07 text", "not a checkpoint", "starts with b'"),
    ("msgpack", b"\x81\xa6params\x81\xa6kernel\xc7\x00\x01", "msgpack file, as Flax", "save_file"),
    ("msgpack, large", b"\xde\x00\x20\xa6params\x80", "msgpack file, as Flax", "save_file"),
    ("zeros", bytes(4096), "nothing but zeros", "fetch it again"),
    ("tiny", b"ab", "a text file", "holds the weights"),
    ("one byte", b"\0", "not a checkpoint", "starts with"),
    ("saved model", message((1, 0, b"\1"), (2, 2, b"x" * 600)), "a SavedModel", "saved_model.load"),
    ("frozen graph", GRAPH, "a graph of TensorFlow", "made from"),
    ("caffe", message((1, 2, b"net"), (100, 2, b"\x0a\x01x")), "a Caffe model", "made from"),
    ("core ml", message((1, 0, b"\4"), (2, 2, b"x"), (500, 2, b"x")), "a Core ML", "made from"),
    ("noise", bytes(range(255, 100, -1)), "not a checkpoint", "starts with"),
    ("sklearn", pickle.dumps(fitted(), 4), "a scikit-learn model", "PyTorch"),
    ("sklearn, 2", pickle.dumps(fitted(), 2), "a scikit-learn model", "PyTorch"),
    ("joblib", saved_with(lambda file, value: joblib.dump(value, file), np.zeros(9)), "joblib", ""),
    ("paddle", PADDLE, "PaddlePaddle", "paddle.load"),
    ("keras", zipped("metadata.json", "config.json", "model.weights.h5"), "a Keras model", "Keras"),
    ("mar", zipped("MAR-INF/MANIFEST.json", "model.pt"), "a TorchServe archive", "unzip it"),
    ("package", zipped("m/.data/extern_modules", "m/a.py"), "torch.package", "state_dict()"),
    ("npz", saved_with(lambda f, v: np.savez(f, a=v), np.zeros(3)), "NumPy arrays", "numpy.load"),
    ("docx", zipped("[Content_Types].xml", "word/document.xml"), "an office document", "weights"),
    ("zip", zipped("a.txt"), "a zip file that torch.save did not write", "a.txt"),
]


@pytest.mark.parametrize(
    ("data", "words", "advice"), [f[1:] for f in FILES], ids=[f[0] for f in FILES]
)
def test_a_file_is_told_by_its_bytes(tmp_path: Path, data: bytes, words: str, advice: str) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(data)
    message = refusal(path)
    assert message.startswith(f"{path}: ")
    assert words in message
    assert advice in message


def test_every_mark_has_a_file_that_bears_it() -> None:
    shown = "\n".join(words for _, _, words, _ in FILES)
    kinds = [*foreign.MAGICS.values(), *foreign.TEXTS.values(), *foreign.ZIPPED.values()]
    missing = {k.words for k in kinds if not any(w and w in k.words for w in shown.split("\n"))}
    assert missing == {"a zipped SavedModel of TensorFlow"}


def test_a_log_of_tensorboard_is_one(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(events(tmp_path))
    assert "a TensorBoard log" in refusal(path)


@pytest.mark.parametrize("zip_format", [True, False])
def test_an_exported_learner_of_fastai(tmp_path: Path, zip_format: bool) -> None:
    class Learner:
        pass

    Learner.__module__, Learner.__qualname__ = "fastai.learner", "Learner"
    module = types.ModuleType("fastai.learner")
    module.Learner = Learner  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "fastai", types.ModuleType("fastai"))
        patch.setitem(sys.modules, "fastai.learner", module)
        learner = Learner()
        learner.model = nn.Linear(2, 2)  # type: ignore[attr-defined]
        path = tmp_path / "export.pkl"
        torch.save(learner, path, _use_new_zipfile_serialization=zip_format)
    message = refusal(path)
    assert "fastai" in message
    assert "load_learner(path).model.state_dict()" in message


def test_checkpoints_that_only_mention_others_are_read(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save({"state_dict": {"sklearn.weight": torch.ones(2)}, "keras.x": "joblib."}, path)
    with looked_into(path) as opened:
        assert "state_dict" in opened.contents.tree


FOLDERS = [
    ("zero_to_fp32.py", "a DeepSpeed ZeRO checkpoint", "get_fp32_state_dict"),
    ("mp_rank_00_000/model_optim_rng.pt", "a Megatron checkpoint", "convert.py"),
    ("iter_0000100/mp_rank_00/model_optim_rng.pt", "a Megatron checkpoint", "convert.py"),
    ("latest_checkpointed_iteration.txt", "a Megatron checkpoint", "convert.py"),
    ("saved_model.pb", "a SavedModel of TensorFlow", "tf.saved_model.load"),
    ("model-3.index", "a TensorFlow checkpoint", "get_tensor"),
    ("_CHECKPOINT_METADATA", "an Orbax checkpoint", "save_file"),
    ("manifest.ocdbt", "an Orbax checkpoint", "save_file"),
    ("default/manifest.ocdbt", "an Orbax checkpoint", "save_file"),
    ("flax_model.msgpack", "a Flax model", "save_file"),
    ("Data/com.apple.CoreML/model.mlmodel", "a Core ML model", "made from"),
    ("openvino_model.xml", "an OpenVINO model", "made from"),
    ("events.out.tfevents.1.host", "TensorBoard logs", "holds the weights"),
    ("model-q4.gguf", "GGUF", "gguf_file"),
]


@pytest.mark.parametrize(("inside", "words", "advice"), FOLDERS)
def test_a_folder_is_told_by_what_lies_in_it(
    tmp_path: Path, inside: str, words: str, advice: str
) -> None:
    (tmp_path / inside).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / inside).write_bytes(b"x")
    with pytest.raises(InputError) as refused:
        reader_of_folder(tmp_path)
    assert words in str(refused.value)
    assert advice in str(refused.value)


def test_what_is_read_is_foreign_to_no_row(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save({"weight": torch.ones(2)}, path)
    with path.open("rb") as file:
        assert reader_of_file(file, path.name) == "zipped"
    torch.save({"weight": torch.ones(2)}, path, _use_new_zipfile_serialization=False)
    with path.open("rb") as file:
        assert reader_of_file(file, path.name) == "torch_legacy"
