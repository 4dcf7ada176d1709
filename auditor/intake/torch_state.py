"""What torch keeps for the whole process: modes, flags, threads and hooks of all modules."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.modules import module as modules
from torch.utils import deterministic

from auditor.core.process_state import PROCESS, Part, State

DEVICES = ("cpu", "cuda")
"""Kinds of device whose autocast mode is kept."""


_HELD: list[Any] = []


def _set_inference_mode(before: bool) -> None:
    """Set it for good: it is set by an object, for as long as that is held."""
    _HELD.append(torch._C._InferenceMode(before))


_FILLING: Any = deterministic


def _autocast() -> tuple[Any, ...]:
    depth = torch.autocast_increment_nesting() - 1
    torch.autocast_decrement_nesting()
    kinds = tuple(
        (kind, torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)) for kind in DEVICES
    )
    return depth, torch.is_autocast_cache_enabled(), kinds


def _set_autocast(before: tuple[Any, ...]) -> None:
    depth, cached, kinds = before
    now = _autocast()[0]
    for _ in range(now, depth):
        torch.autocast_increment_nesting()
    for _ in range(depth, now):
        torch.autocast_decrement_nesting()
    if not depth:
        torch.clear_autocast_cache()
    torch.set_autocast_cache_enabled(cached)
    for kind, enabled, dtype in kinds:
        torch.set_autocast_enabled(kind, enabled)
        torch.set_autocast_dtype(kind, dtype)


def _deterministic() -> tuple[bool, bool, bool]:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        _FILLING.fill_uninitialized_memory,
    )


def _set_deterministic(before: tuple[bool, bool, bool]) -> None:
    on, warns, fills = before
    torch._C._set_deterministic_algorithms(on, warn_only=warns)
    # What the public way sets as well; it would load the compiler for that.
    compiler: Any = sys.modules.get("torch._inductor.config")
    if compiler is not None:
        compiler.deterministic = on
    _FILLING.fill_uninitialized_memory = fills


def _cudnn() -> tuple[Any, ...]:
    backend = torch.backends.cudnn
    return backend.enabled, backend.benchmark, backend.deterministic, backend.benchmark_limit


def _set_cudnn(before: tuple[Any, ...]) -> None:
    backend = torch.backends.cudnn
    backend.enabled, backend.benchmark, backend.deterministic, backend.benchmark_limit = before


_BACKENDS: Any = torch.backends
_PRECISIONS = (
    _BACKENDS,
    _BACKENDS.cudnn,
    _BACKENDS.cudnn.conv,
    _BACKENDS.cudnn.rnn,
    _BACKENDS.cuda.matmul,
    _BACKENDS.mkldnn,
    _BACKENDS.mkldnn.matmul,
)


def _precision() -> tuple[Any, ...]:
    kernels = torch.backends.cuda
    return (
        tuple(place.fp32_precision for place in _PRECISIONS),
        torch.backends.mkldnn.enabled,
        kernels.flash_sdp_enabled(),
        kernels.mem_efficient_sdp_enabled(),
        kernels.math_sdp_enabled(),
    )


def _set_precision(before: tuple[Any, ...]) -> None:
    for place, precision in zip(_PRECISIONS, before[0], strict=True):
        if place.fp32_precision != precision:
            place.fp32_precision = precision
    torch.backends.mkldnn.enabled = before[1]
    torch.backends.cuda.enable_flash_sdp(before[2])
    torch.backends.cuda.enable_mem_efficient_sdp(before[3])
    torch.backends.cuda.enable_math_sdp(before[4])


def _device() -> Any:
    context = getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None)
    return None if context is None else context.device


def _anomalies() -> tuple[bool, bool]:
    return torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()


_HOOKS = tuple(
    value
    for name, value in sorted(vars(modules).items())
    if name.startswith("_global") and isinstance(value, dict)
)
"""Torch's own mappings of the hooks that hold for all modules."""


def _hooks() -> tuple[Any, ...]:
    return modules._global_is_full_backward_hook, [dict(held) for held in _HOOKS]


def _set_hooks(before: tuple[Any, ...]) -> None:
    modules._global_is_full_backward_hook = before[0]
    for held, kept in zip(_HOOKS, before[1], strict=True):
        held.clear()
        held.update(kept)


def _function_modes() -> int:
    return int(torch._C._len_torch_function_stack())


def _set_function_modes(before: int) -> None:
    while _function_modes() > before:
        torch._C._pop_torch_function_stack()


TORCH: tuple[Part, ...] = (
    Part("gradient mode", torch.is_grad_enabled, torch._C._set_grad_enabled),
    Part("inference mode", torch.is_inference_mode_enabled, _set_inference_mode),
    Part("the modes of autocast", _autocast, _set_autocast),
    Part("the default device", _device, torch.set_default_device),
    Part("the modes of functions", _function_modes, _set_function_modes),
    Part("the default dtype", torch.get_default_dtype, torch.set_default_dtype),
    Part("the flags of determinism", _deterministic, _set_deterministic),
    Part("the flags of cuDNN", _cudnn, _set_cudnn),
    Part("the precision of kernels", _precision, _set_precision),
    Part("the number of threads", torch.get_num_threads, torch.set_num_threads),
    Part("the detection of anomalies", _anomalies, lambda b: torch.set_anomaly_enabled(*b)),
    Part("the hooks of all modules", _hooks, _set_hooks),
)
"""What of torch no work of an audit may leave changed; random state is kept by `seeding`."""


@contextmanager
def state_kept() -> Iterator[None]:
    """Put back, after a block, all that process and torch share."""
    state = State((*PROCESS, *TORCH))
    try:
        yield
    finally:
        state.put_back()
