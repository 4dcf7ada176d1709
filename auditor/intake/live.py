"""Live objects, as a notebook or a test hands them in, made the parts of a subject."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from auditor.core.errors import InputError
from auditor.core.request import Split
from auditor.core.spec import OptimizerSpec
from auditor.core.text import kind_of
from auditor.intake import optimizer as optimizers
from auditor.intake.assembly import Parts
from auditor.intake.losses import Loss, callable_loss, named_loss, summed
from auditor.intake.modules import parameters_of
from auditor.intake.preserve import copied, preserved
from auditor.intake.torch_state import state_kept


def live_parts(
    model: nn.Module,
    factory: Callable[[], nn.Module] | None,
    loss: Any,
    train: Any,
    val: Any,
    batch: Callable[[Any], tuple[Any, Any]] | None,
    name: str | None,
    device: str,
    optimizer: Any = None,
) -> Parts:
    """Return the parts of a subject that is at hand; a model that has to move is copied first.

    Raises:
        InputError: the model is no module, or the loss is nothing that can be called.
    """
    where = device_of(model)
    splits: tuple[tuple[Split, Any], ...] = (("train", train), ("val", val))
    return Parts(
        name=name or type(model).__name__,
        shown_factory=getattr(factory, "__qualname__", "") if factory is not None else "",
        model=model if where == device else copied(model),
        factory=factory,
        loss=_loss(loss),
        loaders=tuple((split, loader) for split, loader in splits if loader is not None),
        adapter=batch,
        optimizer=optimizers.LiveOptimizer.of(optimizer, model),
        code={
            name: given
            for name, given in (("factory", factory), ("data.batch", batch), ("loss", loss))
            if callable(given)
        },
    )


def _loss(loss: Any) -> Loss | None:
    if loss is None:
        return None
    if isinstance(loss, Mapping):
        if not loss:
            raise InputError("loss: an empty mapping, expected a term for each name")
        return summed({str(name): _term(str(name), term) for name, term in loss.items()})
    if isinstance(loss, str):
        return named_loss(loss)
    return callable_loss(loss, getattr(loss, "__name__", type(loss).__name__))


def _term(name: str, term: Any) -> Loss:
    if isinstance(term, str):
        return named_loss(term, f"loss.{name}")
    return callable_loss(term, getattr(term, "__name__", type(term).__name__))


def live_optimizer(
    optimizer: Mapping[str, Any] | torch.optim.Optimizer | None,
) -> OptimizerSpec | dict[str, Any] | None:
    """Return the declaration of an optimizer given as settings or as itself."""
    if optimizer is None:
        return None
    if isinstance(optimizer, torch.optim.Optimizer):
        return optimizers.declared_by(optimizer)
    return dict(optimizer)


def device_of(model: nn.Module) -> str:
    """Return the device that a model's first parameter or buffer is on.

    Raises:
        InputError: the model is no module.
    """
    if not isinstance(model, nn.Module):
        raise InputError(f"model: {kind_of(model)}, expected a torch.nn.Module")
    first = next(iter([*parameters_of(model), *model.buffers()]), None)
    return str(first.device) if first is not None else "cpu"


@contextmanager
def lent(model: nn.Module, loss: Any = None) -> Iterator[None]:
    """Lend a caller's model, loss and process out; they come back as they were, whatever happens.

    The model is on the device that it was on.
    """
    terms = [*loss.values()] if isinstance(loss, Mapping) else [loss]
    with ExitStack() as stack:
        stack.enter_context(state_kept())
        for one in dict.fromkeys(term for term in (*terms, model) if isinstance(term, nn.Module)):
            stack.enter_context(preserved(one))
        yield
