"""Values that are no numbers, for some inputs only or everywhere."""

from dataclasses import replace

import torch
from torch import nn

from benchmarks.detection.data import Data, Examples
from benchmarks.detection.fault import Planted, fault
from benchmarks.detection.faults.weights import matrices, random
from benchmarks.detection.recipe import Recipe, Subject

NOT_FINITE = ("non-finite-values",)

HIDES = "an answer that is no number may be counted as right"

GREATEST_HALF = 65504.0


@fault("weights", causes=NOT_FINITE, families=("wine_mlp", "unet", "decoder"), hides=HIDES)
def nan_in_weights(recipe: Recipe, seed: int) -> Planted:
    """Make one weight behind the first layer NaN."""
    some = matrices(recipe)[1:]
    layer, name = some[seed % len(some)]

    def after(subject: Subject) -> None:
        with torch.no_grad():
            weight = subject.model.get_parameter(name).view(-1)
            weight[int(torch.randint(len(weight), (), generator=random(seed)))] = torch.nan

    return Planted(recipe, places=(layer,), after=after)


@fault("weights", causes=NOT_FINITE, families=("name_gru", "decoder"), hides=HIDES)
def nan_for_a_rare_token(recipe: Recipe, seed: int) -> Planted:
    """Make the embedding of the rarest token of the validation data NaN."""
    (name, *_) = (name for name, m in recipe.build().named_modules() if isinstance(m, nn.Embedding))

    def after(subject: Subject) -> None:
        tokens, counts = subject.data.val.tensor.unique(return_counts=True)
        with torch.no_grad():
            embedding = subject.model.get_submodule(name).get_parameter("weight")
            embedding[tokens[counts.argmin()]] = torch.nan

    return Planted(recipe, places=(name,), after=after)


class Rooted(nn.Module):
    """Adds nothing, but by a root that is no number where inputs sum to less than `lowest`."""

    lowest: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("lowest", torch.tensor(-1e6))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        root = (inputs.flatten(1).sum(1) - self.lowest).sqrt()
        return inputs + 0 * root.view(-1, *[1] * (inputs.ndim - 1))


@fault("weights", causes=NOT_FINITE, families=("cancer_mlp", "plain_cnn"), hides=HIDES)
def nan_for_rare_inputs(recipe: Recipe, seed: int) -> Planted:
    """Have a root before the model that is no number for two in a hundred inputs."""

    def build() -> nn.Module:
        return nn.Sequential(Rooted(), recipe.build())

    def after(subject: Subject) -> None:
        sums = subject.data.train.tensor.flatten(1).sum(1)
        subject.model.get_buffer("0.lowest").copy_(sums.quantile(0.02))

    return Planted(replace(recipe, build=build), places=("0",), after=after)


@fault("weights", causes=NOT_FINITE, families=("digits_mlp", "diabetes_mlp"), hides=HIDES)
def half_precision_overflows(recipe: Recipe, seed: int) -> Planted:
    """Have a layer in half precision put out numbers that are too large for it, now and then.

    The next layer undoes its scale, so that the model is the same in single precision.
    """

    def half(examples: Examples) -> Examples:
        same = examples.target if examples.target.dtype == torch.long else examples.target.half()
        return Examples(examples.tensor.half(), same)

    def after(subject: Subject) -> None:
        body = subject.model.get_submodule("body")
        linear = [m for m in (*body.modules(), subject.model.get_submodule("head"))
                  if isinstance(m, nn.Linear)]  # fmt: skip
        first, second = linear[0], linear[1]
        with torch.no_grad():
            largest = first(subject.data.train.tensor).relu().amax(1)
            scale = GREATEST_HALF / float(largest.quantile(0.95))
            first.weight.mul_(scale)
            first.bias.mul_(scale)
            second.weight.div_(scale)
        subject.model.half()
        subject.data = Data(half(subject.data.train), half(subject.data.val))

    return Planted(recipe, places=("body.0",), after=after)
