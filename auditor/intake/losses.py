"""The loss, however the user names it, as one function from outputs and target to a scalar."""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from auditor.core.errors import InputError
from auditor.core.spec import Task
from auditor.core.text import clean_text
from auditor.intake.batches import described, tensors_in
from auditor.intake.reference import blame

CLASS_LOSSES = ("cross_entropy", "nll_loss")
IGNORED = -100
"""The label that torch's class losses leave out unless they are told another."""

LABEL_LOSSES = ("binary_cross_entropy", "binary_cross_entropy_with_logits")
NUMBER_LOSSES = ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "poisson_nll_loss")
CLASS_TASKS: tuple[Task, ...] = ("multiclass", "segmentation", "language_model")
"""Tasks of exclusive classes, beside a binary one that has an output for each."""

SUMS_TO_ONE = 5e-3
"""How far from one the shares of all classes may be together, in half precision too."""

NAMED = 0.89
"""Share of a target's largest class from which it names that class; smoothed by 0.1 it has more."""

KNOWN = (
    *CLASS_LOSSES,
    *LABEL_LOSSES,
    *NUMBER_LOSSES,
    "multi_margin_loss",
    "multilabel_margin_loss",
    "multilabel_soft_margin_loss",
    "soft_margin_loss",
    "kl_div",
)

_MODULES = {
    nn.CrossEntropyLoss: "cross_entropy",
    nn.NLLLoss: "nll_loss",
    nn.BCELoss: "binary_cross_entropy",
    nn.BCEWithLogitsLoss: "binary_cross_entropy_with_logits",
    nn.MSELoss: "mse_loss",
    nn.L1Loss: "l1_loss",
    nn.SmoothL1Loss: "smooth_l1_loss",
    nn.HuberLoss: "huber_loss",
}


_PLAIN: dict[str, Any] = {"weight": None, "pos_weight": None, "label_smoothing": 0.0}
"""Settings of a loss module, and their values where they change nothing."""


@dataclass(frozen=True)
class Loss:
    """A loss of one or several terms.

    `known` is its name in torch.nn.functional, else empty; it is `plain` where nothing but the
    name is needed to compute it: no class weights, no smoothing. Labels that are `ignored` do not
    count. `weights` is that of each class, or of each label's positive examples, where a loss
    module of torch has them, and `smoothing` what it takes from each label.
    """

    terms: dict[str, Callable[[Any, Any], Any]]
    known: str
    shown: str
    plain: bool = True
    ignored: int = IGNORED
    weights: tuple[float, ...] = ()
    smoothing: float = 0.0

    def __call__(self, outputs: Any, target: Any) -> torch.Tensor:
        """Return the loss of a batch, a scalar: the sum of its terms.

        Raises:
            InputError: a term can't take these outputs and targets, or gives no scalar.
        """
        values = list(self.values(outputs, target).values())
        return values[0] if len(values) == 1 else torch.stack(values).sum()

    def values(self, outputs: Any, target: Any) -> dict[str, torch.Tensor]:
        """Return the value of each term by its name, scalars whose sum is the loss.

        Raises:
            InputError: a term can't take these outputs and targets, or gives no scalar.
        """
        return {name: self._term(name, outputs, target) for name in self.terms}

    def _term(self, name: str, outputs: Any, target: Any) -> torch.Tensor:
        if self.known:
            outputs, target = matched(main_output(outputs), target, self.known)
        try:
            value = self.terms[name](outputs, target)
        except InputError as error:
            said = str(error).removeprefix("loss: ")
            raise InputError(f"loss.{clean_text(name, 60)}: {said}") from error
        except (torch.OutOfMemoryError, MemoryError):
            raise
        except Exception as error:
            raise InputError(
                f"loss: {clean_text(name, 60)} {blame(error)}\n"
                f"It was given outputs {described(outputs)} and target {described(target)}."
            ) from error
        if not isinstance(value, torch.Tensor) or value.numel() != 1:
            raise InputError(
                f"loss: {clean_text(name, 60)} returned {described(value)}, expected a tensor that "
                "is a scalar: reduce over the batch, for instance with .mean()"
            )
        return value.reshape(())


def named_loss(name: str, key: str = "loss") -> Loss:
    """Return a loss of torch.nn.functional by its name; `key` is the spec's key that holds it.

    Raises:
        InputError: there is no such loss.
    """
    if name not in KNOWN:
        near = difflib.get_close_matches(name, KNOWN, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(KNOWN)}."
        raise InputError(
            f"{clean_text(key, 60)}: no loss named {clean_text(name, 60)!r}; {hint} "
            "Your own is given as `module:callable`."
        )
    return Loss({name: getattr(functional, name)}, name, name)


def callable_loss(function: Any, shown: str) -> Loss:
    """Return a loss from a function, a module, or a module's class.

    Raises:
        InputError: it is none of these.
    """
    if isinstance(function, type) and issubclass(function, nn.Module):
        try:
            function = function()
        except Exception as error:
            raise InputError(
                f"loss: {clean_text(shown, 60)} can't be built without arguments: it "
                f"{blame(error)}\nName a function that returns the loss of (outputs, target)."
            ) from error
    if not callable(function):
        raise InputError(f"loss: {described(function)} is not callable")
    known = stands_for(function)
    if getattr(function, "reduction", "mean") != "mean":
        known = ""
    plain = bool(known) and not any(
        getattr(function, setting, None) not in (None, usual) for setting, usual in _PLAIN.items()
    )
    ignored = getattr(function, "ignore_index", None)
    return Loss(
        {shown: function},
        known,
        known or clean_text(shown, 80),
        plain,
        ignored if isinstance(ignored, int) else IGNORED,
        _weights(function, known),
        float(getattr(function, "label_smoothing", 0.0)) if known else 0.0,
    )


def _weights(function: Any, known: str) -> tuple[float, ...]:
    """Return what a loss module weights its classes, or its labels' positive examples, with."""
    name = "weight" if known in CLASS_LOSSES else "pos_weight"
    weights = getattr(function, name, None) if known else None
    if not isinstance(weights, torch.Tensor) or weights.ndim > 1:
        return ()
    return tuple(weights.detach().double().reshape(-1).tolist())


def stands_for(function: Any) -> str:
    """Return the torch.nn.functional name of a loss of torch's, whatever its settings, or ""."""
    name = getattr(function, "__name__", "")
    if name in KNOWN and getattr(functional, name) is function:
        return str(name)
    return _MODULES.get(type(function), "")


def known_module(name: str) -> type[nn.Module] | None:
    """Return the module of torch's that stands for one of its losses by name, if there is one."""
    return next((kind for kind, known in _MODULES.items() if known == name), None)


def summed(terms: Mapping[str, Callable[[Any, Any], Any]]) -> Loss:
    """Return the loss that is the sum of named terms."""
    return Loss(dict(terms), "", " + ".join(clean_text(name, 40) for name in terms))


def main_output(outputs: Any) -> Any:
    """Return the tensor that a standard loss takes from whatever a model returns."""
    if isinstance(outputs, torch.Tensor):
        return outputs
    logits = outputs.get("logits") if isinstance(outputs, Mapping) else None
    if logits is None:
        logits = getattr(outputs, "logits", None)
    if isinstance(logits, torch.Tensor):
        return logits
    return next((t for t in tensors_in(outputs) if t.is_floating_point()), outputs)


def matched(outputs: Any, target: Any, loss: str) -> tuple[Any, Any]:
    """Return outputs and target in the layout that the named loss of torch wants.

    Class scores in the last dimension, as sequence models give them, go to the second; targets
    of a float loss get the outputs' type and, where only dimensions of one differ, their shape.
    """
    if not isinstance(outputs, torch.Tensor) or not isinstance(target, torch.Tensor):
        return outputs, target
    if loss in CLASS_LOSSES and not target.is_floating_point():
        if target.ndim == outputs.ndim and target.shape[-1] == 1:
            target = target.squeeze(-1)
        fits = outputs.ndim >= 2 and outputs.shape[2:] == target.shape[1:]
        if not fits and outputs.ndim >= 3 and outputs.shape[:-1] == target.shape:
            outputs = outputs.movedim(-1, 1)
        return outputs, target.long()
    if loss in (*LABEL_LOSSES, *NUMBER_LOSSES):
        squeezed = [n for n in outputs.shape if n != 1] == [n for n in target.shape if n != 1]
        if outputs.shape != target.shape and squeezed:
            target = target.reshape(outputs.shape)
        if outputs.shape != target.shape:
            raise InputError(
                f"loss: {loss} wants outputs and targets of one shape, the model's outputs are "
                f"{described(outputs)} and the targets {described(target)}"
            )
        target = target.to(outputs.dtype)
    return outputs, target


def picks_class(loss: Loss, task: Task | None, outputs: torch.Tensor, target: torch.Tensor) -> bool:
    """Tell whether outputs are to be read as scores of exclusive classes."""
    several = outputs.ndim > 1 and outputs.shape[1:].numel() > 1
    if task == "binary":
        return several and (loss.known in CLASS_LOSSES or not target.is_floating_point())
    return several and task in CLASS_TASKS


def as_classes(outputs: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return class scores, the classes second, and the class of each target.

    Of a target that gives each class a share, as one-hot and smoothed labels do, it is the largest.

    Raises:
        InputError: targets are neither classes nor shares that name one.
    """
    scores, target = matched(outputs, target, "cross_entropy")
    if not target.is_floating_point():
        return scores, target
    if not gives_shares(target) or scores.shape != target.shape:
        raise InputError("the targets are neither classes nor their probabilities")
    most, labels = target.max(dim=1)
    if bool((most < NAMED).any()):
        raise InputError("the targets are probabilities of classes, not classes")
    return scores, labels


def labels_in(values: torch.Tensor) -> int:
    """Return how many labels [examples, labels, places...] hold: each place is a case of each.

    Of three dimensions the last two are places of one label, as in a mask without channels.
    """
    if values.ndim == 3 and values.shape[2] != 1:
        return 1
    return values.shape[1] if values.ndim > 1 else 1


def by_label(values: torch.Tensor) -> torch.Tensor:
    """Return [examples x places, labels], example by example."""
    labels = labels_in(values)
    return values.reshape(len(values), labels, -1).movedim(1, -1).reshape(-1, labels)


def gives_shares(target: torch.Tensor) -> bool:
    """Tell whether targets give each class, in the second dimension, a share of one."""
    if not target.is_floating_point() or target.ndim < 2 or target.shape[1] < 2:
        return False
    sums = target.float().sum(dim=1)
    return bool((target >= 0).all()) and bool(((sums - 1).abs() < SUMS_TO_ONE).all())


def output_width(task: Task, outputs: Any, target: Any) -> int | None:
    """Return the number of classes, labels or quantities that a model puts out."""
    main = main_output(outputs)
    if not isinstance(main, torch.Tensor) or main.ndim == 0:
        return None
    if task == "binary":
        return 2
    if task in ("multiclass", "segmentation", "language_model"):
        scores, _ = matched(main, target, "cross_entropy")
        return int(scores.shape[1]) if scores.ndim > 1 else None
    return int(main.shape[1:].numel()) if main.ndim > 1 else 1
