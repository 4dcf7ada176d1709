"""From what names a checkpoint to where it lies on this machine."""

from pathlib import Path

from auditor.core.addresses import is_address, without_credentials
from auditor.core.spec import AuditSpec
from auditor.core.spec_file import from_home
from auditor.opening.remote import fetched


def located(named: str, base: Path, key: str = "model.checkpoint") -> Path:
    """Return where a checkpoint lies: a path from `base`, or in the cache what an address names.

    `key` is what named it, for messages.

    Raises:
        InputError: there is no such home, or it can't be fetched.
    """
    return fetched(named) if is_address(named) else base / from_home(named, key)


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
