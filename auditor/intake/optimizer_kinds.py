"""Which class of torch.optim a saved optimizer is of, by what it keeps: PyTorch saves no name.

Nothing here imports torch, so that `audit inspect` tells it too.
"""

from collections.abc import Mapping
from typing import Any

from auditor.core.text import clean_text

_MOST = 10_000
"""Entries of a state that are looked at."""

_NEEDED: dict[str, frozenset[str]] = {
    name: frozenset(slots.split())
    for name, slots in {
        "SGD": "",
        "Muon": "momentum_buffer",
        "Adam": "exp_avg exp_avg_sq",
        "AdamW": "exp_avg exp_avg_sq",
        "RAdam": "exp_avg exp_avg_sq",
        "SparseAdam": "exp_avg exp_avg_sq",
        "NAdam": "exp_avg exp_avg_sq mu_product",
        "Adamax": "exp_avg exp_inf",
        "RMSprop": "square_avg",
        "Adadelta": "square_avg acc_delta",
        "Adagrad": "sum",
        "Adafactor": "",
        "ASGD": "ax eta mu",
        "Rprop": "prev step_size",
        "LBFGS": "d t prev_flat_grad",
    }.items()
}
"""What each class keeps of a parameter, once it made a step."""

CLASSES = tuple(_NEEDED)
"""The classes of torch.optim."""

_FURTHER: dict[str, frozenset[str]] = {
    "SGD": frozenset({"momentum_buffer"}),
    "Adam": frozenset({"max_exp_avg_sq"}),
    "AdamW": frozenset({"max_exp_avg_sq"}),
    "RMSprop": frozenset({"momentum_buffer", "grad_avg"}),
    "Adafactor": frozenset({"row_var", "col_var", "variance"}),
    "LBFGS": frozenset(
        {"func_evals", "n_iter", "al", "H_diag", "old_dirs", "old_stps", "ro", "prev_loss"}
    ),
}
"""What some classes keep by their settings."""

_TELLING: dict[str, frozenset[str]] = {
    name: frozenset(settings.split())
    for name, settings in {
        "SGD": "momentum dampening nesterov weight_decay",
        "Muon": "momentum nesterov eps ns_steps weight_decay",
        "Adam": "betas eps amsgrad weight_decay",
        "AdamW": "betas eps amsgrad weight_decay",
        "RAdam": "betas eps weight_decay decoupled_weight_decay",
        "SparseAdam": "betas eps",
        "NAdam": "betas eps momentum_decay weight_decay decoupled_weight_decay",
        "Adamax": "betas eps weight_decay",
        "RMSprop": "alpha centered momentum eps weight_decay",
        "Adadelta": "rho eps weight_decay",
        "Adagrad": "lr_decay eps weight_decay",
        "Adafactor": "beta2_decay eps weight_decay",
        "ASGD": "lambd t0 alpha weight_decay",
        "Rprop": "etas step_sizes",
        "LBFGS": "history_size",
    }.items()
}
"""Those of its groups' settings by which the classes differ."""
_ANY = frozenset[str]().union(*_TELLING.values())


_KEPT = frozenset[str]().union(*_NEEDED.values(), *_FURTHER.values())


READ = frozenset({"SGD", "Adam", "AdamW", "RMSprop"})
"""The classes that an audit builds again from their saved state alone."""


def telling(name: str) -> frozenset[str]:
    """Return the arguments of a class of torch.optim by which it differs from the others."""
    return _TELLING[name]


def slots_of(saved: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of what a saved optimizer keeps of its parameters."""
    entries = saved.get("state")
    found: dict[str, None] = {}
    for entry in list(entries.values())[:_MOST] if isinstance(entries, Mapping) else ():
        if isinstance(entry, Mapping):
            # None stands for a momentum that is not used.
            found |= {str(key): None for key, value in entry.items() if value is not None}
    return tuple(clean_text(name, 40) for name in list(found)[:32])


def kinds_of(saved: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the classes that a saved optimizer can be of, none where it is of none of them.

    Optimizers of other libraries keep the same moments, but hardly ever the same settings.
    """
    slots = frozenset(slots_of(saved)) - {"step"}
    groups = saved.get("param_groups")
    first = groups[0] if isinstance(groups, list | tuple) and groups else None
    if not isinstance(first, Mapping):
        return ()
    settings = frozenset(first) & _ANY
    decoupled = first.get("decoupled_weight_decay") if "amsgrad" in settings else None
    if decoupled is not None:
        settings -= {"decoupled_weight_decay"}
    fitting = tuple(
        name
        for name, needed in _NEEDED.items()
        if _TELLING[name] == settings
        and (not slots or needed <= slots <= needed | _FURTHER.get(name, frozenset()))
    )
    if isinstance(decoupled, bool) and fitting:
        return ("AdamW",) if decoupled else ("Adam",)
    return fitting


def ruled_out(saved: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the classes that a saved optimizer can't be of, as it keeps moments that they don't.

    That tells something of optimizers of other libraries too.
    """
    slots = frozenset(slots_of(saved)) & _KEPT
    return tuple(
        name
        for name, needed in _NEEDED.items()
        if not slots <= needed | _FURTHER.get(name, frozenset())
    )
