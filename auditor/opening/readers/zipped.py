"""Zip files: those of torch.save, and others told apart by what they hold.

Readers of zip files disagree on files that contradict themselves, and what one of them shows is
then not what another loads. So only files that can be read in one way are read: the list at the
end and the entries' own headers agree, entries do not overlap, and every checksum fits.
"""

import itertools
import stat
import struct
import zipfile
import zlib

from auditor.core.errors import InputError
from auditor.core.text import clean_text, counted, listed
from auditor.opening.checksums import Run
from auditor.opening.foreign import foreign_zip
from auditor.opening.readers import exported, torch_zip, torchscript
from auditor.opening.reading import Reading

MOST_ENTRIES = 100_000

MOST_RATIO = 128
"""Times its packed bytes that an entry may come to, above `SMALL`."""
SMALL = 1 << 20

LONGEST_NAME = 1_024
LOCAL_HEADER = struct.Struct("<4s5H3I2H")
ENCRYPTED = 0x2041
"""Bits of an entry's flags: encrypted, strongly encrypted, its header masked."""
IN_FULL = 0xFFFFFFFF
"""A size that stands elsewhere, for it takes 64 bits."""

UNFIT = (
    zipfile.BadZipFile,
    zlib.error,
    NotImplementedError,
    RuntimeError,
    UnicodeDecodeError,
    struct.error,
    EOFError,
    OSError,
)
"""What reading a damaged zip file raises."""


def read(reading: Reading) -> tuple[str, object]:
    """Return what stands in a zip file.

    Raises:
        InputError: it is damaged, contradicts itself, or is of a kind that is not read.
    """
    try:
        archive = zipfile.ZipFile(reading.first)
        runs = checked(reading, archive)
        reading.checked(runs)
        for entry in archive.infolist():
            if entry.compress_type != zipfile.ZIP_STORED:
                _unpacked(archive, entry)
    except UNFIT as error:
        raise InputError(
            f"a truncated or damaged zip file ({clean_text(error, 120)}); copy or download it again"
        ) from error
    names = archive.namelist()
    bare = [name.partition("/")[2] or name for name in names]
    if exported.is_exported(bare):
        return exported.read(reading, archive)
    if "constants.pkl" in bare:
        return torchscript.read(reading, archive)
    if "data.pkl" in bare:
        return torch_zip.read(reading, archive)
    kind = foreign_zip(names)
    if kind is not None:
        raise InputError(str(kind))
    raise InputError(
        f"not a checkpoint: a zip file that torch.save did not write; it holds "
        f"{listed(names, 3) or 'nothing'}"
    )


def checked(reading: Reading, archive: zipfile.ZipFile) -> list[Run]:
    """Return where the bytes of entries lie that are stored as they are, with their checksums.

    Raises:
        InputError: an entry's name, kind, size or place is not that of a checkpoint's record.
    """
    entries = archive.infolist()
    if len(entries) > MOST_ENTRIES:
        raise InputError(
            f"a zip file of {len(entries):,} entries; at most {MOST_ENTRIES:,} are read"
        )
    seen: set[str] = set()
    for entry in entries:
        _check_entry(entry)
        # torch finds entries whatever the case of their names.
        if entry.filename.casefold() in seen:
            raise InputError(f"two entries of the same name: {clean_text(entry.filename, 120)}")
        seen.add(entry.filename.casefold())
    ranges = [(entry.header_offset, *bytes_of(reading, entry), entry) for entry in entries]
    ranges.sort(key=lambda one: one[0])
    if ranges and ranges[0][0] != 0:
        raise InputError(f"{counted(ranges[0][0], 'byte')} stand before its first entry")
    ends = [*(header for header, *_ in ranges[1:]), archive.start_dir]
    for (_, start, size, entry), end in zip(ranges, ends, strict=True) if ranges else ():
        if start + size > end:
            raise InputError(f"entries that overlap: {clean_text(entry.filename, 120)}")
    reading.first.seek(0, 2)
    if archive.comment or reading.first.tell() != _end(reading, archive):
        raise InputError("bytes that belong to nothing stand behind its list of entries")
    return [
        Run(start, size, entry.CRC, entry.filename)
        for _, start, size, entry in ranges
        if entry.compress_type == zipfile.ZIP_STORED
    ]


def one_root(names: list[str]) -> str:
    """Return the folder that all entries lie in, with its slash.

    Raises:
        InputError: there are several, or none.
    """
    roots = dict.fromkeys(name.partition("/")[0] if "/" in name else "" for name in names)
    if len(roots) != 1 or "" in roots:
        raise InputError(f"entries in several folders: {listed([r or './' for r in roots], 3)}")
    return f"{next(iter(roots))}/"


def bytes_of(reading: Reading, entry: zipfile.ZipInfo) -> tuple[int, int]:
    """Return where an entry's bytes lie in the file and how many they are, packed as they are.

    Raises:
        InputError: the entry's own header says otherwise than the list of entries.
    """
    file = reading.first
    file.seek(entry.header_offset)
    (magic, _, flags, packing, _, _, crc, packed, size, name, extra) = LOCAL_HEADER.unpack(
        file.read(LOCAL_HEADER.size)
    )
    told_later = bool(flags & 8)
    own = file.read(name)
    named = own.decode("utf-8" if flags & 0x800 else "cp437", "replace")
    agrees = (
        magic == b"PK\x03\x04"
        and named == entry.orig_filename
        and packing == entry.compress_type
        and (flags ^ entry.flag_bits) & ENCRYPTED == 0
        and (crc == entry.CRC or (told_later and crc == 0))
        and (packed in (entry.compress_size, IN_FULL) or (told_later and packed == 0))
        and (size in (entry.file_size, IN_FULL) or (told_later and size == 0))
    )
    if not agrees:
        raise InputError(
            f"damaged: the header of {clean_text(entry.filename, 120)} contradicts the zip file's "
            "list of entries"
        )
    return entry.header_offset + LOCAL_HEADER.size + name + extra, entry.compress_size


def _check_entry(entry: zipfile.ZipInfo) -> None:
    name, shown = entry.orig_filename, clean_text(entry.filename, 120)
    parts = name.split("/")
    if len(name) > LONGEST_NAME or not name.isprintable() or "\\" in name:
        raise InputError(f"an entry whose name is none: {shown}")
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if entry.volume or kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise InputError(f"an entry of the zip file that is no file: {shown}")
    if (
        name.startswith("/")
        or ".." in parts
        or "." in parts
        or "" in parts[:-1]
        or parts[0].endswith(":")
    ):
        raise InputError(f"an entry whose name leads out of the file: {shown}")
    if entry.flag_bits & ENCRYPTED:
        raise InputError(f"an encrypted entry: {shown}")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise InputError(f"an entry packed in a way that is not read: {shown}")
    if entry.compress_type == zipfile.ZIP_STORED and entry.compress_size != entry.file_size:
        raise InputError(f"an entry of two sizes: {shown}")
    if entry.file_size > max(SMALL, MOST_RATIO * entry.compress_size):
        raise InputError(
            f"an entry that swells from {entry.compress_size:,} to {entry.file_size:,} bytes: "
            f"{shown}; save the checkpoint anew with torch.save, which packs nothing"
        )


def _unpacked(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    """Read an entry to its end, which compares its checksum."""
    with archive.open(entry) as stream:
        for _ in itertools.takewhile(bool, iter(lambda: stream.read(1 << 20), None)):
            pass


def _end(reading: Reading, archive: zipfile.ZipFile) -> int:
    """Return where a zip file ends whose list of entries nothing follows but its end record."""
    file = reading.first
    at = archive.start_dir
    for _ in range(MOST_ENTRIES + 3):
        file.seek(at)
        head = file.read(46)
        if head[:4] == b"PK\x01\x02":
            at += 46 + sum(struct.unpack_from("<3H", head, 28))
        elif head[:4] == b"PK\x06\x06":
            at += 12 + struct.unpack_from("<Q", head, 4)[0]
        elif head[:4] == b"PK\x06\x07":
            at += 20
        elif head[:4] == b"PK\x05\x06":
            disks, here, entries, comment = struct.unpack_from("<I2H8xH", head, 4)
            count = min(len(archive.filelist), 0xFFFF)
            if disks not in (0, 0xFFFFFFFF) or {here, entries} - {count, 0xFFFF} or comment:
                raise InputError("the end of its zip file contradicts its list of entries")
            return at + 22
        else:
            break
    raise InputError("its list of entries is followed by what belongs to no zip file")
