"""Weights that were damaged after training: on disk, in memory, or by loading them wrongly."""

from collections.abc import Callable

import torch
from torch import nn

from benchmarks.detection.fault import Planted, fault
from benchmarks.detection.recipe import Recipe, Subject

DAMAGED = ("damaged-layer",)
"""What says that one layer does not fit the others."""

Damage = Callable[[nn.Parameter, torch.Generator], torch.Tensor]


def matrices(recipe: Recipe) -> list[tuple[str, str]]:
    """Return the weights of two dimensions or more as (layer, name), in order, the head last."""
    found = [
        (name.rpartition(".")[0], name)
        for name, parameter in recipe.build().named_parameters()
        if parameter.ndim > 1 and name.rpartition(".")[0]
    ]
    return [pair for pair in found if pair[0] != "head"] + [p for p in found if p[0] == "head"]


def random(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _one(recipe: Recipe, seed: int, damage: Damage, choice: slice = slice(None)) -> Planted:
    """Damage one of the weights, picked by the seed."""
    some = matrices(recipe)[choice]
    layer, name = some[int(torch.randint(len(some), (), generator=random(seed + 17)))]

    def after(subject: Subject) -> None:
        parameter = subject.model.get_parameter(name)
        with torch.no_grad():
            parameter.copy_(damage(parameter, random(seed)))

    return Planted(recipe, places=(layer,), after=after)


@fault(
    "weights",
    causes=(*DAMAGED, "activation-scale-off"),
    families=("diabetes_mlp", "autoencoder", "row_lstm", "unet"),
)
def layer_times_thirty(recipe: Recipe, seed: int) -> Planted:
    return _one(recipe, seed, lambda weight, _: weight * 30)


@fault("weights", causes=DAMAGED, families=("digits_mlp", "residual_cnn", "unet"))
def noise_in_one_layer(recipe: Recipe, seed: int) -> Planted:
    def damage(weight: nn.Parameter, generator: torch.Generator) -> torch.Tensor:
        noise = torch.randn(weight.shape, generator=generator)
        return weight + 3 * weight.std() * noise

    return _one(recipe, seed, damage)


@fault(
    "weights",
    causes=(*DAMAGED, "updates-not-applied"),
    families=("wine_mlp", "plain_cnn", "unet", "multilabel_mlp"),
)
def layer_made_anew(recipe: Recipe, seed: int) -> Planted:
    """Fill one layer behind the first with new random numbers, as if it had not been loaded."""

    def damage(weight: nn.Parameter, generator: torch.Generator) -> torch.Tensor:
        bound = float(weight[0].numel()) ** -0.5
        drawn: torch.Tensor = 2 * torch.rand(weight.shape, generator=generator) - 1
        damaged: torch.Tensor = drawn * bound
        return damaged

    return _one(recipe, seed, damage, slice(1, None))


@fault(
    "weights",
    causes=("weights-degenerate", *DAMAGED),
    families=("diabetes_mlp", "norm_cnn", "name_gru"),
)
def bits_flipped(recipe: Recipe, seed: int) -> Planted:
    """Flip the highest bit of the exponent of four weights."""

    def damage(weight: nn.Parameter, generator: torch.Generator) -> torch.Tensor:
        bits = weight.detach().clone().flatten().view(torch.int32)
        bits[torch.randperm(len(bits), generator=generator)[:4]] ^= 1 << 30
        return bits.view(torch.float32).view_as(weight)

    return _one(recipe, seed, damage)


@fault("weights", causes=DAMAGED, families=("wine_mlp", "digits_mlp", "plain_cnn"))
def units_shuffled(recipe: Recipe, seed: int) -> Planted:
    """Put the units of a hidden layer in another order, so that the next layer mistakes them."""
    layers = list(dict.fromkeys(layer for layer, _ in matrices(recipe)))
    at = seed % (len(layers) - 1)

    def after(subject: Subject) -> None:
        module = subject.model.get_submodule(layers[at])
        parameters = list(module.parameters())
        order = torch.randperm(len(parameters[0]), generator=random(seed))
        with torch.no_grad():
            for parameter in parameters:
                parameter.copy_(parameter[order])

    return Planted(recipe, places=(layers[at], layers[at + 1]), after=after)


@fault("weights", causes=DAMAGED, families=("wine_mlp", "decoder"))
def square_weight_transposed(recipe: Recipe, seed: int) -> Planted:
    """Transpose a square weight, as a conversion from another framework may."""
    shapes = {name: p.shape for name, p in recipe.build().named_parameters()}
    square = [
        (layer, name) for layer, name in matrices(recipe) if shapes[name][0] == shapes[name][1]
    ]
    layer, name = square[seed % len(square)]

    def after(subject: Subject) -> None:
        parameter = subject.model.get_parameter(name)
        with torch.no_grad():
            parameter.copy_(parameter.detach().clone().T)

    return Planted(recipe, places=(layer,), after=after)


@fault("weights", causes=DAMAGED, families=("row_lstm", "name_gru"))
def gates_in_another_order(recipe: Recipe, seed: int) -> Planted:
    """Put the gates of a recurrent layer in the order that another framework has."""
    (layer,) = {layer for layer, name in matrices(recipe) if "weight_hh" in name}

    def after(subject: Subject) -> None:
        module = subject.model.get_submodule(layer)
        gates = 4 if isinstance(module, nn.LSTM) else 3
        order = [0, 2, 1, 3] if gates == 4 else [1, 0, 2]
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.copy_(torch.cat([parameter.chunk(gates)[gate] for gate in order]))

    return Planted(recipe, places=(layer,), after=after)


@fault(
    "weights",
    causes=("classes-in-another-order",),
    families=("wine_mlp", "digits_mlp", "norm_cnn", "name_gru"),
)
def outputs_in_another_order(recipe: Recipe, seed: int) -> Planted:
    """Rotate the outputs, as if classes had been numbered by another list."""

    def after(subject: Subject) -> None:
        with torch.no_grad():
            for parameter in subject.model.get_submodule("head").parameters():
                parameter.copy_(parameter.roll(1, 0))

    return Planted(recipe, places=("head", "class"), after=after)


@fault(
    "weights",
    causes=("dead-units", "weights-degenerate", *DAMAGED),
    families=("digits_mlp", "autoencoder", "plain_cnn"),
)
def half_the_units_dead(recipe: Recipe, seed: int) -> Planted:
    """Push the biases of half of a rectified layer's units so low that they never answer."""
    names = [name for name, kind in recipe.build().named_modules() if isinstance(kind, nn.ReLU)]
    name = names[seed % len(names)]
    before, _, number = name.rpartition(".")
    layer = f"{before}.{int(number) - 1}"

    def after(subject: Subject) -> None:
        bias = subject.model.get_submodule(layer).get_parameter("bias")
        with torch.no_grad():
            bias[torch.randperm(len(bias), generator=random(seed))[: len(bias) // 2]] = -1e3

    return Planted(recipe, places=(layer, name), after=after)


@fault(
    "weights",
    causes=("stale-batch-norm",),
    families=("norm_cnn", "residual_cnn"),
)
def statistics_reset(recipe: Recipe, seed: int) -> Planted:
    """Set the running statistics back to 0 and 1, as where buffers were not saved."""

    def after(subject: Subject) -> None:
        for module in subject.model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.reset_running_stats()

    norms = recipe.build().named_modules()
    places = tuple(name for name, module in norms if isinstance(module, nn.BatchNorm2d))
    return Planted(recipe, places=places, after=after)


@fault("weights", causes=("stale-batch-norm",), families=("norm_cnn", "residual_cnn"))
def statistics_of_other_images(recipe: Recipe, seed: int) -> Planted:
    """Gather the running statistics of one norm over images of another brightness."""
    norms = [name for name, m in recipe.build().named_modules() if isinstance(m, nn.BatchNorm2d)]
    name = norms[seed % len(norms)]

    def after(subject: Subject) -> None:
        inputs = subject.data.train.tensor
        kept = {
            key: value.clone()
            for key, value in subject.model.state_dict().items()
            if "running" in key and not key.startswith(f"{name}.")
        }
        subject.model.train()
        with torch.no_grad():
            for batch in (inputs * 4 + 3).split(256):
                for _ in range(10):
                    subject.model(batch)
        subject.model.load_state_dict(kept, strict=False)

    return Planted(recipe, places=(name,), after=after)
