"""Checkpoints that lie elsewhere: fetched whole into a cache of this user's alone, then opened.

Reached through fsspec, which knows of S3, Google's and Azure's storage, the Hugging Face Hub, web
servers and many others; the package of each is the user's to install. What is fetched goes through
the same gate as a file of this machine.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from auditor.core.addresses import credentials_in, protocol_of, without_credentials
from auditor.core.errors import InputError
from auditor.core.text import clean_text
from auditor.opening.fetching import Place, in_cache

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

WEB_SECONDS = 60
"""Seconds that a web server may be silent."""


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
        return in_cache(address, Place(files, path, files.info(path), shown))
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
    if protocol not in (*fsspec.available_protocols(), *fsspec.registry):
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


def _reason(error: BaseException, address: str, options: Mapping[str, Any]) -> str:
    """Return why it can't be fetched, in one line that shows no credentials."""
    if isinstance(error, FileNotFoundError) and error.__cause__ is not None:
        error = error.__cause__  # what a web server answered
    status = getattr(error, "status", None)
    if isinstance(error, FileNotFoundError) or status in (404, 410):
        return "does not exist, or is not shown to you"
    if isinstance(error, PermissionError) or status in (401, 403):
        return "may not be read; look at the credentials that its filesystem finds"
    if isinstance(status, int):
        return f"can't be fetched: its server answers {status}"
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
