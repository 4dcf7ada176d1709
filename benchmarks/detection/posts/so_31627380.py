"""Passengers of the Titanic in raw columns, into a softmax before the cross-entropy.

The table is made up, with the columns that the post has left after numbering its texts: of names
and tickets, these are numbers in the hundreds that say nothing.
"""

from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.detection.data import Data, Examples, split, standardised
from benchmarks.detection.post import Post
from benchmarks.detection.recipe import Recipe
from benchmarks.detection.scores import right_class, right_share


def passengers(seed: int) -> Data:
    """891 rows: class, name, sex, age, siblings, parents, ticket, fare, cabin, port; survival."""
    rng = np.random.default_rng(seed)
    rows = 891
    grade = rng.choice(3, rows, p=[0.24, 0.21, 0.55])
    female = rng.random(rows) < 0.35
    age = np.clip(rng.normal(38 - 6 * grade, 14), 0.5, 80).round(1)
    siblings, parents = rng.poisson(0.5, rows), rng.poisson(0.4, rows)
    fare = rng.lognormal(4.1 - 0.8 * grade, 0.6) * (1 + 0.3 * (siblings + parents))
    cabin = np.where(rng.random(rows) < 0.7 - 0.3 * grade, rng.integers(0, 186, rows), 186)
    columns = [
        *(grade + 1, rng.permutation(rows), female, age, siblings, parents),
        *(rng.integers(0, 929, rows), fare, cabin, rng.choice(3, rows, p=[0.2, 0.1, 0.7])),
    ]
    lived = 2.0 + 3.5 * female - 1.6 * grade - 0.04 * age - 0.4 * siblings
    survived = rng.random(rows) < 1 / (1 + np.exp(-lived))
    inputs = torch.tensor(np.stack(columns, axis=1), dtype=torch.float32)
    return split(Examples(inputs, torch.tensor(survived).long()), seed)


def with_column_of_targets(data: Data) -> Data:
    """Return the same with the target of one output: a column of 0 and 1."""
    train, val = (
        Examples(part.inputs, part.target[:, None].float()) for part in (data.train, data.val)
    )
    return Data(train, val)


def recipe(outputs: int, last: nn.Module, **others: Any) -> Recipe:
    return Recipe(
        family="mlp",
        build=lambda: nn.Sequential(
            nn.Linear(10, 512), nn.ReLU(), nn.Dropout(0.5), nn.Linear(512, outputs), last
        ),
        epochs=10,
        batch_size=4,
        **others,
    )


POST = Post(
    id="SO-31627380",
    causes=("inputs-not-normalised", "loss-unfit-for-task"),
    faulty=recipe(
        2,
        nn.Softmax(dim=1),
        data=passengers,
        loss="cross_entropy",
        score=right_class,
        optimizer={"name": "Adam", "lr": 1e-3},
    ),
    fixed=recipe(
        1,
        nn.Sigmoid(),
        data=lambda seed: with_column_of_targets(standardised(passengers(seed))),
        loss="binary_cross_entropy",
        score=right_share,
        optimizer={"name": "SGD", "lr": 1e-2},
    ),
)
