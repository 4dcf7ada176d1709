"""A small convolutional network on digits whose logits go through a ReLU.

Scikit-learn's 8 by 8 digits stand for MNIST; 12 epochs of these are 300 steps, where the post takes
600.
"""

from torch import nn

from benchmarks.detection.digits import digits
from benchmarks.detection.post import Post
from benchmarks.detection.recipe import Recipe
from benchmarks.detection.scores import right_class


def recipe(*last: nn.Module) -> Recipe:
    return Recipe(
        family="cnn",
        data=digits,
        build=lambda: nn.Sequential(
            *(nn.Conv2d(1, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(16, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(128, 64), nn.ReLU(), nn.Dropout(0.5)),
            *(nn.Linear(64, 10), *last),
        ),
        loss="cross_entropy",
        score=right_class,
        optimizer={"name": "Adam", "lr": 1e-3},
        epochs=12,
        batch_size=50,
    )


POST = Post(
    id="SO-47352366",
    causes=("loss-unfit-for-task",),
    faulty=recipe(nn.ReLU()),
    fixed=recipe(),
)
