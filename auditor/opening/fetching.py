"""Fetching what lies on a filesystem elsewhere into the cache: whole, of one version, bounded."""

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from auditor.core.errors import InputError
from auditor.core.text import clean_text
from auditor.opening.files import LARGEST
from auditor.opening.folders import Layout, layout_of
from auditor.opening.listing import MOST_ENTRIES, Listing

PIECE = 8 << 20
"""Bytes that are read at a time."""
LARGEST_BESIDE = 32_000_000
"""Bytes of the largest file beside the weights that is fetched with a folder."""
BESIDE = re.compile(
    r"(?!tokenizer|vocab|merges)[\w.-]+\.(?:json|jsonl|ya?ml|csv|tsv|txt|toml|lock)"
    r"|training_args\.bin|events\.out\.tfevents\..+",
    re.IGNORECASE,
)
"""Files of settings and logs, which are fetched with a folder."""

VERSIONS = frozenset(
    {
        "etag",
        "content-md5",
        "contentmd5",
        "digest",
        "md5",
        "md5hash",
        "crc32c",
        "sha256",
        "blob_id",
        "generation",
        "content_hash",
        "last-modified",
        "lastmodified",
        "last_modified",
        "modified",
        "mtime",
        "created",
        "versionid",
        "version_id",
    }
)
"""What filesystems tell of a file by which a change of it is known."""


@dataclass(frozen=True)
class Place:
    """What lies at an address: its filesystem, its path there, what is told of it, and a name for
    people.
    """

    files: Any
    path: str
    facts: Mapping[str, Any]
    shown: str

    @property
    def folder(self) -> bool:
        """Tell whether it is a folder."""
        return self.facts.get("type") == "directory"


def in_cache(address: str, place: Place) -> Path:
    """Return what lies at an address from the cache, fetched unless the same version is there.

    Raises:
        InputError: it is too large, or a folder that is no checkpoint.
    """
    listing = dict(_listing(place)) if place.folder else {_name(place.path): place.facts}
    versions = {name: _version(facts) for name, facts in listing.items()}
    known = all(versions.values())
    cache = _cache()
    name = _name(place.path)
    key = hashlib.sha256(json.dumps([address, versions], sort_keys=True).encode()).hexdigest()[:40]
    kept = cache / key / name
    if known and kept.exists():
        return kept
    room = Path(tempfile.mkdtemp(prefix=".part-", dir=cache))
    try:
        if place.folder:
            _fetch_folder(place, listing, room / name)
        else:
            _fetch(place.files, place.path, place.facts, room / name, place.shown)
        _named(room, cache / key, replaces=not known)
        return kept
    finally:
        shutil.rmtree(room, ignore_errors=True)


def _named(room: Path, final: Path, *, replaces: bool) -> None:
    """Give what was fetched whole its name, unless another audit has fetched the same meanwhile."""
    try:
        os.rename(room, final)
    except OSError:
        if replaces:
            old = Path(tempfile.mkdtemp(prefix=".old-", dir=final.parent))
            os.rename(final, old / "old")
            os.rename(room, final)
            shutil.rmtree(old, ignore_errors=True)
        elif not final.is_dir():
            raise


def _version(facts: Mapping[str, Any]) -> dict[str, str]:
    """Return what tells a file's version; nothing where its size alone is known."""
    told = {name: str(facts[name]) for name in facts if str(name).lower() in VERSIONS}
    told = {name: text for name, text in told.items() if text not in ("", "None")}
    return {**told, "size": str(facts.get("size"))} if told else {}


def _listing(place: Place, folder: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the files of a folder to fetch, by their names in it, with what is told of each."""
    path = f"{place.path.rstrip('/')}/{folder}".rstrip("/")
    files: dict[str, Mapping[str, Any]] = {}
    folders: list[str] = []
    for count, facts in enumerate(place.files.ls(path, detail=True)):
        if count >= MOST_ENTRIES:
            raise InputError(f"{place.shown}: a folder of more than {MOST_ENTRIES:,} files")
        name = PurePosixPath(str(facts["name"]).rstrip("/")).name
        if not name or name == ".." or "\0" in name:
            continue
        if facts.get("type") == "directory":
            folders.append(name)
        else:
            files[name] = facts
    if folder:
        yield from ((f"{folder}/{name}", facts) for name, facts in files.items())
        return
    sizes = {name: int(facts.get("size") or 0) for name, facts in files.items()}
    there = Listing(dict(sorted(sizes.items())), tuple(sorted(folders)))
    try:
        layout = layout_of(there)
    except InputError as error:
        raise InputError(f"{place.shown}: {error}") from None
    yield from ((name, facts) for name, facts in files.items() if _wanted(name, sizes, layout))
    for inner in layout.folders:
        if inner in folders:
            yield from _listing(place, inner)


def _wanted(name: str, sizes: Mapping[str, int], layout: Layout) -> bool:
    small = sizes[name] <= LARGEST_BESIDE
    return name in layout.files or (small and BESIDE.fullmatch(name) is not None)


def _fetch_folder(place: Place, listing: Mapping[str, Mapping[str, Any]], to: Path) -> None:
    whole = sum(int(facts.get("size") or 0) for facts in listing.values())
    _refuse_too_large(whole, to.parent, place.shown)
    to.mkdir(mode=0o700)
    for name, facts in listing.items():
        target = to / name
        target.parent.mkdir(mode=0o700, exist_ok=True)
        _fetch(place.files, str(facts["name"]), facts, target, place.shown)


def _fetch(files: Any, path: str, facts: Mapping[str, Any], to: Path, shown: str) -> None:
    """Write the file at `path` to a new one of this machine, synced."""
    size = facts.get("size")
    _refuse_too_large(int(size or 0), to.parent, shown)
    descriptor = os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file, files.open(path, "rb") as source:
        written = 0
        while piece := source.read(PIECE):
            written += len(piece)
            if written > LARGEST:
                raise InputError(f"{shown}: more than {LARGEST:,} bytes; no more are fetched")
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    if size is not None and written != int(size):
        raise InputError(f"{shown}: {int(size):,} bytes were told, {written:,} came; try again")


def _refuse_too_large(size: int, folder: Path, shown: str) -> None:
    if size > LARGEST:
        raise InputError(f"{shown}: {size:,} bytes; at most {LARGEST:,} are fetched")
    free = shutil.disk_usage(folder).free
    if size > free:
        raise InputError(
            f"{shown}: {size:,} bytes, and the cache has room for {free:,}; choose another place "
            "with XDG_CACHE_HOME"
        )


def _cache() -> Path:
    """Return the folder of the cache, made for this user alone."""
    given, home = (Path(os.environ.get(name, "")) for name in ("XDG_CACHE_HOME", "HOME"))
    root = given if given.is_absolute() else home / ".cache"
    if not root.is_absolute():
        raise InputError("no home to keep fetched checkpoints in; set XDG_CACHE_HOME")
    cache = root / "auditor" / "checkpoints"
    try:
        root.mkdir(parents=True, exist_ok=True)
        for folder in (cache.parent, cache):
            folder.mkdir(mode=0o700, exist_ok=True)
        cache.chmod(0o700)
    except OSError as error:
        raise InputError(
            f"{clean_text(cache)}: fetched checkpoints can't be kept there: {error.strerror}; "
            "choose another place with XDG_CACHE_HOME"
        ) from None
    return cache


def _name(path: str) -> str:
    """Return the last part of a path as the name of a file here."""
    last = PurePosixPath(re.split(r"[?#]", path.rstrip("/"), maxsplit=1)[0]).name
    return last if re.fullmatch(r"\w[\w.+=@-]{0,199}", last) else "checkpoint"
