"""The environment of this process: an allow-list of facts that change results, none secret."""

import importlib.metadata
import platform
import re
from collections.abc import Callable
from pathlib import Path

import torch

LIBRARIES = ("auditor", "numpy", "scipy", "safetensors", "pydantic")

WHERE_INSTALLED = ("torchvision", "torchaudio", "timm", "transformers", "lightning")
"""Libraries that models and their data are made with."""

DRIVER = Path("/proc/driver/nvidia/version")
"""Where Linux tells the version of the GPU's driver, without a process being started."""


def environment(device: str) -> dict[str, str]:
    """Return what a reader needs to run this again on `device` and get the same."""
    facts = {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "system": platform.system(),
        "machine": platform.machine(),
        "torch": str(torch.__version__),
        "threads": str(torch.get_num_threads()),
        "device": device,
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "default_dtype": str(torch.get_default_dtype()).removeprefix("torch."),
        "matmul_precision": _told(torch.get_float32_matmul_precision),
        "deterministic": _yes(torch.are_deterministic_algorithms_enabled()),
    }
    if device.startswith("cuda"):
        facts |= _cuda(device)
    facts |= {library: importlib.metadata.version(library) for library in LIBRARIES}
    facts |= {library: version for library in WHERE_INSTALLED if (version := _installed(library))}
    return facts


def _cuda(device: str) -> dict[str, str]:
    facts = {
        "cuda": str(torch.version.cuda),
        "gpu": torch.cuda.get_device_name(device),
        "cudnn": str(torch.backends.cudnn.version()),
        "cudnn_benchmark": _yes(torch.backends.cudnn.benchmark),
        "tf32_matmul": _told(lambda: _yes(torch.backends.cuda.matmul.allow_tf32)),
        "tf32_cudnn": _told(lambda: _yes(torch.backends.cudnn.allow_tf32)),
    }
    driver = _driver()
    return facts | ({"driver": driver} if driver else {})


def _driver() -> str:
    try:
        text = DRIVER.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    found = re.search(r"Module.*?\s(\d+(?:\.\d+)+)\s", text)
    return found[1] if found else ""


def _told(ask: Callable[[], str]) -> str:
    """Return a setting; torch refuses to tell it where it was set in its old and its new way."""
    try:
        return ask()
    except RuntimeError:
        return "mixed"


def _installed(library: str) -> str:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _yes(value: bool) -> str:
    return "yes" if value else "no"
