"""Models that timm and torchvision know by name; never with weights of theirs."""

import difflib
import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from auditor.core.errors import InputError
from auditor.core.text import clean_text
from auditor.intake.frameworks.package import package
from auditor.intake.frameworks.source import Source

FETCHING = (
    "pretrained",
    "weights",
    "weights_backbone",
    "pretrained_backbone",
    "checkpoint_path",
    "pretrained_cfg",
    "pretrained_cfg_overlay",
    "pretrained_strict",
    "cache_dir",
)
"""Arguments by which the two would fetch weights, or read them from files."""


def zoo_source(library: str, name: str, arguments: dict[str, Any]) -> Source:
    """Return the source of a model that timm or torchvision knows by `name`.

    Raises:
        InputError: the library is missing, knows no such model, or is to fetch weights.
    """
    known, make, code = (_timm if library == "timm" else _torchvision)(name)
    if name.partition(".")[0] not in known:
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
        hint = f"did you mean {', '.join(map(repr, near))}?" if near else "see its documents"
        raise InputError(f"model.factory: {library} has no {clean_text(name, 60)!r}; {hint}")
    for key in FETCHING:
        if arguments.get(key):
            raise InputError(
                f"model.args.{key}: {library} would fetch weights; an audit takes them from "
                "`model.checkpoint` alone: leave it out"
            )
    rest = {key: value for key, value in arguments.items() if key not in FETCHING}
    return Source(make, code, rest)


def _timm(name: str) -> tuple[list[str], Callable[..., Any], Any]:
    timm = package("timm", "model.factory")
    code = timm.model_entrypoint(name.partition(".")[0]) if timm.is_model(name) else None
    return timm.list_models(), partial(timm.create_model, name, pretrained=False), code


def _torchvision(name: str) -> tuple[list[str], Callable[..., Any], Any]:
    models = package("torchvision", "model.factory").models
    known = models.list_models()
    code = models.get_model_builder(name) if name in known else None
    takes = inspect.signature(code).parameters if code is not None else ()
    nothing = {key: None for key in ("weights", "weights_backbone") if key in takes}
    return known, partial(models.get_model, name, **nothing), code
