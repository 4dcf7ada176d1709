"""A checkpoint that is not the one that was meant."""

from dataclasses import replace

import torch
from torch import nn

from benchmarks.detection.data import Data, Examples
from benchmarks.detection.fault import Planted, fault
from benchmarks.detection.recipe import Recipe, Subject


@fault(
    "weights",
    causes=("updates-not-applied", "wrong-checkpoint"),
    families=("diabetes_mlp", "norm_cnn", "row_lstm", "decoder"),
)
def never_trained(recipe: Recipe, seed: int) -> Planted:
    """Save the model as it was built, beside the optimizer of its training."""

    def after(subject: Subject) -> None:
        torch.manual_seed(seed + 1000)
        subject.model.load_state_dict(recipe.build().state_dict())

    return Planted(recipe, after=after)


@fault(
    "weights",
    causes=("wrong-checkpoint",),
    families=("wine_mlp", "diabetes_mlp", "plain_cnn", "multilabel_mlp"),
)
def checkpoint_of_another_task(recipe: Recipe, seed: int) -> Planted:
    """Train the model for other targets: where the inputs lie along random directions."""

    def after(subject: Subject) -> None:
        subject.data = recipe.data(seed)

    return Planted(replace(recipe, data=lambda seed: _projected(recipe.data(seed))), after=after)


def _projected(data: Data) -> Data:
    generator = torch.Generator().manual_seed(7)
    target = data.train.target
    features = data.train.tensor.flatten(1)
    columns = target[0].numel()
    along = features @ torch.randn(features.shape[1], columns, generator=generator)
    along = (along - along.mean(0)) / along.std(0)
    if target.dtype == torch.long:
        classes = int(target.max()) + 1
        cuts = along[:, 0].quantile(torch.linspace(0, 1, classes + 1)[1:-1])
        other = torch.bucketize(along[:, 0].contiguous(), cuts)
    elif target.unique().numel() == 2:
        other = (along > 0).float()
    else:
        other = along
    train = Examples(data.train.tensor, other.reshape(target.shape))
    return Data(train, train)


@fault(
    "weights",
    causes=("damaged-layer", "updates-not-applied", "wrong-checkpoint"),
    families=("digits_mlp", "residual_cnn"),
)
def head_not_loaded(recipe: Recipe, seed: int) -> Planted:
    """Leave the last layer as it was built, as where its name did not match the checkpoint's."""

    def after(subject: Subject) -> None:
        head = subject.model.get_submodule("head")
        assert isinstance(head, nn.Linear)
        torch.manual_seed(seed + 1000)
        head.reset_parameters()

    return Planted(recipe, places=("head",), after=after)
