"""The few cases that run with every change, and the floor that they must stay above."""

FAST = (
    "planted/validation-not-standardised/wine_mlp/0",
    "planted/outputs-in-another-order/wine_mlp/0",
    "planted/rate-a-thousandth/wine_mlp/0",
    "planted/decay-far-too-high/wine_mlp/0",
    "planted/layer-made-anew/wine_mlp/0",
    "planted/nan-in-weights/wine_mlp/0",
    "planted/shuffle-missing/digits_mlp/0",
    "planted/no-activation/digits_mlp/0",
    "planted/bottleneck/digits_mlp/0",
    "planted/gradients-not-zeroed/diabetes_mlp/0",
    "planted/checkpoint-of-another-task/diabetes_mlp/0",
    "post/IPS_17/0",
)
"""Ids of cases of every kind whose audits are quick."""

FLOOR = {"detected": 1.0, "first": 0.8, "third": 0.9, "place": 0.8}
"""The least share of the fast cases; besides, no check may fail on a healthy twin."""
