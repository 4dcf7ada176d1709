"""Settings that look like secrets are told by name alone, wherever a value of theirs is shown."""

import re

from auditor.core.text import LONGEST, clean_text

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


def _flat(value: object) -> tuple[object, ...]:
    if isinstance(value, list | tuple):
        return tuple(value[:64])
    return tuple(value.values())[:64] if isinstance(value, dict) else (value,)
