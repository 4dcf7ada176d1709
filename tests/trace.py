"""A photograph of everything that an audit may leave no trace in, and what differs between two."""

from __future__ import annotations

import gc
import hashlib
import locale
import logging
import os
import pickle
import random
import signal
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
import torch._dynamo  # the first optimizer of a process loads it, and it makes a folder for a cache
from torch import nn
from torch.nn.modules import module as torch_modules

Told = dict[str, Any]


@dataclass(frozen=True)
class Watched:
    """What is photographed beside the process: a model, and what was handed in with it."""

    model: nn.Module
    loss: nn.Module | None = None
    optimizer: torch.optim.Optimizer | None = None
    generators: tuple[torch.Generator, ...] = ()
    files: tuple[Path, ...] = ()

    @property
    def modules(self) -> dict[str, nn.Module]:
        loss = {} if self.loss is None else dict(self.loss.named_modules(prefix="<loss>"))
        return {**dict(self.model.named_modules(remove_duplicate=False)), **loss}

    @property
    def tensors(self) -> dict[str, torch.Tensor]:
        """Return parameters and buffers, under each of their names."""
        return {
            f"{name}.{key}": tensor
            for name, module in self.modules.items()
            for key, tensor in [*module._parameters.items(), *module._buffers.items()]
            if tensor is not None
        }


@dataclass(frozen=True)
class Snapshot:
    """What every field of `FIELDS` told at one moment, by field and by place in it."""

    told: dict[str, Told]
    kept: tuple[Any, ...] = ()
    """What identities are of, so that none is given away again."""

    @staticmethod
    def take(
        model: nn.Module,
        *,
        loss: nn.Module | None = None,
        optimizer: torch.optim.Optimizer | None = None,
        generators: tuple[torch.Generator, ...] = (),
        files: tuple[Path, ...] = (),
    ) -> Snapshot:
        """Photograph a model, what goes with it, and the process."""
        watched = Watched(model, loss, optimizer, generators, files)
        held = [vars(module).copy() for module in watched.modules.values()]
        grads = [tensor.grad for tensor in watched.tensors.values()]
        kept = (held, watched.tensors, grads, watched.modules, dict(sys.modules))
        return Snapshot({name: read(watched) for name, read in FIELDS.items()}, kept)


def differences(before: Snapshot, after: Snapshot) -> list[str]:
    """Return what changed: `field: place: was, is`, each in some characters."""
    found = []
    for field, was in before.told.items():
        now = after.told[field]
        for place in dict.fromkeys([*was, *now]):
            one, other = was.get(place, "nothing"), now.get(place, "nothing")
            if one != other:
                found.append(f"{field}: {place}: {one!r:.60}, now {other!r:.60}")
    return found


def fields(found: list[str]) -> set[str]:
    """Return the fields that differences are of."""
    return {line.partition(":")[0] for line in found}


def _bits(tensor: torch.Tensor | None) -> str:
    if tensor is None:
        return "none"
    held = tensor.detach()
    if held.layout is not torch.strided:
        held = held.to_dense()
    data = pickle.dumps(held.resolve_conj().reshape(-1).contiguous().view(torch.uint8).tolist())
    return hashlib.sha256(data).hexdigest()[:16]


def _each(read: Callable[[torch.Tensor], Any]) -> Callable[[Watched], Told]:
    return lambda watched: {name: read(tensor) for name, tensor in watched.tensors.items()}


def _storage(tensor: torch.Tensor) -> tuple[Any, ...]:
    held = tensor.detach()
    if held.layout is not torch.strided:
        return (held.layout,)
    return held.data_ptr(), held.untyped_storage().data_ptr(), held.storage_offset()


def _kind(tensor: torch.Tensor) -> tuple[Any, ...]:
    stride = tensor.stride() if tensor.layout is torch.strided else None
    return tensor.dtype, tuple(tensor.shape), stride, tensor.layout, tensor.device


def _tensor_hooks(tensor: torch.Tensor) -> list[int]:
    held: Any = tensor
    hooks = (held._backward_hooks, getattr(held, "_post_accumulate_grad_hooks", None))
    return [id(hook) for one in hooks for hook in (one or {}).values()]


def _hooks(watched: Watched) -> Told:
    return {
        f"{name}.{key}": [(number, id(hook)) for number, hook in held.items()]
        for name, module in watched.modules.items()
        for key, held in vars(module).items()
        if "_hooks" in key and isinstance(held, dict)
    }


def _attributes(watched: Watched) -> Told:
    told: Told = {}
    for name, module in watched.modules.items():
        told[f"{name}: keys"] = sorted(vars(module))
        for key, value in vars(module).items():
            if "_hooks" not in key and key != "training":
                told[f"{name}: {key}"] = (id(value), _content(value))
    for name, tensor in watched.tensors.items():
        told[f"{name}: keys"] = sorted(vars(tensor)) if hasattr(tensor, "__dict__") else []
    return told


def _content(value: Any) -> Any:
    """Return what a plain attribute holds, by identity and, for tensors, by value."""
    if isinstance(value, torch.Tensor):
        return value._version, _bits(value)
    if isinstance(value, dict):
        return [(key, id(inner)) for key, inner in value.items()]
    if isinstance(value, list | set):
        return [id(inner) for inner in value]
    if isinstance(value, np.ndarray):
        return value.tobytes()
    return value if isinstance(value, int | float | str | bool | None) else None


def _optimizer(watched: Watched) -> Told:
    if watched.optimizer is None:
        return {}
    held = watched.optimizer
    told: Told = {
        f"group {number}": {k: v if k != "params" else [*map(id, v)] for k, v in group.items()}
        for number, group in enumerate(held.param_groups)
    }
    for number, state in enumerate(held.state.values()):
        for key, value in state.items():
            bits = _bits(value) if isinstance(value, torch.Tensor) else value
            told[f"state {number}.{key}"] = (id(value), bits)
    return told


def _one(read: Callable[[], Any]) -> Callable[[Watched], Told]:
    return lambda _: {"it": read()}


def _random() -> Any:
    return hashlib.sha256(pickle.dumps(random.getstate())).hexdigest()


def _numpy_random() -> Any:
    state: Any = np.random.get_state()
    return hashlib.sha256(state[1].tobytes()).hexdigest(), state[2:]


def _torch_random() -> str:
    return _bits(torch.get_rng_state())


def _cuda_random() -> list[str]:
    started = torch.cuda.is_available() and torch.cuda.is_initialized()
    return [_bits(state) for state in torch.cuda.get_rng_state_all()] if started else []


def _autocast() -> Told:
    depth = torch.autocast_increment_nesting()
    torch.autocast_decrement_nesting()
    modes = {
        kind: (torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind))
        for kind in ("cpu", "cuda")
    }
    return {"depth": depth, "cache": torch.is_autocast_cache_enabled(), **modes}


def _determinism() -> tuple[Any, ...]:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        sys.modules["torch.utils.deterministic"].fill_uninitialized_memory,
    )


def _cudnn() -> tuple[Any, ...]:
    held = torch.backends.cudnn
    return held.enabled, held.benchmark, held.deterministic, held.benchmark_limit


def _precision() -> tuple[Any, ...]:
    held: Any = torch.backends
    return (
        torch.get_float32_matmul_precision(),
        held.cudnn.fp32_precision,
        held.cuda.matmul.fp32_precision,
        held.mkldnn.enabled,
        held.cuda.flash_sdp_enabled(),
        held.cuda.math_sdp_enabled(),
    )


def _global_hooks(_: Watched) -> Told:
    told: Told = {
        name: [(number, id(hook)) for number, hook in held.items()]
        for name, held in vars(torch_modules).items()
        if name.startswith("_global") and isinstance(held, dict)
    }
    return {**told, "full": torch_modules._global_is_full_backward_hook}


def _logging(_: Watched) -> Told:
    loggers: Any = {"root": logging.root, **logging.root.manager.loggerDict}
    # Importing a library makes loggers; what they are set to is for them to say.
    wanted = {"root", "matplotlib", "torch", "auditor", "user"}
    told: Told = {
        name: (one.level, one.disabled, one.propagate, [*map(id, one.handlers)], len(one.filters))
        for name, one in loggers.items()
        if name in wanted and isinstance(one, logging.Logger)
    }
    return {**told, "disabled below": logging.root.manager.disable}


def _warnings(_: Watched) -> Told:
    shown = [repr(one) for one in warnings.filters]
    return {"filters": shown, "showwarning": id(warnings.showwarning)}


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _open_files() -> list[str]:
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            found.append(f"{name} {os.readlink(f'/proc/self/fd/{name}')}")
        except OSError:
            continue  # the listing's own
    return sorted(found)


def _children() -> list[str]:
    folder = Path("/proc/self/task")
    return sorted(c for task in folder.iterdir() for c in (task / "children").read_text().split())


def _temporary() -> list[str]:
    return sorted(os.listdir(tempfile.gettempdir()))


def _files(watched: Watched) -> Told:
    told: Told = {}
    for path in watched.files:
        known = path.stat()
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        told[str(path)] = (digest, known.st_mtime_ns, known.st_mode, known.st_size)
    return told


def _loaded(_: Watched) -> Told:
    """Return the modules of the user's; what the audit loads beside them is no trace."""
    return {
        name: id(one) for name, one in sys.modules.items() if name.startswith(("tests", "user"))
    }


FIELDS: Mapping[str, Callable[[Watched], Told]] = {
    "values": _each(_bits),
    "kinds": _each(_kind),
    "storages": _each(_storage),
    "identities": _each(id),
    "versions": _each(lambda tensor: tensor._version),
    "gradients": _each(lambda tensor: (id(tensor.grad), _bits(tensor.grad))),
    "requires_grad": _each(lambda tensor: tensor.requires_grad),
    "tensor hooks": _each(_tensor_hooks),
    "modes": lambda watched: {name: m.training for name, m in watched.modules.items()},
    "modules": lambda watched: {n: (id(m), type(m)) for n, m in watched.modules.items()},
    "module hooks": _hooks,
    "attributes": _attributes,
    "optimizer": _optimizer,
    "generators": lambda watched: {
        str(number): _bits(held.get_state()) for number, held in enumerate(watched.generators)
    },
    "input files": _files,
    "hooks of all modules": _global_hooks,
    "random state of Python": _one(_random),
    "random state of numpy": _one(_numpy_random),
    "random state of torch": _one(_torch_random),
    "random state of CUDA": _one(_cuda_random),
    "gradient mode": _one(torch.is_grad_enabled),
    "inference mode": _one(torch.is_inference_mode_enabled),
    "autocast": lambda _: _autocast(),
    "determinism": _one(_determinism),
    "cudnn": _one(_cudnn),
    "precision": _one(_precision),
    "default dtype": _one(torch.get_default_dtype),
    "default device": _one(lambda: str(torch.get_default_device())),
    "threads of torch": _one(lambda: (torch.get_num_threads(), torch.get_num_interop_threads())),
    "anomalies": _one(lambda: (torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled())),
    "function modes": _one(torch._C._len_torch_function_stack),
    "numpy errors": _one(np.geterr),
    "current folder": _one(os.getcwd),
    "environment": lambda _: {k: v for k, v in os.environ.items() if k != "PYTEST_CURRENT_TEST"},
    "sys.path": _one(lambda: list(sys.path)),
    "sys.modules": _loaded,
    "warnings": _warnings,
    "logging": _logging,
    "signals": lambda _: {s.name: id(signal.getsignal(s)) for s in signal.Signals},
    "streams": _one(lambda: tuple(map(id, (sys.stdin, sys.stdout, sys.stderr, sys.excepthook)))),
    "umask": _one(_umask),
    "locale": _one(lambda: locale.setlocale(locale.LC_ALL)),
    "matplotlib": lambda _: dict.copy(mpl.rcParams),
    "garbage collection": _one(gc.isenabled),
    "recursion": _one(sys.getrecursionlimit),
    "threads": _one(lambda: sorted(thread.name for thread in threading.enumerate())),
    "open files": _one(_open_files),
    "children": _one(_children),
    "temporary files": _one(_temporary),
}  # fmt: skip
"""Every field of a snapshot: from what is watched to what is told, by place."""
