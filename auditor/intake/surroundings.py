"""The environment of this process: an allow-list of facts, none of them secret."""

import importlib.metadata
import platform

LIBRARIES = ("auditor", "numpy", "scipy", "safetensors", "pydantic")


def environment(device: str) -> dict[str, str]:
    """Return what a reader needs to run this again on `device` and get the same."""
    import torch

    facts = {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "system": platform.system(),
        "machine": platform.machine(),
        "torch": str(torch.__version__),
        "threads": str(torch.get_num_threads()),
        "device": device,
    }
    if device.startswith("cuda"):
        facts["cuda"] = str(torch.version.cuda)
        facts["gpu"] = torch.cuda.get_device_name(device)
    for library in LIBRARIES:
        facts[library] = importlib.metadata.version(library)
    return facts
