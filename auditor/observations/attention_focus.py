"""Attention whose heads give everything to one key, or the same to all."""

import numpy as np

from auditor.core.advice import step
from auditor.core.check import Limits
from auditor.core.text import clean_text, counted
from auditor.core.verdict import Verdict
from auditor.observations.saturated_layers import STUCK
from auditor.observations.saturation import AttentionLayer

FEWEST_QUERIES = 100
"""Queries from which on anything is said of heads."""


def collapsed_share(layer: AttentionLayer) -> float:
    """Return the share of heads that nearly always attend to one key."""
    return float(np.mean(layer.collapsed / layer.queries > STUCK))


def uniform_share(layer: AttentionLayer) -> float:
    """Return the share of heads that nearly always attend to all keys alike."""
    return float(np.mean(layer.uniform / layer.queries > STUCK))


def unfocused(
    heads: list[AttentionLayer], limits: Limits
) -> tuple[Verdict, list[tuple[AttentionLayer, str]]]:
    """Return the layers nearly all of whose heads attend to one key, or to all alike."""
    limit = limits["heads"]
    judged = [a for a in heads if a.queries >= FEWEST_QUERIES]
    lost = [
        (a, how)
        for a in judged
        for share, how in ((collapsed_share(a), "one key"), (uniform_share(a), "all keys alike"))
        if limit.verdict(share) is not Verdict.PASS
    ]
    if not lost:
        return Verdict.PASS, []
    every = len(judged) > 1 and sum(how == "one key" for _, how in lost) == len(judged)
    return (Verdict.FAIL if every else Verdict.WARN), lost


def said_of_heads(lost: list[tuple[AttentionLayer, str]], heads: list[AttentionLayer]) -> str:
    """Return what is wrong with the first layer of attention, and how many are like it."""
    layer, how = lost[0]
    entropy = float(np.mean(layer.entropy / layer.queries))
    scores = float(np.mean(layer.scores / layer.queries))
    return (
        f"The heads of `{clean_text(layer.layer)}` attend to {how} for nearly every query: their "
        f"entropy is {entropy:.2g} of 1, their scores deviate by {scores:.3g} over the keys. "
        f"So it is in {len(lost):,} of {counted(len(heads), 'attention')}."
    )


def advice_on_heads(lost: list[tuple[AttentionLayer, str]]) -> list[str]:
    """Return what to do about attention to one key, or to all alike."""
    layer, how = lost[0]
    name = clean_text(layer.layer)
    if how == "one key":
        return [
            f"Keep the scores of `{name}` small: divide them by the root of the head's width, "
            "normalise queries and keys (`torch.nn.LayerNorm`, or `RMSNorm`), and hold the norm "
            "of their weights down by weight decay or spectral normalisation.",
            step(
                "Train with a warm-up and a lower learning rate: entropy collapses early in "
                "training.",
                "scheduler = torch.optim.lr_scheduler.LinearLR(\n"
                "    optimizer, start_factor=0.01, total_iters=500\n"
                ")\n"
                "scheduler.step()  # after each optimizer.step()",
            ),
        ]
    return [
        f"Look at the weights that make queries and keys in `{name}`: at or near zero they make "
        "every score the same. Look also for scores that a mask or a scale of zero wipes out.",
    ]
