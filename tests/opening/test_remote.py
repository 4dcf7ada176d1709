"""Checkpoints at addresses: fetched whole, kept for this user alone, never with credentials."""

import functools
import http.server
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from auditor.api import audit_spec
from auditor.commands.progress import Silent
from auditor.commands.targets import command_of, flags_of, spec_of
from auditor.core.errors import InputError
from auditor.intake.checkpoint import open_checkpoint
from auditor.opening import fetching, remote
from auditor.opening.remote import fetched

SECRET = "hunter2pass"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "auditor" / "checkpoints"


@pytest.fixture
def memory() -> Iterator[Any]:
    files = fsspec.filesystem("memory")
    files.store.clear()
    yield files
    files.store.clear()
    files.pseudo_dirs[:] = [""]


@pytest.fixture
def web(tmp_path: Path) -> Iterator[tuple[str, Path, list[str]]]:
    """Serve a folder; the paths that were asked for are noted down."""
    folder = tmp_path / "web"
    folder.mkdir()
    asked: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            for status in (403, 500):
                if str(status) in self.path:
                    self.send_error(status, f"no {SECRET}")
                    return
            super().do_GET()

        def log_message(self, *words: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=str(folder))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", folder, asked
    server.shutdown()
    server.server_close()


def small() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))


def put(files: Any, path: str, data: bytes = b"") -> None:
    with files.open(path, "wb") as file:
        file.write(data)


def bytes_of(model: nn.Module, folder: Path) -> bytes:
    torch.save(model.state_dict(), folder / "made.pt")
    return (folder / "made.pt").read_bytes()


def said(address: str) -> str:
    with pytest.raises(InputError) as caught:
        fetched(address)
    assert len(str(caught.value).splitlines()) <= 5
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    return str(caught.value)


def test_a_file_is_fetched_once_and_again_when_it_changed(
    memory: Any, tmp_path: Path, cache: Path
) -> None:
    put(memory, "/b/w.pt", bytes_of(small(), tmp_path))
    path = fetched("memory://b/w.pt")
    assert path.name == "w.pt"
    assert path.is_relative_to(cache)
    assert path.read_bytes() == (tmp_path / "made.pt").read_bytes()
    before = path.stat().st_ino
    assert fetched("memory://b/w.pt") == path
    assert path.stat().st_ino == before
    put(memory, "/b/w.pt", b"other")
    assert fetched("memory://b/w.pt").read_bytes() == b"other"
    assert path.exists(), "an audit that still reads the old one is not disturbed"


def test_nobody_else_may_read_the_cache(memory: Any, cache: Path) -> None:
    put(memory, "/b/w.pt", b"x")
    path = fetched("memory://b/w.pt")
    for folder in (cache.parent, cache, path.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_has_no_version_is_fetched_each_time(
    memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "VERSIONS", frozenset())
    put(memory, "/b/w.pt", b"one")
    assert fetched("memory://b/w.pt").read_bytes() == b"one"
    put(memory, "/b/w.pt", b"two")
    assert fetched("memory://b/w.pt").read_bytes() == b"two"


def test_the_cap_holds_before_and_while_fetching(
    memory: Any, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(memory, "/b/w.pt", b"x" * 5000)
    monkeypatch.setattr(fetching, "LARGEST", 4000)
    assert "at most 4,000 are fetched" in said("memory://b/w.pt")
    info = type(memory).info
    monkeypatch.setattr(type(memory), "info", lambda *a, **k: {**info(*a, **k), "size": None})
    assert "more than 4,000 bytes" in said("memory://b/w.pt")
    assert list(cache.iterdir()) == [], "nothing half is left"


def test_a_file_that_is_cut_short_is_not_kept(
    memory: Any, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(memory, "/b/w.pt", b"x" * 50)
    info = type(memory).info
    monkeypatch.setattr(type(memory), "info", lambda *a, **k: {**info(*a, **k), "size": 60})
    assert "60 bytes were told, 50 came" in said("memory://b/w.pt")
    assert list(cache.iterdir()) == []


def test_a_folder_is_fetched_with_what_belongs_to_it(memory: Any, tmp_path: Path) -> None:
    save_file(small().state_dict(), tmp_path / "m.safetensors")
    data = (tmp_path / "m.safetensors").read_bytes()
    for name, held in {
        "config.json": b"{}", "trainer_state.json": b"{}", "model.safetensors": data,
        "pytorch_model.bin": b"never read", "tokenizer.json": b"{}", "onnx/model.onnx": b"x",
        "rng_state.pth": b"never read",
    }.items():  # fmt: skip
        put(memory, f"/hub/net/{name}", held)
    path = fetched("memory://hub/net")
    assert sorted(one.name for one in path.iterdir()) == [
        "config.json", "model.safetensors", "trainer_state.json"
    ]  # fmt: skip
    opened = open_checkpoint(path)
    assert opened.facts.format == "Trainer checkpoint (safetensors)"
    assert torch.equal(opened.weights["0.weight"], small().state_dict()["0.weight"])
    put(memory, "/hub/empty/readme.md", b"x")
    assert "a folder without a checkpoint" in said("memory://hub/empty")


def test_a_web_server(web: tuple[str, Path, list[str]], tmp_path: Path, cache: Path) -> None:
    address, folder, asked = web
    (folder / "w.pt").write_bytes(bytes_of(small(), tmp_path))
    path = fetched(f"{address}/w.pt?sig={SECRET}")
    assert path.read_bytes() == (folder / "w.pt").read_bytes()
    assert any(SECRET in one for one in asked), "the whole address was asked for"
    assert not any(SECRET in str(one) for one in cache.rglob("*"))
    count = sum(one.startswith("/w.pt") for one in asked)
    fetched(f"{address}/w.pt?sig={SECRET}")
    assert sum(one.startswith("/w.pt") for one in asked) == count, "its date tells the version"
    assert "does not exist" in said(f"{address}/none.pt?sig={SECRET}")
    assert "may not be read" in said(f"{address}/403.pt?sig={SECRET}")
    assert "answers 500" in said(f"{address}/500.pt?sig={SECRET}")


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("memory://none/w.pt", "does not exist"),
        ("nope://x/w.pt", "unknown kind of address 'nope'"),
        ("file:///etc/passwd", "name the path"),
        ("zip://w.pt::memory://a.zip", "name the path"),
        ("memory://a::b", "name the path"),
        (f"http://me:{SECRET}@127.0.0.1:1/w.pt?x={SECRET}", "can't be fetched"),
    ],
)
def test_what_can_not_be_fetched_is_one_clear_line(address: str, why: str) -> None:
    told = said(address)
    assert why in told
    assert "\n" not in told


def test_secrets_in_the_options_of_a_filesystem_are_not_shown(
    memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(self: Any, path: str, **more: Any) -> Any:
        raise RuntimeError(f"bad key {SECRET}\nand more of {SECRET}")

    monkeypatch.setattr(type(memory), "info", refuses)
    monkeypatch.setattr(remote, "_options", lambda address: {"key": SECRET})
    assert "RuntimeError: bad key ..." in said("memory://b/w.pt")


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "fsspec", None)
    assert "pip install 'auditor[remote]'" in said("s3://bucket/w.pt")


@pytest.mark.slow
def test_an_audit_of_an_address(web: tuple[str, Path, list[str]], tmp_path: Path) -> None:
    address, folder, _ = web
    (folder / "w.pt").write_bytes(bytes_of(small(), tmp_path))
    whole = f"{address}/w.pt?sig={SECRET}"
    flags = flags_of({"only": ["weights-degenerate"], "device": "cpu", "no_history": True})
    spec, command = spec_of(whole, flags), command_of(whole, flags)
    record = audit_spec(spec, tmp_path / "out", Silent(), command=command)
    assert record.subject.name == "w"
    assert record.subject.checkpoint is not None
    assert record.subject.checkpoint.path == f"{address}/w.pt"
    local = open_checkpoint(folder / "w.pt").facts
    assert record.subject.checkpoint.sha256 == local.sha256
    kept = [*(tmp_path / "out").rglob("*")]
    assert any(one.is_file() for one in kept)
    assert not any(SECRET.encode() in one.read_bytes() for one in kept if one.is_file())
    assert SECRET not in repr(record)
    assert record.command == f"audit run {address}/w.pt --device cpu"
    (folder / "w.pt").write_bytes(b"\x80 no pickle")
    with pytest.raises(InputError, match=f"^{address}/w.pt: not a checkpoint") as caught:
        audit_spec(spec, tmp_path / "other", Silent())
    assert SECRET not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)
