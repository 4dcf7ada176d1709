"""What does what no audit may to a model and its process: a saboteur for each field of a snapshot.

Each returns how it is undone, for tests in which nothing else does that.
"""

from __future__ import annotations

import gc
import locale
import logging
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import types
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from torch import nn
from torch.nn.modules import module as torch_modules
from torch.overrides import TorchFunctionMode

Undo = Callable[[], object]
Saboteur = Callable[[nn.Module], Undo]

HELD: list[Any] = []

INPUT = "input.txt"
"""The input file, in the current folder, that a saboteur writes to."""


def weight(model: nn.Module) -> nn.Parameter:
    found: nn.Parameter = next(iter(model.modules()))[0].weight  # type: ignore[index]
    return found


def values(model: nn.Module) -> Undo:
    weight(model).data.add_(1.0)
    return lambda: weight(model).data.sub_(1.0)


def kinds(model: nn.Module) -> Undo:
    model.half()
    return model.float


def storages(model: nn.Module) -> Undo:
    held, tensor = weight(model).data, weight(model)
    tensor.data = held.clone()
    return lambda: setattr(tensor, "data", held)


def identities(model: nn.Module) -> Undo:
    held, layer = weight(model), model[0]  # type: ignore[index]
    layer.weight = nn.Parameter(held.detach().clone())
    return lambda: setattr(layer, "weight", held)


def versions(model: nn.Module) -> Undo:
    held = weight(model)
    before = held._version
    with torch.no_grad():
        held.mul_(1.0)
    return lambda: torch._C._autograd._unsafe_set_version_counter((held,), (before,))


def gradients(model: nn.Module) -> Undo:
    held, before = weight(model), weight(model).grad
    held.grad = torch.full_like(held, 7.0)
    return lambda: setattr(held, "grad", before)


def frozen(model: nn.Module) -> Undo:
    weight(model).requires_grad_(requires_grad=False)
    return lambda: weight(model).requires_grad_(requires_grad=True)


def tensor_hooks(model: nn.Module) -> Undo:
    return weight(model).register_hook(lambda gradient: gradient * 0).remove  # type: ignore[no-any-return, no-untyped-call]


def modes(model: nn.Module) -> Undo:
    layer = model[0]  # type: ignore[index]
    before = layer.training
    layer.train(not before)
    return lambda: layer.train(before)


def modules(model: nn.Module) -> Undo:
    before = model[0]  # type: ignore[index]
    with torch.random.fork_rng(devices=[]):
        model[0] = nn.Linear(8, 16)  # type: ignore[operator]
    return lambda: model.__setitem__(0, before)  # type: ignore[operator]


def module_hooks(model: nn.Module) -> Undo:
    hook = model[0].register_forward_hook(lambda module, args, output: output * 0)  # type: ignore[index]
    return hook.remove  # type: ignore[no-any-return]


def attributes(model: nn.Module) -> Undo:
    model.left_here = "by the audit"  # type: ignore[assignment]
    return lambda: delattr(model, "left_here")


def nothing(_: nn.Module) -> Undo:
    return lambda: None


def input_files(_: nn.Module) -> Undo:
    file = Path(INPUT)
    before = file.read_text()
    file.write_text("other")
    return lambda: file.write_text(before)


def global_hooks(_: nn.Module) -> Undo:
    handle = torch_modules.register_module_forward_hook(lambda module, args, output: None)
    return handle.remove


def python_random(_: nn.Module) -> Undo:
    state = random.getstate()
    random.random()
    return lambda: random.setstate(state)


def numpy_random(_: nn.Module) -> Undo:
    state = np.random.get_state()
    np.random.rand()
    return lambda: np.random.set_state(state)


def torch_random(_: nn.Module) -> Undo:
    state = torch.get_rng_state()
    torch.manual_seed(9)
    return lambda: torch.set_rng_state(state)


def cuda_random(_: nn.Module) -> Undo:
    state = torch.cuda.get_rng_state_all()
    torch.rand(1, device="cuda")
    return lambda: torch.cuda.set_rng_state_all(state)


def gradient_mode(_: nn.Module) -> Undo:
    torch._C._set_grad_enabled(not torch.is_grad_enabled())
    return lambda: torch._C._set_grad_enabled(True)


def inference_mode(_: nn.Module) -> Undo:
    mode = torch.inference_mode()
    mode.__enter__()
    HELD.append(mode)  # it would end with the last reference to it
    return lambda: HELD.pop().__exit__(None, None, None)


def autocast(_: nn.Module) -> Undo:
    mode = torch.autocast("cpu", dtype=torch.bfloat16)
    mode.__enter__()
    return lambda: mode.__exit__(None, None, None)


def determinism(_: nn.Module) -> Undo:
    # The public function would load the compiler, which leaves traces of its own.
    torch._C._set_deterministic_algorithms(True, warn_only=True)
    return lambda: torch._C._set_deterministic_algorithms(False, warn_only=False)


def cudnn(_: nn.Module) -> Undo:
    torch.backends.cudnn.benchmark = not torch.backends.cudnn.benchmark
    return lambda: setattr(torch.backends.cudnn, "benchmark", not torch.backends.cudnn.benchmark)


def precision(_: nn.Module) -> Undo:
    torch.backends.cuda.enable_math_sdp(False)
    return lambda: torch.backends.cuda.enable_math_sdp(True)


def default_dtype(_: nn.Module) -> Undo:
    torch.set_default_dtype(torch.float64)
    return lambda: torch.set_default_dtype(torch.float32)


def default_device(_: nn.Module) -> Undo:
    torch.set_default_device("meta")
    return lambda: torch.set_default_device(None)


def torch_threads(_: nn.Module) -> Undo:
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    return lambda: torch.set_num_threads(before)


def anomalies(_: nn.Module) -> Undo:
    torch.autograd.set_detect_anomaly(True)
    return lambda: torch.autograd.set_detect_anomaly(False)


class _Mode(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


def function_modes(_: nn.Module) -> Undo:
    mode = _Mode()
    mode.__enter__()
    return lambda: mode.__exit__(None, None, None)


def numpy_errors(_: nn.Module) -> Undo:
    before = np.seterr(divide="raise")
    return lambda: np.seterr(**before)


def folder(_: nn.Module) -> Undo:
    before = os.getcwd()
    os.chdir("/")
    return lambda: os.chdir(before)


def environment(_: nn.Module) -> Undo:
    os.environ["LEFT_BY_AN_AUDIT"] = "1"
    return lambda: os.environ.pop("LEFT_BY_AN_AUDIT", None)


def path(_: nn.Module) -> Undo:
    sys.path.insert(0, "/nowhere")
    return lambda: sys.path.remove("/nowhere")


def loaded(_: nn.Module) -> Undo:
    sys.modules["user_left"] = types.ModuleType("user_left")
    return lambda: sys.modules.pop("user_left")


def warning_filters(_: nn.Module) -> Undo:
    before = list(warnings.filters)
    warnings.simplefilter("ignore")
    return lambda: warnings.filters.__setitem__(slice(None), before)  # type: ignore[attr-defined]


def logs(_: nn.Module) -> Undo:
    before = logging.root.level
    logging.root.setLevel(before + 7)
    return lambda: logging.root.setLevel(before)


def signals(_: nn.Module) -> Undo:
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    return lambda: signal.signal(signal.SIGUSR1, before)


def streams(_: nn.Module) -> Undo:
    before = sys.excepthook
    sys.excepthook = lambda *_: None
    return lambda: setattr(sys, "excepthook", before)


def umask(_: nn.Module) -> Undo:
    before = os.umask(0o007)
    return lambda: os.umask(before)


def locales(_: nn.Module) -> Undo:
    before = locale.setlocale(locale.LC_ALL)
    now = locale.setlocale(locale.LC_NUMERIC)
    locale.setlocale(locale.LC_NUMERIC, "C.UTF-8" if now == "C" else "C")
    return lambda: locale.setlocale(locale.LC_ALL, before)


def plotting(_: nn.Module) -> Undo:
    before = mpl.rcParams["lines.linewidth"]
    mpl.rcParams["lines.linewidth"] = before + 1
    return lambda: mpl.rcParams.__setitem__("lines.linewidth", before)


def collection(_: nn.Module) -> Undo:
    gc.disable()
    return gc.enable


def recursion(_: nn.Module) -> Undo:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(before + 11)
    return lambda: sys.setrecursionlimit(before)


def threads(_: nn.Module) -> Undo:
    over = threading.Event()
    thread = threading.Thread(target=over.wait, name="left by an audit", daemon=True)
    thread.start()
    return lambda: (over.set(), thread.join())


def open_files(_: nn.Module) -> Undo:
    descriptor = os.open(os.devnull, os.O_RDONLY)
    return lambda: os.close(descriptor)


def children(_: nn.Module) -> Undo:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    return lambda: child.communicate(b"\n")


def temporary(_: nn.Module) -> Undo:
    descriptor, name = tempfile.mkstemp()
    os.close(descriptor)
    return lambda: os.unlink(name)


SABOTEURS: Mapping[str, tuple[Saboteur, str]] = {
    "values": (values, "the model's parameters"),
    "kinds": (kinds, "the model's parameters"),
    "storages": (storages, "the model's parameters"),
    "identities": (identities, "the model's parameters"),
    "versions": (versions, ""),
    "gradients": (gradients, "gradients"),
    "requires_grad": (frozen, "what requires gradients"),
    "tensor hooks": (tensor_hooks, "the hooks of parameters"),
    "modes": (modes, "the modes of modules"),
    "modules": (modules, ""),
    "module hooks": (module_hooks, "the hooks of modules"),
    "attributes": (attributes, ""),
    "hooks of all modules": (global_hooks, "the hooks of all modules"),
    "random state of Python": (python_random, ""),
    "random state of numpy": (numpy_random, ""),
    "random state of torch": (torch_random, ""),
    "random state of CUDA": (cuda_random, ""),
    "gradient mode": (gradient_mode, "gradient mode"),
    "inference mode": (inference_mode, "inference mode"),
    "autocast": (autocast, "the modes of autocast"),
    "determinism": (determinism, "the flags of determinism"),
    "cudnn": (cudnn, "the flags of cuDNN"),
    "precision": (precision, "the precision of kernels"),
    "default dtype": (default_dtype, "the default dtype"),
    "default device": (default_device, "the default device"),
    "threads of torch": (torch_threads, "the number of threads"),
    "anomalies": (anomalies, "the detection of anomalies"),
    "function modes": (function_modes, "the modes of functions"),
    "numpy errors": (numpy_errors, "numpy's handling of errors"),
    "current folder": (folder, "the current folder"),
    "environment": (environment, "the environment"),
    "sys.path": (path, "sys.path"),
    "warnings": (warning_filters, "the filters of warnings"),
    "logging": (logs, "the settings of logging"),
    "signals": (signals, "the handlers of signals"),
    "streams": (streams, "the standard streams"),
    "umask": (umask, "the umask"),
    "locale": (locales, "the locale"),
    "matplotlib": (plotting, "the settings of matplotlib"),
    "garbage collection": (collection, "garbage collection"),
    "recursion": (recursion, "the limit of recursion"),
}
"""By field what an audit puts back, and how its guard calls it; empty where it puts it back without
a word, since that work may use it."""

UNDONE_BY_NOBODY: Mapping[str, Saboteur] = {
    "input files": input_files,
    "sys.modules": loaded,
    "threads": threads,
    "open files": open_files,
    "children": children,
    "temporary files": temporary,
}
"""What nothing can put back, or not cheaply: only the snapshot of the tests sees it."""
