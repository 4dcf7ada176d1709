"""Zip files that are cut short, contradict themselves, or hold what they should not."""

import io
import itertools
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

from tests.hostile.cases import Bait, Refused, Shelf
from tests.hostile.opcodes import pickled
from tests.hostile.torch_files import FOUR, state, storage, tensor, torch_zip

SHELF = Shelf("zips")

CENTRAL = b"PK\x01\x02"
END = b"PK\x05\x06"


def _sound() -> bytearray:
    data = io.BytesIO()
    torch_zip(data, state())  # type: ignore[arg-type]
    return bytearray(data.getvalue())


def _written(bait: Bait, data: bytes) -> Path:
    bait.file().write_bytes(data)
    return bait.file()


for _share in (1, 5, 20, 40, 60, 80, 95, 99):
    SHELF.add(
        f"cut-to-{_share}-percent",
        Refused(("truncated", "damaged", "zip", "not a checkpoint")),
        lambda bait, share=_share: _written(bait, _sound()[: len(_sound()) * share // 100]),
    )

SHELF.add(
    "without-its-last-byte",
    Refused(("truncated", "damaged", "zip")),
    lambda bait: _written(bait, _sound()[:-1]),
)


def _central(data: bytearray, name: bytes) -> int:
    """Return where the directory's entry of a name begins."""
    place = data.index(CENTRAL)
    while data[place : place + 4] == CENTRAL:
        length, extra, comment = struct.unpack_from("<3H", data, place + 28)
        if data[place + 46 : place + 46 + length] == name:
            return place
        place += 46 + length + extra + comment
    raise KeyError(name)


def _local(data: bytearray, name: bytes) -> int:
    """Return where the entry's own header begins."""
    (offset,) = struct.unpack_from("<I", data, _central(data, name) + 42)
    return int(offset)


def _changed(name: bytes, where: str, at: int, kind: str, value: int) -> Callable[[Bait], Path]:
    """Return a writer that puts a number into an entry's header: its own, the directory's, both."""

    def write(bait: Bait) -> Path:
        data = _sound()
        if where in ("central", "both"):
            struct.pack_into(kind, data, _central(data, name) + at, value)
        if where in ("local", "both"):
            shift = 0 if at < 6 else 2  # The directory's entry has one field more before these.
            struct.pack_into(kind, data, _local(data, name) + at - shift, value)
        return _written(bait, data)

    return write


PICKLE = b"archive/data.pkl"
RECORD = b"archive/data/0"

for _id, _says, _write in (
    ("encrypted", ("encrypted",), _changed(RECORD, "both", 8, "<H", 1)),
    ("encrypted-in-the-directory", ("encrypted",), _changed(RECORD, "central", 8, "<H", 1)),
    ("encrypted-pickle", ("encrypted",), _changed(PICKLE, "both", 8, "<H", 1)),
    ("strongly-encrypted", ("encrypted", "zip"), _changed(RECORD, "both", 8, "<H", 65)),
    ("method-unknown", ("packed", "damaged"), _changed(RECORD, "both", 10, "<H", 77)),
    ("method-lzma-that-is-not", ("packed", "damaged"), _changed(RECORD, "both", 10, "<H", 14)),
    ("method-deflate-that-is-not", ("packed", "damaged"), _changed(RECORD, "both", 10, "<H", 8)),
    ("method-differs", ("zip", "header"), _changed(RECORD, "central", 10, "<H", 8)),
    ("crc-of-the-pickle", ("checksum",), _changed(PICKLE, "both", 16, "<I", 1)),
    ("crc-of-a-tensor", ("checksum",), _changed(RECORD, "both", 16, "<I", 1)),
    ("crc-of-the-version", ("checksum",), _changed(b"archive/version", "both", 16, "<I", 1)),
    ("crc-differs", ("checksum", "header", "zip"), _changed(RECORD, "local", 16, "<I", 1)),
    (
        "size-too-large",
        ("two sizes", "damaged", "header"),
        _changed(RECORD, "both", 24, "<I", 2**30),
    ),
    (
        "size-beyond-the-file",
        ("two sizes", "damaged", "header"),
        _changed(RECORD, "both", 20, "<I", 2**31),
    ),
    ("size-differs", ("zip", "header", "record"), _changed(RECORD, "local", 24, "<I", 8)),
    (
        "size-is-zip64",
        ("two sizes", "damaged", "header"),
        _changed(RECORD, "both", 24, "<I", 2**32 - 1),
    ),
    ("place-beyond-the-file", ("zip", "header"), _changed(RECORD, "central", 42, "<I", 2**31)),
    ("place-of-another-entry", ("zip", "header"), _changed(RECORD, "central", 42, "<I", 0)),
    ("place-is-zip64", ("zip", "header"), _changed(RECORD, "central", 42, "<I", 2**32 - 1)),
    ("second-disk", ("zip", "disk"), _changed(RECORD, "central", 34, "<H", 3)),
    ("name-longer-than-it-is", ("zip", "name"), _changed(RECORD, "central", 28, "<H", 60_000)),
    ("own-name-longer-than-it-is", ("zip",), _changed(RECORD, "local", 28, "<H", 60_000)),
    (
        "a-folder-that-is-a-file",
        ("zip", "link", "folder"),
        _changed(RECORD, "central", 38, "<I", 0o120777 << 16),
    ),
):
    SHELF.add(_id, Refused(_says), _write)


def _flipped(name: bytes, what: str) -> Callable[[Bait], Path]:
    def write(bait: Bait) -> Path:
        data = _sound()
        start = _local(data, name)
        length, extra = struct.unpack_from("<2H", data, start + 26)
        data[start + 30 + length + extra + 4] ^= 0x10
        return _written(bait, data)

    write.__doc__ = what
    return write


SHELF.add("weight-flipped", Refused(("checksum",)), _flipped(RECORD, "torch reads it."))
SHELF.add("pickle-flipped", Refused(("checksum",)), _flipped(PICKLE, "The code."))


@SHELF.refused("zip", "name")
def own_name_differs(bait: Bait) -> Path:
    """The directory calls it data/0, its own header data/9: readers disagree."""
    data = _sound()
    start = _local(data, RECORD)
    data[start + 30 : start + 30 + len(RECORD)] = b"archive/data/9"
    return _written(bait, data)


def _again(name: str, data: bytes) -> Callable[[Bait], Path]:
    def write(bait: Bait) -> Path:
        path = torch_zip(bait.file(), state())
        with warnings.catch_warnings(), zipfile.ZipFile(path, "a") as archive:
            warnings.simplefilter("ignore")
            archive.writestr(name, data)
        return path

    return write


for _id, _says, _name, _data in (
    ("pickle-twice", ("same name",), "archive/data.pkl", pickled(state())),
    ("record-twice", ("same name",), "archive/data/0", b"\0" * 16),
    ("version-twice", ("same name",), "archive/version", b"3\n"),
    ("record-twice-by-case", ("same name", "folders"), "ARCHIVE/data/0", b"\0" * 16),
    ("two-roots", ("root", "folder"), "other/data/0", b"\0" * 16),
    ("no-root", ("root", "folder"), "evil.py", b"\0" * 16),
    ("name-leads-out", ("name", "out of"), "archive/../../evil", b"x"),
    ("name-leads-out-at-once", ("name", "out of"), "../evil", b"x"),
    ("name-with-backslashes", ("name", "out of"), "archive\\..\\..\\evil", b"x"),
    ("absolute-name", ("name", "out of"), "/etc/evil", b"x"),
    ("name-of-a-drive", ("name", "out of"), "C:/evil", b"x"),
    ("name-with-a-dot", ("name",), "archive/./data/0", b"x"),
    ("empty-part-in-a-name", ("name",), "archive//data/0", b"x"),
    ("name-with-an-escape", ("name",), "archive/\x1b[2Jevil", b"x"),
    ("name-with-newlines", ("name",), "archive/x\nall is well", b"x"),
    ("name-too-long", ("name",), "archive/" + "x" * 60_000, b"x"),
):
    SHELF.add(_id, Refused(_says), _again(_name, _data))


@SHELF.refused("name")
def name_with_a_nul(bait: Bait) -> Path:
    data = io.BytesIO()
    torch_zip(data, state(), more={"archive/dataX1": b"x"})  # type: ignore[arg-type]
    return _written(bait, data.getvalue().replace(b"archive/dataX1", b"archive/data\x001"))


@SHELF.refused("name", "UTF-8", "zip")
def name_that_is_no_text(bait: Bait) -> Path:
    data = io.BytesIO()
    torch_zip(data, state(), more={"archive/d\u00e4ta": b"x"})  # type: ignore[arg-type]
    return _written(bait, data.getvalue().replace("d\u00e4ta".encode(), b"d\xff\xfeta"))


@SHELF.refused("not a checkpoint")
def no_entries(bait: Bait) -> Path:
    return _written(bait, END + b"\0" * 18)


@SHELF.refused("holds", "not a checkpoint", "data.pkl")
def no_pickle(bait: Bait) -> Path:
    with zipfile.ZipFile(bait.file(), "w") as archive:
        archive.writestr("archive/data/0", FOUR)
    return bait.file()


@SHELF.refused("holds", "not a checkpoint")
def a_zip_of_photos(bait: Bait) -> Path:
    with zipfile.ZipFile(bait.file(), "w") as archive:
        archive.writestr("photo.jpg", b"\xff\xd8\xff")
    return bait.file()


@SHELF.refused("missing")
def no_record(bait: Bait) -> Path:
    return torch_zip(bait.file(), state(), {})


@SHELF.refused("record", "as long")
def record_too_short(bait: Bait) -> Path:
    return torch_zip(bait.file(), state(), {"0": FOUR[:8]})


@SHELF.refused("record", "as long")
def record_too_long(bait: Bait) -> Path:
    return torch_zip(bait.file(), state(), {"0": FOUR * 9})


@SHELF.refused("record", "as long")
def record_empty(bait: Bait) -> Path:
    return torch_zip(bait.file(), state(), {"0": b""})


@SHELF.read()
def record_that_nothing_asks_for(bait: Bait) -> Path:
    return torch_zip(bait.file(), state(), {"0": FOUR, "1": FOUR})


@SHELF.read()
def no_byte_order(bait: Bait) -> Path:
    """As torch wrote them before version 2.1."""
    return torch_zip(bait.file(), state(), byteorder=None)


@SHELF.read()
def other_root(bait: Bait) -> Path:
    return torch_zip(bait.file(), state(), root="my model (2)")


@SHELF.read()
def compressed_records(bait: Bait) -> Path:
    return torch_zip(bait.file(), state(), compressed=True)


@SHELF.either()
def byte_order_big(bait: Bait) -> Path:
    """Refused, or turned round: never read as if it were little."""
    return torch_zip(bait.file(), state(), byteorder=b"big")


@SHELF.refused("byte order", "byteorder")
def byte_order_unknown(bait: Bait) -> Path:
    return torch_zip(bait.file(), state(), byteorder=b"middle")


@SHELF.refused("byte order", "byteorder")
def byte_order_hostile(bait: Bait) -> Path:
    return torch_zip(bait.file(), state(), byteorder=b"\x1b]0;owned\x07\n" * 100)


BOMB = Refused(("swells",))


def _packed(byte: bytes, megabytes: int) -> bytes:
    """Return a run of one byte, packed a thousand times smaller; the same piece over and over."""
    packer = zlib.compressobj(9, wbits=-15)
    piece = packer.compress(byte * (1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return piece * megabytes + zlib.compressobj(9, wbits=-15).flush()


for _id, _name, _size in (
    ("bomb", RECORD, 256),
    ("bomb-that-nothing-asks-for", b"archive/data/1", 256),
    ("bomb-of-gigabytes", RECORD, 4_000),
    ("bomb-in-the-version", b"archive/version", 256),
    ("bomb-in-the-byte-order", b"archive/byteorder", 256),
):
    SHELF.add(
        _id,
        BOMB,
        lambda bait, name=_name, size=_size: _written(
            bait, _zip_by_hand([(name, _packed(b"\0", size), size << 20, 8)], _sound_entries())
        ),
    )


@SHELF.refused("swells")
def bomb_in_the_pickle(bait: Bait) -> Path:
    """300 MB of pickle that come to a thousandth in the file."""
    packer = zlib.compressobj(9, wbits=-15)
    start = packer.compress(b"\x80\x02](") + packer.flush(zlib.Z_FULL_FLUSH)
    entry = (PICKLE, start + _packed(b"N", 300), (300 << 20) + 4, 8)
    return _written(bait, _zip_by_hand([entry], _sound_entries()[1:]))


@SHELF.refused("overlap", "zip", "header")
def bomb_of_overlapping_entries(bait: Bait) -> Path:
    """Thousands of entries share the same bytes, each as if they were its own."""
    packed = zlib.compress(bytes(1 << 20), wbits=-15)
    more = [(b"archive/data/%d" % number, 5_000) for number in range(1, 3_000)]
    data = _zip_by_hand([(RECORD, packed, 1 << 20, 8)], _sound_entries(), more)
    return _written(bait, data)


@SHELF.read()
def a_zip_within_a_record(bait: Bait) -> Path:
    """Bytes of a weight that are a zip file are bytes of a weight."""
    inner = bytes(_sound())
    inner += bytes(-len(inner) % 4)
    count = len(inner) // 4
    held = {"layer.weight": tensor((count,), of=storage(count=count))}
    return torch_zip(bait.file(), held, {"0": inner})


def _sound_entries() -> list[tuple[bytes, bytes, int, int]]:
    held = pickled(state())
    return [(PICKLE, held, len(held), 0), (b"archive/version", b"3\n", 2, 0)]


def _zip_by_hand(
    first: list[tuple[bytes, bytes, int, int]],
    then: list[tuple[bytes, bytes, int, int]],
    again: list[tuple[bytes, int]] | None = None,
) -> bytes:
    """Return a zip of entries (name, bytes as they lie, size, method), checksums not worked out.

    `again` are further entries of the directory alone, each at the place of the first.
    """
    body, directory, count = b"", b"", 0
    for name, data, size, method in [*first, *then]:
        checksum = zlib.crc32(data) if method == 0 else 0
        numbers = (20, 0, method, 0, 33, checksum, len(data), size, len(name), 0)
        directory += struct.pack("<4sH5H3I2H", CENTRAL, 20, *numbers)
        directory += struct.pack("<3H2I", 0, 0, 0, 0, len(body)) + name
        body += struct.pack("<4s5H3I2H", b"PK\x03\x04", *numbers) + name + data
        count += 1
    for name, size in again or []:
        numbers = (20, 0, 8, 0, 33, 0, size, 1 << 20, len(name), 0)
        directory += struct.pack("<4sH5H3I2H", CENTRAL, 20, *numbers)
        directory += struct.pack("<3H2I", 0, 0, 0, 0, 0) + name
        count += 1
    tail = (0, 0, min(count, 65535), min(count, 65535), len(directory), len(body), 0)
    return body + directory + END + struct.pack("<4H2IH", *tail)


@SHELF.refused("entries", "longer", "ended", slow=True)
def a_million_entries(bait: Bait) -> Path:
    """A directory of 50 MB: whoever reads it first and counts then has lost."""
    body = bytes(_sound())
    at = body.index(CENTRAL)
    one = body[at : at + 46] + PICKLE
    names = (
        b"%s%07d" % (one[:28] + struct.pack("<H", 7) + one[30:46], n) for n in range(1_000_001)
    )
    directory = b"".join(itertools.chain([body[at : body.index(END)]], names))
    tail = struct.pack("<4H2IH", 0, 0, 65535, 65535, len(directory), at, 0)
    return _written(bait, body[:at] + directory + END + tail)


@SHELF.read()
def twenty_thousand_records(bait: Bait) -> Path:
    """Many, but no more than a large model has."""
    return torch_zip(bait.file(), state(), {str(n): FOUR for n in range(20_000)})


def _end(at: int, kind: str, value: int) -> Callable[[Bait], Path]:
    def write(bait: Bait) -> Path:
        data = _sound()
        struct.pack_into(kind, data, data.index(END) + at, value)
        return _written(bait, data)

    return write


for _id, _write in (
    ("directory-beyond-the-file", _end(16, "<I", 2**31)),
    ("directory-too-long", _end(12, "<I", 2**31)),
    ("directory-too-short", _end(12, "<I", 50)),
    ("directory-of-zero-bytes", _end(12, "<I", 0)),
    ("directory-shifted", _end(16, "<I", 3)),
    ("number-of-entries-lies", _end(10, "<H", 1)),
    ("on-another-disk", _end(4, "<H", 7)),
    ("comment-longer-than-it-is", _end(20, "<H", 500)),
):
    SHELF.add(_id, Refused(("zip",)), _write)


def _zip64(size: int, offset: int, entries: int) -> Callable[[Bait], Path]:
    """Return a writer of a zip whose 64-bit end record says these of its directory."""

    def write(bait: Bait) -> Path:
        data = _sound()
        end = data.index(END)
        record = struct.pack(
            "<4sQ2H2I4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, entries, entries, size, offset
        )
        place = struct.pack("<4sIQI", b"PK\x06\x07", 0, end, 1)
        tail = END + struct.pack("<4H2IH", 0, 0, 65535, 65535, 2**32 - 1, 2**32 - 1, 0)
        return _written(bait, bytes(data[:end]) + record + place + tail)

    return write


for _id, _numbers in {
    "zip64-directory-of-exabytes": (2**62, 0, 4),
    "zip64-directory-far-away": (300, 2**63 - 1, 4),
    "zip64-directory-negative": (2**64 - 8, 8, 4),
    "zip64-directory-empty": (0, 0, 2**63),
}.items():
    SHELF.add(_id, Refused(("zip",)), _zip64(*_numbers))


@SHELF.refused("zip")
def zip64_extra_lies(bait: Bait) -> Path:
    """An entry's size stands in a 64-bit field that says it has petabytes."""
    data = _sound()
    at = _central(data, RECORD)
    extra = struct.pack("<2H2Q", 1, 16, 2**50, 2**50)
    struct.pack_into("<2I", data, at + 20, 2**32 - 1, 2**32 - 1)
    struct.pack_into("<H", data, at + 30, len(extra))
    name = at + 46 + len(RECORD)
    end = data.index(END)
    (size,) = struct.unpack_from("<I", data, end + 12)
    struct.pack_into("<I", data, end + 12, size + len(extra))
    return _written(bait, bytes(data[:name]) + extra + bytes(data[name:]))
