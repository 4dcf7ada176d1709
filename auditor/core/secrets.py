"""Settings that look like secrets are told by name alone, wherever a value of theirs is shown."""

import hashlib
import json
import math
import re
import secrets
from collections.abc import Mapping
from typing import Any

from auditor.core.text import LONGEST, clean_text, without_login

MASK = "(hidden: looks like a secret)"
"""What stands in the place of a secret."""

_ALWAYS = frozenset(
    {
        "password",
        "passwd",
        "passphrase",
        "pwd",
        "secret",
        "secrets",
        "credential",
        "credentials",
        "apikey",
    }
)
"""Words of a name whose values are secret, whatever they look like."""
_LAST = frozenset(
    {"key", "keys", "token", "tokens", "auth", "authorization", "bearer", "cookie", "dsn", "pat"}
)
"""Last words of a name whose values are secret where they are texts."""

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")

_VALUE = re.compile(
    r"\b(hf_|sk-|rk_live_|sk_live_|gh[opsur]_|github_pat_|glpat-|xox[abeprs]-|AKIA|ASIA|AIza|ya29\.)"
    r"[\w-]{8,}"
    r"|\beyJ[\w-]{8,}\.[\w-]{8,}"  # a JSON web token
    r"|://[^/\s:@]+:[^/\s@]+@"  # an address with a password
    r"|-----BEGIN [A-Z ]*PRIVATE KEY"
)
"""Values that are known by their look."""

_MARK = re.compile(r"[<\[].*[>\]]")
"""A token of a vocabulary, such as "<pad>" or "[MASK]"."""


def is_secret(name: str, value: object) -> bool:
    """Tell whether the value of a setting, by its dotted name, looks like a secret."""
    if value is None or isinstance(value, bool) or value == "":
        return False
    parts = [[word.lower() for word in _WORD.findall(part)] for part in name.split(".")]
    if any(_ALWAYS.intersection(words) for words in parts):
        return True
    texts = [one for one in _flat(value) if isinstance(one, str)]
    if any(words and words[-1] in _LAST for words in parts):
        return any(text and not _MARK.fullmatch(text) for text in texts)
    return any(_VALUE.search(text) for text in texts)


def shown_setting(name: str, value: object, longest: int = LONGEST) -> str:
    """Return the value of a setting as safe text, masked where it looks like a secret."""
    return MASK if is_secret(name, value) else clean_text(value, longest)


FREE = ("model.args", "data.args", "training.schedule", "training.optimizer")
"""Parts of a spec whose keys are the user's own, so that their names may tell of a secret."""


def told_spec(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plain values of a spec as a record and a journal keep them: without secrets.

    Numbers that JSON has no word for become words.
    """
    told: dict[str, Any] = _told(spec, "", "", {})
    return told


def sealed(spec: Mapping[str, Any], seal: str = "") -> str:
    """Return a seal of what `told_spec` leaves out, to tell later whether it is still the same.

    It is empty where nothing is left out. Given an earlier seal, it is equal if the secrets are.
    Seals are salted and slow to make, lest short secrets be guessed from them.
    """
    left_out: dict[str, Any] = {}
    _told(spec, "", "", left_out)
    if not left_out:
        return ""
    salt = seal.partition(":")[0] or secrets.token_hex(16)
    whole = json.dumps(left_out, sort_keys=True, default=repr).encode("utf-8", "surrogatepass")
    digest = hashlib.scrypt(whole, salt=salt.encode("utf-8"), n=1 << 14, r=8, p=1, dklen=32)
    return f"{salt}:{digest.hex()}"


def _told(value: Any, place: str, name: str, left_out: dict[str, Any]) -> Any:
    """Return what is told of a value; `place` is its key, `name` what of it is the user's own."""
    if isinstance(value, Mapping):
        return {
            key: _told(
                inner,
                f"{place}.{key}" if place else str(key),
                (f"{name}.{key}" if name else str(key)) if name or place in FREE else "",
                left_out,
            )
            for key, inner in value.items()
        }
    if name and is_secret(name, value):
        left_out[place] = value
        return MASK
    if isinstance(value, list | tuple):
        return [_told(one, f"{place}.{n}", name, left_out) for n, one in enumerate(value)]
    if isinstance(value, str) and (shown := without_login(value)) != value:
        left_out[place] = value
        return shown
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _flat(value: object) -> tuple[object, ...]:
    if isinstance(value, list | tuple):
        return tuple(value[:64])
    return tuple(value.values())[:64] if isinstance(value, dict) else (value,)
