"""Each step of the gate alone: it refuses its fault, and lets the same file through without it."""

import contextlib
import io
import os
import pickle
import struct
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from auditor.core.errors import InputError
from auditor.intake.live_tensors import live
from auditor.opening import files
from auditor.opening.process import looked_into
from tests.opening.zips import Entry, changed, good, written
from tests.peak import peak_of_children

WEIGHTS = {"w": torch.arange(6.0), "v": torch.ones(3)}


def read(path: Path) -> Any:
    with looked_into(path) as opened:
        return live(opened)


def refused(path: Path) -> str:
    with pytest.raises(InputError) as error:
        read(path)
    said = str(error.value)
    assert len(said.splitlines()) <= 5
    return said


# --- the file -------------------------------------------------------------------------------


def test_only_regular_files(tmp_path: Path) -> None:
    torch.save(WEIGHTS, tmp_path / "w.pt")
    os.symlink("w.pt", tmp_path / "link.pt")
    assert torch.equal(read(tmp_path / "link.pt")["w"], WEIGHTS["w"])
    os.mkfifo(tmp_path / "fifo.pt")
    assert "a FIFO" in refused(tmp_path / "fifo.pt")
    os.symlink("round.pt", tmp_path / "round.pt")
    assert "can't be read" in refused(tmp_path / "round.pt")
    assert "a device" in refused(Path("/dev/zero"))


def test_not_beyond_all_measure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(WEIGHTS, tmp_path / "w.pt")
    size = (tmp_path / "w.pt").stat().st_size
    monkeypatch.setattr(files, "LARGEST", size)
    assert read(tmp_path / "w.pt")
    monkeypatch.setattr(files, "LARGEST", size - 1)
    assert "at most" in refused(tmp_path / "w.pt")


@pytest.mark.parametrize("name", ["w.safetensors", "w.txt", "w", "w.onnx", "w.exe"])
def test_by_what_it_is_and_not_by_its_name(name: str, tmp_path: Path) -> None:
    torch.save(WEIGHTS, tmp_path / name)
    assert torch.equal(read(tmp_path / name)["w"], WEIGHTS["w"])


# --- zip files ------------------------------------------------------------------------------

PACKED = zlib.compress(bytes(4_000_000), 9)[2:-4]

ZIPS: dict[str, tuple[Callable[[list[Entry]], list[Entry]], str]] = {
    "two roots": (lambda e: [*e, Entry("other/data.pkl", b"x")], "several folders"),
    "no root": (lambda e: [*e, Entry("data.pkl", b"x")], "several folders"),
    "same name": (lambda e: [*e, e[0]], "same name"),
    "up": (lambda e: [*e, Entry("w/../../x", b"x")], "leads out"),
    "absolute": (lambda e: [*e, Entry("/etc/x", b"x")], "leads out"),
    "encrypted": (lambda e: changed(e, "data/0", flags=1), "encrypted"),
    "checksum of a tensor": (lambda e: changed(e, "data/0", crc=1), "checksum of w/data/0"),
    "checksum of code": (lambda e: changed(e, "data.pkl", crc=1), "checksum of w/data.pkl"),
    "checksum of nothing": (lambda e: [*e, Entry("w/x", b"", crc=1)], "checksum of w/x"),
    "bomb": (
        lambda e: [*e, Entry("w/x", bytes(4_000_000), PACKED, method=8)],
        "swells",
    ),
    "packed otherwise": (lambda e: changed(e, "data/0", method=14), "packed in a way"),
    "two sizes": (lambda e: changed(e, "data/0", size=7), "two sizes"),
    "another name in its header": (lambda e: changed(e, "data/0", own_name="w/data/9"), "damaged"),
    "another checksum in its header": (lambda e: changed(e, "data/0", own_crc=1), "damaged"),
    "encrypted in its header": (lambda e: changed(e, "data/0", own_flags=1), "damaged"),
    "overlapping": (lambda e: [*e[:-1], Entry(e[-1].name, e[-1].data, offset=0)], "damaged"),
    "record missing": (lambda e: [o for o in e if not o.name.endswith("data/0")], "missing"),
    "record short": (lambda e: changed(e, "data/0", data=b"1234"), "not as long"),
    "byte order": (lambda e: changed(e, "byteorder", data=b"big"), "byte order"),
    "bytes after the pickle": (
        lambda e: changed(e, "data.pkl", data=next(iter(e)).data + b"."),
        "behind its pickle",
    ),
}


def test_a_plain_zip_file_is_read(tmp_path: Path) -> None:
    entries = good(tmp_path / "w.pt")
    assert torch.equal(read(written(tmp_path / "w2.pt", entries))["w"], WEIGHTS["w"])
    one = next(entry for entry in entries if entry.name.endswith("data/0"))
    packed = changed(entries, "data/0", packed=zlib.compress(one.data)[2:-4], method=8)
    assert torch.equal(read(written(tmp_path / "packed.pt", packed))["w"], WEIGHTS["w"])


@pytest.mark.parametrize("fault", list(ZIPS))
def test_a_zip_file_with_one_fault(fault: str, tmp_path: Path) -> None:
    spoil, words = ZIPS[fault]
    path = written(tmp_path / "bad.pt", spoil(good(tmp_path / "w.pt")))
    assert words in refused(path)


@pytest.mark.parametrize(
    ("before", "after"), [(b"PK\x03\x04" + bytes(40), b""), (b"", b"tail"), (b"", bytes(22))]
)
def test_nothing_around_a_zip_file(before: bytes, after: bytes, tmp_path: Path) -> None:
    refused(written(tmp_path / "bad.pt", good(tmp_path / "w.pt"), before, after))


# --- the old formats ------------------------------------------------------------------------


def test_legacy_files_end_where_they_end(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    torch.save(WEIGHTS, path, _use_new_zipfile_serialization=False)
    whole = path.read_bytes()
    assert torch.equal(read(path)["w"], WEIGHTS["w"])
    path.write_bytes(whole + b"x")
    assert "behind its last storage" in refused(path)
    for cut in (1, 12, 30, 100):
        path.write_bytes(whole[:-cut])
        assert "truncated" in refused(path)


def tar_file(path: Path, **more: bytes) -> Path:
    """Write a file as torch.save wrote them in early 2017: two tensors of one storage."""
    dump = lambda value: pickle.dumps(value, 2)  # noqa: E731

    def asking(module: str, name: str) -> bytes:
        return f"c{module}\n{name}\n".encode()

    storage = b"\x80\x02(K\x07X\x03\x00\x00\x00cpu" + asking("torch", "FloatStorage") + b"t."
    values = struct.pack("<q6f", 6, *range(6))
    tensor = b"\x80\x02(K%cK\x07" + asking("torch", "FloatTensor") + b"t."
    whole = struct.pack("<ii2q2qq", 2, 0, 2, 3, 3, 1, 0)
    row = struct.pack("<iiqqq", 1, 0, 3, 1, 3)
    parts = {
        "sys_info": dump({"protocol_version": 1000, "little_endian": True, "type_sizes": {}}),
        "pickle": b"\x80\x02}(X\x01\x00\x00\x00wK\x01QX\x03\x00\x00\x00rowK\x02Qu.",
        "storages": dump(1) + storage + values + dump([]),
        "tensors": dump(2) + tensor % 1 + whole + tensor % 2 + row,
        **more,
    }
    with tarfile.open(path, "w") as archive:
        for name, data in parts.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def test_tar_files_of_2017(tmp_path: Path) -> None:
    held = read(tar_file(tmp_path / "w.tar"))
    assert torch.equal(held["w"], torch.arange(6.0).reshape(2, 3))
    assert torch.equal(held["row"], torch.tensor([3.0, 4.0, 5.0]))
    evil = b"cposix\nsystem\n(X\x04\x00\x00\x00truetR."
    assert "posix.system" in refused(tar_file(tmp_path / "evil.tar", pickle=evil))
    assert "byte order" in refused(tar_file(tmp_path / "b.tar", sys_info=pickle.dumps({})))
    assert "torch.save did not write" in refused(tar_file(tmp_path / "m.tar", another=b"x"))
    assert "too early" in refused(tar_file(tmp_path / "c.tar", tensors=pickle.dumps(9, 2)))


# --- what comes out -------------------------------------------------------------------------


def saved(tmp_path: Path, value: Any) -> Path:
    torch.save(value, tmp_path / "v.pt")
    return tmp_path / "v.pt"


def rebuilt(storage: torch.Tensor, offset: int, shape: Any, strides: Any) -> Any:
    class Lie:
        def __reduce__(self) -> Any:
            held = torch.storage.TypedStorage(
                wrap_storage=storage.untyped_storage(), dtype=storage.dtype, _internal=True
            )
            made_of = (held, offset, shape, strides, False, {})
            return torch._utils._rebuild_tensor_v2, made_of

    return Lie()


@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [
        (0, (1 << 40,), (0,)),
        (0, (7,), (1,)),
        (1, (6,), (1,)),
        (0, (2, 3), (4, 1)),
        (-1, (2,), (1,)),
        (0, (2,), (-1,)),
        (0, (2, 2), (1,)),
        (0, (1 << 62, 1 << 62, 0), (0, 0, 0)),
        (0, (1,) * 65, (1,) * 65),
    ],
)
def test_tensors_that_lie(offset: int, shape: Any, strides: Any, tmp_path: Path) -> None:
    base = torch.arange(6.0)
    assert torch.equal(read(saved(tmp_path, {"w": rebuilt(base, 0, (6,), (1,))}))["w"], base)
    refused(saved(tmp_path, {"w": rebuilt(base, offset, shape, strides)}))


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def cyclic() -> Any:
    value: list[Any] = []
    value.append(value)
    return value


def swelling() -> Any:
    value: Any = [0] * 10
    for _ in range(30):
        value = [value, value]
    return value


STRUCTURES: dict[str, tuple[Callable[[], Any], str]] = {
    "deep": (lambda: {"a": deep(90)}, "nested more than"),
    "cyclic": (lambda: {"a": cyclic()}, "within itself"),
    "swelling": (lambda: {"a": swelling()}, "more than 1,000,000 values"),
    "keys that collide": (lambda: {"1": torch.ones(1), 1: torch.ones(1)}, "the same when written"),
    "keys that are none": (lambda: {(1, 2): torch.ones(1)}, "no texts"),
    "meta": (lambda: {"a": torch.ones(1, device="meta")}, "without values"),
    "quantised": (
        lambda: {"a": torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)},
        "quantised",
    ),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("fault", list(STRUCTURES))
def test_structures(fault: str, tmp_path: Path) -> None:
    made, words = STRUCTURES[fault]
    assert words in refused(saved(tmp_path, made()))


@pytest.mark.parametrize(
    "value",
    [
        {"a": deep(40)},
        {"a": {1: torch.ones(1), 2: torch.ones(1)}},
        {"a": {(1, 2): "b", None: 3}},
        {f"layer.{n}": 0.5 for n in range(50_000)},
        {"a": torch.ones(3, dtype=torch.complex64).conj_physical()},
        {"a": torch.ones(2).to(torch.float8_e4m3fn)},
        nn.Linear(2, 2),
    ],
    ids=["deep", "numbers", "plain keys", "many", "complex", "float8", "module"],
)
def test_what_is_odd_and_sound(value: Any, tmp_path: Path) -> None:
    read(saved(tmp_path, value))


# --- names ----------------------------------------------------------------------------------


class Reduced:
    """A pickle that calls a function."""

    def __init__(self, function: Any, *made_of: Any) -> None:
        self._made = function, made_of

    def __reduce__(self) -> Any:
        return self._made


def raw(tmp_path: Path, code: bytes) -> Path:
    entries = changed(good(tmp_path / "w.pt"), "data.pkl", data=b"\x80\x04" + code + b".")
    return written(tmp_path / "raw.pt", entries)


def text(value: str) -> bytes:
    return b"\x8c" + bytes([len(value)]) + value.encode()


CALLS = {
    "reduce": b"cos\nsystem\n" + text("touch pwned") + b"\x85R",
    "obj": b"(cos\nsystem\n" + text("touch pwned") + b"o",
    "inst": b"(" + text("touch pwned") + b"ios\nsystem\n",
    "new": b"csubprocess\nPopen\n" + text("touch pwned") + b"\x85\x81",
    "new with names": b"csubprocess\nPopen\n)}\x92",
    "named by the stack": text("os") + text("system") + b"\x93" + text("touch pwned") + b"\x85R",
    "named by the memo": (
        text("os") + b"\x940" + text("system") + b"\x940h\x00h\x01\x93" + text("x") + b"\x85R"
    ),
    "behind a dot": b"ctorch.serialization\nos.system\n" + text("touch pwned") + b"\x85R",
    "by getattr": (
        b"cbuiltins\ngetattr\nctorch.serialization\nos\n" + text("system") + b"\x86R" + text("x")
        + b"\x85R"
    ),
    "only named": b"cos\nsystem\n",
    "hidden under the stack": b"cos\nsystem\n" + text("touch pwned") + b"\x85R0N",
    "by Python 2's name": b"c__builtin__\neval\n" + text("1") + b"\x85R",
    "a loader": b"ctorch\nload\n" + text("x") + b"\x85R",
    "a function of numpy": b"cnumpy.testing._private.utils\nrunstring\n" + text("1") + b"\x85R",
}  # fmt: skip


@pytest.mark.parametrize("way", list(CALLS))
def test_what_acts_is_refused_by_name(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "nothing of it was run" in refused(raw(tmp_path, CALLS[way]))
    assert not (tmp_path / "pwned").exists()


def test_extension_codes_mean_nothing(tmp_path: Path) -> None:
    for code in (b"\x82\x01", b"\x83\x01\x00", b"\x84\x01\x00\x00\x00"):
        refused(raw(tmp_path, code))


@pytest.mark.parametrize(
    "code",
    [
        b"N}K\x01K\x01sb",
        b"]}K\x01K\x01sb",
        text("storage") + b"Q",
        b"(" + text("storage") + b"K\x01tQ",
        b"NQ",
        b"P1\n",
    ],
)
def test_what_makes_no_sense_is_refused(code: bytes, tmp_path: Path) -> None:
    refused(raw(tmp_path, code))


def test_a_storage_can_not_be_rewritten(tmp_path: Path) -> None:
    """BUILD would give a plain object other attributes: here it names another record's bytes."""
    key = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + b"K\x06tQ"
    assert read(raw(tmp_path, b"}" + text("a") + key + b"s")) == {"a": None}
    state = b"}(" + text("dtype") + text("float64") + text("block") + b"K\x05u"
    refused(raw(tmp_path, b"}" + text("a") + key + state + b"bs"))
    refused(raw(tmp_path, b"}" + text("a") + key + b"N" + state + b"\x86bs"))


def test_sizes_beyond_measure_take_no_memory(tmp_path: Path) -> None:
    """What a few bytes may ask for: an index, a text, a frame, bytes of a terabyte."""
    huge = struct.pack("<Q", 1 << 40)
    codes = (
        b"Nr\xff\xff\xff\x7f",
        b"\x8d" + huge,
        b"\x8e" + huge,
        b"\x96" + huge,
        b"\x95" + huge + b"N",
        b"X\xff\xff\xff\x7f",
        b"\x8b\xff\xff\xff\x7f",
    )
    assert peak_of_children(_tried, tmp_path, codes) < 1 << 30


def _tried(folder: Path, codes: tuple[bytes, ...]) -> None:
    for code in codes:
        with contextlib.suppress(InputError):
            read(raw(folder, code))
