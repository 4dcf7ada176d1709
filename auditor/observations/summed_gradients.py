"""Whether an optimizer was given sums of gradients: what no `zero_grad()` between steps makes."""

import math

from auditor.core import snippets
from auditor.core.advice import step
from auditor.core.finding import Metric, Place
from auditor.core.verdict import Verdict
from auditor.observations.gradient_memory import GradientMemory
from auditor.observations.said import Said

FEWEST = 4
"""Batches below which nothing is said of the gradients of now."""

LONG = 2.0
"""Times the gradients of now that their average may be long: no average is longer than the longest
of what it is made of, and over ten steps or so that changes; fourteen healthy models have up to
0.9, and twenty with rates, decays and moments far off 1.4."""

SUM = 10.0
"""Times from which on a sum fails; and where no second moment tells more, the least that warns."""

ALIKE = 0.5
"""How far past gradients must have agreed, and the share of it that those of now may reach."""

SURE = 0.99

NOTE = "gradients never zeroed"
"""What the place says, by which the cause is told."""


def said_of_sums(memory: GradientMemory | None) -> tuple[Said, ...]:
    """Return what is wrong where the optimizer has averaged far longer gradients than there are.

    A loss that was larger by a factor makes long gradients too. But then those of now agree with
    one another and with their average as the past ones did. Sums of gradients hardly change from
    step to step, and so agree with their average whatever the batches do.
    """
    if memory is None or len(memory.squares) < FEWEST or not memory.length > 0:
        return ()
    value, least, _ = memory.excess(SURE)
    now, _, most = memory.agree(SURE)
    agreed = memory.agreed
    known = agreed == agreed
    if not least > (LONG if known else SUM) or not math.isfinite(value):
        return ()
    if known and not (agreed > ALIKE and most < ALIKE * min(agreed, 1.0)):
        return ()
    if not known and not most < ALIKE:
        return ()
    before = f" and that of past gradients {min(agreed, 1.0):.2f}" if known else ""
    text = (
        f"The optimizer's average of past gradients is {value:.2g} times as long as the gradients "
        f"that come now, whose mean cosine with it is {now:.2f}{before}. So it is when gradients "
        "add up from step to step because nothing sets them back to zero."
    )
    if not known:
        text += " A loss summed over many batches before each step would look alike."
    advice = step(
        "Call `optimizer.zero_grad()` before each `loss.backward()`, and train anew from fresh "
        "weights. Where gradients of several batches are added up on purpose, divide each loss by "
        "their number and zero the gradients after each step.",
        snippets.ZEROED,
    )
    verdict = Verdict.FAIL if known and least > SUM else Verdict.WARN
    note = f"{NOTE}: their average is {value:.2g} times as long as they are"
    return (Said(verdict, text, (Place("setting", "training.zero_grad", note),), advice),)


def metrics_of(memory: GradientMemory | None) -> tuple[Metric, ...]:
    """Return the length of the average that the optimizer keeps, over that of a gradient."""
    if memory is None or len(memory.squares) < 2 or not memory.length > 0:
        return ()
    value, low, high = memory.excess()
    if not math.isfinite(value):
        return ()
    ends = (low, high) if math.isfinite(high) else (None, None)
    return (Metric("average of past gradients over one of now", value, "times", *ends),)
