"""The loss around the weights: a private copy that is moved about and differentiated twice."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from auditor.core.errors import InputError
from auditor.core.request import Split, Unavailable
from auditor.core.text import counted
from auditor.experiments.in_float64 import wide
from auditor.experiments.lab import CUDA_TIMES, every_module_called, forward_cost
from auditor.intake.batches import Batch, changed, tensors_in
from auditor.intake.modes import dropout_off
from auditor.intake.preserve import preserved
from auditor.intake.seeding import reseed
from auditor.intake.subject import Subject

BUDGET = 1.5e11
"""Floating-point operations of one look at the landscape on a CPU: some four seconds of a core."""

FEWEST = 8
"""Examples of each batch below which the budget is overdrawn rather than fewer taken."""

MOST = 300_000_000
"""Parameters beyond which directions as long as all of them together are not kept in memory."""

HEAVY = 20_000_000
"""Parameters from which on moving them costs more than most passes: fewer are made then."""

RESTLESS = (
    "the loss of one and the same batch differs from pass to pass, whatever the random numbers, so "
    "that what moving the weights does can't be told"
)

Direction = Sequence[torch.Tensor]


class NoGradientError(Exception):
    """The loss does not hang together with any trainable parameter."""


class NotFiniteError(Exception):
    """A gradient, or what is made of it, is not finite."""


def single(tensor: torch.Tensor) -> torch.Tensor:
    """Return a tensor of half precision in float32, any other as it is."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


@dataclass(frozen=True)
class Parts:
    """Batches of some of the subject's examples, and what had to be done to have them."""

    batches: list[Batch]
    split: Split
    note: str = ""

    @property
    def examples(self) -> int:
        """Return how many examples there are in all."""
        return sum(batch.size for batch in self.batches)


def fitting(subject: Subject, passes: int) -> int:
    """Return of how many examples so many forward passes may be made."""
    budget = BUDGET * (CUDA_TIMES if subject.device.type == "cuda" else 1)
    return max(FEWEST, int(budget / (passes * forward_cost(subject, 1))))


def parts_of(
    subject: Subject, split: Split, count: int, passes: int, *, halved: bool = False
) -> Parts | Unavailable:
    """Return up to `count` batches, each cut to what `passes` over one batch may cost.

    Where they are to be `halved`, fewer than asked for are taken apart until there are enough or
    they get small, so that a loader of a single batch still tells how much the loss scatters. Those
    of a custom task stay whole, since their examples may belong together.
    """
    batches = list(subject.batches(split, count))
    if not batches:
        return Unavailable(f"data.{split} has no batch")
    notes = []
    whole = subject.facts.task == "custom"
    most = fitting(subject, passes)
    if max(batch.size for batch in batches) > most:
        if whole and max(batch.size for batch in batches) > 32 * most:
            return Unavailable(
                "batches of a custom task are not taken apart, and a pass over a whole one is too "
                "costly to be repeated so often"
            )
        if not whole:
            batches = [batch.take(most) for batch in batches]
            notes.append(f"of each batch the first {most:,} examples were looked at")
    had = len(batches)
    while halved and not whole and len(batches) < count:
        place = max(range(len(batches)), key=lambda index: batches[index].size)
        if batches[place].size < 2 * FEWEST:
            break
        batches[place : place + 1] = _halves(batches[place])
    if len(batches) > had:
        there = counted(had, "batch", "batches")
        notes.append(f"{there} of {split} data were taken apart into {len(batches):,}")
    return Parts(batches, split, "; ".join(notes))


def _halves(batch: Batch) -> list[Batch]:
    middle = batch.size // 2
    rows = torch.arange(batch.size)
    return [batch.rows(rows[:middle]), batch.rows(rows[middle:])]


class Landscape:
    """The loss of a private copy as a function of its trainable parameters.

    Halves are kept in float32. Dropout is off; batch norm uses the statistics of its batch where
    the model is to be as in `training`, else the running ones. Every pass starts from the same
    random numbers and, where the model keeps something from pass to pass, the same state.
    """

    def __init__(self, subject: Subject, batch: Batch, seed: int, *, training: bool) -> None:
        assert subject.model is not None
        assert subject.loss is not None
        made = wide(subject.model, subject.loss, batch, single)
        self.model, self._loss = made.model, made.loss
        self._seed, self._training = seed, training
        self._afresh = self._away = False
        self._shares_alone = subject.loss.known == "binary_cross_entropy"
        for module in self.model.modules():
            if isinstance(module, nn.Embedding | nn.EmbeddingBag):
                module.sparse = False
        self.named = [
            (name, p)
            for name, p in self.model.named_parameters()
            if p.requires_grad and p.is_floating_point() and p.numel()
        ]
        self.parameters = [p for _, p in self.named]
        self.numbers = sum(p.numel() for p in self.parameters)
        self._start = [p.detach().clone() for p in self.parameters]

    @property
    def weights(self) -> Direction:
        """Return the checkpoint's weights; not to be written to."""
        return self._start

    def refused(self, batch: Batch) -> str:
        """Return why nothing can be measured here, empty where it can; two passes."""
        first, second = self.loss(batch), self.loss(batch)
        if torch.isfinite(first) and not torch.allclose(first, second, rtol=1e-4, atol=1e-7):
            self._afresh = True
            if not torch.allclose(self.loss(batch), self.loss(batch), rtol=1e-4, atol=1e-7):
                return RESTLESS
        return "" if torch.isfinite(first) else "the loss at the checkpoint is not a finite number"

    def outputs(self, batch: Batch) -> tuple[object, torch.Tensor]:
        """Return what the model puts out for a batch, and the loss, without a graph.

        Away from the checkpoint a loss that refuses what comes out is NaN, as some do with NaN.
        """
        with self._pass(batch), torch.no_grad():
            outputs = self._answered(batch)
            lost = torch.full((), torch.nan)
            if self._away and self._shares_alone and _holds_nan(outputs):
                return outputs, lost  # CUDA would stop at it.
            try:
                return outputs, self.of(outputs, batch).detach()
            except InputError:
                if not self._away:
                    raise
                return outputs, lost

    def loss(self, batch: Batch) -> torch.Tensor:
        """Return the loss of a batch, without a graph."""
        return self.outputs(batch)[1]

    def of(self, outputs: object, batch: Batch) -> torch.Tensor:
        """Return the loss of other outputs for a batch."""
        with torch.no_grad():
            return self._loss(outputs, changed(batch.target, single))

    def gradient(self, batch: Batch) -> list[torch.Tensor]:
        """Return the gradient of a batch's loss; zeros where a parameter has no part in it."""
        with self._pass(batch), torch.enable_grad():
            return self._gradient(batch, twice=False)

    def products(self, batch: Batch, directions: Sequence[Direction]) -> list[list[torch.Tensor]]:
        """Return the Hessian of a batch's loss times each direction, by differentiating twice.

        Raises:
            RuntimeError: something in the model can't be differentiated twice, or is a function of
                its own whose second derivative autograd may leave out without a word.
        """
        with self._pass(batch), torch.enable_grad():
            gradient = self._gradient(batch, twice=True)
            if not any(g.requires_grad for g in gradient):
                raise RuntimeError("the gradient has no graph of its own")
            made = []
            for place, direction in enumerate(directions):
                along = torch.stack(
                    [(g * d).sum() for g, d in zip(gradient, direction, strict=True)]
                ).sum()
                last = place == len(directions) - 1
                made.append(self._of(along, retain=not last))
            return made

    @contextmanager
    def moved(self, by: Direction, times: float = 1.0) -> Iterator[None]:
        """Run a block with the weights moved from the checkpoint's by `times` a direction."""
        with torch.no_grad():
            for p, start, step in zip(self.parameters, self._start, by, strict=True):
                torch.add(start, step, alpha=times, out=p.data)
        self._away = True
        try:
            yield
        finally:
            self._away = False
            with torch.no_grad():
                for p, start in zip(self.parameters, self._start, strict=True):
                    p.data.copy_(start)

    def _gradient(self, batch: Batch, *, twice: bool) -> list[torch.Tensor]:
        loss = self._loss(self._answered(batch), changed(batch.target, single))
        if not loss.requires_grad:
            raise NoGradientError("no gradient comes from the loss")
        if twice and _has_own_functions(loss):
            raise RuntimeError("a function of the model's own stands in the graph")
        found = torch.autograd.grad(loss, self.parameters, create_graph=twice, allow_unused=True)
        return [
            torch.zeros_like(p) if g is None else g
            for p, g in zip(self.parameters, found, strict=True)
        ]

    def _of(self, along: torch.Tensor, *, retain: bool) -> list[torch.Tensor]:
        found = torch.autograd.grad(along, self.parameters, retain_graph=retain, allow_unused=True)
        return [
            torch.zeros_like(p) if h is None else h.detach()
            for p, h in zip(self.parameters, found, strict=True)
        ]

    def _answered(self, batch: Batch) -> object:
        given = batch.with_inputs(lambda tensor: single(tensor).clone())
        return self.model(*given.args, **given.kwargs)

    @contextmanager
    def _pass(self, batch: Batch) -> Iterator[None]:
        dropout_off(self.model, batch.size if self._training else 1)
        reseed(self._seed)
        with ExitStack() as stack:
            stack.enter_context(every_module_called())
            # Fused recurrent layers and attention can't be differentiated twice.
            if any(isinstance(module, nn.RNNBase) for module in self.model.modules()):
                stack.enter_context(torch.backends.cudnn.flags(enabled=False))
            stack.enter_context(sdpa_kernel(SDPBackend.MATH))
            if "torch._dynamo" in sys.modules:
                stack.enter_context(torch.compiler.set_stance("force_eager"))
            if self._afresh:
                stack.enter_context(preserved(self.model))
            yield


def _holds_nan(outputs: object) -> bool:
    return any(bool(t.isnan().any()) for t in tensors_in(outputs) if t.is_floating_point())


def _has_own_functions(loss: torch.Tensor) -> bool:
    """Tell whether a loss comes through an `autograd.Function` written in Python."""
    left, met = [loss.grad_fn], {loss.grad_fn}
    while left:
        node = left.pop()
        if isinstance(node, torch.autograd.function.BackwardCFunction):
            return True
        before = {other for other, _ in node.next_functions} - met if node is not None else set()
        met |= before
        left += before
    return False
