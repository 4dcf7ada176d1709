"""The loss of a model of transformers', and how its batches are read.

Such a model computes its loss itself when it is given labels. An audit keeps outputs and target
apart, so the loss is said as one of torch's, once it was seen to give what the model's own does.
"""

import inspect
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from auditor.core.errors import InputError
from auditor.intake.batch_reading import Adapter, understood
from auditor.intake.batches import Batch, tensors_in
from auditor.intake.frameworks.source import FirstBatch, NamedLoss, Told
from auditor.intake.losses import IGNORED, KNOWN, Loss, named_loss
from auditor.intake.preserve import preserved
from auditor.intake.seeding import seeded

PREDICTS_NEXT = ("ForCausalLM", "LMHeadModel")
"""How classes are called whose outputs are of the token after, and who shift labels themselves."""

ALIKE = 1e-3
"""Share by which a loss may differ from the model's own, which may add up in other precision."""

CANDIDATES = ("cross_entropy", "mse_loss", "binary_cross_entropy_with_logits")


def told_of(model: nn.Module, first: FirstBatch, adapter: Adapter | None, named: NamedLoss) -> Told:
    """Return how batches of a model are read, and its loss where none is `named`.

    Raises:
        InputError: the loss is none of torch's.
    """
    kind = type(model).__name__
    takes = inspect.signature(model.forward).parameters
    if "labels" not in takes:
        return Told(notes=() if named else (f"{kind} has no head, and so no loss of its own.",))
    reading = adapter or _reading(model, kind, named)
    if named is not None:
        return Told(adapter=reading)
    batch = understood(first(), reading, "batch")
    own = _own_loss(model, batch)
    outputs = _outputs(model, batch) if own is not None else None
    candidates = [named_loss(name) for name in _in_order(model, batch.target)]
    for loss in candidates:
        if own is None or _gives(loss, outputs, _compared(kind, batch.target), own):
            note = f"No loss is named: {loss.shown}, which {kind} computes of labels."
            return Told(adapter=reading, loss=loss, notes=(note,))
    raise InputError(
        f"loss: that of {kind} ({own:.6g} for the first batch) is none that is known by outputs "
        "and target alone.\nName your own in the spec:\n"
        "  loss: module:loss\nand in module.py:\n  def loss(outputs, target): return ..."
    )


def _reading(model: nn.Module, kind: str, named: NamedLoss) -> Adapter | None:
    """Return how a batch is read, None where the usual way does."""
    if kind.endswith(PREDICTS_NEXT):
        # A loss of the user's own may well set each output against the token after itself.
        return next_token if named is None or named in KNOWN else None
    prepare = getattr(model, "prepare_decoder_input_ids_from_labels", None)
    if prepare is None or not getattr(getattr(model, "config", None), "is_encoder_decoder", False):
        return None

    def translated(raw: Any) -> tuple[Any, Any]:
        batch = understood(raw, None, "batch")
        inputs = _by_name(batch, "input_ids")
        if isinstance(batch.target, torch.Tensor) and "decoder_input_ids" not in inputs:
            inputs["decoder_input_ids"] = prepare(labels=batch.target)
        return inputs, batch.target

    return translated


def next_token(raw: Any) -> tuple[Any, Any]:
    """Return inputs and target of a causal language model: at each place the token that follows.

    Labels as transformers takes them stand at the place of their own token; without any, the inputs
    are the labels, but for padding. Targets of a pair that are moved already stay as they are.
    """
    if isinstance(raw, Mapping) and "labels" not in raw and "input_ids" in raw:
        labels, mask = raw["input_ids"], raw.get("attention_mask")
        if isinstance(mask, torch.Tensor) and mask.shape == labels.shape:
            labels = labels.masked_fill(mask == 0, IGNORED)
        return dict(raw), _moved(labels)
    batch = understood(raw, None, "batch")
    inputs: Any = dict(batch.kwargs) or batch.args
    ids = next(tensors_in((batch.args, batch.kwargs)))
    named = isinstance(raw, Mapping) and "labels" in raw
    if isinstance(batch.target, torch.Tensor) and (named or _same_tokens(ids, batch.target)):
        return inputs, _moved(batch.target)
    return inputs, batch.target


def _moved(labels: torch.Tensor) -> torch.Tensor:
    return functional.pad(labels[..., 1:], (0, 1), value=IGNORED)


def _same_tokens(ids: torch.Tensor, labels: torch.Tensor) -> bool:
    counted = labels != IGNORED
    return ids.shape == labels.shape and bool((ids == labels)[counted].all())


def _by_name(batch: Batch, first: str) -> dict[str, Any]:
    return dict(batch.kwargs) or {first: batch.args[0]}


def _in_order(model: nn.Module, target: Any) -> list[str]:
    """Return the losses that a model may have, the likeliest first, as transformers chooses."""
    config = getattr(model, "config", None)
    kind = getattr(config, "problem_type", None)
    whole = isinstance(target, torch.Tensor) and not target.is_floating_point()
    likely = "cross_entropy" if whole else "binary_cross_entropy_with_logits"
    if kind == "regression" or (kind is None and getattr(config, "num_labels", 0) == 1):
        likely = "mse_loss"
    if kind == "multi_label_classification":
        likely = "binary_cross_entropy_with_logits"
    return [likely, *(name for name in CANDIDATES if name != likely)]


def _own_loss(model: nn.Module, batch: Batch) -> float | None:
    """Return the loss that the model computes itself; None where it can't be asked.

    Labels that are out of range are told when model, loss and data are tried together.
    """
    labels = batch.target
    if type(model).__name__.endswith(PREDICTS_NEXT):
        # Moved back: the first place has no label, as its token follows none.
        labels = functional.pad(labels[..., :-1], (1, 0), value=IGNORED)
    config = getattr(model, "config", None)
    kind = getattr(config, "problem_type", None)
    try:
        with preserved(model), seeded(0), torch.no_grad():
            model.eval()
            made = model(*batch.args, **{**batch.kwargs, "labels": labels})
        return float(made.loss)
    except (torch.OutOfMemoryError, MemoryError):
        raise
    except (Exception, SystemExit):  # noqa: BLE001 - what is wrong is told when all is tried
        return None
    finally:
        if config is not None:
            config.problem_type = kind


def _compared(kind: str, target: Any) -> Any:
    """Return the target without the place that a causal language model has no label for itself."""
    if not kind.endswith(PREDICTS_NEXT) or not isinstance(target, torch.Tensor):
        return target
    return _moved(functional.pad(target[..., :-1], (1, 0), value=IGNORED))


def _outputs(model: nn.Module, batch: Batch) -> Any:
    with preserved(model), seeded(0), torch.no_grad():
        model.eval()
        return model(*batch.args, **batch.kwargs)


def _gives(loss: Loss, outputs: Any, target: Any, own: float) -> bool:
    try:
        value = float(loss(outputs, target))
    except InputError:
        return False
    if math.isnan(own):
        return math.isnan(value)
    return abs(value - own) <= ALIKE * max(abs(value), abs(own), 1e-3)
