"""The tap: one pair of hooks a module, one mode for functions, fanned out to all observers."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.parametrize import ParametrizationList
from torch.overrides import TorchFunctionMode

from auditor.intake.batches import tensors_in
from auditor.observers.observer import Observer, Place

MODEL = "(model)"
"""The name of the model as a whole."""

RECTIFIERS = (nn.ReLU, nn.ReLU6, nn.Threshold, nn.Hardswish)
"""Modules that map a range of inputs to exactly zero."""

_RECTIFYING_FUNCTIONS: dict[Any, str] = {
    functional.relu: "relu",
    functional.relu_: "relu",
    functional.relu6: "relu6",
    functional.hardswish: "hardswish",
    functional.threshold: "threshold",
    torch.relu: "relu",
    torch.relu_: "relu",
    torch.Tensor.relu: "relu",
    torch.Tensor.relu_: "relu",
}

_CHANNELS_FIRST = (
    nn.modules.conv._ConvNd,
    nn.modules.batchnorm._NormBase,
    nn.GroupNorm,
)
_CHANNELS_LAST = (nn.Linear, nn.LayerNorm, nn.Embedding, nn.RNNBase, nn.MultiheadAttention)

_UNIT_AXES: dict[Any, int] = {
    functional.conv1d: 1,
    functional.conv2d: 1,
    functional.conv3d: 1,
    functional.conv_transpose1d: 1,
    functional.conv_transpose2d: 1,
    functional.conv_transpose3d: 1,
    functional.batch_norm: 1,
    functional.group_norm: 1,
    functional.linear: -1,
    functional.layer_norm: -1,
}
"""Which dimension of what a function puts out counts the units."""

_REPORTED = frozenset({*_RECTIFYING_FUNCTIONS, *_UNIT_AXES})


@dataclass
class _Frame:
    """A module being run.

    `producer` is the module with weights that ran last in it, `inner` tells whether any did, and
    `calls` counts by name what ran since the producer.
    """

    module: nn.Module
    producer: str = ""
    inner: bool = False
    calls: dict[str, int] = field(default_factory=dict)


class Tap:
    """Shows every module's output, and what rectifying functions put out, to all observers."""

    def __init__(self, model: nn.Module) -> None:
        self._names = {module: name or MODEL for name, module in model.named_modules()}
        self._of_weights = {
            inner
            for module in self._names
            if isinstance(module, ParametrizationList)
            for inner in module.modules()
        }
        self._places: dict[str, Place] = {}
        self._producers: dict[nn.Module, str] = {}
        self._observers: Sequence[Observer] = ()
        self._frames: list[_Frame] = []
        self._axis = -1
        self._units: int | None = None
        self._gradients = False

    @contextmanager
    def open(self, observers: Sequence[Observer], *, gradients: bool) -> Iterator[None]:
        """Show what runs inside the block to `observers`; gradients too where asked."""
        self._observers, self._gradients = observers, gradients
        self._frames, self._axis, self._units = [], -1, None
        handles = []
        try:
            for module in self._names:
                handles.append(module.register_forward_pre_hook(self._enter))
                # Always, so that a module whose exception is caught further up is left as well.
                handles.append(module.register_forward_hook(self._leave, always_call=True))
            with _Functions(self._called):
                yield
        finally:
            for handle in handles:
                handle.remove()
            self._observers, self._frames = (), []

    @contextmanager
    def backward(self, observers: Sequence[Observer]) -> Iterator[None]:
        """Show the gradients of what ran inside `open` to `observers`."""
        self._observers = observers
        try:
            yield
        finally:
            self._observers = ()

    def _enter(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        hidden = module in self._of_weights
        if self._frames and not hidden:
            self._frames[-1].inner = True
        self._frames.append(_Frame(module))
        if hidden:
            return
        for observer in self._observers:
            observer.entering(self._names[module], module, args)

    def _leave(self, module: nn.Module, args: Any, output: Any) -> None:
        if not self._frames or self._frames[-1].module is not module:
            return
        frame = self._frames.pop()
        if module in self._of_weights or output is None:
            return
        if isinstance(module, _CHANNELS_FIRST):
            self._produced(1, output)
        elif isinstance(module, _CHANNELS_LAST):
            self._produced(-1, output)
        name = self._names[module]
        weightless = next(module.parameters(), None) is None
        if self._frames:
            parent = self._frames[-1]
            if weightless and not frame.inner:
                producer = next((f.producer for f in reversed(self._frames) if f.producer), "")
                first = self._producers.setdefault(module, producer)
                name = _call_name(name, parent, "" if producer == first else producer)
            if not weightless:
                parent.producer = self._names[module]
                parent.calls.clear()
        place = self._place(name, type(module).__name__, module, not frame.inner, output)
        self._shown(place, output)

    def _produced(self, axis: int, output: Any) -> None:
        """Note how many units a layer put out, and in which dimension."""
        tensor = next(tensors_in(output), None)
        self._axis = axis
        self._units = tensor.shape[axis] if tensor is not None and tensor.ndim > 1 else None

    def _unit_axis(self, output: Any) -> int:
        """Return the dimension that counts the units, found again after a transposition."""
        tensor = next(tensors_in(output), None)
        if tensor is None or tensor.ndim < 2 or self._units is None:
            return self._axis
        if tensor.shape[self._axis] == self._units:
            return self._axis
        others = [dim for dim in range(1, tensor.ndim) if tensor.shape[dim] == self._units]
        return others[0] if len(others) == 1 else self._axis

    def _called(self, function: Any, output: Any) -> None:
        """Take note of a function's call; what it put out is shown where it rectifies."""
        if not self._frames or self._frames[-1].module in self._of_weights:
            return
        if function in _UNIT_AXES:
            self._produced(_UNIT_AXES[function], output)
        kind = _RECTIFYING_FUNCTIONS.get(function)
        frame = self._frames[-1]
        if kind is None or isinstance(frame.module, RECTIFIERS):
            return
        owner = self._names[frame.module]
        name = f"{kind}()" if owner == MODEL else f"{owner}.{kind}()"
        called = _call_name(name, frame, frame.producer)
        self._shown(self._place(called, f"{kind}()", None, True, output), output)

    def _place(
        self, name: str, kind: str, module: nn.Module | None, leaf: bool, output: Any
    ) -> Place:
        if name not in self._places:
            self._places[name] = Place(
                index=len(self._places),
                name=name,
                kind=kind,
                module=module,
                leaf=leaf,
                unit_axis=self._unit_axis(output),
                rectifies=module is None or isinstance(module, RECTIFIERS),
            )
        return self._places[name]

    def _shown(self, place: Place, output: Any) -> None:
        for observer in self._observers:
            observer.leaving(place, output)
        if not self._gradients:
            return
        # A leaf is a parameter or an input, on which a hook would stay.
        tensor = next((t for t in tensors_in(output) if t.requires_grad and not t.is_leaf), None)
        if tensor is not None:
            tensor.register_hook(partial(self._gradient, place))

    def _gradient(self, place: Place, gradient: torch.Tensor) -> None:
        for observer in self._observers:
            observer.gradient(place, gradient)


def _call_name(name: str, frame: _Frame, producer: str) -> str:
    """Return the name of a call in `frame`: one activation may serve several layers.

    A `producer` is told by its short name where it stands in the same module. Calls that no
    producer stands between are numbered.
    """
    if producer:
        home, _, short = producer.rpartition(".")
        name = f"{name} after {short if home == name.rpartition('.')[0] else producer}"
    number = frame.calls[name] = frame.calls.get(name, 0) + 1
    return name if number == 1 else f"{name}, call {number}"


class _Functions(TorchFunctionMode):
    """Reports what functions put out."""

    def __init__(self, report: Callable[[Any, Any], None]) -> None:
        super().__init__()
        self._report = report

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        if func in _REPORTED:
            self._report(func, output)
        return output
