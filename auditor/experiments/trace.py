"""What every module took in and put out during a pass, and where two passes part."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from auditor.core.layer import MODEL
from auditor.intake.batches import tensors_in
from auditor.observations.culprit import Culprit

MOST_BYTES = 1_500_000_000
"""What one trace keeps; what runs after that is not recorded."""
MOST_CALLS = 50_000

DROPOUTS = frozenset(
    {
        functional.dropout,
        functional.dropout1d,
        functional.dropout2d,
        functional.dropout3d,
        functional.alpha_dropout,
        functional.feature_alpha_dropout,
    }
)
_DRAWS = frozenset(
    {
        torch.rand,
        torch.rand_like,
        torch.randn,
        torch.randn_like,
        torch.randint,
        torch.randint_like,
        torch.randperm,
        torch.bernoulli,
        torch.multinomial,
        torch.normal,
        torch.poisson,
        torch.dropout,
        torch.dropout_,
        torch.rrelu,
        functional.rrelu,
        functional.gumbel_softmax,
        torch.Tensor.bernoulli,
        torch.Tensor.bernoulli_,
        torch.Tensor.multinomial,
        torch.Tensor.normal_,
        torch.Tensor.uniform_,
        torch.Tensor.random_,
        torch.Tensor.exponential_,
    }
)


@dataclass
class Call:
    """One call of a module that ended: clones of the dense tensors that it took and gave."""

    name: str
    module: nn.Module
    given: list[torch.Tensor]
    made: list[torch.Tensor] = field(default_factory=list)
    inner: bool = False
    draws: list[str] = field(default_factory=list)


class Trace:
    """The calls of one pass in the order in which they ended, inner ones before outer ones."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.whole = True
        self._open: list[Call] = []
        self._bytes = 0
        self._names: dict[nn.Module, str] = {}

    @contextmanager
    def of(self, model: nn.Module) -> Iterator[None]:
        """Record what runs inside the block."""
        self._names = {module: name or MODEL for name, module in model.named_modules()}
        with ExitStack() as stack:
            for module in self._names:
                enter = module.register_forward_pre_hook(self._enter, with_kwargs=True)
                # Always, so that a module whose exception is caught further up is left as well.
                leave = module.register_forward_hook(self._leave, always_call=True)
                stack.callback(enter.remove)
                stack.callback(leave.remove)
            stack.enter_context(_Draws(self._drawn))
            yield

    def _enter(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        if self._open:
            self._open[-1].inner = True
        self._open.append(Call(self._names[module], module, self._kept((args, kwargs))))

    def _leave(self, module: nn.Module, args: Any, output: Any) -> None:
        if not self._open or self._open[-1].module is not module:
            return
        call = self._open.pop()
        if output is None:
            return
        call.made = self._kept(output)
        self.whole = self.whole and len(self.calls) < MOST_CALLS and self._bytes < MOST_BYTES
        if self.whole:
            self.calls.append(call)

    def _drawn(self, name: str) -> None:
        if self._open:
            self._open[-1].draws.append(name)

    def _kept(self, value: Any) -> list[torch.Tensor]:
        if self._bytes >= MOST_BYTES:
            return []
        # Clones, since a later module may write into them.
        kept = [t.detach().clone() for t in tensors_in(value) if t.layout is torch.strided]
        self._bytes += sum(t.numel() * t.element_size() for t in kept)
        return kept

    def drawing(self) -> list[Culprit]:
        """Return each module that drew random numbers, in order, with the functions it used."""
        found: dict[str, Culprit] = {}
        for call in self.calls:
            if call.draws and call.name not in found:
                found[call.name] = blamed(call)
        return list(found.values())


Alike = Callable[[torch.Tensor, torch.Tensor], bool | None]


def parting(one: Trace, other: Trace, given: Alike, made: Alike) -> Culprit | None:
    """Return the module in which two passes part: what it took is alike, what it put out is not.

    `given` and `made` compare a tensor of one pass with its twin of the other; None says nothing.
    """
    reached: list[str] = []
    for first, second in _aligned(one.calls, other.calls):
        if len(first.given) != len(second.given) or len(first.made) != len(second.made):
            continue
        if any(given(a, b) is False for a, b in zip(first.given, second.given, strict=True)):
            reached.append(second.name)
            continue
        if any(made(a, b) is False for a, b in zip(first.made, second.made, strict=True)):
            start = "" if second.name == MODEL else f"{second.name}."
            into = next((name for name in reached if name.startswith(start)), "")
            return replace(blamed(second), into=into)
    return None


def blamed(call: Call) -> Culprit:
    """Return a call's module as the one to blame."""
    first = getattr(call.module, "batch_first", None)
    return Culprit(
        call.name,
        _kind(call.module),
        call.inner,
        tuple(dict.fromkeys(call.draws)),
        first if isinstance(first, bool) else None,
    )


def _kind(module: nn.Module) -> str:
    """Return the class of a module: "Linear", "MyDropout, a Dropout" of one made of torch's."""
    name = type(module).__name__
    bases = [c for c in type(module).__mro__ if c.__module__.startswith("torch.nn.modules")]
    plain = (nn.Module, nn.Sequential, nn.ModuleList, nn.ModuleDict)
    if not bases or bases[0] in plain or bases[0] is type(module):
        return name
    return f"{name}, a {bases[0].__name__}"


def _aligned(one: Sequence[Call], other: Sequence[Call]) -> Iterator[tuple[Call, Call]]:
    """Yield the calls of two passes in pairs, the nth of a module with its nth."""
    twins: dict[str, list[Call]] = defaultdict(list)
    for call in other:
        twins[call.name].append(call)
    counts: dict[str, int] = defaultdict(int)
    for call in one:
        place, found = counts[call.name], twins[call.name]
        counts[call.name] += 1
        if place < len(found):
            yield call, found[place]


class _Draws(TorchFunctionMode):
    """Tells which functions draw random numbers, dropout only where it is switched on."""

    def __init__(self, told: Callable[[str], None]) -> None:
        super().__init__()
        self._told = told

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in _DRAWS or (func in DROPOUTS and _switched_on(args, kwargs)):
            self._told(str(func.__name__))
        elif func is functional.scaled_dot_product_attention and _share(args, kwargs, 4) > 0:
            self._told("scaled_dot_product_attention(dropout_p > 0)")
        return func(*args, **kwargs)


def _switched_on(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    share = kwargs.get("p", args[1] if len(args) > 1 else 0.5)
    training = kwargs.get("training", args[2] if len(args) > 2 else True)
    return bool(training) and share > 0


def _share(args: tuple[Any, ...], kwargs: dict[str, Any], place: int) -> float:
    return float(kwargs.get("dropout_p", args[place] if len(args) > place else 0.0))


class NoDropout(TorchFunctionMode):
    """Lets dropout, as a module or as a function, pass everything on."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func in DROPOUTS:
            return kwargs["input"] if "input" in kwargs else args[0]
        if func is functional.scaled_dot_product_attention:
            if len(args) > 4:
                args = (*args[:4], 0.0, *args[5:])
            kwargs = {k: v for k, v in kwargs.items() if k != "dropout_p"}
        return func(*args, **kwargs)
