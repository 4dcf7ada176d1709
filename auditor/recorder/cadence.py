"""When a row is written and a step is looked into: by counts alone, so that equal runs match."""

FIRST = 10_000
"""Steps up to which each has its row; ten times as many have one row for ten steps, and so on.

A file then holds at most 9,000 rows for each power of ten, some megabytes for any run.
"""


def stride(step: int) -> int:
    """Return for how many steps a row stands around step number `step`, counted from 1."""
    apart = 1
    while step > FIRST * apart:
        apart *= 10
    return apart


def sampled(step: int, every: int) -> bool:
    """Tell whether a step is looked into: gradients, updates and activations."""
    return (step - 1) % (every * stride(step)) == 0
