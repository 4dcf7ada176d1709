"""From what names a checkpoint to where it lies on this machine."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from auditor.core.addresses import is_address, without_credentials
from auditor.core.errors import InputError
from auditor.core.spec import AuditSpec
from auditor.core.spec_file import from_home
from auditor.core.text import clean_text
from auditor.opening.remote import fetched


def located(named: str, base: Path, key: str = "model.checkpoint") -> Path:
    """Return where a checkpoint lies: a path from `base`, or in the cache what an address names.

    `key` is what named it, for messages.

    Raises:
        InputError: there is no such home, or it can't be fetched.
    """
    return fetched(named) if is_address(named) else base / from_home(named, key)


@contextlib.contextmanager
def told_by_name(path: Path, named: str) -> Iterator[None]:
    """Let errors about what was fetched to `path` name its address, not its place in the cache."""
    try:
        yield
    except InputError as error:
        if not is_address(named):
            raise
        shown = clean_text(without_credentials(named))
        raise InputError(str(error).replace(clean_text(path), shown)) from None


def at_hand(spec: AuditSpec) -> AuditSpec:
    """Return a spec whose checkpoint lies on this machine, and whose address has no credentials.

    Raises:
        InputError: the checkpoint has an address, and can't be fetched.
    """
    named = spec.model.checkpoint
    if named is None or spec.fetched is not None or not is_address(named):
        return spec
    model = spec.model.model_copy(update={"checkpoint": without_credentials(named)})
    return spec.model_copy(update={"model": model, "fetched": fetched(named)})
