"""How far the largest values are from where float16 overflows."""

import numpy as np

from auditor.core.check import Limits
from auditor.core.text import clean_text
from auditor.core.values import Array
from auditor.core.verdict import Verdict
from auditor.observations.activation_scale import ActivationScale
from auditor.observations.scale_faults import Fault

LARGEST_HALF = 65504.0
"""The largest float16."""


def short_of_headroom(scale: ActivationScale, limits: Limits) -> list[Fault]:
    """Return what a model that computes in float16 has no room for."""
    faults = []
    for place, kind in enumerate(scale.layers):
        if kind.precision != "float16":
            continue
        largest = largest_of(scale)[place]
        with np.errstate(divide="ignore"):
            bits = float(np.log2(LARGEST_HALF / largest)) if largest > 0 else np.inf
        if limits["headroom"].verdict(bits) is not Verdict.PASS and np.isfinite(largest):
            faults.append((bits, clean_text(kind.layer), largest))
    if not faults:
        return []
    bits, name, largest = min(faults)
    return [
        Fault(
            name,
            Verdict.WARN,
            f"{bits:.2g} bits below the end of float16",
            f"`{name}` reaches {largest:.3g} in float16, which ends at 65504: {bits:.2g} bits are "
            "left before it overflows.",
            (
                f"Run `{name}` in bfloat16 or float32 (`torch.autocast` keeps normalisations and "
                "losses there), or bring its scale down by normalisation.",
            ),
        )
    ]


def largest_of(scale: ActivationScale) -> Array:
    """Return the largest absolute value of each layer."""
    found = np.fmax(np.abs(scale.of("low")), np.abs(scale.of("high")))
    return np.asarray(np.fmax.reduce(found, axis=0))
