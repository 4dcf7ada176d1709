"""The first line of a recording: how training was set up, and on what."""

import datetime
import platform
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import nn
from torch.utils.data import RandomSampler

from auditor.core.secrets import is_secret
from auditor.core.text import clean_text
from auditor.intake.recorder_file import MARK, VERSION
from auditor.intake.surroundings import environment
from auditor.recorder.code import code_facts
from auditor.recorder.processes import together
from auditor.recorder.survey import data_facts

HOW = frozenset({"params", "foreach", "fused", "capturable", "differentiable", "initial_lr"})
"""Settings of an optimizer's group that say how a step is computed, or that are told apart."""

MOST = 200
"""Settings that are kept of those handed in."""

Header = dict[str, Any]


def header_of(
    model: nn.Module,
    optimizer: Any,
    scheduler: Any,
    loaders: Mapping[str, Any],
    settings: Mapping[str, Any],
    batches: int,
    batch: Callable[[Any], tuple[Any, Any]] | None,
) -> Header:
    """Return what is known as training starts; what can't be told is left out."""
    first = next(iter([*model.parameters(), *model.buffers()]), None)
    device = str(first.device) if first is not None else "cpu"
    train = loaders.get("train")
    told = {
        **(_optimizer(optimizer) if optimizer is not None else {}),
        **({"schedule": type(scheduler).__name__} if scheduler is not None else {}),
        **(_loader(train) if train is not None else {}),
        "seed": torch.initial_seed(),
        "processes": together(),
        "model": type(model).__name__,
        "parameters": sum(p.numel() for p in model.parameters()),
        "trainable": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "dtype": str(first.dtype).removeprefix("torch.") if first is not None else "",
        **dict(_plain(settings)),
    }
    return {
        MARK: VERSION,
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "environment": {**environment(device), "platform": _platform()},
        "settings": told,
        "data": {
            split: data_facts(loader, split, batches, batch) for split, loader in loaders.items()
        },
        "code": code_facts(model),
    }


def _platform() -> str:
    """Return the system, the kind of processor, and the C library: what wheels are built for."""
    return "-".join(filter(None, (platform.system(), platform.machine(), *platform.libc_ver())))


def marked(header: Header) -> Header:
    """Return what a row tells that stands where a run was gone on with."""
    kept = ("environment", "settings", "code")
    return {"resumed": header["started"], **{key: header[key] for key in kept if key in header}}


def _optimizer(optimizer: Any) -> dict[str, Any]:
    """Return the class and the settings of an optimizer; the rate is that which it began with."""
    groups = optimizer.param_groups
    first = groups[0]
    values = {key: value for key, value in first.items() if key not in HOW}
    values["lr"] = first.get("initial_lr", first.get("lr"))
    more = {"param_groups": len(groups)} if len(groups) > 1 else {}
    return {"optimizer": type(optimizer).__name__, **dict(_plain(values)), **more}


def _loader(loader: Any) -> dict[str, Any]:
    inner = getattr(loader, "batch_sampler", None)
    size = getattr(loader, "batch_size", None) or getattr(inner, "batch_size", None)
    sampler = getattr(loader, "sampler", None)
    values = {
        "batch_size": size,
        "drop_last": getattr(loader, "drop_last", None),
        "shuffle": True if isinstance(sampler, RandomSampler) else None,
    }
    return {key: value for key, value in values.items() if isinstance(value, bool | int)}


def _plain(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield settings that are plain values, those of one level below by dotted names."""
    for name, value in list(values.items())[:MOST]:
        key = clean_text(name, 80)
        if isinstance(value, torch.Tensor) and value.numel() == 1:
            value = value.item()
        if isinstance(value, str):
            if not is_secret(key, value):
                yield key, clean_text(value, 200)
        elif isinstance(value, bool | int) or value is None:
            yield key, value
        elif isinstance(value, float):
            yield key, value if abs(value) < float("inf") else str(value)
        elif isinstance(value, list | tuple) and all(isinstance(v, int | float) for v in value):
            yield key, list(value[:16])
        elif isinstance(value, Mapping):
            inner = {f"{key}.{k}": v for k, v in value.items() if not isinstance(v, Mapping)}
            yield from _plain(inner)
