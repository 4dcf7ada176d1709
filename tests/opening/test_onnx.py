"""ONNX models: initializers of every type, in the model and beside it, honest and hostile."""

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from auditor.core.errors import InputError
from auditor.intake.checkpoint import open_checkpoint
from auditor.opening.process import looked_into

WHOLE = {
    TensorProto.FLOAT: torch.float32,
    TensorProto.DOUBLE: torch.float64,
    TensorProto.FLOAT16: torch.float16,
    TensorProto.BFLOAT16: torch.bfloat16,
    TensorProto.FLOAT8E4M3FN: torch.float8_e4m3fn,
    TensorProto.FLOAT8E5M2: torch.float8_e5m2,
    TensorProto.INT8: torch.int8,
    TensorProto.UINT8: torch.uint8,
    TensorProto.INT16: torch.int16,
    TensorProto.UINT16: torch.uint16,
    TensorProto.INT32: torch.int32,
    TensorProto.INT64: torch.int64,
    TensorProto.UINT32: torch.uint32,
    TensorProto.UINT64: torch.uint64,
    TensorProto.BOOL: torch.bool,
    TensorProto.COMPLEX64: torch.complex64,
}
WEIGHT = np.arange(6, dtype=np.float32).reshape(2, 3)


def model(*tensors: TensorProto, nodes: Any = None) -> onnx.ModelProto:
    shape = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes or [helper.make_node("Relu", ["x"], ["y"])],
        "graph",
        [shape("x", TensorProto.FLOAT, ["batch", 3])],
        [shape("y", TensorProto.FLOAT, ["batch", 3])],
        list(tensors),
    )
    return helper.make_model(graph, producer_name="hand", producer_version="1")


def saved(folder: Path, made: onnx.ModelProto | bytes) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(made if isinstance(made, bytes) else made.SerializeToString())
    return path


def weights_of(folder: Path, *tensors: TensorProto) -> dict[str, torch.Tensor]:
    return open_checkpoint(saved(folder, model(*tensors))).weights


def test_what_torch_exports_is_read_under_its_names(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten())
    net.append(nn.Linear(144, 3)).eval()
    path = tmp_path / "model.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        preserve = torch.onnx.TrainingMode.PRESERVE
        torch.onnx.export(
            net, (torch.ones(1, 1, 8, 8),), path, dynamo=False, training=preserve,
            do_constant_folding=False,
        )  # fmt: skip
    checkpoint = open_checkpoint(path)
    wanted = {n: v for n, v in net.state_dict().items() if not n.endswith("num_batches_tracked")}
    assert checkpoint.weights.keys() == wanted.keys()
    assert all(torch.equal(checkpoint.weights[name], wanted[name]) for name in wanted)
    assert checkpoint.facts.format == "ONNX"
    assert checkpoint.extras["graph.operators.Conv"] == "1"
    assert checkpoint.extras["producer"].startswith("pytorch")


@pytest.mark.parametrize("raw", [True, False])
def test_every_type_is_read(tmp_path: Path, raw: bool) -> None:
    tensors, wanted = [], {}
    for kind, dtype in WHOLE.items():
        values = [0, 1, 2, 3, 1, 0] if dtype != torch.bool else [0, 1, 1, 0, 1, 0]
        name = str(dtype)
        made = helper.make_tensor(name, kind, [2, 3], values)
        if raw:
            made = numpy_helper.from_array(numpy_helper.to_array(made), name)
            assert made.data_type == kind
        tensors.append(made)
        wanted[name] = torch.tensor(values).reshape(2, 3).to(dtype)
    found = weights_of(tmp_path, *tensors)
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert found[name].dtype == value.dtype
        assert torch.equal(found[name].to(torch.complex64), value.to(torch.complex64))


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize("count", [4, 5])
def test_four_bits_are_unpacked(tmp_path: Path, raw: bool, count: int) -> None:
    values = {
        TensorProto.UINT4: ([0, 15, 7, 8, 3], torch.uint8),
        TensorProto.INT4: ([0, 7, -8, -1, 3], torch.int8),
        TensorProto.FLOAT4E2M1: ([0, 0.5, -6, 1.5, -1], torch.float32),
    }
    tensors = []
    for kind, (numbers, _) in values.items():
        made = helper.make_tensor(str(kind), kind, [count], numbers[:count])
        if raw:
            packed = bytes(byte & 0xFF for byte in made.int32_data)
            made = helper.make_tensor(str(kind), kind, [count], packed, raw=True)
        tensors.append(made)
    found = weights_of(tmp_path, *tensors)
    for kind, (numbers, dtype) in values.items():
        assert found[str(kind)].dtype == dtype
        assert found[str(kind)].tolist() == numbers[:count]


def test_values_beside_the_model_are_read_and_hashed(tmp_path: Path) -> None:
    made = model(numpy_helper.from_array(WEIGHT, "weight"), numpy_helper.from_array(WEIGHT, "b"))
    onnx.save_model(
        made, tmp_path / "model.onnx", save_as_external_data=True, location="inner.data",
        size_threshold=0,
    )  # fmt: skip
    checkpoint = open_checkpoint(tmp_path / "model.onnx")
    assert torch.equal(checkpoint.weights["weight"], torch.from_numpy(WEIGHT))
    assert torch.equal(checkpoint.weights["b"], torch.from_numpy(WEIGHT))
    with looked_into(tmp_path / "model.onnx") as opened:
        assert [file.name for file in opened.contents.files] == ["model.onnx", "inner.data"]
    assert checkpoint.facts.bytes == sum(file.stat().st_size for file in tmp_path.iterdir())


def test_texts_and_types_of_no_use_are_noted(tmp_path: Path) -> None:
    words = helper.make_tensor("words", TensorProto.STRING, [1], [b"a"])
    path = saved(tmp_path, model(words, numpy_helper.from_array(WEIGHT, "weight")))
    checkpoint = open_checkpoint(path)
    assert checkpoint.weights.keys() == {"weight"}
    assert checkpoint.notes[0] == "Initializers that are not read: words."


def test_equal_weights_keep_their_names(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Identity", ["weight"], ["tied.weight"]),
        helper.make_node("Identity", ["weight"], ["/layer/Identity_output_0"]),
        helper.make_node("Gemm", ["x", "tied.weight"], ["y"]),
    ]
    path = saved(tmp_path, model(numpy_helper.from_array(WEIGHT, "weight"), nodes=nodes))
    assert open_checkpoint(path).weights.keys() == {"weight", "tied.weight"}


def external(**said: str) -> TensorProto:
    made = TensorProto(name="weight", data_type=TensorProto.FLOAT, dims=[2, 3])
    made.data_location = TensorProto.EXTERNAL
    for key, value in said.items():
        made.external_data.add(key=key, value=value)
    return made


def raw(dims: list[int], data: bytes, kind: int = TensorProto.FLOAT) -> TensorProto:
    return TensorProto(name="weight", data_type=kind, dims=dims, raw_data=data)


def floats(dims: list[int], *data: float) -> TensorProto:
    return TensorProto(name="weight", data_type=TensorProto.FLOAT, dims=dims, float_data=data)


DATA = WEIGHT.tobytes()
SPOILED: list[tuple[Callable[[], Any], str]] = [
    (lambda: model(raw([2, 4], DATA)), "24 bytes of values, where its shape [2, 4] wants 32"),
    (lambda: model(raw([2**40, 2**20], DATA)), "24 bytes of values"),
    (lambda: model(raw([-2, 3], DATA)), "a shape that is none"),
    (lambda: model(raw([1] * 65, DATA)), "a shape that is none"),
    (lambda: model(raw([7], b"abc", TensorProto.INT4)), "3 bytes of values"),
    (lambda: model(floats([2, 3], 1, 2)), "8 bytes of values"),
    (lambda: model(floats([2, 3])), "weight: "),
    (lambda: model(raw([2, 3], DATA), raw([2, 3], DATA)), "two initializers weight"),
    (lambda: model(external(location="../data")), "leads out of the checkpoint's folder"),
    (lambda: model(external(location="/etc/passwd")), "leads out of the checkpoint's folder"),
    (lambda: model(external(location="a/../../data")), "leads out of the checkpoint's folder"),
    (lambda: model(external()), "leads out of the checkpoint's folder"),
    (lambda: model(external(location="missing")), "missing: the checkpoint does not exist"),
    (lambda: model(external(location="data", offset="20")), "beyond the end of data"),
    (lambda: model(external(location="data", offset="-4")), "beyond the end of data"),
    (lambda: model(external(location="data", length="8")), "8 bytes of values"),
    (lambda: model(external(location="data", offset="x")), "weight: "),
    (lambda: model(raw([2, 3], DATA)).SerializeToString()[:-9], "not a checkpoint"),
    (lambda: model(raw([2, 3], DATA)).SerializeToString() * 2, "several graphs"),
    (lambda: b"\x08\x0a\x3a\x04\xff\xff\xff\xff", "damaged"),
    (lambda: b"\x08\x0a\x3a\x02\x28\x01", "an initializer that is none"),
]


@pytest.mark.parametrize(("make", "words"), SPOILED)
def test_what_is_spoiled_is_refused(tmp_path: Path, make: Callable[[], Any], words: str) -> None:
    (tmp_path / "data").write_bytes(DATA)
    with pytest.raises(InputError) as refused:
        open_checkpoint(saved(tmp_path, make()))
    assert words in str(refused.value)
    assert str(refused.value).count("\n") < 5


def test_names_from_the_model_are_text(tmp_path: Path) -> None:
    made = model(raw([2, 4], DATA))
    made.graph.initializer[0].name = "\x1b]0;title\x07" + "x" * 5000
    with pytest.raises(InputError) as refused:
        open_checkpoint(saved(tmp_path, made))
    assert "\x1b" not in str(refused.value)
    assert len(str(refused.value)) < 800


def test_without_the_package_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from auditor.opening.readers import onnx as reader
    from auditor.opening.reading import Reading

    path = saved(tmp_path, model(raw([2, 3], DATA)))
    monkeypatch.setitem(sys.modules, "onnx", None)
    with path.open("rb") as file, (tmp_path / "spill").open("wb") as spill:
        reading = Reading(path, file, spill, frozenset())
        with pytest.raises(InputError, match=r"pip install 'auditor\[onnx\]'"):
            reader.read(reading)
