"""Which framework wrote a checkpoint, told by what stands in it."""

from typing import Any

LIGHTNING = "pytorch-lightning_version"


def with_origin(container: str, tree: Any) -> str:
    """Return what a checkpoint is, for people: "Lightning checkpoint (torch zip)"."""
    if isinstance(tree, dict) and LIGHTNING in tree and isinstance(tree.get("state_dict"), dict):
        return f"Lightning checkpoint ({container})"
    return container
