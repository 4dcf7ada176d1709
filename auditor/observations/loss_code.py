"""Code that puts right what a loss, outputs and targets have against each other."""

from auditor.core import snippets
from auditor.core.advice import step
from auditor.observations.loss_fit import Misfit

_F = "torch.nn.functional"
_LABELS = f"loss = {_F}.binary_cross_entropy_with_logits(model(inputs), targets.float())"
_CLASSES = f"loss = {_F}.cross_entropy(model(inputs), targets)"
_INDICES = f"loss = {_F}.cross_entropy(model(inputs), targets.argmax(1))"
_ONE_UNIT = (
    f"loss = {_F}.binary_cross_entropy_with_logits(model(inputs).squeeze(1), targets.float())"
)
_LOGARITHM = f"loss = {_F}.nll_loss(model(inputs).clamp_min(1e-12).log(), targets)"

_CODE = {
    "softmax twice": _LOGARITHM,
    "no logarithm": _LOGARITHM,
    "no log-softmax": _CLASSES,
    "sigmoid twice": f"loss = {_F}.binary_cross_entropy(model(inputs), targets.float())",
    "softmax before sigmoid": _INDICES,
    "labels for classes": _INDICES,
    "softmax for labels": _LABELS,
    "unseen classes": _CLASSES,
    "every pair": "outputs = model(inputs).view_as(targets)\nloss = loss_fn(outputs, targets)",
}
"""What to write in the training loop, by the kind of misfit."""

_BY_CURE = {"bce_logits": _LABELS, "cross_entropy": _INDICES}


_ENDS = ("squeezed logits", "clipped logits", "out of reach", "softmax before sigmoid")
"""Kinds for which the activation that ends the model has to go."""


def advised(misfit: Misfit, loss: str, end: str) -> str:
    """Return what to do about a misfit of the loss called `loss`, with code where it helps.

    `end` is the module that makes the outputs, empty where that is the model's `forward`.
    """
    if misfit.kind in _ENDS and end:
        return step(misfit.advice, snippets.replaced(end, "torch.nn.Identity()"))
    if misfit.kind in ("one class", "softmax over one unit"):
        binary = misfit.cure is not None and misfit.cure.loss == "bce_logits"
        return step(misfit.advice, _ONE_UNIT if binary else "")
    if misfit.kind == "sum":
        return step(misfit.advice, snippets.averaged(loss))
    if misfit.kind == "numbers for classes":
        return step(misfit.advice, _BY_CURE.get(misfit.cure.loss, "") if misfit.cure else "")
    return step(misfit.advice, _CODE.get(misfit.kind, ""))
