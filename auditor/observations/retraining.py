"""What a training is to be done again with, and which of it is told."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from auditor.observations.schedule import Schedule
from auditor.observations.setting_match import optimizer_of, shown
from auditor.observations.setting_sources import SettingSources, Stated

Status = Literal["recorded", "by default", "in part", "in code", "missing"]


@dataclass(frozen=True)
class Item:
    """Something that retraining needs: its name for people, and where the spec would have it.

    `told_by` are the settings that tell it. `code` are the entries that record it in a dictionary
    of hyperparameters, `yaml` the lines of a spec.
    """

    name: str
    key: str
    told_by: tuple[str, ...]
    essential: bool
    code: tuple[str, ...] = ()
    yaml: str = ""


@dataclass(frozen=True)
class Known:
    """An item as far as it is told: how, what, and where."""

    item: Item
    status: Status
    value: str = ""
    where: str = ""


_OPTIMIZER = ('"optimizer": type(optimizer).__name__', "**optimizer.defaults")

ITEMS = (
    Item(
        "optimizer",
        "training.optimizer",
        ("optimizer",),
        True,
        _OPTIMIZER,
        "training.optimizer.name",
    ),
    Item(
        "learning rate",
        "training.optimizer.lr",
        ("first_lr", "lr", "last_lr"),
        True,
        _OPTIMIZER,
        "training.optimizer.lr",
    ),
    Item(
        "batch size",
        "training.batch_size",
        ("batch_size",),
        True,
        ('"batch_size": train_loader.batch_size',),
        "training.batch_size",
    ),
    Item(
        "epochs or steps",
        "training.epochs",
        ("epochs", "steps", "counted_steps", "planned_steps"),
        True,
        ('"epochs": epochs',),
        "training.epochs",
    ),
    Item(
        "momentum or betas",
        "training.optimizer",
        ("momentum", "betas", "alpha", "rho", "beta1", "beta2"),
        False,
        _OPTIMIZER,
    ),
    Item("weight decay", "training.optimizer.weight_decay", ("weight_decay",), False, _OPTIMIZER),
    Item(
        "schedule",
        "training.schedule",
        ("schedule",),
        False,
        ('"schedule": type(scheduler).__name__',),
        "training.schedule",
    ),
    Item(
        "clipping of gradients",
        "training.clip_norm",
        ("clip_norm",),
        False,
        ('"clip_norm": clip_norm',),
        "training.clip_norm",
    ),
    Item("seed", "training.seed", ("seed",), False, ('"seed": seed',), "training.seed"),
    Item("loss", "loss", ("loss",), False, ('"loss": type(loss_fn).__name__',), "loss"),
    Item(
        "model and its arguments",
        "model.factory",
        ("model",),
        False,
        ('"model_args": model_args',),
        "model.factory",
    ),
    Item(
        "version of the data",
        "data.train",
        ("data",),
        False,
        ('"data_version": data_version',),
        "data.train",
    ),
    Item("preprocessing and augmentation", "data.train", ("preparation",), False),
)

PLAIN = ("Adagrad", "Rprop", "LBFGS", "Adafactor", "ASGD")
"""Optimizers without momentum or betas."""


MOST_ARGUMENTS = 12


def known_of(sources: SettingSources, schedule: Schedule | None) -> tuple[Known, ...]:
    """Return what is told of each item."""
    return tuple(_known(item, sources, schedule) for item in ITEMS)


def _known(item: Item, sources: SettingSources, schedule: Schedule | None) -> Known:
    told = [one for name in item.told_by for one in sources.of(name) if one.value != ""]
    if item.name == "optimizer":
        return _optimizer(item, told, sources)
    if told:
        first = min(told, key=lambda one: one.kind != "declared")
        value = shown(first.value)
        if item.name == "clipping of gradients" and first.value == 0:
            value = "none"
        return Known(item, "recorded", value + _arguments(item, sources), first.where)
    logged = schedule is not None and schedule.logged.size > 1
    if logged and item.name in ("learning rate", "schedule"):
        assert schedule is not None
        value = f"from {schedule.logged[0]:.3g} to {schedule.logged[-1]:.3g}"
        return Known(item, "recorded", value, schedule.log_source)
    if item.name == "batch size" and sources.batch_size:
        return Known(item, "recorded", f"{sources.batch_size:,}", "the training loader")
    declared = sources.of("optimizer", "declared")
    if item.name in ("momentum or betas", "weight decay") and declared:
        name = shown(declared[0].value)
        return Known(item, "by default", f"as {name} has it", declared[0].where)
    if item.name == "clipping of gradients" and declared:
        return Known(item, "by default", "none", declared[0].where)
    if item.name == "momentum or betas" and any(
        optimizer_of(one.value) in PLAIN for one in sources.of("optimizer")
    ):
        return Known(item, "by default", "has none", sources.of("optimizer")[0].where)
    if item.name.startswith("preprocessing"):
        loader = sources.of("data", "declared")
        where = loader[0].where if loader else ""
        return Known(item, "in code", "not told apart from the loader" if loader else "", where)
    return Known(item, "missing")


def _optimizer(item: Item, told: Iterable[Stated], sources: SettingSources) -> Known:
    first = min(told, key=lambda one: one.kind != "declared", default=None)
    if first is not None:
        return Known(item, "recorded", shown(first.value), first.where)
    for one in sources.optimizers:
        if one.kinds:
            status: Status = "recorded" if len(one.kinds) == 1 else "in part"
            where = f"{one.where} in {one.file}, by what it keeps"
            return Known(item, status, " or ".join(one.kinds), where)
    return Known(item, "missing")


def _arguments(item: Item, sources: SettingSources) -> str:
    """Return the arguments of the model in brackets."""
    told: dict[str, str] = {}
    for one in sources.told if item.told_by == ("model",) else ():
        if one.setting.startswith("model."):
            told.setdefault(one.setting.removeprefix("model."), f"={shown(one.value)}")
    words = [f"{name}{value}" for name, value in list(told.items())[:MOST_ARGUMENTS]]
    return f"({', '.join(words)})" if words else ""
