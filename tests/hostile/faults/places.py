"""What is no checkpoint at all: other kinds of files, pages and pointers saved by mistake."""

import bz2
import gzip
import lzma
import os
import socket
import struct
from pathlib import Path

from tests.hostile.cases import Bait, Refused, Shelf
from tests.hostile.opcodes import pickled
from tests.hostile.torch_files import legacy, old_state, state, torch_zip

SHELF = Shelf("places")


def _written(bait: Bait, data: bytes, name: str = "checkpoint.pt") -> Path:
    bait.file(name).write_bytes(data)
    return bait.file(name)


NO_CHECKPOINT = Refused(("not a checkpoint", "pickle", "damaged", "truncated", "memory"))

for _id, _must, _data in (
    ("empty", Refused(("empty",)), b""),
    ("one-byte", NO_CHECKPOINT, b"P"),
    ("one-byte-of-a-pickle", NO_CHECKPOINT, b"\x80"),
    ("one-dot", NO_CHECKPOINT, b"."),
    ("two-bytes", NO_CHECKPOINT, b"PK"),
    ("magic-alone", Refused(("zip",)), b"PK\x03\x04"),
    ("eight-zeros", NO_CHECKPOINT, b"\0" * 8),
    ("a-megabyte-of-zeros", NO_CHECKPOINT, bytes(1 << 20)),
    ("a-megabyte-of-ones", NO_CHECKPOINT, b"\xff" * (1 << 20)),
    ("spaces", NO_CHECKPOINT, b" " * 4096),
    (
        "git-lfs-pointer",
        Refused(("LFS",)),
        b"version https://git-lfs.github.com/spec/v1\noid sha256:"
        + b"0" * 64
        + b"\nsize 102530333\n",
    ),
    (
        "web-page",
        Refused(("HTML", "web page")),
        b"<!DOCTYPE html>\n<html><head><title>404</title><script>alert(1)</script></head></html>",
    ),
    (
        "web-page-after-blanks",
        Refused(("HTML", "web page")),
        b"\n\n  <html><body>Sign in</body></html>",
    ),
    ("xml-of-a-bucket", NO_CHECKPOINT, b'<?xml version="1.0"?><Error><Code>AccessDenied</Code>'),
    ("json", NO_CHECKPOINT, b'{"error": "Repository not found"}'),
    ("python", NO_CHECKPOINT, b"#!/usr/bin/env python\nimport os\nos.system('true')\n"),
    ("escapes", NO_CHECKPOINT, b"\x1b]0;owned\x07\x1b[2J\x1b[31mAll is well\r\n"),
    ("newlines", NO_CHECKPOINT, b"\n\n\n\n\n\nERROR: all is well\n"),
    ("bidirectional", NO_CHECKPOINT, "\u202egnitset\u202c".encode()),
    ("elf", NO_CHECKPOINT, b"\x7fELF\x02\x01\x01" + bytes(64)),
    ("pdf", NO_CHECKPOINT, b"%PDF-1.7\n1 0 obj << /OpenAction /JS (app.alert(1)) >>"),
    ("png", NO_CHECKPOINT, b"\x89PNG\r\n\x1a\n" + bytes(64)),
    ("python-bytecode", NO_CHECKPOINT, b"\xa7\r\r\n" + bytes(64)),
    ("shell-archive", NO_CHECKPOINT, b"Rar!\x1a\x07\x01\x00" + bytes(64)),
    ("seven-zip", NO_CHECKPOINT, b"7z\xbc\xaf\x27\x1c" + bytes(64)),
    ("tar-of-nothing", Refused(("tar", "not a checkpoint")), bytes(10240)),
    ("gguf", Refused(("GGUF",)), b"GGUF" + struct.pack("<IQQ", 3, 2**63, 2**63)),
    ("keras-hdf5", Refused(("HDF5", "Keras")), b"\x89HDF\r\n\x1a\n" + bytes(64)),
    ("numpy-array", Refused(("NumPy", "not a checkpoint")), b"\x93NUMPY\x01\x00" + bytes(64)),
    ("pickle-of-a-number", Refused(("pickle",)), pickled(7)),
    ("pickle-of-a-dict", Refused(("pickle",)), pickled({"a": [1, 2]})),
    ("pickle-of-protocol-0", Refused(("pickle", "not a checkpoint")), b"(lp0\nI1\na."),
    ("pickle-of-protocol-200", NO_CHECKPOINT, b"\x80\xc8N."),
    ("pickle-without-an-end", NO_CHECKPOINT, b"\x80\x02}(X\x01\x00\x00\x00a"),
    ("pickle-of-a-frame-too-long", NO_CHECKPOINT, b"\x80\x04\x95" + b"\xff" * 8 + b"N."),
    ("pickle-of-a-text-too-long", NO_CHECKPOINT, b"\x80\x04\x8d" + b"\xff" * 7 + b"\x0fabc."),
    ("pickle-of-a-negative-length", NO_CHECKPOINT, b"\x80\x02\x8b\xff\xff\xff\xffabc."),
    ("pickle-with-a-huge-memo", NO_CHECKPOINT, b"\x80\x02Nr\xff\xff\xff\xff."),
    ("pickle-of-an-empty-stack", NO_CHECKPOINT, b"\x80\x02."),
    ("pickle-of-unbalanced-marks", NO_CHECKPOINT, b"\x80\x02tttt."),
):
    SHELF.add(_id, _must, lambda bait, data=_data: _written(bait, data))


for _id, _pack in {"gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress}.items():
    SHELF.add(
        _id,
        Refused(("compressed", "not a checkpoint")),
        lambda bait, pack=_pack: _written(bait, pack(torch_zip(bait.file(), state()).read_bytes())),
    )


@SHELF.refused("FIFO")
def fifo(bait: Bait) -> Path:
    """Whoever opens it without care waits for a writer for ever."""
    os.mkfifo(bait.file())
    return bait.file()


@SHELF.refused("FIFO")
def link_to_a_fifo(bait: Bait) -> Path:
    os.mkfifo(bait.file("pipe"))
    bait.file().symlink_to("pipe")
    return bait.file()


@SHELF.refused("socket", "can't be read")
def unix_socket(bait: Bait) -> Path:
    here = Path.cwd()
    os.chdir(bait.folder)  # A socket's path may have about a hundred characters.
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind("checkpoint.pt")
    finally:
        os.chdir(here)
    return bait.file()


@SHELF.refused("device", "not a regular file")
def endless_device(bait: Bait) -> Path:
    return Path("/dev/zero")


@SHELF.refused("device", "not a regular file", "empty")
def link_to_a_device(bait: Bait) -> Path:
    bait.file().symlink_to("/dev/zero")
    return bait.file()


@SHELF.refused("empty", "no", "not")
def file_of_the_kernel(bait: Bait) -> Path:
    """It says that it has no bytes, and has some."""
    return Path("/proc/self/maps")


@SHELF.refused("link", "can't be read", "symbolic")
def link_to_itself(bait: Bait) -> Path:
    bait.file().symlink_to("checkpoint.pt")
    return bait.file()


@SHELF.refused("link", "can't be read", "symbolic")
def links_in_a_ring(bait: Bait) -> Path:
    bait.file().symlink_to("b.pt")
    bait.file("b.pt").symlink_to("checkpoint.pt")
    return bait.file()


@SHELF.refused("does not exist")
def link_to_nothing(bait: Bait) -> Path:
    bait.file().symlink_to("nowhere.pt")
    return bait.file()


@SHELF.refused("does not exist")
def missing(bait: Bait) -> Path:
    return bait.file()


@SHELF.refused("can't be read", "directory", "does not exist")
def file_taken_for_a_folder(bait: Bait) -> Path:
    bait.file().write_bytes(b"x")
    return bait.file() / "inner.pt"


@SHELF.refused("too long")
def name_too_long(bait: Bait) -> Path:
    return bait.file("x" * 5_000)


@SHELF.refused("folder")
def empty_folder(bait: Bait) -> Path:
    bait.file("folder").mkdir()
    return bait.file("folder")


@SHELF.refused("folder", "link", "can't be read")
def folder_of_links_to_itself(bait: Bait) -> Path:
    folder = bait.file("folder")
    folder.mkdir()
    (folder / "model.safetensors").symlink_to("model.safetensors")
    (folder / "inner").symlink_to(".")
    return folder


@SHELF.refused("permission", "can't be read")
def unreadable(bait: Bait) -> Path:
    torch_zip(bait.file(), state())
    bait.file().chmod(0)
    return bait.file()


@SHELF.refused("large", "at most", "bytes")
def sparse_file_of_a_terabyte(bait: Bait) -> Path:
    """It takes no room on the disk, and a day to read."""
    torch_zip(bait.file(), state())
    os.truncate(bait.file(), 1 << 40)
    return bait.file()


@SHELF.refused("zip")
def sparse_file_of_gigabytes(bait: Bait) -> Path:
    torch_zip(bait.file(), state())
    os.truncate(bait.file(), 8 << 30)
    return bait.file()


@SHELF.refused("behind")
def legacy_then_zeros(bait: Bait) -> Path:
    return legacy(bait.file(), old_state(), after=bytes(64))


@SHELF.read()
def hostile_name(bait: Bait) -> Path:
    """The file's own name is text like any other."""
    name = "\x1b[31m<script>alert(1)</script>\n".replace("/", "") + "\u202e.pt"
    return torch_zip(bait.file(name), state())


@SHELF.read()
def name_that_is_no_text(bait: Bait) -> Path:
    path = Path(os.fsdecode(os.fsencode(bait.folder) + b"/w\xff\xfe.pt"))
    return torch_zip(path, state())


@SHELF.read()
def link_to_a_checkpoint(bait: Bait) -> Path:
    torch_zip(bait.file("real.pt"), state())
    bait.file().symlink_to("real.pt")
    return bait.file()


@SHELF.read()
def wrong_extension(bait: Bait) -> Path:
    return torch_zip(bait.file("photo.jpg"), state())
