"""Checks that see what comes of a cause, in groups that many causes share."""

COMPARED = ("claims-do-not-hold", "worse-than-before")
"""What holds the model's metrics against what was said or measured before."""

UNLEARNT = (
    "cannot-overfit-one-batch",
    "does-not-learn-in-short-run",
    "no-better-than-baseline",
    "trained-loss-off",
    "ignores-its-input",
    "capacity-off",
    "idle-block",
    "miscalibrated",
    "class-imbalance",
    "underfitted",
    "damaged-layer",
    "logged-loss-not-decreasing",
    *COMPARED,
)
"""What sees that a model has not learnt, whatever the reason."""

UNMOVED = ("updates-not-applied", "update-ratio-off", "weights-degenerate", "features-collapsed")
"""What sees that its weights or features are as they were built."""

FLOW = (
    "vanishing-gradients",
    "exploding-gradients",
    "activation-scale-off",
    "saturated-units",
    "dead-units",
    "disconnected-parameters",
    "logged-loss-diverges",
    "logged-gradient-spikes",
)
"""What sees numbers of the wrong size on their way through the model."""

SETTINGS = (
    "learning-rate-off",
    "clipping-off",
    "batch-size-off",
    "schedule-missing-or-off",
    "optimizer-off",
    "sharp-minimum",
)
"""What sees settings that suit the model as it is, and not as it should be."""
