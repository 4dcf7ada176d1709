"""Where a model drops, seen while it runs: modules, functions, attention, recurrent layers."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from auditor.core.layer import MODEL
from auditor.core.text import clean_text
from auditor.experiments.trace import DROPOUTS, NoDropout
from auditor.intake.batches import tensors_in
from auditor.observations.dropout import DropoutSite

OWN = (nn.RNNBase, nn.MultiheadAttention)
"""Modules that drop inside torch's own code, at the rate of their attribute `dropout`."""

VIEWS = 64
"""Steps up autograd's graph that are gone from an operator to the parameter that it takes."""


@dataclass
class _Call:
    """One call of a function that drops: by which module, at what rate, whether it is on."""

    layer: str
    kind: str
    rate: float
    on: bool
    first: bool
    node: Any


class Drops(TorchFunctionMode):
    """Notes who drops during a pass."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.calls: list[_Call] = []
        self._names = {module: name or MODEL for name, module in model.named_modules()}
        self._open: list[nn.Module] = []
        self._model = model

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Note what runs inside the block."""
        with ExitStack() as stack:
            for module in self._names:
                enter = module.register_forward_pre_hook(self._enter)
                leave = module.register_forward_hook(self._leave, always_call=True)
                stack.callback(enter.remove)
                stack.callback(leave.remove)
            stack.enter_context(self)
            yield

    def _enter(self, module: nn.Module, args: Any) -> None:
        self._open.append(module)

    def _leave(self, module: nn.Module, args: Any, output: Any) -> None:
        while self._open and self._open.pop() is not module:
            pass
        if isinstance(module, OWN):
            given = next(tensors_in(args), None)
            made = next((t for t in tensors_in(output) if t.is_floating_point()), None)
            self._note(module, type(module).__name__, float(module.dropout), module.training,
                       given, made)  # fmt: skip

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        made = func(*args, **kwargs)
        module = self._open[-1] if self._open else self._model
        if isinstance(module, OWN):
            return made
        if func in DROPOUTS:
            rate = kwargs.get("p", args[1] if len(args) > 1 else 0.5)
            on = kwargs.get("training", args[2] if len(args) > 2 else True)
            given = kwargs["input"] if "input" in kwargs else args[0]
            own = isinstance(module, nn.modules.dropout._DropoutNd)
            kind = type(module).__name__ if own else f"functional.{func.__name__}"
            self._note(module, kind, float(rate), bool(on), given, made)
        elif func is functional.scaled_dot_product_attention:
            rate = kwargs.get("dropout_p", args[4] if len(args) > 4 else 0.0)
            if rate > 0:
                # It has no flag: a rate above zero is on.
                self._note(module, "functional.scaled_dot_product_attention", float(rate), True,
                           args[0] if args else kwargs["query"], made)  # fmt: skip
        return made

    def _note(
        self, module: nn.Module, kind: str, rate: float, on: bool, given: Any, made: Any
    ) -> None:
        first = isinstance(given, torch.Tensor) and not given.requires_grad
        node = made.grad_fn if isinstance(made, torch.Tensor) else None
        self.calls.append(_Call(self._names.get(module, MODEL), kind, rate, on, first, node))


class _Uses:
    """Who uses what each node of autograd's graph makes, on the way to the outputs."""

    def __init__(self, outputs: Any) -> None:
        self._users: dict[Any, list[Any]] = {}
        stack = [t.grad_fn for t in tensors_in(outputs) if t.grad_fn is not None]
        self._seen = set(stack)
        while stack:
            here = stack.pop()
            for below, _ in here.next_functions:
                if below is None:
                    continue
                self._users.setdefault(below, []).append(here)
                if below not in self._seen:
                    self._seen.add(below)
                    stack.append(below)

    def last(self, node: Any) -> bool:
        """Tell whether no parameter is used between a node and the outputs that come of it."""
        if node not in self._seen:
            return False
        above, stack = {node}, [node]
        while stack:
            for user in self._users.get(stack.pop(), ()):
                if user in above:
                    continue
                if any(_held(n) for n, _ in user.next_functions if n is not None):
                    return False
                above.add(user)
                stack.append(user)
        return True


def sites_of(
    model: nn.Module, trained: Drops, evaluated: Drops, outputs: Any, *, whole: bool
) -> tuple[DropoutSite, ...]:
    """Return every place that drops, in the order of execution, those that never ran last.

    `outputs` are those of the pass in training mode, with gradients for all weights; whether a
    place is at an end of the model is told where the `whole` model has weights to tell by.
    """
    found: dict[tuple[str, str], DropoutSite] = {}
    uses = _Uses(outputs)
    modules = dict(model.named_modules())
    for number, drops in enumerate((trained, evaluated)):
        for call in drops.calls:
            key = call.layer, call.kind
            before = found.get(key)
            at = before.at if before else _place(call, modules, uses) if whole else ""
            rate = max(call.rate, before.rate if before else 0.0)
            on = (
                (before.training if before else False) or (call.on and number == 0),
                (before.evaluation if before else False) or (call.on and number == 1),
            )
            name = clean_text(call.layer)
            found[key] = DropoutSite(name, clean_text(call.kind, 60), rate, *on, at)
    ran = {layer for layer, _ in found}
    for name, module in modules.items():
        if (name or MODEL) in ran:
            continue
        rate = getattr(module, "p", 0.0) if isinstance(module, nn.modules.dropout._DropoutNd) else (
            module.dropout if isinstance(module, OWN) else 0.0)  # fmt: skip
        if rate:
            kind = type(module).__name__
            site = DropoutSite(clean_text(name), kind, float(rate), False, False, "unused")
            found[name, kind] = site
    return tuple(site for site in found.values() if site.rate > 0)


def _place(call: _Call, modules: dict[str, nn.Module], uses: _Uses) -> Any:
    module = modules.get(call.layer)
    if isinstance(module, nn.RNNBase):
        return "idle" if module.num_layers == 1 else ""
    if isinstance(module, nn.MultiheadAttention):
        return ""
    if call.first:
        return "input"
    return "output" if call.node is not None and uses.last(call.node) else ""


def _held(node: Any) -> bool:
    """Tell whether a node is a parameter, or a view of one."""
    for _ in range(VIEWS):
        below = [n for n, _ in node.next_functions if n is not None]
        if not below:
            return type(node).__name__ == "AccumulateGrad"
        if len(below) > 1:
            return False
        node = below[0]
    return False


@contextmanager
def dropping(model: nn.Module, sites: tuple[DropoutSite, ...]) -> Iterator[None]:
    """Put a copy in evaluation mode, but for what drops in training."""
    model.eval()
    modules = dict(model.named_modules())
    names = {clean_text(name or MODEL): module for name, module in modules.items()}
    for site in sites:
        if site.training and site.layer in names:
            # The module alone: what it holds stays in evaluation mode.
            names[site.layer].training = True
    try:
        yield
    finally:
        model.eval()


@contextmanager
def undropped(model: nn.Module) -> Iterator[None]:
    """Let nothing of a copy drop inside the block, whatever its mode."""
    shares = [(m, m.dropout) for m in model.modules() if isinstance(m, OWN)]
    try:
        for module, _ in shares:
            module.dropout = 0.0
        with NoDropout():
            yield
    finally:
        for module, share in shares:
            module.dropout = share
