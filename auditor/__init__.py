"""Tells what is wrong with a neural network before it ships."""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["audit"]

if TYPE_CHECKING:
    from auditor.api import audit


def __getattr__(name: str) -> Any:
    """Import `audit` when it is first asked for: it brings torch with it."""
    if name == "audit":
        from auditor.api import audit

        return audit
    raise AttributeError(f"module 'auditor' has no attribute {name!r}")
