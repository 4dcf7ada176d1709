"""The device an audit runs on."""

import torch

from auditor.core.errors import InputError
from auditor.core.text import clean_text


def chosen_device(name: str) -> torch.device:
    """Return the device called `name`; `auto` is CUDA where there is one, else the CPU.

    Raises:
        InputError: there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).cpu()
    except Exception as error:
        raise InputError(
            f"audit.device: {clean_text(name, 40)!r} can't be used here: "
            f"{clean_text(str(error).partition(chr(10))[0], 120)}; expected auto, cpu or cuda"
        ) from error
    return device
