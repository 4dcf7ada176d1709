"""Putting a checkpoint's weights into a model: all of them, exactly, or a clear refusal."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import permutations
from typing import Any

import torch
from torch import nn

from auditor.core.errors import InputError
from auditor.core.spec import AllowSpec
from auditor.core.subject import LeftOut
from auditor.core.text import clean_text, listed

WRAPPERS = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
"""Modules that torch.compile, FSDP and checkpointed activations put in between, anywhere."""

PARALLEL = "module."
"""What DataParallel, DistributedDataParallel and averaged models put before every name."""

AVERAGED = "n_averaged"
"""The counter that `torch.optim.swa_utils.AveragedModel` keeps beside the weights."""

LEADING = (PARALLEL, *(f"{word}." for word in WRAPPERS), "model.", "net.")
"""What wrappers and trainers put before names, one after the other."""

NOTHING = AllowSpec()

MOST_PATTERNS = 3
"""Parts of a model that may not fit and still be meant; with more, it is another model."""


@dataclass(frozen=True)
class Fit:
    """Weights under the model's own names, the prefix that was taken off, and what was left out."""

    weights: dict[str, torch.Tensor]
    removed: str = ""
    left_out: LeftOut = field(default_factory=LeftOut)


def fit(
    weights: dict[str, torch.Tensor], model: nn.Module, shown: str, allow: AllowSpec = NOTHING
) -> Fit:
    """Return the weights as the model's `load_state_dict` wants them.

    Batch-norm counters that old versions of PyTorch did not save may be missing, and names whose
    tensor is tied to one that is there. What `allow` names by pattern may be missing, unexpected or
    of another shape: it is left as the factory made it.

    Raises:
        InputError: names are missing or unexpected, or shapes differ; they are listed.
    """
    wanted = model.state_dict()
    optional = {name for name in wanted if name.endswith(("num_batches_tracked", "_extra_state"))}
    needed = {name for name in wanted if not _any(name, allow.missing)} - optional
    spare = [n for n in weights if n not in wanted and _any(n, allow.unexpected)]
    named, removed = _named_as(
        {name: tensor for name, tensor in weights.items() if name not in spare},
        wanted,
        needed,
        shown,
    )
    missing = sorted(set(wanted) - set(named) - optional)
    unexpected = sorted(set(named) - set(wanted))
    misshapen = sorted(
        name for name in set(named) & set(wanted) if _shape(named[name]) != _shape(wanted[name])
    )
    left_out = LeftOut(
        missing=tuple(name for name in missing if _any(name, allow.missing)),
        unexpected=tuple(sorted([*spare, *(n for n in unexpected if _any(n, allow.unexpected))])),
        misshapen=tuple(name for name in misshapen if _any(name, allow.misshapen)),
    )
    missing = [name for name in missing if name not in left_out.missing]
    unexpected = [name for name in unexpected if name not in left_out.unexpected]
    differing = {
        name: f"{clean_text(name)} is {_shape(named[name])}, the model wants {_shape(wanted[name])}"
        for name in misshapen
        if name not in left_out.misshapen
    }
    if missing or unexpected or differing:
        raise InputError(_refusal(shown, missing, unexpected, differing))
    own = (set(wanted) - set(named)) | {*left_out.misshapen}
    if own == set(wanted):
        raise InputError(f"{shown}: nothing of the checkpoint is in the model (`model: allow`)")
    filled = {name: _copied(wanted[name]) if name in own else named[name] for name in wanted}
    return Fit(filled, removed, left_out)


def _named_as(
    weights: dict[str, torch.Tensor], wanted: dict[str, Any], needed: set[str], shown: str
) -> tuple[dict[str, torch.Tensor], str]:
    """Return the weights without what wrappers put into their names, and what that was.

    A prefix that is no wrapper's, such as "model.", is taken off only where all names fit then.
    """
    best, removed, most = weights, "", 0
    tied = _tied(wanted)
    for renamed, taken in _renamings(weights):
        if len(renamed) < len(weights) - (AVERAGED in weights):
            raise InputError(
                f"{shown}: without {clean_text(taken)!r}, which wrappers put there, two of the "
                "checkpoint's names would be the same"
            )
        unknown = len(renamed.keys() - wanted.keys())
        renamed = {**{name: renamed[n] for name, n in tied if n in renamed}, **renamed}
        if needed <= renamed.keys() and not unknown:
            return renamed, taken
        fitting = len(renamed.keys() & wanted.keys())
        if _of_wrappers(taken) and fitting > most:
            best, removed, most = renamed, taken, fitting
    return best, removed


def _renamings(
    weights: dict[str, torch.Tensor],
) -> Iterator[tuple[dict[str, torch.Tensor], str]]:
    """Yield the weights under the names that may be the model's, with what was taken off."""
    yield weights, ""
    named, taken = weights, ""
    inner = [word for word in WRAPPERS if any(word in name.split(".") for name in named)]
    if inner:
        named = {_without(name, inner): tensor for name, tensor in named.items()}
        taken = "".join(f"{word}." for word in inner)
        yield named, taken
    while prefix := _common_prefix(name for name in named if name != AVERAGED):
        if prefix == PARALLEL:
            named = {name: tensor for name, tensor in named.items() if name != AVERAGED}
        elif AVERAGED in named:
            return
        named = {name.removeprefix(prefix): tensor for name, tensor in named.items()}
        taken += prefix
        yield named, taken


def _any(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _tied(wanted: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the pairs of names that stand for the same tensor."""
    names: dict[tuple[object, ...], list[str]] = {}
    for name, value in wanted.items():
        if isinstance(value, torch.Tensor) and value.layout is torch.strided and value.numel():
            place = value.data_ptr(), value.dtype, value.shape, value.stride()
            names.setdefault(place, []).append(name)
    return [pair for same in names.values() for pair in permutations(same, 2)]


def _without(name: str, inner: list[str]) -> str:
    return ".".join(word for word in name.split(".") if word not in inner)


def _of_wrappers(removed: str) -> bool:
    return all(word in (*WRAPPERS, "module", "") for word in removed.split("."))


def _copied(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, torch.Tensor) else value


def _refusal(
    shown: str, missing: list[str], unexpected: list[str], differing: Mapping[str, str]
) -> str:
    lines = [f"{shown}: the checkpoint does not fit the model that the factory builds"]
    if missing:
        lines.append(f"  missing from the checkpoint ({len(missing):,}): {listed(missing)}")
    if unexpected:
        lines.append(f"  not in the model ({len(unexpected):,}): {listed(unexpected)}")
    if differing:
        lines.append(
            f"  of another shape ({len(differing):,}): {'; '.join(list(differing.values())[:5])}"
        )
    lines.append(f"  {_hint(missing, unexpected, differing)}")
    return "\n".join(lines)


def _hint(missing: list[str], unexpected: list[str], differing: Mapping[str, str]) -> str:
    first = _common_prefix(unexpected)
    if missing and first and {name.removeprefix(first) for name in unexpected} & set(missing):
        hint = f"Hint: the checkpoint's names begin with {clean_text(first)!r}, the model's do not"
        return f"{hint}: rename them, or let the factory build the whole that was saved."
    first = _common_prefix(missing)
    if unexpected and first and {name.removeprefix(first) for name in missing} & set(unexpected):
        hint = f"Hint: the model's names begin with {clean_text(first)!r}, the checkpoint's do not"
        return f"{hint}: let the factory return the part that was saved."
    if differing and not missing and not unexpected:
        return "Hint: same names, other sizes: check the factory's arguments (`model: args`)."
    if unexpected and not missing and not differing:
        return (
            "Hint: where the model does without them, say so with "
            f"`model: {{allow: {{unexpected: [{', '.join(_patterns(unexpected))}]}}}}`."
        )
    hint = "Hint: check that `model: factory` and its `args` are those of this checkpoint"
    patterns = {"missing": _patterns(missing), "unexpected": _patterns(unexpected),
                "misshapen": _patterns(differing)}  # fmt: skip
    if max(map(len, patterns.values())) > MOST_PATTERNS:
        return f"{hint}."
    allow = ", ".join(f"{what}: [{', '.join(p)}]" for what, p in patterns.items() if p)
    return f"{hint}; what is meant to be left out: `model: {{allow: {{{allow}}}}}`."


def _patterns(names: Iterable[str]) -> list[str]:
    """Return quoted patterns that name these names: one for each part of the model they are of."""
    parts: dict[str, list[str]] = {}
    for name in names:
        parts.setdefault(name.partition(".")[0], []).append(name)
    found = (f"{part}.*" if len(same) > 1 else same[0] for part, same in parts.items())
    return [f'"{clean_text(pattern, 60)}"' for pattern in found]


def _common_prefix(names: Iterable[str]) -> str:
    heads = {name.split(".", 1)[0] if "." in name else "" for name in names}
    head = heads.pop() if len(heads) == 1 else ""
    return f"{head}." if head else ""


def _shape(value: object) -> str:
    if not isinstance(value, torch.Tensor):
        return "no tensor"
    return "x".join(map(str, value.shape)) or "a scalar"
