"""The loss that a LightningModule's `training_step` computes, as a function of outputs and target.

Nothing is guessed: the step is run once on a private copy, and what is taken for its loss has to
give the value that the step gave.
"""

import copy
import inspect
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from auditor.core.errors import InputError
from auditor.core.text import clean_text
from auditor.intake.batch_reading import Adapter, understood
from auditor.intake.batches import Batch, changed, tensors_in
from auditor.intake.frameworks.source import FirstBatch, Told
from auditor.intake.losses import KNOWN, Loss, callable_loss, known_module, named_loss
from auditor.intake.reference import blame
from auditor.intake.seeding import seeded

STEPS = ("training_step", "validation_step")

ALIKE = 1e-4
"""Share of a loss that two ways of adding up the same may differ by."""

ATTRIBUTES = ("criterion", "loss_fn", "loss", "loss_function", "criteria", "loss_func", "objective")
"""What modules call the loss that they keep."""

SILENCED = ("log", "log_dict", "print")
"""Methods of a LightningModule that report, and want a trainer to report to."""


class UntoldError(Exception):
    """The loss can't be told; the message says why."""


@dataclass(frozen=True)
class Step:
    """A private copy of a LightningModule, one of its steps, and the part of it that is the model.

    `raw` is the batch as the loader yields it, `batch` what an audit makes of it.
    """

    module: Any
    name: str
    part: str
    raw: Any
    batch: Batch

    @property
    def shown(self) -> str:
        """Return "Classifier.training_step"."""
        return f"{clean_text(type(self.module).__name__, 60)}.{self.name}"

    @property
    def model(self) -> Any:
        """Return the module whose outputs the loss is of."""
        return getattr(self.module, self.part) if self.part else self.module

    def loss_of(self, raw: Any) -> torch.Tensor:
        """Return the loss that the step computes of a raw batch.

        Raises:
            UntoldError: the step raised, or returned no loss.
        """
        step = getattr(self.module, self.name)
        count = len(inspect.signature(step).parameters)
        try:
            made = step(raw, 0) if count > 1 else step(raw)
        except (torch.OutOfMemoryError, MemoryError):
            raise
        except (Exception, SystemExit) as error:
            raise UntoldError(f"{self.shown} {blame(error)}") from error
        made = made.get("loss") if isinstance(made, dict) else made
        if not isinstance(made, torch.Tensor) or made.numel() != 1:
            raise UntoldError(f"{self.shown} returned no loss")
        return made.reshape(())

    def outputs(self) -> Any:
        """Return what the model puts out for the batch."""
        return self.model(*self.batch.args, **self.batch.kwargs)


def told_of_module(
    module: nn.Module, part: str, first: FirstBatch, adapter: Adapter | None
) -> Told:
    """Return the loss of a LightningModule, by the first batch of its data.

    Raises:
        InputError: it can't be told from outputs and target alone.
    """
    raw = first()
    loss = lightning_loss(module, part, raw, understood(raw, adapter, "batch"))
    shown = clean_text(type(module).__name__, 60)
    return Told(loss=loss, notes=(f"No loss is named: {loss.shown}, which {shown} computes.",))


def lightning_loss(module: nn.Module, part: str, raw: Any, batch: Batch) -> Loss:
    """Return the loss that a LightningModule is trained with.

    Raises:
        InputError: it can't be told from outputs and target alone.
    """
    reasons = []
    for name in STEPS:
        if callable(getattr(module, name, None)):
            step = Step(_private(module), name, part, raw, batch)
            try:
                return _told(step)
            except UntoldError as why:
                reasons.append(str(why))
    first = reasons[0] if reasons else "it has no training_step"
    raise InputError(
        f"loss: what {clean_text(type(module).__name__, 60)} is trained with can't be told: "
        f"{first}.\nName it in the spec, `loss: cross_entropy` or one of your own:\n"
        "  loss: model:loss\nand in model.py:\n  def loss(outputs, target): return ..."
    )


def _told(step: Step) -> Loss:
    with _quiet(), seeded(0), torch.no_grad(), _Watched() as watched:
        value = float(step.loss_of(step.raw))
    with _quiet(), seeded(0), torch.no_grad():
        outputs = step.outputs()
        for loss in _candidates(step, watched):
            if _equal(_value(loss, outputs, step.batch.target), value):
                return loss
        own = callable_loss(_OwnStep(step), step.shown)
        if _depends_on_outputs_alone(step, own, outputs, value):
            return own
    raise UntoldError(
        f"{step.shown} gave {value:.6g} for the first batch, which neither a loss of torch's that "
        "it calls nor one that it keeps gives for the outputs and the target"
    )


def _candidates(step: Step, watched: "_Watched") -> Iterator[Loss]:
    """Yield the losses of torch's that the step called, then those that the module keeps."""
    yield from watched.found.values()
    for name in ATTRIBUTES:
        kept = getattr(step.module, name, None)
        if callable(kept) and not inspect.ismethod(kept):
            yield callable_loss(kept, name)


class _Watched(TorchFunctionMode):
    """Notes the losses of torch's that are called, with their settings."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, Loss] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name in KNOWN and getattr(functional, name) is func:
            loss = _with_settings(name, func, args, kwargs)
            if loss is not None:
                self.found.setdefault(f"{len(self.found)}", loss)
        return func(*args, **kwargs)


def _with_settings(name: str, function: Any, args: Any, kwargs: Any) -> Loss | None:
    """Return a loss of torch's as it was called; None where its module has no such settings."""
    signature = inspect.signature(function)
    given = list(signature.bind(*args, **kwargs).arguments.items())[2:]
    settings = {
        key: value
        for key, value in given
        if value is not None
        and value is not signature.parameters[key].default
        and value != signature.parameters[key].default
    }
    if not settings:
        return named_loss(name)
    kind = known_module(name)
    try:
        return callable_loss(kind(**settings), name) if kind is not None else None
    except (TypeError, ValueError):
        return None


class _OwnStep:
    """The step itself, its model made to put out what it is given."""

    def __init__(self, step: Step) -> None:
        self._step = step

    def __call__(self, outputs: Any, target: Any) -> torch.Tensor:
        """Return the loss of a batch."""
        step = self._step
        first = next(tensors_in(outputs), None)
        if first is not None:
            step.module.to(first.device)
        model = step.model
        model.forward = lambda *_, **__: outputs
        try:
            with _quiet():
                return step.loss_of(_with_target(step.raw, step.batch.target, target))
        except UntoldError as why:
            raise ValueError(str(why)) from why
        finally:
            del model.forward


def _depends_on_outputs_alone(step: Step, own: Loss, outputs: Any, value: float) -> bool:
    """Tell whether the step gives its loss when its model hands out given outputs.

    Where other outputs give the same, it does not use them; where other inputs beside the same
    outputs give another, it is of the inputs too.
    """
    target = step.batch.target
    if not _holds(step.raw, target) or not _equal(_value(own, outputs, target), value):
        return False
    other = changed(outputs, lambda t: t + 1 + t.roll(1, -1) if t.is_floating_point() else t)
    if _equal(_value(own, other, target), value):
        return False
    kept = {id(tensor) for tensor in tensors_in(target)}

    def shaken(tensor: torch.Tensor) -> torch.Tensor:
        return tensor if id(tensor) in kept else tensor.flip(0)

    elsewhere = Step(step.module, step.name, step.part, changed(step.raw, shaken), step.batch)
    return _equal(_value(callable_loss(_OwnStep(elsewhere), step.shown), outputs, target), value)


def _holds(raw: Any, target: Any) -> bool:
    inner = raw.values() if isinstance(raw, dict) else raw if isinstance(raw, tuple | list) else ()
    return raw is target or any(_holds(one, target) for one in inner)


def _with_target(raw: Any, old: Any, new: Any) -> Any:
    """Return a raw batch with one target in the place of another."""
    if raw is old:
        return new
    if isinstance(raw, dict):
        return {key: _with_target(inner, old, new) for key, inner in raw.items()}
    if isinstance(raw, tuple | list) and not hasattr(raw, "_fields"):
        return type(raw)(_with_target(inner, old, new) for inner in raw)
    return raw


def _value(loss: Callable[[Any, Any], Any], outputs: Any, target: Any) -> float | None:
    try:
        return float(loss(outputs, target))
    except InputError:
        return None


def _equal(one: float | None, other: float) -> bool:
    if one is None:
        return False
    if math.isnan(other):
        return math.isnan(one)
    return abs(one - other) <= ALIKE * max(abs(one), abs(other), 1e-3)


def _private(module: nn.Module) -> Any:
    """Return a copy of a LightningModule that reports nothing, ready to be evaluated."""
    twin: Any = copy.deepcopy(module).eval()
    for name in SILENCED:
        object.__setattr__(twin, name, lambda *_, **__: None)
    return twin


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
