"""A parameter as it was: its memory and values, and what hangs on it beside them."""

import copy
from collections import deque
from typing import Any

import torch
from torch import nn


class Value:
    """A parameter's own memory and what stands in it."""

    def __init__(self, name: str, parameter: nn.Parameter) -> None:
        self.name = name
        self._parameter = parameter
        self._memory = parameter.data
        self._kept = parameter.detach().clone()
        self._version = parameter._version

    def put_back(self) -> bool:
        """Give the parameter its memory and its values back; return whether that was needed.

        The count of its versions goes back too: a graph of the caller's that holds it is as good
        as before.
        """
        changed = not self._same(self._parameter.data)
        if changed:
            self._parameter.grad = None  # it may be of the dtype that is there now
            self._memory.copy_(self._kept)
            self._parameter.data = self._memory
        if self._parameter._version != self._version:
            torch._C._autograd._unsafe_set_version_counter((self._parameter,), (self._version,))
        return changed

    def _same(self, now: torch.Tensor) -> bool:
        alike = (now.dtype, now.device, now.layout, now.shape) == (
            self._kept.dtype,
            self._kept.device,
            self._kept.layout,
            self._kept.shape,
        )
        if not alike:
            return False
        if now.layout is torch.strided and (
            now.data_ptr() != self._memory.data_ptr() or now.stride() != self._memory.stride()
        ):
            return False
        return _same_bits(now, self._kept)


class Side:
    """What hangs on a parameter beside its values: gradient, hooks, attributes."""

    def __init__(self, parameter: nn.Parameter) -> None:
        self._parameter = parameter
        self._gradient = parameter.grad
        self._required = parameter.requires_grad
        self._attributes = dict(vars(parameter))
        held: Any = parameter
        self._hooks = {name: _listed(getattr(held, name)) for name in _TENSOR_HOOKS}

    def lay_aside(self) -> None:
        """Take the gradient away, so that nothing is added to it."""
        if self._gradient is not None:
            self._parameter.grad = None

    def restore(self) -> None:
        """Put everything back."""
        held: Any = self._parameter
        held.grad = self._gradient
        if held.requires_grad != self._required:
            held.requires_grad_(self._required)
        if vars(held) != self._attributes:
            vars(held).clear()
            vars(held).update(self._attributes)
        for name, (hooks, content) in self._hooks.items():
            now = getattr(held, name)
            if now is hooks and (hooks is None or hooks == content):
                continue
            if hooks is not None:
                refill(hooks, content)
            elif now is not None:
                now.clear()
            setattr(held, name, hooks)


_TENSOR_HOOKS = ("_backward_hooks", "_post_accumulate_grad_hooks")


def _listed(hooks: Any) -> tuple[Any, Any]:
    return hooks, None if hooks is None else copy.copy(hooks)


def _same_bits(one: torch.Tensor, other: torch.Tensor) -> bool:
    if one.layout is not torch.strided or one.is_meta:
        return content_of(one) == content_of(other)
    bits = [(torch.view_as_real(t) if t.is_complex() else t).reshape(-1) for t in (one, other)]
    return torch.equal(*(t.view(torch.uint8) for t in bits))


def refill(container: Any, content: Any) -> None:
    """Make a container hold what it held, in its order."""
    if not container and not content:
        return
    if _objects(container) == _objects(content):
        return
    container.clear()
    if isinstance(container, list | deque):
        container.extend(content)
    else:
        container.update(content)


def _objects(container: Any) -> list[int]:
    """Return the identities of what a container holds."""
    values = container.values() if isinstance(container, dict) else ()
    return [id(held) for held in (*container, *values)]


def content_of(parameter: torch.Tensor) -> tuple[int, str]:
    """Return a hash and the sum of the values; the version counter misses writes by `.data`.

    The hash is an exclusive or of bits, blind to what happens to pairs of equal values alike;
    the sum sees that.
    """
    values = parameter.detach()
    if values.layout is not torch.strided or values.is_meta or values.numel() == 0:
        return 0, ""
    real = torch.view_as_real(values) if values.is_complex() else values
    if real.dtype.itemsize == 1:
        real = real.view(torch.uint8)
    return int(torch.hash_tensor(real).view(torch.int64)), str(real.sum().item())
