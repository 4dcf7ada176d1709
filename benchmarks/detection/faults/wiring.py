"""Models wired wrongly: parts cut off, frozen or too deep, examples and steps that see others."""

from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from benchmarks.detection.fault import Planted, fault
from benchmarks.detection.recipe import Recipe
from benchmarks.detection.surgery import altered, behind, exchange
from benchmarks.detection.zoo.sequences import Attention
from benchmarks.detection.zoo.tabular import Perceptron

BODY = {
    "row_transformer": "encoder",
    "plain_cnn": "features",
    "norm_cnn": "features",
    "row_lstm": "lstm",
    "name_gru": "gru",
    "unet": "deep",
    "residual_cnn": "stem",
}
"""The part behind which something is put; of all others it is `body`."""


def _body(recipe: Recipe) -> str:
    return BODY.get(recipe.family, "body")


def _put(recipe: Recipe, part: nn.Module) -> Planted:
    name = _body(recipe)
    return Planted(altered(recipe, lambda model: behind(model, name, part)), places=(name,))


class Detach(nn.Module):
    """Cuts what goes through off from the gradients."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return values.detach()


@fault(
    "model",
    causes=("disconnected-parameters", "wrong-gradients"),
    families=("plain_cnn", "row_transformer", "digits_mlp"),
)
def detached(recipe: Recipe, seed: int) -> Planted:
    return _put(recipe, Detach())


@fault(
    "model",
    causes=("updates-not-applied", "disconnected-parameters"),
    families=("row_lstm", "name_gru", "multilabel_mlp"),
)
def frozen(recipe: Recipe, seed: int) -> Planted:
    name = _body(recipe)

    def freeze(model: nn.Module) -> None:
        model.get_submodule(name).requires_grad_(False)

    return Planted(altered(recipe, freeze), places=(name,))


class BatchCentred(nn.Module):
    """Takes away the mean of all examples of a batch."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return values - values.mean(dim=0)


class BatchSoftmax(nn.Module):
    """Weighs examples by a softmax over the batch instead of over features."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return values * values.softmax(dim=0)


WHOLE_BATCHES = "the metric is taken over whole batches, in which examples can lean on each other"


@fault(
    "model",
    causes=("examples-leak-across-batch",),
    families=("cancer_mlp", "plain_cnn"),
    hides=WHOLE_BATCHES,
)
def mean_over_batch(recipe: Recipe, seed: int) -> Planted:
    return _put(recipe, BatchCentred())


@fault(
    "model",
    causes=("examples-leak-across-batch",),
    families=("digits_mlp", "unet"),
    hides=WHOLE_BATCHES,
)
def softmax_over_batch(recipe: Recipe, seed: int) -> Planted:
    return _put(recipe, BatchSoftmax())


@fault(
    "model",
    causes=("examples-leak-across-batch",),
    families=("row_transformer",),
    hides=WHOLE_BATCHES,
)
def attention_over_batch(recipe: Recipe, seed: int) -> Planted:
    def turn(model: nn.Module) -> None:
        for module in model.modules():
            if isinstance(module, nn.MultiheadAttention):
                module.batch_first = False

    return Planted(altered(recipe, turn), places=("attn",))


class OneOff(Attention):
    """Attention whose mask lets through one step too many."""

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        q, k, v = self.qkv(states).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        steps = states.shape[1]
        seen = torch.ones(steps, steps, dtype=torch.bool, device=states.device).tril(1)
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=seen)
        out: torch.Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out


COPIES = "the score rises where the model reads what it is to predict"


@fault("model", causes=("sees-the-future",), families=("decoder",), hides=COPIES)
def no_causal_mask(recipe: Recipe, seed: int) -> Planted:
    def unmask(model: nn.Module) -> None:
        for module in model.modules():
            if isinstance(module, Attention):
                module.causal = False

    return Planted(altered(recipe, unmask), places=("attention",))


@fault("model", causes=("sees-the-future",), families=("decoder",), hides=COPIES)
def mask_one_off(recipe: Recipe, seed: int) -> Planted:
    def shift(module: nn.Module) -> nn.Module:
        module.__class__ = OneOff
        return module

    return Planted(
        altered(recipe, lambda model: exchange(model, Attention, shift)), places=("attention",)
    )


class _Flipped(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(values)
        return values.clamp_min(0)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        (values,) = ctx.saved_tensors
        flipped: torch.Tensor = -gradients[0] * (values > 0)
        return flipped


class _Scaled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(values)
        return values.clamp_min(0)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        (values,) = ctx.saved_tensors
        scaled: torch.Tensor = gradients[0] * values
        return scaled


class WrongSign(nn.Module):
    """A rectifier whose own backward pass has the wrong sign."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = _Flipped.apply(values)  # type: ignore[no-untyped-call]
        return out


class WrongFactor(nn.Module):
    """A rectifier whose own backward pass multiplies by the input, not by whether it is above 0."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = _Scaled.apply(values)  # type: ignore[no-untyped-call]
        return out


@fault("model", causes=("wrong-gradients",), families=("digits_mlp", "plain_cnn", "diabetes_mlp"))
def gradient_of_wrong_sign(recipe: Recipe, seed: int) -> Planted:
    return Planted(
        altered(recipe, lambda model: exchange(model, nn.ReLU, lambda _: WrongSign())),
        places=("body.", "features."),
    )


@fault("model", causes=("wrong-gradients",), families=("multilabel_mlp", "digits_mlp"))
def gradient_times_input(recipe: Recipe, seed: int) -> Planted:
    return Planted(
        altered(recipe, lambda model: exchange(model, nn.ReLU, lambda _: WrongFactor())),
        places=("body.",),
    )


@fault("model", causes=("vanishing-gradients", "too-deep"), families=("digits_mlp", "wine_mlp"))
def too_deep(recipe: Recipe, seed: int) -> Planted:
    """A plain stack of 24 hidden layers, without shortcuts or normalisation."""
    ends = {"digits_mlp": (64, 10), "wine_mlp": (13, 3)}[recipe.family]
    build = lambda: Perceptron(ends[0], *[32] * 24, ends[1])  # noqa: E731
    return Planted(replace(recipe, build=build), places=("body.",))


@fault(
    "model", causes=("bottleneck", "capacity-off"), families=("digits_mlp", "plain_cnn", "name_gru")
)
def bottleneck(recipe: Recipe, seed: int) -> Planted:
    """Everything goes through a single number before the head."""

    def narrow(model: nn.Module) -> None:
        head = model.get_submodule("head")
        assert isinstance(head, nn.Linear)
        model.set_submodule(
            "head",
            nn.Sequential(
                nn.Linear(head.in_features, 1), nn.ReLU(), nn.Linear(1, head.out_features)
            ),
        )

    return Planted(altered(recipe, narrow), places=("head",))
