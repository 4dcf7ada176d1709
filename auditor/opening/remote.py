"""Checkpoints that lie elsewhere: fetched whole into a cache of this user's alone, then opened.

Reached through fsspec, which knows of S3, Google's and Azure's storage, the Hugging Face Hub, web
servers and many others; the package of each is the user's to install. What is fetched goes through
the same gate as a file of this machine.
"""

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

from auditor.core.addresses import credentials_in, protocol_of, without_credentials
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

NOT_FETCHED = frozenset(
    {
        "file",
        "local",
        "zip",
        "tar",
        "libarchive",
        "dir",
        "generic",
        "reference",
        "data",
        "cached",
        "blockcache",
        "filecache",
        "simplecache",
        "asynclocal",
        "async_wrapper",
        "asyncwrapper",
        "jupyter",
        "jlab",
        "pyscript",
    }
)
"""What fsspec knows beside places to fetch from: this machine, archives and its own caches."""

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

WEB_SECONDS = 60
"""Seconds that a web server may be silent."""


@dataclass(frozen=True)
class _Place:
    """An address, opened: its filesystem, its path there, and it for people."""

    files: Any
    path: str
    shown: str
    folder: bool
    facts: Mapping[str, Any]


def fetched(address: str) -> Path:
    """Return the file or folder of the cache that holds what lies at an address.

    It is fetched unless the cache has it of the version that is there now.

    Raises:
        InputError: it does not exist, can't be reached, or is too large.
    """
    shown = clean_text(without_credentials(address))
    options: Mapping[str, Any] = {}
    try:
        import fsspec  # type: ignore[import-untyped]
    except ImportError:
        raise InputError(
            f"{shown}: fetching a checkpoint needs fsspec: pip install 'auditor[remote]'"
        ) from None
    _refuse(address, shown, fsspec)
    try:
        files, path = fsspec.core.url_to_fs(address, skip_instance_cache=True, **_options(address))
        options = files.storage_options
        place = _found(files, path, shown)
        return _in_cache(address, place)
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001 - each filesystem raises what it likes
        raise InputError(f"{shown}: {_reason(error, address, options)}") from None


def _refuse(address: str, shown: str, fsspec: Any) -> None:
    protocol = protocol_of(address)
    if protocol in NOT_FETCHED or "::" in address:
        raise InputError(
            f"{shown}: not an address to fetch from; name the path of a file or folder itself"
        )
    if protocol not in fsspec.registry.known_implementations and (
        protocol not in fsspec.available_protocols()
    ):
        raise InputError(
            f"{shown}: unknown kind of address {protocol!r}; known are s3, gs, az, hf, https and "
            "what else fsspec knows"
        )


def _options(address: str) -> dict[str, Any]:
    if protocol_of(address) not in ("http", "https"):
        return {}
    import aiohttp

    # Its default ends every download after five minutes.
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=30, sock_read=WEB_SECONDS)
    return {"client_kwargs": {"timeout": timeout}}


def _found(files: Any, path: str, shown: str) -> _Place:
    facts = files.info(path)
    return _Place(files, path, shown, facts.get("type") == "directory", facts)


def _in_cache(address: str, place: _Place) -> Path:
    """Return the place in the cache, filled unless the same version is there."""
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
        return _kept(room, cache / key) / name
    finally:
        shutil.rmtree(room, ignore_errors=True)


def _kept(room: Path, final: Path) -> Path:
    """Give what was fetched whole its name; what another audit fetched meanwhile goes before."""
    try:
        os.rename(room, final)
    except OSError:
        # There already, of an address that tells no version: what was there may be older.
        old = Path(tempfile.mkdtemp(prefix=".old-", dir=final.parent))
        os.rename(final, old / "old")
        os.rename(room, final)
        shutil.rmtree(old, ignore_errors=True)
    return final


def _version(facts: Mapping[str, Any]) -> dict[str, str]:
    """Return what tells a file's version; nothing where its size alone is known."""
    told = {name: str(facts[name]) for name in facts if str(name).lower() in VERSIONS}
    told = {name: text for name, text in told.items() if text not in ("", "None")}
    return {**told, "size": str(facts.get("size"))} if told else {}


def _listing(place: _Place, folder: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
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


def _fetch_folder(place: _Place, listing: Mapping[str, Mapping[str, Any]], to: Path) -> None:
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


def _reason(error: Exception, address: str, options: Mapping[str, Any]) -> str:
    """Return why it can't be fetched, in one line that shows no credentials."""
    if isinstance(error, FileNotFoundError):
        return "does not exist, or is not shown to you"
    if isinstance(error, PermissionError):
        return "may not be read; look at the credentials that its filesystem finds"
    said = str(error).strip().partition("\n")[0]
    for secret in sorted({*credentials_in(address), *_texts(options)}, key=len, reverse=True):
        said = said.replace(secret, "...")
    if isinstance(error, ImportError):
        return f"its filesystem needs a package that is missing: {clean_text(said, 120)}"
    return f"can't be fetched: {type(error).__name__}: {clean_text(said, 160)}"


def _texts(value: Any) -> Iterator[str]:
    """Yield the texts in a filesystem's options."""
    if isinstance(value, str) and len(value) > 3:
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)
