"""A private copy that is run again and again on small batches, and how its answers are compared."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from auditor.core.request import Unavailable
from auditor.core.text import clean_text
from auditor.experiments.distances import largest_change
from auditor.experiments.dropout_free import training_without_dropout
from auditor.experiments.lab import every_module_called, private_copy
from auditor.experiments.trace import NoDropout, Trace
from auditor.intake.batches import Batch, changed, tensors_in
from auditor.intake.modes import evaluating
from auditor.intake.preserve import UncopyableError, copied
from auditor.intake.seeding import reseed, seeded
from auditor.intake.subject import Subject

TOLERANCES = {
    torch.float64: 1e-9,
    torch.float32: 1e-4,
    torch.float16: 2e-2,
    torch.bfloat16: 1e-1,
}
"""Share of the largest value up to which a difference is rounding, by the coarsest number type.

A sum of many terms in another order is off by a few times the precision (1e-16 and 1e-7), which a
deep network amplifies."""

QUANTISED = 1e-1
"""The same of layers in 8 bits, whose errors add up."""

UNSTEADY = (
    "the model gives the same batch another answer each time, whatever its state and the random "
    "numbers, so that no other comparison means anything"
)

WIDEST = 200_000_000
"""Parameters up to which a copy is made in double precision."""


class Probe:
    """A private copy in evaluation mode, in double precision where the model allows it.

    Every pass starts from the same random numbers and the same state, so that nothing but what it
    is given makes a difference. `tolerance` is what counts as rounding.
    """

    def __init__(self, subject: Subject, batch: Batch, seed: int) -> None:
        self._device, self._seed = subject.device, seed
        self._model = evaluating(native_copy(subject).requires_grad_(requires_grad=False))
        self._wide = sum(p.numel() for p in self._model.parameters()) <= WIDEST
        self._afresh = False
        if self._wide:
            self._model = self._model.double()
            try:
                coarsest = self._coarsest(batch)
            except (torch.OutOfMemoryError, MemoryError):
                raise
            except Exception:  # noqa: BLE001 - some models run in their own precision only
                self._wide = False
                self._model = evaluating(native_copy(subject).requires_grad_(requires_grad=False))
        if not self._wide:
            coarsest = self._coarsest(batch)
        self.tolerance = TOLERANCES.get(coarsest, TOLERANCES[torch.bfloat16])
        self.precision = str(coarsest).removeprefix("torch.")
        if any(type(m).__module__.startswith("torch.ao.") for m in self._model.modules()):
            # Quantised layers take their scale from the batch as a whole: what they round to is
            # no finer than that.
            self.tolerance, self.precision = QUANTISED, "int8"
        self._afresh = self._keeps_state(batch)
        self.steady = not self._afresh or self._repeats(batch)

    @property
    def model(self) -> nn.Module:
        """Return the private copy."""
        return self._model

    def run(self, batch: Batch, seed: int | None = None) -> Any:
        """Return what the model puts out for a batch."""
        with self._ready(seed) as model, torch.no_grad():
            here = self.cast(batch)
            return model(*here.args, **here.kwargs)

    def traced(self, batch: Batch, seed: int | None = None) -> Trace:
        """Run the model on a batch and return what passed through it."""
        trace = Trace()
        with self._ready(seed) as model, torch.no_grad(), trace.of(model):
            here = self.cast(batch)
            model(*here.args, **here.kwargs)
        return trace

    @contextmanager
    def graph(self) -> Iterator[nn.Module]:
        """Lend the model for a pass that is differentiated by its inputs."""
        # The fused recurrent layers of CUDA can't be differentiated in evaluation mode.
        unfused = torch.backends.cudnn.flags(enabled=False)
        with self._ready(None) as model, torch.enable_grad(), unfused:
            yield model

    @contextmanager
    def training(self) -> Iterator[None]:
        """Run in training mode: dropout off, batch norm on its running statistics.

        Every pass starts from a copy, since training mode may change what a model keeps.
        """
        afresh = self._afresh
        self._afresh = True
        try:
            with training_without_dropout(self._model), NoDropout():
                yield
        finally:
            self._afresh = afresh

    def changed_by(self, batch: Batch) -> list[str]:
        """Return the names of the buffers that a pass changes."""
        before = dict(self._model.named_buffers())
        with self._ready(None), torch.no_grad():
            model = copied(self._model)
            here = self.cast(batch)
            model(*here.args, **here.kwargs)
        after = dict(model.named_buffers())
        return [n for n, v in before.items() if n in after and not torch.equal(v, after[n])]

    def cast(self, batch: Batch) -> Batch:
        """Return the batch on the model's device, in its precision."""

        def put(tensor: torch.Tensor) -> torch.Tensor:
            here = tensor.to(self._device)
            return here.double() if self._wide and here.is_floating_point() else here

        return Batch(changed(batch.args, put), changed(batch.kwargs, put), batch.target)

    @contextmanager
    def _ready(self, seed: int | None) -> Iterator[nn.Module]:
        kind = torch.get_default_dtype()
        with ExitStack() as stack:
            stack.enter_context(seeded(self._seed if seed is None else seed))
            stack.enter_context(every_module_called())
            if self._wide:
                # So that states and masks which a forward pass makes are of the weights' type.
                stack.callback(torch.set_default_dtype, kind)
                torch.set_default_dtype(torch.float64)
            yield copied(self._model) if self._afresh else self._model

    def _coarsest(self, batch: Batch) -> torch.dtype:
        """Run a batch and return the coarsest number type that took part."""
        kinds = _Kinds()
        here = self.cast(batch)
        with self._ready(None) as model, torch.no_grad():
            model = copied(model)
            with kinds:
                model(*here.args, **here.kwargs)
        own = {p.dtype for p in self._model.parameters() if p.is_floating_point()}
        found = kinds.seen | own | {t.dtype for t in tensors_in(here.args) if t.is_floating_point()}
        return max(found, key=lambda kind: torch.finfo(kind).eps, default=torch.float32)

    def _keeps_state(self, batch: Batch) -> bool:
        self._afresh = True
        first = self.run(batch)
        with self._ready(None) as model, torch.no_grad():
            here = self.cast(batch)
            model(*here.args, **here.kwargs)
            reseed(self._seed)
            second = model(*here.args, **here.kwargs)
        return largest_change(first, second) != 0

    def _repeats(self, batch: Batch) -> bool:
        return largest_change(self.run(batch), self.run(batch)) <= self.tolerance


class _Kinds(TorchFunctionMode):
    """Notes the number types of what functions of numbers put out."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[torch.dtype] = set()

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor | tuple | list):
            out = {t.dtype for t in tensors_in(made) if t.is_floating_point()}
            if out and any(t.is_floating_point() for t in tensors_in((args, kwargs))):
                self.seen |= out
        return made


def native_copy(subject: Subject) -> nn.Module:
    """Return a private copy as it is, built anew where it can't be copied."""
    assert subject.model is not None
    try:
        return copied(subject.model)
    except UncopyableError:
        if subject.factory is None:
            raise
        return private_copy(subject)


def probing(subject: Subject, batch: Batch, seed: int) -> Probe | Unavailable:
    """Return a probe that has been tried on a part of a batch, and answers it alike twice."""
    try:
        probe = Probe(subject, batch, seed)
    except Exception as error:  # noqa: BLE001 - the model is the user's
        return Unavailable(apart_refused(error))
    if probe.steady:
        return probe
    return Unavailable(UNSTEADY)


def apart_refused(error: Exception) -> str:
    """Return what it means that a model raises on a part of a batch."""
    return (
        f"the model does not take a part of a batch ({raised(error)}): its examples belong "
        "together, as the nodes of one graph do, or its batch size is fixed"
    )


def raised(error: Exception) -> str:
    """Return what an exception says, for the middle of a sentence."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        raise error
    first = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__}: {clean_text(first, 160).rstrip('.')}"
