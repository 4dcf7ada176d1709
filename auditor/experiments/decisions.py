"""What the operators of a pass decide: on which side of a kink each value lies."""

import linecache
import sys
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from auditor.intake.batches import tensors_in

KINKED = frozenset(
    {
        *("relu", "relu6", "leaky_relu", "rrelu_with_noise", "prelu", "_prelu_kernel", "abs"),
        *("elu", "celu", "threshold", "hardtanh", "hardswish", "hardsigmoid", "softshrink"),
        *("hardshrink", "clamp", "clamp_min", "clamp_max"),
    }
)
"""Element-wise operators whose pieces are told by where the output is the input, or zero."""

CHOOSING = frozenset(["maximum", "minimum", "fmax", "fmin", "max", "min", "amax", "amin"])
"""Operators that hand on one of several values."""

STEPS = frozenset(
    {
        *("round", "floor", "ceil", "trunc", "sign", "heaviside"),
        "fake_quantize_per_tensor_affine_cachemask",
        "fake_quantize_per_channel_affine_cachemask",
    }
)
"""Operators that are constant between jumps."""

DECIDING = KINKED | CHOOSING | STEPS

OWN = (str(Path(torch.__file__).parent), str(Path(__file__).parents[1]))
"""Where code lies that is not the user's."""


class Decisions(TorchDispatchMode):
    """Records, for one pass, every decision that its operators make.

    `made` holds a tensor of codes for each: the piece of a rectifier, the place of a maximum, the
    result of a comparison. `narrow` says where a value in float64 is made one of less precision.
    `calls` counts the operators, and `elements` what they put out.
    """

    def __init__(self, names: Mapping[int, str] | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.made: list[torch.Tensor] = []
        self.steps: set[str] = set()
        self.narrow = ""
        self.calls = 0
        self.elements = 0
        self._names = names or {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        plain = name.rstrip("_")
        before = args[0] if args and isinstance(args[0], torch.Tensor) else None
        if plain in KINKED and name != plain and before is not None:
            before = before.clone()
        result = func(*args, **(kwargs or {}))
        self.calls += 1
        if isinstance(result, torch.Tensor):
            self.elements += result.numel()
            if plain not in DECIDING and result.dtype is torch.float64:
                return result
        given = [t for t in tensors_in((args, kwargs or {})) if t.is_floating_point()]
        if not given:
            return result
        outputs = list(tensors_in(result))
        if plain in KINKED and before is not None and outputs[0].shape == before.shape:
            self.made.append((outputs[0] == before).to(torch.uint8) + 2 * (outputs[0] == 0))
        elif plain in STEPS:
            self.steps.add(plain)
            self.made.append(outputs[0].detach().clone())
        elif plain in CHOOSING and len(outputs) == 1 and before is not None:
            self.made.append(_chosen(func, args, kwargs or {}, before, outputs[0]))
        self.made += [t.clone() for t in outputs if not (t.is_floating_point() or t.is_complex())]
        if not self.narrow and any(t.dtype == torch.float64 for t in given):
            low = [t for t in outputs if t.is_floating_point() and t.dtype != torch.float64]
            if low:
                kind = str(low[0].dtype).removeprefix("torch.")
                module, line, _ = place(self._names) or ("", "", "")
                at = f"layer {module!r}" if module else "the model's own forward or loss"
                self.narrow = f"{at} computes in {kind}" + (f" ({line})" if line else "")
        return result


def _chosen(
    func: Any, args: Any, kwargs: Any, first: torch.Tensor, result: torch.Tensor
) -> torch.Tensor:
    """Return where the first operand, or a part of it, is what was chosen."""
    name = func.overloadpacket.__name__
    if name in ("amax", "amin") and not (len(args) > 2 and args[2]) and not kwargs.get("keepdim"):
        dims = args[1] if len(args) > 1 else kwargs.get("dim", ())
        for dim in sorted(d % first.ndim for d in (dims or range(first.ndim))):
            result = result.unsqueeze(dim)
    return first == result


def differing(one: list[torch.Tensor], other: list[torch.Tensor]) -> int:
    """Return how many decisions differ between two passes; all where they are of other shapes."""
    if [t.shape for t in one] != [t.shape for t in other]:
        return max(1, sum(t.numel() for t in one))
    if not one:
        return 0
    return int(sum((a != b).sum() for a, b in zip(one, other, strict=True)))


def place(names: Mapping[int, str]) -> tuple[str, str, str] | None:
    """Return the module whose code is running, and the line of it ("net.py:7") with its text.

    Of a layer of torch's own there is no line of the user's; then it is the module that calls it.
    None where a custom `autograd.Function` is running, which answers for itself.
    """
    frame: FrameType | None = sys._getframe(1)
    line = code = ""
    innermost: str | None = None
    while frame is not None:
        file = frame.f_code.co_filename
        if frame.f_code.co_name == "apply" and file.endswith("function.py") and "autograd" in file:
            return None
        if not line and not file.startswith(OWN) and not file.startswith("<"):
            line = f"{Path(file).name}:{frame.f_lineno}"
            code = linecache.getline(file, frame.f_lineno).strip()
        owner = frame.f_locals.get("self")
        if isinstance(owner, nn.Module) and id(owner) in names:
            if line:
                return names[id(owner)], line, code
            innermost = names[id(owner)] if innermost is None else innermost
        elif file.startswith(OWN[1]) and (innermost is not None or line):
            # The auditor's own code: what lies beyond called it.
            break
        frame = frame.f_back
    return innermost or "", line if innermost is None else "", code if innermost is None else ""
