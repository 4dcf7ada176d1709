"""Addresses of files that lie elsewhere, such as `s3://bucket/weights.pt`, told from paths."""

import re
from urllib.parse import parse_qsl, unquote, urlsplit

from auditor.core.secrets import is_secret

_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://(?=.)", re.DOTALL)


def is_address(named: str) -> bool:
    """Tell whether what is named is an address. No path of this machine is written like one."""
    return _ADDRESS.match(named) is not None


def protocol_of(address: str) -> str:
    """Return what an address begins with: "s3"."""
    found = _ADDRESS.match(address)
    return found[1].lower() if found else ""


def without_credentials(named: str) -> str:
    """Return an address without passwords, tokens and signatures; a path as it is.

    Of web addresses everything after the path goes, of others what looks like a secret.
    """
    if not is_address(named):
        return named
    protocol = protocol_of(named)
    head, mark, rest = named.partition("://")
    web = protocol in ("http", "https")
    place, *_ = re.split(r"[?#]", rest, maxsplit=1) if web else [rest]
    host, slash, path = place.partition("/")
    # In other addresses, what stands before an @ may be a container or the name of a user.
    user, at, server = host.rpartition("@")
    if at and (web or ":" in user or is_secret("", user)):
        host = server
    path, question, query = path.partition("?")
    if question and not any(is_secret(name, value) for name, value in parse_qsl(query)):
        path += question + query
    return f"{head}{mark}{host}{slash}{path}"


def credentials_in(address: str) -> list[str]:
    """Return the parts of an address that a text about it must not show, the longest first."""
    whole = urlsplit(address) if is_address(address) else None
    if whole is None:
        return []
    user, _, _ = whole.netloc.rpartition("@")
    told = [*whole.query.split("&"), *whole.fragment.split("&")]
    values = [part.partition("=")[2] for part in told]
    parts = [user, *user.split(":"), whole.query, whole.fragment, *values]
    parts = [*parts, *map(unquote, parts)]
    shown = without_credentials(address)
    return sorted({part for part in parts if part and part not in shown}, key=len, reverse=True)
