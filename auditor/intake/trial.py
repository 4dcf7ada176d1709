"""Trying model, loss and data together on one batch, before anything is audited."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils.flop_counter import FlopCounterMode

from auditor.core.errors import InputError
from auditor.core.request import Split
from auditor.core.spec import Task
from auditor.core.text import clean_text, counted
from auditor.intake.batches import Batch, described, tensors_in
from auditor.intake.loaders import Batches, Survey
from auditor.intake.losses import (
    CLASS_LOSSES,
    CLASS_TASKS,
    IGNORED,
    Loss,
    main_output,
    output_width,
)
from auditor.intake.preserve import SubjectChangedError, preserved
from auditor.intake.reference import blame
from auditor.intake.seeding import derived_seed, seeded
from auditor.intake.spectral import begun
from auditor.intake.task import inferred_task


def tried(
    model: nn.Module,
    batches: Batches,
    survey: Survey,
    loss: Loss | None,
    task: Task | None,
    device: torch.device,
    seed: int,
    factory: Callable[[], nn.Module] | None = None,
) -> tuple[Task | None, int | None]:
    """Run one batch through model and loss; return the task that this shows, and the width.

    Where no output is a finite number, one of a model that the factory builds shows the task.

    Raises:
        InputError: the model or the loss can't take the batch, a label is out of range, or the
            model writes to its own parameters.
    """
    batch = next(iter(batches.first(1))).to(device)
    try:
        with preserved(model), seeded(seed), torch.no_grad():
            try:
                model.eval()
                outputs = model(*batch.args, **batch.kwargs)
            except (torch.OutOfMemoryError, MemoryError):
                raise
            except (Exception, SystemExit) as error:
                given = batch.kwargs or (batch.args if len(batch.args) > 1 else batch.args[0])
                raise InputError(
                    f"data.{batches.split}: the model can't take the first batch: "
                    f"{layer_of(model, error)}{blame(error)}\n"
                    f"It was given {described(given)}."
                ) from error
            if loss is None:
                return None, None
            if task is None:
                shown = outputs
                if factory is not None and none_finite(outputs):
                    shown = _of_another(factory, batch, device, seed, outputs)
                task = inferred_task(loss, shown, batch.target)
                if task in CLASS_TASKS and (
                    _tied_to_batch(model, batch, outputs)
                    or _beyond(survey, loss, output_width(task, outputs, batch.target))
                ):
                    task = "custom"
            width = output_width(task, outputs, batch.target)
            _targets_in_range(batches.split, survey, loss, task, width)
            loss(outputs, batch.target)
            return task, width
    except SubjectChangedError as error:
        raise InputError(f"model: {error}; an audit wants a model that stays as it is") from error
    except InputError as error:
        if str(error).startswith("loss") and _own_target(batch):
            raise InputError(
                f"{error}\nEach batch of data.{batches.split} is one tensor and so its own target; "
                "`data: {batch: ...}` says otherwise."
            ) from error
        raise


def _own_target(batch: Batch) -> bool:
    first = batch.args[0] if batch.args else None
    if not isinstance(first, torch.Tensor) or not isinstance(batch.target, torch.Tensor):
        return False
    return torch.equal(first, batch.target)


def none_finite(outputs: Any) -> bool:
    """Tell whether no number of the output that the loss takes is finite."""
    main = main_output(outputs)
    return isinstance(main, torch.Tensor) and main.numel() > 0 and not bool(main.isfinite().any())


def _of_another(
    factory: Callable[[], nn.Module], batch: Batch, device: torch.device, seed: int, outputs: Any
) -> Any:
    """Return what a model built anew puts out for a batch; `outputs` where there is none."""
    try:
        with seeded(derived_seed(seed, "factory")):
            built = begun(factory().to(device))
        built.eval()
        return built(*batch.args, **batch.kwargs)
    except (torch.OutOfMemoryError, MemoryError):
        raise
    except (Exception, SystemExit):  # noqa: BLE001 - what can't be asked tells nothing
        return outputs


def recurrent_steps(model: nn.Module, batch: Batch) -> int:
    """Return how many steps the recurrent layers take, one after the other, on a batch."""
    stacks = sum(
        module.num_layers * (1 + module.bidirectional)
        for module in model.modules()
        if isinstance(module, nn.RNNBase)
    )
    lengths = (
        size
        for tensor in tensors_in((batch.args, batch.kwargs))
        for axis, size in enumerate(tensor.shape[:2])
        if axis != batch.axis(tensor)
    )
    return stacks * max(lengths, default=1) if stacks else 0


def flops_of(model: nn.Module, batches: Batches, device: torch.device, seed: int) -> float:
    """Return the floating-point operations of one example's forward pass, a multiply-add being two.

    What torch's counter can't run is not counted; since each weight serves an example once or more,
    two operations a parameter are the least. Recurrent layers are reckoned by their steps: on some
    devices the counter does not see into them, on others it takes longer than a long sequence does.
    """
    batch = next(iter(batches.first(1))).to(device)
    least = 2.0 * sum(p.numel() for p in model.parameters())
    counter = FlopCounterMode(display=False)
    with preserved(model), seeded(seed), torch.no_grad(), ExitStack() as stack:
        model.eval()
        recurrent = _Recurrent(model, stack)
        try:
            with counter:
                model(*batch.args, **batch.kwargs)
        except (Exception, SystemExit):  # noqa: BLE001 - without the counter it has just run
            return least
    return max((counter.get_total_flops() + recurrent.flops) / batch.size, least)


class _Recurrent:
    """Reckons what recurrent layers do, and keeps a counter from following them step by step."""

    def __init__(self, model: nn.Module, stack: ExitStack) -> None:
        self.flops = 0.0
        self._open = stack.enter_context(ExitStack())
        for module in model.modules():
            if isinstance(module, nn.RNNBase):
                before = module.register_forward_pre_hook(self._enter, with_kwargs=True)
                after = module.register_forward_hook(self._leave)
                stack.callback(before.remove)
                stack.callback(after.remove)

    def _enter(self, module: nn.RNNBase, args: Any, kwargs: Any) -> None:
        given = args[0] if args else kwargs.get("input")
        values = given.data if isinstance(given, PackedSequence) else given
        steps = values.numel() // max(1, module.input_size)
        self.flops += 2.0 * steps * sum(p.numel() for p in module.parameters() if p.ndim > 1)
        self._open.enter_context(_disable_current_modes())

    def _leave(self, module: nn.Module, args: Any, result: Any) -> None:
        self._open.close()


def _tied_to_batch(model: nn.Module, batch: Batch, outputs: Any) -> bool:
    """Tell whether the width of the output is that of the batch: examples set against each other.

    Contrastive models give a square of similarities, whose columns are no classes.
    """
    main = main_output(outputs)
    if batch.size < 2 or main.shape[:2] != (batch.size, batch.size):
        return False
    less = batch.take(batch.size - 1)
    return bool(main_output(model(*less.args, **less.kwargs)).shape[1] == batch.size - 1)


def _beyond(survey: Survey, loss: Loss, width: int | None) -> bool:
    """Tell whether a loss of the user's own takes labels that no output stands for.

    So do thresholds between ordered grades, one fewer than these, and numbers of examples.
    """
    return not loss.known and width is not None and bool(survey.targets.outside(0, width, IGNORED))


def layer_of(model: nn.Module, error: BaseException) -> str:
    """Return "in layer 'head' (Linear) it " for the innermost layer that an exception crossed."""
    names = {id(module): name for name, module in model.named_modules()}
    said, trace = "", error.__traceback__
    while trace is not None:
        owner = trace.tb_frame.f_locals.get("self")
        name = names.get(id(owner))
        if name:
            said = f"in layer {clean_text(name)!r} ({type(owner).__name__}) it "
        trace = trace.tb_next
    return said


def _targets_in_range(
    split: Split, survey: Survey, loss: Loss, task: Task, width: int | None
) -> None:
    # With logits torch takes any target, and so an audit does: `loss-unfit-for-task` tells.
    if loss.known == "binary_cross_entropy":
        wrong = survey.targets.beyond(0.0, 1.0)
        if wrong is not None:
            value, batch = wrong
            raise InputError(
                f"data.{split}: target out of range: batch {batch} holds {value:g}; "
                f"{loss.known} takes targets from 0 to 1"
            )
    if loss.known not in CLASS_LOSSES or task not in CLASS_TASKS or width is None:
        return
    outside = survey.targets.outside(0, width, ignored=loss.ignored)
    if outside:
        label, batch = outside[0]
        others = f" ({counted(len(outside), 'such label')} in all)" if len(outside) > 1 else ""
        ignored = f" ({loss.ignored} marks what the loss leaves out)" if label < 0 else ""
        raise InputError(
            f"data.{split}: label out of range: batch {batch} holds the label {label}{others}; "
            f"the model puts out {counted(width, 'class', 'classes')}, "
            f"so labels go from 0 to {width - 1}{ignored}"
        )
