"""Tells what is wrong with a neural network before it ships."""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Recorder", "audit"]

if TYPE_CHECKING:
    from auditor.api import audit
    from auditor.recorder import Recorder


def __getattr__(name: str) -> Any:
    """Import `audit` and `Recorder` when they are first asked for: they bring torch with them."""
    if name == "audit":
        from auditor.api import audit

        return audit
    if name == "Recorder":
        from auditor.recorder import Recorder

        return Recorder
    raise AttributeError(f"module 'auditor' has no attribute {name!r}")
