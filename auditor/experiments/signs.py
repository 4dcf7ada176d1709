"""What in a part's code gradients do not follow, seen as it runs."""

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.autograd.function import BackwardCFunction
from torch.overrides import TorchFunctionMode

from auditor.core.text import clean_text
from auditor.experiments.decisions import place
from auditor.intake.batches import tensors_in
from auditor.observations.culprits import Cause, Sign

Tensor = torch.Tensor

_DETACH = (Tensor.detach, Tensor.detach_, torch.detach)
_NUMBERS = (Tensor.item, Tensor.tolist, Tensor.numpy, Tensor.__float__, Tensor.__array__)
_GET_DATA = Tensor.data.__get__  # type: ignore[attr-defined]
_SET_DATA = Tensor.data.__set__  # type: ignore[attr-defined]

MOST = 8
"""Signs that are kept of a part."""


class Trace(TorchFunctionMode):
    """Notes what takes a tensor out of the graph, or writes to one behind autograd's back."""

    def __init__(self, name: str, names: Mapping[int, str]) -> None:
        super().__init__()
        self.seen: dict[Sign, str] = {}
        self._name, self._names = name, names
        self._aliases: dict[int, Cause] = {}
        self._held: list[Tensor] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        first = args[0] if args and isinstance(args[0], Tensor) else None
        tracked = first is not None and first.requires_grad
        before = first
        result = func(*args, **kwargs)
        if before is None:
            return result
        title = str(getattr(func, "__name__", ""))
        if tracked and func in _DETACH:
            self._alias(result, "detach")
            self._note("detach", "detach()")
        elif tracked and func == _GET_DATA:
            self._alias(result, "data")
            self._note("data", ".data")
        elif func == _SET_DATA:
            self._note("write", ".data = ...")
        elif tracked and func in _NUMBERS:
            self._note("number", f"{title}()")
        elif tracked and title == "register_hook":
            self._note("hook", "register_hook()")
        elif _writes(title) or kwargs.get("inplace") is True:
            self._written(before, title, tracked=tracked)
        elif not torch.is_grad_enabled() and title != "__get__":
            given = [t for t in tensors_in((args, kwargs)) if t.requires_grad]
            made = [t for t in tensors_in(result) if t.is_floating_point()]
            if given and made:
                for tensor in made:
                    self._alias(tensor, "no_grad")
                self._note("no_grad", f"no_grad() around {title}")
        return result

    def _written(self, tensor: Tensor, title: str, *, tracked: bool) -> None:
        how = self._aliases.get(_storage(tensor))
        if not tracked and how in ("data", "detach"):
            through = ".data" if how == "data" else "detach()"
            self._note("write", f"{title} through {through}")
        elif tracked and not torch.is_grad_enabled():
            self._note("write", f"{title} under no_grad()")
        else:
            self._note("in_place", title)

    def _alias(self, result: Any, cause: Cause) -> None:
        if isinstance(result, Tensor):
            self._aliases[_storage(result)] = cause
            # Held on to, so that no other storage takes its place.
            self._held.append(result)

    def _note(self, cause: Cause, name: str) -> None:
        at = place(self._names)
        if at is None:
            return
        module, line, code = at
        if not line and module and cause == "in_place":
            # A layer of torch's own, such as an activation with `inplace=True`.
            name = f"{name} in layer {module}"
        if line or cause == "in_place":
            code = clean_text(code.replace("`", "'"), 100)
            sign = Sign(cause, clean_text(name, 60), clean_text(line, 80), code)
            self.seen.setdefault(sign, module)


def _writes(title: str) -> bool:
    if title == "__setitem__":
        return True
    if title.startswith("__i") and title.endswith("__"):
        return title not in ("__index__", "__int__", "__invert__")
    quiet = ("requires_grad_", "retain_grad_")
    return title.endswith("_") and not title.startswith("_") and title not in quiet


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr() if tensor.layout is torch.strided else id(tensor)


def signs_in(
    run: Callable[[], list[Tensor]], name: str, names: Mapping[int, str]
) -> tuple[Sign, ...]:
    """Return the signs in a part's own code, or where there are none in that of its children.

    A custom `autograd.Function` is one where it stands in the graph of the part's outputs.
    """
    trace = Trace(name, names)
    outputs: list[Tensor] = []
    try:
        with trace:
            outputs = run()
    except Exception:  # noqa: BLE001 - what was seen up to there counts
        pass
    own = [sign for sign, module in trace.seen.items() if module == name]
    seen = own or list(trace.seen)
    written = {sign.line for sign in seen if sign.cause == "write"}
    through = [s for s in seen if s.line in written and s.cause in ("data", "detach")]
    found = _functions(outputs) + [sign for sign in seen if sign not in through]
    return tuple(dict.fromkeys(found))[:MOST]


def hooks_on(module: nn.Module) -> list[Any]:
    """Return the hooks that see a module's passes."""
    kept = (
        module._forward_pre_hooks,
        module._forward_hooks,
        module._backward_pre_hooks,
        module._backward_hooks,
    )
    return [hook for hooks in kept for hook in hooks.values()]


def hook_signs(module: nn.Module) -> tuple[Sign, ...]:
    """Return the user's hooks on a module."""
    found = []
    for hook in hooks_on(module):
        owner = hook if hasattr(hook, "__qualname__") else type(hook)
        if not of_torch(owner):
            line = _defined(owner, "__call__")
            found.append(Sign("hook", f"hook {clean_text(owner.__name__, 60)}", line))
    return tuple(found)


def of_torch(owner: Any) -> bool:
    """Tell whether a class or function is one of torch's own."""
    return str(getattr(owner, "__module__", "")).partition(".")[0] == "torch"


def _functions(outputs: list[Tensor]) -> list[Sign]:
    """Return the custom functions in a graph, those nearest the output first."""
    open_ = [t.grad_fn for t in outputs if t.grad_fn is not None]
    seen: set[Any] = set(open_)
    found: list[Sign] = []
    for node in open_:
        if isinstance(node, BackwardCFunction):
            owner = getattr(node, "_forward_cls", type(node))
            if not of_torch(owner):
                line = _defined(owner, "backward")
                found.append(Sign("function", clean_text(owner.__name__, 80), line))
        for after, _ in node.next_functions:
            if after is not None and after not in seen:
                seen.add(after)
                open_.append(after)
    return found


def _defined(owner: Any, method: str) -> str:
    """Return the line at which a function, or a method of a class, is defined."""
    code = getattr(inspect.unwrap(getattr(owner, method, owner)), "__code__", None)
    code = getattr(owner, "__code__", code)
    if code is None:
        return ""
    return clean_text(f"{Path(code.co_filename).name}:{code.co_firstlineno}", 80)
