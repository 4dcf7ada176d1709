"""Taking blocks out of a private copy, one by one and together, and scoring what is left."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from auditor.core.request import Unavailable
from auditor.core.text import clean_text
from auditor.experiments.blocks import blocks, holds_weights, is_norm, weighted
from auditor.experiments.lab import affordable, every_module_called, scored
from auditor.experiments.outputs import (
    Constancy,
    MeanOutput,
    apart,
    first_tensor,
    is_numeric,
    substituted,
)
from auditor.intake.batches import Batch, tensors_in
from auditor.intake.modes import evaluating
from auditor.intake.preserve import copied, preserved
from auditor.intake.seeding import derived_seed, seeded
from auditor.intake.subject import Subject
from auditor.observations.ablation import (
    MOST,
    PILES,
    SCRAMBLED,
    Ablations,
    AblationsOver,
    InertBlock,
    Way,
)
from auditor.observations.performance import Performance
from auditor.observations.targets import best_constant_score, constant_entropies

FEWEST = 4
"""Examples kept of each batch, however costly the model is."""

_ANSWERS_TWICE = (nn.RNNBase, nn.MultiheadAttention)
"""Modules that put out a tuple of which no part stands for their input."""


def ablations(request: AblationsOver, subject: Subject) -> Ablations | Unavailable:
    """Score a copy of the model whole, without each block, and without the idlest together."""
    assert subject.model is not None
    known = blocks(subject.model)
    if len(known) < 2:
        return Unavailable("the model has no two parts with weights that could be taken out")
    runs = min(len(known), MOST) + PILES + 1
    size = subject.facts.data["val"].batch_size
    count = min(request.batches, subject.facts.data["val"].batches_read)
    # Half of the budget: the hooks of the first pass and the scoring cost as much again.
    fits = affordable(subject, count * size, 2, runs, training=False)
    seed = derived_seed(subject.seed, request.key)
    with seeded(seed), torch.no_grad(), every_module_called():
        model = evaluating(copied(subject.model).requires_grad_(requires_grad=False))
        batches = [_thinned(b, max(FEWEST, fits // count)) for b in subject.batches("val", count)]
        return _Lab(subject, model, batches).result(request.split)


class _Lab:
    """The private copy, the batches it is scored on, and what a first pass told of its blocks."""

    def __init__(self, subject: Subject, model: nn.Module, batches: list[Batch]) -> None:
        self._subject, self._model, self._batches = subject, model, batches
        self._names = {module: name for name, module in model.named_modules()}
        self._parts = {m for m in self._names if m is not model and holds_weights(m)}
        self._means: dict[nn.Module, MeanOutput] = defaultdict(MeanOutput)
        self._watched: dict[nn.Module, Constancy] = {}
        self._same_shape: dict[nn.Module, bool] = {}
        self._size = 0
        self._calls: Counter[nn.Module] = Counter()
        self._blocks = blocks(model)
        self._first: list[torch.Tensor] = []
        self._altered: set[nn.Module] = set()
        self._dropped: set[nn.Module] = set()

    def result(self, split: str) -> Ablations | Unavailable:
        """Return what each block costs, and which do nothing."""
        whole = self._recorded()
        if isinstance(whole, Unavailable):
            return whole
        called = [module for module in self._watched if module in self._same_shape]
        chosen = _evenly(called, MOST)
        ways = {module: self._way(module) for module in chosen}
        results: dict[nn.Module, Performance] = {}
        for module in chosen:
            without = self._without({module: ways[module]})
            if isinstance(without, Performance):
                results[module] = without
        tried = list(results)
        if len(tried) < 2:
            return Unavailable("fewer than two parts of the model could be taken out by themselves")
        accuracy = whole.metric == "accuracy"
        told = Ablations(
            blocks=tuple(self._names[module] for module in tried),
            parameters=tuple(_parameters(module) for module in tried),
            ways=tuple(ways[module] for module in tried),
            inert=(*self._inert(), *self._unused()),
            metric=whole.metric,
            scores=whole.scores,
            entropies=whole.entropies,
            without_scores=np.stack([results[module].scores for module in tried]),
            without_entropies=np.stack([results[module].entropies for module in tried]),
            constant_score=best_constant_score(whole),
            constant_entropy=float(constant_entropies(whole).mean()) if accuracy else float("nan"),
            piles=(),
            without_piles=np.zeros((0, whole.examples)),
            all_parameters=_parameters(self._model),
            skipped=len(called) - len(chosen),
            broke=tuple(self._names[module] for module in chosen if module not in tried),
            split=split,
        )
        if np.isnan(told.constant_score):
            told = replace(told, constant_score=float(told.without_scores[-1].mean()))
        return self._piled(told, {module: ways[module] for module in tried})

    def _piled(self, told: Ablations, ways: dict[nn.Module, Way]) -> Ablations:
        """Return the same with the cheapest blocks taken out together, one more each time."""
        modules, piles, rows = list(ways), [], []
        order = told.cheapest()
        for most in range(1, len(order) + 1):
            gone = {modules[i]: ways[modules[i]] for i in order[:most]}
            result = self._without(gone)
            if not isinstance(result, Performance):
                break
            piles.append(order[most - 1])
            rows.append(result.entropies if len(told.entropies) else result.scores)
        return replace(
            told,
            piles=tuple(piles),
            without_piles=np.stack(rows) if rows else told.without_piles,
        )

    def _recorded(self) -> Performance | Unavailable:
        """Score the whole model, and note what its parts take in and put out."""
        inputs: dict[nn.Module, list[Any]] = defaultdict(list)
        wanted = set(self._blocks.values())

        def before(module: nn.Module, args: Any, kwargs: Any) -> None:
            self._watched.setdefault(module, Constancy())
            given = first_tensor((args, kwargs))
            # A copy, since the module may write into what it is given.
            inputs[module].append(None if given is None else given.clone())

        def after(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            given = inputs[module].pop() if inputs[module] else None
            made = first_tensor(output)
            self._watched[module].see(given, made, self._size)
            if module in wanted:
                self._means[module].see(output, self._size, self._calls[module])
                self._calls[module] += 1
                self._same_shape[module] = self._same_shape.get(module, True) and (
                    given is not None
                    and made is not None
                    and (given.shape, given.dtype) == (made.shape, made.dtype)
                )

        with ExitStack() as hooks:
            for module in self._parts:
                enter = module.register_forward_pre_hook(before, with_kwargs=True)
                leave = module.register_forward_hook(after, with_kwargs=True)
                hooks.callback(enter.remove)
                hooks.callback(leave.remove)
            whole = scored(self._subject, self._model, self._stepping(), "val")
        self._first = self._outputs()
        return whole

    def _stepping(self) -> Iterator[Batch]:
        """Yield the batches, counting the calls of each anew."""
        for batch in self._batches:
            self._size = batch.size
            self._calls.clear()
            yield batch

    def _way(self, module: nn.Module) -> Way:
        fits = self._same_shape[module] and not isinstance(module, _ANSWERS_TWICE)
        return "identity" if fits else "mean"

    def _without(self, ways: dict[nn.Module, Way]) -> Performance | Unavailable:
        """Score the model without some of its blocks; a model that then raises has no score."""
        with ExitStack() as stack:
            for module, way in ways.items():
                out = self._passed if way == "identity" else self._averaged
                stack.enter_context(out(module))
            try:
                result = scored(self._subject, self._model, self._stepping(), "val")
                if len(ways) == 1 and self._altered.issuperset(ways) and self._unchanged():
                    self._dropped.update(ways)
                return result
            except (torch.OutOfMemoryError, MemoryError):
                raise
            except Exception as error:  # noqa: BLE001 - a forward pass may depend on any of it
                return Unavailable(clean_text(error))

    @contextmanager
    def _passed(self, module: nn.Module) -> Iterator[None]:
        """Let a module's input through as its output."""
        given: list[torch.Tensor] = []

        def before(module: nn.Module, args: Any, kwargs: Any) -> None:
            given.extend(t.clone() for t in (first_tensor((args, kwargs)),) if t is not None)

        def after(module: nn.Module, args: Any, kwargs: Any, output: Any) -> Any:
            # The first tensor only: what else a block returns is not what the next one reads.
            return self._put(module, output, iter((given.pop(),)))

        enter = module.register_forward_pre_hook(before, with_kwargs=True)
        leave = module.register_forward_hook(after, with_kwargs=True)
        try:
            yield
        finally:
            enter.remove()
            leave.remove()

    @contextmanager
    def _averaged(self, module: nn.Module) -> Iterator[None]:
        """Put a module's mean output in the place of its output."""
        mean = self._means[module]

        def after(module: nn.Module, args: Any, kwargs: Any, output: Any) -> Any:
            call = self._calls[module]
            self._calls[module] += 1
            return self._put(module, output, mean.tensors(call))

        leave = module.register_forward_hook(after, with_kwargs=True)
        try:
            yield
        finally:
            leave.remove()

    def _put(self, module: nn.Module, output: Any, tensors: Iterator[torch.Tensor]) -> Any:
        """Return what stands in for a module's output, and note whether it is another."""
        put = substituted(output, tensors)
        was, now = first_tensor(output), first_tensor(put)
        if module not in self._altered and was is not None and now is not None and apart(now, was):
            self._altered.add(module)
        return put

    def _inert(self) -> list[InertBlock]:
        """Return the outermost parts that run to no effect."""
        found: list[InertBlock] = []
        for module, seen in self._watched.items():
            reason = seen.reason() or ("dropped" if module in self._dropped else None)
            name = self._names[module]
            if not reason or (reason == "identity" and is_norm(module)):
                continue
            if not any(name.startswith(f"{outer.name}.") for outer in found):
                found.append(InertBlock(name, type(module).__name__, _parameters(module), reason))
        return found

    def _unused(self) -> list[InertBlock]:
        """Return the outermost parts that never run, in either mode, and whose weights don't count.

        A part that does not run may lend its weights to a function, so they are changed to see.
        """
        candidates = list(self._idle(self._model, ""))[:SCRAMBLED]
        if not candidates:
            return []
        ran = self._run_in_training()
        found = []
        for name, module in candidates:
            if ran.isdisjoint(module.modules()) and self._does_not_mind(module):
                found.append(InertBlock(name, type(module).__name__, _parameters(module), "unused"))
        return found

    def _idle(self, module: nn.Module, name: str) -> Iterator[tuple[str, nn.Module]]:
        for label, child in weighted(module).items():
            path = f"{name}.{label}" if name else label
            if all(part not in self._watched for part in child.modules()):
                yield path, child
            elif not isinstance(child, nn.MultiheadAttention):
                yield from self._idle(child, path)

    def _run_in_training(self) -> set[nn.Module]:
        """Return the parts that run in training mode, on one batch."""
        ran: set[nn.Module] = set()
        batch = self._batches[0]
        with ExitStack() as hooks:
            for module in self._parts:
                handle = module.register_forward_pre_hook(lambda module, _: ran.add(module))
                hooks.callback(handle.remove)
            try:
                with preserved(self._model):
                    self._model.train()
                    self._model(*batch.args, **batch.kwargs)
            except (RuntimeError, ValueError):
                return self._parts
        return ran

    def _does_not_mind(self, module: nn.Module) -> bool:
        """Tell whether the model puts out the same with other weights in a part of it."""
        kept = [parameter.detach().clone() for parameter in module.parameters()]
        for parameter in module.parameters():
            parameter.add_(1.0)
        try:
            return self._unchanged()
        except (RuntimeError, ValueError):
            return False
        finally:
            for parameter, value in zip(module.parameters(), kept, strict=True):
                parameter.copy_(value)

    def _outputs(self) -> list[torch.Tensor]:
        """Return the numbers that the model puts out for the first batch."""
        batch = next(self._stepping())
        with seeded(self._subject.seed):
            outputs = self._model(*batch.args, **batch.kwargs)
        return [tensor for tensor in tensors_in(outputs) if is_numeric(tensor)]

    def _unchanged(self) -> bool:
        """Tell whether these are what they were."""
        now = self._outputs()
        return len(now) == len(self._first) and not any(
            was.shape != made.shape or apart(made, was)
            for made, was in zip(now, self._first, strict=True)
        )


def _thinned(batch: Batch, most: int) -> Batch:
    """Return at most so many examples of a batch, evenly spaced: a loader may sort them."""
    if batch.size <= most:
        return batch
    return batch.rows(torch.linspace(0, batch.size - 1, most).round().long())


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _evenly(items: list[nn.Module], most: int) -> list[nn.Module]:
    """Return at most so many items, evenly spaced, the first and last among them."""
    if len(items) <= most:
        return items
    return [items[round(place * (len(items) - 1) / (most - 1))] for place in range(most)]
