"""Which batch sizes suit a noise scale, and what to change along with them."""

import math
from collections.abc import Sequence

from auditor.core.advice import step
from auditor.observations.gradient_noise import GradientNoise, scale_of
from auditor.observations.gradient_sizes import ADAPTIVE
from auditor.observations.settings import Settings

LOWER = 4.0
"""Part of the noise scale from which on a batch wastes few steps: at N / 4 it takes five times the
least steps, and 1.25 times the least examples (McCandlish et al. 2018, equation 2.11)."""

WIDEST = 16.0
"""Times the smallest batch that the largest recommended one holds."""


def fitting(looks: Sequence[GradientNoise]) -> tuple[int, int]:
    """Return the least and the largest batch, powers of 2, that use steps and examples well.

    From a quarter of the first noise scale to the largest of them, but no more than were looked at.
    """
    most = max(look.examples for look in looks)
    low = min(max(1.0, _known(looks[0]) / LOWER), most / 2)
    high = max(low, min(max(map(_known, looks)), WIDEST * low, most))
    return _power(low), _power(high)


def recommended(looks: Sequence[GradientNoise]) -> str:
    """Return the sentence that recommends batch sizes."""
    least, most = fitting(looks)
    if least == most:
        return f"Batches of about {least:,} examples use both steps and examples well here."
    return f"Batches of {least:,} to {most:,} examples use both steps and examples well here."


def advice_on_batch(
    settings: Settings, batch: int, looks: Sequence[GradientNoise]
) -> tuple[str, ...]:
    """Return what to do about a batch that is off, step by step."""
    least, most = fitting(looks)
    noise = _known(looks[0])
    chosen = min(max(_power(noise), least), most)
    factor = (1 + noise / batch) / (1 + noise / chosen)
    adaptive = settings.optimizer in ADAPTIVE
    factor = math.sqrt(factor) if adaptive else factor
    group = settings.groups[0] if settings.groups else None
    rate = group.number("initial_lr", group.number("lr")) if group is not None else 0.0
    now = f" (from {rate:.3g} to {rate * factor:.2g})" if rate > 0 else ""
    steps = [
        step(
            f"{recommended(looks)} Set `batch_size={chosen}`:",
            "train_loader = torch.utils.data.DataLoader("
            f"dataset, batch_size={chosen}, shuffle=True)",
        ),
        f"Multiply the learning rate by about {factor:.2g}{now}: the best rate grows as B / (B + "
        f"noise scale){', for adaptive steps as its root' if adaptive else ''}. Then tune it.",
    ]
    if batch < chosen:
        parts = math.ceil(chosen / batch)
        steps.append(
            step(
                f"Where memory holds no more than {batch}, accumulate {parts} batches a step:",
                "for i, (inputs, targets) in enumerate(train_loader, 1):\n"
                f"    (loss_fn(model(inputs), targets) / {parts}).backward()\n"
                f"    if i % {parts} == 0:\n"
                "        optimizer.step()\n"
                "        optimizer.zero_grad()",
            )
        )
    else:
        steps.append(
            f"Or keep the batch and train up to {max(2, round(batch / chosen)):,} times the "
            "epochs, which gives as many updates."
        )
    return tuple(steps)


def _known(look: GradientNoise) -> float:
    """Return the noise scale, or what it is at least where it has no bound."""
    scale = scale_of(look)
    known = (value for value in (scale.value, scale.low) if math.isfinite(value))
    return max(1.0, next(known, float(look.examples)))


def _power(value: float) -> int:
    return int(2 ** max(0, round(math.log2(max(value, 1.0)))))
