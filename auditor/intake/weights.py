"""Putting a checkpoint's weights into a model: all of them, exactly, or a clear refusal."""

from collections.abc import Iterable

import torch
from torch import nn

from auditor.core.errors import InputError
from auditor.core.text import clean_text, listed

PREFIXES = ("module.", "_orig_mod.", "model.", "net.")
"""What wrappers put before every name: DataParallel, torch.compile, trainers."""


def fit(
    weights: dict[str, torch.Tensor], model: nn.Module, shown: str
) -> tuple[dict[str, torch.Tensor], str]:
    """Return the weights under the model's own names, and the prefix taken off them.

    Batch-norm counters that old versions of PyTorch did not save may be missing.

    Raises:
        InputError: names are missing or unexpected, or shapes differ; they are listed.
    """
    wanted = model.state_dict()
    optional = {name for name in wanted if name.endswith("num_batches_tracked")}
    named, prefix = _without_prefix(weights, set(wanted) - optional)
    missing = sorted(set(wanted) - set(named) - optional)
    unexpected = sorted(set(named) - set(wanted))
    misshapen = sorted(
        f"{clean_text(name)} is {_shape(named[name])}, the model wants {_shape(wanted[name])}"
        for name in set(named) & set(wanted)
        if named[name].shape != wanted[name].shape
    )
    if not (missing or unexpected or misshapen):
        filled = dict(named)
        for name in optional - set(named):
            filled[name] = wanted[name].detach().clone()
        return filled, prefix
    lines = [f"{shown}: the checkpoint does not fit the model that the factory builds"]
    if missing:
        lines.append(f"  missing from the checkpoint ({len(missing):,}): {listed(missing)}")
    if unexpected:
        lines.append(f"  not in the model ({len(unexpected):,}): {listed(unexpected)}")
    if misshapen:
        lines.append(f"  of another shape ({len(misshapen):,}): {'; '.join(misshapen[:5])}")
    lines.append(f"  {_hint(missing, unexpected, misshapen)}")
    raise InputError("\n".join(lines))


def _without_prefix(
    weights: dict[str, torch.Tensor], wanted: set[str]
) -> tuple[dict[str, torch.Tensor], str]:
    removed = ""
    named = weights
    while not wanted <= set(named):
        prefix = next((p for p in PREFIXES if named and all(n.startswith(p) for n in named)), None)
        if prefix is None:
            return (named, removed) if wanted & set(named) else (weights, "")
        named = {name.removeprefix(prefix): tensor for name, tensor in named.items()}
        removed += prefix
    return named, removed


def _hint(missing: list[str], unexpected: list[str], misshapen: list[str]) -> str:
    first = _common_prefix(unexpected)
    if missing and first and {name.removeprefix(first) for name in unexpected} & set(missing):
        hint = f"Hint: the checkpoint's names begin with {clean_text(first)!r}, the model's do not"
        return f"{hint}: rename them, or let the factory build the whole that was saved."
    first = _common_prefix(missing)
    if unexpected and first and {name.removeprefix(first) for name in missing} & set(unexpected):
        hint = f"Hint: the model's names begin with {clean_text(first)!r}, the checkpoint's do not"
        return f"{hint}: let the factory return the part that was saved."
    if misshapen and not missing and not unexpected:
        return "Hint: same names, other sizes: check the factory's arguments (`model: args`)."
    return "Hint: check that `model: factory` and its `args` are those of this checkpoint."


def _common_prefix(names: Iterable[str]) -> str:
    heads = {name.split(".", 1)[0] for name in names if "." in name}
    return f"{heads.pop()}." if len(heads) == 1 else ""


def _shape(tensor: torch.Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a scalar"
