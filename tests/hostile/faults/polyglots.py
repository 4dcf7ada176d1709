"""Files that are two things at once: what one reader takes for weights another one would run."""

import io
import struct
import zipfile
from pathlib import Path

from tests.hostile.cases import Bait, Shelf
from tests.hostile.opcodes import called, named, pickled
from tests.hostile.safetensors_files import safetensors
from tests.hostile.torch_files import legacy, old_state, state, tarred, torch_zip

SHELF = Shelf("polyglots")


def _evil(bait: Bait) -> bytes:
    return pickled(called(named("os", "system"), bait.command))


def _zip_of(held: object) -> bytes:
    data = io.BytesIO()
    torch_zip(data, held)  # type: ignore[arg-type]
    return data.getvalue()


def _written(bait: Bait, *parts: bytes) -> Path:
    bait.file().write_bytes(b"".join(parts))
    return bait.file()


@SHELF.refused("os.system", "after", "end")
def pickle_then_zip(bait: Bait) -> Path:
    """torch.load sees a pickle by its first bytes, zip tools see a zip by its last."""
    return _written(bait, _evil(bait), _zip_of(state()))


@SHELF.refused("behind")
def legacy_then_zip(bait: Bait) -> Path:
    path = legacy(bait.file(), old_state())
    return _written(bait, path.read_bytes(), _zip_of(state()))


@SHELF.refused("os.system")
def legacy_that_calls_then_zip(bait: Bait) -> Path:
    path = legacy(bait.file(), called(named("os", "system"), bait.command))
    return _written(bait, path.read_bytes(), _zip_of(state()))


@SHELF.refused("not a checkpoint", "zip")
def zip_after_other_bytes(bait: Bait) -> Path:
    return _written(bait, b"#!/bin/sh\ntrue\n", _zip_of(state()))


@SHELF.refused("stand before")
def zip_after_a_dead_zip(bait: Bait) -> Path:
    """The first zip lost its directory, and the second one's is the one that is found."""
    first = _zip_of(called(named("os", "system"), bait.command))
    return _written(bait, first[: first.index(b"PK\x01\x02")], _zip_of(state()))


@SHELF.refused("stand before")
def zip_after_a_zip(bait: Bait) -> Path:
    first = _zip_of(called(named("os", "system"), bait.command))
    return _written(bait, first, _zip_of(state()))


@SHELF.refused("behind")
def zip_then_pickle(bait: Bait) -> Path:
    return _written(bait, _zip_of(state()), _evil(bait))


@SHELF.refused("behind")
def zip_then_pickle_in_its_comment(bait: Bait) -> Path:
    data = _zip_of(state())
    evil = _evil(bait)
    return _written(bait, data[:-2], struct.pack("<H", len(evil)), evil)


@SHELF.refused("after", "beyond", "trailing", "end")
def safetensors_then_pickle(bait: Bait) -> Path:
    return _written(bait, safetensors({"a": ("F32", (1,), b"\0" * 4)}), _evil(bait))


@SHELF.refused("after", "beyond", "trailing", "end")
def safetensors_then_zip(bait: Bait) -> Path:
    return _written(bait, safetensors({"a": ("F32", (1,), b"\0" * 4)}), _zip_of(state()))


@SHELF.refused("os.system", "tar")
def tar_within_which_a_zip_lies(bait: Bait) -> Path:
    return tarred(
        bait.file(),
        called(named("os", "system"), bait.command),
        more={"archive.zip": _zip_of(state())},
    )


@SHELF.refused("zip", "constants.pkl", "TorchScript")
def zip_of_both_kinds(bait: Bait) -> Path:
    """A state dict that is a TorchScript archive too."""
    more = {
        "archive/constants.pkl": pickled(()),
        "archive/code/__torch__.py": b"def forward(self): pass\n",
    }
    return torch_zip(bait.file(), state(), more=more)


@SHELF.refused("several folders")
def zip_with_two_pickles(bait: Bait) -> Path:
    """Two roots: which data.pkl is read depends on who reads."""
    return torch_zip(bait.file(), state(), more={"other/data.pkl": _evil(bait)})


@SHELF.refused("zip", "same name")
def zip_with_a_pickle_of_another_case(bait: Bait) -> Path:
    return torch_zip(bait.file(), state(), more={"archive/DATA.PKL": _evil(bait)})


@SHELF.refused("stand before")
def zip_whose_prefix_is_a_local_header(bait: Bait) -> Path:
    """It opens with an entry that the directory does not know."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("archive/data.pkl", _evil(bait))
    head = data.getvalue()[: data.getvalue().index(b"PK\x01\x02")]
    whole = _zip_of(state())
    at = whole.index(b"PK\x01\x02")
    end = whole.index(b"PK\x05\x06")
    directory = bytearray(whole[at:end])
    place = 0
    while place < len(directory):
        name, extra, comment = struct.unpack_from("<3H", directory, place + 28)
        (offset,) = struct.unpack_from("<I", directory, place + 42)
        struct.pack_into("<I", directory, place + 42, offset + len(head))
        place += 46 + name + extra + comment
    tail = bytearray(whole[end:])
    struct.pack_into("<I", tail, 16, at + len(head))
    return _written(bait, head, whole[:at], bytes(directory), bytes(tail))
