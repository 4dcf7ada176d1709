"""Code that builds the optimizer of training anew, with some of its settings changed."""

from collections.abc import Mapping

from auditor.core import snippets
from auditor.observations.settings import Plain, Settings

_USUAL: Mapping[str, Plain] = {
    "momentum": 0,
    "dampening": 0,
    "nesterov": False,
    "weight_decay": 0,
    "betas": (0.9, 0.999),
    "eps": 1e-8,
    "alpha": 0.99,
    "amsgrad": False,
    "centered": False,
}
"""Settings worth repeating, each with the value that torch takes where none is given."""

_TAKES: Mapping[str, tuple[str, ...]] = {
    "SGD": ("momentum", "dampening", "nesterov", "weight_decay"),
    "Adam": ("betas", "eps", "weight_decay", "amsgrad"),
    "AdamW": ("betas", "eps", "weight_decay", "amsgrad"),
    "NAdam": ("betas", "eps", "weight_decay"),
    "RAdam": ("betas", "eps", "weight_decay"),
    "Adamax": ("betas", "eps", "weight_decay"),
    "RMSprop": ("alpha", "eps", "momentum", "weight_decay", "centered"),
    "Adagrad": ("weight_decay",),
}
"""The optimizers of torch that are built here, each with what it takes beside a rate."""


def own_settings(settings: Settings, **changes: float) -> dict[str, object] | None:
    """Return the settings of the one parameter group, its first rate among them; None where the
    optimizer is not known, or has groups that differ.
    """
    if settings.optimizer not in _TAKES or len(settings.groups) != 1:
        return None
    group = settings.groups[0]
    rate = group.number("initial_lr", group.number("lr"))
    made: dict[str, object] = {"lr": float(snippets.digits(rate, 4))} if rate > 0 else {}
    for name in _TAKES[settings.optimizer]:
        value = group.values.get(name)
        usual = 0.01 if (name, settings.optimizer) == ("weight_decay", "AdamW") else _USUAL[name]
        if value is not None and value != usual and not isinstance(value, str):
            made[name] = value
    for name, number in changes.items():
        if name == "lr" or name in _TAKES[settings.optimizer]:
            made[name] = float(snippets.digits(number))
    return made


def optimizer_code(settings: Settings, **changes: float) -> str:
    """Return code that builds the optimizer of training with some settings changed.

    Where it is not known how it was built, the changes are made to the one that there is.
    """
    own = own_settings(settings, **changes)
    if own is not None and "lr" in own:
        return snippets.optimizer(settings.optimizer, own)
    lines = [f'    group["{name}"] = {snippets.digits(value)}' for name, value in changes.items()]
    return "\n".join(("for group in optimizer.param_groups:", *lines))
