"""Slips of the training loop and settings of the optimizer that no one would have chosen."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from torch import nn, optim

from benchmarks.detection.fault import Planted, fault
from benchmarks.detection.recipe import Optimizer, Recipe

Held = Callable[[nn.Module], Iterable[Any]]


def _set(recipe: Recipe, *places: str, **settings: Any) -> Planted:
    return Planted(replace(recipe, optimizer={**recipe.optimizer, **settings}), places=places)


@fault(
    "training",
    causes=("gradients-not-zeroed",),
    families=("digits_mlp", "name_gru", "plain_cnn", "diabetes_mlp"),
)
def gradients_not_zeroed(recipe: Recipe, seed: int) -> Planted:
    """Every step goes along the sum of all gradients so far."""
    return Planted(replace(recipe, zero_grad=False))


def _without(*parts: str) -> Held:
    def held(model: nn.Module) -> Iterable[nn.Parameter]:
        return [p for name, p in model.named_parameters() if not name.startswith(parts)]

    return held


RANDOM_WILL_DO = "Around a part that stays random the others may learn nearly as well."

LEFT_OUT = {"row_lstm": "lstm"}
"""The part that the optimizer is not given, where it is not the head."""


@fault(
    "training",
    causes=("updates-not-applied",),
    families=("digits_mlp", "cancer_mlp", "row_lstm"),
    hides=RANDOM_WILL_DO,
)
def part_not_in_the_optimizer(recipe: Recipe, seed: int) -> Planted:
    part = LEFT_OUT.get(recipe.family, "head")
    return Planted(replace(recipe, held=_without(part)), places=(part,))


def _still(model: nn.Module) -> Iterable[Any]:
    first = next(name for name, _ in model.named_parameters()).partition(".")[0]
    every = list(model.named_parameters())
    return [
        {"params": [p for name, p in every if name.startswith(first)], "lr": 0.0},
        {"params": [p for name, p in every if not name.startswith(first)]},
    ]


@fault(
    "training",
    causes=("updates-not-applied",),
    families=("name_gru", "plain_cnn", "wine_mlp"),
    hides=RANDOM_WILL_DO,
)
def group_at_rate_zero(recipe: Recipe, seed: int) -> Planted:
    """The parameter group of the first part has a learning rate of 0."""
    model = recipe.build()
    first = next(name for name, _ in model.named_parameters()).partition(".")[0]
    return Planted(replace(recipe, held=_still), places=(first,))


DECAY = {"wine_mlp": 1.0, "digits_mlp": 0.2, "row_lstm": 0.1, "residual_cnn": 30.0}
"""Weight decay that drowns the data: of Adam through the gradient, of AdamW beside it."""


@fault(
    "training",
    causes=("regularisation-overwhelms",),
    families=("wine_mlp", "digits_mlp", "row_lstm", "residual_cnn"),
)
def decay_far_too_high(recipe: Recipe, seed: int) -> Planted:
    return _set(recipe, "weight_decay", weight_decay=DECAY[recipe.family])


CLIP = {"name_gru": 1e-8}
"""A norm so small that Adam's epsilon outweighs what is left; SGD suffers much earlier."""


@fault("training", causes=("clipping-off",), families=("digits_mlp", "norm_cnn", "name_gru"))
def clipped_to_nothing(recipe: Recipe, seed: int) -> Planted:
    norm = CLIP.get(recipe.family, 1e-3)
    return Planted(replace(recipe, clip_norm=norm), places=("clip_norm",))


def _with_momentum(recipe: Recipe, momentum: float) -> Planted:
    """Set the momentum of every batch norm."""
    build = recipe.build

    def built() -> nn.Module:
        model = build()
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.momentum = momentum
        return model

    return Planted(replace(recipe, build=built), places=("features", "stem", "blocks", "momentum"))


@fault(
    "training",
    causes=("stale-batch-norm", "batch-norm-misused"),
    families=("norm_cnn", "residual_cnn"),
)
def batch_norm_remembers_one_batch(recipe: Recipe, seed: int) -> Planted:
    """The running statistics are those of the last few examples."""
    planted = _with_momentum(recipe, 0.999)
    return replace(planted, recipe=replace(planted.recipe, batch_size=4))


@fault(
    "training",
    causes=("stale-batch-norm", "batch-norm-misused"),
    families=("norm_cnn", "residual_cnn"),
)
def batch_norm_hardly_learns(recipe: Recipe, seed: int) -> Planted:
    """The running statistics are still close to those that they began with."""
    return _with_momentum(recipe, 1e-4)


@fault("training", causes=("optimizer-off",), families=("wine_mlp", "plain_cnn", "row_transformer"))
def adam_with_epsilon_one(recipe: Recipe, seed: int) -> Planted:
    return _set(recipe, "eps", eps=1.0)


@fault("training", causes=("optimizer-off",), families=("name_gru", "unet", "cancer_mlp"))
def betas_swapped(recipe: Recipe, seed: int) -> Planted:
    return _set(recipe, "betas", betas=(0.999, 0.9))


@fault("training", causes=("optimizer-off",), families=("digits_mlp", "norm_cnn"))
def momentum_near_one(recipe: Recipe, seed: int) -> Planted:
    return _set(recipe, "momentum", momentum=0.999)


def _scheduled(recipe: Recipe, schedule: Callable[[Optimizer], Any], **declared: Any) -> Planted:
    told = {**recipe.training, "schedule": declared}
    changed = replace(recipe, schedule=schedule, training=told)
    return Planted(changed, places=("schedule",))


@fault(
    "training",
    causes=("schedule-missing-or-off",),
    families=("wine_mlp", "name_gru", "plain_cnn"),
)
def decayed_at_once(recipe: Recipe, seed: int) -> Planted:
    """The rate falls to a hundredth with every epoch."""
    return _scheduled(
        recipe,
        lambda optimizer: optim.lr_scheduler.ExponentialLR(optimizer, 0.01),
        name="ExponentialLR",
        gamma=0.01,
    )


class _Forgotten:
    """A scheduler that the training loop never steps."""

    def __init__(self, scheduler: Any) -> None:
        self.scheduler = scheduler

    def step(self) -> None:
        pass


WARM: dict[str, Any] = {"start_factor": 0.01, "total_iters": 3}


@fault(
    "training",
    causes=("schedule-missing-or-off", "learning-rate-too-low"),
    families=("wine_mlp", "row_lstm", "cancer_mlp"),
)
def warm_up_never_stepped(recipe: Recipe, seed: int) -> Planted:
    """The rate stays at the hundredth that the warm-up begins with."""
    planted = _scheduled(
        recipe,
        lambda optimizer: _Forgotten(optim.lr_scheduler.LinearLR(optimizer, **WARM)),
        name="LinearLR",
        **WARM,
    )
    return replace(planted, places=("schedule", "lr"))


@fault(
    "training",
    causes=("schedule-missing-or-off", "learning-rate-too-low"),
    families=("digits_mlp", "row_transformer"),
)
def one_cycle_stepped_by_epoch(recipe: Recipe, seed: int) -> Planted:
    """A cycle laid out in updates is stepped once an epoch, and never leaves its warm-up."""
    steps = recipe.epochs * -(-len(recipe.data(seed).train) // recipe.batch_size)
    cycle = {"max_lr": recipe.optimizer["lr"], "total_steps": steps}
    planted = _scheduled(
        recipe,
        lambda optimizer: optim.lr_scheduler.OneCycleLR(optimizer, **cycle),
        name="OneCycleLR",
        **cycle,
    )
    return replace(planted, places=("schedule", "lr"))
