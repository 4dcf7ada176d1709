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

from auditor.core.layer import MODEL
from auditor.intake.batches import tensors_in
from auditor.observers.observer import Observer, Place

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

_BENDING_FUNCTIONS: dict[Any, str] = {
    functional.gelu: "gelu",
    functional.silu: "silu",
    functional.elu: "elu",
    functional.celu: "celu",
    functional.selu: "selu",
    functional.mish: "mish",
    functional.softplus: "softplus",
    functional.hardtanh: "hardtanh",
    functional.hardsigmoid: "hardsigmoid",
    functional.softmax: "softmax",
    functional.scaled_dot_product_attention: "scaled_dot_product_attention",
    functional.multi_head_attention_forward: "multi_head_attention_forward",
    torch.sigmoid: "sigmoid",
    torch.sigmoid_: "sigmoid",
    torch.Tensor.sigmoid: "sigmoid",
    torch.Tensor.sigmoid_: "sigmoid",
    torch.tanh: "tanh",
    torch.tanh_: "tanh",
    torch.Tensor.tanh: "tanh",
    torch.Tensor.tanh_: "tanh",
    torch.softmax: "softmax",
    torch.Tensor.softmax: "softmax",
}
"""Functions that are shown as calls only, since no check counts them among the layers."""

_CALLED = _RECTIFYING_FUNCTIONS | _BENDING_FUNCTIONS

_ACTIVATIONS = tuple(
    kind
    for kind in vars(nn.modules.activation).values()
    if isinstance(kind, type) and issubclass(kind, nn.Module) and kind is not nn.MultiheadAttention
    if kind is not nn.Module
)
"""Modules that are shown themselves, not the functions that they call."""

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
        self._followers: Sequence[Observer] = ()
        self._looking = False
        self._axis = -1
        self._units: int | None = None
        self._gradients = False

    @contextmanager
    def open(self, observers: Sequence[Observer], *, gradients: bool) -> Iterator[None]:
        """Show what runs inside the block to `observers`; gradients too where asked."""
        self._observers, self._gradients = observers, gradients
        self._followers = [observer for observer in observers if observer.functions]
        self._frames, self._axis, self._units = [], -1, None
        handles = []
        try:
            for module in self._names:
                handles.append(module.register_forward_pre_hook(self._enter, with_kwargs=True))
                # Always, so that a module whose exception is caught further up is left as well.
                handles.append(module.register_forward_hook(self._leave, always_call=True))
            with _Functions(self._calling, self._called):
                yield
        finally:
            for handle in handles:
                handle.remove()
            self._observers, self._followers, self._frames = (), (), []

    @contextmanager
    def backward(self, observers: Sequence[Observer]) -> Iterator[None]:
        """Show the gradients of what ran inside `open` to `observers`."""
        self._observers = observers
        try:
            yield
        finally:
            self._observers = ()

    def _enter(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        hidden = module in self._of_weights
        if self._frames and not hidden:
            self._frames[-1].inner = True
        self._frames.append(_Frame(module))
        if hidden:
            return
        with self._own():
            for observer in self._observers:
                observer.entering(self._names[module], module, (*args, *kwargs.values()))

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
        rectifies = isinstance(module, RECTIFIERS)
        kind = type(module).__name__
        place = self._place(name, kind, module, not frame.inner, output, rectifies)
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

    @contextmanager
    def _own(self) -> Iterator[None]:
        """Tell the functions that observers call from those that the model calls."""
        self._looking = True
        try:
            yield
        finally:
            self._looking = False

    def _calling(self, function: Any, args: tuple[Any, ...], kwargs: Any) -> Place | None:
        """Show the inputs of a function about to run; return its place where it has one."""
        kind = _CALLED.get(function)
        if kind is None or self._looking or not self._frames:
            return None
        frame = self._frames[-1]
        if frame.module in self._of_weights or isinstance(frame.module, _ACTIVATIONS):
            return None
        owner = self._names[frame.module]
        name = f"{kind}()" if owner == MODEL else f"{owner}.{kind}()"
        called = _call_name(name, frame, frame.producer)
        rectifies = function in _RECTIFYING_FUNCTIONS
        place = self._place(called, f"{kind}()", None, True, (args, kwargs), rectifies)
        with self._own():
            for observer in self._observers:
                observer.calling(place, args, kwargs)
        return place

    def _called(
        self, function: Any, place: Place | None, args: tuple[Any, ...], kwargs: Any, output: Any
    ) -> None:
        """Show what a function put out; one that rectifies stands for a layer."""
        if self._looking or not self._frames or self._frames[-1].module in self._of_weights:
            return
        if self._followers:
            with self._own():
                for observer in self._followers:
                    observer.followed(function, (*args, *kwargs.values()), output)
        if function in _UNIT_AXES:
            self._produced(_UNIT_AXES[function], output)
        if place is None:
            return
        with self._own():
            for observer in self._observers:
                observer.called(place, output)
        if place.rectifies:
            self._shown(place, output)

    def _place(
        self,
        name: str,
        kind: str,
        module: nn.Module | None,
        leaf: bool,
        output: Any,
        rectifies: bool,
    ) -> Place:
        if name not in self._places:
            self._places[name] = Place(
                index=len(self._places),
                name=name,
                kind=kind,
                module=module,
                leaf=leaf,
                unit_axis=self._unit_axis(output),
                rectifies=rectifies,
            )
        return self._places[name]

    def _shown(self, place: Place, output: Any) -> None:
        with self._own():
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
    """Reports functions before they run, and what they put out."""

    def __init__(self, before: Callable[..., Place | None], after: Callable[..., None]) -> None:
        super().__init__()
        self._before, self._after = before, after

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        place = self._before(func, args, kwargs)
        output = func(*args, **kwargs)
        self._after(func, place, args, kwargs, output)
        return output
